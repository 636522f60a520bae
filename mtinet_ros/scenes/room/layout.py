# SPDX-License-Identifier: Apache-2.0
"""Placement of furniture without collisions: at and on walls, around tables, on surfaces."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mtinet_ros.scenes.assets.stock import FurnitureStock, Piece
from mtinet_ros.scenes.assets.texture import Generator
from mtinet_ros.scenes.geometry.mesh import Mesh
from mtinet_ros.scenes.geometry.scene import Instance, SceneBuilder
from mtinet_ros.scenes.room.shell import Wall

MAX_TRIES = 25


@dataclass(frozen=True)
class BoundingBox:
    """An axis-aligned box in world coordinates, metres."""

    x0: float
    y0: float
    x1: float
    y1: float
    z0: float = 0.0
    z1: float = 3.0

    def overlaps(self, other: BoundingBox) -> bool:
        """Whether the two boxes share more than a face."""
        return (
            self.x0 < other.x1
            and other.x0 < self.x1
            and self.y0 < other.y1
            and other.y0 < self.y1
            and self.z0 < other.z1
            and other.z0 < self.z1
        )


def spanned_box(
    a: NDArray[np.float64], b: NDArray[np.float64], low: float, high: float
) -> BoundingBox:
    """The box over two opposite corners on the floor, between two heights."""
    (x0, y0), (x1, y1) = np.minimum(a, b).tolist(), np.maximum(a, b).tolist()
    return BoundingBox(x0, y0, x1, y1, low, high)


def bounding_box(mesh: Mesh, margin: float = 0.0) -> BoundingBox:
    """The bounding box of a mesh, widened in x and y by a margin."""
    low, high = mesh.bounds()
    return BoundingBox(
        float(low[0]) - margin,
        float(low[1]) - margin,
        float(high[0]) + margin,
        float(high[1]) + margin,
        float(low[2]),
        float(high[2]),
    )


@dataclass(frozen=True)
class Placement:
    """An object with its back to a wall.

    Attributes:
        instance: The object.
        wall: The wall.
        position: Distance of the object's middle from the wall's origin, metres.
    """

    instance: Instance
    wall: Wall
    position: float


class Layout:
    """A room while it is being furnished, and the boxes in it that are occupied.

    Args:
        room: Builder to add objects to.
        walls: Walls with their openings; the space in front of doors is kept free.
        stock: Source of pieces.
        rng: Source of randomness.
    """

    def __init__(
        self, room: SceneBuilder, walls: list[Wall], stock: FurnitureStock, rng: Generator
    ) -> None:
        """Start with an empty room."""
        self.room = room
        self.walls = walls
        self.stock = stock
        self.rng = rng
        self.occupied: list[BoundingBox] = []
        for wall in walls:
            for opening in wall.openings:
                depth = 0.9 if opening.kind == "door" else 0.25
                a, b = wall.point(opening.start - 0.05), wall.point(opening.end + 0.05, depth)
                low = 0.0 if opening.kind == "door" else opening.low
                self.occupied.append(spanned_box(a, b, low, opening.high))
        if room.notch is not None:
            self.occupied.append(BoundingBox(*room.notch))

    def fits(self, box: BoundingBox) -> bool:
        """Whether a box is inside the room and unoccupied."""
        x, y, z = self.room.size
        inside = box.x0 >= 0 and box.y0 >= 0 and box.x1 <= x and box.y1 <= y and box.z1 <= z
        return inside and not any(box.overlaps(other) for other in self.occupied)

    def put(self, piece: Piece, mesh: Mesh, yaw: float = 0.0, *, solid: bool = True) -> Instance:
        """Add a piece with its mesh in world coordinates; `solid`: its box is occupied then."""
        if solid:
            self.occupied.append(bounding_box(mesh))
        return self.room.add(mesh, piece.label, piece.name, piece.asset, yaw)

    def place_at_wall(
        self,
        piece: Piece | None,
        *,
        gap: float = 0.02,
        front: float = 0.0,
        wall: Wall | None = None,
        near: float | None = None,
        elevation: float | None = None,
    ) -> Placement | None:
        """Place a piece with its back to a wall.

        Args:
            piece: Piece to place; None places nothing.
            gap: Distance to the wall, metres.
            front: Free space required in front of the piece, metres.
            wall: The wall; None tries several.
            near: The only position along the wall to try, metres; None tries several.
            elevation: Height of the lower side, metres; None: the piece's own.

        Returns:
            The placed object; None if there is no space.
        """
        if piece is None:
            return None
        width, depth, height = (float(value) for value in piece.size)
        z = piece.elevation if elevation is None else elevation
        low, high = piece.mesh.bounds()
        for _ in range(MAX_TRIES if near is None else 1):
            side = wall or self.walls[int(self.rng.integers(len(self.walls)))]
            if side.length < width + 0.04:
                if wall is not None:
                    return None
                continue
            at = near if near is not None else self._along(side, width)
            position = side.point(at, gap + float(high[1]))
            mesh = piece.mesh.transformed((*position, z - float(low[2])), side.yaw)
            a, b = (
                side.point(at - width / 2, 0.005),
                side.point(at + width / 2, gap + depth + front),
            )
            box = spanned_box(a, b, z, z + height)
            if self.fits(box):
                return Placement(self.put(piece, mesh, side.yaw), side, at)
        return None

    def _along(self, wall: Wall, width: float) -> float:
        """A random position along a wall, often a corner or the middle."""
        low, high = width / 2 + 0.02, wall.length - width / 2 - 0.02
        kind = self.rng.random()
        if kind < 0.25:
            return low if self.rng.random() < 0.5 else high
        return wall.length / 2 if kind < 0.35 else float(self.rng.uniform(low, high))

    def place_freely(
        self,
        piece: Piece | None,
        *,
        margin: float = 0.05,
        center: bool = False,
        square: bool = False,
    ) -> Instance | None:
        """Place a piece on the floor at a random yaw (`square`: a multiple of 90 degrees)."""
        if piece is None:
            return None
        x, y, _ = self.room.size
        for _ in range(MAX_TRIES):
            yaw = float(self.rng.integers(4)) * np.pi / 2
            if not square:
                yaw += float(self.rng.uniform(-np.pi / 4, np.pi / 4))
            share = self.rng.uniform(0.3, 0.7, 2) if center else self.rng.uniform(0.0, 1.0, 2)
            low, _high = piece.mesh.bounds()
            mesh = piece.mesh.transformed(
                (share[0] * x, share[1] * y, piece.elevation - float(low[2])), yaw
            )
            if self.fits(bounding_box(mesh, margin)):
                return self.put(piece, mesh, yaw)
        return None

    def place_in_front(
        self,
        instance: Instance,
        piece: Piece | None,
        distance: float,
        *,
        aside: float = 0.0,
        turn: float = 0.0,
    ) -> Instance | None:
        """Place a piece in front of an object, facing it (plus a turn), at a distance."""
        if piece is None:
            return None
        facing = np.array([np.sin(instance.yaw), -np.cos(instance.yaw)])
        side = np.array([np.cos(instance.yaw), np.sin(instance.yaw)])
        low, high = np.array(instance.low[:2]), np.array(instance.high[:2])
        reach = abs(facing @ ((high - low) / 2))
        place = (low + high) / 2 + facing * (reach + distance) + side * aside
        yaw = instance.yaw + np.pi + turn
        mesh = piece.mesh.transformed((*place, piece.elevation), yaw)
        if self.fits(bounding_box(mesh, 0.0)):
            return self.put(piece, mesh, yaw)
        return None

    def place_seats(
        self, instance: Instance, role: str, count: int, *, tuck: float = 0.25
    ) -> None:
        """Place chairs around a table, some pushed under it, some turned away."""
        low, high = np.array(instance.low), np.array(instance.high)
        center, half = (low + high)[:2] / 2, (high - low)[:2] / 2
        kind = self.stock.piece(role)
        if kind is None:
            return
        places = []
        for axis in (0, 1):
            across = half[1 - axis]
            number = max(1, int(2 * across / 0.6))
            for sign in (-1, 1):
                for step in range(number):
                    offset = ((step + 0.5) / number * 2 - 1) * across
                    places.append((axis, sign, offset))
        for number in self.rng.permutation(len(places))[:count]:
            axis, sign, offset = places[number]
            out = np.zeros(2)
            out[axis] = sign
            reach = half[axis] + float(kind.size[1]) / 2 - tuck + abs(self.rng.normal(0, 0.12))
            place = center + out * reach
            place[1 - axis] += offset
            yaw = float(np.arctan2(-out[0], out[1])) + float(self.rng.normal(0, 0.25))
            mesh = kind.mesh.transformed((*place, 0.0), yaw)
            others = [b for b in self.occupied if not b.overlaps(BoundingBox(*low[:2], *high[:2]))]
            box = bounding_box(mesh)
            x, y, _ = self.room.size
            inside = box.x0 > 0 and box.y0 > 0 and box.x1 < x and box.y1 < y
            if inside and not any(box.overlaps(other) for other in others):
                self.put(kind, mesh, yaw)

    def place_on_top(
        self, instance: Instance, roles: list[str], count: int, height: float | None = None
    ) -> None:
        """Place pieces on an object, apart from each other."""
        low, high = np.array(instance.low), np.array(instance.high)
        top = float(high[2]) if height is None else height
        used: list[BoundingBox] = []
        for _ in range(count):
            piece = self.stock.piece(roles[int(self.rng.integers(len(roles)))])
            if piece is None or min(piece.size[:2]) > min(high[:2] - low[:2]) * 0.95:
                continue
            self.place_on_surface(piece, low, high, top, used, instance.yaw)

    def place_on_surface(
        self,
        piece: Piece,
        low: NDArray[np.floating],
        high: NDArray[np.floating],
        top: float,
        used: list[BoundingBox],
        yaw: float,
    ) -> None:
        """Place a piece on a surface (two corners, height) if it fits beside those in `used`."""
        for _ in range(6):
            turn = yaw + float(self.rng.normal(0, 0.35))
            place = low[:2] + self.rng.uniform(0.1, 0.9, 2) * (high - low)[:2]
            mesh = piece.mesh.transformed(
                (*place, top + 0.001 - float(piece.mesh.bounds()[0][2])), turn
            )
            box = bounding_box(mesh)
            over = box.x0 < low[0] or box.y0 < low[1] or box.x1 > high[0] or box.y1 > high[1]
            if not over and box.z1 < self.room.size[2] and not any(box.overlaps(o) for o in used):
                used.append(box)
                self.put(piece, mesh, turn, solid=False)
                return

    def place_on_center(
        self, instance: Instance, piece: Piece | None, *, shift: float = 0.0, back: float = 0.0
    ) -> Instance | None:
        """Place a piece on the middle of an object, facing the same way."""
        if piece is None:
            return None
        facing = np.array([np.sin(instance.yaw), -np.cos(instance.yaw)])
        side = np.array([np.cos(instance.yaw), np.sin(instance.yaw)])
        place = (
            (np.array(instance.low[:2]) + np.array(instance.high[:2])) / 2
            - facing * back
            + side * shift
        )
        mesh = piece.mesh.transformed((*place, instance.high[2] + 0.001), instance.yaw)
        box = bounding_box(mesh)
        if not self.fits(
            BoundingBox(box.x0, box.y0, box.x1, box.y1, instance.high[2] + 0.01, box.z1)
        ):
            return None
        return self.put(piece, mesh, instance.yaw)

    def hang(
        self, piece: Piece, low: float, *, wall: Wall | None = None, near: float | None = None
    ) -> Instance | None:
        """Place a piece on a wall with its lower edge at a height."""
        placement = self.place_at_wall(piece, gap=0.003, elevation=low, wall=wall, near=near)
        return None if placement is None else placement.instance

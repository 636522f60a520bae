# SPDX-License-Identifier: Apache-2.0
"""Puts pieces into a room without collisions: along and on walls, around tables, on surfaces."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mtinet_ros.scenes.assets.stock import Piece, Stock
from mtinet_ros.scenes.assets.texture import Generator
from mtinet_ros.scenes.geometry.mesh import Mesh
from mtinet_ros.scenes.geometry.scene import Instance, SceneBuilder
from mtinet_ros.scenes.room.shell import Wall

TRIES = 25


@dataclass(frozen=True)
class Block:
    """A box that is taken: x0, y0, x1, y1, z0, z1 in metres."""

    x0: float
    y0: float
    x1: float
    y1: float
    z0: float = 0.0
    z1: float = 3.0

    def hits(self, other: Block) -> bool:
        """Whether the two overlap."""
        return (
            self.x0 < other.x1
            and other.x0 < self.x1
            and self.y0 < other.y1
            and other.y0 < self.y1
            and self.z0 < other.z1
            and other.z0 < self.z1
        )


def spanned(a: NDArray[np.float64], b: NDArray[np.float64], low: float, high: float) -> Block:
    """The block over two opposite corners on the floor, between two heights."""
    (x0, y0), (x1, y1) = np.minimum(a, b).tolist(), np.maximum(a, b).tolist()
    return Block(x0, y0, x1, y1, low, high)


def block_of(mesh: Mesh, margin: float = 0.0) -> Block:
    """Axis-aligned box of a mesh, widened on the floor by a margin."""
    low, high = mesh.bounds()
    return Block(
        float(low[0]) - margin,
        float(low[1]) - margin,
        float(high[0]) + margin,
        float(high[1]) + margin,
        float(low[2]),
        float(high[2]),
    )


class Layout:
    """The state of a room while it is being furnished.

    Args:
        room: Receives what is placed.
        walls: With their openings; space before doors is kept free.
        stock: Source of pieces.
        rng: Source of randomness.
    """

    def __init__(
        self, room: SceneBuilder, walls: list[Wall], stock: Stock, rng: Generator
    ) -> None:
        """Start with an empty room."""
        self.room = room
        self.walls = walls
        self.stock = stock
        self.rng = rng
        self.taken: list[Block] = []
        for wall in walls:
            for hole in wall.openings:
                depth = 0.9 if hole.kind == "door" else 0.25
                a, b = wall.point(hole.start - 0.05), wall.point(hole.end + 0.05, depth)
                low = 0.0 if hole.kind == "door" else hole.low
                self.taken.append(spanned(a, b, low, hole.high))
        if room.notch is not None:
            self.taken.append(Block(*room.notch))

    def fits(self, block: Block) -> bool:
        """Whether the block is inside the room and free."""
        x, y, z = self.room.size
        inside = (
            block.x0 >= 0 and block.y0 >= 0 and block.x1 <= x and block.y1 <= y and block.z1 <= z
        )
        return inside and not any(block.hits(other) for other in self.taken)

    def put(self, piece: Piece, mesh: Mesh, yaw: float = 0.0, *, solid: bool = True) -> Instance:
        """Put a mesh where it is."""
        if solid:
            self.taken.append(block_of(mesh))
        return self.room.add(mesh, piece.label, piece.name, piece.asset, yaw)

    def wall_piece(
        self,
        piece: Piece | None,
        *,
        gap: float = 0.02,
        front: float = 0.0,
        wall: Wall | None = None,
        near: float | None = None,
        elevation: float | None = None,
    ) -> tuple[Instance, Wall, float] | None:
        """Put a piece with its back to a wall.

        Args:
            piece: What to put; None puts nothing.
            gap: Distance to the wall.
            front: Space that stays free before it.
            wall: A certain wall; None tries all.
            near: Try this place along the wall only.
            elevation: Height of the lower side, default the piece's own.

        Returns:
            The thing, its wall and where along it; None if there was no room.
        """
        if piece is None:
            return None
        width, depth, height = (float(value) for value in piece.size)
        z = piece.elevation if elevation is None else elevation
        low, high = piece.mesh.bounds()
        for _ in range(TRIES if near is None else 1):
            side = wall or self.walls[int(self.rng.integers(len(self.walls)))]
            if side.length < width + 0.04:
                if wall is not None:
                    return None
                continue
            at = near if near is not None else self._along(side, width)
            position = side.point(at, gap + float(high[1]))
            mesh = piece.mesh.moved((*position, z - float(low[2])), side.yaw)
            a, b = (
                side.point(at - width / 2, 0.005),
                side.point(at + width / 2, gap + depth + front),
            )
            block = spanned(a, b, z, z + height)
            if self.fits(block):
                return self.put(piece, mesh, side.yaw), side, at
        return None

    def _along(self, wall: Wall, width: float) -> float:
        """A place along a wall; corners and the middle are favoured."""
        low, high = width / 2 + 0.02, wall.length - width / 2 - 0.02
        kind = self.rng.random()
        if kind < 0.25:
            return low if self.rng.random() < 0.5 else high
        return wall.length / 2 if kind < 0.35 else float(self.rng.uniform(low, high))

    def free_piece(
        self,
        piece: Piece | None,
        *,
        margin: float = 0.05,
        center: bool = False,
        square: bool = False,
    ) -> Instance | None:
        """Put a piece somewhere on the floor, turned at random (`square`: by right angles)."""
        if piece is None:
            return None
        x, y, _ = self.room.size
        for _ in range(TRIES):
            yaw = float(self.rng.integers(4)) * np.pi / 2
            if not square:
                yaw += float(self.rng.uniform(-np.pi / 4, np.pi / 4))
            share = self.rng.uniform(0.3, 0.7, 2) if center else self.rng.uniform(0.0, 1.0, 2)
            low, _high = piece.mesh.bounds()
            mesh = piece.mesh.moved(
                (share[0] * x, share[1] * y, piece.elevation - float(low[2])), yaw
            )
            if self.fits(block_of(mesh, margin)):
                return self.put(piece, mesh, yaw)
        return None

    def before(
        self,
        thing: Instance,
        piece: Piece | None,
        distance: float,
        *,
        aside: float = 0.0,
        turn: float = 0.0,
    ) -> Instance | None:
        """Put a piece in front of a thing, facing it (plus a turn), at a distance."""
        if piece is None:
            return None
        facing = np.array([np.sin(thing.yaw), -np.cos(thing.yaw)])
        side = np.array([np.cos(thing.yaw), np.sin(thing.yaw)])
        low, high = np.array(thing.low[:2]), np.array(thing.high[:2])
        reach = abs(facing @ ((high - low) / 2))
        place = (low + high) / 2 + facing * (reach + distance) + side * aside
        yaw = thing.yaw + np.pi + turn
        mesh = piece.mesh.moved((*place, piece.elevation), yaw)
        if self.fits(block_of(mesh, 0.0)):
            return self.put(piece, mesh, yaw)
        return None

    def seats(self, thing: Instance, role: str, count: int, *, tuck: float = 0.25) -> None:
        """Chairs around a table, some pushed under it, some turned away."""
        low, high = np.array(thing.low), np.array(thing.high)
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
            mesh = kind.mesh.moved((*place, 0.0), yaw)
            others = [b for b in self.taken if not b.hits(Block(*low[:2], *high[:2]))]
            block = block_of(mesh)
            x, y, _ = self.room.size
            inside = block.x0 > 0 and block.y0 > 0 and block.x1 < x and block.y1 < y
            if inside and not any(block.hits(other) for other in others):
                self.put(kind, mesh, yaw)

    def on_top(
        self, thing: Instance, roles: list[str], count: int, height: float | None = None
    ) -> None:
        """Things standing on another one, apart from each other."""
        low, high = np.array(thing.low), np.array(thing.high)
        top = float(high[2]) if height is None else height
        used: list[Block] = []
        for _ in range(count):
            piece = self.stock.piece(roles[int(self.rng.integers(len(roles)))])
            if piece is None or min(piece.size[:2]) > min(high[:2] - low[:2]) * 0.95:
                continue
            self.stand_on(piece, low, high, top, used, thing.yaw)

    def stand_on(
        self,
        piece: Piece,
        low: NDArray[np.floating],
        high: NDArray[np.floating],
        top: float,
        used: list[Block],
        yaw: float,
    ) -> None:
        """Try to stand a piece on a surface (two corners, height) beside those in `used`."""
        for _ in range(6):
            turn = yaw + float(self.rng.normal(0, 0.35))
            place = low[:2] + self.rng.uniform(0.1, 0.9, 2) * (high - low)[:2]
            mesh = piece.mesh.moved((*place, top + 0.001 - float(piece.mesh.bounds()[0][2])), turn)
            block = block_of(mesh)
            over = (
                block.x0 < low[0] or block.y0 < low[1] or block.x1 > high[0] or block.y1 > high[1]
            )
            if not over and block.z1 < self.room.size[2] and not any(block.hits(o) for o in used):
                used.append(block)
                self.put(piece, mesh, turn, solid=False)
                return

    def top_center(
        self, thing: Instance, piece: Piece | None, *, shift: float = 0.0, back: float = 0.0
    ) -> Instance | None:
        """Put one piece on the middle of another, facing the same way."""
        if piece is None:
            return None
        facing = np.array([np.sin(thing.yaw), -np.cos(thing.yaw)])
        side = np.array([np.cos(thing.yaw), np.sin(thing.yaw)])
        place = (
            (np.array(thing.low[:2]) + np.array(thing.high[:2])) / 2 - facing * back + side * shift
        )
        mesh = piece.mesh.moved((*place, thing.high[2] + 0.001), thing.yaw)
        block = block_of(mesh)
        if not self.fits(
            Block(block.x0, block.y0, block.x1, block.y1, thing.high[2] + 0.01, block.z1)
        ):
            return None
        return self.put(piece, mesh, thing.yaw)

    def hang(
        self, piece: Piece, low: float, *, wall: Wall | None = None, near: float | None = None
    ) -> Instance | None:
        """Hang a piece on a wall with its lower edge at a height."""
        found = self.wall_piece(piece, gap=0.003, elevation=low, wall=wall, near=near)
        return None if found is None else found[0]

# SPDX-License-Identifier: Apache-2.0
"""The empty room: floor, ceiling, walls with their openings, what lies behind a door."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mtinet_ros.scenes.assets import texture
from mtinet_ros.scenes.assets.texture import Generator
from mtinet_ros.scenes.geometry.mesh import Material, Mesh, as_color, box, merge, quad
from mtinet_ros.scenes.geometry.scene import AreaLight, SceneBuilder
from mtinet_ros.scenes.room import openings


@dataclass(frozen=True)
class Opening:
    """A door or window: `start` to `end` along a wall, `low` to `high` above the floor, in m."""

    kind: str
    start: float
    end: float
    low: float
    high: float


@dataclass
class Wall:
    """One side of the room.

    Attributes:
        origin: Its beginning on the floor, float64 [2].
        along: Its unit direction, float64 [2]; the room is to the left of it.
        length: Metres.
        openings: Doors and windows, none overlapping.
    """

    origin: NDArray[np.float64]
    along: NDArray[np.float64]
    length: float
    openings: list[Opening] = field(default_factory=list)

    @property
    def inward(self) -> NDArray[np.float64]:
        """Unit normal into the room."""
        return np.array([-self.along[1], self.along[0]])

    @property
    def yaw(self) -> float:
        """Yaw of an object that faces the room; its +x axis then runs against `along`."""
        return float(np.arctan2(self.inward[0], -self.inward[1]))

    def point(self, distance: float, offset: float = 0.0) -> NDArray[np.float64]:
        """World x, y at a distance along the wall and an offset into the room."""
        return np.asarray(self.origin + self.along * distance + self.inward * offset)


def make_walls(
    size: tuple[float, float, float], notch: tuple[float, float, float, float] | None
) -> list[Wall]:
    """Walls of a rectangle 0..x, 0..y, less an upper-right corner if there is a notch."""
    x, y, _ = size
    corners = [(0.0, 0.0), (x, 0.0), (x, y), (0.0, y)]
    if notch is not None:
        corners[2:3] = [(x, notch[1]), (notch[0], notch[1]), (notch[0], y)]
    walls = []
    for a, b in zip(corners, corners[1:] + corners[:1], strict=True):
        start, step = np.array(a), np.array(b) - np.array(a)
        length = float(np.hypot(*step))
        walls.append(Wall(start, step / length, length))
    return walls


def cut_openings(
    rng: Generator, walls: list[Wall], height: float, *, windows: int, doors: int
) -> None:
    """Distribute doors and windows over the walls, at random without overlap."""
    for kind, count in (("door", doors), ("window", windows)):
        for _ in range(count):
            for _ in range(12):
                wall = walls[int(rng.integers(len(walls)))]
                if kind == "door":
                    width = float(
                        rng.choice([0.8, 0.9, 1.0, 1.4, 1.7], p=[0.25, 0.35, 0.2, 0.1, 0.1])
                    )
                    low, high = 0.0, min(rng.uniform(1.95, 2.2), height - 0.15)
                else:
                    width = rng.uniform(0.6, min(3.2, max(0.7, wall.length * 0.8)))
                    low = float(
                        rng.choice(
                            [rng.uniform(0.75, 1.1), rng.uniform(0.05, 0.5)], p=[0.65, 0.35]
                        )
                    )
                    high = min(low + rng.uniform(0.9, 2.2), height - rng.uniform(0.1, 0.45))
                if width > wall.length - 0.5:
                    continue
                start = rng.uniform(0.25, wall.length - width - 0.25)
                if all(
                    start - 0.35 > o.end or start + width + 0.35 < o.start for o in wall.openings
                ):
                    wall.openings.append(Opening(kind, start, start + width, low, high))
                    break


def _wall_mesh(wall: Wall, height: float, reveal: float, material: Material) -> Mesh:
    """The wall around its openings, and their reveals."""

    def panel(a: float, b: float, low: float, high: float) -> Mesh:
        p = wall.point(b)
        step = -wall.along * (b - a)  # along × up points into the room
        piece = quad((p[0], p[1], low), (step[0], step[1], 0), (0, 0, high - low), material)
        return Mesh(  # one continuous wallpaper over all pieces of the wall
            piece.corners,
            piece.uv + np.array([-b, height - high], np.float32),
            piece.normals,
            piece.material,
            piece.materials,
        )

    parts, at = [], 0.0
    for opening in sorted(wall.openings, key=lambda o: o.start):
        parts.append(panel(at, opening.start, 0, height))
        parts.append(panel(opening.start, opening.end, opening.high, height))
        if opening.low > 0:
            parts.append(panel(opening.start, opening.end, 0, opening.low))
        parts.append(_reveal(wall, opening, reveal, material))
        at = opening.end
    parts.append(panel(at, wall.length, 0, height))
    return merge(parts)


def _reveal(wall: Wall, opening: Opening, depth: float, material: Material) -> Mesh:
    """The four faces of an opening through the wall."""
    a, b = wall.point(opening.start), wall.point(opening.end)
    out = -wall.inward * depth
    tall, wide = opening.high - opening.low, (b - a)
    return merge(
        [
            quad((*a, opening.low), (*out, 0), (0, 0, tall), material),
            quad((*(b + out), opening.low), (*-out, 0), (0, 0, tall), material),
            quad((*(b + out), opening.high), (*-out, 0), (*-wide, 0), material),
            quad((*(a + out), opening.low), (*-out, 0), (*wide, 0), material),
        ]
    )


def build_shell(
    rng: Generator, room: SceneBuilder, walls: list[Wall], *, night: bool, wet: bool
) -> None:
    """Put the shell with windows and doors into the room.

    Args:
        rng: Source of randomness.
        room: Builder to add the parts to, and the light that comes through the windows.
        walls: Walls with their openings.
        night: Whether it is dark outside.
        wet: Whether it is a bathroom or kitchen.
    """
    x, y, height = room.size
    reveal = rng.uniform(0.08, 0.28)
    floor = texture.floor_material(rng, wet)
    paint = Material(
        (1, 1, 1),
        texture.plaster(rng, texture.hsv(0.1, rng.uniform(0, 0.06), rng.uniform(0.82, 0.97))),
        2.0,
    )
    common = texture.wall_material(rng, wet)
    accent = int(rng.integers(len(walls))) if rng.random() < 0.35 else -1
    skirting = texture.wood_material(rng) if rng.random() < 0.5 else Material((0.75, 0.75, 0.73))
    board = rng.uniform(0.04, 0.14) if rng.random() < 0.75 and not wet else 0.0
    cornice = rng.uniform(0.04, 0.12) if rng.random() < 0.25 else 0.0
    for rectangle in _floor_rectangles(room):
        x0, y0, x1, y1 = rectangle
        room_floor = quad((x0, y0, 0), (x1 - x0, 0, 0), (0, y1 - y0, 0), floor)
        room.add(room_floor, "floor", "floor")
        room.add(
            quad((x0, y1, height), (x1 - x0, 0, 0), (0, y0 - y1, 0), paint), "ceiling", "ceiling"
        )
    for number, wall in enumerate(walls):
        material = texture.wall_material(rng, wet) if number == accent else common
        parts = [_wall_mesh(wall, height, reveal, material)]
        parts += _strips(wall, 0.0, board, skirting)
        if cornice:
            parts.append(
                _strip(
                    wall, 0, wall.length, height - cornice, cornice, Material((0.78, 0.78, 0.76))
                )
            )
        room.add(merge(parts), "wall", "wall")
        for opening in wall.openings:
            _fit_opening(rng, room, wall, opening, reveal, night=night)
    if rng.random() < 0.12:  # beams
        beam = texture.wood_material(rng) if rng.random() < 0.6 else paint
        for place in np.arange(0.6, x - 0.3, rng.uniform(0.7, 1.4)):
            limit = y if room.notch is None or place < room.notch[0] else room.notch[1]
            room.add(
                box((0.16, limit, 0.18), beam, (place, limit / 2, height - 0.18), faces="xXz"),
                "ceiling",
                "beam",
            )


def _floor_rectangles(room: SceneBuilder) -> list[tuple[float, float, float, float]]:
    x, y, _ = room.size
    if room.notch is None:
        return [(0, 0, x, y)]
    return [(0, 0, x, room.notch[1]), (0, room.notch[1], room.notch[0], y)]


def _strip(wall: Wall, a: float, b: float, low: float, high: float, material: Material) -> Mesh:
    middle = wall.point((a + b) / 2, 0.008)
    return box((b - a, 0.016, high), material).transformed((*middle, low), wall.yaw)


def _strips(wall: Wall, low: float, high: float, material: Material) -> list[Mesh]:
    """Skirting boards between the doors."""
    if high <= 0:
        return []
    doors = sorted((o for o in wall.openings if o.low < high), key=lambda o: o.start)
    edges = [0.0, *(value for o in doors for value in (o.start - 0.1, o.end + 0.1)), wall.length]
    pairs = zip(edges[::2], edges[1::2], strict=True)
    return [_strip(wall, a, b, low, high, material) for a, b in pairs if b - a > 0.05]


def _fit_opening(
    rng: Generator, room: SceneBuilder, wall: Wall, opening: Opening, reveal: float, *, night: bool
) -> None:
    """The window or door itself, the light through it, and the corridor behind an open door."""
    width, height = opening.end - opening.start, opening.high - opening.low
    middle = wall.point((opening.start + opening.end) / 2)
    place = (middle[0], middle[1], opening.low)
    if opening.kind == "window":
        mesh = openings.window(rng, width, height, reveal)
        room.add(mesh.transformed(place, wall.yaw), "window", "window", yaw=wall.yaw)
        sky = room.environment[:64].mean(axis=(0, 1))
        ceiling = room.size[2] - opening.low
        cover = openings.dressing(rng, width, height, -opening.low, ceiling, as_color(0.35 * sky))
        if cover is not None:
            room.add(cover.transformed(place, wall.yaw), "window", "curtain", yaw=wall.yaw)
        if not night:
            _portal(room, wall, opening, reveal)
        return
    mesh, seen = openings.door(rng, width, height, reveal)
    glazed = any(material.transmission > 0 for material in mesh.materials)
    name = "glass door" if glazed else "door"
    room.add(mesh.transformed(place, wall.yaw), "door", name, yaw=wall.yaw)
    if seen and rng.random() < 0.35:
        if not night:
            _portal(room, wall, opening, reveal)
    elif seen:
        _corridor(rng, room, wall, opening, reveal)


def _portal(room: SceneBuilder, wall: Wall, opening: Opening, reveal: float) -> None:
    """The sky as seen through an opening, as a light in its outer plane."""
    start, end = wall.point(opening.start, -reveal), wall.point(opening.end, -reveal)
    sky = room.environment[:64].mean(axis=(0, 1)).astype(np.float64)
    room.lights.append(
        AreaLight(
            np.array([*end, opening.low]),
            np.array([*(start - end), 0.0]),
            np.array([0.0, 0.0, opening.high - opening.low]),
            sky,
        )
    )


def _corridor(
    rng: Generator, room: SceneBuilder, wall: Wall, opening: Opening, reveal: float
) -> None:
    """A lit box behind an open or glazed door."""
    depth, side, height = (
        rng.uniform(1.2, 4.0),
        rng.uniform(0.1, 1.5),
        opening.high + rng.uniform(0.1, 0.5),
    )
    a, b = opening.start - side, opening.end + side
    paint = texture.wall_material(rng, False)
    near, far = -reveal, -reveal - depth
    p = {(s, o): wall.point(s, o) for s in (a, b) for o in (near, far)}
    up = (0.0, 0.0, height)

    def step(start: tuple[float, float], end: tuple[float, float]) -> tuple[float, float, float]:
        delta = p[end] - p[start]
        return (float(delta[0]), float(delta[1]), 0.0)

    sides = [
        quad((*p[b, far], 0), step((b, far), (a, far)), up, paint),
        quad((*p[a, far], 0), step((a, far), (a, near)), up, paint),
        quad((*p[b, near], 0), step((b, near), (b, far)), up, paint),
    ]
    # the back of our own wall, seen only by light
    for s0, s1, low, high in (
        (a, opening.start, 0, height),
        (opening.end, b, 0, height),
        (opening.start, opening.end, opening.high, height),
    ):
        q0, q1 = wall.point(s0, near), wall.point(s1, near)
        sides.append(quad((*q0, low), (*(q1 - q0), 0), (0, 0, high - low), paint))
    room.add(merge(sides), "wall", "wall")
    floor = texture.floor_material(rng, False)
    room.add(
        quad((*p[a, far], 0), step((a, far), (b, far)), step((a, far), (a, near)), floor),
        "floor",
        "floor",
    )
    top = quad(
        (*p[a, near], height),
        step((a, near), (b, near)),
        step((a, near), (a, far)),
        Material((0.8, 0.8, 0.8)),
    )
    room.add(top, "ceiling", "ceiling")
    middle = wall.point((a + b) / 2, (near + far) / 2)
    bright = rng.uniform(4.0, 40.0) * np.array([1.0, 0.95, 0.85])
    room.lights.append(
        AreaLight(
            np.array([middle[0] - 0.2, middle[1] + 0.2, height - 0.02]),
            np.array([0.4, 0, 0]),
            np.array([0, -0.4, 0.0]),
            bright,
        )
    )

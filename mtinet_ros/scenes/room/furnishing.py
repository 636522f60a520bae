# SPDX-License-Identifier: Apache-2.0
"""Groups of furniture: a bed with its night stands, a desk with its chair, a TV corner."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mtinet_ros.scenes.assets import made_furniture as furniture
from mtinet_ros.scenes.assets import made_objects as objects
from mtinet_ros.scenes.assets.stock import Piece
from mtinet_ros.scenes.geometry.mesh import Mesh, as_color, merge
from mtinet_ros.scenes.geometry.scene import AreaLight, Instance, SceneBuilder
from mtinet_ros.scenes.room.layout import Layout
from mtinet_ros.scenes.room.shell import Wall


def bookcase(layout: Layout) -> None:
    """A bookcase: a catalog model, or a generated one with books."""
    rng = layout.rng
    if rng.random() < 0.35:
        placement = layout.place_at_wall(layout.stock.piece("bookcase"), gap=0.01)
        if placement is not None and placement.instance.high[2] < 1.7:
            layout.place_on_top(
                placement.instance, ["ornament", "small_plant"], int(rng.integers(0, 3))
            )
        return
    size = (rng.uniform(0.5, 2.0), rng.uniform(0.24, 0.38), rng.uniform(0.7, 2.2))
    case, content = furniture.shelf(rng, *size)
    placement = layout.place_at_wall(Piece(case, "furniture", "bookcase"), gap=0.01)
    if placement is not None and content is not None:
        wall, at = placement.wall, placement.position
        place = wall.point(at, 0.01 + size[1] / 2)
        layout.room.add(
            content.transformed((*place, 0), wall.yaw), "object", "books", yaw=wall.yaw
        )


def television(layout: Layout, *, facing: Instance | None = None) -> None:
    """A TV on a cabinet or on a wall, if possible opposite to the object `facing` it."""
    wall = None
    if facing is not None:
        direction = np.array([np.sin(facing.yaw), -np.cos(facing.yaw)])
        opposite = [w for w in layout.walls if w.inward @ direction < -0.9]
        wall = opposite[0] if opposite else None
    near = None
    if wall is not None and facing is not None:
        middle = (np.array(facing.low[:2]) + np.array(facing.high[:2])) / 2
        near = float((middle - wall.origin) @ wall.along)
    if layout.rng.random() < 0.45:
        piece = layout.stock.piece("wall_tv")
        if piece is not None:
            low = float(layout.rng.uniform(0.75, 1.5))
            if layout.hang(piece, low, wall=wall, near=near) or layout.hang(piece, low):
                return
    stand = layout.stock.piece("tv_stand")
    placement = layout.place_at_wall(stand, wall=wall, near=near) or layout.place_at_wall(stand)
    if placement is None:
        piece = layout.stock.piece("wall_tv")
        if piece is not None:
            layout.hang(piece, 1.2)
        return
    screen = layout.stock.piece("tv")
    instance = placement.instance
    if screen is not None and instance.high[2] < 1.2:
        layout.place_on_center(instance, screen, shift=float(layout.rng.normal(0, 0.05)))
        layout.place_on_top(instance, ["ornament", "small_plant"], int(layout.rng.integers(0, 3)))


def wall_pictures(layout: Layout, low: int, high: int) -> None:
    """Pictures, sometimes a group or a mirror, at eye height."""
    rng = layout.rng
    for _ in range(int(rng.integers(low, high + 1))):
        width, height = rng.uniform(0.2, 1.2), rng.uniform(0.2, 0.9)
        piece = Piece(objects.framed(rng, width, height), "picture", "picture")
        lower = rng.uniform(1.1, 1.75)
        instance = layout.hang(piece, lower)
        if instance is not None and width < 0.5 and rng.random() < 0.4:
            for _ in range(int(rng.integers(1, 4))):
                twin = Piece(objects.framed(rng, width, height), "picture", "picture")
                wall = next(w for w in layout.walls if abs(w.yaw - instance.yaw) < 1e-6)
                middle = (np.array(instance.low[:2]) + np.array(instance.high[:2])) / 2
                at = float((middle - wall.origin) @ wall.along) + (width + 0.08) * rng.choice(
                    [-1, 1]
                )
                layout.hang(twin, lower, wall=wall, near=at)
    if rng.random() < 0.2:
        glass = objects.mirror(rng, rng.uniform(0.35, 0.9), rng.uniform(0.5, 1.5))
        layout.hang(Piece(glass, "object", "mirror"), rng.uniform(0.5, 1.2))
    if rng.random() < 0.3:
        wall_thing = layout.stock.piece("wall_object")
        if wall_thing is not None:
            layout.hang(wall_thing, rng.uniform(1.3, 1.9))


def rug(layout: Layout, *, under: Instance | None = None) -> None:
    """A rug at a random position, or under and in front of an object."""
    rng = layout.rng
    x, y, _ = layout.room.size
    limit_y = y if layout.room.notch is None else layout.room.notch[1]
    w, d = rng.uniform(0.8, min(3.0, x * 0.7)), rng.uniform(0.6, min(2.4, limit_y * 0.7))
    at = np.array([x, limit_y]) * rng.uniform(0.3, 0.7, 2)
    if under is not None:
        facing = np.array([np.sin(under.yaw), -np.cos(under.yaw)])
        at = (np.array(under.low[:2]) + np.array(under.high[:2])) / 2 + facing * rng.uniform(
            0, 1.0
        )
    at = np.clip(at, (w / 2 + 0.05, d / 2 + 0.05), (x - w / 2 - 0.05, limit_y - d / 2 - 0.05))
    layout.room.add(objects.rug(rng, w, d).transformed((*at, 0.001)), "floor", "rug")


def lamp(layout: Layout, instance: Instance | None = None) -> None:
    """A standing lamp at a wall, or a table lamp on an object; perhaps lit."""
    rng = layout.rng
    height = rng.uniform(1.3, 1.8) if instance is None else rng.uniform(0.3, 0.6)
    foot, shade = objects.standing_lamp(rng, height)
    lit = bool(rng.random() < 0.5)
    power = float(rng.uniform(1.5, 6.0))
    tint = np.array([1.0, rng.uniform(0.75, 0.9), rng.uniform(0.45, 0.75)])
    if lit:
        material = shade.materials[0]
        emission = as_color(tint * power * np.array(material.color))
        shade = Mesh(
            shade.corners,
            shade.uv,
            shade.normals,
            shade.material,
            (replace(material, emission=emission),),
        )
    piece = Piece(merge([foot, shade]), "object", "lamp")
    if instance is None:
        placement = layout.place_at_wall(piece, gap=0.1)
        placed = None if placement is None else placement.instance
    else:
        aside = float(rng.uniform(-0.1, 0.1) * (instance.high[0] - instance.low[0]))
        placed = layout.place_on_center(instance, piece, shift=aside)
    if placed is not None and lit:
        _add_lamp_lights(layout.room, placed, shade, tint * power)


def _add_lamp_lights(
    room: SceneBuilder, lamp: Instance, shade: Mesh, radiance: NDArray[np.float64]
) -> None:
    """Add the area lights at the open ends of a shade."""
    low, high = (bound.astype(np.float64) for bound in shade.bounds())
    x, y = (lamp.low[0] + lamp.high[0]) / 2, (lamp.low[1] + lamp.high[1]) / 2
    side = 0.7 * (high[0] - low[0])
    for z, sign in ((high[2] + 0.01, 1.0), (low[2] - 0.01, -1.0)):
        corner = np.array([x - side / 2, y - sign * side / 2, lamp.low[2] + z])
        along, up = np.array([side, 0, 0]), np.array([0, sign * side, 0])
        room.lights.append(AreaLight(corner, along, up, radiance * 4))


def clutter(layout: Layout, count: int) -> None:
    """Small objects on the floor, a plant, a person."""
    for _ in range(count):
        piece = layout.stock.piece("floor_clutter")
        if layout.rng.random() < 0.6:
            layout.place_at_wall(piece, gap=0.05)
        else:
            layout.place_freely(piece)
    if layout.rng.random() < 0.4:
        layout.place_at_wall(layout.stock.piece("plant"), gap=0.08)
    if layout.rng.random() < 0.1:
        layout.place_freely(layout.stock.piece("person"))
    if layout.rng.random() < 0.5:
        layout.place_at_wall(layout.stock.piece("radiator"), gap=0.0)
    if layout.rng.random() < 0.07:
        layout.place_at_wall(layout.stock.piece("rack"), gap=0.05)


def sleeping_place(layout: Layout, role: str) -> Instance | None:
    """A bed with its head to a wall, night stands and lamps beside it."""
    rng = layout.rng
    placement = None
    for front in (0.6, 0.4, 0.2):
        placement = placement or layout.place_at_wall(
            layout.stock.piece(role), gap=0.03, front=front
        )
    if placement is None:
        return None
    bed, wall, at = placement.instance, placement.wall, placement.position
    half = (np.array(bed.high) - np.array(bed.low))[:2] @ np.abs(wall.along) / 2
    cupboards = rng.random() < 0.12
    for side in (-1, 1):
        if cupboards:
            width, deep = rng.uniform(0.35, 0.6, 2)
            tall = furniture.cabinet(rng, width, deep, rng.uniform(1.8, 2.25))
            layout.place_at_wall(
                Piece(tall, "furniture", "cupboard"),
                wall=wall,
                near=at + side * (half + width / 2 + 0.04),
            )
        elif rng.random() < 0.65:
            stand = layout.stock.piece("bedside")
            if stand is not None:
                near = at + side * (half + float(stand.size[0]) / 2 + 0.06)
                placed = layout.place_at_wall(stand, wall=wall, near=near)
                if placed is not None:
                    if rng.random() < 0.5:
                        lamp(layout, placed.instance)
                    layout.place_on_top(
                        placed.instance,
                        ["ornament", "table_lamp", "desk_clutter"],
                        int(rng.integers(0, 3)),
                    )
    if rng.random() < 0.15:
        glass = objects.mirror(rng, half * rng.uniform(1.0, 2.0), rng.uniform(0.7, 1.3))
        layout.hang(Piece(glass, "object", "mirror"), bed.high[2] + 0.05, wall=wall, near=at)
    elif rng.random() < 0.5:
        picture_above(layout, wall, at, bed.high[2])
    if rng.random() < 0.35:
        heap = Piece(objects.cloth_heap(rng), "object", "clothes")
        layout.place_on_surface(
            heap, np.array(bed.low), np.array(bed.high), bed.high[2] * 0.62, [], bed.yaw
        )
    return bed


def picture_above(layout: Layout, wall: Wall, at: float, top: float) -> None:
    """A picture over a bed or sofa that ends at the height `top`."""
    rng = layout.rng
    piece = Piece(
        objects.framed(rng, rng.uniform(0.4, 1.3), rng.uniform(0.35, 0.8)), "picture", "picture"
    )
    layout.hang(piece, max(1.25, top + rng.uniform(0.15, 0.4)), wall=wall, near=at)


def dining_place(layout: Layout) -> None:
    """A table, somewhat in the middle, with chairs around it and things on it."""
    rng = layout.rng
    table = layout.place_freely(
        layout.stock.piece("dining_table"),
        margin=0.35,
        center=rng.random() < 0.6,
        square=rng.random() < 0.85,
    )
    if table is None:
        table = layout.place_freely(layout.stock.piece("small_table"), margin=0.3)
    if table is not None:
        layout.place_on_top(
            table, ["tableware", "tableware", "small_plant", "ornament"], int(rng.integers(0, 8))
        )
        layout.place_seats(table, "chair", int(rng.integers(1, 9)))


def kitchen_units(layout: Layout, wall: Wall) -> None:
    """A row of units under one worktop, with things on it and cupboards above it."""
    rng = layout.rng
    deep, tall = 0.6, rng.uniform(0.84, 0.9)
    length = rng.uniform(1.2, min(4.0, wall.length - 0.1)) if wall.length > 1.4 else 1.2
    for _ in range(3):
        mesh = merge(
            [
                furniture.cabinet(rng, length, deep, tall),
                furniture.worktop(rng, length + 0.02, deep + 0.03).transformed((0, 0, tall)),
                *furniture.hob_and_sink(rng, length, tall + 0.05),
            ]
        )
        placement = layout.place_at_wall(
            Piece(mesh, "furniture", "kitchen units"), wall=wall, gap=0.0, front=0.4
        )
        if placement is not None:
            break
        length *= 0.65
    else:
        layout.place_at_wall(layout.stock.piece("kitchen_base"), wall=wall, front=0.3)
        return
    units, at = placement.instance, placement.position
    if rng.random() < 0.8:
        width = length * rng.uniform(0.4, 1.0)
        top = Piece(
            furniture.cabinet(rng, width, 0.34, rng.uniform(0.55, 0.8)),
            "furniture",
            "wall cupboard",
        )
        layout.place_at_wall(
            top,
            wall=wall,
            near=at + rng.uniform(-0.5, 0.5) * (length - width),
            gap=0.0,
            elevation=rng.uniform(1.38, 1.5),
        )
    else:
        role = "kitchen_top" if rng.random() < 0.5 else "hood"
        layout.place_at_wall(layout.stock.piece(role), wall=wall, near=at, gap=0.0, elevation=1.45)
    layout.place_on_top(
        units, ["kitchenware", "kitchenware", "tableware", "small_plant"], int(rng.integers(2, 9))
    )


def work_place(layout: Layout) -> None:
    """A desk at a wall with screens, keyboard, papers and a chair before it."""
    rng = layout.rng
    piece = layout.stock.piece("desk")
    placement = layout.place_at_wall(piece, gap=0.03, front=0.7)
    if placement is None:
        return
    desk = placement.instance
    chair = layout.stock.piece("office_chair" if rng.random() < 0.7 else "chair")
    layout.place_in_front(
        desk,
        chair,
        float(rng.uniform(0.3, 0.6)),
        aside=float(rng.normal(0, 0.15)),
        turn=float(rng.normal(0, 0.5)),
    )
    if piece is None or desk.high[2] > 1.1:
        return
    count = int(rng.choice([0, 1, 1, 2]))
    for place in range(count):
        layout.place_on_center(
            desk, layout.stock.piece("computer"), shift=(place - (count - 1) / 2) * 0.68, back=0.12
        )
    if count:
        layout.place_on_center(
            desk, Piece(objects.keyboard(rng), "object", "keyboard"), back=-0.15
        )
    if rng.random() < 0.4:
        layout.place_on_top(desk, ["laptop"], 1)
    layout.place_on_top(
        desk,
        ["desk_clutter", "desk_clutter", "tableware", "table_lamp", "ornament"],
        int(rng.integers(1, 7)),
    )

# SPDX-License-Identifier: Apache-2.0
"""Seven kinds of rooms: what stands where, and how they are lit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mtinet_ros.scenes import made_furniture as furniture
from mtinet_ros.scenes import made_objects as objects
from mtinet_ros.scenes import pictures
from mtinet_ros.scenes.catalogue import Model
from mtinet_ros.scenes.layout import Layout
from mtinet_ros.scenes.mesh import Mesh, joined
from mtinet_ros.scenes.scene import AreaLight, Instance, Scene, SceneBuilder, Sun
from mtinet_ros.scenes.shell import Wall, build_shell, cut_openings, walls_of
from mtinet_ros.scenes.stock import ModelCache, Piece, Stock
from mtinet_ros.scenes.texture import Generator


@dataclass(frozen=True)
class Kind:
    """One kind of room: its extent in metres, how wet it is, and who furnishes it."""

    shorter: tuple[float, float]
    longer: tuple[float, float]
    wet: bool
    furnish: Callable[[Layout], None]


def _maybe(layout: Layout, chance: float) -> bool:
    return bool(layout.rng.random() < chance)


def _shelf(layout: Layout) -> None:
    """A bookcase: from the catalogue, or made and filled."""
    rng = layout.rng
    if rng.random() < 0.35:
        found = layout.wall_piece(layout.stock.piece("bookcase"), gap=0.01)
        if found is not None and found[0].high[2] < 1.7:
            layout.on_top(found[0], ["ornament", "small_plant"], int(rng.integers(0, 3)))
        return
    size = (rng.uniform(0.5, 2.0), rng.uniform(0.24, 0.38), rng.uniform(0.7, 2.2))
    case, content = furniture.shelf(rng, *size)
    found = layout.wall_piece(Piece(case, "furniture", "bookcase"), gap=0.01)
    if found is not None and content is not None:
        thing, wall, at = found
        place = wall.point(at, 0.01 + size[1] / 2)
        layout.room.add(content.moved((*place, 0), wall.yaw), "object", "books", yaw=wall.yaw)


def _television(layout: Layout, *, facing: Instance | None = None) -> None:
    """A TV on a cabinet, or hung; opposite to something if possible."""
    wall = None
    if facing is not None:
        direction = np.array([np.sin(facing.yaw), -np.cos(facing.yaw)])
        opposite = [w for w in layout.walls if w.inward @ direction < -0.9]
        wall = opposite[0] if opposite else None
    near = None
    if wall is not None and facing is not None:
        middle = (np.array(facing.low[:2]) + np.array(facing.high[:2])) / 2
        near = float((middle - wall.origin) @ wall.along)
    if _maybe(layout, 0.45):
        piece = layout.stock.piece("wall_tv")
        if piece is not None:
            low = float(layout.rng.uniform(0.75, 1.5))
            if layout.hang(piece, low, wall=wall, near=near) or layout.hang(piece, low):
                return
    stand = layout.stock.piece("tv_stand")
    found = layout.wall_piece(stand, wall=wall, near=near) or layout.wall_piece(stand)
    if found is None:
        piece = layout.stock.piece("wall_tv")
        if piece is not None:
            layout.hang(piece, 1.2)
        return
    screen = layout.stock.piece("tv")
    thing = found[0]
    if screen is not None and thing.high[2] < 1.2:
        layout.top_centre(thing, screen, shift=float(layout.rng.normal(0, 0.05)))
        layout.on_top(thing, ["ornament", "small_plant"], int(layout.rng.integers(0, 3)))


def _pictures(layout: Layout, low: int, high: int) -> None:
    """Pictures, sometimes a group or a mirror, at eye height."""
    rng = layout.rng
    for _ in range(int(rng.integers(low, high + 1))):
        width, height = rng.uniform(0.2, 1.2), rng.uniform(0.2, 0.9)
        piece = Piece(objects.framed(rng, width, height), "picture", "picture")
        lower = rng.uniform(1.1, 1.75)
        thing = layout.hang(piece, lower)
        if thing is not None and width < 0.5 and rng.random() < 0.4:
            for _ in range(int(rng.integers(1, 4))):
                twin = Piece(objects.framed(rng, width, height), "picture", "picture")
                wall = next(w for w in layout.walls if abs(w.yaw - thing.yaw) < 1e-6)
                middle = (np.array(thing.low[:2]) + np.array(thing.high[:2])) / 2
                at = float((middle - wall.origin) @ wall.along) + (width + 0.08) * rng.choice([-1, 1])
                layout.hang(twin, lower, wall=wall, near=at)
    if rng.random() < 0.2:
        glass = objects.mirror(rng, rng.uniform(0.35, 0.9), rng.uniform(0.5, 1.5))
        layout.hang(Piece(glass, "object", "mirror"), rng.uniform(0.5, 1.2))
    if rng.random() < 0.3:
        wall_thing = layout.stock.piece("wall_object")
        if wall_thing is not None:
            layout.hang(wall_thing, rng.uniform(1.3, 1.9))


def _rug(layout: Layout, *, under: Instance | None = None) -> None:
    """A rug somewhere, or under and before a thing."""
    rng = layout.rng
    x, y, _ = layout.room.size
    limit_y = y if layout.room.notch is None else layout.room.notch[1]
    w, d = rng.uniform(0.8, min(3.0, x * 0.7)), rng.uniform(0.6, min(2.4, limit_y * 0.7))
    at = np.array([x, limit_y]) * rng.uniform(0.3, 0.7, 2)
    if under is not None:
        facing = np.array([np.sin(under.yaw), -np.cos(under.yaw)])
        at = (np.array(under.low[:2]) + np.array(under.high[:2])) / 2 + facing * rng.uniform(0, 1.0)
    at = np.clip(at, (w / 2 + 0.05, d / 2 + 0.05), (x - w / 2 - 0.05, limit_y - d / 2 - 0.05))
    layout.room.add(objects.rug(rng, w, d).moved((*at, 0.001)), "floor", "rug")


def _lamp(layout: Layout, thing: Instance | None = None) -> None:
    """A standing lamp in a corner, or a table lamp on a thing; perhaps lit."""
    rng = layout.rng
    height = rng.uniform(1.3, 1.8) if thing is None else rng.uniform(0.3, 0.6)
    foot, shade = objects.standing_lamp(rng, height)
    lit = bool(rng.random() < 0.5)
    power = float(rng.uniform(1.5, 6.0))
    tint = np.array([1.0, rng.uniform(0.75, 0.9), rng.uniform(0.45, 0.75)])
    if lit:
        material = shade.materials[0]
        glow = tuple(float(v) for v in tint * power * np.array(material.colour))
        shade = Mesh(
            shade.corners, shade.uv, shade.normals, shade.material,
            (replace(material, glow=glow),),  # type: ignore[arg-type]
        )
    piece = Piece(joined([foot, shade]), "object", "lamp")
    if thing is None:
        found = layout.wall_piece(piece, gap=0.1)
        placed = None if found is None else found[0]
    else:
        aside = float(rng.uniform(-0.1, 0.1) * (thing.high[0] - thing.low[0]))
        placed = layout.top_centre(thing, piece, shift=aside)
    if placed is not None and lit:
        _shine(layout.room, placed, shade, tint * power)


def _shine(room: SceneBuilder, lamp: Instance, shade: Mesh, radiance: NDArray[np.float64]) -> None:
    """The light that leaves a shade through its open ends."""
    low, high = (bound.astype(np.float64) for bound in shade.bounds())
    x, y = (lamp.low[0] + lamp.high[0]) / 2, (lamp.low[1] + lamp.high[1]) / 2
    side = 0.7 * (high[0] - low[0])
    for z, sign in ((high[2] + 0.01, 1.0), (low[2] - 0.01, -1.0)):
        corner = np.array([x - side / 2, y - sign * side / 2, lamp.low[2] + z])
        along, up = np.array([side, 0, 0]), np.array([0, sign * side, 0])
        room.lights.append(AreaLight(corner, along, up, radiance * 4))


def _clutter(layout: Layout, count: int) -> None:
    """Things on the floor, a person, a plant."""
    for _ in range(count):
        piece = layout.stock.piece("floor_clutter")
        if _maybe(layout, 0.6):
            layout.wall_piece(piece, gap=0.05)
        else:
            layout.free_piece(piece)
    if _maybe(layout, 0.4):
        layout.wall_piece(layout.stock.piece("plant"), gap=0.08)
    if _maybe(layout, 0.1):
        layout.free_piece(layout.stock.piece("person"))
    if _maybe(layout, 0.5):
        layout.wall_piece(layout.stock.piece("radiator"), gap=0.0)


def _sleeping(layout: Layout, role: str) -> Instance | None:
    """A bed with its head to a wall, night stands and lamps beside it."""
    rng = layout.rng
    found = None
    for front in (0.6, 0.4, 0.2):
        found = found or layout.wall_piece(layout.stock.piece(role), gap=0.03, front=front)
    if found is None:
        return None
    bed, wall, at = found
    half = (np.array(bed.high) - np.array(bed.low))[:2] @ np.abs(wall.along) / 2
    for side in (-1, 1):
        if rng.random() < 0.65:
            stand = layout.stock.piece("bedside")
            if stand is not None:
                near = at + side * (half + float(stand.size[0]) / 2 + 0.06)
                placed = layout.wall_piece(stand, wall=wall, near=near)
                if placed is not None:
                    if rng.random() < 0.5:
                        _lamp(layout, placed[0])
                    layout.on_top(placed[0], ["ornament", "table_lamp", "desk_clutter"], int(rng.integers(0, 3)))
    if rng.random() < 0.5:
        _hang_above(layout, wall, at, bed.high[2])
    if rng.random() < 0.35:
        heap = Piece(objects.cloth_heap(rng), "object", "clothes")
        layout.stand_on(heap, np.array(bed.low), np.array(bed.high), bed.high[2] * 0.62, [], bed.yaw)
    return bed


def _hang_above(layout: Layout, wall: Wall, at: float, top: float) -> None:
    rng = layout.rng
    piece = Piece(objects.framed(rng, rng.uniform(0.4, 1.3), rng.uniform(0.35, 0.8)), "picture", "picture")
    layout.hang(piece, max(1.25, top + rng.uniform(0.15, 0.4)), wall=wall, near=at)


def bedroom(layout: Layout) -> None:
    """Bed, night stands, wardrobe, dresser, sometimes a desk, a TV, a crib."""
    rng = layout.rng
    bed = _sleeping(layout, "bed" if rng.random() < 0.7 else "single_bed")
    if bed is None:
        bed = _sleeping(layout, "single_bed")
    if rng.random() < 0.6:
        _rug(layout, under=bed)
    if rng.random() < 0.15:
        layout.wall_piece(layout.stock.piece("crib" if rng.random() < 0.4 else "single_bed"), gap=0.05)
    if rng.random() < 0.8:
        layout.wall_piece(layout.stock.piece("wardrobe"), front=0.3)
    if rng.random() < 0.6:
        found = layout.wall_piece(layout.stock.piece("dresser"), front=0.3)
        if found is not None and found[0].high[2] < 1.3:
            layout.on_top(found[0], ["ornament", "table_lamp", "bath_clutter", "small_plant"], int(rng.integers(1, 5)))
    if rng.random() < 0.45:
        _television(layout, facing=bed)
    if rng.random() < 0.4:
        _work_place(layout)
    if rng.random() < 0.3:
        layout.free_piece(layout.stock.piece("armchair"))
    if rng.random() < 0.3:
        _shelf(layout)
    _clutter(layout, int(rng.integers(1, 5)))


def living_room(layout: Layout) -> None:
    """Sofa before a TV, coffee table, armchairs, shelves, sometimes a fireplace or piano."""
    rng = layout.rng
    found = layout.wall_piece(layout.stock.piece("sofa" if rng.random() < 0.75 else "corner_sofa"), gap=0.05, front=1.0)
    sofa = None if found is None else found[0]
    if sofa is not None:
        coffee = layout.before(sofa, layout.stock.piece("coffee_table"), 0.65) if rng.random() < 0.75 else None
        if coffee is not None:
            layout.on_top(coffee, ["ornament", "tableware", "desk_clutter", "small_plant"], int(rng.integers(0, 5)))
        if rng.random() < 0.5 and found is not None:
            _hang_above(layout, found[1], found[2], sofa.high[2])
        for side in (-1, 1):
            if rng.random() < 0.45:
                layout.before(sofa, layout.stock.piece("armchair"), 0.8, aside=side * 1.5, turn=side * 1.2)
    if rng.random() < 0.8:
        _rug(layout, under=sofa)
    if rng.random() < 0.85:
        _television(layout, facing=sofa)
    if rng.random() < 0.35:
        layout.free_piece(layout.stock.piece("sofa"), square=True)
    for _ in range(int(rng.integers(0, 3))):
        _shelf(layout)
    if rng.random() < 0.35:
        layout.wall_piece(layout.stock.piece("fireplace" if rng.random() < 0.6 else "piano"), front=0.4)
    if rng.random() < 0.35:
        _dining(layout)
    if rng.random() < 0.5:
        _lamp(layout)
    if rng.random() < 0.1:
        layout.free_piece(layout.stock.piece("game_table"))
    _clutter(layout, int(rng.integers(0, 4)))


def _dining(layout: Layout) -> None:
    rng = layout.rng
    table = layout.free_piece(layout.stock.piece("dining_table"), margin=0.35, centre=rng.random() < 0.6, square=rng.random() < 0.85)
    if table is None:
        table = layout.free_piece(layout.stock.piece("small_table"), margin=0.3)
    if table is not None:
        layout.on_top(table, ["tableware", "tableware", "small_plant", "ornament"], int(rng.integers(0, 8)))
        layout.seats(table, "chair", int(rng.integers(1, 9)))


def dining_room(layout: Layout) -> None:
    """A large table with chairs, a sideboard, a cupboard."""
    rng = layout.rng
    if rng.random() < 0.5:
        _rug(layout)
    _dining(layout)
    for _ in range(int(rng.integers(1, 3))):
        found = layout.wall_piece(layout.stock.piece("dresser"), front=0.3)
        if found is not None and found[0].high[2] < 1.3:
            layout.on_top(found[0], ["ornament", "tableware", "small_plant"], int(rng.integers(1, 6)))
    if rng.random() < 0.5:
        _shelf(layout)
    if rng.random() < 0.3:
        _television(layout)
    if rng.random() < 0.35:
        layout.free_piece(layout.stock.piece("small_table"))
    for _ in range(int(rng.integers(0, 3))):
        layout.wall_piece(layout.stock.piece("chair"), gap=0.05)
    _clutter(layout, int(rng.integers(0, 3)))


def kitchen(layout: Layout) -> None:
    """Units along one or two walls with worktop and wall cupboards, fridge, a table or an island."""
    rng = layout.rng
    order = rng.permutation(len(layout.walls))
    for number in order[: int(rng.integers(1, 3))]:
        _kitchen_run(layout, layout.walls[int(number)])
    layout.wall_piece(layout.stock.piece("fridge"), gap=0.03, front=0.4)
    if rng.random() < 0.7:
        layout.wall_piece(layout.stock.piece("stove"), gap=0.02, front=0.4)
    if rng.random() < 0.3:
        layout.free_piece(layout.stock.piece("island"), margin=0.5, centre=True, square=True)
    if rng.random() < 0.75:
        _dining(layout)
    for _ in range(int(rng.integers(0, 3))):
        layout.free_piece(layout.stock.piece("stool"))
    if rng.random() < 0.15:
        _television(layout)
    _clutter(layout, int(rng.integers(0, 3)))


def _kitchen_run(layout: Layout, wall: Wall) -> None:
    """A row of units under one worktop, with things on it and cupboards above it."""
    rng = layout.rng
    deep, tall = 0.6, rng.uniform(0.84, 0.9)
    length = rng.uniform(1.2, min(4.0, wall.length - 0.1)) if wall.length > 1.4 else 1.2
    for _ in range(3):
        mesh = joined(
            [
                furniture.cabinet(rng, length, deep, tall),
                furniture.worktop(rng, length + 0.02, deep + 0.03).moved((0, 0, tall)),
                *furniture.hob_and_sink(rng, length, tall + 0.05),
            ]
        )
        found = layout.wall_piece(Piece(mesh, "furniture", "kitchen units"), wall=wall, gap=0.0, front=0.4)
        if found is not None:
            break
        length *= 0.65
    else:
        layout.wall_piece(layout.stock.piece("kitchen_base"), wall=wall, front=0.3)
        return
    units, _, at = found
    if rng.random() < 0.8:
        width = length * rng.uniform(0.4, 1.0)
        top = Piece(furniture.cabinet(rng, width, 0.34, rng.uniform(0.55, 0.8)), "furniture", "wall cupboard")
        layout.wall_piece(top, wall=wall, near=at + rng.uniform(-0.5, 0.5) * (length - width), gap=0.0, elevation=rng.uniform(1.38, 1.5))
    else:
        layout.wall_piece(layout.stock.piece("kitchen_top"), wall=wall, near=at, gap=0.0)
    layout.on_top(units, ["kitchenware", "kitchenware", "tableware", "small_plant"], int(rng.integers(2, 9)))


def office(layout: Layout) -> None:
    """Desks with screens, office chairs, shelves, a whiteboard, cabinets."""
    rng = layout.rng
    for _ in range(int(rng.integers(1, 5))):
        _work_place(layout)
    for _ in range(int(rng.integers(1, 4))):
        _shelf(layout)
    if rng.random() < 0.6:
        board = objects.whiteboard(rng, rng.uniform(0.9, 2.2), rng.uniform(0.7, 1.2))
        layout.hang(Piece(board, "picture", "whiteboard"), rng.uniform(0.8, 1.1))
    if rng.random() < 0.4:
        _dining(layout)
    if rng.random() < 0.6:
        layout.wall_piece(layout.stock.piece("dresser"), front=0.3)
    if rng.random() < 0.2:
        _television(layout)
    if rng.random() < 0.15:
        layout.wall_piece(layout.stock.piece("sofa"))
    _clutter(layout, int(rng.integers(1, 4)))


def _work_place(layout: Layout) -> None:
    """A desk at a wall with screens, keyboard, papers and a chair before it."""
    rng = layout.rng
    piece = layout.stock.piece("desk")
    found = layout.wall_piece(piece, gap=0.03, front=0.7)
    if found is None:
        return
    desk = found[0]
    chair = layout.stock.piece("office_chair" if rng.random() < 0.7 else "chair")
    layout.before(desk, chair, float(rng.uniform(0.3, 0.6)), aside=float(rng.normal(0, 0.15)), turn=float(rng.normal(0, 0.5)))
    if piece is None or desk.high[2] > 1.1:
        return
    count = int(rng.choice([0, 1, 1, 2]))
    for place in range(count):
        layout.top_centre(desk, layout.stock.piece("computer"), shift=(place - (count - 1) / 2) * 0.68, back=0.12)
    if count:
        layout.top_centre(desk, Piece(objects.keyboard(rng), "object", "keyboard"), back=-0.15)
    if rng.random() < 0.4:
        layout.on_top(desk, ["laptop"], 1)
    layout.on_top(desk, ["desk_clutter", "desk_clutter", "tableware", "table_lamp", "ornament"], int(rng.integers(1, 7)))


def bathroom(layout: Layout) -> None:
    """Washbasin under a mirror, toilet, bath or shower, towels, washing machine."""
    rng = layout.rng
    found = layout.wall_piece(layout.stock.piece("washbasin" if rng.random() < 0.75 else "hung_basin"), gap=0.0, front=0.4)
    if found is not None:
        basin, wall, at = found
        if basin.high[2] < 1.2:
            glass = objects.mirror(rng, rng.uniform(0.4, 0.9), rng.uniform(0.5, 0.9))
            layout.hang(Piece(glass, "object", "mirror"), rng.uniform(1.15, 1.3), wall=wall, near=at)
    layout.wall_piece(layout.stock.piece("toilet"), gap=0.0, front=0.4)
    if rng.random() < 0.8:
        layout.wall_piece(layout.stock.piece("bath"), gap=0.01)
    if rng.random() < 0.4:
        layout.wall_piece(layout.stock.piece("washing_machine"), front=0.3)
    if rng.random() < 0.5:
        found = layout.wall_piece(layout.stock.piece("dresser" if rng.random() < 0.3 else "bedside"))
        if found is not None and found[0].high[2] < 1.2:
            layout.on_top(found[0], ["bath_clutter", "small_plant"], int(rng.integers(1, 5)))
    for _ in range(int(rng.integers(0, 4))):
        piece = layout.stock.piece("bath_wall")
        if piece is not None:
            layout.hang(piece, float(rng.uniform(0.6, 1.3)))
    if rng.random() < 0.5:
        _rug(layout)
    _clutter(layout, int(rng.integers(0, 3)))


def studio(layout: Layout) -> None:
    """One room to live in, or of a hotel: bed, sofa or armchair, table, desk, TV."""
    rng = layout.rng
    bed = _sleeping(layout, "bed" if rng.random() < 0.75 else "single_bed")
    if rng.random() < 0.25:
        _sleeping(layout, "single_bed")
    _television(layout, facing=bed)
    if rng.random() < 0.5:
        layout.wall_piece(layout.stock.piece("sofa"), gap=0.05, front=0.5)
    else:
        layout.wall_piece(layout.stock.piece("armchair"), gap=0.1)
    if rng.random() < 0.7:
        _work_place(layout)
    if rng.random() < 0.6:
        layout.wall_piece(layout.stock.piece("wardrobe"), front=0.3)
    if rng.random() < 0.4:
        _dining(layout)
    if rng.random() < 0.5:
        _rug(layout, under=bed)
    if rng.random() < 0.4:
        _lamp(layout)
    if rng.random() < 0.08:
        layout.free_piece(layout.stock.piece("gym"))
    _clutter(layout, int(rng.integers(0, 4)))


KINDS: dict[str, Kind] = {
    "bedroom": Kind((2.9, 4.4), (3.4, 5.4), False, bedroom),
    "living_room": Kind((3.4, 5.2), (4.2, 7.0), False, living_room),
    "kitchen": Kind((2.3, 4.0), (3.0, 5.5), True, kitchen),
    "dining_room": Kind((3.0, 4.4), (3.6, 6.0), False, dining_room),
    "office": Kind((2.8, 5.0), (3.6, 8.0), False, office),
    "bathroom": Kind((1.9, 2.9), (2.4, 4.0), True, bathroom),
    "studio": Kind((3.2, 4.6), (4.4, 6.8), False, studio),
}
# Beds, sofas and TVs fill fewer pixels than their share of life: more of the rooms that have them.
FREQUENCY = {
    "bedroom": 0.24,
    "living_room": 0.22,
    "kitchen": 0.1,
    "dining_room": 0.09,
    "office": 0.13,
    "bathroom": 0.06,
    "studio": 0.16,
}


def build_room(
    rng: Generator, models: dict[str, list[Model]], cache: ModelCache, kind: str | None = None
) -> tuple[Scene, list[Model]]:
    """A furnished and lit room.

    Args:
        rng: The only source of randomness.
        models: Usable models by role.
        cache: Loads them.
        kind: One of `KINDS`; None draws one by `FREQUENCY`.

    Returns:
        The scene and the models that were used in it.
    """
    if kind is None:
        kind = str(rng.choice(list(FREQUENCY), p=list(FREQUENCY.values())))
    plan = KINDS[kind]
    size = [float(rng.uniform(*plan.longer)), float(rng.uniform(*plan.shorter))]
    if rng.random() < 0.5:
        size.reverse()
    height = float(rng.uniform(2.3, 2.95) if rng.random() < 0.9 else rng.uniform(2.95, 3.6))
    notch = None
    if min(size) > 3.4 and rng.random() < 0.25:
        notch = (size[0] - rng.uniform(0.8, size[0] - 2.4), size[1] - rng.uniform(0.8, size[1] - 2.4), size[0], size[1])
    night = bool(rng.random() < 0.3)
    outside = pictures.outside(rng, night) * np.float32(rng.uniform(3.0, 9.0))
    room = SceneBuilder(kind, (size[0], size[1], height), notch, outside)
    walls = walls_of(room.size, notch)
    cut_openings(
        rng, walls, height, windows=int(rng.choice([0, 1, 2, 3], p=[0.15, 0.45, 0.3, 0.1])),
        doors=int(rng.choice([1, 2, 3], p=[0.45, 0.4, 0.15])),
    )
    build_shell(rng, room, walls, night=night, wet=plan.wet)
    stock = Stock(models, cache, rng)
    layout = Layout(room, walls, stock, rng)
    plan.furnish(layout)
    _pictures(layout, 0, 5)
    _ceiling_lights(rng, room, stock, night)
    windows = [wall for wall in walls for hole in wall.openings if hole.kind == "window"]
    if windows and not night and rng.random() < 0.4:
        room.sun = _sun(rng, windows[int(rng.integers(len(windows)))])
    return room.finished(), list(stock.used.values())


def _sun(rng: Generator, wall: Wall) -> Sun:
    """A sun that shines in through a wall's windows."""
    elevation, turn = rng.uniform(0.25, 0.95), rng.uniform(-0.9, 0.9)
    out = -wall.inward
    c, s = np.cos(turn), np.sin(turn)
    flat = np.array([c * out[0] - s * out[1], s * out[0] + c * out[1]])
    direction = np.array([*(flat * np.cos(elevation)), np.sin(elevation)])
    return Sun(direction, float(rng.uniform(8, 25)) * np.array([1.0, 0.92, 0.8]))


def _ceiling_lights(rng: Generator, room: SceneBuilder, stock: Stock, night: bool) -> None:
    """One lamp in the middle, a grid of panels, or spots; warm to cool; sometimes off by day."""
    x, y, height = room.size
    limit_y = y if room.notch is None else room.notch[1]
    on = night or bool(rng.random() < 0.65) or not room.lights
    warm = rng.uniform(0, 1)
    tint = np.array([1.0, 0.98 - 0.2 * warm, 0.97 - 0.45 * warm])
    panels = room.kind == "office" and rng.random() < 0.7
    rows, columns = (max(1, int(limit_y / 2.2)), max(1, int(x / 2.2))) if panels else (1, 1)
    if not panels and rng.random() < 0.3:
        rows, columns = 2, 2
    wide, deep = (0.6, 0.6) if panels else tuple(rng.uniform(0.12, 0.55, 2))
    # about the same light on the floor, whatever the size and number of the lamps
    power = float(rng.uniform(0.8, 2.2)) * x * limit_y / (rows * columns * wide * deep) / 3.0
    pendant = stock.piece("pendant") if rows * columns == 1 and rng.random() < 0.4 else None
    for row in range(rows):
        for column in range(columns):
            place = ((column + 0.5) * x / columns, (row + 0.5) * limit_y / rows)
            radiance = tint * power
            drop = 0.055
            if pendant is not None and pendant.size[2] < height - 1.7:
                drop = float(pendant.size[2]) + 0.01
                room.add(pendant.mesh.moved((*place, height - float(pendant.size[2]))), "object", "lamp", pendant.asset)
            else:
                body, face = objects.ceiling_fixture(rng, wide, deep)
                if on:
                    glow = tuple(float(v) for v in np.minimum(radiance, 12.0))
                    face = Mesh(face.corners, face.uv, face.normals, face.material, (replace(face.materials[0], glow=glow, lamp=True),))  # type: ignore[arg-type]
                room.add(joined([body, face]).moved((*place, height - 0.001)), "object", "ceiling light")
            if on:
                room.lights.append(
                    AreaLight(
                        np.array([place[0] - wide / 2, place[1] + deep / 2, height - drop]),
                        np.array([wide, 0, 0.0]),
                        np.array([0, -deep, 0.0]),
                        radiance,
                    )
                )

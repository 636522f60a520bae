# SPDX-License-Identifier: Apache-2.0
"""Seven kinds of rooms: their furniture and their light."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from mtinet_ros.scenes.assets import artwork
from mtinet_ros.scenes.assets import made_objects as objects
from mtinet_ros.scenes.assets.catalog import Model
from mtinet_ros.scenes.assets.stock import FurnitureStock, ModelCache, Piece
from mtinet_ros.scenes.assets.texture import Generator
from mtinet_ros.scenes.geometry.mesh import Mesh, as_color, merge
from mtinet_ros.scenes.geometry.scene import AreaLight, Scene, SceneBuilder, Sun
from mtinet_ros.scenes.room.furnishing import (
    bookcase,
    clutter,
    dining_place,
    kitchen_units,
    lamp,
    picture_above,
    rug,
    sleeping_place,
    television,
    wall_pictures,
    work_place,
)
from mtinet_ros.scenes.room.layout import Layout
from mtinet_ros.scenes.room.shell import Wall, build_shell, cut_openings, make_walls


@dataclass(frozen=True)
class RoomKind:
    """One kind of room.

    Attributes:
        shorter: Least and greatest length of the shorter side, metres.
        longer: Least and greatest length of the longer side, metres.
        wet: Whether floors and walls are tiled.
        furnish: Function that places the furniture.
    """

    shorter: tuple[float, float]
    longer: tuple[float, float]
    wet: bool
    furnish: Callable[[Layout], None]


def bedroom(layout: Layout) -> None:
    """Bed, night stands, wardrobe, dresser, sometimes a desk, a TV, a crib."""
    rng = layout.rng
    bed = sleeping_place(layout, "bed" if rng.random() < 0.7 else "single_bed")
    if bed is None:
        bed = sleeping_place(layout, "single_bed")
    if rng.random() < 0.6:
        rug(layout, under=bed)
    if rng.random() < 0.15:
        layout.place_at_wall(
            layout.stock.piece("crib" if rng.random() < 0.4 else "single_bed"), gap=0.05
        )
    if rng.random() < 0.8:
        layout.place_at_wall(layout.stock.piece("wardrobe"), front=0.3)
    if rng.random() < 0.6:
        placement = layout.place_at_wall(layout.stock.piece("dresser"), front=0.3)
        if placement is not None and placement.instance.high[2] < 1.3:
            layout.place_on_top(
                placement.instance,
                ["ornament", "table_lamp", "bath_clutter", "small_plant"],
                int(rng.integers(1, 5)),
            )
    if rng.random() < 0.45:
        television(layout, facing=bed)
    if rng.random() < 0.4:
        work_place(layout)
    if rng.random() < 0.3:
        layout.place_freely(layout.stock.piece("armchair"))
    if rng.random() < 0.15:
        layout.place_freely(layout.stock.piece("child_chair"))
    if rng.random() < 0.3:
        bookcase(layout)
    clutter(layout, int(rng.integers(1, 5)))


def living_room(layout: Layout) -> None:
    """Sofa before a TV, coffee table, armchairs, shelves, sometimes a fireplace or piano."""
    rng = layout.rng
    placement = layout.place_at_wall(
        layout.stock.piece("sofa" if rng.random() < 0.75 else "corner_sofa"), gap=0.05, front=1.0
    )
    sofa = None if placement is None else placement.instance
    if sofa is not None:
        coffee = (
            layout.place_in_front(sofa, layout.stock.piece("coffee_table"), 0.65)
            if rng.random() < 0.75
            else None
        )
        if coffee is not None:
            layout.place_on_top(
                coffee,
                ["ornament", "tableware", "desk_clutter", "small_plant"],
                int(rng.integers(0, 5)),
            )
        if rng.random() < 0.5 and placement is not None:
            picture_above(layout, placement.wall, placement.position, sofa.high[2])
        for side in (-1, 1):
            if rng.random() < 0.45:
                layout.place_in_front(
                    sofa, layout.stock.piece("armchair"), 0.8, aside=side * 1.5, turn=side * 1.2
                )
    if rng.random() < 0.8:
        rug(layout, under=sofa)
    if rng.random() < 0.85:
        television(layout, facing=sofa)
    if rng.random() < 0.35:
        layout.place_freely(layout.stock.piece("sofa"), square=True)
    for _ in range(int(rng.integers(0, 3))):
        bookcase(layout)
    if rng.random() < 0.35:
        layout.place_at_wall(
            layout.stock.piece("fireplace" if rng.random() < 0.6 else "piano"), front=0.4
        )
    if rng.random() < 0.35:
        dining_place(layout)
    if rng.random() < 0.5:
        lamp(layout)
    if rng.random() < 0.1:
        layout.place_freely(layout.stock.piece("game_table"))
    clutter(layout, int(rng.integers(0, 4)))


def dining_room(layout: Layout) -> None:
    """A large table with chairs, a sideboard, a cupboard."""
    rng = layout.rng
    if rng.random() < 0.5:
        rug(layout)
    dining_place(layout)
    for _ in range(int(rng.integers(1, 3))):
        placement = layout.place_at_wall(layout.stock.piece("dresser"), front=0.3)
        if placement is not None and placement.instance.high[2] < 1.3:
            layout.place_on_top(
                placement.instance,
                ["ornament", "tableware", "small_plant"],
                int(rng.integers(1, 6)),
            )
    if rng.random() < 0.5:
        bookcase(layout)
    if rng.random() < 0.3:
        television(layout)
    if rng.random() < 0.35:
        layout.place_freely(layout.stock.piece("small_table"))
    for _ in range(int(rng.integers(0, 3))):
        layout.place_at_wall(layout.stock.piece("chair"), gap=0.05)
    clutter(layout, int(rng.integers(0, 3)))


def kitchen(layout: Layout) -> None:
    """Units along one or two walls, wall cupboards, fridge, a table or an island."""
    rng = layout.rng
    order = rng.permutation(len(layout.walls))
    for number in order[: int(rng.integers(1, 3))]:
        kitchen_units(layout, layout.walls[int(number)])
    layout.place_at_wall(layout.stock.piece("fridge"), gap=0.03, front=0.4)
    if rng.random() < 0.7:
        layout.place_at_wall(layout.stock.piece("stove"), gap=0.02, front=0.4)
    if rng.random() < 0.3:
        layout.place_freely(layout.stock.piece("island"), margin=0.5, center=True, square=True)
    if rng.random() < 0.75:
        dining_place(layout)
    for _ in range(int(rng.integers(0, 3))):
        layout.place_freely(layout.stock.piece("stool"))
    if rng.random() < 0.15:
        television(layout)
    clutter(layout, int(rng.integers(0, 3)))


def office(layout: Layout) -> None:
    """Desks with screens, office chairs, shelves, a whiteboard, cabinets."""
    rng = layout.rng
    for _ in range(int(rng.integers(1, 5))):
        work_place(layout)
    for _ in range(int(rng.integers(1, 4))):
        bookcase(layout)
    if rng.random() < 0.6:
        board = objects.whiteboard(rng, rng.uniform(0.9, 2.2), rng.uniform(0.7, 1.2))
        layout.hang(Piece(board, "picture", "whiteboard"), rng.uniform(0.8, 1.1))
    if rng.random() < 0.4:
        dining_place(layout)
    if rng.random() < 0.6:
        layout.place_at_wall(layout.stock.piece("dresser"), front=0.3)
    if rng.random() < 0.2:
        television(layout)
    if rng.random() < 0.15:
        layout.place_at_wall(layout.stock.piece("sofa"))
    clutter(layout, int(rng.integers(1, 4)))


def bathroom(layout: Layout) -> None:
    """Washbasin under a mirror, toilet, bath or shower, towels, washing machine."""
    rng = layout.rng
    placement = layout.place_at_wall(
        layout.stock.piece("washbasin" if rng.random() < 0.75 else "hung_basin"),
        gap=0.0,
        front=0.4,
    )
    if placement is not None:
        basin, wall, at = placement.instance, placement.wall, placement.position
        if basin.high[2] < 1.2:
            glass = objects.mirror(rng, rng.uniform(0.4, 0.9), rng.uniform(0.5, 0.9))
            layout.hang(
                Piece(glass, "object", "mirror"), rng.uniform(1.15, 1.3), wall=wall, near=at
            )
    layout.place_at_wall(layout.stock.piece("toilet"), gap=0.0, front=0.4)
    if rng.random() < 0.8:
        layout.place_at_wall(layout.stock.piece("bath"), gap=0.01)
    if rng.random() < 0.4:
        layout.place_at_wall(layout.stock.piece("washing_machine"), front=0.3)
    if rng.random() < 0.5:
        placement = layout.place_at_wall(
            layout.stock.piece("dresser" if rng.random() < 0.3 else "bedside")
        )
        if placement is not None and placement.instance.high[2] < 1.2:
            layout.place_on_top(
                placement.instance, ["bath_clutter", "small_plant"], int(rng.integers(1, 5))
            )
    for _ in range(int(rng.integers(0, 4))):
        piece = layout.stock.piece("bath_wall")
        if piece is not None:
            layout.hang(piece, float(rng.uniform(0.6, 1.3)))
    if rng.random() < 0.5:
        rug(layout)
    clutter(layout, int(rng.integers(0, 3)))


def studio(layout: Layout) -> None:
    """One room to live in, or of a hotel: bed, sofa or armchair, table, desk, TV."""
    rng = layout.rng
    bed = sleeping_place(layout, "bed" if rng.random() < 0.75 else "single_bed")
    if rng.random() < 0.25:
        sleeping_place(layout, "single_bed")
    television(layout, facing=bed)
    if rng.random() < 0.5:
        layout.place_at_wall(layout.stock.piece("sofa"), gap=0.05, front=0.5)
    else:
        layout.place_at_wall(layout.stock.piece("armchair"), gap=0.1)
    if rng.random() < 0.7:
        work_place(layout)
    if rng.random() < 0.6:
        layout.place_at_wall(layout.stock.piece("wardrobe"), front=0.3)
    if rng.random() < 0.4:
        dining_place(layout)
    if rng.random() < 0.5:
        rug(layout, under=bed)
    if rng.random() < 0.4:
        lamp(layout)
    if rng.random() < 0.08:
        layout.place_freely(layout.stock.piece("gym"))
    clutter(layout, int(rng.integers(0, 4)))


KINDS: dict[str, RoomKind] = {
    "bedroom": RoomKind((2.9, 4.4), (3.4, 5.4), False, bedroom),
    "living_room": RoomKind((3.4, 5.2), (4.2, 7.0), False, living_room),
    "kitchen": RoomKind((2.3, 4.0), (3.0, 5.5), True, kitchen),
    "dining_room": RoomKind((3.0, 4.4), (3.6, 6.0), False, dining_room),
    "office": RoomKind((2.8, 5.0), (3.6, 8.0), False, office),
    "bathroom": RoomKind((1.9, 2.9), (2.4, 4.0), True, bathroom),
    "studio": RoomKind((3.2, 4.6), (4.4, 6.8), False, studio),
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
        cache: Loader of the models.
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
        notch = (
            size[0] - rng.uniform(0.8, size[0] - 2.4),
            size[1] - rng.uniform(0.8, size[1] - 2.4),
            size[0],
            size[1],
        )
    night = bool(rng.random() < 0.3)
    environment = artwork.environment_map(rng, night) * np.float32(rng.uniform(3.0, 9.0))
    room = SceneBuilder(kind, (size[0], size[1], height), notch, environment)
    walls = make_walls(room.size, notch)
    cut_openings(
        rng,
        walls,
        height,
        windows=int(rng.choice([0, 1, 2, 3], p=[0.15, 0.45, 0.3, 0.1])),
        doors=int(rng.choice([1, 2, 3], p=[0.45, 0.4, 0.15])),
    )
    build_shell(rng, room, walls, night=night, wet=plan.wet)
    stock = FurnitureStock(models, cache, rng)
    layout = Layout(room, walls, stock, rng)
    plan.furnish(layout)
    wall_pictures(layout, 0, 5)
    _ceiling_lights(rng, room, stock, night)
    windows = [wall for wall in walls for opening in wall.openings if opening.kind == "window"]
    if windows and not night and rng.random() < 0.4:
        room.sun = _sun(rng, windows[int(rng.integers(len(windows)))])
    return room.build(), list(stock.used.values())


def _sun(rng: Generator, wall: Wall) -> Sun:
    """A random sun on the outer side of a wall."""
    elevation, turn = rng.uniform(0.25, 0.95), rng.uniform(-0.9, 0.9)
    out = -wall.inward
    c, s = np.cos(turn), np.sin(turn)
    flat = np.array([c * out[0] - s * out[1], s * out[0] + c * out[1]])
    direction = np.array([*(flat * np.cos(elevation)), np.sin(elevation)])
    return Sun(direction, float(rng.uniform(8, 25)) * np.array([1.0, 0.92, 0.8]))


def _ceiling_lights(
    rng: Generator, room: SceneBuilder, stock: FurnitureStock, night: bool
) -> None:
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
                room.add(
                    pendant.mesh.transformed((*place, height - float(pendant.size[2]))),
                    "object",
                    "lamp",
                    pendant.asset,
                )
            else:
                body, face = objects.ceiling_fixture(rng, wide, deep)
                if on:
                    emission = as_color(np.minimum(radiance, 12.0))
                    face = Mesh(
                        face.corners,
                        face.uv,
                        face.normals,
                        face.material,
                        (replace(face.materials[0], emission=emission, is_light=True),),
                    )
                room.add(
                    merge([body, face]).transformed((*place, height - 0.001)),
                    "object",
                    "ceiling light",
                )
            if on:
                room.lights.append(
                    AreaLight(
                        np.array([place[0] - wide / 2, place[1] + deep / 2, height - drop]),
                        np.array([wide, 0, 0.0]),
                        np.array([0, -deep, 0.0]),
                        radiance,
                    )
                )

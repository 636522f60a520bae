# SPDX-License-Identifier: Apache-2.0
"""Generated furniture of the kinds that the libraries have too few of.

All stand on z = 0, centred on x and y, and face −y. Sizes are metres.
"""

from __future__ import annotations

import numpy as np

from mtinet_ros.scenes.assets import artwork
from mtinet_ros.scenes.assets.texture import (
    Generator,
    fabric_material,
    marble,
    metal_material,
    paint_material,
    wall_color,
    wood_material,
)
from mtinet_ros.scenes.geometry.mesh import (
    Material,
    Mesh,
    as_color,
    box,
    cushion,
    merge,
    quad,
    revolved,
    surface,
)

BLACK = Material((0.012, 0.012, 0.013), specular=0.05, roughness=0.12)
WHITE = Material((0.8, 0.8, 0.79))
CHROME = Material((0.3, 0.3, 0.3), specular=0.35, roughness=0.15)


def hard_material(rng: Generator) -> Material:
    """Wood or lacquer."""
    return wood_material(rng) if rng.random() < 0.65 else paint_material(rng)


def legs(
    rng: Generator, width: float, depth: float, height: float, material: Material
) -> list[Mesh]:
    """Four legs, square or round, 2 to 7 cm thick, or two sleds."""
    thick = float(rng.choice([0.02, 0.025, 0.035, 0.05, 0.07]))
    x, y = width / 2 - thick, depth / 2 - thick
    parts = []
    for sx in (-x, x):
        for sy in (-y, y):
            if rng.random() < 0.5:
                parts.append(box((thick, thick, height), material, (sx, sy, 0)))
            else:
                profile = [(thick * 0.35, 0.0), (thick * 0.6, height)]
                parts.append(revolved(profile, material, (sx, sy, 0), 8))
    return parts


def bed(rng: Generator, width: float, length: float = 2.0) -> Mesh:
    """Frame, mattress, duvet hanging over the sides, pillows, perhaps head and foot boards."""
    base = hard_material(rng)
    sheet, cover = (
        WHITE if rng.random() < share else fabric_material(rng) for share in (0.7, 0.5)
    )
    lift, thick = rng.uniform(0.08, 0.35), rng.uniform(0.14, 0.3)
    parts = []
    if rng.random() < 0.3:
        parts += legs(rng, width, length, lift, base)
        parts.append(box((width, length, 0.06), base, (0, 0, lift - 0.03)))
    else:
        parts.append(box((width, length, lift), base if rng.random() < 0.6 else cover))
    parts.append(cushion((width * 0.97, length * 0.98, thick), sheet, (0, 0, lift), softness=9))
    top = lift + thick
    if rng.random() < 0.8:
        share, drop = rng.uniform(0.55, 0.95), rng.uniform(0.08, 0.3)
        parts.append(
            _duvet(rng, width, length * share, top, drop, cover).transformed(
                (0, -length * (1 - share) / 2, 0)
            )
        )
    if rng.random() < 0.35:  # a runner or blanket across the foot
        share, drop = rng.uniform(0.2, 0.5), rng.uniform(0.15, top)
        blanket = _duvet(
            rng, width + 0.03, length * share, top + 0.012, drop, fabric_material(rng)
        )
        parts.append(blanket.transformed((0, -length * (1 - share) / 2 - 0.01, 0)))
    parts += _pillows(rng, width, length, top, sheet)
    if rng.random() < 0.75:
        high = rng.uniform(0.75, 1.3)
        board = fabric_material(rng) if rng.random() < 0.35 else base
        parts.append(
            box((width + rng.uniform(0, 0.15), 0.06, high), board, (0, length / 2 + 0.03, 0))
        )
    if rng.random() < 0.25:
        parts.append(box((width, 0.05, rng.uniform(0.4, 0.75)), base, (0, -length / 2 - 0.025, 0)))
    return merge(parts)


def pillow(rng: Generator, width: float, height: float, thick: float, cover: Material) -> Mesh:
    """A pillow standing on its long edge, z = 0 .. `height`, centred on x and y: four corners."""
    u, v = np.meshgrid(np.linspace(-1, 1, 13), np.linspace(-1, 1, 11))
    swell = ((1 - u**4) * (1 - v**4)) ** rng.uniform(0.4, 0.7)
    waist = 1 - rng.uniform(0.03, 0.1)  # the middles of the edges are drawn in
    x = u * width / 2 * (waist + (1 - waist) * v**2)
    z = (v * (waist + (1 - waist) * u**2) + 1) * height / 2
    dent = 1 - rng.uniform(0, 0.35) * np.exp(-(u**2 + (v - rng.uniform(-0.2, 0.5)) ** 2) * 4)
    front = np.stack([x, -swell * dent * thick / 2, z], -1)
    back = np.stack([x, swell * thick / 2, z], -1)[:, ::-1]
    return merge([surface(front, cover), surface(back, cover)])


def _pillows(
    rng: Generator, width: float, length: float, top: float, sheet: Material
) -> list[Mesh]:
    """One or two rows at the bed's head, lying flat, tilted, or leaning on the headboard."""
    count = 1 if width < 1.2 else 2
    upright = rng.random() < 0.5
    parts = []
    for row in range(int(rng.integers(1, 3))):
        cover = sheet if row == 0 or rng.random() < 0.5 else fabric_material(rng)
        for place in range(count):
            size = (width / count * rng.uniform(0.7, 0.95), rng.uniform(0.34, 0.5))
            x = (place + 0.5) * width / count - width / 2 + rng.normal(0, 0.03)
            # 0 stands, π/2 lies on its back
            lean = rng.uniform(0.1, 0.5) if upright else rng.uniform(0.6, 1.45)
            one = pillow(rng, *size, rng.uniform(0.12, 0.22), cover)
            y = length / 2 - 0.12 - size[1] * np.sin(lean) - 0.17 * row
            parts.append(
                one.transformed((0, 0, 0), rng.normal(0, 0.08), -lean).transformed(
                    (x, y, top + 0.01)
                )
            )
    return parts


def _duvet(
    rng: Generator, width: float, length: float, top: float, drop: float, cover: Material
) -> Mesh:
    """A sheet over the mattress with folds, hanging down by `drop` at the sides and the foot."""
    across = np.concatenate([[-1.0, -1.0], np.linspace(-0.96, 0.96, 24), [1.0, 1.0]])
    along = np.linspace(-1, 1, 30)
    x, y = np.meshgrid(across * (width / 2 + 0.02), along * length / 2)
    puff = 0.04 + rng.uniform(0.005, 0.03) * (
        np.sin(x * rng.uniform(4, 12) + rng.uniform(0, 6))
        * np.sin(y * rng.uniform(4, 12) + rng.uniform(0, 6))
    )
    z = top + puff
    z[:, 0] = z[:, -1] = top - drop
    z[:, 1] = z[:, -2] = top - drop * 0.3
    foot = np.stack(
        [x[0], np.full_like(x[0], -length / 2 - 0.03), np.full_like(x[0], top - drop)], -1
    )
    grid = np.concatenate([foot[None], np.stack([x, y, z], -1)])
    return surface(grid, cover)


def table(rng: Generator, width: float, depth: float, height: float) -> Mesh:
    """A top on thin legs, or a round one on a column."""
    top = hard_material(rng)
    if rng.random() < 0.12:
        top = Material((0.25, 0.32, 0.3), specular=0.12, roughness=0.02, transmission=0.55)
    frame = metal_material(rng) if rng.random() < 0.5 else top if top.transmission == 0 else CHROME
    thick = rng.uniform(0.015, 0.05)
    if rng.random() < 0.2:
        radius = min(width, depth) / 2
        disc = [(0.0, height - thick), (radius, height - thick), (radius, height), (0.0, height)]
        column = [(radius * 0.6, 0.0), (radius * 0.6, 0.02), (0.04, 0.05), (0.03, height - thick)]
        return merge([revolved(disc, top, segments=32), revolved(column, frame, segments=20)])
    parts = [box((width, depth, thick), top, (0, 0, height - thick))]
    parts += legs(rng, width, depth, height - thick, frame)
    if rng.random() < 0.5:
        parts.append(
            box(
                (width * 0.9, depth * 0.9, 0.06),
                frame,
                (0, 0, height - thick - 0.06),
                faces="xXyY",
            )
        )
    return merge(parts)


def desk(rng: Generator, width: float, depth: float) -> Mesh:
    """A table with a drawer block, or without."""
    height = rng.uniform(0.7, 0.78)
    parts = [table(rng, width, depth, height)]
    if rng.random() < 0.5:
        side = width / 2 - 0.25
        parts.append(cabinet(rng, 0.4, depth * 0.9, height - 0.08).transformed((side, 0, 0)))
    return merge(parts)


def chair(rng: Generator) -> Mesh:
    """Seat, thin legs, a back of a board, slats or bars."""
    frame = metal_material(rng) if rng.random() < 0.4 else hard_material(rng)
    seat = fabric_material(rng) if rng.random() < 0.45 else frame
    w, d, h = rng.uniform(0.38, 0.5), rng.uniform(0.38, 0.5), rng.uniform(0.42, 0.48)
    back = rng.uniform(0.32, 0.6)
    parts = legs(rng, w, d, h, frame)
    parts.append(
        cushion((w, d, rng.uniform(0.03, 0.08)), seat, (0, 0, h - 0.01), softness=8, steps=6)
    )
    posts = [
        box((0.025, 0.025, back), frame, (x, d / 2 - 0.02, h))
        for x in (-w / 2 + 0.02, w / 2 - 0.02)
    ]
    parts += posts
    kind = rng.integers(3)
    if kind == 0:
        parts.append(
            cushion(
                (w, 0.04, back * 0.6), seat, (0, d / 2 - 0.03, h + back * 0.4), softness=8, steps=6
            )
        )
    elif kind == 1:
        for z in np.linspace(0.25, 0.95, int(rng.integers(2, 5))):
            parts.append(box((w, 0.02, 0.04), frame, (0, d / 2 - 0.02, h + back * z)))
    else:
        parts.append(box((w, 0.03, 0.05), frame, (0, d / 2 - 0.02, h + back - 0.05)))
        for x in np.linspace(-0.35, 0.35, int(rng.integers(3, 7))):
            parts.append(box((0.015, 0.015, back), frame, (x * w, d / 2 - 0.02, h)))
    return merge(parts)


def office_chair(rng: Generator) -> Mesh:
    """Five feet on castors, a column, seat and back, perhaps arm rests."""
    frame = metal_material(rng) if rng.random() < 0.6 else BLACK
    cloth = BLACK if rng.random() < 0.4 else fabric_material(rng)
    h, w, d = rng.uniform(0.42, 0.54), rng.uniform(0.44, 0.54), rng.uniform(0.42, 0.5)
    reach, back = rng.uniform(0.26, 0.34), rng.uniform(0.4, 0.8)
    parts = [revolved([(0.03, 0.06), (0.025, h - 0.06)], frame, segments=10)]
    for spoke in range(5):
        foot = box((0.04, reach, 0.03), frame, (0, -reach / 2, 0.06))
        wheel = box((0.05, 0.05, 0.06), BLACK, (0, -reach, 0))
        parts.append(merge([foot, wheel]).transformed((0, 0, 0), spoke * 2 * np.pi / 5 + 0.3))
    soft = rng.uniform(4, 10)
    seat = (w, d, rng.uniform(0.05, 0.1))
    parts.append(cushion(seat, cloth, (0, 0, h - 0.06), softness=soft, steps=8))
    rest = cushion((w * rng.uniform(0.8, 1.0), 0.06, back), cloth, softness=soft, steps=8)
    parts.append(
        rest.transformed((0, 0, 0), 0, -rng.uniform(0.0, 0.25)).transformed((0, d / 2, h + 0.08))
    )
    parts.append(box((0.06, 0.03, 0.3), frame, (0, d / 2 - 0.01, h - 0.05)))
    if rng.random() < 0.6:
        for side in (-1, 1):
            x = side * (w / 2 + 0.03)
            parts.append(box((0.03, 0.03, 0.22), frame, (x, 0.05, h - 0.03)))
            parts.append(box((0.06, d * 0.6, 0.03), frame, (x, 0, h + 0.19)))
    return merge(parts)


def tub_chair(rng: Generator) -> Mesh:
    """An armchair whose back runs around the seat, or only behind it."""
    cloth = fabric_material(rng)
    radius, h = rng.uniform(0.3, 0.4), rng.uniform(0.38, 0.45)
    lift, high = rng.uniform(0.08, 0.25), rng.uniform(0.65, 0.95)
    around = rng.uniform(0.9, 1.9)  # radians to either side of the back
    parts = legs(rng, radius * 1.5, radius * 1.5, lift, hard_material(rng))
    seat = (radius * 2, radius * 2, h - lift)
    parts.append(cushion(seat, cloth, (0, 0, lift), softness=rng.uniform(2.5, 8)))
    angle = np.linspace(-around, around, 20)
    fall = rng.uniform(0.0, 0.3) * (angle / around) ** 2  # the arms are lower than the back
    thick, lean = rng.uniform(0.07, 0.14), rng.uniform(0.0, 0.12)
    rows = []
    for r, z in (
        (radius, np.full(20, lift)),
        (radius + lean, high - fall),
        (radius + lean + thick, high - fall),
        (radius + thick, np.full(20, lift)),
    ):
        rows.append(np.stack([-r * np.sin(angle), r * np.cos(angle), z], -1))
    grid = np.stack(rows)
    parts += [
        surface(np.stack([a, (a + b) / 2, b]), cloth)
        for a, b in ((grid[0], grid[1]), (grid[1], grid[2]), (grid[2], grid[3]))
    ]
    for end in (0, -1):
        a, b, c, d = grid[:, end]
        parts.append(surface(np.array([[a, d], [b, c]]), cloth))
    return merge(parts)


def sofa(rng: Generator, width: float) -> Mesh:
    """Base, seat and back cushions, arms, perhaps short legs and loose pillows."""
    cloth = fabric_material(rng)
    d, seat, arm, back = (
        rng.uniform(0.8, 0.98),
        rng.uniform(0.36, 0.45),
        rng.uniform(0.1, 0.26),
        rng.uniform(0.7, 0.92),
    )
    lift = rng.uniform(0.02, 0.15)
    count = max(1, round((width - 2 * arm) / 0.75))
    inner = (width - 2 * arm) / count
    parts = legs(rng, width, d, lift, hard_material(rng))
    parts.append(cushion((width, d, seat - 0.12 - lift), cloth, (0, 0, lift), softness=14))
    parts.append(cushion((width, 0.22, back - lift), cloth, (0, d / 2 - 0.11, lift), softness=9))
    for side in (-1, 1):
        size = (arm, d, rng.uniform(0.52, 0.64) - lift)
        parts.append(cushion(size, cloth, (side * (width - arm) / 2, 0, lift), softness=9))
    for place in range(count):
        x = (place + 0.5) * inner - (width - 2 * arm) / 2
        parts.append(
            cushion((inner * 0.99, d - 0.2, 0.17), cloth, (x, -0.1, seat - 0.12), softness=7)
        )
        parts.append(
            cushion((inner * 0.97, 0.18, 0.42), cloth, (x, d / 2 - 0.27, seat), softness=5)
        )
    for _ in range(int(rng.integers(0, 4))):
        pillow = cushion((0.42, 0.14, 0.4), fabric_material(rng), softness=3, steps=8)
        x = rng.uniform(-0.5, 0.5) * (width - 2 * arm - 0.3)
        parts.append(pillow.transformed((x, d / 2 - 0.42, seat + 0.04), rng.normal(0, 0.2), -0.25))
    return merge(parts)


def cabinet(rng: Generator, width: float, depth: float, height: float) -> Mesh:
    """A case whose front is divided into doors or drawers with joints and handles."""
    case = hard_material(rng)
    front = case if rng.random() < 0.6 else hard_material(rng)
    parts = [box((width, depth - 0.02, height), case, (0, 0.01, 0))]
    drawers = rng.random() < 0.5 and height < 1.4
    columns = max(1, round(width / rng.uniform(0.4, 0.7)))
    rows = (
        max(1, round(height / rng.uniform(0.18, 0.35)))
        if drawers
        else 1
        if height < 1.3 or rng.random() < 0.6
        else 2
    )
    foot, handle = rng.uniform(0.0, 0.1), metal_material(rng)
    w, h = width / columns, (height - foot) / rows
    knob = rng.integers(3)
    for column in range(columns):
        for row in range(rows):
            x, z = (column + 0.5) * w - width / 2, foot + row * h
            parts.append(
                box((w - 0.008, 0.018, h - 0.008), front, (x, -depth / 2 + 0.011, z + 0.004))
            )
            if knob == 0:
                parts.append(
                    box((0.025, 0.025, 0.025), handle, (x, -depth / 2 - 0.01, z + h * 0.6))
                )
            elif knob == 1 and drawers:
                parts.append(
                    box((w * 0.4, 0.02, 0.012), handle, (x, -depth / 2 - 0.01, z + h * 0.7))
                )
            elif knob == 1:
                side = w * 0.4 if column % 2 == 0 else -w * 0.4
                parts.append(
                    box(
                        (0.015, 0.025, min(0.3, h * 0.3)),
                        handle,
                        (x + side, -depth / 2 - 0.01, z + h * 0.45),
                    )
                )
    return merge(parts)


def worktop(rng: Generator, width: float, depth: float) -> Mesh:
    """A slab of stone or wood, 2 to 5 cm."""
    stone = Material((1, 1, 1), marble(rng, wall_color(rng) * rng.uniform(0.2, 1)), 0.8, 0.05, 0.1)
    return box(
        (width, depth, rng.uniform(0.02, 0.05)),
        stone if rng.random() < 0.6 else wood_material(rng),
    )


def hob_and_sink(rng: Generator, length: float, top: float) -> list[Mesh]:
    """What a kitchen's worktop carries: a glass hob, a steel sink with its tap, or one of them."""
    parts: list[Mesh] = []
    if rng.random() < 0.75:
        x = rng.uniform(-0.5, 0.5) * (length - 0.7)
        parts.append(box((0.58, 0.5, 0.008), BLACK, (x, 0, top)))
        for dx, dy in ((-0.14, -0.12), (0.14, -0.12), (-0.14, 0.12), (0.14, 0.12)):
            ring = [(0.09, 0.0), (0.09, 0.002), (0.0, 0.002)]
            parts.append(
                revolved(ring, Material((0.05, 0.05, 0.05)), (x + dx, dy, top + 0.008), 16)
            )
    if rng.random() < 0.75:
        x = rng.uniform(-0.5, 0.5) * (length - 0.7)
        parts.append(box((0.55, 0.45, 0.01), CHROME, (x, 0, top)))
        parts.append(
            box(
                (0.4, 0.34, 0.002),
                Material((0.08, 0.08, 0.08), specular=0.2),
                (x, -0.02, top + 0.01),
            )
        )
        parts.append(revolved([(0.02, 0.0), (0.015, 0.28)], CHROME, (x, 0.2, top), 8))
        parts.append(box((0.025, 0.2, 0.025), CHROME, (x, 0.1, top + 0.27)))
    return parts


def shelf(rng: Generator, width: float, depth: float, height: float) -> tuple[Mesh, Mesh | None]:
    """A bookcase, and what stands in it (or None)."""
    board = hard_material(rng)
    thick, rows = 0.022, max(1, round(height / rng.uniform(0.28, 0.42)))
    columns = max(1, round(width / rng.uniform(0.5, 1.0)))
    gap = (height - thick) / rows
    parts = [box((width, depth, thick), board, (0, 0, row * gap)) for row in range(rows + 1)]
    for column in range(columns + 1):
        x = column * (width - thick) / columns - (width - thick) / 2
        parts.append(box((thick, depth, height), board, (x, 0, 0)))
    if rng.random() < 0.7:
        parts.append(box((width, 0.01, height), board, (0, depth / 2 - 0.005, 0)))
    things = []
    fill = rng.uniform(0.2, 1.0)
    for row in range(rows):
        for column in range(columns):
            if rng.random() < fill:
                x = -width / 2 + column * width / columns + thick
                place = (x, row * gap + thick)
                things.append(
                    books(
                        rng, width / columns - 1.5 * thick, depth * 0.8, gap - thick
                    ).transformed((place[0], 0, place[1]))
                )
    return merge(parts), merge(things) if things else None


def books(rng: Generator, width: float, depth: float, height: float) -> Mesh:
    """A row of books from x = 0 to at most `width`, some missing at the end."""
    x, end = 0.0, width * rng.uniform(0.4, 1.0)
    parts: list[Mesh] = []
    colors = artwork.spines(rng, 60)
    tall = rng.uniform(0.55, 0.9) * height
    while x < end - 0.05 and len(parts) < 60:
        thick = min(rng.uniform(0.012, 0.05), end - x)
        size = (
            thick * 0.96,
            depth * rng.uniform(0.6, 1.0),
            min(tall * rng.uniform(0.75, 1.1), height * 0.98),
        )
        cover = Material(as_color(colors[len(parts)] ** 2.2), specular=0.02)
        parts.append(box(size, cover, (x + thick / 2, -(depth - size[1]) / 2, 0), faces="xXyZ"))
        x += thick
    return merge(parts) if parts else box((0.05, depth * 0.5, height * 0.5), BLACK, (0.03, 0, 0))


def television(rng: Generator, width: float, *, stand: bool, kind: str = "tv") -> Mesh:
    """A flat screen 16:9 (or wider): off and glossy, or showing something; on a stand or hung.

    A computer's screen is the same thing with another picture (`kind` "screen").
    """
    ratio = float(rng.choice([9 / 16, 9 / 16, 9 / 16, 10 / 16, 9 / 21, 3 / 4]))
    height, edge = width * ratio, rng.uniform(0.006, 0.035)
    case = BLACK if rng.random() < 0.75 else paint_material(rng)
    thick = rng.uniform(0.02, 0.08)
    lift = rng.uniform(0.04, 0.18) if stand else 0.0
    if rng.random() < (0.55 if kind == "tv" else 0.25):
        tone = rng.uniform(0.003, 0.02)
        screen = Material(
            (tone, tone, tone), specular=rng.uniform(0.03, 0.1), roughness=rng.uniform(0.0, 0.15)
        )
    else:
        image = artwork.broadcast(rng) if kind == "tv" else artwork.screen(rng)
        bright = float(rng.uniform(0.25, 1.1))
        screen = Material((0.02, 0.02, 0.02), image, 1.0, 0.03, 0.1, (bright, bright, bright))
    face = quad(
        (-width / 2 + edge, -thick / 2 - 0.001, lift + edge),
        (width - 2 * edge, 0, 0),
        (0, 0, height - 2 * edge),
        screen,
        fit=True,
    )
    parts = [box((width, thick, height), case, (0, 0, lift)), face]
    if stand:
        wide, deep = width * rng.uniform(0.25, 0.6), rng.uniform(0.14, 0.28)
        if rng.random() < 0.5:
            parts.append(box((wide, deep, 0.012), case))
            parts.append(box((rng.uniform(0.03, 0.12), 0.03, lift + 0.02), case, (0, 0.02, 0)))
        else:
            for side in (-1, 1):
                parts.append(box((0.025, deep, 0.015), case, (side * wide / 2, 0, 0)))
                parts.append(box((0.02, 0.02, lift + 0.02), case, (side * wide / 2, 0, 0)))
    return merge(parts)

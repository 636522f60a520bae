# SPDX-License-Identifier: Apache-2.0
"""Generated small objects: pictures, rugs, curtains, lamps, bottles, boxes, heaps.

Standing things stand on z = 0, centred; hanging things have their back at y = 0 and face −y with
z = 0 at their lower edge. Sizes are metres.
"""

from __future__ import annotations

import numpy as np

from mtinet_ros.scenes.assets import artwork
from mtinet_ros.scenes.assets.made_furniture import BLACK, CHROME, hard_material
from mtinet_ros.scenes.assets.texture import (
    Generator,
    fabric_color,
    fabric_material,
    metal_material,
    oriental,
    paint_material,
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


def framed(rng: Generator, width: float, height: float) -> Mesh:
    """A picture with frame, mat, sometimes glass that reflects; or a bare canvas or poster."""
    kind = rng.random()
    frame, edge, thick = hard_material(rng), rng.uniform(0.01, 0.07), rng.uniform(0.01, 0.04)
    shape = (160, max(24, int(160 * width / height)))
    image = Material(
        (1, 1, 1),
        artwork.picture(rng, shape),
        specular=float(rng.choice([0.0, 0.0, 0.05])),
        roughness=0.05,
    )
    if kind < 0.3:
        edge, thick = 0.0, thick if kind < 0.2 else 0.002
    parts = [box((width, thick, height), frame, (0, -thick / 2, 0))]
    mat = rng.uniform(0.1, 0.22) * min(width, height) if kind > 0.65 else 0.0
    if mat:
        paper = Material((0.8, 0.8, 0.77))
        parts.append(_panel(width, height, edge, thick + 0.001, paper))
    parts.append(_panel(width, height, edge + mat, thick + 0.002, image))
    return merge(parts)


def _panel(width: float, height: float, inset: float, forward: float, material: Material) -> Mesh:
    return quad(
        (-width / 2 + inset, -forward, inset),
        (width - 2 * inset, 0, 0),
        (0, 0, height - 2 * inset),
        material,
        fit=True,
    )


def mirror(rng: Generator, width: float, height: float) -> Mesh:
    """A looking glass in a frame or without."""
    edge = float(rng.choice([0.0, 0.02, 0.05]))
    glass = Material((0.02, 0.02, 0.02), specular=0.85, roughness=0.0)
    back = box((width, 0.02, height), hard_material(rng), (0, -0.01, 0))
    return merge([back, _panel(width, height, edge, 0.021, glass)])


def whiteboard(rng: Generator, width: float, height: float) -> Mesh:
    """White, with or without writing."""
    surface_ = Material((0.75, 0.75, 0.76), specular=0.03, roughness=0.2)
    if rng.random() < 0.6:
        surface_ = Material((0.8, 0.8, 0.8), artwork.print_of_text(rng), specular=0.03)
    back = box((width, 0.02, height), metal_material(rng), (0, -0.01, 0))
    return merge([back, _panel(width, height, 0.02, 0.021, surface_)])


def rug(rng: Generator, width: float, depth: float) -> Mesh:
    """A carpet of 4 to 15 mm, patterned, plain or round."""
    thick = rng.uniform(0.004, 0.015)
    kind = rng.random()
    if kind < 0.2:
        radius = min(width, depth) / 2
        profile = [(radius, 0.0), (radius, thick), (0.0, thick)]
        return revolved(profile, fabric_material(rng), segments=36)
    material = fabric_material(rng) if kind < 0.5 else Material((1, 1, 1), oriental(rng))
    top = quad(
        (-width / 2, -depth / 2, thick), (width, 0, 0), (0, depth, 0), material, fit=kind >= 0.5
    )
    return merge([top, box((width, depth, thick - 0.001), fabric_material(rng), faces="xXyY")])


def curtain(rng: Generator, width: float, height: float, material: Material) -> Mesh:
    """One hanging cloth in folds, its back near y = 0."""
    folds = width * rng.uniform(4, 9)
    x = np.linspace(-width / 2, width / 2, max(16, int(folds * 8)))
    depth = rng.uniform(0.02, 0.05)
    rows = np.linspace(0, height, 5)[:, None]
    phase = rng.uniform(0, 6) + 0.3 * np.sin(rows * 2)
    y = -0.1 - depth * np.sin(2 * np.pi * folds * x[None] / width + phase)
    grid = np.stack([np.repeat(x[None], 5, 0), y, np.repeat(rows, len(x), 1)], -1)
    return surface(grid, material)


def blind(rng: Generator, width: float, height: float) -> Mesh:
    """Slats, or a roller blind that hangs down some way."""
    material = paint_material(rng) if rng.random() < 0.5 else Material((0.7, 0.7, 0.68))
    drop = height * rng.uniform(0.25, 1.0)
    if rng.random() < 0.4:
        return quad(
            (-width / 2, -0.02, height - drop), (width, 0, 0), (0, 0, drop), fabric_material(rng)
        )
    slats = max(2, int(drop / 0.05))
    slat = box((width, 0.035, 0.002), material)
    tilt = rng.uniform(-1.0, 1.0)
    return merge(
        [slat.transformed((0, -0.03, height - 0.025 - 0.05 * i), 0.0, tilt) for i in range(slats)]
    )


def radiator(rng: Generator, width: float, height: float) -> Mesh:
    """A ribbed panel on the wall."""
    paint = Material((0.75, 0.75, 0.72), specular=0.03)
    count = max(3, int(width / rng.uniform(0.05, 0.1)))
    ribs = [
        box(
            (width / count * 0.7, 0.08, height),
            paint,
            ((i + 0.5) * width / count - width / 2, -0.07, 0),
        )
        for i in range(count)
    ]
    return merge([*ribs, box((width, 0.03, height * 0.9), paint, (0, -0.07, height * 0.05))])


def standing_lamp(rng: Generator, height: float) -> tuple[Mesh, Mesh]:
    """Foot and pole; and the shade, which glows when lit."""
    metal = metal_material(rng) if rng.random() < 0.6 else wood_material(rng)
    radius, tall = height * rng.uniform(0.09, 0.18), height * rng.uniform(0.15, 0.3)
    radius = max(radius, 0.07)
    foot = [(radius * 0.8, 0.0), (radius * 0.8, 0.02), (0.012, 0.03), (0.012, height - tall * 0.5)]
    if height < 0.8 and rng.random() < 0.6:  # a vase as foot
        foot = [
            (radius * 0.5, 0.0),
            (radius * 0.7, height * 0.2),
            (radius * 0.3, height * 0.5),
            (0.012, height - tall * 0.5),
        ]
    lower = radius * rng.uniform(1.0, 1.4)
    tint = fabric_color(rng) * 0.5 + 0.5
    shade = Material(as_color(tint * np.float32(0.7)))
    return revolved(foot, metal, segments=14), revolved(
        [(lower, height - tall), (radius * rng.uniform(0.6, 1.0), height)], shade, segments=20
    )


def bottle(rng: Generator) -> Mesh:
    """Bottle, jar, glass, cup, vase or bowl: some profile turned about its axis."""
    height, radius = rng.uniform(0.06, 0.34), rng.uniform(0.025, 0.08)
    kind = rng.integers(4)
    if kind == 0:
        profile = [
            (radius, 0.0),
            (radius, height * 0.6),
            (radius * 0.35, height * 0.78),
            (radius * 0.3, height),
            (0.0, height),
        ]
    elif kind == 1:
        profile = [
            (radius * 0.8, 0.0),
            (radius, height),
            (radius * 0.9, height),
            (radius * 0.7, 0.01),
        ]
    elif kind == 2:
        profile = [
            (radius * 0.5, 0.0),
            (radius * 1.6, height * 0.4),
            (radius * 0.7, height * 0.85),
            (radius, height),
        ]
    else:
        profile = [
            (radius * 0.6, 0.0),
            (radius * 1.8, height * 0.35),
            (radius * 1.7, height * 0.35),
            (radius * 0.5, 0.01),
        ]
    material = paint_material(rng)
    if rng.random() < 0.2:
        material = Material((0.3, 0.4, 0.35), specular=0.1, roughness=0.02, transmission=0.55)
    return revolved(profile, material, segments=14)


def carton(rng: Generator) -> Mesh:
    """A box: cardboard, or printed like packaging and books."""
    size = rng.uniform([0.06, 0.05, 0.02], [0.35, 0.3, 0.3])
    material = Material((0.45, 0.3, 0.17)) if rng.random() < 0.3 else paint_material(rng)
    if rng.random() < 0.4:
        material = Material((1, 1, 1), artwork.picture(rng), tile_size=float(size[0]))
    return box(size, material).transformed((0, 0, 0), rng.uniform(-0.6, 0.6))


def stack(rng: Generator) -> Mesh:
    """Books or papers lying on each other."""
    parts, z = [], 0.0
    for _ in range(int(rng.integers(1, 7))):
        size = (rng.uniform(0.14, 0.24), rng.uniform(0.19, 0.3), rng.uniform(0.005, 0.04))
        parts.append(box(size, paint_material(rng)).transformed((0, 0, z), rng.normal(0, 0.2)))
        z += size[2]
    return merge(parts)


def cloth_heap(rng: Generator) -> Mesh:
    """Clothes or a towel dropped somewhere: a crumpled blob."""
    size = rng.uniform([0.25, 0.2, 0.06], [0.6, 0.5, 0.2])
    blob = cushion(size, fabric_material(rng), softness=2.2, steps=9)
    bumps = 1 + 0.12 * np.sin(blob.corners * rng.uniform(8, 25) + rng.uniform(0, 6)).sum(
        -1, keepdims=True
    )
    corners = np.asarray(blob.corners * bumps, np.float32)
    return Mesh(corners, blob.uv, blob.normals, blob.material, blob.materials)


def pillow(rng: Generator) -> Mesh:
    """A cushion lying on the floor."""
    return cushion(
        rng.uniform([0.35, 0.35, 0.1], [0.6, 0.6, 0.2]), fabric_material(rng), softness=3, steps=8
    )


def ceiling_fixture(rng: Generator, width: float, depth: float) -> tuple[Mesh, Mesh]:
    """Body (z downwards from 0) and glowing underside of a ceiling light."""
    body = box((width, depth, 0.05), Material((0.75, 0.75, 0.75)), (0, 0, -0.05), faces="xXyY")
    face = quad(
        (-width / 2, depth / 2, -0.05), (width, 0, 0), (0, -depth, 0), Material((0.8, 0.8, 0.8))
    )
    return body, face


def keyboard(rng: Generator) -> Mesh:
    """A keyboard and a mouse on a desk, front to −y."""
    tone = float(rng.choice([0.02, 0.5, 0.75]))
    keys = Material((tone, tone, tone))
    parts = [box((0.43, 0.14, 0.02), keys)]
    parts += [
        box(
            (0.4, 0.02, 0.006),
            BLACK if tone > 0.1 else CHROME,
            (0, -0.05 + 0.027 * row, 0.02),
            faces="xXyYZ",
        )
        for row in range(4)
    ]
    parts.append(cushion((0.06, 0.1, 0.035), keys, (0.3, 0, 0), softness=2.5, steps=5))
    return merge(parts)

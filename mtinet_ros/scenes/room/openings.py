# SPDX-License-Identifier: Apache-2.0
"""Generated windows and doors.

Local frame: x along the wall, y = 0 its inner face and +y outwards, z up from the opening's lower
edge, x = 0 its middle. Everything of a window is class window (panes, frame, curtains), everything
of a door is class door (leaf, glass in it, casing).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mtinet_ros.scenes.assets.made_furniture import CHROME
from mtinet_ros.scenes.assets.made_objects import blind, curtain
from mtinet_ros.scenes.assets.texture import (
    Generator,
    carpet,
    fabric_color,
    fabric_material,
    hsv,
    paint_material,
    wood_material,
)
from mtinet_ros.scenes.geometry.mesh import Color, Material, Mesh, as_color, box, merge, quad

PANE = Material((0.02, 0.02, 0.02), specular=0.06, roughness=0.0, transmission=0.9)
FROSTED = Material((0.6, 0.65, 0.65), specular=0.04, roughness=0.2)


def _frame_material(rng: Generator) -> Material:
    if rng.random() < 0.6:
        return Material((0.75, 0.75, 0.73), specular=0.03, roughness=0.3)
    return wood_material(rng) if rng.random() < 0.6 else paint_material(rng)


def _border(
    width: float, height: float, edge: float, thick: float, y: float, material: Material
) -> list[Mesh]:
    """Four bars around a rectangle that starts at z = 0."""
    return [
        box((width, thick, edge), material, (0, y, 0)),
        box((width, thick, edge), material, (0, y, height - edge)),
        box((edge, thick, height - 2 * edge), material, (-(width - edge) / 2, y, edge)),
        box((edge, thick, height - 2 * edge), material, ((width - edge) / 2, y, edge)),
    ]


def window(rng: Generator, width: float, height: float, reveal: float) -> Mesh:
    """Frame, casements, glazing bars, panes, sill."""
    material = _frame_material(rng)
    edge, y = rng.uniform(0.04, 0.08), reveal - 0.04
    parts = _border(width, height, edge, 0.06, y, material)
    columns = max(1, round(width / rng.uniform(0.45, 1.3)))
    rows = 1 if rng.random() < 0.55 else max(1, round(height / rng.uniform(0.35, 0.9)))
    for column in range(1, columns):
        x = column * width / columns - width / 2
        parts.append(box((rng.uniform(0.04, 0.09), 0.05, height), material, (x, y, 0)))
    for row in range(1, rows):
        parts.append(box((width, 0.03, 0.03), material, (0, y, row * height / rows)))
    parts.append(quad((-width / 2, y + 0.005, 0), (width, 0, 0), (0, 0, height), PANE))
    if rng.random() < 0.7:
        parts.append(
            box((width + 0.1, reveal + 0.08, 0.03), material, (0, reveal / 2 - 0.05, -0.03))
        )
    if rng.random() < 0.4:
        parts += [
            part.transformed((0, 0, -0.07))
            for part in _border(width + 0.14, height + 0.14, 0.07, 0.02, -0.01, material)
        ]
    return merge(parts)


def _sheer_curtain(
    rng: Generator, window: tuple[float, float], hung: tuple[float, float, float], daylight: Color
) -> Mesh:
    """A thin white curtain over the whole window: bright before the panes, dim before the wall.

    Args:
        rng: Source of randomness.
        window: Width and height of the opening, metres.
        hung: Width of the curtain, and z of its lower and upper end, metres.
        daylight: Radiance of the daylight that it spreads, linear RGB.
    """
    width, lower, upper = hung
    tone = rng.uniform(0.6, 0.9)
    white = (tone, tone, tone * rng.uniform(0.92, 1.0))
    bright = np.array(daylight) * rng.uniform(0.5, 2.5)
    thin = rng.uniform(0.05, 0.4)
    before_glass = Material(white, emission=as_color(bright), transmission=thin, is_light=True)
    before_wall = Material(
        white, emission=as_color(bright * 0.08), transmission=thin * 0.5, is_light=True
    )
    cloth = curtain(rng, width, upper - lower, before_glass).transformed((0, 0, lower))
    center = cloth.corners.mean(axis=1)
    outside = (
        (np.abs(center[:, 0]) > window[0] / 2) | (center[:, 2] < 0) | (center[:, 2] > window[1])
    )
    return replace(cloth, material=outside.astype(np.int32), materials=(before_glass, before_wall))


def dressing(
    rng: Generator, width: float, height: float, floor: float, ceiling: float, daylight: Color
) -> Mesh | None:
    """Curtains, a blind, both or nothing (None).

    Args:
        rng: Source of randomness.
        width: Of the opening, metres.
        height: Of the opening, metres.
        floor: z of the room's floor in the local frame.
        ceiling: z of the room's ceiling in the local frame.
        daylight: Radiance of the daylight that a sheer curtain spreads, linear RGB.
    """
    parts: list[Mesh] = []
    kind = rng.random()
    if kind < 0.2:  # a sheer one over everything, mostly between two drapes
        top = ceiling - 0.01 if rng.random() < 0.6 else min(height + 0.15, ceiling - 0.01)
        lower = floor + 0.02 if rng.random() < 0.8 else -0.1
        wide = width * rng.uniform(0.95, 1.3)
        sheer = _sheer_curtain(rng, (width, height), (wide, lower, top), daylight)
        parts.append(sheer.transformed((0, -0.05, 0)))  # clear of the sill
        if rng.random() < 0.8:
            cloth = Material((1, 1, 1), carpet(rng, fabric_color(rng)), 1.0)
            for side in (-1, 1):
                each = rng.uniform(0.2, 0.7)
                drape = curtain(rng, each, top - lower, cloth)
                parts.append(drape.transformed((side * (wide + each * 0.8) / 2, -0.12, lower)))
        return merge(parts)
    if kind < 0.65:
        cloth = fabric_material(rng)
        if rng.random() < 0.55:  # plain
            cloth = Material((1, 1, 1), carpet(rng, fabric_color(rng)), 1.0)
        if rng.random() < 0.45:  # sheer
            tone = rng.uniform(0.6, 0.9)
            white = (tone, tone, tone * 0.97)
            cloth = Material(
                white, emission=daylight, transmission=rng.uniform(0.2, 0.5), is_light=True
            )
        lower = floor + 0.02 if rng.random() < 0.6 else -0.15
        top = height + rng.uniform(0.05, 0.2)
        if rng.random() < 0.3 or top > ceiling:
            top = ceiling - 0.03
        each = width * rng.uniform(0.15, 0.5)
        for side in (-1, 1):
            if rng.random() < 0.9:
                x = side * (width / 2 + 0.12 - each / 2)
                parts.append(curtain(rng, each, top - lower, cloth).transformed((x, 0, lower)))
        rod = box(
            (width + 0.4, 0.025, 0.025),
            CHROME if rng.random() < 0.5 else wood_material(rng),
            (0, -0.1, top),
        )
        parts.append(rod)
    if kind > 0.55 and rng.random() < 0.7:
        parts.append(blind(rng, width * 0.98, height))
    return merge(parts) if parts else None


def door_leaf(rng: Generator, width: float, height: float) -> tuple[Mesh, bool]:
    """A leaf 4 cm thick about y = 0, and whether it transmits light.

    Flat, panelled, with a window, all glass, or boarded; with handle on both sides.
    """
    material = _frame_material(rng) if rng.random() < 0.5 else wood_material(rng)
    thick, kind, transparent = 0.04, rng.random(), False
    parts: list[Mesh] = []
    if kind < 0.28:
        parts.append(box((width, thick, height), material))
    elif kind < 0.6:
        parts.append(box((width, thick - 0.02, height), material))
        edge, rows, columns = (
            width * rng.uniform(0.1, 0.16),
            int(rng.integers(1, 5)),
            int(rng.integers(1, 3)),
        )
        parts += _border(width, height, edge, thick, 0.0, material)
        for row in range(1, rows):
            parts.append(
                box(
                    (width, thick, edge * 0.8),
                    material,
                    (0, 0, height * (row + rng.uniform(-0.1, 0.1)) / rows),
                )
            )
        if columns == 2:
            parts.append(box((edge * 0.8, thick, height), material))
    elif kind < 0.9:
        edge = float(rng.choice([0.03, 0.08, 0.13]))
        lower = height * float(rng.choice([0.0, 0.0, 0.35, 0.5]))
        glass = PANE if rng.random() < 0.7 else FROSTED
        transparent = glass.transmission > 0
        parts += _border(width, height, edge, thick, 0.0, material)
        parts.append(quad((-width / 2, 0, lower), (width, 0, 0), (0, 0, height - lower), glass))
        if lower:
            parts.append(box((width, thick * 0.8, lower), material))
        if rng.random() < 0.45:
            rows, columns = int(rng.integers(1, 6)), int(rng.integers(1, 4))
            for row in range(1, rows):
                z = lower + row * (height - lower) / rows
                parts.append(box((width, thick * 0.7, 0.025), material, (0, 0, z)))
            for column in range(1, columns):
                x = column * width / columns - width / 2
                parts.append(box((0.025, thick * 0.7, height - lower), material, (x, 0, lower)))
    else:
        boards = int(rng.integers(4, 9))
        for board in range(boards):
            x = (board + 0.5) * width / boards - width / 2
            parts.append(box((width / boards - 0.006, thick, height), material, (x, 0, 0)))
    handle = (
        CHROME if rng.random() < 0.8 else Material(as_color(hsv(0.12, 0.6, 0.5)), specular=0.2)
    )
    for side in (-1, 1):
        x, y = width / 2 - 0.07, side * (thick / 2 + 0.03)
        if rng.random() < 0.8:
            parts.append(box((0.13, 0.02, 0.022), handle, (x - 0.05, y, 1.03)))
        else:
            parts.append(box((0.05, 0.05, 0.05), handle, (x, y, 1.0)))
        parts.append(
            box(
                (0.04, 0.06, 0.04 if rng.random() < 0.5 else 0.2),
                handle,
                (x, side * thick / 2, 0.95),
            )
        )
    return merge(parts), transparent


def door(rng: Generator, width: float, height: float, reveal: float) -> tuple[Mesh, bool]:
    """Casing and one or two leaves, closed or ajar; and whether one can see through the door."""
    casing = _frame_material(rng)
    edge = rng.uniform(0.05, 0.11)
    parts = [
        box((edge, 0.025, height + edge), casing, (side * (width + edge) / 2, -0.012, 0))
        for side in (-1, 1)
    ]
    parts.append(box((width, 0.025, edge), casing, (0, -0.012, height)))
    count = 2 if width > 1.15 else 1
    leaf, transparent = door_leaf(rng, width / count - 0.008, height - 0.012)
    hinge = 1 if rng.random() < 0.5 else -1
    ajar = rng.random() < 0.3
    y = rng.uniform(0.03, max(0.031, reveal - 0.03))
    for place in range(count):
        side = hinge if count == 1 else (-1, 1)[place]
        half = width / count / 2
        angle = (
            float(rng.uniform(0.3, 1.6)) if ajar and (place == 0 or rng.random() < 0.5) else 0.0
        )
        turned = leaf if side < 0 else leaf.transformed((0, 0, 0), np.pi)
        # the hinge is at the jamb; a positive angle opens the leaf outwards
        swung = turned.transformed((-side * half, 0, 0)).transformed((0, 0, 0), -side * angle)
        parts.append(
            swung.transformed((side * width / 2, y if angle == 0 else reveal - 0.03, 0.006))
        )
    return merge(parts), transparent or ajar

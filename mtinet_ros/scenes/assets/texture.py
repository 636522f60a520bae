# SPDX-License-Identifier: Apache-2.0
"""Procedural materials of rooms: plaster, wallpaper, wood, tiles, carpet, fabric, marble.

Every function takes a generator and gives an sRGB texture, uint8 [h, w, 3], that tiles seamlessly;
the `Material` that uses it says how many metres it covers.
"""

from __future__ import annotations

import colorsys

import cv2
import numpy as np
from numpy.typing import NDArray

from mtinet_ros.scenes.geometry.mesh import Material, as_color

Generator = np.random.Generator
Image = NDArray[np.uint8]
SIDE = 256


def noise(
    rng: Generator, shape: tuple[int, int], cells: tuple[int, int], octaves: int = 4
) -> NDArray[np.float32]:
    """Tiling fractal noise, about zero mean and unit deviation.

    Args:
        rng: Source of randomness.
        shape: Height and width in pixels.
        cells: Rows and columns of the coarsest grid.
        octaves: How many grids, each twice as fine and half as strong.
    """
    total = np.zeros(shape, np.float32)
    for octave in range(octaves):
        rows, columns = (min(c << octave, s) for c, s in zip(cells, shape, strict=True))
        grid = rng.standard_normal((rows, columns)).astype(np.float32)
        padded = np.pad(grid, 2, mode="wrap")
        y = (np.arange(shape[0], dtype=np.float32) + 0.5) * rows / shape[0] + 1.5
        x = (np.arange(shape[1], dtype=np.float32) + 0.5) * columns / shape[1] + 1.5
        total += cv2.remap(padded, *np.meshgrid(x, y), interpolation=cv2.INTER_CUBIC) * np.float32(
            0.5**octave
        )
    deviation = float(total.std())
    return np.asarray((total - total.mean()) / max(deviation, 1e-6), np.float32)


def hsv(hue: float, saturation: float, value: float) -> NDArray[np.float32]:
    """An sRGB colour 0..1 from hue (any real, in turns), saturation and value (clipped)."""
    s, v = min(max(saturation, 0.0), 1.0), min(max(value, 0.0), 1.0)
    return np.array(colorsys.hsv_to_rgb(hue % 1.0, s, v), np.float32)


def to_image(color: NDArray[np.floating]) -> Image:
    """Float sRGB 0..1 to uint8."""
    return np.asarray(np.clip(color, 0, 1) * 255 + 0.5, np.float32).astype(np.uint8)


def shaded(color: NDArray[np.float32], lightness: NDArray[np.float32]) -> Image:
    """One colour [3] (or [h, w, 3]) varied by a factor map [h, w]."""
    return to_image(color * lightness[..., None])


def wall_color(rng: Generator) -> NDArray[np.float32]:
    """Paint as people choose it: mostly off-white, cream and grey, sometimes a colour."""
    kind = rng.random()
    if kind < 0.62:
        return hsv(rng.normal(0.11, 0.04), rng.uniform(0.0, 0.13), rng.uniform(0.8, 0.97))
    if kind < 0.78:
        return hsv(rng.random(), rng.uniform(0.0, 0.06), rng.uniform(0.5, 0.8))
    if kind < 0.95:
        return hsv(rng.random(), rng.uniform(0.05, 0.28), rng.uniform(0.6, 0.92))
    return hsv(rng.random(), rng.uniform(0.3, 0.6), rng.uniform(0.25, 0.7))


def fabric_color(rng: Generator) -> NDArray[np.float32]:
    """Upholstery and bedding: whites and beiges, darks, greys, fewer colours."""
    kind = rng.random()
    if kind < 0.22:
        return hsv(rng.normal(0.1, 0.05), rng.uniform(0.0, 0.05), rng.uniform(0.82, 0.97))
    if kind < 0.45:
        return hsv(rng.normal(0.09, 0.04), rng.uniform(0.05, 0.3), rng.uniform(0.45, 0.92))
    if kind < 0.68:
        return hsv(rng.random(), rng.uniform(0.0, 0.25), rng.uniform(0.06, 0.4))
    if kind < 0.9:
        return hsv(rng.random(), rng.uniform(0.12, 0.5), rng.uniform(0.3, 0.85))
    return hsv(rng.random(), rng.uniform(0.5, 0.85), rng.uniform(0.3, 0.9))


def wood_color(rng: Generator) -> NDArray[np.float32]:
    """From bleached ash to wenge, sometimes painted white or black."""
    kind = rng.random()
    if kind < 0.17:
        return hsv(0.1, rng.uniform(0, 0.05), rng.uniform(0.85, 0.95))
    if kind < 0.25:
        return hsv(0.1, 0.1, rng.uniform(0.08, 0.2))
    value = rng.uniform(0.2, 0.85)
    return hsv(rng.uniform(0.05, 0.105), rng.uniform(0.25, 0.6) * (1.2 - 0.6 * value), value)


def plaster(rng: Generator, color: NDArray[np.float32]) -> Image:
    """Painted plaster: nearly even, with stains larger than the hand and a fine grain."""
    blotch = noise(rng, (SIDE, SIDE), (2, 2), 3) * rng.uniform(0.0, 0.02)
    grain = noise(rng, (SIDE, SIDE), (96, 96), 2) * rng.uniform(0.0, 0.02)
    return shaded(color, 1 + blotch + grain)


def wallpaper(rng: Generator, color: NDArray[np.float32]) -> Image:
    """Stripes, damask-like blobs or a small repeated motif."""
    x = np.arange(SIDE) / SIDE
    other = np.clip(color * rng.uniform(0.78, 1.1) + rng.normal(0, 0.03, 3), 0, 1)
    kind = rng.integers(3)
    if kind == 0:
        mask = np.repeat(
            (np.sin(2 * np.pi * x * rng.integers(2, 12)) > rng.uniform(-0.5, 0.7))[None], SIDE, 0
        )
    elif kind == 1:
        mask = noise(rng, (SIDE, SIDE), (3, 3), 3) > rng.uniform(0, 1)
    else:
        count = int(rng.integers(2, 7))
        u, v = np.meshgrid((x * count) % 1 - 0.5, (x * count) % 1 - 0.5)
        radius = np.hypot(u, v)
        mask = (
            np.sin(radius * rng.uniform(8, 25) + np.cos(np.arctan2(v, u) * rng.integers(3, 8)))
            > 0.3
        )
    soft = cv2.GaussianBlur(np.asarray(mask, np.float32), (0, 0), 0.8)[..., None]
    return to_image(color * (1 - soft) + other * soft)


def wood(rng: Generator, color: NDArray[np.float32], planks: int = 0) -> Image:
    """Grain along the rows' direction; `planks` > 0 lays boards with joints."""
    h, w = SIDE, SIDE
    stretch = noise(rng, (h, w), (12, 2), 4)
    rings = np.sin((np.arange(h)[:, None] / h) * 2 * np.pi * rng.integers(2, 7) + stretch * 1.5)
    fine = noise(rng, (h, w), (128, 6), 2)
    light = 1 + rng.uniform(0.03, 0.11) * rings + 0.05 * stretch + rng.uniform(0.01, 0.05) * fine
    if planks:
        rows = np.arange(h) * planks // h
        shift = rng.integers(0, w, planks)
        tone = 1 + rng.normal(0, rng.uniform(0.02, 0.14), (planks, 2))
        x = (np.arange(w)[None] + shift[rows][:, None]) % w
        light = np.take_along_axis(light, x, axis=1) * tone[rows[:, None], (x * 2 // w) % 2]
        joint = (np.arange(h) * planks % h < planks)[:, None] | (x % (w // 2) < 1)
        light = np.where(joint, light * rng.uniform(0.4, 0.85), light)
    return shaded(color, light.astype(np.float32))


def tiles(rng: Generator, color: NDArray[np.float32], count: int = 4) -> Image:
    """Ceramic tiles with grout: square or brick-bonded, plain, two-tone or marbled."""
    y, x = np.mgrid[0:SIDE, 0:SIDE] * (count / SIDE)
    if rng.random() < 0.3:
        x = x + 0.5 * (np.floor(y) % 2)
    row, column = np.floor(y).astype(int) % count, np.floor(x).astype(int) % count
    tone = 1 + rng.normal(0, rng.uniform(0.0, 0.06), (count, count))
    light = tone[row, column] + noise(rng, (SIDE, SIDE), (6, 6), 4) * rng.uniform(0, 0.06)
    base = np.broadcast_to(color, (SIDE, SIDE, 3))
    if rng.random() < 0.15 and count % 2 == 0:
        base = np.where(((row + column) % 2 == 0)[..., None], base, wall_color(rng) * 0.7)
    grout = np.minimum.reduce([x % 1, y % 1, 1 - x % 1, 1 - y % 1]) < count * 1.3 / SIDE
    joint = wall_color(rng) * rng.uniform(0.4, 0.95)
    return to_image(np.where(grout[..., None], joint, base * light[..., None]))


def carpet(rng: Generator, color: NDArray[np.float32]) -> Image:
    """Pile: strong fine grain, weak blotches."""
    light = 1 + noise(rng, (SIDE, SIDE), (128, 128), 2) * rng.uniform(0.04, 0.14)
    light += noise(rng, (SIDE, SIDE), (4, 4), 3) * rng.uniform(0, 0.05)
    return shaded(color, light)


def fabric(rng: Generator, color: NDArray[np.float32]) -> Image:
    """Woven cloth: plain, striped, checked, dotted, floral."""
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    weave = 1 + 0.05 * np.sin(2 * np.pi * 64 * x) * np.sin(2 * np.pi * 64 * y)
    weave += noise(rng, (SIDE, SIDE), (64, 64), 2) * rng.uniform(0.01, 0.05)
    base = np.broadcast_to(color, (SIDE, SIDE, 3))
    kind, other = rng.random(), fabric_color(rng)
    count = int(rng.integers(2, 9))
    if kind < 0.08:
        mask = (np.sin(2 * np.pi * count * x) > rng.uniform(-0.5, 0.8)).astype(np.float32)
    elif kind < 0.15:
        mask = (np.sin(2 * np.pi * count * x) > 0.2) * 0.5 + (
            np.sin(2 * np.pi * count * y) > 0.2
        ) * 0.5
    elif kind < 0.2:
        mask = (np.hypot((x * count) % 1 - 0.5, (y * count) % 1 - 0.5) < 0.28).astype(np.float32)
    elif kind < 0.28:
        mask = noise(rng, (SIDE, SIDE), (count, count), 2) > 0.6
    else:
        mask = np.zeros((SIDE, SIDE))
    mask = np.asarray(mask)[..., None]
    return to_image((base * (1 - mask) + other * mask) * weave[..., None])


def oriental(rng: Generator) -> Image:
    """A rug with a border and a mirrored ornament; does not tile, it is the whole rug."""
    quarter = noise(rng, (SIDE // 2, SIDE // 2), (5, 5), 3)
    field = np.block([[quarter, quarter[:, ::-1]], [quarter[::-1], quarter[::-1, ::-1]]])
    palette = np.stack([fabric_color(rng) for _ in range(4)])
    image = palette[np.digitize(field, [-0.6, 0.3, 1.0])]
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    edge = np.minimum.reduce([x, y, SIDE - 1 - x, SIDE - 1 - y])
    width = int(rng.integers(8, 30))
    image = np.where((edge < width)[..., None], palette[3] * 0.8, image)
    image = np.where(((edge > width) & (edge < width + 4))[..., None], palette[0], image)
    return to_image(image * (1 + 0.06 * noise(rng, (SIDE, SIDE), (128, 128), 1))[..., None])


def marble(rng: Generator, color: NDArray[np.float32]) -> Image:
    """Stone worktops and floors: veins or speckles."""
    light: NDArray[np.floating]
    if rng.random() < 0.5:
        veins = np.abs(noise(rng, (SIDE, SIDE), (3, 3), 5))
        light = 1 - rng.uniform(0.1, 0.4) * np.exp(-veins * rng.uniform(6, 18))
    else:
        light = 1 + noise(rng, (SIDE, SIDE), (80, 80), 2) * rng.uniform(0.05, 0.25)
    return shaded(color, np.asarray(light, np.float32))


def floor_material(rng: Generator, wet: bool) -> Material:
    """Parquet, laminate, carpet, tiles or stone; tiles where it gets wet."""
    kind = rng.random() * (0.45 if wet else 1.0)
    gloss = float(rng.choice([0.0, 0.0, 0.04, 0.07]))
    if kind < 0.3:
        image, tile = (
            tiles(rng, wall_color(rng) * rng.uniform(0.5, 1), int(rng.choice([2, 4]))),
            rng.uniform(0.6, 1.6),
        )
    elif kind < 0.45:
        image, tile = marble(rng, wall_color(rng) * rng.uniform(0.4, 1)), rng.uniform(0.8, 2.0)
    elif kind < 0.8:
        image, tile = wood(rng, wood_color(rng), int(rng.integers(4, 12))), rng.uniform(0.8, 1.8)
    else:
        image, tile, gloss = carpet(rng, fabric_color(rng)), rng.uniform(0.5, 1.5), 0.0
    return Material((1, 1, 1), image, float(tile), gloss, float(rng.uniform(0.05, 0.25)))


def wall_material(rng: Generator, wet: bool) -> Material:
    """Paint, wallpaper, brick or panelling; tiles where it gets wet."""
    color = wall_color(rng)
    kind = rng.random()
    if wet and kind < 0.65:
        return Material((1, 1, 1), tiles(rng, color, 4), float(rng.uniform(0.4, 1.6)), 0.04, 0.1)
    if kind < 0.8:
        return Material((1, 1, 1), plaster(rng, color), float(rng.uniform(1.5, 3.0)))
    if kind < 0.93:
        return Material((1, 1, 1), wallpaper(rng, color), float(rng.uniform(0.5, 1.5)))
    if kind < 0.97:
        return Material(
            (1, 1, 1), tiles(rng, hsv(0.03, rng.uniform(0.05, 0.5), rng.uniform(0.4, 0.9)), 8), 1.2
        )
    return Material((1, 1, 1), wood(rng, wood_color(rng), 6), 1.2)


def wood_material(rng: Generator) -> Material:
    """Wood of furniture and doors, matt or varnished."""
    gloss = float(rng.choice([0.0, 0.03, 0.05]))
    return Material(
        (1, 1, 1), wood(rng, wood_color(rng)), float(rng.uniform(0.5, 1.2)), gloss, 0.25
    )


def fabric_material(rng: Generator) -> Material:
    """Cloth of upholstery, bedding and curtains."""
    return Material((1, 1, 1), fabric(rng, fabric_color(rng)), float(rng.uniform(0.3, 1.0)))


def paint_material(rng: Generator) -> Material:
    """Plain lacquer: any colour, often white, black or grey."""
    color = fabric_color(rng) if rng.random() < 0.5 else hsv(0, 0, rng.choice([0.06, 0.5, 0.9]))
    return Material(as_color(np.maximum(color, 0.03) ** 2.2), specular=0.03, roughness=0.3)


def metal_material(rng: Generator) -> Material:
    """Brushed or polished steel, brass, black iron."""
    value = float(rng.choice([0.05, 0.25, 0.4]))
    tint = 0.6 if rng.random() < 0.15 else 1.0
    return Material((value, value * (0.5 + tint / 2), value * tint), specular=0.2, roughness=0.25)

# SPDX-License-Identifier: Apache-2.0
"""Procedural images: for frames on walls, for screens, and the panorama outside windows.

Each takes a generator and returns sRGB uint8 [h, w, 3].
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from mtinet_ros.scenes.assets.texture import Generator, Image, fabric_color, hsv, noise, to_image
from mtinet_ros.scenes.geometry.mesh import as_color

SIZE = (160, 224)


def landscape(rng: Generator, shape: tuple[int, int] = SIZE) -> Image:
    """Sky, ridges that fade with distance, a foreground."""
    h, w = shape
    top, low = (
        hsv(0.55 + rng.normal(0, 0.08), rng.uniform(0.2, 0.6), rng.uniform(0.5, 0.95)),
        hsv(rng.uniform(0.02, 0.6), rng.uniform(0.05, 0.4), rng.uniform(0.7, 1.0)),
    )
    t = np.linspace(0, 1, h, dtype=np.float32)[:, None, None]
    image = np.repeat(top * (1 - t) + low * t, w, axis=1)
    image += 0.08 * np.maximum(noise(rng, shape, (3, 3), 5), 0)[..., None]
    ground = hsv(rng.uniform(0.05, 0.45), rng.uniform(0.2, 0.7), rng.uniform(0.15, 0.6))
    ridges = int(rng.integers(1, 5))
    y = np.arange(h)[:, None]
    for ridge in range(ridges):
        level = h * (0.45 + 0.5 * ridge / ridges)
        line = level - noise(rng, (1, w), (1, 4), 4)[0] * h * 0.06
        fade = (ridge + 1) / ridges
        texture = 1 + 0.15 * noise(rng, shape, (20, 30), 3)
        color = (ground * fade + low * (1 - fade)) * texture[..., None]
        image = np.where((y > line)[..., None], color, image)
    return to_image(image)


def abstract(rng: Generator, shape: tuple[int, int] = SIZE) -> Image:
    """Overlapping rectangles, discs and strokes."""
    h, w = shape
    canvas = np.empty((h, w, 3), np.float32)
    canvas[:] = fabric_color(rng)
    for _ in range(int(rng.integers(4, 22))):
        color = as_color(fabric_color(rng))
        x, y = int(rng.integers(w)), int(rng.integers(h))
        size = int(rng.integers(8, h // 2))
        kind = rng.integers(3)
        if kind == 0:
            cv2.rectangle(canvas, (x, y), (x + size, y + int(rng.integers(5, h))), color, -1)
        elif kind == 1:
            cv2.circle(canvas, (x, y), size // 2, color, -1, cv2.LINE_AA)
        else:
            end = (int(rng.integers(w)), int(rng.integers(h)))
            cv2.line(canvas, (x, y), end, color, int(rng.integers(1, 12)), cv2.LINE_AA)
    return to_image(canvas * (1 + 0.05 * noise(rng, shape, (40, 40), 2))[..., None])


def portrait(rng: Generator, shape: tuple[int, int] = SIZE) -> Image:
    """A head and shoulders in front of a blurred ground."""
    h, w = shape
    canvas = np.empty((h, w, 3), np.float32)
    canvas[:] = hsv(rng.random(), rng.uniform(0, 0.4), rng.uniform(0.1, 0.8))
    canvas *= 1 + 0.2 * noise(rng, shape, (3, 3), 3)[..., None]
    skin = hsv(rng.uniform(0.03, 0.08), rng.uniform(0.25, 0.6), rng.uniform(0.3, 0.95))
    x, y, r = w // 2 + int(rng.normal(0, w / 12)), int(h * 0.4), int(h * rng.uniform(0.12, 0.22))
    cv2.ellipse(
        canvas, (x, h), (int(r * 2.2), int(h * 0.42)), 0, 0, 360, fabric_color(rng).tolist(), -1
    )
    cv2.ellipse(
        canvas,
        (x, y - r // 4),
        (int(r * 1.1), int(r * 1.4)),
        0,
        0,
        360,
        (hsv(0.07, 0.5, rng.uniform(0.05, 0.5))).tolist(),
        -1,
    )
    cv2.ellipse(
        canvas, (x, y + r // 5), (int(r * 0.85), int(r * 1.15)), 0, 0, 360, skin.tolist(), -1
    )
    blurred = cv2.GaussianBlur(canvas, (0, 0), float(rng.uniform(0.6, 3)))
    return to_image(np.asarray(blurred, np.float32))


def print_of_text(rng: Generator, shape: tuple[int, int] = SIZE) -> Image:
    """A page, a poster or a document on a screen: lines of strokes and perhaps a figure."""
    h, w = shape
    dark = rng.random() < 0.25
    paper, ink = (
        (hsv(0.6, 0.2, 0.12), hsv(0.3, 0.3, 0.8))
        if dark
        else (hsv(0.1, 0.04, 0.95), hsv(0.6, 0.3, 0.2))
    )
    canvas = np.empty((h, w, 3), np.float32)
    canvas[:] = paper
    step = int(rng.integers(5, 12))
    for y in range(step, h - step, step):
        x = int(w * 0.06) + int(rng.integers(0, 3)) * step
        while x < w * rng.uniform(0.5, 0.95):
            length = int(rng.integers(3, 24))
            color = ink if rng.random() < 0.85 else fabric_color(rng)
            cv2.line(
                canvas, (x, y), (min(x + length, w - 4), y), color.tolist(), max(1, step // 4)
            )
            x += length + int(rng.integers(3, 7))
    if rng.random() < 0.6:
        x, y = int(rng.integers(w // 2)), int(rng.integers(h // 2))
        figure = landscape(rng, (h // 2, w // 2)).astype(np.float32) / 255
        canvas[y : y + h // 2, x : x + w // 2] = figure
    return to_image(canvas)


def desktop(rng: Generator, shape: tuple[int, int] = SIZE) -> Image:
    """A computer screen: wallpaper, windows, a bar."""
    h, w = shape
    canvas: Image = (landscape if rng.random() < 0.5 else abstract)(rng, shape)
    for _ in range(int(rng.integers(0, 4))):
        hh, ww = int(rng.integers(h // 3, h)), int(rng.integers(w // 3, w))
        y, x = int(rng.integers(0, h - hh + 1)), int(rng.integers(0, w - ww + 1))
        canvas[y : y + hh, x : x + ww] = print_of_text(rng, (hh, ww))
        canvas[y : y + 6, x : x + ww] = to_image(fabric_color(rng))
    canvas[-8:] = to_image(hsv(0.6, 0.2, rng.uniform(0.05, 0.9)))
    return canvas


def broadcast(rng: Generator, shape: tuple[int, int] = SIZE) -> Image:
    """A television picture: a scene with people, titles, a score board or a menu."""
    canvas = (landscape, portrait, abstract, portrait)[int(rng.integers(4))](rng, shape)
    h, w = shape
    if rng.random() < 0.5:
        y = int(h * rng.uniform(0.72, 0.9))
        canvas[y : y + h // 10, w // 12 : w - w // 12] = to_image(fabric_color(rng))
        cv2.line(
            canvas,
            (w // 9, y + h // 20),
            (int(w * rng.uniform(0.4, 0.85)), y + h // 20),
            (240, 240, 240),
            3,
        )
    return canvas


def picture(rng: Generator, shape: tuple[int, int] = SIZE) -> Image:
    """Any wall picture; photographs and prints in colour or black and white."""
    makers = (landscape, abstract, landscape, abstract, print_of_text, portrait, landscape)
    image = makers[int(rng.integers(len(makers)))](rng, shape)
    if rng.random() < 0.2:
        image = np.repeat(image.mean(axis=-1, keepdims=True), 3, axis=-1).astype(np.uint8)
    return image


def screen(rng: Generator) -> Image:
    """What a computer's screen shows."""
    return (desktop, print_of_text)[int(rng.random() < 0.3)](rng)


def spines(rng: Generator, count: int) -> NDArray[np.float32]:
    """Colours of book backs [count, 3], sRGB 0..1: a few bright, many dull."""
    return np.stack([fabric_color(rng) * rng.uniform(0.6, 1.0) for _ in range(count)])


def environment_map(rng: Generator, night: bool) -> NDArray[np.float32]:
    """Panorama around the building, linear radiance [128, 512, 3]; the horizon is the middle row.

    The sky has radiance about 1 by day. Houses or trees stand on the horizon, ground below.
    """
    h, w = 128, 512
    shape = (h, w)
    t = np.linspace(1, -1, h, dtype=np.float32)[:, None]  # sine of elevation, roughly
    if rng.random() < 0.5:
        zenith, haze = hsv(0.58, rng.uniform(0.25, 0.6), 0.85), hsv(0.57, 0.1, 1.0)
    else:
        zenith, haze = hsv(0.6, 0.05, rng.uniform(0.7, 1)), hsv(0.6, 0.03, 1.0)
    up = np.clip(t, 0, 1)[..., None] ** 0.5
    image = np.repeat(haze * (1 - up) + zenith * up, w, axis=1)
    cloud = np.clip(noise(rng, shape, (4, 8), 5), 0, 2)[..., None] * rng.uniform(0, 0.3)
    image = image * (1 - np.clip(cloud, 0, 0.8)) + np.clip(cloud, 0, 0.8)
    ground = hsv(rng.choice([0.1, 0.28, 0.6]), rng.uniform(0.05, 0.5), rng.uniform(0.2, 0.5))
    texture = 1 + 0.2 * noise(rng, shape, (16, 64), 3)
    image = np.where((t < 0)[..., None], ground * texture[..., None], image)
    x, y = np.arange(w), np.arange(h)[:, None]
    if rng.random() < 0.5:  # houses with windows
        left = 0
        while left < w:
            width = int(rng.integers(15, 60))
            top = h // 2 - int(rng.integers(-2, 34))
            color = hsv(rng.uniform(0, 0.15), rng.uniform(0.05, 0.5), rng.uniform(0.3, 0.85))
            block = (x >= left) & (x < left + width) & (y > top) & (y < h // 2 + 14)
            lit = 4.0 if night and rng.random() < 0.6 else 0.35
            pane = block & ((x - left) % 9 > 4) & ((y - top) % 11 > 5)
            image = np.where(block[..., None], color, image)
            image = np.where(pane[..., None], color * lit if night else color * 0.35, image)
            left += width + int(rng.integers(0, 25))
    if rng.random() < 0.75:  # trees
        crown = h // 2 - 4 - noise(rng, (1, w), (1, 10), 4)[0] * rng.uniform(5, 14)
        leaves = hsv(rng.uniform(0.2, 0.35), rng.uniform(0.3, 0.7), rng.uniform(0.15, 0.4))
        texture = np.clip(1 + 0.4 * noise(rng, shape, (20, 80), 3), 0.2, 2)[..., None]
        trees = ((y > crown) & (y < h // 2 + 10))[..., None]
        image = np.where(trees, leaves * texture, image)
    radiance = np.clip(image, 0, 4) ** 2.2
    return np.asarray(radiance * (0.01 if night else 1.0), np.float32)

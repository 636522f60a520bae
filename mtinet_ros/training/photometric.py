# SPDX-License-Identifier: Apache-2.0
"""Photometric augmentation: light, color, sharpness, noise and compression of real cameras.

Rendered rooms are cleaner than any photograph. All that changes an image without moving a pixel is
drawn from wide ranges, so that the network cannot rely on how the renderer shades.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Light = NDArray[np.float32]


def photometric(image: Image, random: np.random.Generator, strength: float = 1.0) -> Image:
    """An image with random photometric changes; the geometry stays as it is.

    Args:
        image: uint8 [H, W, 3], RGB.
        random: Source of randomness.
        strength: 0 leaves the image unchanged; 1 is strong.

    Returns:
        uint8 [H, W, 3].
    """
    if strength <= 0:
        return image

    def chance(probability: float) -> bool:
        return bool(random.random() < probability * min(strength, 1.0))

    light = image.astype(np.float32) / np.float32(255)
    if chance(0.8):
        light = _expose(light, random, strength)
    if chance(0.2):
        light = _overexpose(light, random, strength)
    if chance(0.15):
        light = _add_veiling_glare(light, random, strength)
    if chance(0.4):
        light = _illuminate_unevenly(light, random, strength)
    if chance(0.8):
        light = _recolor(light, random, strength)
    if chance(0.35):
        light = _blur(light, random, strength)
    if chance(0.5):
        light = _add_noise(light, random, strength)
    result: Image = np.clip(light * 255 + np.float32(0.5), 0, 255).astype(np.uint8)
    if chance(0.35):
        result = _compress(result, int(random.integers(25, 90)))
    return result


def _expose(light: Light, random: np.random.Generator, strength: float) -> Light:
    """Gain, gamma and contrast."""
    gain, gamma = np.exp2(random.uniform(-0.7, 0.7, 2) * strength)
    contrast = np.exp2(random.uniform(-0.5, 0.5) * strength)
    exposed = np.power(np.clip(light, 0, 1), np.float32(gamma)) * np.float32(gain)
    middle = exposed.mean()
    return _clip((exposed - middle) * np.float32(contrast) + middle)


def _overexpose(light: Light, random: np.random.Generator, strength: float) -> Light:
    """Exposure for the dark parts: bright ones saturate and bloom over their surroundings."""
    linear = np.power(light, np.float32(2.2)) * np.float32(
        np.exp2(random.uniform(0.3, 1.8) * strength)
    )
    height, width = light.shape[:2]
    small = (width // 4, height // 4)
    excess = cv2.resize(np.maximum(linear - 0.8, 0), small, interpolation=cv2.INTER_AREA)
    glow = cv2.GaussianBlur(excess, (0, 0), random.uniform(1.0, 6.0))
    glow = cv2.resize(glow, (width, height), interpolation=cv2.INTER_LINEAR)
    linear = linear + glow * np.float32(random.uniform(0.0, 0.5) * strength)
    return _clip(np.power(np.clip(linear, 0, 1), np.float32(1 / 2.2)))


def _add_veiling_glare(light: Light, random: np.random.Generator, strength: float) -> Light:
    """Stray light in the lens, or a camera that lifts its shadows: blacks become gray."""
    amount = np.float32(random.uniform(0.05, 0.3) * min(strength, 1.0))
    tint = random.uniform(0.6, 1.0, 3).astype(np.float32)
    return _clip(light * (1 - amount) + tint * amount)


def _illuminate_unevenly(light: Light, random: np.random.Generator, strength: float) -> Light:
    """Lamps and windows outside the image: a smooth field of gains, slightly colored."""
    coarse = np.exp2(random.uniform(-0.6, 0.6, (3, 4, 1)) * strength)
    coarse = coarse * np.exp2(random.uniform(-0.1, 0.1, (3, 4, 3)) * strength)
    height, width = light.shape[:2]
    field = cv2.resize(coarse.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    return _clip(light * field)


def _recolor(light: Light, random: np.random.Generator, strength: float) -> Light:
    """White balance, saturation and a turn of the hue, as one 3×3 matrix."""
    balance = np.exp2(random.uniform(-0.25, 0.25, 3) * strength)
    saturation = 0.0 if random.random() < 0.08 else random.uniform(1 - 0.6 * strength, 1.5)
    gray = np.full((3, 3), 1 / 3)
    hue, _ = cv2.Rodrigues(np.full(3, 1 / np.sqrt(3)) * random.uniform(-0.35, 0.35) * strength)
    matrix = hue @ (gray + saturation * (np.eye(3) - gray)) @ np.diag(balance)
    return _clip(light @ matrix.T.astype(np.float32))


def _blur(light: Light, random: np.random.Generator, strength: float) -> Light:
    """Defocus blur, motion blur or low resolution."""
    kind = random.integers(3)
    height, width = light.shape[:2]
    if kind == 0:
        return np.asarray(
            cv2.GaussianBlur(light, (0, 0), random.uniform(0.3, 1.5) * strength), np.float32
        )
    if kind == 1:
        length = int(random.integers(2, 2 + max(1, round(6 * strength))))
        kernel = np.zeros((2 * length + 1, 2 * length + 1), np.float32)
        angle = random.uniform(0, np.pi)
        reach = length / 2 * np.array([np.cos(angle), np.sin(angle)])
        begin, end = np.round(length - reach).astype(int), np.round(length + reach).astype(int)
        cv2.line(kernel, begin.tolist(), end.tolist(), 1.0)
        return np.asarray(cv2.filter2D(light, -1, kernel / kernel.sum()), np.float32)
    factor = random.uniform(0.4, 0.9)
    small = cv2.resize(
        light, (round(width * factor), round(height * factor)), interpolation=cv2.INTER_AREA
    )
    return np.asarray(
        cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.float32
    )


def _add_noise(light: Light, random: np.random.Generator, strength: float) -> Light:
    """Sensor noise: constant and growing with light, sometimes blotchy as after demosaicing."""
    sigma = random.uniform(0.005, 0.05) * strength
    noise = random.standard_normal(light.shape, dtype=np.float32)
    if random.random() < 0.5:
        noise = np.asarray(cv2.GaussianBlur(noise, (0, 0), 0.8), np.float32) * np.float32(2)
    shot = np.sqrt(np.clip(light, 0, 1)) if random.random() < 0.5 else np.float32(1)
    return _clip(light + noise * shot * np.float32(sigma))


def _compress(image: Image, quality: int) -> Image:
    encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.uint8)


def _clip(light: NDArray[np.floating]) -> Light:
    return np.asarray(np.clip(light, 0, 1), np.float32)

# SPDX-License-Identifier: Apache-2.0
"""From radiance to the image of a cheap camera: exposure, color, blur, noise, JPEG."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mtinet_ros.scenes.assets.texture import Generator
from mtinet_ros.scenes.rendering.surfaces import Array


@dataclass(frozen=True)
class Sensor:
    """Settings of one camera; the frames of a video share them.

    Attributes:
        exposure: Factor on the automatic exposure.
        balance: Gains of red, green, blue.
        blur: Standard deviation of the defocus, pixels.
        motion_blur: Length of the motion blur, pixels; 0 for none.
        motion_direction: Direction of the motion blur, radians.
        shot_noise: Twice the noise's deviation at light 1; it grows with the light's square root.
        read_noise: The noise's deviation in the dark.
        vignette: Loss of light in the corners, 0..1.
        contrast: Strength of the S-curve, 0..1.
        saturation: 1 leaves colors as they are.
        sharpening: Strength of the camera's unsharp mask.
        quality: JPEG quality, 0 for none.
    """

    exposure: float
    balance: tuple[float, float, float]
    blur: float
    motion_blur: float
    motion_direction: float
    shot_noise: float
    read_noise: float
    vignette: float
    contrast: float
    saturation: float
    sharpening: float
    quality: int


def draw_sensor(rng: Generator) -> Sensor:
    """Random settings between those of a good phone and of a poor webcam."""
    warm, tint = rng.normal(0, 0.07), rng.normal(0, 0.025)
    return Sensor(
        exposure=float(np.exp2(rng.normal(0.3, 0.4))),
        balance=(float(np.exp(warm)), float(np.exp(tint)), float(np.exp(-warm))),
        blur=float(rng.uniform(0.3, 0.6) if rng.random() < 0.85 else rng.uniform(0.6, 1.3)),
        motion_blur=float(rng.uniform(1.5, 6) if rng.random() < 0.12 else 0.0),
        motion_direction=float(rng.uniform(0, np.pi)),
        shot_noise=float(10 ** rng.uniform(-2.4, -1.35)),
        read_noise=float(10 ** rng.uniform(-3.2, -2.1)),
        vignette=float(rng.uniform(0, 0.35)),
        contrast=float(rng.uniform(0, 0.6)),
        saturation=float(rng.uniform(0.6, 1.1)),
        sharpening=float(rng.choice([0.0, 0.4, 0.9])),
        quality=int(rng.choice([0, 60, 75, 85, 92, 95])),
    )


def brightness(light: Array) -> Array:
    """Mean of red, green and blue, [H, W, 3] to [H, W]."""
    return np.asarray(cv2.transform(light, np.full((1, 3), 1 / 3)), np.float32)


def automatic_exposure(radiance: Array) -> float:
    """Gain that brings the middle tones to 0.18; the brightest do not count."""
    gray = brightness(radiance)
    light = np.minimum(gray, np.quantile(gray, 0.92))
    center = float(np.exp(np.log(np.maximum(light, 1e-4)).mean()))
    return 0.18 / max(0.6 * center + 0.4 * float(light.mean()), 1e-4)


def expose(radiance: Array, sensor: Sensor, gain: float, rng: Generator) -> NDArray[np.uint8]:
    """The image, sRGB uint8 [H, W, 3], of linear radiance float32 [H, W, 3].

    Args:
        radiance: From the renderer.
        sensor: The camera.
        gain: From `automatic_exposure`; a video keeps its first one, drifting slowly.
        rng: For the noise.
    """
    height, width = radiance.shape[:2]
    light = radiance * np.float32(gain * sensor.exposure) * np.array(sensor.balance, np.float32)
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    light = (
        light * (1 - np.float32(sensor.vignette / 2) * (x**2 + y**2).astype(np.float32))[..., None]
    )
    light = np.minimum(light, 6.0)  # glare around blown-out windows, not over the whole image
    light = cv2.GaussianBlur(light, (0, 0), sensor.blur)
    if sensor.motion_blur:
        light = cv2.filter2D(
            light, -1, _motion_kernel(sensor.motion_blur, sensor.motion_direction)
        )
    noise = rng.standard_normal(light.shape).astype(np.float32)
    coarse = rng.standard_normal((height // 2 + 1, width // 2 + 1, 3)).astype(np.float32)
    noise = 0.8 * noise + 0.6 * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    light = light + noise * np.sqrt(
        sensor.shot_noise**2 * np.maximum(light, 0) * 0.25 + sensor.read_noise**2
    )
    light = np.maximum(light, 0)
    gray = brightness(light)[..., None]
    light = np.maximum(gray + (light - gray) * sensor.saturation, 0)
    value = np.where(
        light < 0.7, light, 0.7 + 0.3 * (1 - np.exp(-(light - 0.7) / 0.3))
    )  # shoulder
    value = np.clip(value, 0, 1) ** (1 / 2.2)
    smooth = value * value * (3 - 2 * value)
    value = value * (1 - sensor.contrast) + smooth * sensor.contrast
    if sensor.sharpening:
        value = value + sensor.sharpening * (value - cv2.GaussianBlur(value, (0, 0), 1.0))
    image = (np.clip(value, 0, 1) * 255 + 0.5).astype(np.uint8)
    if sensor.quality:
        _, data = cv2.imencode(
            ".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, sensor.quality]
        )
        decoded = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
        image = np.ascontiguousarray(decoded[..., ::-1])
    return np.asarray(image, np.uint8)


def _motion_kernel(length: float, direction: float) -> Array:
    side = int(np.ceil(length)) | 1
    kernel = np.zeros((side + 2, side + 2), np.float32)
    center = (side + 1) / 2
    step = length / 2 * np.array([np.cos(direction), np.sin(direction)])
    for t in np.linspace(-1, 1, 4 * side):
        px, py = center + t * step
        kernel[round(py), round(px)] += 1
    return np.asarray(kernel / kernel.sum(), np.float32)

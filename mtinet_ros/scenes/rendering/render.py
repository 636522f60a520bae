# SPDX-License-Identifier: Apache-2.0
"""One rendered frame: its radiance, and the exact geometry at every pixel's centre."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mtinet_ros.model_contract import VOID_ID
from mtinet_ros.scenes.geometry.mesh import dot, length
from mtinet_ros.scenes.rendering.camera import Camera
from mtinet_ros.scenes.rendering.lighting import RAY_OFFSET, Lighting, smooth_along_surfaces
from mtinet_ros.scenes.rendering.surfaces import Array, Hits, Surfaces

SUBSAMPLES = ((-0.3, -0.17), (0.3, 0.17))
"""Offsets of the subsamples of pixels at edges from the centre, pixels."""
SUN_STEPS, DIRECT_STEPS, BOUNCE_STEPS = (1,), (1, 2, 3), (1, 2, 4, 7)


@dataclass(frozen=True, eq=False)
class Render:
    """One rendered view.

    Attributes:
        radiance: Linear RGB, float32 [H, W, 3], not exposed.
        classes: uint8 [H, W].
        instance: uint16 [H, W].
        depth: float32 [H, W], metres along the optical axis, 0 where nothing was hit.
        normals: float32 [H, W, 3], camera optical frame, facing the viewer; zero for nothing.
    """

    radiance: Array
    classes: NDArray[np.uint8]
    instance: NDArray[np.uint16]
    depth: Array
    normals: Array


@dataclass(frozen=True, eq=False)
class _Samples:
    """Surface points that are visible at positions in the image; all are hits."""

    pixels: Array
    rays: Array
    hits: Hits
    points: Array
    normals: Array
    albedo: Array


class _LightGrid:
    """Irradiance on every second pixel, and its interpolation along surfaces."""

    def __init__(self, light: Array, points: Array, normals: Array, scale: Array) -> None:
        """Take images of half the resolution: [h, w, 3] each, `scale` (metres a pixel) [h, w]."""
        self._shape = scale.shape
        nodes = np.concatenate([light, points, normals, scale[..., None]], axis=-1)
        self._nodes = nodes.reshape(-1, 10)

    def at(self, samples: _Samples) -> Array:
        """Irradiance at samples: bilinear, but only from nodes on the same surface."""
        h, w = self._shape
        x = np.clip(samples.pixels[:, 0] / 2, 0, w - 1.001)
        y = np.clip(samples.pixels[:, 1] / 2, 0, h - 1.001)
        column, row = x.astype(np.int64), y.astype(np.int64)
        x, y = (x - column).astype(np.float32), (y - row).astype(np.float32)
        first = row * w + column
        total = np.zeros((len(first), 3), np.float32)
        sum_of_weights = np.zeros(len(first), np.float32)
        for dy in (0, 1):
            for dx in (0, 1):
                node = np.take(self._nodes, first + (dy * w + dx), axis=0)
                weight = np.abs(1 - dx - x) * np.abs(1 - dy - y) + np.float32(0.02)
                plane = np.abs(dot(node[:, 3:6] - samples.points, samples.normals))
                agree = dot(node[:, 6:9], samples.normals)
                weight *= np.clip(agree * 4 - 3, 0.001, 1) * np.exp(-plane / (2 * node[:, 9]))
                weight += np.float32(1e-6)
                total += node[:, :3] * weight[:, None]
                sum_of_weights += weight
        return total / sum_of_weights[:, None]


def render(
    camera: Camera, surfaces: Surfaces, lighting: Lighting, rng: np.random.Generator
) -> Render:
    """Render one view.

    Args:
        camera: The view.
        surfaces: The scene.
        lighting: Its light.
        rng: For the light samples.
    """
    height, width = camera.size
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    pixels = np.stack([x, y], -1).reshape(-1, 2)
    rays = camera.rays(pixels)
    hits = surfaces.cast(np.broadcast_to(camera.position, rays.shape), rays)
    hit = np.flatnonzero(hits.valid)
    samples = _samples(camera, surfaces, pixels[hit], rays[hit], _part(hits, hit))
    geometry = _geometry(camera, surfaces, hits, rays)
    grid = _light_grid(camera, surfaces, lighting, hits, rays, rng)
    radiance = np.zeros((len(rays), 3), np.float32)
    miss = ~hits.valid
    radiance[miss] = surfaces.environment(rays[miss])
    radiance[hit] = _shade(samples, surfaces, lighting, grid)
    radiance[hit] += _reflections(camera, samples, hit, surfaces, lighting, rng)
    image = radiance.reshape(height, width, 3)
    _antialias(image, camera, surfaces, lighting, grid, geometry)
    return Render(image, geometry.classes, geometry.instance, geometry.depth, geometry.normals)


def _part(hits: Hits, index: NDArray[np.int64]) -> Hits:
    return Hits(hits.triangle[index], hits.distance[index], hits.weights[index])


def _samples(
    camera: Camera, surfaces: Surfaces, pixels: Array, rays: Array, hits: Hits
) -> _Samples:
    normals = surfaces.shading_normal(hits, rays)
    reach = length(rays)
    cosine = np.abs(dot(normals, rays)) / reach
    footprint = hits.distance * reach / camera.intrinsics[0] / np.sqrt(np.maximum(cosine, 0.05))
    points = camera.position + rays * hits.distance[:, None]
    return _Samples(
        pixels, rays, hits, points, normals, surfaces.albedo(hits, footprint.astype(np.float32))
    )


def _geometry(camera: Camera, surfaces: Surfaces, hits: Hits, rays: Array) -> Render:
    """Labels, depth and normals; the radiance is left empty."""
    shape = camera.size
    scene, valid = surfaces.scene, hits.valid
    instance = np.where(valid, scene.instance[hits.triangle], 0)
    labels = np.array([instance.label for instance in scene.instances], np.uint8)
    classes = np.where(valid, labels[instance - 1], VOID_ID)
    world = surfaces.facing_normal(hits, rays)
    normals = np.where(
        valid[:, None], world @ camera.world_from_camera[:3, :3].astype(np.float32), 0
    )
    return Render(
        np.empty((0, 0, 3), np.float32),
        classes.reshape(shape).astype(np.uint8),
        instance.reshape(shape).astype(np.uint16),
        np.where(valid, hits.distance, 0).reshape(shape).astype(np.float32),
        normals.reshape(*shape, 3).astype(np.float32),
    )


def _light_grid(
    camera: Camera,
    surfaces: Surfaces,
    lighting: Lighting,
    hits: Hits,
    rays: Array,
    rng: np.random.Generator,
) -> _LightGrid:
    height, width = camera.size
    chosen = np.arange(height * width).reshape(height, width)[::2, ::2]
    shape = chosen.shape
    index = chosen.reshape(-1)
    valid = index[hits.valid[index]]
    part = _part(hits, valid)
    normal = surfaces.shading_normal(part, rays[valid])
    face = surfaces.facing_normal(part, rays[valid])
    position = camera.position + rays[valid] * part.distance[:, None]
    direct, sun, bounced = lighting.irradiance(position, normal, face, rng)
    where = np.flatnonzero(hits.valid[index])

    def image(values: Array, empty: float = 0.0) -> Array:
        full = np.full((len(index), *values.shape[1:]), empty, np.float32)
        full[where] = values
        return full.reshape(*shape, *values.shape[1:])

    points, normals = image(position, 1e3), image(normal)
    scale = image(2 * part.distance / camera.intrinsics[0], 1e-3)
    direct = smooth_along_surfaces(image(direct), points, normals, scale, DIRECT_STEPS)
    bounced = smooth_along_surfaces(image(bounced), points, normals, scale, BOUNCE_STEPS)
    sunny = smooth_along_surfaces(image(sun), points, normals, scale, SUN_STEPS)
    return _LightGrid(direct + bounced + sunny, points, normals, scale)


def _shade(samples: _Samples, surfaces: Surfaces, lighting: Lighting, grid: _LightGrid) -> Array:
    """Diffuse reflection, emission and transmission, radiance [P, 3]."""
    color = samples.albedo * grid.at(samples) + lighting.emission(
        samples.hits.triangle, samples.albedo
    )
    material = surfaces.scene.mesh.material[samples.hits.triangle]
    clear = surfaces.transmission[material]
    through = np.flatnonzero(clear > 0)
    if len(through):
        rays = samples.rays[through]
        share = clear[through, None]
        beyond = lighting.radiance_along(samples.points[through] + rays * RAY_OFFSET, rays, 0.02)
        color[through] = color[through] * (1 - share) + beyond * share
    return color


def _reflections(
    camera: Camera,
    samples: _Samples,
    hit: NDArray[np.int64],
    surfaces: Surfaces,
    lighting: Lighting,
    rng: np.random.Generator,
) -> Array:
    """Specular reflection, blurred where rough, with Schlick's Fresnel term; radiance [P, 3]."""
    material = surfaces.scene.mesh.material[samples.hits.triangle]
    specular, roughness = surfaces.specular[material], surfaces.roughness[material]
    some = np.flatnonzero(specular > 0)
    total = np.zeros((len(material), 3), np.float32)
    if not len(some):
        return total
    rays = samples.rays[some] / length(samples.rays[some])[:, None]
    normal = samples.normals[some]
    rough = roughness[some]
    cosine = np.clip(-dot(rays, normal), 0, 1)
    base = specular[some]
    fresnel = base + (1 - base) * (1 - cosine) ** 5 * np.maximum(1 - 2.5 * rough, 0.05)
    reflected = rays + 2 * cosine[:, None] * normal
    reflected += rng.normal(0, 1, reflected.shape) * (rough * 0.35)[:, None]
    value = lighting.radiance_along(
        samples.points[some] + normal * RAY_OFFSET, reflected.astype(np.float32), 0.02
    )
    height, width = camera.size
    image = np.zeros((height * width, 3), np.float32)
    mask = np.zeros(height * width, np.float32)
    where = hit[some]
    image[where] = np.minimum(value, 8.0)
    mask[where] = 1
    blurred = cv2.blur(image.reshape(height, width, 3), (7, 7)).reshape(-1, 3)
    weight = cv2.blur(mask.reshape(height, width), (7, 7)).reshape(-1)
    soft = blurred[where] / np.maximum(weight[where], 1e-3)[:, None]
    total[some] = np.where((rough > 0.08)[:, None], soft, value) * fresnel[:, None]
    return total


def _antialias(
    image: Array,
    camera: Camera,
    surfaces: Surfaces,
    lighting: Lighting,
    grid: _LightGrid,
    geometry: Render,
) -> None:
    """Average subsamples into the pixels at edges, in place."""
    instance = geometry.instance.astype(np.float32)
    kernel, wide = np.ones((3, 3), np.uint8), np.ones((5, 5), np.uint8)
    edge = cv2.morphologyEx(instance, cv2.MORPH_GRADIENT, kernel) > 0
    bend = cv2.morphologyEx(geometry.normals, cv2.MORPH_GRADIENT, kernel) > 0.3
    bend = bend[..., 0] | bend[..., 1] | bend[..., 2]
    tone = np.log(np.maximum(cv2.transform(image, np.full((1, 3), 1 / 3)), 1e-3))
    detail = cv2.morphologyEx(tone, cv2.MORPH_GRADIENT, wide) > 0.4
    y, x = np.nonzero(edge | bend | detail)
    if not len(y):
        return
    total = image[y, x].copy()
    for dx, dy in SUBSAMPLES:
        pixels = np.stack([x + dx, y + dy], -1).astype(np.float32)
        rays = camera.rays(pixels)
        hits = surfaces.cast(np.broadcast_to(camera.position, rays.shape), rays)
        hit = np.flatnonzero(hits.valid)
        value = np.zeros((len(rays), 3), np.float32)
        value[~hits.valid] = surfaces.environment(rays[~hits.valid])
        samples = _samples(camera, surfaces, pixels[hit], rays[hit], _part(hits, hit))
        value[hit] = _shade(samples, surfaces, lighting, grid)
        total += value
    image[y, x] = total / (len(SUBSAMPLES) + 1)

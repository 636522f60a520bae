# SPDX-License-Identifier: Apache-2.0
"""Light in a room: area lights with soft shadows, the sun, and diffuse interreflection.

Two stages. Once per room, a grid of probes records the light that arrives from six directions
after several bounces. Per frame, on a grid of half the resolution, direct light is sampled with
shadow rays and one bounce with gather rays that end in the probes; both are denoised along
surfaces. All irradiances here are divided by π, so that radiance = albedo × irradiance.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mtinet_ros.scenes.geometry.mesh import dot, length
from mtinet_ros.scenes.geometry.scene import AreaLight
from mtinet_ros.scenes.rendering.surfaces import Array, Surfaces

SPACING = 0.5
"""Distance between probes, metres."""
PROBE_RAYS = 48
BOUNCES = 3
LIGHT_SAMPLES = 5
GATHER_RAYS = 4
RAY_OFFSET = 2e-3
"""Distance of the origins of secondary rays from the surface, metres."""
AXES = np.concatenate([np.eye(3), -np.eye(3)]).astype(np.float32)
RADIANCE_CLAMP = 6.0
"""Largest radiance of one gathered sample: removes the fireflies of small lamps."""


def light_sample(light: AreaLight, points: Array, random: Array) -> tuple[Array, Array, Array]:
    """One sample of an area light per point.

    Args:
        light: The light.
        points: float32 [P, 3].
        random: float32 [P, 2] in 0..1.

    Returns:
        Vectors to the samples [P, 3]; their lengths [P]; irradiance per unit cosine at the
        receiver, over π, as a factor of the light's radiance [P].
    """
    cross = np.cross(light.along, light.up)
    area = float(np.linalg.norm(cross))
    position = light.origin + random[:, :1] * light.along + random[:, 1:] * light.up
    toward = (position - points).astype(np.float32)
    distance = np.maximum(length(toward), 0.05)
    cosine = np.maximum(-(toward @ (cross / area).astype(np.float32)) / distance, 0)
    return (
        toward,
        distance.astype(np.float32),
        (cosine * area / (np.pi * distance**2)).astype(np.float32),
    )


class Lighting:
    """Light of one scene.

    Args:
        surfaces: The scene.
        rng: For the probes' directions.
    """

    def __init__(self, surfaces: Surfaces, rng: np.random.Generator) -> None:
        """Bake the probes."""
        self.surfaces = surfaces
        self.lights = surfaces.scene.lights
        low, high = surfaces.scene.mesh.bounds()
        self._low = low - SPACING / 2
        shape = np.ceil((high - self._low) / SPACING).astype(int) + 1
        self._shape = tuple(int(v) for v in shape)
        grid = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), -1)
        points = (grid.reshape(-1, 3) * SPACING + self._low).astype(np.float32)
        self._probes = self._bake(points, rng)

    def _bake(self, points: Array, rng: np.random.Generator) -> Array:
        """Irradiance [P, 6, 3] at the probes from the directions of `AXES`."""
        direct = np.zeros((len(points), 6, 3), np.float32)
        count = max(2, 12 // max(1, len(self.lights)))
        for light in self.lights:
            for _ in range(count):
                toward, distance, weight = light_sample(
                    light, points, rng.random((len(points), 2), np.float32)
                )
                some = np.flatnonzero(weight > 1e-4)
                visible = some[
                    ~self.surfaces.occluded(
                        points[some], toward[some], np.full(len(some), 0.98, np.float32)
                    )
                ]
                cosine = np.maximum(toward[visible] @ AXES.T / distance[visible, None], 0)
                amount = (weight[visible] / count)[:, None] * cosine
                direct[visible] += amount[..., None] * light.radiance.astype(np.float32)
        sun = self.surfaces.scene.sun
        if sun is not None:
            ray = np.broadcast_to(sun.direction.astype(np.float32), points.shape)
            lit = ~self.surfaces.occluded(points, ray, np.full(len(points), 100, np.float32))
            cosine = np.maximum(AXES @ sun.direction, 0).astype(np.float32)
            direct += (
                lit[:, None, None] * cosine[:, None] * sun.irradiance.astype(np.float32) / np.pi
            )
        directions = rng.standard_normal((PROBE_RAYS, 3)).astype(np.float32)
        directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
        rays = np.broadcast_to(directions, (len(points), PROBE_RAYS, 3)).reshape(-1, 3)
        starts = np.repeat(points, PROBE_RAYS, axis=0)
        hits = self.surfaces.cast(starts, rays, opaque=True)
        valid = np.flatnonzero(hits.valid)
        shell = self.surfaces.scene.labels() <= 2  # walls, floors, ceilings face the room
        back = np.ones(len(rays), bool)
        triangle = hits.triangle[valid]
        behind = dot(self.surfaces.scene.face_normals[triangle], rays[valid]) > 0
        back[valid] = behind & shell[triangle]
        good = back.reshape(-1, PROBE_RAYS).mean(axis=1) < 0.3
        part = type(hits)(triangle, hits.distance[valid], hits.weights[valid])
        albedo = self.surfaces.albedo(part, 0.2, coarse=True)
        glow = self._unsampled_emission(part.triangle)
        normal = self.surfaces.facing_normal(part, rays[valid])
        position = starts[valid] + rays[valid] * part.distance[:, None] + normal * 0.1
        cosine = np.maximum(rays @ AXES.T, 0).reshape(-1, PROBE_RAYS, 6)
        self._probes = _inpainted(direct, good, self._shape)
        for _ in range(BOUNCES):
            radiance = np.zeros((len(rays), 3), np.float32)
            radiance[valid] = np.minimum(
                albedo * self.ambient(position, normal) + glow, RADIANCE_CLAMP
            )
            # uniform directions over the sphere: irradiance / π is 4 times the mean of L·cos
            arrived = np.einsum("prc,pra->pac", radiance.reshape(-1, PROBE_RAYS, 3), cosine)
            self._probes = _inpainted(
                direct + arrived * np.float32(4.0 / PROBE_RAYS), good, self._shape
            )
        return self._probes

    def _unsampled_emission(self, triangle: NDArray[np.int32]) -> Array:
        """Radiance [R, 3] that triangles emit, without those that are area lights as well."""
        material = self.surfaces.scene.mesh.material[triangle]
        emission = self.surfaces.emission[material]
        counted = np.where(self.surfaces.is_light[material][:, None], 0, emission)
        return np.asarray(counted, np.float32)

    def ambient(self, points: Array, normals: Array) -> Array:
        """Irradiance [P, 3] at points with normals, interpolated between the probes."""
        cell = np.clip((points - self._low) / SPACING, 0, np.array(self._shape) - 1.001)
        base = cell.astype(np.int64)
        share = (cell - base).astype(np.float32)
        weight = normals**2
        axis = np.where(normals >= 0, [0, 1, 2], [3, 4, 5])
        total = np.zeros((len(points), 3), np.float32)
        _, ny, nz = self._shape
        for corner in range(8):
            step = np.array([corner >> 2 & 1, corner >> 1 & 1, corner & 1])
            near = np.where(step == 1, share, 1 - share)
            part = near[:, 0] * near[:, 1] * near[:, 2]
            index = base + step
            flat = (index[:, 0] * ny + index[:, 1]) * nz + index[:, 2]
            for k in range(3):
                total += self._probes[flat, axis[:, k]] * (part * weight[:, k])[:, None]
        return total

    def ambient_coarse(self, points: Array, normals: Array, random: Array) -> Array:
        """An unbiased estimate of `ambient` from one random probe per point."""
        cell = np.clip((points - self._low) / SPACING + random - 0.5, 0, np.array(self._shape) - 1)
        index = np.rint(cell).astype(np.int64)
        flat = (index[:, 0] * self._shape[1] + index[:, 1]) * self._shape[2] + index[:, 2]
        total = np.zeros((len(points), 3), np.float32)
        weight = normals**2
        axis = np.where(normals >= 0, [0, 1, 2], [3, 4, 5])
        for k in range(3):
            total += self._probes[flat, axis[:, k]] * weight[:, k : k + 1]
        return total

    def radiance_along(self, origins: Array, directions: Array, footprint: float) -> Array:
        """Radiance [R, 3] along rays that a mirror reflects or glass transmits."""
        hits = self.surfaces.cast(origins, directions, opaque=True)
        radiance = np.zeros((len(origins), 3), np.float32)
        miss = ~hits.valid
        radiance[miss] = self.surfaces.environment(directions[miss])
        hit = np.flatnonzero(hits.valid)
        part = type(hits)(hits.triangle[hit], hits.distance[hit], hits.weights[hit])
        normal = self.surfaces.facing_normal(part, directions[hit])
        position = origins[hit] + directions[hit] * part.distance[:, None] + normal * 0.1
        color = self.surfaces.albedo(part, footprint)
        radiance[hit] = color * self.ambient(position, normal) + self.emission(
            part.triangle, color
        )
        return radiance

    def emission(self, triangle: NDArray[np.int32], albedo: Array) -> Array:
        """Radiance [R, 3] that triangles emit; a screen's image is its texture."""
        material = self.surfaces.scene.mesh.material[triangle]
        base = np.maximum(self.surfaces.color[material], 1e-4)
        return np.asarray(
            self.surfaces.emission[material] * np.minimum(albedo / base, 1.0), np.float32
        )

    def irradiance(
        self, points: Array, normals: Array, faces: Array, rng: np.random.Generator
    ) -> tuple[Array, Array, Array]:
        """Noisy irradiance at surface points: of area lights, of the sun, of other surfaces.

        Args:
            points: float32 [P, 3].
            normals: Shading normals [P, 3].
            faces: Geometric normals [P, 3].
            rng: Source of randomness.

        Returns:
            Direct, sun and bounced irradiance, [P, 3] each.
        """
        count = len(points)
        starts = points + faces * RAY_OFFSET
        direct = np.zeros((count, 3), np.float32)
        each = min(4, max(1, LIGHT_SAMPLES // max(1, len(self.lights))))
        for light in self.lights:
            for _ in range(each):
                toward, distance, weight = light_sample(
                    light, points, rng.random((count, 2), np.float32)
                )
                weight = weight * np.maximum(dot(toward, normals) / distance, 0) / each
                weight[dot(toward, faces) <= 0] = 0
                some = np.flatnonzero(weight * light.radiance.max() > 1e-3)
                hidden = self.surfaces.occluded(
                    starts[some], toward[some], np.full(len(some), 0.98, np.float32)
                )
                visible = some[~hidden]
                direct[visible] += weight[visible, None] * light.radiance.astype(np.float32)
        return direct, self._sunlight(starts, normals, rng), self._bounced(starts, normals, rng)

    def _sunlight(self, starts: Array, normals: Array, rng: np.random.Generator) -> Array:
        light = np.zeros_like(starts)
        sun = self.surfaces.scene.sun
        if sun is None:
            return light
        cosine = np.maximum(normals @ sun.direction.astype(np.float32), 0)
        some = np.flatnonzero(cosine > 0)
        for _ in range(2):
            rays = sun.direction + rng.normal(0, 0.006, (len(some), 3))
            hidden = self.surfaces.occluded(
                starts[some], rays.astype(np.float32), np.full(len(some), 100, np.float32)
            )
            visible = some[~hidden]
            light[visible] += cosine[visible, None] * (sun.irradiance / (2 * np.pi)).astype(
                np.float32
            )
        return light

    def _bounced(self, starts: Array, normals: Array, rng: np.random.Generator) -> Array:
        """Cosine-distributed rays to other surfaces, lit there by the probes."""
        count = len(starts)
        around = rng.standard_normal((count, GATHER_RAYS, 3)).astype(np.float32)
        around /= length(around)[..., None]
        rays = (around + normals[:, None] * 1.0005).reshape(-1, 3)
        origins = np.repeat(starts, GATHER_RAYS, axis=0)
        hits = self.surfaces.cast(origins, rays, opaque=True)
        radiance = np.zeros((len(rays), 3), np.float32)
        hit = np.flatnonzero(hits.valid)
        part = type(hits)(hits.triangle[hit], hits.distance[hit], hits.weights[hit])
        normal = self.surfaces.facing_normal(part, rays[hit])
        position = origins[hit] + rays[hit] * part.distance[:, None] + normal * 0.1
        color = self.surfaces.albedo(part, 0.15, coarse=True)
        arriving = self.ambient_coarse(position, normal, rng.random((len(hit), 3), np.float32))
        radiance[hit] = np.minimum(
            color * arriving + self._unsampled_emission(part.triangle), RADIANCE_CLAMP
        )
        total = np.einsum("prc->pc", radiance.reshape(count, GATHER_RAYS, 3))
        return np.asarray(total / GATHER_RAYS, np.float32)


def _inpainted(values: Array, good: NDArray[np.bool_], shape: tuple[int, ...]) -> Array:
    """Probe values; inside walls and furniture, the mean of the good neighbours."""
    cube = (values * good[:, None, None]).reshape(*shape, -1)
    weight = good.reshape(*shape, 1).astype(np.float32)
    for _ in range(4):
        total, count = np.zeros_like(cube), np.zeros_like(weight)
        for axis in range(3):
            for step in (-1, 1):
                total += _shifted(cube * weight, step, axis)
                count += _shifted(weight, step, axis)
        fill = (weight == 0) & (count > 0)
        cube = np.where(fill, total / np.maximum(count, 1), cube)
        weight = np.where(fill, np.float32(1), weight)
    return np.asarray(cube.reshape(values.shape), np.float32)


def _shifted(array: Array, step: int, axis: int) -> Array:
    shifted = np.roll(array, step, axis=axis)
    edge = [slice(None)] * array.ndim
    edge[axis] = slice(0, 1) if step > 0 else slice(-1, None)
    shifted[tuple(edge)] = 0
    return shifted


def smooth_along_surfaces(
    light: Array, points: Array, normals: Array, scale: Array, steps: tuple[int, ...]
) -> Array:
    """Edge-avoiding à-trous filter (Dammertz et al. 2010) of an irradiance image.

    Args:
        light: float32 [h, w, 3].
        points: World positions [h, w, 3].
        normals: Unit normals [h, w, 3].
        scale: Metres that a pixel covers, [h, w].
        steps: Distance of the taps, one pass each.
    """
    for step in steps:
        total = light.copy()
        sum_of_weights = np.ones(light.shape[:2], np.float32)
        for dy in (-step, 0, step):
            for dx in (-step, 0, step):
                if dy == 0 and dx == 0:
                    continue
                there = _window(points.shape[0], dy), _window(points.shape[1], dx)
                here = _window(points.shape[0], -dy), _window(points.shape[1], -dx)
                gap = points[there] - points[here]
                plane = np.abs(dot(gap, normals[here]))
                agree = dot(normals[there], normals[here])
                weight = np.clip(agree * 4 - 3, 0, 1) * np.exp(-plane / (scale[here] * (1 + step)))
                total[here] += light[there] * weight[..., None]
                sum_of_weights[here] += weight
        light = total / sum_of_weights[..., None]
    return np.asarray(light, np.float32)


def _window(length: int, shift: int) -> slice:
    return slice(max(shift, 0), length + min(shift, 0))

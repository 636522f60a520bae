# SPDX-License-Identifier: Apache-2.0
"""A scene prepared for ray casting: Embree's acceleration structures and a texture atlas."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from embreex import rtcore_scene  # type: ignore[import-untyped]
from embreex.mesh_construction import TriangleMesh  # type: ignore[import-untyped]
from numpy.typing import NDArray

from mtinet_ros.scenes.geometry.mesh import dot, length
from mtinet_ros.scenes.geometry.scene import Scene

Array = NDArray[np.float32]
LINEAR_OF_SRGB = ((np.arange(256) / 255.0) ** 2.2).astype(np.float32)
MIP_LEVELS = 7


@dataclass(frozen=True, eq=False)
class Hits:
    """Where R rays met the scene.

    Attributes:
        triangle: int32 [R], −1 for a miss.
        distance: float32 [R], in lengths of the ray's direction.
        weights: float32 [R, 3], barycentric coordinates.
    """

    triangle: NDArray[np.int32]
    distance: Array
    weights: Array

    @property
    def valid(self) -> NDArray[np.bool_]:
        """Which rays hit something, bool [R]."""
        return np.asarray(self.triangle >= 0)


class Surfaces:
    """Ray queries and surface properties of one scene.

    There are two acceleration structures: all triangles, for what a camera sees first, and the
    opaque ones (without glass), for what blocks and reflects light.
    """

    def __init__(self, scene: Scene) -> None:
        """Build the acceleration structures."""
        self.scene = scene
        mesh = scene.mesh
        materials = mesh.materials
        self.color = np.array([m.color for m in materials], np.float32)
        self.emission = np.array([m.emission for m in materials], np.float32)
        self.is_light = np.array([m.is_light for m in materials], bool)
        self.specular = np.array([m.specular for m in materials], np.float32)
        self.roughness = np.array([m.roughness for m in materials], np.float32)
        self.transmission = np.array([m.transmission for m in materials], np.float32)
        self._pack_textures()
        self._all = rtcore_scene.EmbreeScene()
        self._all_mesh = TriangleMesh(self._all, np.ascontiguousarray(mesh.corners))
        self._opaque_index = np.flatnonzero(self.transmission[mesh.material] == 0).astype(np.int32)
        self._opaque = rtcore_scene.EmbreeScene()
        self._opaque_mesh = TriangleMesh(
            self._opaque, np.ascontiguousarray(mesh.corners[self._opaque_index])
        )

    def _pack_textures(self) -> None:
        """All textures with their halved copies in one array; texel density of every triangle."""
        materials = self.scene.mesh.materials
        table = np.zeros((len(materials), MIP_LEVELS, 3), np.int64)  # offset, height, width
        blocks: list[NDArray[np.uint8]] = [np.full((1, 3), 255, np.uint8)]
        known: dict[int, NDArray[np.int64]] = {}
        offset = 1
        for number, material in enumerate(materials):
            table[number, :, 1:] = 1
            if material.texture is None:
                continue
            if id(material.texture) not in known:
                level = material.texture
                for mip in range(MIP_LEVELS):
                    table[number, mip] = offset, level.shape[0], level.shape[1]
                    blocks.append(level.reshape(-1, 3))
                    offset += len(blocks[-1])
                    half = (max(1, level.shape[1] // 2), max(1, level.shape[0] // 2))
                    level = np.asarray(cv2.resize(level, half, interpolation=cv2.INTER_AREA))
                known[id(material.texture)] = table[number]
            table[number] = known[id(material.texture)]
        self._texels = np.concatenate(blocks)
        self._texture = table
        mesh = self.scene.mesh
        tile = np.array([m.tile_size for m in materials], np.float32)[mesh.material]
        self.uv = mesh.uv / tile[:, None, None]
        edge = self.uv[:, 1:] - self.uv[:, :1]
        uv_area = np.abs(edge[:, 0, 0] * edge[:, 1, 1] - edge[:, 0, 1] * edge[:, 1, 0])
        side = mesh.corners[:, 1:] - mesh.corners[:, :1]
        area = np.linalg.norm(np.cross(side[:, 0], side[:, 1]), axis=-1)
        pixels = table[mesh.material, 0, 1] * table[mesh.material, 0, 2]
        self.density = np.sqrt(uv_area * pixels / np.maximum(area, 1e-12)).astype(np.float32)

    def cast(self, origins: Array, directions: Array, *, opaque: bool = False) -> Hits:
        """First hit of every ray; origins and directions are float32 [R, 3].

        `opaque`: rays pass through what transmits light.
        """
        target = self._opaque if opaque else self._all
        result = target.run(
            np.ascontiguousarray(origins, np.float32),
            np.ascontiguousarray(directions, np.float32),
            output=1,
        )
        triangle = result["primID"]
        if opaque:
            triangle = np.where(triangle >= 0, self._opaque_index[triangle], -1)
        u, v = result["u"], result["v"]
        return Hits(
            triangle.astype(np.int32), result["tfar"], np.stack([1 - u - v, u, v], axis=-1)
        )

    def occluded(self, origins: Array, directions: Array, reach: Array) -> NDArray[np.bool_]:
        """Whether something opaque is within `reach` lengths of each direction, bool [R]."""
        result = self._opaque.run(
            np.ascontiguousarray(origins, np.float32),
            np.ascontiguousarray(directions, np.float32),
            np.ascontiguousarray(reach, np.float32),
            query="OCCLUDED",
        )
        return np.asarray(result != -1)

    def albedo(self, hits: Hits, footprint: Array | float, *, coarse: bool = False) -> Array:
        """Linear diffuse albedo [R, 3] at hits (all must be valid).

        Args:
            hits: Points on surfaces.
            footprint: Metres on the surface that one sample stands for.
            coarse: Take the nearest texel: enough for light that is spread anyway.
        """
        material = self.scene.mesh.material[hits.triangle]
        uv = np.einsum("rk,rkc->rc", hits.weights, self.uv[hits.triangle])
        texels = np.maximum(self.density[hits.triangle] * footprint, 1.0)
        level = np.clip(np.log2(texels) + 0.3, 0, MIP_LEVELS - 1).astype(np.int64)
        offset, height, width = self._texture[material, level].T
        x = uv[:, 0] * width - 0.5
        y = uv[:, 1] * height - 0.5
        x0, y0 = np.floor(x), np.floor(y)
        column, row = x0.astype(np.int64), y0.astype(np.int64)

        def texel(dy: int, dx: int) -> NDArray[np.uint8]:
            index = offset + ((row + dy) % height) * width + (column + dx) % width
            return np.asarray(self._texels[index])

        if coarse:
            return np.asarray(self.color[material] * LINEAR_OF_SRGB[texel(0, 0)], np.float32)
        fx, fy = (x - x0)[:, None].astype(np.float32), (y - y0)[:, None].astype(np.float32)
        top = texel(0, 0) * (1 - fx) + texel(0, 1) * fx
        low = texel(1, 0) * (1 - fx) + texel(1, 1) * fx
        value = top * (1 - fy) + low * fy
        return np.asarray(
            self.color[material] * LINEAR_OF_SRGB[(value + 0.5).astype(np.uint8)], np.float32
        )

    def shading_normal(self, hits: Hits, directions: Array) -> Array:
        """Interpolated unit normals [R, 3], facing against the rays."""
        normal = np.einsum("rk,rkc->rc", hits.weights, self.scene.mesh.normals[hits.triangle])
        normal /= np.maximum(length(normal), 1e-9)[:, None]
        face = self.facing_normal(hits, directions)
        normal *= np.where(dot(normal, face) < 0, -1, 1).astype(np.float32)[:, None]
        return np.asarray(normal, np.float32)

    def facing_normal(self, hits: Hits, directions: Array) -> Array:
        """Geometric unit normals [R, 3], facing against the rays: n·r ≤ 0."""
        normal = self.scene.face_normals[hits.triangle]
        return np.asarray(np.where((dot(normal, directions) > 0)[:, None], -normal, normal))

    def environment(self, directions: Array) -> Array:
        """Radiance [R, 3] of the environment in directions of any length."""
        panorama = self.scene.environment
        h, w = panorama.shape[:2]
        x = (np.arctan2(directions[:, 1], directions[:, 0]) / (2 * np.pi) + 0.5) * w
        y = (
            0.5
            - 0.5
            * np.sqrt(np.abs(directions[:, 2]) / length(directions))
            * np.sign(directions[:, 2])
        ) * h
        y = np.clip(y, 0, h - 1.001)
        x0, y0 = np.floor(x), np.floor(y)
        fx, fy = (x - x0)[:, None].astype(np.float32), (y - y0)[:, None].astype(np.float32)
        column, row = x0.astype(np.int64), y0.astype(np.int64)
        left, right = column % w, (column + 1) % w
        top = panorama[row, left] * (1 - fx) + panorama[row, right] * fx
        low = panorama[row + 1, left] * (1 - fx) + panorama[row + 1, right] * fx
        return np.asarray(top * (1 - fy) + low * fy, np.float32)

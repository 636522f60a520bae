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
LINEAR = ((np.arange(256) / 255.0) ** 2.2).astype(np.float32)
MIPS = 7


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

    Two structures: all triangles (what a camera sees first), and the solid ones (what blocks and
    reflects light: without glass).
    """

    def __init__(self, scene: Scene) -> None:
        """Build the acceleration structures."""
        self.scene = scene
        mesh = scene.mesh
        materials = mesh.materials
        self.color = np.array([m.color for m in materials], np.float32)
        self.glow = np.array([m.glow for m in materials], np.float32)
        self.lamp = np.array([m.lamp for m in materials], bool)
        self.mirror = np.array([m.mirror for m in materials], np.float32)
        self.roughness = np.array([m.roughness for m in materials], np.float32)
        self.clear = np.array([m.clear for m in materials], np.float32)
        self._pack_textures()
        self._seen = rtcore_scene.EmbreeScene()
        self._seen_mesh = TriangleMesh(self._seen, np.ascontiguousarray(mesh.corners))
        self._solid_index = np.flatnonzero(self.clear[mesh.material] == 0).astype(np.int32)
        self._solid = rtcore_scene.EmbreeScene()
        self._solid_mesh = TriangleMesh(
            self._solid, np.ascontiguousarray(mesh.corners[self._solid_index])
        )

    def _pack_textures(self) -> None:
        """All textures with their halved copies in one array; texel density of every triangle."""
        materials = self.scene.mesh.materials
        table = np.zeros((len(materials), MIPS, 3), np.int64)  # offset, height, width
        blocks: list[NDArray[np.uint8]] = [np.full((1, 3), 255, np.uint8)]
        known: dict[int, NDArray[np.int64]] = {}
        offset = 1
        for number, material in enumerate(materials):
            table[number, :, 1:] = 1
            if material.texture is None:
                continue
            if id(material.texture) not in known:
                level = material.texture
                for mip in range(MIPS):
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
        tile = np.array([m.tile for m in materials], np.float32)[mesh.material]
        self.uv = mesh.uv / tile[:, None, None]
        edge = self.uv[:, 1:] - self.uv[:, :1]
        uv_area = np.abs(edge[:, 0, 0] * edge[:, 1, 1] - edge[:, 0, 1] * edge[:, 1, 0])
        side = mesh.corners[:, 1:] - mesh.corners[:, :1]
        area = np.linalg.norm(np.cross(side[:, 0], side[:, 1]), axis=-1)
        pixels = table[mesh.material, 0, 1] * table[mesh.material, 0, 2]
        self.density = np.sqrt(uv_area * pixels / np.maximum(area, 1e-12)).astype(np.float32)

    def cast(self, origins: Array, directions: Array, *, solid: bool = False) -> Hits:
        """First hit of every ray; origins and directions are float32 [R, 3]."""
        target = self._solid if solid else self._seen
        found = target.run(
            np.ascontiguousarray(origins, np.float32),
            np.ascontiguousarray(directions, np.float32),
            output=1,
        )
        triangle = found["primID"]
        if solid:
            triangle = np.where(triangle >= 0, self._solid_index[triangle], -1)
        u, v = found["u"], found["v"]
        return Hits(triangle.astype(np.int32), found["tfar"], np.stack([1 - u - v, u, v], axis=-1))

    def blocked(self, origins: Array, directions: Array, reach: Array) -> NDArray[np.bool_]:
        """Whether something solid is within `reach` lengths of each direction."""
        found = self._solid.run(
            np.ascontiguousarray(origins, np.float32),
            np.ascontiguousarray(directions, np.float32),
            np.ascontiguousarray(reach, np.float32),
            query="OCCLUDED",
        )
        return np.asarray(found != -1)

    def albedo(self, hits: Hits, footprint: Array | float, *, coarse: bool = False) -> Array:
        """Linear diffuse colour [R, 3] at hits (all must be valid).

        Args:
            hits: Where.
            footprint: Metres on the surface that one sample stands for.
            coarse: Take the nearest texel: enough for light that is spread anyway.
        """
        material = self.scene.mesh.material[hits.triangle]
        uv = np.einsum("rk,rkc->rc", hits.weights, self.uv[hits.triangle])
        texels = np.maximum(self.density[hits.triangle] * footprint, 1.0)
        level = np.clip(np.log2(texels) + 0.3, 0, MIPS - 1).astype(np.int64)
        offset, height, width = self._texture[material, level].T
        x = uv[:, 0] * width - 0.5
        y = uv[:, 1] * height - 0.5
        x0, y0 = np.floor(x), np.floor(y)
        column, row = x0.astype(np.int64), y0.astype(np.int64)

        def texel(dy: int, dx: int) -> NDArray[np.uint8]:
            index = offset + ((row + dy) % height) * width + (column + dx) % width
            return np.asarray(self._texels[index])

        if coarse:
            return np.asarray(self.color[material] * LINEAR[texel(0, 0)], np.float32)
        fx, fy = (x - x0)[:, None].astype(np.float32), (y - y0)[:, None].astype(np.float32)
        top = texel(0, 0) * (1 - fx) + texel(0, 1) * fx
        low = texel(1, 0) * (1 - fx) + texel(1, 1) * fx
        value = top * (1 - fy) + low * fy
        return np.asarray(
            self.color[material] * LINEAR[(value + 0.5).astype(np.uint8)], np.float32
        )

    def shading_normal(self, hits: Hits, directions: Array) -> Array:
        """Interpolated unit normals [R, 3], facing against the rays."""
        normal = np.einsum("rk,rkc->rc", hits.weights, self.scene.mesh.normals[hits.triangle])
        normal /= np.maximum(length(normal), 1e-9)[:, None]
        face = self.facing(hits, directions)
        normal *= np.where(dot(normal, face) < 0, -1, 1).astype(np.float32)[:, None]
        return np.asarray(normal, np.float32)

    def facing(self, hits: Hits, directions: Array) -> Array:
        """Geometric unit normals [R, 3], facing against the rays: n·r ≤ 0."""
        normal = self.scene.face[hits.triangle]
        return np.asarray(np.where((dot(normal, directions) > 0)[:, None], -normal, normal))

    def outside(self, directions: Array) -> Array:
        """Radiance [R, 3] of the panorama in unnormalised directions."""
        panorama = self.scene.outside
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

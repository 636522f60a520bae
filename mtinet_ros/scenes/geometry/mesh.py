# SPDX-License-Identifier: Apache-2.0
"""Triangle meshes with materials, and the simple solids that rooms and made furniture consist of.

Object frame: x to the right, y to the back (a piece of furniture faces −y), z up, metres.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

Color = tuple[float, float, float]
Vector = Sequence[float] | NDArray[np.floating]
"""Three numbers."""


def as_color(values: Iterable[float]) -> Color:
    """Three numbers, e.g. an array, as a color."""
    first, second, third = (float(value) for value in values)
    return first, second, third


@dataclass(frozen=True, eq=False)
class Material:
    """Optical properties of a surface.

    Attributes:
        color: Linear RGB albedo, 0..1; multiplied with the texture.
        texture: sRGB uint8 [h, w, 3] or None.
        tile_size: Metres that one repetition of the texture covers (its uv are then metres);
            1 for uv that come with a model.
        specular: Specular reflectance at normal incidence, 0..1; more at grazing angles.
        roughness: Spread of that reflection, 0 (a mirror) .. 1.
        emission: Linear RGB radiance that it emits.
        transmission: Share of the light that passes through, 0..1; such surfaces cast no shadow.
        is_light: The emission is also an area light of the room and must not be counted twice.
    """

    color: Color = (0.7, 0.7, 0.7)
    texture: NDArray[np.uint8] | None = None
    tile_size: float = 1.0
    specular: float = 0.0
    roughness: float = 0.3
    emission: Color = (0.0, 0.0, 0.0)
    transmission: float = 0.0
    is_light: bool = False


@dataclass(frozen=True, eq=False)
class Mesh:
    """N triangles, each with its own corners.

    Attributes:
        corners: float32 [N, 3, 3], metres.
        uv: float32 [N, 3, 2].
        normals: float32 [N, 3, 3], unit normals at the corners, for shading only.
        material: int32 [N], index into `materials`.
        materials: Materials of the triangles.
    """

    corners: NDArray[np.float32]
    uv: NDArray[np.float32]
    normals: NDArray[np.float32]
    material: NDArray[np.int32]
    materials: tuple[Material, ...] = field(default_factory=tuple)

    def bounds(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Lower and upper corner of the axis-aligned box."""
        points = self.corners.reshape(-1, 3)
        return points.min(axis=0), points.max(axis=0)

    def transformed(
        self, position: Vector = (0.0, 0.0, 0.0), yaw: float = 0.0, tilt: float = 0.0
    ) -> Mesh:
        """Rotated by `tilt` about x, by `yaw` about z (radians), then translated (metres)."""
        rotation = _rotation_z(yaw) @ _rotation_x(tilt)
        return replace(
            self,
            corners=(self.corners @ rotation.T + np.asarray(position, np.float32)).astype(
                np.float32
            ),
            normals=(self.normals @ rotation.T).astype(np.float32),
        )

    def scaled(self, factors: Vector) -> Mesh:
        """Scaled about the origin by a factor per axis."""
        scale = np.asarray(factors, np.float32)
        normals = self.normals / scale
        normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-12)
        return replace(self, corners=self.corners * scale, normals=normals.astype(np.float32))


def _rotation_z(yaw: float) -> NDArray[np.float64]:
    c, s = np.cos(yaw), np.sin(yaw)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def _rotation_x(tilt: float) -> NDArray[np.float64]:
    c, s = np.cos(tilt), np.sin(tilt)
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])


def dot(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scalar products along the last axis; much faster than a sum over so short an axis."""
    return np.asarray(np.einsum("...c,...c->...", a, b), np.float32)


def length(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Lengths along the last axis."""
    return np.sqrt(dot(vectors, vectors))


def face_normals(corners: NDArray[np.float32]) -> NDArray[np.float32]:
    """Unit normals [N, 3] of triangles [N, 3, 3]; zero for degenerate ones."""
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(normal, axis=-1, keepdims=True)
    return np.asarray(normal / np.maximum(length, 1e-20), np.float32)


def flat_mesh(corners: NDArray[np.float32], uv: NDArray[np.float32], material: Material) -> Mesh:
    """A mesh of one material with flat shading."""
    corners = np.asarray(corners, np.float32)
    normals = np.repeat(face_normals(corners)[:, None], 3, axis=1)
    return Mesh(
        corners,
        np.asarray(uv, np.float32),
        normals,
        np.zeros(len(corners), np.int32),
        (material,),
    )


def merge(meshes: Sequence[Mesh]) -> Mesh:
    """Several meshes as one."""
    offsets = np.cumsum([0] + [len(mesh.materials) for mesh in meshes])
    return Mesh(
        np.concatenate([mesh.corners for mesh in meshes]),
        np.concatenate([mesh.uv for mesh in meshes]),
        np.concatenate([mesh.normals for mesh in meshes]),
        np.concatenate(
            [
                mesh.material + np.int32(offset)
                for mesh, offset in zip(meshes, offsets, strict=False)
            ]
        ).astype(np.int32),
        tuple(material for mesh in meshes for material in mesh.materials),
    )


def quad(
    origin: Vector,
    along: Vector,
    up: Vector,
    material: Material,
    *,
    fit: bool = False,
) -> Mesh:
    """A parallelogram; its front is where along × up points. uv in metres, or 0..1 if `fit`."""
    o, a, b = (np.asarray(value, np.float64) for value in (origin, along, up))
    p = np.stack([o, o + a, o + a + b, o + b])
    w, h = (1.0, 1.0) if fit else (float(np.linalg.norm(a)), float(np.linalg.norm(b)))
    t = np.array([[0, h], [w, h], [w, 0], [0, 0]])  # v runs down, as rows of an image
    order = [[0, 1, 2], [0, 2, 3]]
    return flat_mesh(p[order].astype(np.float32), t[order].astype(np.float32), material)


def box(
    size: Vector,
    material: Material,
    position: Vector = (0.0, 0.0, 0.0),
    *,
    faces: str = "xXyYzZ",
) -> Mesh:
    """A box standing on z = position.z, centred on x, y; small letters are the low sides."""
    w, d, h = size
    x, y, z = position
    x0, x1, y0, y1 = x - w / 2, x + w / 2, y - d / 2, y + d / 2
    sides = {
        "x": ((x0, y1, z), (0, -d, 0), (0, 0, h)),
        "X": ((x1, y0, z), (0, d, 0), (0, 0, h)),
        "y": ((x0, y0, z), (w, 0, 0), (0, 0, h)),
        "Y": ((x1, y1, z), (-w, 0, 0), (0, 0, h)),
        "z": ((x0, y1, z), (w, 0, 0), (0, -d, 0)),
        "Z": ((x0, y0, z + h), (w, 0, 0), (0, d, 0)),
    }
    return merge([quad(*sides[face], material) for face in faces])


def surface(
    grid: NDArray[np.float64], material: Material, *, fit: bool = False, closed: bool = False
) -> Mesh:
    """A smooth sheet through a grid of points [R, C, 3]; front where d/dcolumn × d/drow points.

    Args:
        grid: Points; `closed` says that the last column meets the first.
        material: Its material.
        fit: uv 0..1 over the sheet, else metres measured along the grid.
        closed: Smooth across the seam (cylinders).
    """
    rows, columns = grid.shape[:2]
    du = np.gradient(grid, axis=1)
    dv = np.gradient(grid, axis=0)
    if closed:
        seam = (grid[:, 1] - grid[:, -2]) / 2
        du[:, 0] = du[:, -1] = seam
    normals = np.cross(du, dv)
    normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-12)
    u = np.linspace(0, 1, columns)[None].repeat(rows, 0)
    v = np.linspace(1, 0, rows)[:, None].repeat(columns, 1)
    if not fit:
        u = u * np.linalg.norm(np.diff(grid, axis=1), axis=-1).sum(axis=1).max()
        v = v * np.linalg.norm(np.diff(grid, axis=0), axis=-1).sum(axis=0).max()
    index = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    triangles = np.concatenate(
        [np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)]
    )
    uv = np.stack([u, v], -1).reshape(-1, 2)
    corners = grid.reshape(-1, 3)[triangles].astype(np.float32)
    area = np.linalg.norm(
        np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=-1
    )
    keep = area > 1e-10
    triangles, corners = triangles[keep], corners[keep]
    return Mesh(
        corners,
        uv[triangles].astype(np.float32),
        normals.reshape(-1, 3)[triangles].astype(np.float32),
        np.zeros(len(triangles), np.int32),
        (material,),
    )


def revolved(
    profile: Sequence[tuple[float, float]],
    material: Material,
    position: Vector = (0.0, 0.0, 0.0),
    segments: int = 20,
) -> Mesh:
    """A solid of revolution about z: `profile` is (radius, height) from bottom to top."""
    angle = np.linspace(0, 2 * np.pi, segments + 1)
    radius, height = np.array(profile, np.float64).T
    grid = np.stack(
        [
            radius[:, None] * np.cos(angle),
            radius[:, None] * np.sin(angle),
            np.repeat(height[:, None], segments + 1, 1),
        ],
        axis=-1,
    ) + np.asarray(position, np.float64)
    return surface(grid, material, closed=True)


def cushion(
    size: Vector,
    material: Material,
    position: Vector = (0.0, 0.0, 0.0),
    *,
    softness: float = 4.0,
    steps: int = 12,
) -> Mesh:
    """A box with rounded sides and edges (a superellipsoid), standing on z = position.z."""
    longitude = np.linspace(-np.pi, np.pi, 4 * steps + 1)
    latitude = np.linspace(-np.pi / 2, np.pi / 2, 2 * steps + 1)
    power = 2.0 / softness

    def rounded(value: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.sign(value) * np.abs(value) ** power)

    ring = rounded(np.cos(latitude))[:, None]
    grid = np.stack(
        [
            ring * rounded(np.cos(longitude)) * size[0] / 2,
            ring * rounded(np.sin(longitude)) * size[1] / 2,
            (rounded(np.sin(latitude))[:, None] + 1).repeat(len(longitude), 1) * size[2] / 2,
        ],
        axis=-1,
    ) + np.asarray(position, np.float64)
    return surface(grid, material, closed=True)

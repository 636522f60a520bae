# SPDX-License-Identifier: Apache-2.0
"""A furnished room as flat arrays of triangles, ready to be rendered."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mtinet_ros.scenes.classes import class_id
from mtinet_ros.scenes.geometry.mesh import Mesh, face_normals, joined

# World frame: x, y along the floor, z up, metres; the floor is z = 0.


@dataclass(frozen=True)
class Instance:
    """One thing in a room.

    Attributes:
        label: Class id.
        name: What it is, for people.
        asset: Library/id of the model it was made from, None for made things.
        low: Lower corner of its axis-aligned box, metres.
        high: Upper corner.
        yaw: Direction it faces: −y turned by this angle, radians.
    """

    label: int
    name: str
    asset: str | None
    low: tuple[float, float, float]
    high: tuple[float, float, float]
    yaw: float


@dataclass(frozen=True, eq=False)
class AreaLight:
    """A parallelogram that shines to the side where along × up points.

    Attributes:
        origin: A corner, float64 [3].
        along: First side, float64 [3].
        up: Second side, float64 [3].
        radiance: Linear RGB, float64 [3].
    """

    origin: NDArray[np.float64]
    along: NDArray[np.float64]
    up: NDArray[np.float64]
    radiance: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Sun:
    """Parallel light.

    Attributes:
        direction: Unit vector towards the sun, float64 [3].
        irradiance: On a surface that faces it, linear RGB, float64 [3].
    """

    direction: NDArray[np.float64]
    irradiance: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Scene:
    """Everything the renderer needs.

    Attributes:
        kind: Of room.
        mesh: All triangles.
        face: float32 [N, 3], unit geometric normals.
        instance: int32 [N], index into `instances` plus one.
        instances: Things by id − 1.
        lights: Area lights, windows included.
        sun: If it shines in.
        outside: Panorama, linear radiance float32 [h, w, 3].
        size: Room extent x, y, z; the room spans 0..x, 0..y, 0..z.
        notch: Corner missing from the rectangle (L-shaped rooms): x0, y0, x1, y1, or None.
    """

    kind: str
    mesh: Mesh
    face: NDArray[np.float32]
    instance: NDArray[np.int32]
    instances: tuple[Instance, ...]
    lights: tuple[AreaLight, ...]
    sun: Sun | None
    outside: NDArray[np.float32]
    size: tuple[float, float, float]
    notch: tuple[float, float, float, float] | None

    def labels(self) -> NDArray[np.uint8]:
        """Class of every triangle, uint8 [N]."""
        table = np.array([thing.label for thing in self.instances], np.uint8)
        return table[self.instance - 1]


@dataclass
class SceneBuilder:
    """Collects the things of a room."""

    kind: str
    size: tuple[float, float, float]
    notch: tuple[float, float, float, float] | None
    outside: NDArray[np.float32]
    sun: Sun | None = None
    meshes: list[Mesh] = field(default_factory=list)
    instances: list[Instance] = field(default_factory=list)
    lights: list[AreaLight] = field(default_factory=list)

    def add(
        self, mesh: Mesh, label: str, name: str, asset: str | None = None, yaw: float = 0.0
    ) -> Instance:
        """Put a mesh, already in world coordinates, into the room."""
        low, high = mesh.bounds()
        thing = Instance(
            class_id(label),
            name,
            asset,
            (float(low[0]), float(low[1]), float(low[2])),
            (float(high[0]), float(high[1]), float(high[2])),
            yaw,
        )
        self.meshes.append(mesh)
        self.instances.append(thing)
        return thing

    def finished(self) -> Scene:
        """The room as arrays."""
        mesh = joined(self.meshes)
        owner = [np.full(len(m.corners), i + 1, np.int32) for i, m in enumerate(self.meshes)]
        return Scene(
            self.kind,
            mesh,
            face_normals(mesh.corners),
            np.concatenate(owner),
            tuple(self.instances),
            tuple(self.lights),
            self.sun,
            self.outside,
            self.size,
            self.notch,
        )

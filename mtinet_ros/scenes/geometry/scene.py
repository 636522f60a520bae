# SPDX-License-Identifier: Apache-2.0
"""A furnished room as flat arrays of triangles, ready to be rendered."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mtinet_ros.scenes.classes import class_id
from mtinet_ros.scenes.geometry.mesh import Mesh, face_normals, merge

# World frame: x, y along the floor, z up, metres; the floor is z = 0.


@dataclass(frozen=True)
class Instance:
    """One object in a room, walls and floors included.

    Attributes:
        label: Class id.
        name: Kind of object, for people.
        asset: Library/id of its catalog model; None for generated geometry.
        low: Lower corner of its axis-aligned bounding box, metres.
        high: Upper corner of that box, metres.
        yaw: Rotation about z of its front, which is −y at 0, radians.
    """

    label: int
    name: str
    asset: str | None
    low: tuple[float, float, float]
    high: tuple[float, float, float]
    yaw: float


@dataclass(frozen=True, eq=False)
class AreaLight:
    """A parallelogram that emits light to the side where along × up points.

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
    """A directional light.

    Attributes:
        direction: Unit vector towards the sun, float64 [3].
        irradiance: On a surface that faces it, linear RGB, float64 [3].
    """

    direction: NDArray[np.float64]
    irradiance: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Scene:
    """Geometry and light of a room.

    Attributes:
        kind: Kind of room, see `room.rooms.KINDS`.
        mesh: All triangles.
        face_normals: float32 [N, 3], unit geometric normals.
        instance: int32 [N], index into `instances` plus one.
        instances: Objects by id − 1.
        lights: Area lights, windows included.
        sun: The sun, if it shines in.
        environment: Panorama outside the windows, linear radiance float32 [h, w, 3].
        size: Room extent x, y, z; the room spans 0..x, 0..y, 0..z.
        notch: Corner missing from the rectangle (L-shaped rooms): x0, y0, x1, y1, or None.
    """

    kind: str
    mesh: Mesh
    face_normals: NDArray[np.float32]
    instance: NDArray[np.int32]
    instances: tuple[Instance, ...]
    lights: tuple[AreaLight, ...]
    sun: Sun | None
    environment: NDArray[np.float32]
    size: tuple[float, float, float]
    notch: tuple[float, float, float, float] | None

    def labels(self) -> NDArray[np.uint8]:
        """Class of every triangle, uint8 [N]."""
        table = np.array([instance.label for instance in self.instances], np.uint8)
        return table[self.instance - 1]


@dataclass
class SceneBuilder:
    """The objects and lights of a room that is being furnished."""

    kind: str
    size: tuple[float, float, float]
    notch: tuple[float, float, float, float] | None
    environment: NDArray[np.float32]
    sun: Sun | None = None
    meshes: list[Mesh] = field(default_factory=list)
    instances: list[Instance] = field(default_factory=list)
    lights: list[AreaLight] = field(default_factory=list)

    def add(
        self, mesh: Mesh, label: str, name: str, asset: str | None = None, yaw: float = 0.0
    ) -> Instance:
        """Add a mesh in world coordinates as one object."""
        low, high = mesh.bounds()
        instance = Instance(
            class_id(label),
            name,
            asset,
            (float(low[0]), float(low[1]), float(low[2])),
            (float(high[0]), float(high[1]), float(high[2])),
            yaw,
        )
        self.meshes.append(mesh)
        self.instances.append(instance)
        return instance

    def build(self) -> Scene:
        """The scene of everything that was added."""
        mesh = merge(self.meshes)
        owner = [np.full(len(m.corners), i + 1, np.int32) for i, m in enumerate(self.meshes)]
        return Scene(
            self.kind,
            mesh,
            face_normals(mesh.corners),
            np.concatenate(owner),
            tuple(self.instances),
            tuple(self.lights),
            self.sun,
            self.environment,
            self.size,
            self.notch,
        )

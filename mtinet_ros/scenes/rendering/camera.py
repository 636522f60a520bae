# SPDX-License-Identifier: Apache-2.0
"""Cameras in a room: positions, directions and intrinsics that give useful frames.

Camera frame: REP 103 optical (x right, y down, z forward). There is no lens distortion.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mtinet_ros.scenes.assets.texture import Generator
from mtinet_ros.scenes.classes import NAMES
from mtinet_ros.scenes.geometry.scene import Instance
from mtinet_ros.scenes.rendering.surfaces import Array, Surfaces

# Classes to aim at, as often as given: cameras placed at random show too little of them.
AIM_WEIGHTS = {
    "bed": 4.0, "tv": 3.5, "door": 1.3, "sofa": 4.0, "window": 0.8, "picture": 1.0,
    "chair": 1.0, "table": 1.0, "furniture": 0.5, "object": 0.25,
}  # fmt: skip
HEAD_ON_SHARE = 0.5
"""Share of the views of beds that are taken along the bed, from its foot."""
CLEARANCE = 0.25
"""Free space around the camera, metres."""


@dataclass(frozen=True, eq=False)
class Camera:
    """A pinhole camera.

    Attributes:
        intrinsics: fx, fy, cx, cy in pixels; pixel centres at integer coordinates.
        world_from_camera: float64 [4, 4], camera optical frame to world, metres.
        size: Height and width in pixels.
    """

    intrinsics: tuple[float, float, float, float]
    world_from_camera: NDArray[np.float64]
    size: tuple[int, int]

    def rays(self, pixels: Array) -> Array:
        """World directions [P, 3] of pixel positions (x, y) [P, 2]; their z in the camera is 1."""
        fx, fy, cx, cy = self.intrinsics
        x, y = (pixels[:, 0] - cx) / fx, (pixels[:, 1] - cy) / fy
        local = np.stack([x, y, np.ones_like(x)], axis=-1)
        return np.asarray(local @ self.world_from_camera[:3, :3].T, np.float32)

    @property
    def position(self) -> Array:
        """World position, float32 [3]."""
        return self.world_from_camera[:3, 3].astype(np.float32)


def draw_intrinsics(rng: Generator, size: tuple[int, int]) -> tuple[float, float, float, float]:
    """Random fx, fy, cx, cy: 45 to 95 degrees wide, mostly 50 to 75; centre a few pixels off."""
    height, width = size
    angle = rng.uniform(50, 75) if rng.random() < 0.65 else rng.uniform(45, 95)
    focal = width / 2 / np.tan(np.radians(angle) / 2)
    cx = (width - 1) / 2 + rng.normal(0, 0.01) * width
    cy = (height - 1) / 2 + rng.normal(0, 0.01) * height
    return float(focal), float(focal), float(cx), float(cy)


def look_at(
    position: NDArray[np.float64], yaw: float, pitch: float, roll: float
) -> NDArray[np.float64]:
    """`world_from_camera` of a camera that looks along yaw (from +x about z) and pitch (up).

    Args:
        position: World x, y, z, metres.
        yaw: Radians.
        pitch: Radians.
        roll: Radians about the optical axis.
    """
    forward = np.array([np.cos(yaw) * np.cos(pitch), np.sin(yaw) * np.cos(pitch), np.sin(pitch)])
    right = np.array([np.sin(yaw), -np.cos(yaw), 0.0])
    down = np.cross(forward, right)
    c, s = np.cos(roll), np.sin(roll)
    world_from_camera = np.eye(4)
    world_from_camera[:3, 0], world_from_camera[:3, 1], world_from_camera[:3, 2] = (
        c * right + s * down,
        c * down - s * right,
        forward,
    )
    world_from_camera[:3, 3] = position
    return world_from_camera


class Viewpoints:
    """Random cameras in a room whose frames are worth rendering."""

    def __init__(self, surfaces: Surfaces, rng: Generator, size: tuple[int, int]) -> None:
        """Sample cameras in a scene for frames of `size` (height, width)."""
        self.surfaces = surfaces
        self.rng = rng
        self.size = size
        scene = surfaces.scene
        self._labels = scene.labels()
        self._targets = [
            instance for instance in scene.instances if NAMES[instance.label] in AIM_WEIGHTS
        ]

    def still(self) -> Camera:
        """A camera with a good view; after 30 tries the best of them."""
        best, best_score = None, -np.inf
        for _ in range(30):
            camera = (
                self._aimed_view()
                if self._targets and self.rng.random() < 0.72
                else self._random_view()
            )
            if camera is None:
                continue
            score = self._score(camera)
            if score > best_score:
                best, best_score = camera, score
            if score > 1.0:
                break
        if best is None:
            x, y, z = self.surfaces.scene.size
            middle = np.array([x / 2, y / 2, z * 0.8])
            best = Camera(
                draw_intrinsics(self.rng, self.size), look_at(middle, 0.3, -0.4, 0.0), self.size
            )
        return best

    def path(self, count: int) -> list[Camera]:
        """Cameras of a video at about 15 Hz: smooth motion with a little shake."""
        for _ in range(20):
            start = self.still()
            speed = self.rng.uniform(0.0, 0.05)
            turn, rise = self.rng.normal(0, 0.025), self.rng.normal(0, 0.006)
            heading = self.rng.uniform(-np.pi, np.pi)
            cameras = []
            forward = start.world_from_camera[:3, 2]
            yaw, pitch = float(np.arctan2(forward[1], forward[0])), float(np.arcsin(forward[2]))
            for step in range(count):
                position = start.world_from_camera[:3, 3] + step * speed * np.array(
                    [np.cos(heading), np.sin(heading), 0.0]
                )
                position = position + self.rng.normal(0, 0.002, 3)
                shake = self.rng.normal(0, 0.003, 3)
                world_from_camera = look_at(
                    position,
                    yaw + step * turn + shake[0],
                    pitch + step * rise + shake[1],
                    shake[2],
                )
                cameras.append(Camera(start.intrinsics, world_from_camera, self.size))
            ends = (cameras[count // 2], cameras[-1])
            if all(
                self._is_free(c.world_from_camera[:3, 3]) and self._score(c) > 0.3 for c in ends
            ):
                return cameras
        return [start] * count

    def _random_height(self) -> float:
        kind = self.rng.random()
        if kind < 0.22:
            return float(self.rng.uniform(0.2, 0.6))  # a small robot
        if kind < 0.45:
            return float(self.rng.uniform(0.7, 1.3))  # a larger robot, someone sitting
        limit = self.surfaces.scene.size[2] - 0.25
        return float(min(self.rng.uniform(1.35, 1.85), limit))  # hand-held

    def _random_position(self) -> NDArray[np.float64]:
        x, y, _ = self.surfaces.scene.size
        return np.array(
            [self.rng.uniform(0.2, x - 0.2), self.rng.uniform(0.2, y - 0.2), self._random_height()]
        )

    def _random_view(self) -> Camera | None:
        position = self._random_position()
        if not self._is_free(position):
            return None
        pitch = self.rng.normal(-0.2 if position[2] > 0.8 else 0.05, 0.15)
        return self._camera(position, self.rng.uniform(-np.pi, np.pi), pitch)

    def _aimed_view(self) -> Camera | None:
        """A view of one object, roughly centred; beds often along their length."""
        weights = np.array([AIM_WEIGHTS[NAMES[instance.label]] for instance in self._targets])
        instance = self._targets[int(self.rng.choice(len(weights), p=weights / weights.sum()))]
        low, high = np.array(instance.low), np.array(instance.high)
        center = (low + high) / 2
        position = self._random_position()
        if NAMES[instance.label] == "bed" and self.rng.random() < HEAD_ON_SHARE:
            position = self._position_at_foot(instance, center, (high - low) / 2)
        if not self._is_free(position):
            return None
        gap = center - position
        flat = float(np.hypot(gap[0], gap[1]))
        if flat < 0.5:
            return None
        yaw = np.arctan2(gap[1], gap[0]) + self.rng.normal(0, 0.2)
        pitch = np.arctan2(gap[2], flat) * self.rng.uniform(0.5, 1.1) + self.rng.normal(
            -0.02, 0.06
        )
        return self._camera(position, yaw, float(np.clip(pitch, -0.75, 0.35)))

    def _position_at_foot(
        self, instance: Instance, center: NDArray[np.float64], half: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        facing = np.array([np.sin(instance.yaw), -np.cos(instance.yaw)])
        reach = abs(float(facing @ half[:2])) + self.rng.uniform(0.1, 2.0)
        aside = self.rng.normal(0, 0.25) * np.array([-facing[1], facing[0]])
        height = self._random_height() if self.rng.random() < 0.6 else self.rng.uniform(1.2, 1.7)
        return np.array([*(center[:2] + facing * reach + aside), height])

    def _camera(self, position: NDArray[np.float64], yaw: float, pitch: float) -> Camera:
        roll = self.rng.normal(0, 0.02) if self.rng.random() < 0.9 else self.rng.normal(0, 0.12)
        return Camera(
            draw_intrinsics(self.rng, self.size),
            look_at(position, yaw, pitch, float(roll)),
            self.size,
        )

    def _is_free(self, position: NDArray[np.float64]) -> bool:
        """Whether a position is in the room and clear of everything by `CLEARANCE`."""
        x, y, z = self.surfaces.scene.size
        if not (
            0.15 < position[0] < x - 0.15
            and 0.15 < position[1] < y - 0.15
            and 0.1 < position[2] < z - 0.1
        ):
            return False
        notch = self.surfaces.scene.notch
        if notch is not None and position[0] > notch[0] - 0.15 and position[1] > notch[1] - 0.15:
            return False
        rays = np.concatenate(
            [np.eye(3), -np.eye(3), [[1, 1, 0], [1, -1, 0], [-1, 1, 0], [-1, -1, 0]]]
        )
        rays = rays / np.linalg.norm(rays, axis=-1, keepdims=True)
        hits = self.surfaces.cast(
            np.broadcast_to(position, rays.shape).astype(np.float32), rays.astype(np.float32)
        )
        near = hits.distance[hits.valid]
        behind = (self.surfaces.scene.face_normals[hits.triangle] * rays).sum(-1) > 0
        inside = (behind & hits.valid).mean() > 0.4  # within a piece of furniture
        return bool(not inside and (len(near) == 0 or near.min() > CLEARANCE))

    def _score(self, camera: Camera) -> float:
        """Quality of a view, by 24 × 18 rays; above 1: far enough, and of several classes."""
        h, w = camera.size
        grid = np.stack(np.meshgrid(np.linspace(0, w - 1, 24), np.linspace(0, h - 1, 18)), -1)
        rays = camera.rays(grid.reshape(-1, 2).astype(np.float32))
        hits = self.surfaces.cast(np.broadcast_to(camera.position, rays.shape), rays)
        if hits.valid.mean() < 0.97:
            return -1.0
        depth = hits.distance[hits.valid]
        if np.quantile(depth, 0.05) < 0.35 or np.median(depth) < 0.9:
            return -0.5
        share = (
            np.bincount(self._labels[hits.triangle[hits.valid]], minlength=13) / hits.valid.sum()
        )
        kinds = int((share > 0.02).sum())
        return float(kinds / 4.0 - max(share.max() - 0.65, 0) * 3)

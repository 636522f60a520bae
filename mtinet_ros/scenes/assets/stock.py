# SPDX-License-Identifier: Apache-2.0
"""Furniture for one room: restyled catalog models, mixed with generated pieces."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from mtinet_ros.errors import DataError
from mtinet_ros.scenes.assets import made_furniture as furniture
from mtinet_ros.scenes.assets import made_objects as objects
from mtinet_ros.scenes.assets.catalog import Catalog, Model
from mtinet_ros.scenes.assets.roles import ROLES
from mtinet_ros.scenes.assets.texture import (
    Generator,
    fabric_color,
    fabric_material,
    wood_material,
)
from mtinet_ros.scenes.geometry.mesh import Mesh, as_color

logger = logging.getLogger(__name__)
CACHED_MODELS = 400
"""Loaded models kept per worker; about a gigabyte."""


@dataclass(frozen=True, eq=False)
class Piece:
    """An object to be placed.

    Attributes:
        mesh: Geometry in the object frame.
        label: Name of its class.
        name: Kind of object, for people.
        asset: Library/id of its catalog model; None for generated geometry.
        elevation: Height of its lower side above the floor, metres.
    """

    mesh: Mesh
    label: str
    name: str
    asset: str | None = None
    elevation: float = 0.0

    @property
    def size(self) -> NDArray[np.float32]:
        """Width, depth, height."""
        low, high = self.mesh.bounds()
        return np.asarray(high - low, np.float32)


# role -> (share of generated pieces, generator of one)
_MADE: dict[str, tuple[float, Callable[[Generator], Piece]]] = {
    "bed": (0.55, lambda r: Piece(furniture.bed(r, r.uniform(1.3, 2.0)), "bed", "bed")),
    "single_bed": (
        0.45,
        lambda r: Piece(furniture.bed(r, r.uniform(0.8, 1.2)), "bed", "single bed"),
    ),
    "chair": (0.3, lambda r: Piece(furniture.chair(r), "chair", "chair")),
    "sofa": (0.35, lambda r: Piece(furniture.sofa(r, r.uniform(1.5, 2.6)), "sofa", "sofa")),
    "armchair": (0.4, lambda r: _armchair(r)),
    "office_chair": (
        0.4,
        lambda r: Piece(furniture.office_chair(r), "chair", "office chair"),
    ),
    "tv": (
        0.75,
        lambda r: Piece(furniture.television(r, r.uniform(0.6, 1.5), stand=True), "tv", "tv"),
    ),
    "wall_tv": (
        0.9,
        lambda r: Piece(
            furniture.television(r, r.uniform(0.7, 1.7), stand=False),
            "tv",
            "tv",
            elevation=r.uniform(0.8, 1.5),
        ),
    ),
    "computer": (
        0.8,
        lambda r: Piece(
            furniture.television(r, r.uniform(0.4, 0.75), stand=True, kind="screen"),
            "tv",
            "screen",
        ),
    ),
    "dining_table": (
        0.4,
        lambda r: _table(r, r.uniform(1.0, 2.2), r.uniform(0.75, 1.1), r.uniform(0.71, 0.78)),
    ),
    "small_table": (
        0.5,
        lambda r: _table(r, r.uniform(0.45, 0.8), r.uniform(0.4, 0.7), r.uniform(0.45, 0.75)),
    ),
    "coffee_table": (
        0.5,
        lambda r: _table(r, r.uniform(0.7, 1.3), r.uniform(0.45, 0.8), r.uniform(0.32, 0.5)),
    ),
    "desk": (
        0.5,
        lambda r: Piece(
            furniture.desk(r, r.uniform(1.0, 1.8), r.uniform(0.55, 0.85)),
            "table",
            "desk",
        ),
    ),
    "bedside": (
        0.6,
        lambda r: _cabinet(r, (0.35, 0.55), (0.33, 0.45), (0.4, 0.65), "night stand"),
    ),
    "dresser": (0.5, lambda r: _cabinet(r, (0.8, 1.6), (0.4, 0.55), (0.7, 1.1), "dresser")),
    "wardrobe": (0.55, lambda r: _cabinet(r, (0.8, 2.4), (0.5, 0.65), (1.9, 2.3), "wardrobe")),
    "tv_stand": (0.7, lambda r: _cabinet(r, (1.0, 2.0), (0.35, 0.5), (0.35, 0.6), "tv stand")),
    "radiator": (
        0.6,
        lambda r: Piece(
            objects.radiator(r, r.uniform(0.5, 1.5), r.uniform(0.35, 0.7)),
            "object",
            "radiator",
            elevation=0.12,
        ),
    ),
    "ornament": (0.6, lambda r: _small(r)),
    "desk_clutter": (0.5, lambda r: _small(r)),
    "tableware": (0.5, lambda r: Piece(objects.bottle(r), "object", "vessel")),
    "kitchenware": (0.3, lambda r: _small(r)),
    "bath_clutter": (0.5, lambda r: Piece(objects.bottle(r), "object", "bottle")),
    "floor_clutter": (0.35, lambda r: _heap(r)),
}


def _armchair(rng: Generator) -> Piece:
    if rng.random() < 0.6:
        return Piece(furniture.tub_chair(rng), "chair", "armchair")
    return Piece(furniture.sofa(rng, rng.uniform(0.85, 1.05)), "chair", "armchair")


def _table(rng: Generator, width: float, depth: float, height: float) -> Piece:
    return Piece(furniture.table(rng, width, depth, height), "table", "table")


def _cabinet(
    rng: Generator,
    w: tuple[float, float],
    d: tuple[float, float],
    h: tuple[float, float],
    name: str,
) -> Piece:
    mesh = furniture.cabinet(rng, rng.uniform(*w), rng.uniform(*d), rng.uniform(*h))
    return Piece(mesh, "furniture", name)


def _small(rng: Generator) -> Piece:
    make = (objects.bottle, objects.carton, objects.stack, objects.bottle)[int(rng.integers(4))]
    return Piece(make(rng), "object", make.__name__)


def _heap(rng: Generator) -> Piece:
    make = (objects.cloth_heap, objects.carton, objects.pillow, objects.stack)[
        int(rng.integers(4))
    ]
    return Piece(make(rng), "object", make.__name__.replace("_", " "))


class ModelCache:
    """Meshes of a catalog, loaded once; a damaged model is reported once and left out."""

    def __init__(self, catalog: Catalog) -> None:
        """Start empty."""
        self._catalog = catalog
        self._meshes: OrderedDict[str, Mesh | None] = OrderedDict()

    def load(self, model: Model) -> Mesh | None:
        """The mesh, or None if the model cannot be used."""
        if model.key not in self._meshes:
            try:
                self._meshes[model.key] = self._catalog.load(model)
            except DataError as error:
                logger.warning("left out: %s", error)
                self._meshes[model.key] = None
            if len(self._meshes) > CACHED_MODELS:
                self._meshes.popitem(last=False)
        self._meshes.move_to_end(model.key)
        return self._meshes[model.key]


class FurnitureStock:
    """Pieces for the roles of a room, from the models of one split.

    Args:
        models: Usable models by role.
        cache: Loader of the models.
        rng: The room's source of randomness.
    """

    def __init__(self, models: dict[str, list[Model]], cache: ModelCache, rng: Generator) -> None:
        """Start with no model in use."""
        self._models = models
        self._cache = cache
        self._rng = rng
        self.used: dict[str, Model] = {}

    def piece(self, role: str) -> Piece | None:
        """A random piece, or None when the split has none for this role."""
        share, make = _MADE.get(role, (0.0, None))
        models = self._models.get(role, [])
        if make is not None and (not models or self._rng.random() < share):
            return make(self._rng)
        if not models:
            return None
        model = models[int(self._rng.integers(len(models)))]
        mesh = self._cache.load(model)
        if mesh is None:
            return make(self._rng) if make is not None else None
        self.used[model.key] = model
        grow = self._rng.uniform(0.88, 1.14, 3)
        label = ROLES[role][0]
        mesh = mesh.scaled(grow)
        if role != "person":
            mesh = restyle(mesh, label, self._rng)
        return Piece(
            mesh,
            label,
            role.replace("_", " "),
            model.key,
            model.elevation,
        )


def restyle(mesh: Mesh, label: str, rng: Generator) -> Mesh:
    """The mesh in other random colors and materials.

    Plain materials may become wood or cloth by the class; textures are tinted.
    """
    if label in ("object", "tv", "window") and rng.random() < 0.5:
        return mesh
    hue, value = rng.uniform(-0.06, 0.06), rng.uniform(0.6, 1.25)
    if label in ("sofa", "chair", "bed") and rng.random() < 0.4:
        hue = rng.uniform(-0.5, 0.5)
    changed, uv = [], mesh.uv
    projected: NDArray[np.float32] | None = None
    for number, material in enumerate(mesh.materials):
        chance = rng.random()
        if material.transmission > 0:
            changed.append(material)
        elif (
            material.texture is None
            and chance < 0.45
            and label in ("sofa", "chair", "bed", "table", "furniture")
        ):
            cloth = label in ("sofa", "bed") or (label == "chair" and chance < 0.25)
            new = fabric_material(rng) if cloth else wood_material(rng)
            if projected is None:
                projected = _box_projection(mesh)
            rows = (mesh.material == number)[:, None, None]
            uv = np.where(rows, projected, uv)
            changed.append(new)
        elif material.texture is None and chance < 0.8:
            paint = as_color(np.maximum(fabric_color(rng), 0.05) ** 2.2)
            mixed = as_color((a + b) / 2 for a, b in zip(material.color, paint, strict=True))
            changed.append(replace(material, color=mixed))
        elif material.texture is not None and chance < 0.6:
            changed.append(
                replace(
                    material,
                    texture=_tinted(
                        material.texture, hue if label != "table" else hue * 0.1, value
                    ),
                )
            )
        else:
            changed.append(material)
    return replace(mesh, materials=tuple(changed), uv=np.asarray(uv, np.float32))


def _box_projection(mesh: Mesh) -> NDArray[np.float32]:
    """uv in metres, projected along the main axis of every triangle."""
    normal = np.abs(mesh.normals.mean(axis=1))
    axis = normal.argmax(axis=1)
    pairs = np.array([[1, 2], [0, 2], [0, 1]])[axis]
    return np.take_along_axis(mesh.corners, pairs[:, None, :].repeat(3, 1), axis=2)


def _tinted(image: NDArray[np.uint8], hue: float, value: float) -> NDArray[np.uint8]:
    color = cv2.cvtColor(image, cv2.COLOR_RGB2HSV).astype(np.float32)
    color[..., 0] = (color[..., 0] + hue * 180) % 180
    color[..., 2] = np.clip(color[..., 2] * value, 0, 255)
    return np.asarray(cv2.cvtColor(color.astype(np.uint8), cv2.COLOR_HSV2RGB))

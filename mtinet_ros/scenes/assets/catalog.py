# SPDX-License-Identifier: Apache-2.0
"""Furniture models: Sweet Home 3D libraries (.sh3f), by license, split, role and creator.

A .sh3f file is a zip archive with a PluginFurnitureCatalog.properties that lists for every model
its size in centimetres, its creator and the path of its OBJ (y up, front to +z).
"""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mtinet_ros.errors import DataError
from mtinet_ros.scenes.assets.roles import LIBRARIES, ROLES, roles_by_model
from mtinet_ros.scenes.assets.wavefront import read_obj
from mtinet_ros.scenes.geometry.mesh import Mesh

DEFAULT_FOLDER = Path("/usr/share/sweethome3d/furniture")
"""Folder of the libraries in Debian's and Ubuntu's sweethome3d-furniture."""
FOLDER_VARIABLE = "MTINET_FURNITURE"
LICENSES = tuple(sorted(set(LIBRARIES.values())))
SPLIT_SHARE = {"train": 0.7, "val": 0.15, "test": 0.15}
TRIANGLE_LIMIT = 80_000
"""Largest number of triangles of a model; more cost time and are not visible in the frames."""


@dataclass(frozen=True)
class Model:
    """One catalog entry.

    Attributes:
        library: File name of its library, without .sh3f.
        name: Id within the library.
        path: Path of the OBJ in the archive.
        size: Width, depth, height in metres.
        elevation: Height of its lower side above the floor, metres, 0 when it stands.
        rotation: Rotation of the model before everything else, row-major, or None.
        creator: Person to be credited.
        license: SPDX identifier.
    """

    library: str
    name: str
    path: str
    size: tuple[float, float, float]
    elevation: float
    rotation: tuple[float, ...] | None
    creator: str
    license: str

    @property
    def key(self) -> str:
        """Unique name, library/id."""
        return f"{self.library}/{self.name}"


def furniture_folder(option: str | None = None) -> Path:
    """The folder of the libraries: the option, else $MTINET_FURNITURE, else Debian's.

    Raises:
        DataError: It holds no library; the message says how to get them.
    """
    folder = Path(option or os.environ.get(FOLDER_VARIABLE) or DEFAULT_FOLDER)
    if not any(folder.glob("*.sh3f")):
        raise DataError(
            f"{folder} holds no furniture (*.sh3f); install it with "
            f"`sudo apt-get install sweethome3d-furniture`, or name its folder with --furniture "
            f"or {FOLDER_VARIABLE}"
        )
    return folder


class Catalog:
    """The models of a folder that a role uses and a license allows.

    Args:
        folder: Folder with .sh3f files.
        licenses: SPDX identifiers that are acceptable.

    Raises:
        DataError: A library is damaged, or nothing is left.
    """

    def __init__(self, folder: Path, licenses: Iterable[str] = LICENSES) -> None:
        """Read the catalogs, not yet the models."""
        self.folder = folder
        self._archives: dict[str, zipfile.ZipFile] = {}
        allowed = set(licenses)
        self.roles: dict[str, list[Model]] = {role: [] for role in ROLES}
        roles = roles_by_model()
        for path in sorted(folder.glob("*.sh3f")):
            license = LIBRARIES.get(path.stem)
            if license in allowed:
                for model in _read_library(path, license):
                    for role in roles.get((model.library, model.name), []):
                        self.roles[role].append(model)
        if not any(self.roles.values()):
            raise DataError(
                f"{folder} holds no usable model under {', '.join(sorted(allowed)) or 'none'}"
                f"; known libraries: {', '.join(LIBRARIES)}; licenses: {', '.join(LICENSES)}"
            )

    def split(self, name: str, seed: int) -> dict[str, list[Model]]:
        """Models of one split by role; no model is in two splits.

        A role with fewer than three models is left to training; rooms of the other splits do
        without, or use made furniture.

        Args:
            name: "train", "val" or "test".
            seed: Of the data set; another seed deals other models.
        """
        part: dict[str, str] = {}
        rng = np.random.default_rng([seed, 0x5EED])
        for models in self.roles.values():  # a fixed order: first role that has a model deals it
            fresh = [model.key for model in models if model.key not in part]
            order = [fresh[i] for i in rng.permutation(len(fresh))]
            held = round(len(models) * SPLIT_SHARE["val"]) or (1 if len(models) >= 3 else 0)
            for place, key in enumerate(order):
                part[key] = "val" if place < held else "test" if place < 2 * held else "train"
        return {
            role: [model for model in models if part[model.key] == name]
            for role, models in self.roles.items()
        }

    def load(self, model: Model) -> Mesh:
        """Mesh of a model in metres: centred on x, y; lower side at z = 0; front to −y.

        Raises:
            DataError: The model is damaged or too detailed to be worth it.
        """
        try:
            if model.library not in self._archives:  # kept open: their directories are long
                path = self.folder / f"{model.library}.sh3f"
                self._archives[model.library] = zipfile.ZipFile(path)
            mesh = read_obj(self._archives[model.library], model.path)
        except (OSError, zipfile.BadZipFile) as error:
            raise DataError(
                f"furniture library {model.library} cannot be read: {error}"
            ) from error
        if len(mesh.corners) > TRIANGLE_LIMIT:
            raise DataError(
                f"model {model.key} has {len(mesh.corners)} triangles, above {TRIANGLE_LIMIT}"
            )
        turn = np.array(
            [[1, 0, 0], [0, 0, -1], [0, 1, 0]], np.float32
        )  # x right, y up, z front -> ours
        if model.rotation is not None:
            turn = turn @ np.array(model.rotation, np.float32).reshape(3, 3)
        mesh = replace(mesh, corners=mesh.corners @ turn.T, normals=mesh.normals @ turn.T)
        low, high = mesh.bounds()
        extent = np.maximum(high - low, 1e-6)
        mesh = replace(
            mesh, corners=mesh.corners - np.array([*(low + high)[:2] / 2, low[2]], np.float32)
        )
        return mesh.scaled(np.array(model.size, np.float32) / extent)


def _read_library(path: Path, license: str) -> list[Model]:
    try:
        with zipfile.ZipFile(path) as archive:
            text = archive.read("PluginFurnitureCatalog.properties").decode("latin-1")
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(
            f"furniture library {path} is damaged ({error}); install it again with "
            f"`sudo apt-get install --reinstall sweethome3d-furniture`"
        ) from error
    records: dict[int, dict[str, str]] = {}
    for key, number, value in re.findall(r"^(\w+)#(\d+)=(.*?)\r?$", text, re.MULTILINE):
        records.setdefault(int(number), {})[key] = value
    return [_model(path.stem, record, license) for _, record in sorted(records.items())]


def _model(library: str, record: dict[str, str], license: str) -> Model:
    try:
        width, depth, height = (float(record[key]) / 100 for key in ("width", "depth", "height"))
        rotation = record.get("modelRotation")
        return Model(
            library=library,
            name=record["id"].partition("#")[2],
            path=record["model"].lstrip("/"),
            size=(width, depth, height),
            elevation=float(record.get("elevation", 0)) / 100,
            rotation=None if rotation is None else tuple(float(v) for v in rotation.split()),
            creator=record.get("creator", "unknown"),
            license=license,
        )
    except (KeyError, ValueError) as error:
        raise DataError(
            f"furniture library {library}: a catalog entry lacks or spoils {error}"
        ) from error


def credits_text(models: Iterable[Model]) -> str:
    """A Markdown list of the models with creators and licences, as CC-BY asks."""
    unique: dict[str, Model] = {model.key: model for model in models}
    lines = [
        "# Furniture in these pictures",
        "",
        "3-D models from the Sweet Home 3D libraries (https://www.sweethome3d.com), recoloured,",
        "scaled and rendered into pictures of rooms.",
        "",
        "| model | creator | licence |",
        "|---|---|---|",
    ]
    lines += [f"| {m.key} | {m.creator} | {m.license} |" for _, m in sorted(unique.items())]
    return "\n".join(lines) + "\n"

# SPDX-License-Identifier: Apache-2.0
"""A reader of rendered rooms: memory-mapped, NumPy only, also while rooms are being rendered.

The layout on disk is described in docs/scenes.md. A scene folder appears by one rename when all of
its files are complete, so whatever this reader finds is whole.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtinet_ros.errors import DataError

FORMAT = "mtinet_ros.scenes"
"""Name of the layout, in `index.json`."""
SPLITS = ("train", "val", "test")
MAPS = ("rgb", "classes", "instance", "depth", "normals")
"""Per-pixel arrays of a scene folder, one .npy each, first axis the frame."""
MAX_OPEN_SCENES = 64
"""Scenes kept mapped at once: five file handles each, far below the usual limit of 1024."""


@dataclass(frozen=True)
class Frame:
    """One rendered frame; the arrays are read-only views of the files.

    Attributes:
        rgb: uint8 [H, W, 3].
        classes: uint8 [H, W], ids of `mtinet_ros.scenes.classes`, 255 void.
        instance: uint16 [H, W], 0 void; the same object has the same id in all frames of a scene.
        depth: float32 [H, W], metres along the optical axis; 0 where nothing was hit.
        normals: int8 [H, W, 3], unit vector × 127 in the camera optical frame (x right, y down,
            z forward), facing the viewer; all zero where nothing was hit.
        intrinsics: float64 [4], fx fy cx cy in pixels; pixel centres at integer coordinates.
        world_from_camera: float64 [4, 4], camera optical frame to world (z up, metres).
        scene: Name of the scene folder.
        path: Camera path (video) within the scene, -1 for a still.
        path_index: Position in that path, -1 for a still.
    """

    rgb: NDArray[np.uint8]
    classes: NDArray[np.uint8]
    instance: NDArray[np.uint16]
    depth: NDArray[np.float32]
    normals: NDArray[np.int8]
    intrinsics: NDArray[np.float64]
    world_from_camera: NDArray[np.float64]
    scene: str
    path: int
    path_index: int

    def unit_normals(self) -> NDArray[np.float32]:
        """Normals as float32 [H, W, 3] of unit length; zero where nothing was hit."""
        normals = self.normals.astype(np.float32)
        length = np.linalg.norm(normals, axis=-1, keepdims=True)
        return np.asarray(normals / np.maximum(length, 1.0), np.float32)


class SceneDataset:
    """All frames of one split that are on disk when it is opened.

    Args:
        root: Folder written by `mtinet scenes`.
        split: "train", "val" or "test".

    Raises:
        DataError: No such folder, another format, an unknown split, or no complete scene yet.
    """

    def __init__(self, root: str | Path, split: str) -> None:
        """List the complete scenes; nothing is mapped yet."""
        self.root = Path(root)
        if split not in SPLITS:
            raise DataError(f"split '{split}' does not exist; choose one of {', '.join(SPLITS)}")
        self.index = read_index(self.root)
        self.split = split
        self.scenes = complete_scenes(self.root, split)
        if not self.scenes:
            raise DataError(
                f"{self.root / split} holds no complete scene yet; wait, or render more"
            )
        self._paths: list[NDArray[np.int32]] = []
        self._frames: list[tuple[int, int]] = []
        for number, folder in enumerate(self.scenes):
            paths = _load(folder, "path")
            self._paths.append(paths)
            self._frames.extend((number, frame) for frame in range(len(paths)))
        self._open: OrderedDict[int, dict[str, NDArray[np.generic]]] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        """State for another process, which maps the files itself: a copied map is its content."""
        return {**self.__dict__, "_open": OrderedDict()}

    def __len__(self) -> int:
        """Number of frames."""
        return len(self._frames)

    def __getitem__(self, index: int) -> Frame:
        """Frame `index`: stills and video frames of the first scene, then of the next one."""
        number, frame = self._frames[index]
        arrays = self._scene(number)
        path, path_index = self._paths[number][frame]
        return Frame(
            **{name: array[frame] for name, array in arrays.items()},
            scene=self.scenes[number].name,
            path=int(path),
            path_index=int(path_index),
        )

    def videos(self) -> list[list[int]]:
        """Camera paths: for each the frame indices of this dataset, in order of time."""
        videos: dict[tuple[int, int], list[tuple[int, int]]] = {}
        for index, (number, frame) in enumerate(self._frames):
            path, position = self._paths[number][frame]
            if path >= 0:
                videos.setdefault((number, int(path)), []).append((int(position), index))
        return [[index for _, index in sorted(frames)] for frames in videos.values()]

    def _scene(self, number: int) -> dict[str, NDArray[np.generic]]:
        arrays = self._open.pop(number, None)
        if arrays is None:
            folder = self.scenes[number]
            arrays = {name: _load(folder, name, mapped=True) for name in MAPS}
            arrays["intrinsics"] = _load(folder, "intrinsics")
            arrays["world_from_camera"] = _load(folder, "pose")
        self._open[number] = arrays
        if len(self._open) > MAX_OPEN_SCENES:
            self._open.popitem(last=False)
        return arrays


def _load(folder: Path, name: str, *, mapped: bool = False) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.load(folder / f"{name}.npy", mmap_mode="r" if mapped else None)
    except (OSError, ValueError, EOFError) as error:  # EOFError: nothing is in the file
        raise damaged(folder, f"{name}.npy", str(error)) from error
    return array


def damaged(folder: Path, file: str, reason: str) -> DataError:
    """What to raise where a file of a scene cannot be used."""
    return DataError(f"scene {folder} is damaged ({file}: {reason}); delete it and render again")


def complete_scenes(root: Path, split: str) -> list[Path]:
    """Folders of the complete scenes of a split, in order of their numbers."""
    return sorted(path.parent for path in (root / split).glob("scene_*/scene.json"))


def read_index(root: Path) -> dict[str, object]:
    """The `index.json` of a dataset folder.

    Raises:
        DataError: The file is missing or is not one of `mtinet scenes`.
    """
    try:
        index = json.loads((root / "index.json").read_text())
    except (OSError, ValueError) as error:
        raise DataError(
            f"{root} holds no rendered rooms, for index.json cannot be read ({error}); "
            f"make some with `mtinet scenes -n 600 -o {root}`"
        ) from error
    if not isinstance(index, dict) or index.get("format") != FORMAT:
        raise DataError(f"{root / 'index.json'} is not of rendered rooms; name their folder")
    return index

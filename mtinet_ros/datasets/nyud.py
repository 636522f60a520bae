# SPDX-License-Identifier: Apache-2.0
"""NYU Depth V2 and whatever else has its layouts (`nyud_layout`) as samples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mtinet_ros.datasets.class_sets import CLASS_SETS
from mtinet_ros.datasets.intrinsics import Intrinsics
from mtinet_ros.datasets.nyud_layout import (
    COMPACT_STEP,
    LENSES,
    NYU_SIZE,
    TRUTH,
    in_optical_frame,
    is_compact,
    read_meaning,
    read_names,
)
from mtinet_ros.datasets.sample import Sample, Target
from mtinet_ros.errors import DataError, InputError
from mtinet_ros.image_files import read_image
from mtinet_ros.model_contract import VOID_ID

_FARTHEST = 100.0
"""Metres; a depth beyond is in another unit."""


class NyudSamples:
    """One split of a folder in the layout NYUD_MT or the compact one, with the truth it has."""

    def __init__(self, root: str, split: str, *, crop: bool = True) -> None:
        """Read the list of frames and look whether their files are there.

        Args:
            root: The folder.
            split: "train", "val" or "test".
            crop: Leave out the border that has no truth; False: whole images, as published
                figures have them.

        Raises:
            DataError: The folder, its list or files that it names are missing.
        """
        self.root = Path(root)
        self.split = split
        self.names = read_names(self.root, split)
        self.meaning = read_meaning(self.root)
        self.compact = is_compact(self.root)
        self.class_names = CLASS_SETS[self.meaning.classes].names
        self.palette = CLASS_SETS[self.meaning.classes].palette
        self.attribution = self.meaning.attribution
        self._crop = self.meaning.crop if crop else None
        self._lenses = self._read_lenses()
        self.tasks = tuple(t for t, folder in TRUTH.items() if (self.root / folder).is_dir())
        self._check_files()

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.names)

    def __getitem__(self, index: int, /) -> Sample:
        """The frame at `index`.

        Raises:
            DataError: A file of it is damaged, or does not hold what it should.
        """
        name = self.names[index]
        try:
            image = read_image(self.path("images", name))
        except InputError as error:
            raise DataError(f"{error}; copy the file again") from error
        targets = {task: self._target(task, name, image.shape[:2]) for task in self.tasks}
        intrinsics = self._intrinsics(name, image.shape[:2])
        if self._crop is not None:
            top, bottom, left, right = self._crop
            if bottom > image.shape[0] or right > image.shape[1]:
                raise DataError(
                    f"{self.path('images', name)} has {image.shape[1]}x{image.shape[0]} pixels, "
                    f"less than the part that has truth (columns {left} to {right}, rows {top} "
                    f"to {bottom}); the data set's own pictures have 640x480"
                )
            image = np.ascontiguousarray(image[top:bottom, left:right])
            targets = {task: target[top:bottom, left:right] for task, target in targets.items()}
            if intrinsics is not None:
                intrinsics = Intrinsics(
                    intrinsics.focal_length, intrinsics.cx - left, intrinsics.cy - top
                )
        return Sample(image, targets, intrinsics)

    def videos(self) -> list[list[int]]:
        """None: stills."""
        return []

    def path(self, folder: str, name: str) -> Path:
        """The file of a frame in a folder."""
        if folder == "images":
            return self.root / folder / f"{name}.jpg"
        is_array = folder in ("normals", "edge") or (folder == "depth" and not self.compact)
        return self.root / folder / (f"{name}.npy" if is_array else f"{name}.png")

    def _check_files(self) -> None:
        folders = ("images", *(TRUTH[task] for task in self.tasks))
        missing = [
            path
            for name in self.names
            for folder in folders
            if not (path := self.path(folder, name)).is_file()
        ]
        if missing:
            raise DataError(
                f"{self.root} lacks {len(missing)} files of its {self.split} frames, such as "
                f"{missing[0].relative_to(self.root)}; copy it again, or take the names off the "
                "list"
            )

    def _read_lenses(self) -> dict[str, Intrinsics]:
        path = self.root / LENSES
        if self.meaning.lens is not None or not path.exists():
            return {}
        try:
            return {
                str(name): Intrinsics(*(float(value) for value in values))
                for name, values in json.loads(path.read_text(encoding="utf-8")).items()
            }
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise DataError(f"{path} cannot be read ({error}); write the folder again") from error

    def _intrinsics(self, name: str, size: tuple[int, ...]) -> Intrinsics | None:
        if self.meaning.lens is None:
            return self._lenses.get(name)
        fx, fy, cx, cy = self.meaning.lens
        scale = size[1] / NYU_SIZE[1]
        if size != NYU_SIZE and abs(size[0] / NYU_SIZE[0] - scale) > 0.01:
            return None  # cut, who knows where
        lens = Intrinsics(float(np.sqrt(fx * fy)), cx, cy)
        return lens if scale == 1 else lens.resized(scale)

    def _target(self, task: str, name: str, size: tuple[int, ...]) -> Target:
        path = self.path(TRUTH[task], name)
        values = _read_array(path) if path.suffix == ".npy" else _read_png(path)
        if values.shape[:2] != size or values.ndim != (3 if task == "normals" else 2):
            raise DataError(
                f"{path} has the shape {'x'.join(str(n) for n in values.shape)}, its picture "
                f"{size[0]}x{size[1]} (rows x columns); both must be of the same size"
            )
        if task == "semseg":
            return self._labels(path, values)
        if task == "depth":
            return self._depth(path, values)
        if task == "edge":
            return np.where(values == VOID_ID, VOID_ID, values > 0).astype(np.uint8)
        return self._normals(path, values)

    def _labels(self, path: Path, values: NDArray[Any]) -> NDArray[np.uint8]:
        count = len(self.class_names)
        highest = count - 1 if self.compact else count
        ids = values.astype(np.int64)
        odd = (ids > highest) & (ids != VOID_ID)
        if odd.any() or ids.min() < 0:
            raise DataError(
                f"{path} has the label {ids[odd].max() if odd.any() else ids.min()}; allowed is "
                f"0 to {highest}: it is of another class set than {self.meaning.classes}"
            )
        if self.compact:
            unknown = (ids == count - 1) | (ids == VOID_ID)
            return np.where(unknown, VOID_ID, ids).astype(np.uint8)
        return np.where((ids == 0) | (ids == VOID_ID), VOID_ID, ids - 1).astype(np.uint8)

    def _depth(self, path: Path, values: NDArray[Any]) -> NDArray[np.float32]:
        if path.suffix == ".png":
            if values.dtype != np.uint8:
                raise DataError(
                    f"{path} has {values.dtype.itemsize * 8} bits a pixel; the compact layout "
                    "has 8 (metres · 255 / 10)"
                )
            return np.asarray(values * np.float32(COMPACT_STEP), np.float32)
        depth = values.astype(np.float32)
        depth[~np.isfinite(depth) | (depth < 0)] = 0
        if depth.max() > _FARTHEST:
            raise DataError(
                f"{path} has a depth of {depth.max():.6g}; depth is in metres, and no room is "
                f"deeper than {_FARTHEST:.0f}"
            )
        return depth

    def _normals(self, path: Path, values: NDArray[Any]) -> NDArray[np.float32]:
        normals = values.astype(np.float32)
        length = np.linalg.norm(normals, axis=-1, keepdims=True)
        if values.shape[-1] != 3 or np.median(length[length > 0]) > 2 if length.any() else False:
            raise DataError(f"{path} does not hold unit vectors; normals are x, y, z each")
        unit = np.where(length > 0.1, normals / np.maximum(length, 1e-6), 0)
        return np.asarray(in_optical_frame(unit, self.meaning.normals_axes), np.float32)


def _read_array(path: Path) -> NDArray[Any]:
    try:
        values: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path} cannot be read ({error}); copy the file again") from error
    if values.dtype.kind not in "fiub":
        raise DataError(f"{path} holds {values.dtype}, no numbers; copy the file again")
    return values


def _read_png(path: Path) -> NDArray[Any]:
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); copy it again") from error
    values = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if len(data) else None
    if values is None:
        raise DataError(f"{path} is no complete picture; copy the file again")
    if values.ndim != 2:
        raise DataError(
            f"{path} is a color picture; ids and depths are pictures of one channel, without a "
            "palette"
        )
    return np.asarray(values)

# SPDX-License-Identifier: Apache-2.0
"""NYU Depth V2 and whatever else has its layouts (`nyud_layout`) as samples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtinet_ros.datasets.class_sets import CLASS_SETS
from mtinet_ros.datasets.intrinsics import Intrinsics
from mtinet_ros.datasets.nyud_layout import (
    COMPACT_SATURATED,
    COMPACT_STEP,
    LENSES,
    MARKER,
    NYU_CROP,
    NYU_SIZE,
    TRUTH,
    in_optical_frame,
    is_compact,
    read_list,
    read_meaning,
    read_names,
)
from mtinet_ros.datasets.sample import Sample, Target
from mtinet_ros.datasets.truth_files import (
    missing_of,
    read_array,
    read_picture,
    read_png,
    refuse_infinite,
    refuse_missing,
)
from mtinet_ros.errors import DataError
from mtinet_ros.model_contract import VOID_ID

_SHALLOWEST, _FARTHEST = 0.3, 100.0
"""Metres; a frame whose farthest point is nearer, or beyond, is in another unit."""
_AWAY_LIMIT = 0.9
"""Share of normals that face away from the camera: more only if their axes are others."""
_NOT_COMPACT = ("normals", "edge")
"""Truth that the compact layout does not have."""


class NyudSamples:
    """One split of a folder in the layout NYUD_MT or the compact one, with the truth it has."""

    def __init__(self, root: str, split: str, *, crop: bool = True, complete: bool = True) -> None:
        """Read the list of frames and look whether their files are there.

        Args:
            root: The folder.
            split: "train", "val" or "test".
            crop: Leave out the border that has no truth; False: whole images, as published
                figures have them.
            complete: Refuse a split whose files are not all there, or of which another list names
                a frame; False: refuse frames, one by one, when they are read.

        Raises:
            DataError: The folder, its list or files that it names are missing, or a frame is in
                two lists.
        """
        self.root = Path(root)
        self.split = split
        self.names = read_names(self.root, split) if complete else read_list(self.root, split)
        self.meaning = read_meaning(self.root)
        self.compact = is_compact(self.root)
        self._knows_unknown_edges = (self.root / MARKER).is_file()
        self.class_names = CLASS_SETS[self.meaning.classes].names
        self.palette = CLASS_SETS[self.meaning.classes].palette
        self.attribution = self.meaning.attribution
        self._crop = self.meaning.crop if crop else None
        self._lenses = self._read_lenses()
        self.tasks = tuple(
            task
            for task, folder in TRUTH.items()
            if (self.root / folder).is_dir() and not (self.compact and task in _NOT_COMPACT)
        )
        if complete:
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
        image = read_picture(self.path("images", name))
        targets = {task: self._target(task, name, image.shape[:2]) for task in self.tasks}
        intrinsics = self._intrinsics(name, image.shape[:2])
        if self._crop is not None:
            top, bottom, left, right = self._crop
            of_another_size = self._crop == NYU_CROP and image.shape[:2] != NYU_SIZE
            if of_another_size or bottom > image.shape[0] or right > image.shape[1]:
                raise DataError(
                    f"{self.path('images', name)} has {image.shape[1]}x{image.shape[0]} pixels; "
                    "the data set's own pictures have 640x480, and where others have truth is not "
                    f"known: rows {top} to {bottom - 1}, columns {left} to {right - 1} are said to"
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
        is_array = folder in _NOT_COMPACT or (folder == "depth" and not self.compact)
        return self.root / folder / (f"{name}.npy" if is_array else f"{name}.png")

    def files(self, name: str) -> list[Path]:
        """The picture of a frame and the files of all its truth."""
        return [self.path(f, name) for f in ("images", *(TRUTH[task] for task in self.tasks))]

    def missing_files(self) -> list[Path]:
        """Files that the list names and that are not there."""
        return missing_of([path for name in self.names for path in self.files(name)])

    def of_another_size(self) -> tuple[int, ...] | None:
        """Rows and columns of the first picture, if it is to be cropped and is not NYUv2's."""
        try:
            size = read_picture(self.path("images", self.names[0])).shape[:2]
        except DataError:
            return None
        return None if self._crop != NYU_CROP or size == NYU_SIZE else size

    def _check_files(self) -> None:
        if not self.tasks:
            raise DataError(
                f"{self.root} has pictures without truth: none of the folders "
                f"{', '.join(TRUTH.values())} is there; copy it again"
            )
        refuse_missing(self.root, self.missing_files(), f"{len(self.names)} {self.split}")

    def _read_lenses(self) -> dict[str, Intrinsics]:
        """Lenses by name; none where `LENSES` is missing, as version 0.1 left it."""
        path = self.root / LENSES
        if self.meaning.lens is not None or not path.exists():
            return {}
        try:
            lenses = {
                str(name): Intrinsics(*(float(value) for value in values))
                for name, values in json.loads(path.read_text(encoding="utf-8")).items()
            }
            if any(not lens.focal_length > 0 for lens in lenses.values()):
                raise ValueError("a focal length is not above 0")
            lost = set(self.names) - set(lenses)
            if lost:
                raise ValueError(f"it lacks {len(lost)} {self.split} frames, such as {min(lost)}")
            return lenses
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise DataError(f"{path} cannot be used: {error}; write the folder again") from error

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
        values = read_array(path) if path.suffix == ".npy" else read_png(path)
        if task != "normals" and values.ndim == 3 and values.shape[2] == 1:
            values = values[..., 0]
        if values.shape != (*size, *((3,) if task == "normals" else ())):
            shape = "x".join(str(n) for n in values.shape) or "of one number"
            raise DataError(
                f"{path} has the shape {shape}, its picture "
                f"{size[0]}x{size[1]} (rows x columns); both must be of the same size"
                + (", with x, y and z for every pixel" if task == "normals" else "")
            )
        if task == "semseg":
            return self._labels(path, values)
        if task == "depth":
            return self._depth(path, values)
        if task == "edge":
            return self._edge(path, values)
        return self._normals(path, values, self._intrinsics(name, size))

    def _labels(self, path: Path, values: NDArray[Any]) -> NDArray[np.uint8]:
        if values.dtype != np.uint8:
            raise DataError(
                f"{path} has {values.dtype.itemsize * 8} bits a pixel, labels of "
                f"{self.meaning.classes} have 8: it is of another class set; use the labels of "
                f"{len(self.class_names)} classes"
            )
        count = len(self.class_names)
        # Ids from 0 often come with 255 for unlabelled; in NYUD_MT that is 0, and ids are from 1.
        odd = (values >= count) & (values != VOID_ID) if self.compact else values > count
        if odd.any():
            raise DataError(
                f"{path} has the label {values[odd].max()}; allowed is "
                + (f"0 to {count - 1} and 255" if self.compact else f"1 to {count}, 0 unlabelled")
                + f": it is of another class set than {self.meaning.classes}, or numbered "
                "otherwise"
            )
        if self.compact:
            return np.where(values == count - 1, VOID_ID, values).astype(np.uint8)
        return np.where(values == 0, VOID_ID, values - np.uint8(1)).astype(np.uint8)

    def _depth(self, path: Path, values: NDArray[Any]) -> NDArray[np.float32]:
        if path.suffix == ".png":
            if values.dtype != np.uint8:
                raise DataError(
                    f"{path} has {values.dtype.itemsize * 8} bits a pixel; the compact layout "
                    "has 8 (metres · 255 / 10)"
                )
            steps = np.where(values == COMPACT_SATURATED, 0, values)
            farthest = float(steps.max()) * COMPACT_STEP
            if 0 < farthest <= _SHALLOWEST and not (values == COMPACT_SATURATED).any():
                raise DataError(
                    f"{path} has no depth beyond {farthest:.2f} m; the compact layout has metres "
                    "· 255 / 10: it is in another unit"
                )
            return np.asarray(steps * np.float32(COMPACT_STEP), np.float32)
        if values.dtype.kind != "f":
            raise DataError(
                f"{path} holds {values.dtype}; depth is floating point, in metres, 0 where unknown"
            )
        refuse_infinite(path, values)
        depth = np.array(values, np.float32)  # in memory, not in the file
        known = depth[depth != 0]
        if known.size and not (known.min() > 0 and _SHALLOWEST < known.max() <= _FARTHEST):
            raise DataError(
                f"{path} has depths from {known.min():.6g} to {known.max():.6g}; depth is in "
                f"metres, 0 where unknown, and the farthest point of a room is {_SHALLOWEST:.1f} "
                f"to {_FARTHEST:.0f} away: it is in another unit"
            )
        return depth

    def _edge(self, path: Path, values: NDArray[Any]) -> NDArray[np.uint8]:
        known = (values == 0) | (values == 1)
        if self._knows_unknown_edges:
            known |= values == VOID_ID
        if not known.all():
            raise DataError(
                f"{path} holds {values[~known].flat[0]:.6g}; edges are 1 and all else is 0"
                + (", 255 where unknown" if self._knows_unknown_edges else "")
            )
        return np.array(values, np.uint8)  # in memory, not in the file

    def _normals(
        self, path: Path, values: NDArray[Any], intrinsics: Intrinsics | None
    ) -> NDArray[np.float32]:
        normals = np.where(np.isfinite(values), values, 0).astype(np.float32)
        length = np.linalg.norm(normals, axis=-1, keepdims=True)
        known = length > 0.1
        if known.any() and abs(np.median(length[known]) - 1) > 0.1:
            raise DataError(
                f"{path} does not hold unit vectors, but of length {np.median(length[known]):.3g} "
                "(median); normals are floating point, x, y and z from -1 to 1"
            )
        unit = np.where(known, normals / np.maximum(length, 1e-6), 0)
        unit = np.asarray(in_optical_frame(unit, self.meaning.normals_axes), np.float32)
        away = _share_facing_away(unit, known[..., 0], intrinsics)
        if away > _AWAY_LIMIT:
            raise DataError(
                f"{path} has {away:.0%} of its normals facing away from the viewer, read with the "
                f"axes {self.meaning.normals_axes}; say in {self.root / MARKER} what they are"
            )
        return unit


def _share_facing_away(
    normals: NDArray[np.float32], known: NDArray[np.bool_], intrinsics: Intrinsics | None
) -> float:
    """Share of the known normals that no camera could have seen."""
    if not known.any():
        return 0.0
    rows, columns = known.shape
    lens = intrinsics or Intrinsics.centered(float(columns), rows, columns)
    x = ((np.arange(columns) - lens.cx) / lens.focal_length).astype(np.float32)
    y = ((np.arange(rows) - lens.cy) / lens.focal_length).astype(np.float32)
    along = normals[..., 0] * x + normals[..., 1] * y[:, None] + normals[..., 2]
    return float((along[known] > 0).mean())

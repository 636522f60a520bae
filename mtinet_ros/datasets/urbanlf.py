# SPDX-License-Identifier: Apache-2.0
"""UrbanLF (Sheng et al., IEEE TCSVT 2022): streets through a light field camera, as samples.

`ROOT/{train,val,test}/IMAGE/u_v.png` are 81 views, 1_1 to 9_9. UrbanLF-Real (623x432) has the
labels of the central view, `label.npy`; UrbanLF-Syn (640x480) those of every view,
`5_5_label.npy`, and its depth, `5_5_depth.npy`, in metres. Labels are 1 to 14. The publishers
measure the central view only, and so it alone is read. They keep the labels of the test images.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtinet_ros.datasets.class_sets import CLASS_SETS
from mtinet_ros.datasets.intrinsics import Intrinsics
from mtinet_ros.datasets.name_lists import SPLITS, known_split
from mtinet_ros.datasets.sample import Sample, Target
from mtinet_ros.datasets.truth_files import (
    missing_of,
    read_array,
    read_picture,
    refuse_infinite,
    refuse_missing,
)
from mtinet_ros.errors import DataError
from mtinet_ros.model_contract import VOID_ID

CENTER = "5_5"
"""The central view, whose labels count."""
VIEWS = tuple(f"{u}_{v}" for u in range(1, 10) for v in range(1, 10))
SKY_DEPTH = 200.0
"""What stands for the depth of the sky; all else is within 100 m."""
PUBLISHED_FRAMES: dict[str, dict[str, tuple[int, ...]]] = {
    "Real": {"train": (580,), "val": (80,), "test": (164,)},
    "Syn": {"train": (172, 280), "val": (28, 40), "test": (50, 80)},
}
"""By edition and split; Syn's second numbers are those of the later Syn-Big and Syn-Small."""
SYN_FOCAL_LENGTH = 50 / 36 * 640
"""Pixels: Blender's lens of 50 mm on a sensor of 36 mm, 640 pixels wide."""
URBANLF_ATTRIBUTION = (
    "UrbanLF (Sheng, Cong, Yang, Chen, Wang and Cui, IEEE TCSVT 2022), published for research "
    "without a license text"
)


class LabelsWithheldError(DataError):
    """The publishers keep the labels of the test images."""


def urbanlf_splits(root: Path) -> list[str]:
    """The splits that have a folder."""
    return [split for split in SPLITS if (root / split).is_dir()]


class UrbanlfSamples:
    """The central views of one split of `ROOT/Real` or `ROOT/Syn`."""

    def __init__(self, root: str, split: str, *, complete: bool = True) -> None:
        """List the images of a split and look whether their files are there.

        Args:
            root: The folder that holds train/, val/ and test/.
            split: "train", "val" or "test".
            complete: Refuse a split whose files are not all there; False: refuse frames, one by
                one, when they are read.

        Raises:
            LabelsWithheldError: It is the test split without labels, as published.
            DataError: The folder or files of it are missing.
        """
        self.root = Path(root)
        self.split = split
        self.names = _image_folders(self.root, split)
        labels = {"label.npy": "Real", f"{CENTER}_label.npy": "Syn"}
        there = {
            name for name in labels if any((self._folder(n) / name).exists() for n in self.names)
        }
        if len(there) != 1:
            self._refuse_labels(bool(there))
        self._labels = there.pop()
        self.edition = labels[self._labels]
        self.tasks: tuple[str, ...] = ("semseg", "depth") if self._has_depth() else ("semseg",)
        classes = CLASS_SETS["urbanlf14"]
        self.class_names = classes.names
        self.palette = classes.palette
        self.attribution = (URBANLF_ATTRIBUTION,)
        if complete:
            refuse_missing(self.root, self.missing_files(), f"{len(self.names)} {split}")

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.names)

    def __getitem__(self, index: int, /) -> Sample:
        """The frame at `index`.

        Raises:
            DataError: A file of it is damaged, or does not hold what it should.
        """
        picture, *truth = self.files(self.names[index])
        image = read_picture(picture)
        size = image.shape[:2]
        targets: dict[str, Target] = {}
        for task, path in zip(self.tasks, truth, strict=True):
            values = read_array(path)
            if values.shape != size:
                shape = "x".join(str(n) for n in values.shape) or "of one number"
                raise DataError(
                    f"{path} has the shape {shape}, its picture {size[0]}x{size[1]} (rows x "
                    "columns); both must be of the same size"
                )
            targets[task] = (
                self._read_labels(path, values) if task == "semseg" else _depth(path, values)
            )
        lens = None
        if self.edition == "Syn":
            scale = size[1] / 640
            lens = Intrinsics.centered(SYN_FOCAL_LENGTH * scale, size[0], size[1])
        return Sample(image, targets, lens)

    def videos(self) -> list[list[int]]:
        """None: stills."""
        return []

    def files(self, name: str) -> list[Path]:
        """The picture of a frame and the truth of `tasks`, in their order."""
        names = {"semseg": self._labels, "depth": f"{CENTER}_depth.npy"}
        folder = self._folder(name)
        return [folder / f"{CENTER}.png", *(folder / names[task] for task in self.tasks)]

    def missing_files(self) -> list[Path]:
        """Files that should be there and are not."""
        return missing_of([path for name in self.names for path in self.files(name)])

    def odd_files(self) -> list[str]:
        """A sentence on what is not as published, and harms nothing."""
        notes = []
        published = PUBLISHED_FRAMES[self.edition][self.split]
        if len(self.names) not in published:
            notes.append(
                f"{self.root / self.split} has {len(self.names)} images, UrbanLF-{self.edition} "
                f"has {published[0]}; if it is that one, copy the others too"
            )
        views = [self._folder(name) / f"{view}.png" for name in self.names for view in VIEWS]
        lacking = sorted({path.parent.name for path in missing_of(views)})
        if lacking:
            notes.append(
                f"{len(lacking)} images of {self.split} do not have all 81 views, such as "
                f"{lacking[0]}; the central one is what is read"
            )
        return notes

    def _folder(self, name: str) -> Path:
        return self.root / self.split / name

    def _refuse_labels(self, both: bool) -> None:
        """Say what is wrong with a split that has labels of none or of both editions."""
        folder = self.root / self.split
        if both:
            raise DataError(
                f"{folder} has images with label.npy, as UrbanLF-Real, and others with "
                f"{CENTER}_label.npy, as UrbanLF-Syn; keep them in two folders"
            )
        if self.split == "test":
            raise LabelsWithheldError(
                f"{folder} has no labels: UrbanLF's publishers keep those of the test images and "
                "measure what is sent to them; measure on val"
            )
        raise DataError(f"{folder} has neither label.npy nor {CENTER}_label.npy; copy it again")

    def _has_depth(self) -> bool:
        names = self.names if self.edition == "Syn" else ()
        return any((self._folder(name) / f"{CENTER}_depth.npy").exists() for name in names)

    def _read_labels(self, path: Path, values: NDArray[Any]) -> NDArray[np.uint8]:
        count = len(self.class_names)
        known = (values >= 1) & (values <= count) & (values == np.floor(values))
        odd = ~known & (values != 0) & (values != VOID_ID)
        if odd.any():
            raise DataError(
                f"{path} has the label {values[odd].flat[0]:.6g}; allowed is 1 to {count}, 0 and "
                "255 unlabelled: it is of another class set than UrbanLF, or numbered otherwise"
            )
        return np.where(known, values - 1, VOID_ID).astype(np.uint8)


def _image_folders(root: Path, split: str) -> list[str]:
    """Names of the images of a split, in the order of their numbers."""
    folder = root / known_split(split)
    if not folder.is_dir():
        inside = [name for name in PUBLISHED_FRAMES if (root / name / split).is_dir()]
        raise DataError(
            f"the folder {folder} is not there; "
            + (
                f"name {' or '.join(str(root / name) for name in inside)}"
                if inside
                else "name UrbanLF's folder Real or Syn, which holds train, val and test"
            )
        )
    names = [path.name for path in folder.iterdir() if path.is_dir() and path.name[0] != "."]
    if not names:
        raise DataError(f"{folder} holds no images in folders of their own; copy it again")
    return sorted(names, key=_number)


def _number(name: str) -> tuple[int, str]:
    """Image2 comes before Image10."""
    digits = "".join(letter for letter in name if letter.isdecimal())
    return int(digits or 0), name


def _depth(path: Path, values: NDArray[Any]) -> NDArray[np.float32]:
    refuse_infinite(path, values)
    depth = np.where(values >= SKY_DEPTH, 0, values).astype(np.float32)
    if depth.min() < 0:
        raise DataError(
            f"{path} has depths from {depth.min():.6g}; depth is in metres, {SKY_DEPTH:.0f} for "
            "the sky"
        )
    return depth

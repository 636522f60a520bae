# SPDX-License-Identifier: Apache-2.0
"""Ground truth of PASCAL_MT as its authors make it from MATLAB files and distilled pictures.

Maninis, Radosavovic and Kokkinos, "Attentive Single-Tasking of Multiple Tasks", CVPR 2019, made
the data set; MTI-Net's authors read it the same way.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mtinet_ros.datasets.mat_file import read_mat
from mtinet_ros.datasets.thinning import thinned
from mtinet_ros.errors import DataError

PERSON = 15
"""PASCAL VOC's number of people."""
CONTEXT_CLASSES = 459
"""Segments of PASCAL-Context are numbered 1 to this; 0 is unlabelled."""
HUMAN_PART_IDS = {
    1: ("hair", "head", "lear", "lebrow", "leye", "mouth", "nose", "rear", "rebrow", "reye"),
    2: ("neck", "torso"),
    3: ("luarm", "ruarm"),
    4: ("lhand", "llarm", "rhand", "rlarm"),
    5: ("luleg", "ruleg"),
    6: ("lfoot", "llleg", "rfoot", "rlleg"),
}
"""Which parts of PASCAL-Part make up which of `class_sets.HUMAN_PARTS`."""
_ID_OF_PART = {name: number for number, names in HUMAN_PART_IDS.items() for name in names}
# Numbers of PASCAL-Context's classes that NYU Depth V2 has by the same name, and 427, its
# "tvmonitor": what a network that learnt normals of rooms was trusted with.
_CLASSES_WITH_NORMALS = (
    3, 4, 6, 9, 10, 11, 13, 15, 17, 18, 22, 23, 29, 30, 33, 34, 36, 37, 38, 39, 41, 43, 46, 49,
    50, 51, 53, 55, 56, 59, 61, 62, 65, 66, 68, 69, 72, 73, 78, 83, 84, 85, 87, 88, 95, 96, 101,
    104, 105, 107, 111, 113, 115, 122, 124, 135, 141, 142, 143, 146, 150, 154, 157, 158, 159, 165,
    172, 174, 181, 183, 184, 191, 193, 195, 197, 199, 202, 213, 215, 216, 219, 220, 223, 225, 228,
    230, 232, 233, 238, 239, 242, 243, 246, 250, 251, 252, 255, 260, 261, 263, 269, 272, 273, 275,
    281, 283, 284, 285, 286, 287, 288, 290, 291, 292, 293, 295, 304, 307, 309, 310, 314, 315, 319,
    323, 329, 330, 331, 336, 342, 345, 349, 350, 351, 352, 355, 357, 368, 370, 371, 374, 379, 380,
    383, 384, 397, 401, 403, 405, 407, 408, 411, 412, 413, 414, 417, 419, 421, 423, 427, 429, 430,
    432, 440, 441, 442, 443, 444, 446, 454, 457,
)  # fmt: skip
HAS_NORMALS = np.isin(np.arange(CONTEXT_CLASSES + 1), _CLASSES_WITH_NORMALS)
"""bool [460]: whether normals of a class of PASCAL-Context are used."""


def segments(path: Path) -> NDArray[np.int64]:
    """The class of every pixel in a file of PASCAL-Context, int64 [h, w], 0 to 459.

    Raises:
        DataError: The file is damaged or holds something else.
    """
    labels = np.asarray(read_mat(path, "LabelMap"))
    if labels.ndim != 2 or labels.dtype.kind not in "fiub":
        raise DataError(f"{path} has a LabelMap that is no picture of numbers; copy it again")
    odd = ~((labels >= 0) & (labels <= CONTEXT_CLASSES))
    if odd.any():
        raise DataError(
            f"{path} has the label {labels[odd].flat[0]:.6g}; PASCAL-Context has 1 to "
            f"{CONTEXT_CLASSES}, 0 unlabelled"
        )
    return labels.astype(np.int64)


def segment_edges(labels: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Borders between segments, one pixel wide: 1 there, else 0.

    Where the labels' Laplacian is not zero, thinned. Three segments whose numbers are evenly
    spaced side by side have no border by it where the middle one is one pixel wide; so it is in
    the authors' truth.

    Args:
        labels: int64 [h, w].

    Returns:
        uint8 [h, w].
    """
    return thinned(cv2.Laplacian(labels.astype(np.float64), cv2.CV_64F) != 0)


def human_parts(path: Path) -> NDArray[np.uint8] | None:
    """The merged parts of all people in a file of PASCAL-Part.

    Where parts overlap, the one that the file names last counts.

    Returns:
        uint8 [h, w], ids of `class_sets.HUMAN_PARTS`; None where nobody with parts is in the
        picture: nothing is known of it, as not all people have parts.

    Raises:
        DataError: The file is damaged or holds something else.
    """
    parts: NDArray[np.uint8] | None = None
    try:
        for person in _objects(path):
            if _number(person["class_ind"]) != PERSON:
                continue
            for part in _entries(person["parts"]):
                mask = np.asarray(part["mask"]) != 0
                if mask.ndim != 2:
                    raise ValueError(f"a mask of {mask.ndim} dimensions")
                if parts is None:
                    parts = np.zeros(mask.shape, np.uint8)
                parts[mask] = _part_id(path, str(part["part_name"]))
    except _NO_ANNOTATION as error:
        raise _no_annotation(path, error) from error
    return parts if parts is not None and parts.any() else None


def objects(path: Path) -> list[int]:
    """Numbers of PASCAL VOC's classes of the objects in a file of PASCAL-Part, if not empty.

    Raises:
        DataError: The file is damaged or holds something else.
    """
    try:
        return [
            _number(entry["class_ind"])
            for entry in _objects(path)
            if np.asarray(entry["mask"]).any()
        ]
    except _NO_ANNOTATION as error:
        raise _no_annotation(path, error) from error


def objects_by_name(path: Path) -> dict[str, list[int]]:
    """The authors' list of `objects` by picture, JSON; empty where it is not there.

    Raises:
        DataError: It is no such list.
    """
    if not path.is_file():
        return {}
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))
        return {str(name): [int(number) for number in found] for name, found in listed.items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path} is no list of objects in JSON ({error}); remove it, and the objects are "
            "looked up in human_parts/"
        ) from error


_NO_ANNOTATION = (KeyError, TypeError, ValueError, IndexError, OverflowError)


def _no_annotation(path: Path, error: Exception) -> DataError:
    return DataError(
        f"{path} is no annotation of PASCAL-Part ({type(error).__name__}: {error}); copy the file "
        "again"
    )


def _part_id(path: Path, name: str) -> int:
    if name not in _ID_OF_PART:
        known = ", ".join(sorted(_ID_OF_PART))
        raise DataError(f"{path} has a part of a person called {name!a}; known are {known}")
    return _ID_OF_PART[name]


def _objects(path: Path) -> list[dict[str, Any]]:
    annotation = _entries(read_mat(path, "anno"))
    return _entries(annotation[0]["objects"])


def _number(value: Any) -> int:
    return int(np.asarray(value).reshape(1)[0])


def _entries(value: Any) -> list[dict[str, Any]]:
    """Structs, of which an empty array may be one of numbers."""
    if isinstance(value, np.ndarray) and not value.size:
        return []
    if not isinstance(value, list):
        raise TypeError("numbers in place of structs")
    return value


def distilled_normals(colors: NDArray[np.uint8], labels: NDArray[np.int64]) -> NDArray[np.float32]:
    """Normals that a network saw, where it was trusted.

    Args:
        colors: uint8 [h, w, 3], x, y and z of -1 to 1 as 0 to 255; x to the right, y down, z
            towards the camera.
        labels: int64 [h, w], classes of PASCAL-Context.

    Returns:
        float32 [h, w, 3] unit vectors in the camera optical frame; zero where the class is not one
        of `HAS_NORMALS`.
    """
    normals = colors.astype(np.float32) * np.float32(2 / 255) - 1
    normals *= np.array([1, 1, -1], np.float32)
    length = np.linalg.norm(normals, axis=-1, keepdims=True)
    trusted = HAS_NORMALS[labels][..., None]
    return np.where(trusted, normals / np.maximum(length, 1e-6), 0).astype(np.float32)


def saliency(path: Path, values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """1 where a distilled saliency of 0 to 255 is above a half, else 0.

    Args:
        path: Its file, for errors.
        values: uint8 [h, w].

    Raises:
        DataError: It holds 0 and 1 only.
    """
    if values.max(initial=0) == 1:
        raise DataError(f"{path} holds 0 and 1; saliency is 0 to 255, and salient above 127")
    return (values > 127).astype(np.uint8)


def resized_as(path: Path, values: NDArray[Any], size: tuple[int, ...]) -> NDArray[Any]:
    """Truth in the size of its picture, nearest, as the authors read what is of another size.

    Args:
        path: Its file, for errors.
        values: [h, w].
        size: Rows and columns of the picture.

    Raises:
        DataError: It has another aspect ratio, so is of another picture.
    """
    rows, columns = values.shape
    if (rows, columns) == tuple(size[:2]):
        return values
    if not rows or not columns or abs(rows * size[1] / (columns * size[0]) - 1) > 0.02:
        raise DataError(
            f"{path} has the shape {rows}x{columns}, its picture {size[0]}x{size[1]} (rows x "
            "columns); they are of different pictures"
        )
    return cv2.resize(values, (size[1], size[0]), interpolation=cv2.INTER_NEAREST)

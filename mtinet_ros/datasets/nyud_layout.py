# SPDX-License-Identifier: Apache-2.0
"""The two layouts in which NYU Depth V2 is passed on, and what their files mean.

NYUD_MT, of MTI-Net's authors: `gt_sets/{train,val,test}.txt` with one name per line;
images/*.jpg; segmentation/*.png (0 unlabelled, class id + 1); depth/*.npy (float32, metres, 0
unknown); normals/*.npy (float32, zero unknown); edge/*.npy (1 on edges). A folder may lack kinds
of truth. Rendered rooms are written in it too.

Compact: `{train,val,test}.txt`; images/*.jpg; segmentation/*.png (class id; the last holds both
"other prop" and "unlabelled", so it is unknown); depth/*.png (8 bit, metres · 255 / 10).

`MARKER` beside them says what the files do not.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtinet_ros.datasets.class_sets import CLASS_SETS
from mtinet_ros.errors import DataError

MARKER = "mtinet_ros.json"
"""File by which a folder that was written here is known; it tells what the files mean."""
SPLITS = ("train", "val", "test")
COMPACT_STEP = 10 / 255
"""Metres in one step of the compact layout's depth."""

NYU_LENS = (518.857901, 519.469611, 325.582449, 253.736166)
"""fx, fy, cx, cy of the color camera at 480×640, pixels (NYU Depth V2's toolbox)."""
NYU_SIZE = (480, 640)
NYU_CROP = (45, 471, 41, 601)
"""First and one past the last row, then column, of the part that has an image and truth."""
NYU_ATTRIBUTION = (
    "NYU Depth Dataset V2 (Silberman, Hoiem, Kohli and Fergus, ECCV 2012), published for research "
    "without a license text"
)

TRUTH = {"semseg": "segmentation", "depth": "depth", "normals": "normals", "edge": "edge"}
"""Folder of each task's truth."""


@dataclass(frozen=True)
class Meaning:
    """What a folder's files mean.

    Attributes:
        classes: Name of the class set, a key of `CLASS_SETS`.
        normals_axes: "camera_optical", or components of the files' normals, with sign, that are x
            (right), y (down) and z (forward) of the camera optical frame, e.g. "x,y,-z".
        depth_step: Distance of two depths that the files can tell apart, metres; 0: exact.
        lens: fx, fy, cx, cy of every image, pixels, centres at integers; None: see `LENSES`.
        crop: First and one past the last row, then column, of the part that has truth; None: all.
        attribution: Credits, a sentence each.
    """

    classes: str = "nyu40"
    normals_axes: str = "x,y,-z"
    depth_step: float = 0.0
    lens: tuple[float, float, float, float] | None = NYU_LENS
    crop: tuple[int, int, int, int] | None = NYU_CROP
    attribution: tuple[str, ...] = (NYU_ATTRIBUTION,)

    def to_json(self) -> str:
        """The marker's text."""
        return json.dumps({"layout": "NYUD_MT", **asdict(self)}, indent=1) + "\n"


LENSES = "lenses.json"
"""File with `[f, cx, cy]` by name, where every image has a lens of its own."""


def is_compact(root: Path) -> bool:
    """Whether a folder has the compact layout."""
    return not (root / "gt_sets").is_dir() and any((root / f"{s}.txt").is_file() for s in SPLITS)


def list_file(root: Path, split: str) -> Path:
    """The file that lists the frames of a split."""
    return (root if is_compact(root) else root / "gt_sets") / f"{split}.txt"


def read_meaning(root: Path) -> Meaning:
    """What the files of a folder mean; without a marker, what the data set's publishers mean.

    Raises:
        DataError: The marker cannot be read or says something that is not known here.
    """
    if is_compact(root):
        return Meaning(depth_step=COMPACT_STEP)
    path = root / MARKER
    if not path.exists():
        return Meaning()
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        return _meaning(entries)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(
            f"{path} cannot be understood ({str(error) or type(error).__name__}); write the "
            "folder again, or remove the file if the folder is the authors' NYUD_MT"
        ) from error


def _meaning(entries: dict[str, Any]) -> Meaning:
    if "classes" not in entries:  # written by version 0.1, which wrote rendered rooms only
        return Meaning("rooms", str(entries["normals_axes"]), 0.0, None, None, ())
    meaning = Meaning(
        str(entries["classes"]),
        str(entries["normals_axes"]),
        float(entries["depth_step"]),
        None if entries["lens"] is None else _numbers(entries["lens"], 4),
        None if entries["crop"] is None else tuple(int(v) for v in _numbers(entries["crop"], 4)),  # type: ignore[arg-type]
        tuple(str(sentence) for sentence in entries["attribution"]),
    )
    if meaning.classes not in CLASS_SETS:
        raise ValueError(f"classes is {meaning.classes!r}; known are {', '.join(CLASS_SETS)}")
    _components(meaning.normals_axes)
    return meaning


def in_optical_frame(normals: NDArray[np.float32], axes: str) -> NDArray[np.float32]:
    """Normals [..., 3] of a folder in the camera optical frame; see `Meaning.normals_axes`.

    >>> in_optical_frame(np.array([0.0, 0.6, 0.8]), "x,y,-z").tolist()
    [0.0, 0.6, -0.8]
    """
    components = _components(axes)
    return np.stack([sign * normals[..., number] for number, sign in components], axis=-1)


def _components(axes: str) -> list[tuple[int, int]]:
    """Number and sign of the components that are x, y and z."""
    letters = ["x", "y", "z"] if axes == "camera_optical" else axes.split(",")
    if sorted(letter.removeprefix("-") for letter in letters) != ["x", "y", "z"]:
        raise ValueError(f"normals_axes is {axes!r}; write camera_optical, or for example x,y,-z")
    return [("xyz".index(a[-1]), -1 if a.startswith("-") else 1) for a in letters]


def _numbers(values: Any, count: int) -> Any:
    if not isinstance(values, list) or len(values) != count:
        raise ValueError(f"{values!r} must be {count} numbers")
    return tuple(float(value) for value in values)


def read_names(root: Path, split: str) -> list[str]:
    """Names of the frames of a split, in the list's order.

    Raises:
        DataError: There is no such folder or list, it is empty, or names a frame twice.
    """
    if not root.is_dir():
        raise DataError(f"there is no folder {root}; name a folder of NYU Depth V2")
    path = list_file(root, split)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        there = [s for s in SPLITS if list_file(root, s).is_file()]
        advice = (
            f"there is {', '.join(there)}; `mtinet data convert --hold-out` makes val of train"
            if there
            else "neither NYUD_MT (gt_sets/) nor the compact layout (train.txt) is there"
        )
        reason = getattr(error, "strerror", None) or error
        raise DataError(
            f"{path}, the list of {split} frames, cannot be read: {reason}; {advice}"
        ) from error
    names = [line.strip() for line in text.splitlines() if line.strip()]
    if not names:
        raise DataError(f"{path} lists no frames; copy the data set again")
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"{path} names {twice} more than once; remove the repetition")
    return names

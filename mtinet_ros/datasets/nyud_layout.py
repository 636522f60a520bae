# SPDX-License-Identifier: Apache-2.0
"""The two layouts in which NYU Depth V2 is passed on, and what their files mean.

NYUD_MT, of MTI-Net's authors: `gt_sets/{train,val,test}.txt` with one name per line;
images/*.jpg; segmentation/*.png (0 unlabelled, class id + 1); depth/*.npy (float32, metres, 0
unknown); normals/*.npy (float32, zero unknown); edge/*.npy (1 on edges; 255 unknown where `MARKER`
is there). A folder may lack kinds of truth. Rendered rooms are written in it too.

Compact: `{train,val,test}.txt`; images/*.jpg; segmentation/*.png (class id; the last holds both
"other prop" and "unlabelled", so it is unknown); depth/*.png (8 bit, metres · 255 / 10; 0 is
unknown, and so is 255, which stands for all that is farther than the 10 m of the sensor).

`MARKER` beside them says what the files do not.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtinet_ros.datasets.class_sets import CLASS_SETS
from mtinet_ros.datasets.name_lists import (
    SPLITS as SPLITS,
)
from mtinet_ros.datasets.name_lists import (
    known_folder,
    known_split,
    read_names_in,
    refuse_shared,
)
from mtinet_ros.errors import DataError

MARKER = "mtinet_ros.json"
"""File by which a folder that was written here is known; it tells what the files mean."""
COMPACT_STEP = 10 / 255
"""Metres in one step of the compact layout's depth."""
COMPACT_SATURATED = 255
"""That depth where it is the sensor's reach or more, so unknown."""

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
        lens: fx, fy, cx, cy of every image at 640x480, pixels, centres at integers; None: see
            `LENSES`.
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


COMPACT = Meaning(depth_step=COMPACT_STEP)
"""What a folder in the compact layout means."""
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
        DataError: The marker cannot be read, says something that is not known here, or tells of
            the other layout than the one that is there.
    """
    compact = is_compact(root)
    path = root / MARKER
    if not path.exists():
        return COMPACT if compact else Meaning()
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(entries, dict):
            raise ValueError("it is no table of entries")
        says_compact = entries.get("layout") == "compact"
        meaning = COMPACT if says_compact else _meaning(entries)
    except KeyError as error:
        raise DataError(f"{path} lacks the entry {error}; {_REWRITE}") from error
    except (OSError, ValueError, TypeError) as error:
        reason = str(error) or type(error).__name__
        raise DataError(f"{path} cannot be understood ({reason}); {_REWRITE}") from error
    if compact != says_compact:
        lists = "in the folder itself" if compact else "in gt_sets/, or not there"
        raise DataError(
            f"{path} says that the layout is {'compact' if says_compact else 'NYUD_MT'}, yet the "
            f"lists of frames are {lists}; copy the folder again as a whole"
        )
    return meaning


_REWRITE = "write the folder again, or remove the file if the folder is the authors' NYUD_MT"


def _meaning(entries: dict[str, Any]) -> Meaning:
    """What a marker says; see `read_meaning`.

    Raises:
        KeyError: An entry is missing.
        ValueError: One is not known or not possible.
        TypeError: One is no number.
    """
    if "classes" not in entries:  # written by version 0.1, which wrote rendered rooms only
        _components(str(entries["normals_axes"]))
        return Meaning("rooms", str(entries["normals_axes"]), 0.0, None, None, ())
    strange = set(entries) - {"layout", *(field.name for field in fields(Meaning))}
    if strange or entries.get("layout") != "NYUD_MT":
        what = f"the entry {min(strange)}" if strange else f"the layout {entries.get('layout')!r}"
        raise ValueError(f"this version does not know {what}")
    attribution = entries["attribution"]
    if not isinstance(attribution, list):
        raise ValueError(f"attribution is {attribution!r}, no list of sentences")
    meaning = Meaning(
        str(entries["classes"]),
        str(entries["normals_axes"]),
        float(entries["depth_step"]),
        None if entries["lens"] is None else _numbers(entries["lens"], 4),
        None if entries["crop"] is None else tuple(int(v) for v in _numbers(entries["crop"], 4)),  # type: ignore[arg-type]
        tuple(str(sentence) for sentence in attribution),
    )
    if meaning.classes not in CLASS_SETS:
        raise ValueError(f"classes is {meaning.classes!r}; known are {', '.join(CLASS_SETS)}")
    _components(meaning.normals_axes)
    if not 0 <= meaning.depth_step < 1:
        raise ValueError(f"depth_step is {meaning.depth_step}; metres, 0 to 1")
    if meaning.lens is not None and not min(meaning.lens[:2]) > 0:
        raise ValueError(f"lens is {list(meaning.lens)}; focal lengths are above 0")
    if meaning.crop is not None:
        top, bottom, left, right = meaning.crop
        if not (0 <= top < bottom and 0 <= left < right):
            raise ValueError(f"crop is {list(meaning.crop)}; top, bottom, left, right in order")
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
    """`read_list` of frames that no other list names.

    Raises:
        DataError: As `read_list`, or another list names one of them too.
    """
    names = read_list(root, split)
    others = [list_file(root, other) for other in SPLITS if other != split]
    refuse_shared(list_file(root, split), names, others, lambda path: read_list(root, path.stem))
    return names


def read_list(root: Path, split: str) -> list[str]:
    """Names of the frames of a split; see `read_names_in`.

    Raises:
        DataError: There is no such folder or list, it is empty, or names a frame twice.
    """
    known_folder(root, "NYU Depth V2")
    path = list_file(root, known_split(split))
    return read_names_in(path, split, lambda: _what_is_there(root))


def _what_is_there(root: Path) -> str:
    """What a folder without the wanted list is, and what to do."""
    lists = [s for s in SPLITS if list_file(root, s).is_file()]
    if lists:
        makes = (
            "; `mtinet data convert --hold-out` makes val of train" if "val" not in lists else ""
        )
        return f"there is {', '.join(lists)}{makes}"
    if (root / "index.json").is_file():
        return "these seem to be rendered rooms, which `mtinet scenes --check` checks"
    return "neither NYUD_MT (gt_sets/train.txt) nor the compact layout (train.txt) is there"

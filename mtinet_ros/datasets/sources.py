# SPDX-License-Identifier: Apache-2.0
"""The kinds of data sets: which one a folder is, and opening it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mtinet_ros.datasets.merged import MergedClasses
from mtinet_ros.datasets.name_lists import SPLITS
from mtinet_ros.datasets.nyud import NyudSamples
from mtinet_ros.datasets.pascal import PascalSamples
from mtinet_ros.datasets.rooms import RoomSamples
from mtinet_ros.datasets.sample import SampleSource
from mtinet_ros.datasets.urbanlf import PUBLISHED_FRAMES, UrbanlfSamples, urbanlf_splits
from mtinet_ros.errors import ConfigurationError, DataError

KINDS = ("rooms", "nyud", "pascal", "urbanlf")
_NAMES = {
    "rooms": "rendered rooms (index.json)",
    "nyud": "NYU Depth V2",
    "pascal": "PASCAL_MT",
    "urbanlf": "UrbanLF",
}


def find_kind(root: Path) -> str:
    """Which kind of data set a folder is, one of `KINDS`.

    Raises:
        DataError: There is no such folder, or it is of none or of several kinds.
    """
    if not root.is_dir():
        raise DataError(
            f"there is no folder {root}; name one of rendered rooms (`mtinet scenes`), NYU Depth "
            "V2, PASCAL_MT or UrbanLF"
        )
    has_rooms = (root / "index.json").is_file()
    lists = [root / "gt_sets", *(root / f"{split}.txt" for split in SPLITS)]
    urbanlf = [root, *(root / edition for edition in PUBLISHED_FRAMES)]
    found = {
        "rooms": has_rooms,
        "nyud": any(path.exists() for path in lists),
        "pascal": (root / "ImageSets").is_dir() or (root / "PASCAL_MT").is_dir(),
        "urbanlf": not has_rooms and any(map(_has_light_fields, urbanlf)),
    }
    kinds = [kind for kind in KINDS if found[kind]]
    if not kinds:
        raise DataError(
            f"{root} is no data set: neither index.json of rendered rooms is there, nor gt_sets/ "
            "or test.txt of NYU Depth V2, nor ImageSets/ of PASCAL_MT, nor train/IMAGE/5_5.png of "
            "UrbanLF; name the folder that holds one of them"
        )
    if len(kinds) > 1:
        first, *others = (_NAMES[kind] for kind in kinds)
        choice = " or ".join(f"--kind {kind}" for kind in kinds)
        raise DataError(
            f"{root} holds {first} and {' and '.join(others)} as well; say which with {choice}"
        )
    return kinds[0]


def _has_light_fields(root: Path) -> bool:
    return any(
        any(folder.glob(f"*/{name}"))
        for folder in (root / split for split in urbanlf_splits(root))
        for name in ("5_5.png", "label.npy", "5_5_label.npy")
    )


def open_samples(
    kind: str,
    root: str,
    split: str,
    *,
    classes: str = "",
    crop: bool = True,
    tasks: Sequence[str] = (),
) -> SampleSource:
    """Open one split of a data set.

    Args:
        kind: Of data set, one of `KINDS`.
        root: Folder of the data set.
        split: "train", "val" or "test".
        classes: Set of classes to merge the labels into, a key of `CLASS_SETS`; empty: none.
        crop: Leave out borders without truth.
        tasks: That a network is trained in; where that is human_parts alone, PASCAL's pictures
            without people are left out, as its authors do.

    Raises:
        ConfigurationError: There is no such kind of data set, or its classes cannot be merged so.
        DataError: The data are missing or damaged.
    """
    source: SampleSource
    if kind == "rooms":
        source = RoomSamples(root, split)
    elif kind == "nyud":
        source = NyudSamples(root, split, crop=crop)
    elif kind == "pascal":
        source = PascalSamples(root, split, people_only=tuple(tasks) == ("human_parts",))
    elif kind == "urbanlf":
        source = UrbanlfSamples(root, split)
    else:
        raise ConfigurationError(f"kind is {kind!r}; allowed is {', '.join(KINDS)}")
    return MergedClasses(source, classes) if classes else source

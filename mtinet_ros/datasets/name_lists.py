# SPDX-License-Identifier: Apache-2.0
"""Lists of the frames of a split, one name a line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from mtinet_ros.errors import DataError

SPLITS = ("train", "val", "test")


def known_split(split: str) -> str:
    """The split, if it is one.

    Raises:
        DataError: It is none.
    """
    if split not in SPLITS:
        raise DataError(f"split {split!r} does not exist; choose one of {', '.join(SPLITS)}")
    return split


def known_folder(root: Path, what: str) -> Path:
    """The folder, if it is there; `what` it should be is said otherwise.

    Raises:
        DataError: It is not there, or a file.
    """
    if not root.is_dir():
        there = "is a file" if root.exists() else "is not there"
        raise DataError(f"the folder {root} {there}; name a folder of {what}")
    return root


def read_names_in(path: Path, split: str, advice: Callable[[], str]) -> list[str]:
    """Names in a list, in its order.

    The list may have Windows' line ends and byte order mark, and suffixes of pictures.

    Args:
        path: The list.
        split: Whose frames it lists.
        advice: What to say where it cannot be read.

    Raises:
        DataError: There is no such list, it is empty, or names a frame twice.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(
            f"{path}, the list of {split} frames, cannot be read: {error.strerror}; {advice()}"
        ) from error
    except ValueError as error:
        raise DataError(f"{path} is no UTF-8 text ({error}); save it as such") from error
    names = [_without_suffix(line.strip()) for line in text.splitlines() if line.strip()]
    if not names:
        raise DataError(f"{path} lists no frames; copy the data set again")
    for name in names:
        if "/" in name or "\\" in name or "\0" in name:
            raise DataError(f"{path} names {name!a}; names of frames are without folders")
    if len(set(names)) != len(names):
        counts = Counter(names)
        twice = next(name for name in names if counts[name] > 1)
        raise DataError(f"{path} names {twice} more than once; remove the repetition")
    return names


def shared_names(path: Path, other: Path, names: Sequence[str], others: Sequence[str]) -> str:
    """What is to be said of frames in two lists; empty where there are none."""
    both = set(names).intersection(others)
    if not both:
        return ""
    return (
        f"{path} and {other.name} both name {len(both)} frames, such as {min(both)}; what is "
        "trained on must not be measured on, so take each off one list"
    )


def refuse_shared(
    path: Path, names: Sequence[str], others: Sequence[Path], read: Callable[[Path], list[str]]
) -> None:
    """Refuse frames that another list names too.

    Args:
        path: The list.
        names: What is in it.
        others: The other lists; one that is not there, or empty, says nothing.
        read: Reads one.

    Raises:
        DataError: Another list names one of the frames, or cannot be read.
    """
    for other in others:
        if other.is_file() and other.stat().st_size:
            both = shared_names(path, other, names, read(other))
            if both:
                raise DataError(both)


def _without_suffix(name: str) -> str:
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and stem and suffix.lower() in ("jpg", "png", "npy") else name

# SPDX-License-Identifier: Apache-2.0
"""metadata.yaml of rosbag2, in every version, and what to do where it is missing or lies.

It is believed in one thing alone: which files are the bag's, and in which order. What is in them
they say themselves; where the two differ, that is told.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mtinet_ros.errors import InputError
from mtinet_ros.output_files import file_errors
from mtinet_ros.recordings.problem_list import Loss

METADATA = "metadata.yaml"

_NEWEST_VERSION = 9  # rosbag2 of Jazzy and later
_STORAGES = {"": "", "mcap": "MCAP", "sqlite3": "SQLite"}
_BAG_FILE = re.compile(r".+\.(mcap|db3|bag)(\.zstd|\.zst)?")


@dataclass(frozen=True)
class BagContent:
    """Which files make a bag, and what its metadata promise of them.

    Attributes:
        files: In the order in which they were recorded; all of them are there.
        messages: Number of messages in them; None: nothing is said.
        start: Record time of the first message in ns; None: nothing is said.
    """

    files: tuple[Path, ...]
    messages: int | None = None
    start: int | None = None


def find_bag(path: Path, tell: Callable[[str], None]) -> BagContent:
    """The files of a bag.

    Args:
        path: A bag's folder, its metadata.yaml, or one file of a bag.
        tell: Takes sentences about what is wrong and stops nothing.

    Raises:
        InputError: There is no bag, or it cannot be looked at.
    """
    with file_errors(f"read {path}", InputError):
        if not path.exists():
            raise InputError(f"{path} does not exist; give a bag's folder or one of its files")
        if path.name == METADATA:
            path = path.parent
        if not path.is_dir():
            return BagContent((path,))
        names = sorted(entry.name for entry in path.iterdir())
    found = sorted((name for name in names if _BAG_FILE.fullmatch(name)), key=_by_number)
    if METADATA not in names:
        return _without_metadata(path, found, tell)
    try:
        information = _read_metadata(path / METADATA)
        listed = _listed_files(information)
    except InputError as error:
        if not found:
            raise
        tell(f"{error}; the files of the folder were read without it: {_some(found)}")
        return BagContent(tuple(path / name for name in found))
    version = information.get("version")
    if not isinstance(version, int) or version > _NEWEST_VERSION:
        tell(
            f"{path / METADATA} is of version {str(version)[:20]}, and up to {_NEWEST_VERSION} is "
            "known here; what is known of it was read"
        )
    return _with_metadata(path, information, listed, found, tell)


def _with_metadata(
    path: Path,
    information: dict[str, Any],
    listed: list[str],
    found: list[str],
    tell: Callable[[str], None],
) -> BagContent:
    listed = [_as_it_lies(path, name) for name in listed]
    missing = [name for name in listed if not (path / name).exists()]
    present = [name for name in listed if name not in missing]
    if not present:
        storage = str(information.get("storage_identifier", ""))
        if storage not in _STORAGES:
            raise InputError(
                f"{path} was recorded with the storage {storage[:40]!r}; mcap and sqlite3 can be "
                "read"
            )
        raise InputError(
            f"{path} is a bag without its files: {_some(missing) or 'none'}; copy them beside "
            f"{METADATA}"
        )
    if missing:
        tell(
            Loss(
                f"{path} lacks {_some(missing)}, of {len(listed)} files that {METADATA} lists; "
                "the others were read"
            )
        )
    if others := [name for name in found if name not in listed]:
        tell(
            f"{path} has files that {METADATA} does not list, and they were left out: "
            f"{_some(others)}"
        )
    files = tuple(path / name for name in present)
    if missing:
        return BagContent(files)
    count = information.get("message_count")
    start = information.get("starting_time")
    start = start.get("nanoseconds_since_epoch") if isinstance(start, dict) else None
    return BagContent(
        files,
        count if isinstance(count, int) else None,
        start if isinstance(start, int) and count else None,
    )


def _without_metadata(path: Path, found: list[str], tell: Callable[[str], None]) -> BagContent:
    if not found:
        with file_errors(f"read {path}", InputError):
            inner = sorted(entry.name for entry in path.iterdir() if (entry / METADATA).is_file())
        if inner:
            raise InputError(f"{path} is no bag, it holds bags; give one of them: {_some(inner)}")
        raise InputError(
            f"{path} is no bag: it has no {METADATA}, and no files .mcap, .db3 or .bag"
        )
    if not all(name.endswith(".bag") for name in found):  # ROS 1 has none
        tell(f"{path} has no {METADATA}; the files of the folder were read: {_some(found)}")
    return BagContent(tuple(path / name for name in found))


def _read_metadata(path: Path) -> dict[str, Any]:
    with file_errors(f"read {path}", InputError):
        text = path.read_text("utf-8", "replace")
    try:
        document = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        where = getattr(error, "problem_mark", None)
        line = f" (line {where.line + 1})" if where else ""
        raise InputError(f"{path} is no YAML{line}") from error
    information = (
        document.get("rosbag2_bagfile_information") if isinstance(document, dict) else None
    )
    if not isinstance(information, dict):
        raise InputError(f"{path} has no rosbag2_bagfile_information")
    return information


def _listed_files(information: dict[str, Any]) -> list[str]:
    """Names of the files. Up to version 3 they came with the folder that they were recorded to."""
    listed = information.get("relative_file_paths")
    if not isinstance(listed, list):
        raise InputError(f"{METADATA} lists no files (relative_file_paths)")
    names = [re.split(r"[\\/]", str(name))[-1] for name in listed]
    return [name for name in dict.fromkeys(names) if name not in ("", ".", "..")]


def _as_it_lies(path: Path, name: str) -> str:
    """The name of a listed file, which somebody may have unpacked or packed since."""
    for other in (name, name.removesuffix(".zstd"), f"{name}.zstd"):
        if (path / other).exists():
            return other
    return name


def _by_number(name: str) -> list[tuple[int, str]]:
    """Key that has `bag_10` behind `bag_9`."""
    return [
        (int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"([0-9]+)", name)
    ]


def _some(names: list[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more

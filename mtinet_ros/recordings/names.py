# SPDX-License-Identifier: Apache-2.0
"""Names of results: from what files and topics are called to what every disk can hold."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence

# Control characters, what Windows and ROS tools cannot have in a name, and the bytes of other
# encodings, which Python reads as lone surrogates.
_UNSAFE = re.compile(r'[\x00-\x1f\x7f<>:"|?*\\\ud800-\udfff]')

# A file system takes 255 bytes; suffixes, and names of files that are written aside, need some.
_LONGEST = 180


def safe_name(name: str) -> str:
    """A relative path, with `/`, that can be made below any folder; the name itself if it can.

    What has to be changed gets a few digits of the old name's SHA-256, so that two names which
    differ in that alone stay two.

    Args:
        name: A name without a suffix, e.g. `kitchen/0001`.

    Examples:
        >>> safe_name("kitchen/0001"), safe_name("/data/../x")
        ('kitchen/0001', 'data/_/x-9ac1e3a6')
    """
    parts = [_safe_part(part) for part in name.split("/") if part not in ("", ".")]
    safe = "/".join(parts) or "_"
    if safe == name:
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{safe}-{digest}"


def unique_names(files: Sequence[str]) -> list[str]:
    """A safe name without a suffix for every file, no two of which differ in case alone.

    A name that several files would have keeps its suffix, as `room_png`, and then gets a number.

    Args:
        files: Relative paths with `/`, each once, in an order that does not depend on the disk's.

    Examples:
        >>> unique_names(["a/room.jpg", "a/hall.jpg", "a/hall.png"])
        ['a/room', 'a/hall_jpg', 'a/hall_png']
    """
    stems = [safe_name(_stem(file)) for file in files]
    shared = Counter(stem.casefold() for stem in stems)
    names = [
        safe_name(_with_suffix(file)) if shared[stem.casefold()] > 1 else stem
        for file, stem in zip(files, stems, strict=True)
    ]
    taken: set[str] = set()
    result = []
    for name in names:
        unique, number = name, 2
        while unique.casefold() in taken:
            unique, number = f"{name}_{number}", number + 1
        taken.add(unique.casefold())
        result.append(unique)
    return result


def natural_order(name: str) -> tuple[tuple[tuple[int, int, str], ...], ...]:
    """Sorts names as people count: img2 before img10, and a folder's files before the next one's.

    Examples:
        >>> sorted(["b/1", "img10", "img2", "IMG3"], key=natural_order)
        ['b/1', 'img2', 'IMG3', 'img10']
    """
    return tuple(
        # The parts themselves last: 01 and 1 are different names.
        (*map(_natural, re.split(r"([0-9]+)", part.casefold())), (2, 0, part))
        for part in name.split("/")
    )


def _natural(piece: str) -> tuple[int, int, str]:
    return (0, int(piece), "") if piece[:1].isdigit() else (1, 0, piece)


def _safe_part(part: str) -> str:
    safe = _UNSAFE.sub("_", "_" if part == ".." else part).rstrip(" .") or "_"
    encoded = safe.encode()
    return safe if len(encoded) <= _LONGEST else encoded[:_LONGEST].decode("utf-8", "ignore")


def _stem(file: str) -> str:
    folder, slash, name = file.rpartition("/")
    stem, dot, _ = name.rpartition(".")
    return f"{folder}{slash}{stem if dot and stem else name}"


def _with_suffix(file: str) -> str:
    folder, slash, name = file.rpartition("/")
    stem, dot, suffix = name.rpartition(".")
    return f"{folder}{slash}{stem}_{suffix}" if dot and stem else file

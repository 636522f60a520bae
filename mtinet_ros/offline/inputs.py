# SPDX-License-Identifier: Apache-2.0
"""What a person named as inputs, as recordings: which there are, and which names they have."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mtinet_ros.errors import InputError
from mtinet_ros.recordings.names import natural_order, safe_name
from mtinet_ros.recordings.open import Kind, kind_of


@dataclass(frozen=True)
class Input:
    """One recording.

    Attributes:
        name: What its results are called where there are several; unique among them.
        paths: Files or folders: several of pictures only.
        kind: What it is.
    """

    name: str
    paths: tuple[Path, ...]
    kind: Kind


def group_inputs(paths: Sequence[Path]) -> list[Input]:
    """Recordings in the order they were named in; pictures together are one.

    Args:
        paths: Files, folders, or patterns that no shell has replaced.

    Raises:
        InputError: Something is not there, or nothing that can be processed.
    """
    found = [file for path in paths for file in _matches(path)]
    unique = list(dict.fromkeys(found))
    kinds = {path: kind_of(path) for path in unique}
    pictures = [p for p in unique if kinds[p] is Kind.PICTURES and not p.is_dir()]
    groups: list[tuple[tuple[Path, ...], Kind]] = []
    for path in unique:
        if path not in pictures:
            groups.append(((path,), kinds[path]))
        elif path == pictures[0]:
            groups.append((tuple(pictures), Kind.PICTURES))
    names = _names([_called(group) for group, _ in groups])
    return [Input(name, group, kind) for name, (group, kind) in zip(names, groups, strict=True)]


def _matches(path: Path) -> list[Path]:
    if os.path.lexists(path) or not any(letter in str(path) for letter in "*?["):
        return [path]
    files = sorted(glob.glob(str(path), recursive=True), key=natural_order)
    if not files:
        raise InputError(f"{path}: no file or folder fits this pattern")
    return [Path(file) for file in files]


def _called(paths: tuple[Path, ...]) -> Path:
    """What a recording is called after: its file or folder; of several pictures, theirs."""
    if len(paths) == 1:
        return Path(os.path.abspath(paths[0]))
    return Path(os.path.commonpath([os.path.abspath(path.parent) for path in paths]))


def _names(paths: Sequence[Path]) -> list[str]:
    """Names without suffix, with as many of the folders above as it takes to tell them apart.

    Those of one folder, which they would not tell apart, have the suffix, or else a number.
    """
    names = [_stem(path) for path in paths]
    for depth in range(1, 64):
        folders: dict[str, set[Path]] = {}
        for name, path in zip(names, paths, strict=True):
            folders.setdefault(name, set()).add(path.parent)
        shared = {name for name in names if len(folders[name]) > 1}
        if not shared:
            break
        names = [
            "_".join([*path.parent.parts[1:][-depth:], _stem(path)]) if name in shared else name
            for path, name in zip(paths, names, strict=True)
        ]
    names = [
        f"{name}_{path.suffix[1:]}" if names.count(name) > 1 and path.suffix else name
        for path, name in zip(paths, names, strict=True)
    ]
    unique: list[str] = []
    for name in map(safe_name, names):
        number, plain = 2, name
        while name.casefold() in map(str.casefold, unique):
            name, number = f"{plain}_{number}", number + 1
        unique.append(name)
    return unique


def _stem(path: Path) -> str:
    return (path.name if path.is_dir() else path.stem) or "recording"

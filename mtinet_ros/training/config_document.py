# SPDX-License-Identifier: Apache-2.0
"""What YAML files say of a run: one file on top of another, former names, single replacements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mtinet_ros.errors import ConfigurationError

BASE = "base"
"""The entry that names the file on which another one builds."""

_LONGEST_CHAIN = 16

# What settings were called in files of earlier versions, by section ("": the sections themselves).
_FORMER_NAMES: dict[str, dict[str, str]] = {
    "": {"optimiser": "optimizer"},
    "network": {"depth_encoding": "depth_output"},
    "run": {"picture_minutes": "image_minutes"},
}


@dataclass(frozen=True)
class ConfigLayer:
    """One file of a description.

    Attributes:
        path: The file.
        sections: What it says itself, under the names of this version.
    """

    path: Path
    sections: dict[str, Any]


def read_layers(path: Path) -> list[ConfigLayer]:
    """Read a YAML file and those it is based on.

    Args:
        path: The file; its entry `base` names another, relative to its own folder, and so on.

    Returns:
        All of them, the one that has no base first.

    Raises:
        ConfigurationError: One cannot be read, they name each other in a circle, or they are more
            than anybody could follow.
    """
    layers: list[ConfigLayer] = []
    seen: list[Path] = []
    while True:
        sections = _read(path, named_by=seen[-1] if seen else None)
        seen.append(path)
        base = sections.pop(BASE, None)
        # An empty section says nothing: its entries may be commented out.
        sections = {name: {} if value is None else value for name, value in sections.items()}
        layers.insert(0, ConfigLayer(path, with_current_names(sections, str(path))))
        if base is None:
            return layers
        if not isinstance(base, str) or not base:
            raise ConfigurationError(f"{path}: base is {base!r}; it must be the name of a file")
        path = path.parent / _at_home(base)
        if any(path.resolve() == other.resolve() for other in seen):
            chain = " -> ".join(str(file) for file in (*seen, path))
            raise ConfigurationError(f"the bases of {seen[0]} form a circle: {chain}; break it")
        if len(seen) == _LONGEST_CHAIN:
            raise ConfigurationError(
                f"{seen[0]} is based on more than {_LONGEST_CHAIN - 1} files, one on top of the "
                f"other, down to {path}; write some of them into one"
            )


def _read(path: Path, named_by: Path | None) -> dict[str, Any]:
    try:
        # Bytes: YAML tells UTF-8 from UTF-16 by a mark, whatever the locale.
        document = yaml.safe_load(path.read_bytes()) or {}
    except OSError as error:
        where = f"{path}, the base of {named_by}" if named_by else str(path)
        raise ConfigurationError(
            f"cannot read {where}: {error.strerror or error}; name the YAML file that describes "
            "the run, such as config/train/rooms.yaml in the checkout"
        ) from error
    except (ValueError, yaml.YAMLError) as error:
        where = f"{path}, the base of {named_by}," if named_by else str(path)
        raise ConfigurationError(f"{where} cannot be read as YAML: {_one_line(error)}") from error
    if not isinstance(document, dict):
        raise ConfigurationError(f"{path} must map section names to settings")
    return document


def _at_home(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:  # nobody is called so
        return Path(text)


def merged(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Entries of both; where both have one, those of sections are merged, of others `own`'s wins.

    An entry that is nothing (`null`, or left empty) takes away the one of the base.

    >>> merged({"tasks": {"depth": 1, "edge": 1}, "sizes": [1, 2]}, {"tasks": {"edge": None}})
    {'tasks': {'depth': 1}, 'sizes': [1, 2]}
    """
    result = dict(base)
    for name, value in own.items():
        there = result.get(name)
        if value is None and name in result:
            del result[name]
        elif isinstance(there, Mapping) and isinstance(value, Mapping):
            result[name] = merged(there, value)
        else:
            result[name] = value
    return result


def without_nothing(entries: Mapping[str, Any]) -> dict[str, Any]:
    """The entries without those that are nothing, at every depth."""
    return {
        name: without_nothing(value) if isinstance(value, Mapping) else value
        for name, value in entries.items()
        if value is not None
    }


def replace_entry(document: dict[str, Any], override: str, where: str) -> dict[str, Any]:
    """A document with the entry replaced that `section.key=value` names, as deep as it lies.

    Raises:
        ConfigurationError: It is not of that form, its value is not YAML, or it lies in what holds
            no entries.
    """
    key, equals, text = override.partition("=")
    section, *names = key.split(".")
    if not (equals and names):
        raise ConfigurationError(f"{override!r} is no setting; write section.key=value")
    section = _FORMER_NAMES[""].get(section, section)
    names[0] = _FORMER_NAMES.get(section, {}).get(names[0], names[0])
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigurationError(
            f"the value of {override!r} is not YAML: {_one_line(error)}"
        ) from error
    result = dict(document)
    entries = result
    for name in (section, *names[:-1]):
        inner = entries.get(name, {})
        if not isinstance(inner, dict):
            raise ConfigurationError(f"{where}: {name} must map names to values")
        entries[name] = dict(inner)  # what a base shares with others stays as it is
        entries = entries[name]
    if value is None and names[-1] in entries:
        del entries[names[-1]]
    else:
        entries[names[-1]] = value
    return result


def with_current_names(document: Mapping[str, Any], where: str) -> dict[str, Any]:
    """A document with the names that its sections and settings have in this version.

    Raises:
        ConfigurationError: It has a setting under both its names.
    """

    def renamed(entries: Mapping[str, Any], names: Mapping[str, str], at: str) -> dict[str, Any]:
        for former, current in names.items():
            if former in entries and current in entries:
                raise ConfigurationError(
                    f"{at} has both {current!r} and {former!r}, its former name; keep one"
                )
        return {names.get(name, name): value for name, value in entries.items()}

    sections = renamed(document, _FORMER_NAMES[""], where)
    return {
        name: renamed(entries, _FORMER_NAMES.get(name, {}), f"{where}: {name}")
        if isinstance(entries, dict)
        else entries
        for name, entries in sections.items()
    }


def _one_line(error: Exception) -> str:
    """The message of an error; PyYAML's shows where in several lines."""
    return " ".join(str(error).split())

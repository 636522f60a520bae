# SPDX-License-Identifier: Apache-2.0
"""A simulator's classes in terms of a model's: a file of lines like `7: wall`."""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from mtinet_ros.errors import ConfigurationError, InputError
from mtinet_ros.model_contract import VOID_ID

VOID = "void"

_HEX = re.compile(r"#([0-9a-fA-F]{6})")
_RGB = re.compile(r"[(\[]?\s*(\d{1,3})\s*,\s*(\d{1,3})\s*,\s*(\d{1,3})\s*[)\]]?")
_COMMENTED = re.compile(r"^\s*#[0-9a-fA-F]{6}\s*:")
_NAMED = 5  # of what is unknown


@dataclass
class ClassMap:
    """What ids, colors or names of a simulator are in a model's classes; counts what it meets.

    Attributes:
        path: The file, for messages.
        ids: Class id of the model, or `VOID_ID`, by id or 0xRRGGBB.
        names: The same by name.
        is_colors: Whether `ids` are colors.
        met: Pixels by id or color of the simulator.
        unknown: What was met and has no class in the file, with the simulator's name for it.
        classified: Pixels that are of a class of the model.
    """

    path: Path
    ids: dict[int, int]
    names: dict[str, int] = field(default_factory=dict)
    is_colors: bool = False
    met: dict[int, int] = field(default_factory=dict)
    unknown: dict[int, str] = field(default_factory=dict)
    classified: int = 0
    _met_names: set[str] = field(default_factory=set)

    def apply(
        self, truth: NDArray[np.int64], names: Mapping[int, str] | None = None
    ) -> NDArray[np.uint8]:
        """A label map in the model's classes, uint8 [h,w]; what the file does not name is void.

        Args:
            truth: int64 [h,w] ids, or [h,w,3] colors.
            names: What the simulator calls its ids; the file may then name names.

        Raises:
            InputError: The file names colors and the truth has ids, or the other way round.
        """
        values = self._keys(truth)
        found, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
        table = np.full(len(found), VOID_ID, np.uint8)
        for place, (value, count) in enumerate(zip(found.tolist(), counts.tolist(), strict=True)):
            name = (names or {}).get(value, "")
            self._met_names.add(name)
            self.met[value] = self.met.get(value, 0) + count
            target = self.ids.get(value, self.names.get(name))
            if target is None:
                self.unknown[value] = name
            elif target != VOID_ID:
                self.classified += count
                table[place] = target
        return np.asarray(table[inverse].reshape(values.shape), np.uint8)

    def forget(self) -> None:
        """Begin to count anew."""
        self.met.clear()
        self.unknown.clear()
        self._met_names.clear()
        self.classified = 0

    def _keys(self, truth: NDArray[np.int64]) -> NDArray[np.int64]:
        if truth.ndim == 2:
            if self.is_colors:
                raise InputError(
                    f"{self.path} names colors and the truth has ids; name ids, e.g. `7: wall`"
                )
            return truth
        if self.is_colors:
            return (truth[..., 0] << 16) | (truth[..., 1] << 8) | truth[..., 2]
        if (truth[..., :1] != truth).any():
            raise InputError(
                f"{self.path} names ids and the truth has colors; name colors, e.g. "
                "`70,70,70: wall`, or the channel that holds the id, e.g. labels=TOPIC:red"
            )
        return truth[..., 0]  # as Gazebo has its label map

    def said_unknown(self) -> str:
        """What was met and the file does not name, most pixels first; empty: nothing."""
        total = sum(self.met.values())
        entries = sorted(self.unknown.items(), key=lambda entry: -self.met[entry[0]])
        called = {value: f" ({name})" if name else "" for value, name in entries}
        return _listed(
            [
                f"{self._shown(value)}{called[value]} at {self.met[value] / total:.1%}"
                for value, _ in entries
            ]
        )

    def said_unmet(self) -> str:
        """What the file names and was never met; empty: nothing."""
        ids = [self._shown(key) for key in self.ids if key not in self.met]
        return _listed([*ids, *(name for name in self.names if name not in self._met_names)])

    def _shown(self, value: int) -> str:
        return f"#{value:06x}" if self.is_colors else str(value)


def _listed(words: Sequence[str]) -> str:
    more = len(words) - _NAMED
    return ", ".join(words[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def read_class_map(path: Path, classes: Sequence[str]) -> ClassMap:
    """Read a file that says which class of the model a simulator's id, color or name is.

    Args:
        path: YAML or JSON: a mapping of ids (`7`), colors (`70,70,70` or `"#464646"`) or names to
            names of classes or `void`.
        classes: Names of the model's classes, by id.

    Raises:
        ConfigurationError: It cannot be read, says something twice or names an unknown class.
    """
    entries = _read(path)
    ids: dict[int, int] = {}
    names: dict[str, int] = {}
    kinds = set()
    for key, wanted in entries.items():
        if wanted != VOID and wanted not in classes:  # also what YAML takes for a number
            raise ConfigurationError(
                f"{path} maps {key} to {wanted!r}, which is no class of the model; allowed: "
                f"{VOID}, {', '.join(classes)}"
            )
        target = VOID_ID if wanted == VOID else list(classes).index(str(wanted))
        kind, value = _key(key, path)
        kinds.add(kind)
        into: dict[Any, int] = names if kind == "name" else ids
        if value in into:
            raise ConfigurationError(f"{path} names {key} twice; say it once")
        into[value] = target
    if {"color", "id"} <= kinds:
        raise ConfigurationError(f"{path} names both ids and colors; name either")
    if VOID in classes:
        raise ConfigurationError(
            f"the model has a class called {VOID}, which means none in {path}"
        )
    return ClassMap(path, ids, names, "color" in kinds)


def same_classes(classes: Sequence[str]) -> ClassMap:
    """Truth in the model's own ids, e.g. of another model's node."""
    ids = {number: number for number in range(len(classes))}
    return _SameIds(Path("--classes same"), ids | {VOID_ID: VOID_ID})


class _SameIds(ClassMap):
    """Names every class that the model has, not what somebody expects in the truth."""

    def said_unmet(self) -> str:
        """Nothing: that a class did not occur is no mistake in a file."""
        return ""


def _read(path: Path) -> dict[Any, Any]:
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() == ".json":
            entries = json.loads(text, object_pairs_hook=lambda pairs: _once(pairs, path))
        else:
            for number, line in enumerate(text.splitlines(), 1):
                if _COMMENTED.match(line):
                    raise ConfigurationError(
                        f"{path}: line {number} begins with # and so is a comment to YAML; put "
                        "the color in quotes, or write it as 70,70,70"
                    )
            entries = yaml.load(text, _loader(path))
    except OSError as error:
        said = error.strerror or error
        raise ConfigurationError(f"cannot read the classes from {path}: {said}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is no text in UTF-8: {error}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        said = " ".join(str(error).split())
        raise ConfigurationError(f"{path} is neither YAML nor JSON: {said}") from error
    if not isinstance(entries, dict) or not entries:
        raise ConfigurationError(
            f"{path} holds no classes; write a line for each, e.g. `7: wall`, with void for those "
            "that the model does not tell"
        )
    return entries


def _once(pairs: Sequence[tuple[Hashable, Any]], path: Path) -> dict[Hashable, Any]:
    entries = dict(pairs)
    if len(entries) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ConfigurationError(f"{path} names {twice} twice; say it once")
    return entries


def _loader(path: Path) -> type[yaml.SafeLoader]:
    class Once(yaml.SafeLoader):
        """PyYAML takes the last of equal keys without a word."""

    def construct(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Hashable, Any]:
        return _once(
            [
                (
                    loader.construct_object(key, deep=True),
                    loader.construct_object(value, deep=True),
                )
                for key, value in node.value
            ],
            path,
        )

    Once.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, construct)
    return Once


def _key(key: Any, path: Path) -> tuple[str, int | str]:
    """What kind of key it is (id, color, name), and its value."""
    if isinstance(key, int) and not isinstance(key, bool):
        return "id", key
    if not isinstance(key, str):
        raise ConfigurationError(
            f"{path} names {key!r}, which is no id, color or name; put names in quotes"
        )
    text = key.strip()
    if re.fullmatch(r"-?\d+", text):
        return "id", int(text)
    if hexadecimal := _HEX.fullmatch(text):
        return "color", int(hexadecimal[1], 16)
    if color := _RGB.fullmatch(text):
        red, green, blue = (int(part) for part in color.groups())
        if max(red, green, blue) > 255:
            raise ConfigurationError(f"{path} names the color {text}; 0 to 255 are allowed")
        return "color", red << 16 | green << 8 | blue
    return "name", key

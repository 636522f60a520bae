# SPDX-License-Identifier: Apache-2.0
"""Entries of a YAML file as the types that a dataclass declares."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from mtinet_ros.errors import ConfigurationError

_T = TypeVar("_T")


def typed(kind: type[_T], entries: object, where: str) -> _T:
    """A dataclass of what a file says.

    Args:
        kind: The dataclass; its fields are numbers, text, truth values, one or the other of these,
            tuples and dicts of them, and dataclasses.
        entries: Values by field.
        where: What to call them in an error.

    Raises:
        ConfigurationError: An entry is unknown or of the wrong type.
    """
    if not isinstance(entries, Mapping):
        raise ConfigurationError(f"{where} is {entries!r}; it must map names to values")
    hints = get_type_hints(kind)
    unknown = [str(name) for name in entries if name not in hints]
    if unknown:
        raise ConfigurationError(
            f"{where} has the unknown entry {unknown[0]!r}; allowed are {', '.join(hints)}"
        )
    return kind(
        **{
            name: _convert(hints[name], value, f"{where}: {name}")
            for name, value in entries.items()
        }
    )


def _convert(hint: Any, value: Any, where: str) -> Any:
    """A YAML value as the type a field declares; YAML 1.1 reads 1e-3 as text, so that too."""
    if dataclasses.is_dataclass(hint):
        return typed(hint, value or {}, where)  # type: ignore[arg-type]
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is UnionType and NoneType in arguments:  # a section or nothing
        return None if value is None else _convert(arguments[0], value, where)
    try:
        if origin is UnionType and type(value) in arguments:
            return value
        if origin is dict and isinstance(value, Mapping):
            return {str(k): _convert(arguments[1], v, f"{where}: {k}") for k, v in value.items()}
        if origin is tuple and isinstance(value, list):
            if arguments[-1] is not Ellipsis and len(value) != len(arguments):
                raise ValueError(value)
            return tuple(_convert(arguments[0], v, where) for v in value)
        if hint is float and not isinstance(value, bool):
            return float(value)
        if hint in (int, bool, str) and type(value) is hint:
            return value
    except (TypeError, ValueError) as error:
        if isinstance(error, ConfigurationError):
            raise
    name = getattr(hint, "__name__", str(hint)) if origin is None else str(hint)
    raise ConfigurationError(f"{where} is {value!r}; it must be of type {name}")

# SPDX-License-Identifier: Apache-2.0
"""Kinds of augmentation, and which settings of the section `augmentation` each of them takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from mtinet_ros.errors import ConfigurationError

CAMERA = "camera"
"""The kind where nothing else is said."""

SETTINGS: dict[str, tuple[str, ...]] = {
    CAMERA: ("flip", "zoom", "roll", "tilt", "photometric"),
    "nyud": ("flip", "zooms"),
    "pascal": ("flip", "rotation", "scale"),
}
"""Settings by kind."""


def complete_augmentations(document: Mapping[str, Any]) -> None:
    """Give every source's own augmentation the common entries that it does not replace.

    Where it is of another kind, it gets those of them that its kind takes.

    Args:
        document: Sections of a run's description, changed in place.
    """
    common = document.get("augmentation") or {}
    for source in _sources(document).values():
        own = source.get("augmentation") if isinstance(source, dict) else None
        if isinstance(own, dict) and isinstance(common, dict):
            kind = _kind({**common, **own})
            taken = common if kind == _kind(common) else SETTINGS.get(kind, ())
            shared = {key: value for key, value in common.items() if key in taken}
            source["augmentation"] = {**shared, **own}


def check_augmentation(augmentation: Any, place: str) -> None:
    """Refuse an unknown kind, and a setting that its kind would ignore.

    Args:
        augmentation: An `AugmentationConfig`.
        place: Where it is described.

    Raises:
        ConfigurationError: There is such a kind or setting.
    """
    kind = augmentation.kind
    if kind not in SETTINGS:
        raise ConfigurationError(f"{place}.kind is {kind!r}; allowed is {', '.join(SETTINGS)}")
    for setting in fields(augmentation):
        value = getattr(augmentation, setting.name)
        if setting.name not in ("kind", *SETTINGS[kind]) and value != setting.default:
            raise ConfigurationError(
                f"{place}.{setting.name} means nothing to the kind {kind}; that takes "
                f"{', '.join(SETTINGS[kind])}"
            )
    if not augmentation.zooms:
        raise ConfigurationError(f"{place}.zooms is empty; name factors, such as [1, 1.2]")


def used_settings(entries: Mapping[str, Any]) -> dict[str, Any]:
    """The kind of an augmentation and those of its settings that this kind takes."""
    return {key: entries[key] for key in ("kind", *SETTINGS[_kind(entries)])}


def _kind(entries: Mapping[str, Any]) -> str:
    return str(entries.get("kind", CAMERA))


def _sources(document: Mapping[str, Any]) -> dict[str, Any]:
    """The entries below data.sources."""
    data = document.get("data")
    sources = data.get("sources") if isinstance(data, dict) else None
    return sources if isinstance(sources, dict) else {}

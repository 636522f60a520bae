# SPDX-License-Identifier: Apache-2.0
"""How far a reproduction has come, so that one that was cut off goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mtinet_ros.errors import ConfigurationError, InputError
from mtinet_ros.output_files import write_file
from mtinet_ros.training.config import TrainConfig

_FILE = "state.json"
# What may be another when a run goes on: where things are, and how it is carried out.
_FREE = {
    "data": ("root", "workers", "validation_frames"),
    "network": ("backbone_weights",),
}
_KEPT_OF_RUN = ("seed", "precision")


class ReproductionState:
    """The steps that are done, kept in a file of the experiment's folder."""

    def __init__(self, folder: Path, config: TrainConfig) -> None:
        """Read what is there.

        Args:
            folder: Of the experiment.
            config: Of its training.

        Raises:
            ConfigurationError: What was done there was done with other settings.
            InputError: The file cannot be read.
        """
        self._path = folder / _FILE
        self._settings = _fixed_settings(config)
        self._done: dict[str, dict[str, Any]] = {}
        if not self._path.exists():
            return
        try:
            there = json.loads(self._path.read_text(encoding="utf-8"))
            settings, self._done = dict(there["settings"]), dict(there["done"])
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise InputError(
                f"{self._path} cannot be read ({error}); remove it to do every step again, which "
                "goes on with the training that is there"
            ) from error
        other = sorted(
            key for key in {*settings, *self._settings}
            if settings.get(key) != self._settings.get(key)
        )  # fmt: skip
        if other and self._done:
            raise ConfigurationError(
                f"{folder} was begun with {other[0]} {settings.get(other[0])!r}, now it is "
                f"{self._settings.get(other[0])!r}; choose another --output, or the same settings"
            )

    def done(self, step: str) -> dict[str, Any] | None:
        """What was noted of a step; None: it is not done."""
        return self._done.get(step)

    def mark(self, step: str, **notes: Any) -> None:
        """Note that a step is done.

        Raises:
            InputError: It cannot be written.
        """
        self._done[step] = notes
        record = {"settings": self._settings, "done": self._done}
        write_file(self._path, json.dumps(record, indent=1) + "\n")


def _fixed_settings(config: TrainConfig) -> dict[str, Any]:
    """Settings by "section.key" that make the result, as JSON has them."""
    sections: Mapping[str, Any] = json.loads(json.dumps(asdict(config)))
    return {
        f"{section}.{key}": value
        for section, entries in sections.items()
        for key, value in entries.items()
        if section != "card"
        and key not in _FREE.get(section, ())
        and (section != "run" or key in _KEPT_OF_RUN)
    }

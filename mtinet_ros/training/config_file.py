# SPDX-License-Identifier: Apache-2.0
"""A training run, described by one YAML file (see config/train/)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mtinet_ros.training.augmentation_kinds import complete_augmentations
from mtinet_ros.training.config import TrainConfig
from mtinet_ros.training.config_document import (
    merged,
    read_layers,
    replace_entry,
    without_nothing,
)
from mtinet_ros.training.config_limits import check_config
from mtinet_ros.training.config_types import typed


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """Read a YAML file, on top of those it is based on.

    Args:
        path: The file. Its entry `base` names another one, relative to it, whose entries hold
            where it says nothing else; `null` takes one of them away.
        overrides: Entries `section.key=value` that replace the file's; values are YAML.

    Raises:
        ConfigurationError: The file cannot be read, or an entry is unknown, of the wrong type or
            out of its limits.
    """
    layers = read_layers(Path(path))
    document: dict[str, Any] = {}
    for layer in layers:
        if len(layers) > 1:  # a mistake is named with the file that it is in
            typed(TrainConfig, without_nothing(layer.sections), str(layer.path))
        document = merged(document, layer.sections)
    for override in overrides:
        document = replace_entry(document, override, str(path))
    complete_augmentations(document)
    config = typed(TrainConfig, document, str(path))
    check_config(config)
    return config

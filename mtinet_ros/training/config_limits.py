# SPDX-License-Identifier: Apache-2.0
"""What a training run's description may say: limits of its numbers, and what goes together."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from mtinet_ros.errors import ConfigurationError
from mtinet_ros.training.augmentation_kinds import check_augmentation
from mtinet_ros.training.config import DataConfig, TrainConfig

# Least and greatest value; of a range, of both its ends.
_LIMITS: dict[str, tuple[float, float]] = {
    "data.sources.*.share": (1e-6, 1e6),
    "losses.terms.*.*": (0, 1e6),
    "run.seed": (0, 2**32 - 1),
    "data.height": (32, 1 << 14),
    "data.width": (32, 1 << 14),
    "data.focal_length": (0, 1e6),
    "data.batch_size": (1, 1 << 20),
    "data.workers": (0, 1 << 10),
    "data.validation_frames": (1, math.inf),
    "augmentation.flip": (0, 1),
    "augmentation.zoom": (0.1, 10),
    "augmentation.roll": (0, 45),
    "augmentation.tilt": (0, 45),
    "augmentation.photometric": (0, 10),
    "augmentation.zooms": (1, 10),
    "augmentation.rotation": (0, 180),
    "augmentation.scale": (0.1, 10),
    "losses.class_balance": (0, 1),
    "losses.deep_supervision": (0, 1e6),
    "losses.deep_supervision_stride": (1, 32),
    "optimizer.learning_rate": (0, 1e3),
    "optimizer.backbone_factor": (0, 1e3),
    "optimizer.weight_decay": (0, 1e3),
    "optimizer.momentum": (0, 1),
    "optimizer.clip": (0, 1e9),
    "optimizer.max_steps": (1, math.inf),
    "optimizer.max_epochs": (0, math.inf),
    "optimizer.warmup_steps": (0, math.inf),
    "optimizer.decay_steps": (0, math.inf),
    "optimizer.decay_power": (0, 100),
    "optimizer.average": (0, 1),
    "run.devices": (0, 1 << 20),
    "run.nodes": (1, 1 << 20),
    "run.threads": (0, 1 << 12),
    "run.save_minutes": (0, 1e9),
    "run.image_minutes": (0, 1e9),
    "run.validate_steps": (1, math.inf),
    "run.log_steps": (1, math.inf),
}


def check_config(config: TrainConfig) -> None:
    """Raise `ConfigurationError` where an entry is out of its limits or does not suit another."""
    check_augmentation(config.augmentation, "augmentation")
    for name, source in config.data.sources.items():
        if source.augmentation is not None:
            check_augmentation(source.augmentation, f"data.sources.{name}.augmentation")
    _check_limits(config)
    _check_sources(config.data)
    _check_focal_length(config)
    if config.run.compile not in (True, False, "auto", "on", "off"):
        raise ConfigurationError(f"run.compile is {config.run.compile!r}; allowed: auto, on, off")


def _check_sources(data: DataConfig) -> None:
    """Refuse what would be ignored, and a source that nobody said where to find."""
    for name in ("kind", "root"):
        if data.sources and getattr(data, name):
            raise ConfigurationError(
                f"data.{name} is {getattr(data, name)!r}, and data.sources names the data sets; "
                f"set data.sources.{next(iter(data.sources))}.{name}, or leave sources out"
            )
    total = sum(source.share for source in data.sources.values())
    for name, source in data.sources.items():
        if not source.root:
            raise ConfigurationError(f"data.sources.{name} has no root; name its folder")
        if source.share < total / 1000:
            raise ConfigurationError(
                f"data.sources.{name}.share is {source.share} of {total:.6g}; at least one "
                "thousandth of all, or leave it out"
            )


def _check_focal_length(config: TrainConfig) -> None:
    """Refuse to leave depth to the data where it is to be brought to one lens."""
    if 0 < config.data.focal_length < 1:
        raise ConfigurationError(
            f"data.focal_length is {config.data.focal_length}; allowed is 1 to 1e+06, or 0 for "
            "that of the data"
        )
    for name, source in config.data.named_sources().items():
        kind = (source.augmentation or config.augmentation).kind
        if not config.data.focal_length and kind == "camera":
            raise ConfigurationError(
                f"data.focal_length is 0, and the augmentation of {name} is of the kind camera; "
                "name the focal length, in pixels at the network's size, that depth is brought to"
            )


def _check_limits(config: TrainConfig) -> None:
    for key, (least, greatest) in _LIMITS.items():
        for place, value in _values(config, key.split(".")):
            ends = value if isinstance(value, tuple) else (value,)
            if not all(least <= end <= greatest for end in ends) or list(ends) != sorted(ends):
                raise ConfigurationError(
                    f"{place} is {value}; allowed is {least:.6g} to {greatest:.6g}"
                    + (", the lesser first" if len(ends) > 1 else "")
                )


def _values(config: TrainConfig, key: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """Places and values of a setting; "*" is every name, and sources augment in their own way."""
    found: list[tuple[str, Any]] = [("", config)]
    for part in key:
        found = [
            (f"{place}.{name}".removeprefix("."), value)
            for place, there in found
            for name, value in (there.items() if part == "*" else ((part, getattr(there, part)),))
        ]
    yield from found
    if key[0] == "augmentation":
        for name, source in config.data.sources.items():
            if source.augmentation is not None:
                value = getattr(source.augmentation, key[1])
                yield f"data.sources.{name}.augmentation.{key[1]}", value

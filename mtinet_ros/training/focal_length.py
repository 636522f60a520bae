# SPDX-License-Identifier: Apache-2.0
"""The focal length for which a run's depth holds, where the data bring their own."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from mtinet_ros.datasets.sample import SampleSource, evenly_spaced
from mtinet_ros.errors import ConfigurationError
from mtinet_ros.training.augmentation_kinds import CAMERA
from mtinet_ros.training.config import DataConfig, TrainConfig
from mtinet_ros.training.mixture import TrainingSource

_FRAMES = 5
_TOLERANCE = 0.01
"""Metres that are wrong by less than that are not worth a refusal."""


def with_focal_length(
    config: TrainConfig, tasks: Collection[str], sources: Sequence[TrainingSource]
) -> TrainConfig:
    """A run's description with the focal length at which its network's metres hold.

    The augmentations of the kinds "nyud" and "pascal" leave depth as the data's own lens saw it.
    So `data.focal_length`, which goes into the model card and by which a robot scales depth, must
    be that lens's, stretched to the network's size; where it is 0, it becomes that.

    Args:
        config: Of the run.
        tasks: That the network is trained in.
        sources: Its data.

    Raises:
        ConfigurationError: It is another one, it is 0 and nobody knows, or the lenses differ.
    """
    if "depth" not in tasks:
        return config
    for source in sources:
        if source.augmentation.kind == CAMERA or "depth" not in source.tasks:
            continue
        said = config.data.focal_length
        own = _own_focal_lengths(source.training, config.data)
        where = (
            f"data.focal_length is {said:g}, and the augmentation {source.augmentation.kind} "
            f"leaves the depth of {source.name} as it is"
        )
        if not own and not said:
            raise ConfigurationError(
                f"{where}, whose lens is not known; set it to the lens's focal length in pixels "
                "at the network's size"
            )
        if not own:
            continue
        if max(own) > min(own) * (1 + _TOLERANCE):
            raise ConfigurationError(
                f"{where}, whose lenses differ ({min(own):.1f} to {max(own):.1f} pixels at the "
                "network's size); the augmentation camera brings them to one"
            )
        mean = round(float(np.mean(own)), 3)
        if not said:
            config = replace(config, data=replace(config.data, focal_length=mean))
        elif abs(said / mean - 1) > _TOLERANCE:
            raise ConfigurationError(
                f"{where}, whose lens has {mean:g} pixels at the network's size; set it to that, "
                "or to 0"
            )
    return config


def _own_focal_lengths(samples: SampleSource, data: DataConfig) -> list[float]:
    """Of some frames, in pixels at the network's size; empty where one is not known."""
    lengths = []
    for index in evenly_spaced(samples, _FRAMES):
        sample = samples[index]
        if sample.intrinsics is None:
            return []
        rows, columns = sample.image.shape[:2]
        stretch = np.sqrt(data.height / rows * data.width / columns)
        lengths.append(float(sample.intrinsics.focal_length * stretch))
    return lengths

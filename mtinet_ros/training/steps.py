# SPDX-License-Identifier: Apache-2.0
"""How the steps of a run fall into epochs, and which frames and which rate a step has."""

from __future__ import annotations

from dataclasses import dataclass

from mtinet_ros.errors import ConfigurationError
from mtinet_ros.training.config import OptimizerConfig


@dataclass(frozen=True)
class Steps:
    """The steps of a run.

    Attributes:
        total: Steps of the whole run.
        batch: Frames of a step, those of all processes together.
        epoch_frames: Frames of an epoch, of which those that fill no batch are left out; 0: there
            are no epochs, and frames follow each other without end.
    """

    total: int
    batch: int = 1
    epoch_frames: int = 0

    @property
    def per_epoch(self) -> int:
        """Steps of an epoch; 0 where there are none."""
        return self.epoch_frames // self.batch

    def epoch(self, step: int) -> int:
        """The epoch that a step lies in, from 0."""
        return step // self.per_epoch if self.per_epoch else 0

    def first_frame(self, step: int) -> int:
        """Running number of the first frame of a step.

        >>> steps = Steps(total=4, batch=3, epoch_frames=8)  # two steps an epoch, two frames over
        >>> [steps.first_frame(step) for step in range(4)]
        [0, 3, 8, 11]
        """
        epoch = self.epoch(step)
        return epoch * self.epoch_frames + (step - epoch * self.per_epoch) * self.batch


def steps_of_run(config: OptimizerConfig, frames: int, batch: int) -> Steps:
    """The steps that a configuration asks for.

    Args:
        config: Counts epochs or steps.
        frames: Training frames of all data sets.
        batch: Frames of a step, all processes together.

    Raises:
        ConfigurationError: An epoch has no whole batch.
    """
    if not config.max_epochs:
        return Steps(config.max_steps, batch)
    if frames < batch:
        raise ConfigurationError(
            f"an epoch of {frames} training frames has no batch of {batch}; lower "
            "data.batch_size, or count steps (optimizer.max_epochs=0)"
        )
    return Steps(config.max_epochs * (frames // batch), batch, frames)


def rate_factor(step: int, config: OptimizerConfig, steps: Steps | None = None) -> float:
    """Learning rate at a step as a share of the full one: up, level, down; or by epochs.

    Args:
        step: From 0.
        config: The schedule.
        steps: Of the run; those of `config.max_steps` if None.

    >>> config = OptimizerConfig(max_steps=100, warmup_steps=10, decay_steps=50)
    >>> [rate_factor(step, config) for step in (0, 9, 50, 75, 100)]
    [0.1, 1.0, 1.0, 0.5, 0.0]
    >>> config = OptimizerConfig(max_epochs=4, decay_by="epoch")
    >>> steps = steps_of_run(config, frames=11, batch=5)
    >>> [rate_factor(step, config, steps) for step in range(9)]
    [1.0, 1.0, 0.75, 0.75, 0.5, 0.5, 0.25, 0.25, 0.0]
    """
    steps = steps or Steps(config.max_steps)
    if config.decay_by == "epoch":
        left = max(1 - steps.epoch(step) / config.max_epochs, 0.0)
        return float(left**config.decay_power)
    up = min((step + 1) / max(config.warmup_steps, 1), 1.0)
    remaining = max(steps.total - step, 0)
    down = min(remaining / max(config.decay_steps, 1), 1.0)
    return up * float(down**config.decay_power)

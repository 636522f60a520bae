# SPDX-License-Identifier: Apache-2.0
"""Several data sets as one stream of frames, in shares that hold in every stretch of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mtinet_ros.datasets.sample import SampleSource
from mtinet_ros.datasets.sources import open_samples
from mtinet_ros.errors import ConfigurationError, DataError
from mtinet_ros.training.augmentation_kinds import CAMERA
from mtinet_ros.training.config import AugmentationConfig, TrainConfig

_CYCLE = 1000
"""Frames after which the order of sources repeats; shares are true to one in so many."""


@dataclass(frozen=True)
class TrainingSource:
    """One data set of a run.

    Attributes:
        name: In the run's description.
        kind: Of data set.
        training: Frames to train on.
        validation: Frames to validate on.
        share: Of all training frames, 0..1.
        tasks: Tasks of the run that it has truth for.
        augmentation: Of its training frames.
    """

    name: str
    kind: str
    training: SampleSource
    validation: SampleSource
    share: float
    tasks: tuple[str, ...]
    augmentation: AugmentationConfig


def open_sources(config: TrainConfig, tasks: Sequence[str]) -> list[TrainingSource]:
    """Open the training and validation splits of all data sets, as they are on disk now.

    Args:
        config: Of the run.
        tasks: Tasks that the network is trained in.

    Raises:
        ConfigurationError: They do not fit together, or a task has truth in none of them.
        DataError: One is missing or damaged.
    """
    described = config.data.named_sources()
    total = sum(source.share for source in described.values())
    opened = []
    for name, source in described.items():
        augmentation = source.augmentation or config.augmentation
        # The authors train on whole pictures; what has no truth is unknown.
        crop = augmentation.kind == CAMERA
        try:
            splits = [
                open_samples(
                    source.kind, source.root, split,
                    classes=source.classes, crop=crop, tasks=tuple(tasks),
                )
                for split in ("train", "val")
            ]  # fmt: skip
        except ConfigurationError as error:
            where = f"data.sources.{name}" if config.data.sources else "data"
            raise ConfigurationError(f"{where}: {error}") from error
        if not len(splits[0]):
            raise DataError(f"{source.root} has no training frames; name another folder")
        there = splits[0][0].targets
        absent = [task for task in source.tasks if task not in there]
        if absent:
            raise ConfigurationError(
                f"data: the source {name} has no ground truth for {absent[0]}; it has "
                f"{', '.join(there)}"
            )
        used = source.tasks or tuple(there)
        if len(described) > 1 and not set(used) & set(tasks):
            raise ConfigurationError(
                f"data: the source {name} teaches nothing: it has truth for {', '.join(used)}, "
                f"the network is trained in {', '.join(tasks)}; leave it out"
            )
        opened.append(
            TrainingSource(
                name, source.kind, splits[0], splits[1], source.share / total,
                tuple(task for task in tasks if task in used), augmentation,
            )
        )  # fmt: skip
    check_truth(opened, tasks)
    return opened


def check_truth(sources: Sequence[TrainingSource], tasks: Sequence[str]) -> None:
    """Raise `ConfigurationError` unless each task has truth somewhere, and the classes agree."""
    for task in tasks:
        if not any(task in source.tasks for source in sources):
            there = dict.fromkeys(t for source in sources for t in source.training[0].targets)
            raise ConfigurationError(
                f"network: the data have no ground truth for {task}; they have {', '.join(there)}"
            )
    first = sources[0]
    for source in sources[1:]:
        if source.training.class_names != first.training.class_names:
            raise ConfigurationError(
                f"data: the source {source.name} has {len(source.training.class_names)} classes "
                f"({', '.join(source.training.class_names[:3])}, ...), {first.name} has "
                f"{len(first.training.class_names)} ({', '.join(first.training.class_names[:3])}, "
                "...); merge them with `classes: rooms`"
            )


class Mixture:
    """Which frame of which source has a running number; it follows from the number alone."""

    def __init__(self, lengths: Sequence[int], shares: Sequence[float], seed: int) -> None:
        """Lay out a cycle of sources in which each is never a frame ahead of its share.

        Args:
            lengths: Frames of each source.
            shares: Of each; they add up to 1.
            seed: Of the permutations.
        """
        self.lengths = tuple(lengths)
        self.seed = seed
        owed = np.zeros(len(shares))
        chosen = np.zeros(_CYCLE, np.int64)
        for slot in range(_CYCLE):
            owed += shares
            chosen[slot] = owed.argmax()
            owed[chosen[slot]] -= 1
        self._source = chosen
        taken = np.eye(len(shares), dtype=np.int64)[chosen]
        self._before = np.concatenate([np.zeros((1, len(shares)), np.int64), taken.cumsum(0)])
        self._orders: dict[int, tuple[int, np.ndarray[tuple[int], np.dtype[np.int64]]]] = {}

    def __call__(self, number: int) -> tuple[int, int]:
        """The source of the frame `number`, and its index there.

        Every pass over a source is a new permutation of it.
        """
        cycle, slot = divmod(number, _CYCLE)
        source = int(self._source[slot])
        position = cycle * int(self._before[-1, source]) + int(self._before[slot, source])
        number_of_pass, place = divmod(position, self.lengths[source])
        known = self._orders.get(source)
        if known is None or known[0] != number_of_pass:
            random = np.random.default_rng((self.seed, number_of_pass, source))
            known = (number_of_pass, random.permutation(self.lengths[source]))
            self._orders[source] = known
        return source, int(known[1][place])

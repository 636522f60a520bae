# SPDX-License-Identifier: Apache-2.0
"""Several data sets as one stream: true shares, whole passes, an order that the step decides."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from mtinet_ros.datasets.intrinsics import Intrinsics
from mtinet_ros.datasets.sample import Sample, Target
from mtinet_ros.errors import ConfigurationError
from mtinet_ros.training.config import AugmentationConfig, DataConfig
from mtinet_ros.training.loader import Key, StepSampler, TrainingSamples
from mtinet_ros.training.losses import MultiTaskLoss, balanced_class_weights
from mtinet_ros.training.mixture import Mixture, TrainingSource, check_truth
from mtinet_ros.training.run import class_histogram

ROWS, COLUMNS = 32, 64
STILL = AugmentationConfig(flip=0, zoom=(1, 1), roll=0, tilt=0, photometric=0)


@dataclass
class Frames:
    """Uniform frames, each with the given truth."""

    targets: list[dict[str, Target]]
    class_names: tuple[str, ...] = ("a", "b")
    palette: tuple[tuple[int, int, int], ...] = ((0, 0, 0), (1, 1, 1))
    attribution: tuple[str, ...] = ()
    read: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int, /) -> Sample:
        image = np.full((ROWS, COLUMNS, 3), index, np.uint8)
        return Sample(image, self.targets[index], Intrinsics.centered(50.0, ROWS, COLUMNS))

    def videos(self) -> list[list[int]]:
        return []


def labels(value: int) -> dict[str, Target]:
    return {"semseg": np.full((ROWS, COLUMNS), value, np.uint8)}


def source(
    name: str, frames: Frames, share: float, augmentation: AugmentationConfig = STILL
) -> TrainingSource:
    tasks = tuple(frames.targets[0])
    return TrainingSource(name, "test", frames, frames, share, tasks, augmentation)


@pytest.mark.parametrize("shares", [(0.6, 0.4), (0.9, 0.1), (0.5, 0.3, 0.2), (1.0,)])
def test_shares_hold_in_every_stretch(shares):
    mixture = Mixture([7] * len(shares), shares, 0)
    counts = np.zeros(len(shares))
    for number in range(2500):
        counts[mixture(number)[0]] += 1
        assert np.abs(counts - np.array(shares) * (number + 1)).max() <= 1 + 1e-9


def test_every_pass_over_a_data_set_shows_each_of_its_frames_once():
    mixture = Mixture([5, 3], (0.6, 0.4), 0)
    seen: dict[int, list[int]] = {0: [], 1: []}
    for number in range(2000):
        which, index = mixture(number)
        seen[which].append(index)
    for which, length in ((0, 5), (1, 3)):
        passes = [seen[which][i : i + length] for i in range(0, len(seen[which]), length)]
        assert all(sorted(one) == list(range(length)) for one in passes[:-1])
        assert len({tuple(one) for one in passes[:50]}) > 4  # in ever another order


def test_order_of_frames_depends_on_the_step_alone():
    def batches(start: int, count: int, **options: int) -> list[list[Key]]:
        sampler = StepSampler(Mixture([5, 9], (0.5, 0.5), 0), 2, lambda: start, **options)
        return list(itertools.islice(sampler, count))

    assert batches(0, 6)[4:] == batches(4, 2)
    assert batches(0, 900)[800:] == batches(800, 100)
    ranks = [batches(0, 1, rank=rank, world_size=2)[0] for rank in (0, 1)]
    assert [number for batch in ranks for *_, number in batch] == [0, 1, 2, 3]
    assert Counter(which for batch in ranks for which, *_ in batch) == {0: 2, 1: 2}


def test_one_data_set_alone_is_walked_as_before_there_were_several():
    """A run of an earlier version continues with the frames that it would have had."""
    mixture = Mixture([5], (1.0,), 3)
    order = np.random.default_rng((3, 1)).permutation(5)
    assert [mixture(number) for number in range(5, 10)] == [(0, int(index)) for index in order]


def test_a_task_without_truth_in_a_sample_costs_nothing():
    """Batches of both kinds stack, and the loss is that of the frames that know."""
    depth = {"depth": np.full((ROWS, COLUMNS), 2.0, np.float32)}
    sources = [
        source("labelled", Frames([labels(1)]), 0.5),
        source("measured", Frames([depth]), 0.5),
    ]
    samples = TrainingSamples(sources, ("semseg", "depth"), DataConfig(height=32, width=64), 0)
    sampler = StepSampler(Mixture([1, 1], (0.5, 0.5), 0), 4, lambda: 0)
    batch = next(iter(DataLoader(samples, batch_sampler=sampler)))
    assert batch["semseg"].flatten(1).float().mean(1).sort().values.tolist() == [1, 1, 255, 255]
    # f0 is 210 and the frames' focal length 50: 2 m look as 8.4 m do through f0.
    assert batch["depth"].flatten(1).mean(1).sort().values.tolist() == pytest.approx(
        [0, 0, 8.4, 8.4], rel=1e-6
    )
    from mtinet_ros.network import MTINetOutput
    from mtinet_ros.training.config import LossConfig

    config = LossConfig({"semseg": {"cross_entropy": 1.0}, "depth": {"l1": 1.0}}, 0.0, 0.0)
    loss = MultiTaskLoss(config, {"semseg": 2, "depth": 1}, "metres")
    logits = torch.zeros(4, 2, ROWS, COLUMNS, requires_grad=True)
    metres = torch.full((4, 1, ROWS, COLUMNS), 7.4, requires_grad=True)
    losses = loss(MTINetOutput({"semseg": logits, "depth": metres}, ()), batch)
    assert losses["semseg/cross_entropy"].item() == pytest.approx(np.log(2), rel=1e-5)
    assert losses["depth/l1"].item() == pytest.approx(1.0, rel=1e-5)
    losses["total"].backward()
    unlabelled = batch["semseg"].flatten(1).float().mean(1) == 255
    assert logits.grad is not None
    assert logits.grad[unlabelled].abs().max() == 0
    assert logits.grad[~unlabelled].abs().max() > 0


def test_each_data_set_is_augmented_in_its_own_way():
    left = {"semseg": np.repeat([[0, 1]], ROWS, 0).repeat(COLUMNS // 2, 1).astype(np.uint8)}
    mirrored = AugmentationConfig(flip=1, zoom=(1, 1), roll=0, tilt=0, photometric=0)
    sources = [
        source("as it is", Frames([left]), 0.5),
        source("mirrored", Frames([left]), 0.5, mirrored),
    ]
    samples = TrainingSamples(sources, ("semseg",), DataConfig(height=32, width=64), 0)
    assert samples[0, 0, 0]["semseg"][0, [0, -1]].tolist() == [0, 1]
    assert samples[1, 0, 0]["semseg"][0, [0, -1]].tolist() == [1, 0]


def test_class_weights_are_of_the_mix():
    """A class that fills one data set and lacks in the other is as frequent as its share."""
    half = labels(0)["semseg"].copy()
    half[:, COLUMNS // 2 :] = 255  # unlabelled
    sources = [
        source("a", Frames([labels(0), {"semseg": half}]), 0.75),  # 3/4 of its pixels are class 0
        source("b", Frames([labels(1)]), 0.25),
    ]
    counts = class_histogram(sources, 2)
    assert counts.tolist() == pytest.approx([0.75 * 0.75, 0.25])
    weights = balanced_class_weights(counts, 1.0)
    assert float(weights[1] / weights[0]) == pytest.approx(0.5625 / 0.25)


@pytest.mark.parametrize(
    ("names", "tasks", "fragment"),
    [
        (("a", "b", "c"), ("semseg",), r"the source two has 3 classes .* one has 2 .* `classes: "),
        (("a", "b"), ("semseg", "depth"), "no ground truth for depth; they have semseg"),
    ],
)
def test_data_sets_that_do_not_fit_together_are_refused(names, tasks, fragment):
    sources = [
        source("one", Frames([labels(0)]), 0.5),
        source("two", Frames([labels(0)], names), 0.5),
    ]
    with pytest.raises(ConfigurationError, match=fragment):
        check_truth(sources, tasks)


@pytest.mark.slow
def test_a_program_that_keeps_its_loader_ends_all_the_same(tmp_path):
    """Workers are deaf to the SIGTERM that Python sends at exit before it waits for them."""
    script = tmp_path / "script.py"
    script.write_text("""
import builtins
from torch.utils.data import DataLoader
from mtinet_ros.training.loader import _processes

if __name__ == "__main__":
    builtins.kept = iter(DataLoader(range(8), **_processes(1)))
    next(builtins.kept)
""")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, str(script)], env=environment, timeout=60, check=False)
    assert done.returncode == 0

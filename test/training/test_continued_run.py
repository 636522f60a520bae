# SPDX-License-Identifier: Apache-2.0
"""Runs that go on: in the middle of an epoch, on other processes, after the disk was full."""

from __future__ import annotations

import csv
import dataclasses
import errno
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from support.tiny_run import ROOT, configuration, same_state, write_rooms

from mtinet_ros import output_files
from mtinet_ros.datasets.sample import Sample
from mtinet_ros.errors import ConfigurationError, DataError, MtinetError
from mtinet_ros.network import load_checkpoint
from mtinet_ros.training import callbacks, loader
from mtinet_ros.training.config import AugmentationConfig, TrainConfig
from mtinet_ros.training.loader import Batch
from mtinet_ros.training.mixture import TrainingSource
from mtinet_ros.training.run import class_histogram, one_sentence, train


@pytest.fixture(scope="module")
def rooms(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("rooms")
    write_rooms(root)  # six training frames
    return root


SMALL = [
    "network.architecture=multi_task_baseline",
    "network.tasks={semseg: 13, depth: 1}",
    "losses.terms={semseg: {cross_entropy: 1}, depth: {log_l1: 1}}",
    "run.validate_steps=1000",
]
PAPER = [
    *SMALL,
    "optimizer.kind=adam",
    "optimizer.max_epochs=3",
    "optimizer.decay_by=epoch",
    "optimizer.decay_power=0.9",
    "optimizer.average=0",
    "optimizer.clip=0",
    "optimizer.backbone_factor=1",
    "data.batch_size=3",
]


def logged_rates(folder: Path) -> list[float]:
    """Learning rates in the order of steps, of all parts of a run."""
    rates = {}
    for path in (folder / "csv").glob("*/metrics.csv"):
        with path.open() as file:
            for row in csv.DictReader(file):
                if row.get("train/learning_rate"):
                    rates[int(row["step"])] = float(row["train/learning_rate"])
    return [rates[step] for step in sorted(rates)]


@pytest.mark.slow
def test_a_run_by_epochs_goes_on_in_the_middle_of_one(rooms, tmp_path):
    """With the rate of its epoch, and bit by bit the weights of a run that was not cut off."""
    whole = train(configuration(rooms, tmp_path / "whole", 1, PAPER))
    cut_off = configuration(rooms, tmp_path / "cut_off", 1, PAPER)
    for _ in range(3):  # after each step
        train(cut_off, max_minutes=1e-6)
    state = torch.load(tmp_path / "cut_off" / "last.ckpt", weights_only=True)
    assert state["global_step"] == 3
    folder = train(cut_off)
    states = [torch.load(f / "last.ckpt", weights_only=True) for f in (whole, folder)]
    assert [s["global_step"] for s in states] == [6, 6]
    weights = states[0]["state_dict"]
    assert all(torch.equal(value, states[1]["state_dict"][k]) for k, value in weights.items())

    rates = [1.5e-3 * (1 - epoch / 3) ** 0.9 for epoch in (0, 0, 1, 1, 2, 2)]
    for run in (whole, folder):
        assert logged_rates(run) == pytest.approx(rates, rel=1e-6)
    # Nothing is averaged: what is saved to be used is the network in training.
    for name in ("latest.safetensors", "last.ckpt"):
        for key, value in load_checkpoint(folder / name).state_dict().items():
            assert torch.equal(value, states[1]["state_dict"][f"network.{key}"])

    for other in ("optimizer.kind=adamw", "optimizer.average=0.9"):
        with pytest.raises(ConfigurationError, match=r"kind adam and optimizer\.average 0; keep"):
            train(configuration(rooms, folder, 1, [*PAPER, other]))
    with pytest.raises(ConfigurationError, match=r"3 frames a step, .* 2 on 1 processes makes 2"):
        train(configuration(rooms, folder, 1, [*PAPER, "data.batch_size=2"]))


def train_by_command(config: TrainConfig, path: Path) -> None:
    path.write_text(yaml.safe_dump(json.loads(json.dumps(dataclasses.asdict(config)))))
    command = [sys.executable, "-m", "mtinet_ros.cli.main", "train", str(path)]
    subprocess.run(command, cwd=ROOT, check=True)


@pytest.mark.slow
def test_a_run_goes_on_with_two_processes_as_it_would_with_one(rooms, tmp_path):
    """The same frames, losses and statistics; SGD, because Adam makes noise of small gradients."""
    sgd = ["optimizer.kind=sgd", "optimizer.warmup_steps=0", "optimizer.decay_steps=0"]
    common = [*SMALL, *sgd, "run.sync_batch_norm=true"]
    whole = train(configuration(rooms, tmp_path / "whole", 2, [*common, "data.batch_size=4"]))
    one = configuration(rooms, tmp_path / "one", 2, [*common, "data.batch_size=4"])
    folder = train(one, max_minutes=1e-6)
    before = torch.load(folder / "last.ckpt", weights_only=True)["current_model_state"]
    two = [*common, "data.batch_size=2", "run.devices=2", "run.threads=1"]
    train_by_command(configuration(rooms, folder, 2, two), tmp_path / "two.yaml")
    expected, after = (
        torch.load(f / "last.ckpt", weights_only=True)["current_model_state"]
        for f in (whole, folder)
    )
    for name, value in expected.items():
        if value.is_floating_point() and "metrics" not in name:
            moved = (value - before[name]).abs().max()
            assert (after[name] - value).abs().max() <= 1e-3 * moved + 1e-6, name


class FullDisk:
    """Has every file that is flushed fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fsync(_descriptor: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(output_files.os, "fsync", fsync)


@pytest.mark.slow
def test_a_full_disk_ends_a_run_with_a_sentence_and_what_was_saved_is_whole(rooms, tmp_path):
    folder = train(configuration(rooms, tmp_path / "run", 1, SMALL))
    saved = {name: (folder / name).read_bytes() for name in ("last.ckpt", "latest.safetensors")}
    with pytest.MonkeyPatch.context() as patch:
        FullDisk(patch)
        message = r"cannot save .*: No space left on device; what was saved before is whole"
        with pytest.raises(ConfigurationError, match=message) as failure:
            train(configuration(rooms, folder, 2, SMALL))
        assert "\n" not in str(failure.value)
    for name, content in saved.items():
        assert (folder / name).read_bytes() == content
    assert not list(folder.glob(".*.part"))
    whole = train(configuration(rooms, tmp_path / "whole", 2, SMALL))
    assert same_state(whole, train(configuration(rooms, folder, 2, SMALL)))


def test_a_state_that_finds_no_room_leaves_the_former(tmp_path, monkeypatch):
    path = tmp_path / "last.ckpt"
    callbacks.AtomicCheckpointIO([]).save_checkpoint({"global_step": 1}, path)
    FullDisk(monkeypatch)
    with pytest.raises(ConfigurationError, match=r"cannot save .*last\.ckpt: No space left"):
        callbacks.AtomicCheckpointIO([]).save_checkpoint({"global_step": 2}, path)
    assert torch.load(path, weights_only=True) == {"global_step": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["last.ckpt"]


def test_one_of_several_processes_that_cannot_save_ends_all(tmp_path, monkeypatch):
    """The others waited for it, or died of its end with a traceback each."""
    monkeypatch.setattr(callbacks, "process_count", lambda: 2)
    FullDisk(monkeypatch)
    failures: list[MtinetError] = []
    callbacks.AtomicCheckpointIO(failures).save_checkpoint({}, tmp_path / "last.ckpt")
    assert "No space left" in str(failures[0])
    strategy = SimpleNamespace(reduce_boolean_decision=lambda value, all: value)
    trainer = SimpleNamespace(strategy=strategy, should_stop=False)  # and nothing to save with
    pause = callbacks.Pause(tmp_path / "last.ckpt", 0.0, failures)
    pause.on_train_batch_end(trainer, None)
    assert trainer.should_stop


def test_a_logger_on_a_full_disk_gives_a_sentence(tmp_path):
    message = r"cannot write into .*: No space left on device"
    with pytest.raises(ConfigurationError, match=message), one_sentence(tmp_path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(ConnectionError), one_sentence(tmp_path):  # nothing of the disk's
        raise ConnectionError(errno.ECONNRESET, "reset")


class Damaged:
    """Samples of which none can be read."""

    def __getitem__(self, _index: int) -> Batch:
        raise DataError("frame 7 is damaged; copy it again")


def test_an_error_in_a_loader_process_is_one_sentence():
    """PyTorch puts the process's traceback before it."""
    answers = loader._Answers(Damaged())
    batches = loader._TrainingLoader(
        answers, batch_sampler=[[0]], collate_fn=loader._collated, num_workers=1
    )
    with pytest.raises(DataError) as failure:
        next(iter(batches))
    assert str(failure.value) == "frame 7 is damaged; copy it again"


class Labels:
    """A data set of label maps."""

    class_names = ("wall", "floor", "chair")
    palette = ((0, 0, 0),) * 3
    attribution = ()

    def __init__(self, labels: Sequence[int]) -> None:
        self.labels = labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Sample:
        image = np.zeros((2, 2, 3), np.uint8)
        return Sample(image, {"semseg": np.full((2, 2), self.labels[index], np.uint8)}, None)

    def videos(self) -> list[list[int]]:
        return []


def test_a_label_outside_the_classes_is_named_before_the_first_step():
    """Its pixels were left out of the class histogram, and the run failed much later."""

    def source(labels: Sequence[int]) -> TrainingSource:
        data, augmentation = Labels(labels), AugmentationConfig()
        return TrainingSource("mine", "nyud", data, data, 1.0, ("semseg",), augmentation)

    assert class_histogram([source([0, 2, 255])], 3).tolist() == [1 / 3, 0, 1 / 3]
    with pytest.raises(DataError, match="frame 1 of mine has the semseg label 3; allowed"):
        class_histogram([source([0, 3])], 3)

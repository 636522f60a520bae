# SPDX-License-Identifier: Apache-2.0
"""A run of days is tried out in seconds, and nothing of it is left behind."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.toy_nyud import write_toy_nyud

from mtinet_ros.cli.main import main
from mtinet_ros.errors import ConfigurationError
from mtinet_ros.training import dry_run as module
from mtinet_ros.training.config_file import load_config
from mtinet_ros.training.dry_run import DryRun, NetworkMeasure, SourceLook, StepMeasure, dry_run
from mtinet_ros.training.run_estimate import (
    ACCELERATORS,
    bytes_needed,
    hours_elsewhere,
    seconds_here,
    to_text,
)

PAPER = """
network: {backbone: hrnet_w18, initial: random, depth_output: metres,
          tasks: {semseg: 40, depth: 1},
          auxiliary_tasks: {semseg: 40, depth: 1, normals: 3, edge: 1}}
data: {kind: nyud, height: 64, width: 64, focal_length: 0, batch_size: 4, workers: 0}
augmentation: {kind: nyud}
losses: {terms: {semseg: {cross_entropy: 1}, depth: {l1: 1}, normals: {normals_l1: 10},
                 edge: {balanced_bce: 50}}}
optimizer: {max_steps: 5}
run: {accelerator: cpu, precision: 32-true}
"""


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("toy")
    write_toy_nyud(root / "NYUD_MT", training=6, validation=3)
    (root / "paper.yaml").write_text(PAPER)
    return root


def files(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))}


def test_a_dry_run_counts_and_measures_and_writes_nothing(toy, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    before = files(toy)
    settings = [f"data.root={toy / 'NYUD_MT'}", f"run.output={tmp_path / 'run'}"]
    tried = dry_run(load_config(toy / "paper.yaml", settings))
    assert list(tmp_path.iterdir()) == []
    assert files(toy) == before
    (look,) = tried.sources
    assert (look.training, look.validation, look.size) == (6, 3, (48, 64))
    assert set(look.tasks) == {"semseg", "depth", "normals", "edge"}
    assert tried.network.parameters == 14_838_121  # the authors' MTI-Net, edges and normals
    # Theirs takes 22.88 GMAC at 480x640; two operations each, forward and two ways back.
    expected = 22.88e9 * 64 * 64 / (480 * 640) * 2 * 3
    assert tried.network.flop == pytest.approx(expected, rel=0.03)
    assert (tried.step.frames, tried.steps) == (4, 5)
    assert tried.step.peak > 4 * tried.network.kept > 0
    text = to_text(tried)
    assert "6 frames to train on, 3 to validate on, 48x64" in text
    assert "14,838,121 parameters" in text
    assert "none of it was measured" in text


def test_a_batch_that_does_not_fit_is_made_smaller(toy, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "available_bytes", lambda _device: 1)
    settings = [
        f"data.root={toy / 'NYUD_MT'}", "network.backbone=efficientnet_lite0",
        "network.auxiliary_tasks={semseg: 40, depth: 1}", "data.height=32", "data.width=32",
    ]  # fmt: skip
    tried = dry_run(load_config(toy / "paper.yaml", settings))
    assert (tried.step.frames, tried.batch_size) == (2, 4)
    assert "2 frames; 4 do not fit into the memory here" in to_text(tried)


def test_what_a_run_would_refuse_a_dry_run_refuses(toy, tmp_path, capsys):
    main_with = ["train", str(toy / "paper.yaml"), "--dry-run", "--set"]
    assert main([*main_with, f"data.root={tmp_path}"]) == 1
    assert (
        main([*main_with, f"data.root={toy / 'NYUD_MT'}", "--set", "losses.terms.edge=null"]) == 1
    )
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 2
    assert "losses: edge has no loss" in errors[1]


def test_a_gpu_that_is_not_there_is_named(toy, monkeypatch):
    monkeypatch.setattr(module.torch.cuda, "is_available", lambda: False)
    config = load_config(toy / "paper.yaml", ["run.accelerator=gpu"])
    with pytest.raises(ConfigurationError, match="accelerator is gpu and PyTorch finds no GPU"):
        dry_run(config)


def tried(workers: int = 0, frames: int = 4) -> DryRun:
    """10 steps of 4 frames: 2 s of computing, 1 s of loading a frame."""
    look = SourceLook("nyud", "nyud", 8, 4, (48, 64), ("depth",), 4)
    network = NetworkMeasure("MTI-Net", 10**6, 10**6, 1e12, 1e9)
    step = StepMeasure(frames, 2.0 * frames / 4, 1.0, 1.0, 10**9, None, "the CPU", "32-true")
    return DryRun((look,), network, step, 10, 4, 1, workers)


def test_time_and_memory_are_what_arithmetic_says():
    assert seconds_here(tried()) == 10 * (2 + 4)
    assert seconds_here(tried(workers=1)) == 10 * 4  # loading is the slower one
    assert seconds_here(tried(workers=4)) == 10 * 2
    assert seconds_here(tried(frames=2)) == 10 * (2 + 4)  # a smaller step, scaled
    assert bytes_needed(tried()) == 4 * 1e9 * 1.25 + 16e6 + 1e9
    v100 = next(gpu for gpu in ACCELERATORS if "V100" in gpu.name)
    least, most = hours_elsewhere(tried(), v100)
    assert least * 3600 == pytest.approx(10 * 4 * 1e12 / 15.7e12 / 0.3)
    assert most * 3600 == pytest.approx(10 * 4 * 1e12 / 15.7e12 / 0.05)

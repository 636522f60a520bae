# SPDX-License-Identifier: Apache-2.0
"""One command carries an experiment out, goes on where it was cut off, and tells what differs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.toy_nyud import write_toy_nyud

pytest.importorskip("lightning")

from mtinet_ros.cli import reproduce
from mtinet_ros.cli.main import main

SMALL = [
    "network.initial=random", "network.backbone=efficientnet_lite0", "data.height=64",
    "data.width=64", "data.batch_size=2", "data.workers=0", "data.validation_frames=2",
    "optimizer.max_epochs=1", "optimizer.learning_rate=0.01",
    "run.accelerator=cpu", "run.threads=1",
]  # fmt: skip


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("toy") / "NYUD_MT"
    write_toy_nyud(root, training=4, validation=2)
    return root


def command(name: str, toy: Path, output: Path, *more: str) -> list[str]:
    settings = [word for setting in SMALL for word in ("--set", setting)]
    return ["reproduce", name, "--data", str(toy), "--output", str(output), *settings, *more]


@pytest.mark.slow
def test_an_experiment_is_carried_out_and_goes_on_where_it_was(toy, tmp_path, monkeypatch, capsys):
    called: list[str] = []
    original = reproduce._mtinet

    def watched(name: str, *words: str) -> int:
        called.append(name)
        if name == "export" and called.count("export") == 1:
            raise KeyboardInterrupt  # cut off between two steps
        return original(name, *words)

    monkeypatch.setattr(reproduce, "_mtinet", watched)
    run = command("nyud_w18", toy, tmp_path)
    assert main(run) == 130
    assert main(run) == 0
    assert called == ["data", "train", "export", "export", "evaluate"]
    folder = tmp_path / "nyud_w18"
    record = json.loads((folder / "reproduction.json").read_text())
    assert record["reported"] == {"semseg": 37.6, "depth": 0.539}
    assert record["frames"] == {"training": 4, "measured": 2}
    assert record["steps"] == 2  # one epoch of four frames, two at a time
    assert set(record["measured"]) == {"semseg", "depth"}
    assert record["delta_m"] is None
    text = (folder / "reproduction.md").read_text()
    assert "Not the experiment as published" in text
    assert "| segmentation, mIoU % | 37.6 | " in text
    assert "trained on 4 frames and measured on 2; published are 795 and 654" in text
    assert "`mtinet reproduce nyud_w18_semseg`" in text
    assert (folder / "model.onnx").is_file()

    # Single tasks beside it: now the gain can be told.
    for task, key, single in (
        ("semseg", "semseg_miou", record["metrics"]["semseg_miou"] / 2 or 0.5),
        ("depth", "depth_rmse_per_image", record["metrics"]["depth_rmse_per_image"] * 2),
    ):
        (tmp_path / f"nyud_w18_{task}").mkdir()
        (tmp_path / f"nyud_w18_{task}" / "reproduction.json").write_text(
            json.dumps({"metrics": {key: single}})
        )
    called.clear()
    assert main(run) == 0
    assert called == []
    expected = (100 + 50) / 2 if record["metrics"]["semseg_miou"] else (-100 + 50) / 2
    again = json.loads((folder / "reproduction.json").read_text())
    assert again["delta_m"] == pytest.approx(expected)

    capsys.readouterr()
    assert main([*run, "--set", "optimizer.learning_rate=1"]) == 1
    assert "was begun with optimizer.learning_rate 0.01, now it is 1.0" in capsys.readouterr().err


def test_every_experiment_is_listed_with_its_figures(capsys):
    assert main(["reproduce", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (w48,) = (line for line in lines if line.startswith("nyud_w48 "))
    assert "mIoU % 49.0" in w48
    assert "m 0.529" in w48


@pytest.mark.parametrize(
    ("words", "fragment"),
    [
        ([], "no experiment is named; `mtinet reproduce --list`"),
        (["nyud_w17"], "'nyud_w17' is none of the"),
        (["nyud_w18", "--set", "data.root=x"], "--set data.root=x: use --data for that"),
        (["nyud_w18", "--set", "run.output=x"], "use --output for that"),
        (["nyud_w18"], "no package brings ImageNet weights for hrnet_w18; set backbone_weights"),
        (["nyud_w18", "--backbone-weights", "none.pth"], "none.pth"),
    ],
)
def test_mistakes_are_named_before_anything_is_made(
    words, fragment, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert main(["reproduce", *words]) == 1
    assert fragment in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_leaves_nothing(toy, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(command("nyud_w18", toy, tmp_path / "out", "--dry-run")) == 0
    assert "the run\n  2 steps of 2 frames" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_faults_of_the_data_stop_it_before_training(tmp_path, capsys):
    broken = tmp_path / "NYUD_MT"
    write_toy_nyud(broken, training=2, validation=1)
    (broken / "depth" / "0001.npy").write_bytes(b"")
    assert main(command("nyud_w18", broken, tmp_path / "out")) == 1
    assert "are not as they should be" in capsys.readouterr().err
    assert not (tmp_path / "out" / "nyud_w18" / "train").exists()

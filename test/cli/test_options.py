# SPDX-License-Identifier: Apache-2.0
"""Paths on the command line: `~` is a home folder, and what is there is not overwritten."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.tiny_model import write_tiny_model

from mtinet_ros.cli.main import build_parser, main
from mtinet_ros.cli.options import path

# Each option that names a file or folder, with what else its command asks for.
PATHS = [
    ("predict", ["{}", "-o", "x"], "images"),
    ("predict", ["x", "-o", "{}"], "output"),
    ("predict", ["x", "-o", "x", "--model={}"], "model"),
    ("benchmark", ["{}"], "model"),
    ("benchmark", ["--output={}"], "output"),
    ("benchmark", ["--engine-cache-dir={}"], "engine_cache_dir"),
    ("build", ["{}"], "model"),
    ("build", ["x", "--engine-cache-dir={}"], "engine_cache_dir"),
    ("inspect", ["{}"], "model"),
    ("demo", ["--model={}"], "model"),
    ("demo", ["--source={}"], "source"),
    ("demo", ["--output={}"], "output"),
    ("export", ["{}", "-o", "x"], "checkpoint"),
    ("export", ["x", "--output={}"], "output"),
    ("export", ["x", "-o", "x", "--class-names={}"], "class_names"),
    ("export", ["x", "-o", "x", "--calibration={}"], "calibration"),
    ("evaluate", ["{}", "--data=x"], "model"),
    ("evaluate", ["x", "--data={}"], "data"),
    ("evaluate", ["x", "--data=x", "--json={}"], "json"),
    ("scenes", ["--output={}"], "output"),
    ("scenes", ["--check={}"], "check"),
    ("scenes", ["--furniture={}"], "furniture"),
    ("train", ["{}"], "config"),
]


@pytest.mark.parametrize(("command", "words", "name"), PATHS)
def test_the_home_folder_is_found_in_every_path(
    command: str, words: list[str], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/robot")
    filled = [word.replace("{}", "~/a b") for word in words]
    found: Any = getattr(build_parser(command).parse_args([command, *filled]), name)
    assert str(found[0] if isinstance(found, list) else found) == "/home/robot/a b"


def test_a_file_may_be_called_like_nobody() -> None:
    assert path("~nobody-of-this-name/x") == Path("~nobody-of-this-name/x")


def test_the_home_folder_is_found_in_a_training_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = pytest.importorskip("mtinet_ros.training.run")
    monkeypatch.setenv("HOME", "/home/robot")
    seen: list[Any] = []
    monkeypatch.setattr(run, "train", lambda config, _: seen.append(config) or Path("x"))
    (tmp_path / "c.yaml").write_text(
        "network: {tasks: {depth: 1}, initial: ~/w.safetensors}\n"
        "data: {root: ~/rooms}\nlosses: {terms: {depth: {l1: 1.0}}}\nrun: {watch: [~/a.jpg]}\n"
    )
    assert main(["train", str(tmp_path / "c.yaml"), "--set", "run.output=~/train"]) == 0
    assert seen[0].network.initial == "/home/robot/w.safetensors"
    assert seen[0].data.root == "/home/robot/rooms"
    assert seen[0].run.output == "/home/robot/train"
    assert seen[0].run.watch == ("/home/robot/a.jpg",)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("notes.onnx", "is there and was not written by mtinet"),
        ("weights.safetensors", "is there, and weights are not replaced"),
    ],
)
def test_an_export_replaces_models_of_its_own_only(
    tmp_path: Path, name: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_bytes(b"days of work")
    words = [str(tmp_path / name)] if name.endswith("rs") else ["--untrained"]
    assert main(["export", *words, "-o", str(tmp_path / name)]) == 1
    assert f"{name} {reason}" in capsys.readouterr().err
    assert (tmp_path / name).read_bytes() == b"days of work"


def test_figures_are_not_written_over_something_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("tqdm")
    model = write_tiny_model(tmp_path / "m.onnx")
    before = model.read_bytes()
    (tmp_path / "settings.json").write_text('{"frames": 3}')
    (tmp_path / "file").write_text("")
    for target in (model, tmp_path / "settings.json", tmp_path, tmp_path / "file" / "x.json"):
        words = ["evaluate", str(model), "--data", str(tmp_path / "no rooms")]
        assert main([*words, "--json", str(target)]) == 1
        said = capsys.readouterr().err
        assert "no rooms" not in said  # the target is looked at first
        assert str(target.parent) in said
    assert model.read_bytes() == before

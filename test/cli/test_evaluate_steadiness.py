# SPDX-License-Identifier: Apache-2.0
"""`mtinet evaluate --steadiness`: recordings in, figures out, without any truth."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("tqdm")

from support.tiny_model import HEIGHT, WIDTH, tiny_card, write_tiny_model

from mtinet_ros.cli.main import main

Said = pytest.CaptureFixture[str]
COUNT = 6


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    card = replace(tiny_card(), untrained=False)
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.onnx", card)


@pytest.fixture(scope="module")
def pan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of pictures of a camera that moves four pixels a time along a wallpaper."""
    folder = tmp_path_factory.mktemp("pan")
    noise = np.random.default_rng(0).normal(0, 1, (4 * HEIGHT, 4 * WIDTH + 400, 3))
    wall = np.clip(128 + 500 * cv2.GaussianBlur(noise, (0, 0), 4.0), 0, 255).astype(np.uint8)
    for number in range(COUNT):
        left = 4 * number
        cv2.imwrite(str(folder / f"img{number}.png"), wall[:, left : left + 4 * WIDTH])
    return folder


def evaluate(*words: object) -> int:
    return main(["evaluate", *(str(word) for word in words), "--backend=onnxruntime"])


def test_a_folder_of_pictures_is_measured_and_the_figures_are_written(
    model: Path, pan: Path, tmp_path: Path, capsys: Said
) -> None:
    target = tmp_path / "steadiness.json"
    assert evaluate(model, "--steadiness", pan, "--noise=4", "--json", target) == 0
    said = capsys.readouterr().out
    assert f"{COUNT} pictures, 0 cuts" in said
    assert "labels that change along the flow" in said
    assert "most flicker of tiny.onnx:" in said
    record = json.loads(target.read_text())
    assert record["recording"] == pan.name
    run = record["steadiness"]["tiny.onnx"]
    assert run["frames"] == COUNT
    assert len(run["flicker_by_frame"]) == COUNT - 1
    figures = run["figures"]
    # The model goes by the picture, which moves by a pixel of the network's.
    assert 0 <= figures["flicker_beyond_edges"] <= figures["flicker"] < 0.2
    assert figures["followed"] > 0.6
    assert figures["noise_flicker"] > 0
    assert {"depth_jitter", "depth_scale_jitter", "noise_depth_jitter"} <= set(figures)
    # Its own file is replaced, another is not.
    assert evaluate(model, "--steadiness", pan, "--frames=3", "--json", target) == 0
    assert json.loads(target.read_text())["steadiness"]["tiny.onnx"]["frames"] == 3
    target.write_text('{"mine": 1}')
    assert evaluate(model, "--steadiness", pan, "--json", target) == 1
    assert str(target) in capsys.readouterr().err


def test_two_models_stand_side_by_side_on_the_same_pictures(
    model: Path, pan: Path, tmp_path: Path, capsys: Said
) -> None:
    depth_only = replace(tiny_card(), tasks=("depth",), class_names=(), palette=())
    other = write_tiny_model(tmp_path / "other.onnx", depth_only, outputs=("depth",))
    assert evaluate("--compare", model, other, "--steadiness", pan) == 0
    lines = capsys.readouterr().out.splitlines()
    header = next(line for line in lines if line.startswith("Steadiness"))
    assert header.split()[1:] == ["tiny.onnx", "other.onnx"]
    flicker = next(line for line in lines if "labels that change along" in line)
    assert flicker.split()[-1] == "-"
    jitter = next(line for line in lines if "jitter of depth" in line)
    assert jitter.split()[-1].endswith("%")


def test_a_part_of_a_recording_is_measured(model: Path, pan: Path, capsys: Said) -> None:
    """Pictures of a folder are a second apart."""
    assert evaluate(model, "--steadiness", pan, "--start=1", "--end=4") == 0
    assert "3 pictures, 0 cuts" in capsys.readouterr().out


def test_a_picture_that_cannot_be_read_is_told(
    model: Path, pan: Path, tmp_path: Path, capsys: Said
) -> None:
    folder = tmp_path / "damaged"
    folder.mkdir()
    for file in pan.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "img2.png").write_bytes(b"no picture")
    assert evaluate(model, "--steadiness", folder) == 0
    said = capsys.readouterr().out
    assert f"{COUNT - 1} pictures" in said
    assert "img2" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--data=x",), "--data x does not go with --steadiness"),
        (("--html=x.html",), "--html x.html does not go with --steadiness"),
        (("--weights=ema",), "--weights ema goes with a checkpoint"),
        (("--noise=-1",), "--noise is -1; 0 or more is allowed"),
        (("--start=50",), "s long, lies between --start 50"),
        (("--frames=1",), "has no two pictures after each other that show the same (1 pictures"),
        (("--topic=/a",), "--topic is not for "),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(
    model: Path, pan: Path, words: tuple[str, ...], said: str, capsys: Said
) -> None:
    assert evaluate(model, "--steadiness", pan, *words) == 1
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error


def test_checkpoints_and_missing_recordings_are_refused(
    model: Path, pan: Path, tmp_path: Path, capsys: Said
) -> None:
    assert evaluate(tmp_path / "x.safetensors", "--steadiness", pan) == 1
    assert "x.safetensors is no exported model" in capsys.readouterr().err
    assert evaluate(model, "--steadiness", tmp_path / "nothing") == 1
    assert "nothing" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert evaluate(model, "--steadiness", tmp_path / "empty") == 1
    assert "empty" in capsys.readouterr().err

# SPDX-License-Identifier: Apache-2.0
"""`mtinet export --judge`: labelled pictures that cannot judge are refused before the work."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

pytest.importorskip("tqdm")
pytest.importorskip("torchmetrics")
pytest.importorskip("torch")

from support.tiny_model import HEIGHT, WIDTH, random_images, tiny_card, write_tiny_model

from mtinet_ros.cli.judge import open_judge
from mtinet_ros.cli.main import main
from mtinet_ros.datasets.class_sets import CLASS_SETS
from mtinet_ros.datasets.nyud_layout import Meaning
from mtinet_ros.errors import ConfigurationError, DataError
from mtinet_ros.model_card import ModelCard

FRAMES = 5


@pytest.fixture
def card() -> ModelCard:
    rooms = CLASS_SETS["rooms"]
    return replace(tiny_card(), class_names=rooms.names, palette=rooms.palette, untrained=False)


@pytest.fixture
def real_rooms(tmp_path: Path) -> Path:
    """The layout NYUD_MT, desks everywhere; validation frames only."""
    root = tmp_path / "real"
    for folder in ("images", "segmentation", "gt_sets"):
        (root / folder).mkdir(parents=True)
    (root / "mtinet_ros.json").write_text(
        Meaning("nyu40", "camera_optical", 0.0, None, None).to_json()
    )
    names = [f"{number:04}" for number in range(FRAMES)]
    for name, image in zip(names, random_images(FRAMES), strict=True):
        cv2.imwrite(str(root / "images" / f"{name}.jpg"), image)
        labels = np.full((HEIGHT, WIDTH), 14, np.uint8)
        cv2.imwrite(str(root / "segmentation" / f"{name}.png"), labels)
    (root / "gt_sets" / "val.txt").write_text("\n".join(names))
    return root


def test_a_judge_measures_a_graph_on_labelled_pictures(
    card: ModelCard, real_rooms: Path, tmp_path: Path
) -> None:
    model = onnx.load(write_tiny_model(tmp_path / "tiny.onnx", card))
    notes: list[str] = []
    judge = open_judge(real_rooms, card, frames=2, report=notes.append)
    assert judge.pictures == "real (nyud), val, 2 frames"
    assert any("merged" in note for note in notes)
    figures = judge.figures(model)
    assert set(figures) == {"semseg_miou"}
    assert 0.0 <= figures["semseg_miou"] <= 1.0


def test_what_cannot_judge_is_refused(card: ModelCard, real_rooms: Path, tmp_path: Path) -> None:
    for error, fragment, root, options in (
        (DataError, "there is no folder", tmp_path / "gone", {}),
        (DataError, "the list of test frames", real_rooms, {"split": "test"}),
        (ConfigurationError, "--frames is -1; 0", real_rooms, {"frames": -1}),
    ):
        with pytest.raises(error, match=fragment):
            open_judge(root, card, **options)
    other = replace(card, class_names=card.class_names[:5], palette=card.palette[:5])
    with pytest.raises(ConfigurationError, match=r"the model tells 5 classes"):
        open_judge(real_rooms, other)
    with pytest.raises(
        ConfigurationError, match=r"predicts depth and --judge .* nothing to judge"
    ):
        open_judge(real_rooms, replace(card, tasks=("depth",), class_names=(), palette=()))


@pytest.mark.parametrize(
    ("options", "fragment"),
    [
        (["--judge", "data"], "--judge data has nothing to judge in --precision fp32"),
        (["--frames", "5"], "--frames 5 goes with --judge"),
        (["--split", "val", "--precision", "fp16"], "--split val goes with --judge"),
        (["--precision", "fp16", "--judge", "gone"], "there is no folder gone"),
    ],
)
def test_options_that_judge_nothing_are_refused(
    options: list[str], fragment: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "model.onnx"
    size = ["--untrained", "--input-size", "64x96"]
    assert main(["export", *size, *options, "-o", str(output)]) == 1
    assert fragment in capsys.readouterr().err
    assert not output.exists()

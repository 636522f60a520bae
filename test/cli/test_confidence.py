# SPDX-License-Identifier: Apache-2.0
"""`mtinet confidence`: fitted on the frames that are named, and written into graph and card."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

pytest.importorskip("tqdm")
pytest.importorskip("torchmetrics")

from support.tiny_model import random_images, tiny_card, write_tiny_model
from support.tiny_run import write_rooms

from mtinet_ros.cli.main import main
from mtinet_ros.datasets.class_sets import CLASS_SETS
from mtinet_ros.export.onnx_graph import attach_card
from mtinet_ros.inference import load_backend
from mtinet_ros.model_card import read_model_card

ROOMS = CLASS_SETS["rooms"]
Said = pytest.CaptureFixture[str]


@pytest.fixture
def rooms(tmp_path: Path) -> Path:
    root = tmp_path / "rooms"
    root.mkdir()
    write_rooms(root)
    return root


def write_model(path: Path) -> Path:
    card = replace(tiny_card(), class_names=ROOMS.names, palette=ROOMS.palette, untrained=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("support.tiny_model.CLASSES", len(ROOMS.names))
        return write_tiny_model(path, card)


def test_a_model_that_is_too_sure_gets_a_temperature(
    rooms: Path, tmp_path: Path, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tiny model is right by chance alone."""
    monkeypatch.setattr("mtinet_ros.training.held_out_logits.MOST_PIXELS", 2000)
    model, output = write_model(tmp_path / "m.onnx"), tmp_path / "new.onnx"
    assert main(["confidence", str(model), "--data", str(rooms), "-o", str(output)]) == 0
    record = read_model_card(output).confidence
    assert record["data"] == "rooms (rooms), val"
    assert record["frames"] == 3
    assert record["nll_after"] < record["nll_before"]
    assert (
        f"temperature {record['temperature']:.4g}, fitted on 3 frames" in capsys.readouterr().out
    )
    assert not read_model_card(model).has_confidence
    image = random_images(1)
    backends = [load_backend(path, "onnxruntime") for path in (model, output)]
    plain, complete = (backend.infer(image, backend.output_names) for backend in backends)
    assert set(complete) == {*plain, "confidence"}
    for name, array in plain.items():
        np.testing.assert_array_equal(array, complete[name])
    # The tiny model has no fingerprint: whether it is the graph of its card nobody can tell.
    assert not read_model_card(output).is_verifiable
    # In place, and once more: the same temperature, since that of before plays no part.
    assert main(["confidence", str(output), "--data", str(rooms)]) == 0
    assert read_model_card(output).confidence == record
    assert main(["inspect", str(output)]) == 0
    assert "calibrated on rooms (rooms), val" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--frames=-1"], "--frames is -1; 0 (all) or more"),
        (["--split=test"], "rooms/test holds no complete scene yet"),
        (["--kind=pascal"], "name the folder PASCAL_MT"),
    ],
)
def test_what_cannot_be_calibrated_by_is_said_in_a_sentence(
    words: list[str], said: str, rooms: Path, tmp_path: Path, capsys: Said
) -> None:
    model = write_model(tmp_path / "m.onnx")
    before = model.read_bytes()
    assert main(["confidence", str(model), "--data", str(rooms), *words]) == 1
    error = capsys.readouterr().err
    assert error.startswith("mtinet confidence: ")
    assert said in error
    assert model.read_bytes() == before


def test_a_model_without_labels_is_refused(rooms: Path, tmp_path: Path, capsys: Said) -> None:
    card = replace(tiny_card(), tasks=("depth",), class_names=(), palette=())
    model = write_tiny_model(tmp_path / "m.onnx", card, outputs=("depth",))
    assert main(["confidence", str(model), "--data", str(rooms)]) == 1
    assert "name a model with the task semseg" in capsys.readouterr().err


def test_models_that_cannot_be_run_or_trusted_here_are_named_before_the_work(
    rooms: Path, tmp_path: Path, capsys: Said
) -> None:
    model = write_tiny_model(tmp_path / "bf.onnx", replace(tiny_card(), precision="bf16"))
    assert main(["confidence", str(model), "--data", str(rooms)]) == 1
    assert "bf.onnx is in bf16, which ONNX Runtime does not compute" in capsys.readouterr().err
    changed = onnx.load(write_model(tmp_path / "m.onnx"))
    attach_card(changed, read_model_card(tmp_path / "m.onnx"))
    onnx.save(changed, tmp_path / "m.onnx")
    output = tmp_path / "new.onnx"
    assert (
        main(["confidence", str(tmp_path / "m.onnx"), "--data", str(rooms), "-o", str(output)])
        == 0
    )
    assert read_model_card(output).is_verifiable
    assert not read_model_card(output).modified
    changed.graph.node[0].name += "_changed"
    onnx.save(changed, tmp_path / "m.onnx")
    assert main(["confidence", str(tmp_path / "m.onnx"), "--data", str(rooms)]) == 1
    assert "m.onnx is another one than was exported" in capsys.readouterr().err

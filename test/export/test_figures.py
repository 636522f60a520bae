# SPDX-License-Identifier: Apache-2.0
"""Figures that a model carries: into its card, and onto the page of inspect."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from support.tiny_model import tiny_card, write_tiny_model

from mtinet_ros.cli.inspect import _origin
from mtinet_ros.cli.main import main
from mtinet_ros.errors import ModelError
from mtinet_ros.export.figures import record_figures
from mtinet_ros.model_card import METADATA_KEY, read_model_card
from mtinet_ros.onnx_file import read_onnx_file


def test_figures_are_kept_in_the_card_and_the_graph_stays(tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "tiny.onnx")
    before = read_onnx_file(model)
    metrics = {"semseg_miou": 0.56123456, "depth_rmse": 0.6, "semseg_accuracy": 0.7}
    record_figures(model, "real rooms", "test", 327, metrics, "fp32")
    record_figures(model, "rendered rooms", "test", 9, {"normals_mean": 13.66}, "fp32")
    record_figures(model, "rendered rooms", "val", 10, {"normals_mean": 14}, "bf16")
    card = read_model_card(model)
    assert card.training["figures"] == {
        "real rooms": {
            "split": "test", "frames": 327, "precision": "fp32",
            "semseg_miou": 0.5612, "depth_rmse": 0.6,
        },
        "rendered rooms": {
            "split": "val", "frames": 10, "precision": "bf16", "normals_mean": 14.0,
        },
    }  # fmt: skip
    assert read_onnx_file(model).fingerprint == before.fingerprint
    assert not card.modified
    assert card.name == tiny_card().name


def test_a_graph_that_was_changed_gets_no_figures(tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "tiny.onnx")
    graph = onnx.load(model)
    onnx.helper.set_model_props(
        graph,
        {METADATA_KEY: replace(tiny_card(), fingerprint="of another graph").to_json()},
    )
    onnx.save(graph, model)
    with pytest.raises(ModelError, match=r"tiny\.onnx is another one than was exported"):
        record_figures(model, "rooms", "test", 1, {}, "fp32")


def test_inspect_says_which_data_made_the_model_and_what_was_measured() -> None:
    training = {
        "data": {
            "real": {"kind": "nyud", "frames": 702, "share": 0.6, "truth": ["semseg"]},
            "rendered": {"kind": "rooms", "frames": 9411, "share": 0.4, "truth": ["depth"]},
        },
        "figures": {
            "real rooms": {"frames": 327, "semseg_miou": 0.5612, "depth_rmse": 0.604},
            "rendered rooms": {"frames": 1047, "normals_mean": 13.66},
        },
    }
    lines = _origin(training)
    assert (
        lines["trained on"] == "real (nyud, 702 frames, 60%), rendered (rooms, 9411 frames, 40%)"
    )
    first, second = lines["measured on"].split("\n")
    assert first == "real rooms (327 frames): mIoU 0.561, RMSE 0.60 m"
    assert second.strip() == "rendered rooms (1047 frames): normals 13.7°"


@pytest.mark.parametrize(
    "training",
    [{}, {"data": 3, "figures": "good"}, {"data": {"a": 1}, "figures": {"a": 1}},
     {"data": {"a": {"share": "half"}}, "figures": {}}],
)  # fmt: skip
def test_a_card_that_says_it_in_another_way_is_left_alone(training: dict[str, object]) -> None:
    assert _origin(training) == {}


def test_a_model_without_such_entries_is_inspected(tmp_path, capsys) -> None:
    model = write_tiny_model(tmp_path / "tiny.onnx")
    assert main(["inspect", str(model)]) == 0
    page = capsys.readouterr().out
    assert tiny_card().name in page
    assert "trained on" not in page

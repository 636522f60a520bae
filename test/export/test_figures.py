# SPDX-License-Identifier: Apache-2.0
"""Figures that a model carries: from a report into the card, and onto the page of inspect."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.tiny_model import tiny_card, write_tiny_model

from mtinet_ros.cli.inspect import _origin
from mtinet_ros.cli.main import main
from mtinet_ros.errors import ConfigurationError
from mtinet_ros.export.figures import read_figures


def test_the_figures_worth_a_line_are_taken_from_a_report(tmp_path: Path) -> None:
    report = {
        "frames": 327,
        "metrics": {"semseg_miou": 0.56123456, "depth_rmse": 0.6, "semseg_accuracy": 0.7},
    }
    (tmp_path / "a.json").write_text(json.dumps(report))
    assert read_figures(tmp_path / "a.json") == {
        "frames": 327, "semseg_miou": 0.5612, "depth_rmse": 0.6,
    }  # fmt: skip


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"frames": 3}', '{"frames": 3, "metrics": {"depth_rmse": "much"}}']
)
def test_what_is_no_report_is_called_so(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ConfigurationError, match=r"a\.json is no report of `mtinet evaluate"):
        read_figures(tmp_path / "a.json")
    with pytest.raises(ConfigurationError, match=r"b\.json is no report"):
        read_figures(tmp_path / "b.json")


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

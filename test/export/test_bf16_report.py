# SPDX-License-Identifier: Apache-2.0
"""What bf16 costs a model is measured, kept in its card, and decides what a robot's CPU does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from support.tiny_model import random_images, tiny_card, write_tiny_model

from mtinet_ros.cli.main import main
from mtinet_ros.errors import BackendUnavailableError, ConfigurationError, ModelError
from mtinet_ros.export import bf16_report
from mtinet_ros.export.bf16_report import add_report, report_on_export
from mtinet_ros.inference import CpuSettings
from mtinet_ros.inference.cpu_precision import choose_cpu_precision, cpu_capabilities
from mtinet_ros.model_card import METADATA_KEY, read_model_card
from mtinet_ros.onnx_file import read_onnx_file

HERE_IS_BF16 = "BF16" in cpu_capabilities()
here_is_bf16 = pytest.mark.skipif(not HERE_IS_BF16, reason="this CPU does not multiply bf16")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "tiny.onnx")


@here_is_bf16
def test_a_report_decides_and_the_graph_stays(model: Path) -> None:
    before = read_onnx_file(model)
    assert (
        choose_cpu_precision(read_model_card(model), CpuSettings(), ["BF16"]).arithmetic == "f32"
    )
    report = add_report(model, random_images(3))
    card = read_model_card(model)
    assert card.bf16_report == report
    assert report["measured_in"].startswith("OpenVINO ")
    assert report["pictures"] == 3
    assert 0.9 < report["label_agreement"] <= 1.0
    assert report["depth_abs_rel"] > 0.0  # bf16 it was
    passes = not report["exceeded"]
    chosen = choose_cpu_precision(card, CpuSettings(), ["BF16"])
    assert chosen.arithmetic == ("bf16" if passes else "f32")
    assert read_onnx_file(model).fingerprint == before.fingerprint
    assert not card.modified


def test_a_folder_that_cannot_be_written_to_is_told_before_the_work(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mtinet_ros.output_files.os.access", lambda *_: False)
    monkeypatch.setattr("mtinet_ros.export.bf16_report.measure_file", None)
    with pytest.raises(ConfigurationError, match=r"cannot be written to; change its permissions"):
        add_report(model, random_images(1))


@here_is_bf16
def test_the_command_tells_what_was_found(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["bf16", str(model)])
    told = capsys.readouterr().out
    exceeded = (read_model_card(model).bf16_report or {})["exceeded"]
    assert status == (1 if exceeded else 0)
    assert "label_agreement" in told
    assert ("stays with f32" if exceeded else "takes bf16") in told


def test_beyond_the_limits_is_what_the_report_says(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bf16_report, "cpu_capabilities", lambda: ("FP32", "BF16"))
    outputs = [
        {"labels": np.zeros((1, 4, 4), np.uint8)},
        {"labels": np.eye(4, dtype=np.uint8)[np.newaxis]},
    ]
    monkeypatch.setattr(bf16_report, "_run", lambda backend, images: outputs.pop(0))
    report = add_report(model, random_images(1))
    assert report["exceeded"].startswith("label_agreement is 0.75, the limit 0.97; miou is ")
    card = read_model_card(model)
    assert choose_cpu_precision(card, CpuSettings(), ["BF16"]).arithmetic == "f32"


def test_a_cpu_without_bf16_measures_nothing_it_cannot_run(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bf16_report, "cpu_capabilities", lambda: ("FP32",))
    with pytest.raises(BackendUnavailableError, match="this CPU does not multiply bf16; measure"):
        add_report(model, random_images(1))
    assert read_model_card(model).bf16_report is None


def test_at_export_a_cpu_without_bf16_simulates_and_says_so(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bf16_report, "cpu_capabilities", lambda: ("FP32",))
    graph, images = onnx.load(model), random_images(2)
    for index, node in enumerate(graph.graph.node):
        node.name = f"/network/part/{index}"
    report = report_on_export(graph, tiny_card("fp16"), graph, images)
    assert report is not None
    assert report["measured_in"].startswith("a simulation")
    assert report["depth_abs_rel"] > 0.0
    assert report_on_export(graph, tiny_card("int8"), graph, images) is None
    assert report_on_export(graph, tiny_card("bf16"), graph, images) is None


def test_a_changed_graph_and_one_in_bf16_get_no_report(tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "tiny.onnx")
    graph = onnx.load(model)
    for card, why in (
        (replace(tiny_card(), fingerprint="of another graph"), "another one than was exported"),
        (tiny_card("bf16"), "is in bf16 itself"),
    ):
        onnx.helper.set_model_props(graph, {METADATA_KEY: card.to_json()})
        onnx.save(graph, model)
        with pytest.raises(ModelError, match=why):
            add_report(model, random_images(1))

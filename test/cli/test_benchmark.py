# SPDX-License-Identifier: Apache-2.0
"""`mtinet benchmark`: every stage has its row, and what was not measured says so."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest
from support.gpu_double import gpu_double
from support.tiny_model import write_tiny_model

from mtinet_ros.benchmark.stages import STAGES, Request, measure
from mtinet_ros.cli.main import main


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "m.onnx")


def test_one_backend_as_table_json_and_plot(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "results"
    arguments = [str(model), "--backend", "onnxruntime", "--frames", "3", "--batch", "2"]
    assert main(["benchmark", *arguments, "-o", str(folder)]) == 0
    rows = {
        line.split("  ")[0].strip(): line for line in capsys.readouterr().out.splitlines() if line
    }
    for stage in ("preprocess", "compute", "postprocess"):
        assert rows[stage].count(" / ") == 2
    for stage in ("h2d", "d2h", "GPU MB in use"):
        assert "not measured" in rows[stage]
    assert any("--backend tensorrt" in line for line in rows.values())
    record = json.loads((folder / "benchmark.json").read_text())
    (result,) = record["results"]
    assert result["batch"] == 2
    times = result["stages"]["compute"]
    assert 0 < times["p50"] <= times["p90"] <= times["p99"]
    assert result["images_per_second"] > 0
    assert result["peak_rss_mb"] > 10
    assert record["machine"]["cores"] >= 1
    assert cv2.imread(str(folder / "benchmark.png")).shape[1] == 960


def test_a_picture_of_somebody_else_is_not_overwritten(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["benchmark", str(model), "--backend", "onnxruntime", "--frames", "1", "-o"]
    (tmp_path / "benchmark.png").write_bytes(b"theirs")
    assert main([*words, str(tmp_path)]) == 1
    assert "benchmark.png" in capsys.readouterr().err
    assert (tmp_path / "benchmark.png").read_bytes() == b"theirs"
    (tmp_path / "benchmark.png").unlink()
    assert [main([*words, str(tmp_path)]) for _ in range(2)] == [0, 0]


@pytest.mark.usefixtures("prompt_discovery")  # this makes the process' first participant
def test_a_gpu_fills_every_row(model: Path, tmp_path: Path) -> None:
    """On the double of a GPU, in this process."""
    with gpu_double(tmp_path / "engines"):
        result = measure(
            Request(str(model), "tensorrt", 2, 2, (48, 64), 0, str(tmp_path / "engines"))
        )
    assert (
        {"preprocess", "h2d", "compute", "d2h", "postprocess"}
        <= set(result["stages"])
        <= set(STAGES)
    )
    assert result["device_memory_mb"] > 0
    assert result["device"] == "cuda:0 NVIDIA GeForce RTX 4070"


def test_decode_and_publish_are_timed_with_real_messages(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("rclpy")
    assert main(["benchmark", str(model), "--backend", "onnxruntime", "--frames", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for stage in ("decode", "publish"):
        (row,) = [line for line in lines if line.startswith(stage)]
        assert row.count(" / ") == 2


def test_a_backend_that_cannot_run_leaves_its_column_empty_with_the_reason(
    model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert main(["benchmark", str(model), "--compare", "--frames", "1"]) == 0
    out = capsys.readouterr().out
    header = next(line for line in out.splitlines() if "onnxruntime" in line)
    assert header.split() == ["tensorrt", "tensorrt_rtx", "openvino", "onnxruntime"]
    assert "not measured: tensorrt: " in out


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--batch", "0"], "--batch is 0; at least 1"),
        (["--batch", "9"], "--batch is 9; tiny takes 1 to 4"),
        (["--camera-size", "big"], "--camera-size is 'big'; give height x width"),
    ],
)
def test_a_bad_option_is_one_sentence(
    model: Path, capsys: pytest.CaptureFixture[str], option: list[str], message: str
) -> None:
    assert main(["benchmark", str(model), *option]) == 1
    assert message in capsys.readouterr().err

# SPDX-License-Identifier: Apache-2.0
"""The real TensorRT-RTX compiles what `mtinet export` writes, in every precision and size."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from mtinet_ros.cli.main import main
from mtinet_ros.model_card import read_model_card

pytest.importorskip("tensorrt_rtx")
pytest.importorskip("torch")
pytestmark = pytest.mark.slow

# Small images: the layers, and with them what the parser and the builder meet, are the same.
HEIGHT, WIDTH = 96, 128
BUNDLED = sorted((Path(__file__).parents[2] / "models").glob("*.onnx"))

# backbone, precision, least layers of the parsed network, weights in MB at least.
MODELS = [
    ("hrnet_w18", "fp32", 800, 45),
    ("hrnet_w18", "fp16", 800, 22),
    ("hrnet_w18", "int8", 800, 12),
    ("hrnet_w48", "fp32", 900, 450),
]


def export(path: Path, backbone: str, precision: str) -> Path:
    options = ["--untrained", "--backbone", backbone, "--input-size", f"{HEIGHT}x{WIDTH}"]
    if precision != "fp32":
        # Random weights mean nothing, so nothing is lost by their quantisation.
        pictures = Path(__file__).parents[2] / "demo" / "pictures"
        options += ["--precision", precision, "--force", "--calibration", str(pictures)]
    assert main(["export", *options, "--max-batch", "2", "-o", str(path)]) == 0
    return path


def build(model: Path, cache: Path, *options: str) -> dict[str, object]:
    assert main(["build", str(model), "--engine-cache-dir", str(cache), *options]) == 0
    (sidecar,) = cache.glob("*.json")
    (engine,) = cache.glob("*.engine")
    record: dict[str, object] = json.loads(sidecar.read_text())
    assert engine.stat().st_size == record["engine_bytes"]
    return record


def check(
    record: dict, batch: int, size: tuple[int, int], layers: int, least_mb: float, *more: str
) -> None:
    network = record["network"]
    assert network["inputs"] == {"image": ["uint8", [batch, *size, 3]]}
    assert network["outputs"] == {
        "labels": ["uint8", [batch, *size]],
        "depth": ["float32", [batch, *size]],
        "normals": ["float32", [batch, *size, 3]],
        **{name: ["uint8", [batch, *size]] for name in more},
    }
    assert network["layers"] >= layers
    assert record["engine_bytes"] >= least_mb * 1e6
    assert record["strongly_typed"] is True


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """The model of a backbone in a precision; each exported once."""

    @functools.cache
    def exported(backbone: str, precision: str) -> Path:
        return export(tmp_path_factory.mktemp("export") / "model.onnx", backbone, precision)

    return exported


@pytest.mark.parametrize(("backbone", "precision", "layers", "least_mb"), MODELS)
def test_mtinet_compiles(
    exported: Callable[[str, str], Path],
    tmp_path: Path,
    backbone: str,
    precision: str,
    layers: int,
    least_mb: float,
) -> None:
    model = exported(backbone, precision)
    record = build(model, tmp_path / "cache")
    check(record, -1, (HEIGHT, WIDTH), layers, least_mb)
    assert record["model_card"]["precision"] == precision
    assert record["identity"]["batch_profile"] == [1, 1, 2]


def test_a_fixed_batch_compiles(exported: Callable[[str, str], Path], tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    proto = onnx.load(exported("hrnet_w18", "fp32"))
    for value in (*proto.graph.input, *proto.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 2
    onnx.save(proto, model)
    check(build(model, tmp_path / "cache"), 2, (HEIGHT, WIDTH), 600, 45)


@pytest.mark.parametrize("model", BUNDLED, ids=lambda path: path.name)
def test_the_bundled_model_compiles(tmp_path: Path, model: Path) -> None:
    card = read_model_card(model)
    record = build(model, tmp_path / "cache")
    check(record, -1, card.input_size, 100, 1, "confidence")
    assert record["model_card"]["name"] == card.name

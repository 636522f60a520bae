# SPDX-License-Identifier: Apache-2.0
"""A graph with a confidence: that of the label at every pixel, and all else as it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from support.tiny_model import CLASSES, random_images, tiny_card, write_tiny_model

from mtinet_ros.errors import ExportError, ModelError
from mtinet_ros.export.confidence import (
    check_untouched,
    has_confidence,
    with_confidence,
    with_logits,
    without_confidence,
    without_its_figures,
)
from mtinet_ros.export.deploy_network import DeployNetwork
from mtinet_ros.export.onnx_graph import attach_card, write_model
from mtinet_ros.export.synthetic_images import synthetic_images
from mtinet_ros.export.verification import run_onnxruntime, run_pytorch
from mtinet_ros.inference import load_backend
from mtinet_ros.model_card import ModelCard, read_model_card
from mtinet_ros.model_contract import OUTPUTS


def tiny(folder: Path, precision: str = "fp32", **changes: object) -> onnx.ModelProto:
    return onnx.load(write_tiny_model(folder / "tiny.onnx", tiny_card(precision), **changes))


@pytest.mark.parametrize(
    ("precision", "opset", "temperature"),
    [("fp32", 17, 1.0), ("fp32", 22, 0.3), ("fp16", 17, 1.4), ("int8", 17, 5.0)],
)
def test_the_confidence_is_what_pytorch_says_of_the_published_label(
    precision, opset, temperature, tmp_path
):
    model = tiny(tmp_path, precision)
    if opset != 17:
        model = onnx.version_converter.convert_version(model, opset)
    complete = with_confidence(model, temperature)
    onnx.checker.check_model(complete, full_check=True)
    images = random_images(3)
    found = run_onnxruntime(with_logits(complete), images)
    logits = torch.from_numpy(found["logits"]).double()
    assert logits.shape[1] == CLASSES
    expected = (logits / temperature).softmax(1)
    of_label = expected.gather(1, torch.from_numpy(found["labels"].astype(np.int64))[:, None])
    assert found["confidence"].dtype == OUTPUTS["confidence"].dtype
    difference = np.abs(found["confidence"] - 255 * of_label[:, 0].numpy())
    assert difference.max() < 0.501  # rounded to whole numbers
    assert len(np.unique(found["confidence"])) > 30
    check_untouched(model, complete, images)


def test_a_traced_network_has_the_confidence_of_its_module(untrained, graph):
    """The graph's arithmetic and PyTorch's softmax were written apart."""
    network, card = untrained
    images = synthetic_images(1, card.input_size)
    expected = run_pytorch(DeployNetwork(network, confidence=True, temperature=1.7), images)
    found = run_onnxruntime(with_confidence(graph, 1.7), images)
    difference = np.abs(found["confidence"].astype(int) - expected["confidence"])
    assert difference.max() <= 1
    assert (difference == 0).mean() > 0.99


def test_a_confidence_takes_the_place_of_a_former_one(tmp_path):
    model = tiny(tmp_path)
    once = with_confidence(model, 2.0)
    again = with_confidence(with_confidence(model, 1.0), 2.0)
    assert again.SerializeToString() == once.SerializeToString()
    assert has_confidence(once)
    assert not has_confidence(model)
    assert [n.op_type for n in without_confidence(once).graph.node] == [
        n.op_type for n in model.graph.node
    ]


def test_a_graph_without_labels_has_no_confidence(tmp_path):
    with pytest.raises(ExportError, match="no labels that are an ArgMax"):
        with_confidence(tiny(tmp_path, outputs=("depth",)), 1.0)


def test_another_output_that_changes_is_found(tmp_path):
    model = tiny(tmp_path)
    changed = with_confidence(model, 1.0)
    node = next(n for n in changed.graph.node if n.op_type == "Exp" and "depth" not in n.name)
    node.op_type = "Identity"
    with pytest.raises(ExportError, match="the output depth is another one"):
        check_untouched(model, changed, random_images(1))


def test_figures_of_a_former_confidence_are_none_of_the_new_ones():
    report = {"label_agreement": 0.98, "confidence_mean": 0.05, "pictures": 4}
    report["exceeded"] = "confidence_mean is 0.05, the limit 0.03"
    accuracy = {"reference": "the same graph in float32", "confidence_mean": 0.01, "bf16": report}
    assert without_its_figures(accuracy) == {
        "reference": "the same graph in float32",
        "bf16": {"label_agreement": 0.98, "pictures": 4, "exceeded": ""},
    }
    pytorch = {"reference": "PyTorch, float32", "label_agreement": 1.0, "confidence_max": 1.0}
    assert set(without_its_figures(pytorch)) == {"reference", "label_agreement"}
    assert accuracy["bf16"] == report
    forced = {"forced_beyond": f"miou is 0.8, the limit 0.9; {report['exceeded']}"}
    assert without_its_figures(forced) == {"forced_beyond": "miou is 0.8, the limit 0.9"}
    assert without_its_figures({"forced_beyond": report["exceeded"]}) == {}


def test_a_model_is_taken_with_the_confidence_its_card_tells_of_and_not_without(tmp_path):
    path = tmp_path / "model.onnx"
    record = {"temperature": 1.4, "ece_before": 0.07}
    card = ModelCard(**{**vars(tiny_card()), "confidence": record})
    model = with_confidence(tiny(tmp_path), 1.4)
    attach_card(model, card)
    write_model(model, path)
    assert read_model_card(path).confidence == record
    backend = load_backend(path, "onnxruntime")
    assert "confidence" in backend.output_names
    backend.close()
    model.graph.node[0].name = "changed by another tool"
    write_model(model, path)
    assert read_model_card(path).confidence == {"temperature": 1.4}
    model = without_confidence(model)
    attach_card(model, card)
    write_model(model, path)
    with pytest.raises(ModelError, match="tells of the output confidence; its graph has none"):
        load_backend(path, "onnxruntime")

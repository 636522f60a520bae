# SPDX-License-Identifier: Apache-2.0
"""What OpenVINO's loader changes of a graph must not change an answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mtinet_ros.inference.openvino_graph import unstable_argmax

openvino = pytest.importorskip("openvino")


def argmax_graph(channels: int, count: int = 1) -> Any:
    """ArgMax as OpenVINO reads it from ONNX, behind a convolution that decides the layout."""
    from openvino import opset13 as ops

    logits = ops.parameter([1, channels, 33, 47], np.float32, name="logits")
    weights = np.eye(channels, dtype=np.float32)[:, :, None, None]
    same = ops.convolution(logits, ops.constant(weights), [1, 1], [0, 0], [0, 0], [1, 1])
    axis_count = ops.constant(np.array(count, np.int64))
    found = ops.topk(same, axis_count, 1, "max", "index", "i64", stable=True)
    return openvino.Model([found.output(1)], [logits])


@pytest.mark.parametrize("precision", ["f32", "bf16"])
@pytest.mark.parametrize("channels", [2, 13, 40])
def test_the_label_is_a_class_of_the_largest_logit(channels: int, precision: str) -> None:
    graph = argmax_graph(channels)
    unstable_argmax(graph)
    searches = [node for node in graph.get_ops() if node.get_type_name() == "TopK"]
    assert [node.get_attributes()["stable"] for node in searches] == [False]
    compiled = openvino.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": precision})
    logits = np.random.default_rng(channels).integers(-3, 4, (1, channels, 33, 47))
    labels = compiled(logits.astype(np.float32))[0]
    chosen = np.take_along_axis(logits, labels, axis=1)  # with many ties
    np.testing.assert_array_equal(chosen, logits.max(axis=1, keepdims=True))


def test_the_order_of_several_is_left_alone() -> None:
    graph = argmax_graph(5, count=2)
    unstable_argmax(graph)
    searches = [node for node in graph.get_ops() if node.get_type_name() == "TopK"]
    assert [node.get_attributes()["stable"] for node in searches] == [True]

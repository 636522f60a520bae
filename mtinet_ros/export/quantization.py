# SPDX-License-Identifier: Apache-2.0
"""int8 by explicit Q/DQ, as TensorRT wants it, made with ONNX Runtime's quantizer."""

from __future__ import annotations

import copy
import logging
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)

from mtinet_ros.export.graph_parts import INPUT_PART, parts, remove_unused
from mtinet_ros.model_contract import INPUT_NAME

# TensorRT takes symmetric int8 only and no Q/DQ on biases. Only what a convolution reads is
# quantized: sums, activations between and the FPM's softmax stay in float.
_OPTIONS: dict[str, Any] = {
    "ActivationSymmetric": True,
    "WeightSymmetric": True,
    "QuantizeBias": False,
    "OpTypesToExcludeOutputQuantization": ["Conv"],
}


def quantizable_nodes(model: onnx.ModelProto) -> set[str]:
    """Names of the convolutions that may run in int8: all but the first, which reads pixels."""
    part = parts(model.graph)
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    return {
        node.name
        for node in convolutions[1:]
        if part[node.name] != INPUT_PART and not _is_last(model.graph, node)
    }


def quantize(model: onnx.ModelProto, images: NDArray[np.uint8]) -> onnx.ModelProto:
    """A copy in which every quantizable convolution reads int8.

    Args:
        model: The float32 graph.
        images: uint8 [N,H,W,3] for calibration; the range of each tensor over all of them.
    """
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "quantized.onnx"
        logging.getLogger().disabled = True  # it advises preprocessing, which is already done
        try:
            quantize_static(
                copy.deepcopy(model),
                target,
                _ImageReader(images),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=["Conv"],
                nodes_to_quantize=sorted(quantizable_nodes(model)),
                per_channel=True,
                activation_type=QuantType.QInt8,
                weight_type=QuantType.QInt8,
                extra_options=_OPTIONS,
            )
        finally:
            logging.getLogger().disabled = False
        return onnx.load(target)


def keep_quantized(
    quantized: onnx.ModelProto, model: onnx.ModelProto, nodes: Collection[str]
) -> onnx.ModelProto:
    """A copy of the quantized graph in which these convolutions read int8, and nothing else does.

    The quantizer also hands rounded values to whatever else reads the same tensor, such as the
    residual sums, where errors add up; those read float again.

    Args:
        quantized: From `quantize`.
        model: The float32 graph it came from.
        nodes: Names of convolutions.
    """
    quantized = copy.deepcopy(quantized)
    originals = {node.name: node for node in model.graph.node}
    for node in quantized.graph.node:
        if node.name in originals and node.name not in nodes:
            del node.input[:]
            node.input.extend(originals[node.name].input)
    present = {tensor.name for tensor in quantized.graph.initializer}
    quantized.graph.initializer.extend(
        tensor for tensor in model.graph.initializer if tensor.name not in present
    )
    remove_unused(quantized.graph)
    return quantized


class _ImageReader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, images: NDArray[np.uint8]) -> None:
        self._feeds: Iterator[dict[str, Any]] = iter(
            [{INPUT_NAME: image[np.newaxis]} for image in images]
        )

    def get_next(self) -> dict[str, Any] | None:
        return next(self._feeds, None)


def _is_last(graph: onnx.GraphProto, convolution: onnx.NodeProto) -> bool:
    """Whether a convolution writes an output: no other comes after it."""
    reached = set(convolution.output)
    for node in graph.node:
        if reached.intersection(node.input):
            if node.op_type == "Conv":
                return False
            reached.update(node.output)
    return True

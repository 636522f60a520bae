# SPDX-License-Identifier: Apache-2.0
"""int8 by explicit Q/DQ, as TensorRT wants it: symmetric, a scale per tensor or weight channel."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from mtinet_ros.export.calibration import Range
from mtinet_ros.export.graph_parts import INPUT_PART, parts, remove_unused, sort_nodes

# Largest code; that of weights and activations alike.
_MAX_CODE = 127
# They read the int8 of a tensor that a convolution reads in int8 too: the tensor is then written
# once, in a quarter of the space, and never read in float. What they compute stays float.
_SHARING_OPERATORS = frozenset({"Add", "Concat", "Resize"})


def quantizable_nodes(model: onnx.ModelProto) -> set[str]:
    """Names of the nodes that may read int8.

    These are all convolutions but the first, which reads pixels, and the sums, concatenations and
    upsamplings after it.
    """
    part = parts(model.graph)
    first = next((node.name for node in model.graph.node if node.op_type == "Conv"), None)
    return {
        node.name
        for node in model.graph.node
        if (node.op_type == "Conv" or node.op_type in _SHARING_OPERATORS)
        and node.name != first
        and part[node.name] != INPUT_PART
    }


def quantized_tensors(model: onnx.ModelProto, nodes: Collection[str]) -> list[str]:
    """Names of the activations that become int8: whatever a convolution among these nodes reads.

    Args:
        model: The float32 graph.
        nodes: Names out of `quantizable_nodes`.
    """
    return sorted({node.input[0] for node in _convolutions(model, nodes)})


def quantize(
    model: onnx.ModelProto, ranges: Mapping[str, Range], nodes: Collection[str]
) -> onnx.ModelProto:
    """A copy in which these nodes read int8, and nothing else does.

    Rounding weights moves the mean of what a convolution writes, channel by channel. How far
    follows from the means of what it reads, so its bias takes that back (Nagel et al.,
    "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV 2019, Section
    4.2, with measured means).

    Args:
        model: The float32 graph.
        ranges: By name, at least of `quantized_tensors(model, nodes)`.
        nodes: Names out of `quantizable_nodes`.
    """
    tensors = quantized_tensors(model, nodes)
    model = copy.deepcopy(model)
    graph = model.graph
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for name in tensors:
        _add_pair(graph, name, ranges[name].limit)
    written: dict[str, NDArray[np.float32]] = {}
    for node in _convolutions(model, nodes):
        _, kernel, *bias = node.input
        if kernel not in written:
            written[kernel] = _add_weights(graph, kernel, weights[kernel])
        shift = _mean_shift(weights[kernel] - written[kernel], ranges[node.input[0]].means)
        corrected = (weights[bias[0]] if bias else np.float32(0)) + shift
        name = f"{node.name}_bias"
        graph.initializer.append(numpy_helper.from_array(np.asarray(corrected, np.float32), name))
        node.input[:] = [f"{node.input[0]}_dequantized", f"{kernel}_dequantized", name]
    for node in graph.node:
        if node.name in nodes and node.op_type in _SHARING_OPERATORS:
            node.input[:] = [f"{i}_dequantized" if i in tensors else i for i in node.input]
    sort_nodes(graph)
    remove_unused(graph)
    return model


def _convolutions(model: onnx.ModelProto, nodes: Collection[str]) -> list[onnx.NodeProto]:
    return [node for node in model.graph.node if node.op_type == "Conv" and node.name in nodes]


def _add_pair(graph: onnx.GraphProto, name: str, limit: float) -> None:
    """Q and DQ of an activation."""
    scale, zero = f"{name}_scale", f"{name}_zero_point"
    graph.initializer.extend(
        (
            numpy_helper.from_array(np.array(limit / _MAX_CODE, np.float32), scale),
            numpy_helper.from_array(np.array(0, np.int8), zero),
        )
    )
    codes, values = f"{name}_quantized", f"{name}_dequantized"
    graph.node.extend(
        (
            helper.make_node("QuantizeLinear", [name, scale, zero], [codes], f"{codes}/Q"),
            helper.make_node("DequantizeLinear", [codes, scale, zero], [values], f"{values}/DQ"),
        )
    )


def _add_weights(
    graph: onnx.GraphProto, name: str, weights: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Codes of weights [out,in,kh,kw] with their DQ; returns the values that these stand for."""
    largest = np.abs(weights).max(axis=(1, 2, 3))
    scales = np.asarray(np.maximum(largest, np.finfo(np.float32).tiny * 256) / _MAX_CODE)
    spread = scales[:, None, None, None]
    codes = np.rint(weights / spread).clip(-_MAX_CODE, _MAX_CODE).astype(np.int8)
    inputs = [f"{name}_quantized", f"{name}_scale", f"{name}_zero_point"]
    contents = (codes, scales.astype(np.float32), np.zeros(len(scales), np.int8))
    for content, initializer in zip(contents, inputs, strict=True):
        graph.initializer.append(numpy_helper.from_array(content, initializer))
    values = f"{name}_dequantized"
    graph.node.append(
        helper.make_node("DequantizeLinear", inputs, [values], f"{values}/DQ", axis=0)
    )
    return np.asarray(codes * spread, np.float32)


def _mean_shift(error: NDArray[np.float32], means: NDArray[np.float32]) -> NDArray[np.float32]:
    """By how much an error of weights [out,in/groups,kh,kw] moves each output's mean down.

    Args:
        error: Wanted weights less those that are used.
        means: Of what the convolution reads, by channel. Borders, where a kernel reads padding,
            are taken for the rest.
    """
    out, of_group = error.shape[:2]
    groups = len(means) // of_group
    by_output = means.reshape(groups, of_group).repeat(out // groups, axis=0)
    return np.asarray((error.sum(axis=(2, 3)) * by_output).sum(axis=1), np.float32)

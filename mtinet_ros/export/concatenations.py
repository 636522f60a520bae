# SPDX-License-Identifier: Apache-2.0
"""Convolutions of concatenated tensors as sums of convolutions, which int8 needs."""

from __future__ import annotations

import copy

import numpy as np
import onnx
from onnx import helper, numpy_helper

from mtinet_ros.export.graph_parts import remove_unused, sort_nodes


def split_concatenations(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy in which no convolution reads a concatenation; one in groups still may.

    A convolution of a concatenation is the sum of convolutions of its pieces. In int8, pieces
    then have ranges of their own. And OpenVINO (2026.4) computes them right: what quantizes the
    whole it may move before the concatenation, and then it rounds the values of the pieces
    themselves to integers, instead of their codes.
    """
    model = copy.deepcopy(model)
    graph = model.graph
    producers = {output: node for node in graph.node for output in node.output}
    weights = {tensor.name: tensor for tensor in graph.initializer}
    channels = {
        value.name: value.type.tensor_type.shape.dim[1].dim_value
        for value in onnx.shape_inference.infer_shapes(model).graph.value_info
        if len(value.type.tensor_type.shape.dim) == 4
    }
    for node in list(graph.node):
        whole = producers.get(node.input[0]) if node.op_type == "Conv" else None
        if whole is None or whole.op_type != "Concat" or _groups(node) != 1:
            continue
        kernel = numpy_helper.to_array(weights[node.input[1]])
        ends = np.cumsum([channels[name] for name in whole.input])
        pieces = []
        for number, part in enumerate(np.split(kernel, ends[:-1], axis=1)):
            piece = copy.deepcopy(node)
            name = f"{node.name}_weights_piece_{number}"  # a kernel may have several readers
            graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(part), name))
            bias = node.input[2:] if number == 0 else []
            piece.input[:] = [whole.input[number], name, *bias]
            piece.output[:] = [f"{node.output[0]}_piece_{number}"]
            if number:
                piece.name = f"{node.name}_piece_{number}"
            pieces.append(piece)
        graph.node.remove(node)
        graph.node.extend(pieces)
        total = pieces[0].output[0]
        for number, piece in enumerate(pieces[1:], 1):
            is_last = number == len(pieces) - 1
            result = node.output[0] if is_last else f"{node.output[0]}_sum_{number}"
            addition = helper.make_node("Add", [total, piece.output[0]], [result])
            addition.name = f"{node.name}_sum_{number}/Add"
            graph.node.append(addition)
            total = result
    sort_nodes(graph)
    remove_unused(graph)
    return model


def _groups(convolution: onnx.NodeProto) -> int:
    return next((int(a.i) for a in convolution.attribute if a.name == "group"), 1)

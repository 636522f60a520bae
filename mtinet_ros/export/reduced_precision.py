# SPDX-License-Identifier: Apache-2.0
"""fp16 and bf16 as a property of the graph: 16-bit tensors between explicit casts."""

from __future__ import annotations

import copy
from collections.abc import Collection

import ml_dtypes
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from mtinet_ros.export.graph_parts import (
    CONFIDENCE,
    INPUT_PART,
    float_tensors,
    parts,
    remove_unused,
)

# Convolution takes bf16 from this opset on.
BF16_OPSET = 22
# Largest finite fp16 value, IEEE 754.
FP16_MAX = 65504.0

_TYPES = {
    "fp16": (TensorProto.FLOAT16, np.dtype(np.float16)),
    "bf16": (TensorProto.BFLOAT16, np.dtype(ml_dtypes.bfloat16)),
}
# All others stay float32: the softmax of the FPM, the length of normals, exp of depth.
_CONVERTIBLE_OPERATORS = frozenset({
    "Add", "AveragePool", "Clip", "Concat", "Conv", "Flatten", "Gemm", "GlobalAveragePool", "Mul",
    "Pad", "ReduceMean", "Relu", "Reshape", "Resize", "Sigmoid", "Slice", "Split", "Squeeze",
    "Transpose", "Unsqueeze",
})  # fmt: skip
# Inputs that are float32 by the operator's definition.
_FLOAT32_INPUTS = {"Resize": (1, 2)}


def convertible_nodes(model: onnx.ModelProto) -> set[str]:
    """Names of the nodes that may compute in 16 bits."""
    part = parts(model.graph)
    floats = float_tensors(model)
    return {
        node.name
        for node in model.graph.node
        if node.op_type in _CONVERTIBLE_OPERATORS
        and part[node.name] != INPUT_PART
        and node.output[0] in floats
        and not node.name.startswith(CONFIDENCE)
    }


def converted_tensors(model: onnx.ModelProto, nodes: Collection[str]) -> dict[str, set[str]]:
    """The tensors, constants apart, that each of these nodes reads or writes in 16 bits then."""
    floats = float_tensors(model) - {tensor.name for tensor in model.graph.initializer}
    return {
        node.name: {
            name
            for index, name in enumerate(node.input)
            if name in floats and index not in _FLOAT32_INPUTS.get(node.op_type, ())
        }
        | set(node.output)
        for node in model.graph.node
        if node.name in nodes
    }


def convert_nodes(
    model: onnx.ModelProto, precision: str, nodes: Collection[str]
) -> onnx.ModelProto:
    """A copy in which these nodes compute in 16 bits.

    Args:
        model: The float32 graph.
        precision: `fp16` or `bf16`.
        nodes: Names out of `convertible_nodes`.
    """
    element_type, dtype = _TYPES[precision]
    floats = float_tensors(model)
    if precision == "bf16":
        model = onnx.version_converter.convert_version(model, BF16_OPSET)
    else:
        model = copy.deepcopy(model)
    graph = model.graph
    del graph.value_info[:]  # the types in it are about to change
    initializers = {tensor.name: tensor for tensor in graph.initializer}
    reduced_tensors = {o for node in graph.node if node.name in nodes for o in node.output}
    outputs = {output.name for output in graph.output}
    rewritten: list[onnx.NodeProto] = []
    casts: dict[tuple[str, int], str] = {}

    def cast(name: str, to: int) -> str:
        if (name, to) not in casts:
            suffix = "wide" if to == TensorProto.FLOAT else precision
            casts[name, to] = f"{name}_{suffix}"
            if name in initializers:
                values = numpy_helper.to_array(initializers[name])
                graph.initializer.append(_tensor(values, dtype, element_type, casts[name, to]))
            else:
                node = helper.make_node("Cast", [name], [casts[name, to]], to=to)
                node.name = f"{casts[name, to]}/Cast"
                rewritten.append(node)
        return casts[name, to]

    for node in list(graph.node):
        is_converted = node.name in nodes
        for index, name in enumerate(node.input):
            if name not in floats or index in _FLOAT32_INPUTS.get(node.op_type, ()):
                continue
            if is_converted and name not in reduced_tensors:
                node.input[index] = cast(name, element_type)
            elif not is_converted and name in reduced_tensors:
                node.input[index] = cast(name, TensorProto.FLOAT)
        rewritten.append(node)
        if is_converted:
            for index, name in enumerate(node.output):
                if name in outputs:
                    node.output[index] = f"{name}_{precision}"
                    back = helper.make_node("Cast", [node.output[index]], [name], to=1)
                    back.name = f"{name}/Cast"
                    rewritten.append(back)
    del graph.node[:]
    graph.node.extend(rewritten)
    remove_unused(graph)
    return model


def simulate_conversion(
    model: onnx.ModelProto, precision: str, nodes: Collection[str]
) -> onnx.ModelProto:
    """A float32 graph with the rounding, and the overflow, of `convert_nodes`.

    Every tensor that would be reduced goes through 16 bits and back; sums inside an operator stay
    float32, as in the hardware. It runs wherever float32 does, so it shows what a precision costs
    on a machine that lacks it. Run it without graph optimisations, which may take such casts out.
    """
    element_type, dtype = _TYPES[precision]
    floats = float_tensors(model)
    model = copy.deepcopy(model)
    graph = model.graph
    initializers = {tensor.name: tensor for tensor in graph.initializer}
    read_reduced = {
        name
        for node in graph.node
        if node.name in nodes
        for index, name in enumerate(node.input)
        if name in floats and index not in _FLOAT32_INPUTS.get(node.op_type, ())
    }
    for name in read_reduced & set(initializers):
        values = numpy_helper.to_array(initializers[name])
        rounded = values.astype(dtype).astype(np.float32)
        initializers[name].CopyFrom(numpy_helper.from_array(rounded, name))
    rewritten: list[onnx.NodeProto] = []
    for node in list(graph.node):
        rewritten.append(node)
        for index, name in enumerate(node.output):
            if node.name in nodes or name in read_reduced:
                raw, reduced = f"{name}_raw", f"{name}_{precision}"
                node.output[index] = raw
                rewritten.append(helper.make_node("Cast", [raw], [reduced], to=element_type))
                rewritten.append(helper.make_node("Cast", [reduced], [name], to=1))
    del graph.node[:]
    graph.node.extend(rewritten)
    return model


def _tensor(
    values: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
    dtype: np.dtype[np.generic],
    element_type: int,
    name: str,
) -> TensorProto:
    content = values.astype(dtype).tobytes()
    return helper.make_tensor(name, element_type, values.shape, content, raw=True)

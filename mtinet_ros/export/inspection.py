# SPDX-License-Identifier: Apache-2.0
"""The content of an exported file: size, arithmetic, operators and precision by part."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from math import prod
from pathlib import Path

import onnx

from mtinet_ros.errors import ModelError
from mtinet_ros.export.graph_parts import parts_in_order
from mtinet_ros.model_card import ModelCard, read_model_card

_TYPE_NAMES: dict[int, str] = {
    onnx.TensorProto.FLOAT: "fp32",
    onnx.TensorProto.FLOAT16: "fp16",
    onnx.TensorProto.BFLOAT16: "bf16",
    onnx.TensorProto.INT8: "int8",
    onnx.TensorProto.UINT8: "uint8",
    onnx.TensorProto.DOUBLE: "fp64",
}
# Operators that multiply by weights, with the position of these among the inputs. The fused and
# the integer ones are what ONNX Runtime's optimizer and quantizers leave.
_WEIGHT_INPUTS = {
    "Conv": 1,
    "FusedConv": 1,
    "NhwcFusedConv": 1,
    "ConvInteger": 1,
    "QLinearConv": 3,
    "Gemm": 1,
    "MatMul": 1,
}
# Operators through which a stored weight passes on its way, the same numbers in another form.
_PASSING = ("Cast", "DequantizeLinear", "Identity", "QuantizeLinear")


@dataclass(frozen=True)
class PartSummary:
    """One part of the network.

    Attributes:
        name: As `graph_parts.part_of` names it.
        macs: Multiply-accumulates of one image, by the precision of the weights.
        parameters: Number of weights and biases.
    """

    name: str
    macs: dict[str, int]
    parameters: int


@dataclass(frozen=True)
class Inspection:
    """One exported file.

    Attributes:
        path: The file.
        size_bytes: Its size.
        card: Its card.
        opset: ONNX operator set; 0 if the file names none.
        nodes: Number of nodes.
        operators: Nodes by operator.
        parameters: Number of weights and biases.
        macs: Multiply-accumulates of one image in convolutions and matrix products.
        uncounted: Number of those whose weights or shapes are not known, and are left out there.
        parts: Each part that has such operators.
    """

    path: str
    size_bytes: int
    card: ModelCard
    opset: int
    nodes: int
    operators: dict[str, int]
    parameters: int
    macs: int
    uncounted: int
    parts: tuple[PartSummary, ...]


def inspect_model(path: Path) -> Inspection:
    """Read a model and count; nothing is run.

    Graphs of other tools are counted as far as they can be understood.

    Raises:
        ModelError: No model with a card, damaged, or with weights outside its file.
    """
    card = read_model_card(path)
    model = _load_graph(path)
    shapes = _shapes(model)
    stored = _stored_tensors(model.graph)
    producers = {output: node for node in model.graph.node for output in node.output}
    macs: dict[str, Counter[str]] = defaultdict(Counter)
    weights: dict[str, Counter[str]] = defaultdict(Counter)
    uncounted = 0
    for node, part in zip(model.graph.node, parts_in_order(model.graph), strict=True):
        if node.op_type not in _WEIGHT_INPUTS:
            continue
        origins = [_origin(name, producers) for name in node.input]
        for name in origins:
            if name in stored:
                weights[part][name] = prod(stored[name].dims)
        position = _WEIGHT_INPUTS[node.op_type]
        weight = stored.get(origins[position]) if position < len(origins) else None
        output = shapes.get(node.output[0], []) if node.output else []
        if weight is None or len(output) < 2 or not all(output[1:]):
            uncounted += 1
            continue
        precision = _TYPE_NAMES.get(weight.data_type, "other")
        macs[part][precision] += prod(output[1:]) * _macs_per_output(node, weight)
    return Inspection(
        path=str(path),
        size_bytes=path.stat().st_size,
        card=card,
        opset=max(
            (o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=0
        ),
        nodes=len(model.graph.node),
        operators=dict(Counter(_operator(node) for node in model.graph.node).most_common()),
        parameters=sum(sum(counts.values()) for counts in weights.values()),
        macs=sum(sum(counts.values()) for counts in macs.values()),
        uncounted=uncounted,
        parts=tuple(
            PartSummary(name, dict(macs[name]), sum(weights[name].values()))
            for name in dict.fromkeys((*macs, *weights))
        ),
    )


def _load_graph(path: Path) -> onnx.ModelProto:
    """The content of an ONNX file; the card's reader has refused weights in other files.

    Raises:
        ModelError: The file is damaged.
    """
    try:
        return onnx.load(path, load_external_data=False)
    except Exception as error:  # of protobuf, which comes without types
        raise ModelError(f"{path} cannot be read as an ONNX file: {error}") from error


def _operator(node: onnx.NodeProto) -> str:
    """Name of a node's operator, with its domain unless that is ONNX's own."""
    return node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}"


def _constants(graph: onnx.GraphProto) -> dict[str, onnx.TensorProto]:
    """Tensors that Constant nodes hold, by the names of their outputs."""
    return {
        node.output[0]: attribute.t
        for node in graph.node
        if node.op_type == "Constant" and node.output
        for attribute in node.attribute
        if attribute.name == "value"
    }


def _stored_tensors(graph: onnx.GraphProto) -> dict[str, onnx.TensorProto]:
    """Tensors that the graph holds, by name, wherever a tool has put them."""
    return _constants(graph) | {tensor.name: tensor for tensor in graph.initializer}


def _macs_per_output(node: onnx.NodeProto, weight: onnx.TensorProto) -> int:
    """Multiply-accumulates for one number of a node's output."""
    if node.op_type in ("Gemm", "MatMul"):
        attributes = {attribute.name: attribute.i for attribute in node.attribute}
        # The axis that is summed over: of [in, out], or of [out, in] where that is said.
        axis = -1 if attributes.get("transB") else -2
        return int(weight.dims[axis]) if len(weight.dims) >= 2 else prod(weight.dims)
    return prod(weight.dims[1:])  # out, in/groups, k, k


def _shapes(model: onnx.ModelProto) -> dict[str, list[int]]:
    """Shape of every tensor as far as it is known, 0 for the batch and for what is not."""
    try:
        graph = onnx.shape_inference.infer_shapes(model).graph
    except Exception:  # of graphs that break the rules of ONNX, or are too large for protobuf
        graph = model.graph
    return {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*graph.value_info, *graph.output)
    }


def _origin(name: str, producers: dict[str, onnx.NodeProto]) -> str:
    """The stored tensor behind a name: itself, or what is dequantised or cast into it."""
    seen = set()
    while name in producers and producers[name].op_type in _PASSING and name not in seen:
        seen.add(name)
        name = next(iter(producers[name].input), name)
    return name

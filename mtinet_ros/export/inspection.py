# SPDX-License-Identifier: Apache-2.0
"""The content of an exported file: size, arithmetic, operators and precision by part."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from math import prod
from pathlib import Path

import onnx

from mtinet_ros.errors import ModelError
from mtinet_ros.export.graph_parts import parts
from mtinet_ros.model_card import ModelCard, read_model_card

_TYPE_NAMES = {
    onnx.TensorProto.FLOAT: "fp32",
    onnx.TensorProto.FLOAT16: "fp16",
    onnx.TensorProto.BFLOAT16: "bf16",
    onnx.TensorProto.INT8: "int8",
}


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
        opset: ONNX operator set.
        nodes: Number of nodes.
        operators: Nodes by operator.
        parameters: Number of weights and biases.
        macs: Multiply-accumulates of one image in convolutions and matrix products.
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
    parts: tuple[PartSummary, ...]


def inspect_model(path: Path) -> Inspection:
    """Read a model and count; nothing is run.

    Raises:
        ModelError: No model with a card, damaged, or with weights outside its file.
    """
    card = read_model_card(path)
    model = load_self_contained(path)
    shapes = _shapes(model)
    part = parts(model.graph)
    macs: dict[str, Counter[str]] = defaultdict(Counter)
    weights: dict[str, Counter[str]] = defaultdict(Counter)
    producers = {output: node for node in model.graph.node for output in node.output}
    initializers = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type not in ("Conv", "Gemm"):
            continue
        weight_names = [_origin(name, producers) for name in node.input[1:]]
        weight = initializers[weight_names[0]]
        output = shapes[node.output[0]]
        # Conv: weight is out, in/groups, k, k; Gemm: out, in. Either way once per output number.
        per_output = prod(weight.dims[1:])
        precision = _TYPE_NAMES.get(weight.data_type, "other")
        macs[part[node.name]][precision] += prod(output[1:]) * per_output
        for name in weight_names:
            weights[part[node.name]][name] = prod(initializers[name].dims)
    return Inspection(
        path=str(path),
        size_bytes=path.stat().st_size,
        card=card,
        opset=next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx")),
        nodes=len(model.graph.node),
        operators=dict(Counter(node.op_type for node in model.graph.node).most_common()),
        parameters=sum(sum(counts.values()) for counts in weights.values()),
        macs=sum(sum(counts.values()) for counts in macs.values()),
        parts=tuple(
            PartSummary(name, dict(counts), sum(weights[name].values()))
            for name, counts in macs.items()
        ),
    )


def load_self_contained(path: Path) -> onnx.ModelProto:
    """Load a model whose weights are all inside its file, as an exported model's are.

    Raises:
        ModelError: The file is damaged, or names other files that hold its weights.
    """
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # of protobuf, which comes without types
        raise ModelError(f"{path} cannot be read as an ONNX file: {error}") from error
    for tensor in model.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            where = {entry.key: entry.value for entry in tensor.external_data}.get("location")
            raise ModelError(
                f"{path} keeps its weights in another file ({where!r}), which is not read: "
                "a model is one file; export the checkpoint again with `mtinet export`"
            )
    return model


def _shapes(model: onnx.ModelProto) -> dict[str, list[int]]:
    """Shape of every tensor, 0 for the batch."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    return {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*graph.value_info, *graph.output)
    }


def _origin(name: str, producers: dict[str, onnx.NodeProto]) -> str:
    """The stored tensor behind a name: itself, or what is dequantised or cast into it."""
    while name in producers and producers[name].op_type in ("DequantizeLinear", "Cast"):
        name = producers[name].input[0]
    return name

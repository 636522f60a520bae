# SPDX-License-Identifier: Apache-2.0
"""Parts of an exported graph: which module of a network a node comes from, and what is unused."""

from __future__ import annotations

from collections.abc import Iterable

import onnx

from mtinet_ros.model_contract import TASK_OUTPUTS

# Names of what lies before the first and after the last module of the network.
INPUT_PART, OUTPUT_PART = "input", "outputs"
CONFIDENCE = "/confidence/"
"""How the nodes begin that make a confidence of logits; they stay float32."""
# How the modules of the backbones are called that come after the stem: HRNet's, EfficientNet's and
# ResNet's; the first layer of the latter has the resolution of its stem.
_STAGES = ("stage", "transition", "blocks", "reductions", "layer2", "layer3", "layer4")
# Of a node without a name, or with one that no tracer of ours gave.
UNKNOWN_PART = "unknown"


def part_of(node_name: str) -> str:
    """Part of the network that a node comes from, read from the name the tracer gave it.

    Example:
        >>> part_of("/network/scale_2/depth/depth.0/conv1/Conv")
        'scale_2'
        >>> part_of("/network/semseg/predict/Conv")
        'head semseg'
        >>> part_of("/network/backbone/stage4/stage4.1/relu/Relu")
        'backbone stage4'
        >>> part_of("Conv_17")  # another tool's
        'unknown'
    """
    before, slash, traced = node_name.partition("/")
    if before or not slash:
        return UNKNOWN_PART
    network, *path = traced.split("/")
    if network != "network" or len(path) < 2:
        return OUTPUT_PART
    if path[0] in TASK_OUTPUTS:
        return f"head {path[0]}"
    if path[0] != "backbone":
        return path[0]
    stage = path[1].partition(".")[0].lstrip("_")
    return f"backbone {stage if stage.startswith(_STAGES) else 'stem'}"


def parts(graph: onnx.GraphProto) -> dict[str, str]:
    """Part by node name, see `parts_in_order`; all nodes have names of their own in our graphs."""
    return dict(zip((node.name for node in graph.node), parts_in_order(graph), strict=True))


def parts_in_order(graph: onnx.GraphProto) -> list[str]:
    """Part of each node; those without a convolution before them are `INPUT_PART`."""
    seen_convolution: set[str] = set()
    result = []
    for node in graph.node:
        follows = "Conv" in node.op_type or any(name in seen_convolution for name in node.input)
        if follows:
            seen_convolution.update(node.output)
        result.append(part_of(node.name) if follows else INPUT_PART)
    return result


def float_tensors(model: onnx.ModelProto) -> set[str]:
    """Names of all float32 tensors: inferred, initializers, and constants."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    names = {
        value.name
        for value in (*graph.value_info, *graph.input, *graph.output)
        if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    }
    names |= {t.name for t in graph.initializer if t.data_type == onnx.TensorProto.FLOAT}
    return names


def remove_unused(graph: onnx.GraphProto) -> None:
    """Drop nodes and initializers from which no output is reached."""
    needed = {output.name for output in graph.output}
    kept = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(node.input)
    _replace(graph.node, reversed(kept))
    _replace(graph.initializer, [t for t in graph.initializer if t.name in needed])


def sort_nodes(graph: onnx.GraphProto) -> None:
    """Order nodes so that each comes after those it reads from, and else as they were."""
    missing = {output for node in graph.node for output in node.output}
    waiting: list[onnx.NodeProto] = list(graph.node)
    ordered: list[onnx.NodeProto] = []
    while waiting:
        later = []
        for node in waiting:
            if missing.intersection(node.input):
                later.append(node)
            else:
                ordered.append(node)
                missing.difference_update(node.output)
        waiting = later
    _replace(graph.node, ordered)


def _replace(field: object, items: Iterable[object]) -> None:
    """Give a repeated protobuf field new content."""
    content = list(items)
    del field[:]  # type: ignore[attr-defined]
    field.extend(content)  # type: ignore[attr-defined]

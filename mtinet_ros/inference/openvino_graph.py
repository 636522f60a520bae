# SPDX-License-Identifier: Apache-2.0
"""What is changed of a graph as OpenVINO loads it: the same answers in less time.

Done at load and not at export, because what these gain is OpenVINO's own; the file stays as it is,
with its fingerprint. docs/performance.md has the figures, and what was tried and not kept.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import openvino


def read_for_single_images(
    core: openvino.Core, path: Path, input_size: tuple[int, int]
) -> openvino.Model:
    """Read a graph as one for single images: with every shape known, OpenVINO fuses more.

    Args:
        core: OpenVINO.
        path: ONNX file.
        input_size: (height, width) of the input.

    Returns:
        The graph; as it is in the file where an operator in the middle fixes another number.

    Raises:
        RuntimeError: OpenVINO cannot read it.
    """
    graph = core.read_model(str(path))
    if len(graph.inputs) != 1:
        return graph
    try:
        graph.reshape([1, *input_size, 3])
        shapes = [output.get_partial_shape() for output in graph.outputs]
        is_single = all(len(shape) > 0 and shape[0] == 1 for shape in shapes)
    except RuntimeError:  # an operator does not take it
        is_single = False
    return graph if is_single else core.read_model(str(path))


def unstable_argmax(model: openvino.Model) -> None:
    """Let ArgMax run as the plain search it is.

    ONNX has ArgMax take the first of equal values, which OpenVINO reads as a stable sort, several
    times as slow where channels are neighbors in memory. Without, another of exactly equal logits
    may win, seen from 16 classes on: either is as right.

    Args:
        model: Graph as it was read; changed in place.
    """
    from openvino import opset13

    for node in model.get_ops():
        if node.get_type_name() != "TopK":
            continue
        attributes: dict[str, Any] = node.get_attributes()
        if not attributes.get("stable") or not _is_one(node.input_value(1).get_node()):
            continue
        search = opset13.topk(
            node.input_value(0),
            node.input_value(1),
            attributes["axis"],
            attributes["mode"],
            attributes["sort"],
            attributes["index_element_type"],
            False,
        )
        for old, new in zip(node.outputs(), search.outputs(), strict=True):
            for reader in old.get_target_inputs():
                reader.replace_source_output(new)


def _is_one(node: Any) -> bool:
    """Whether a node is the constant 1: of more than one value, the order would matter."""
    return bool(node.get_type_name() == "Constant" and node.get_vector().tolist() == [1])

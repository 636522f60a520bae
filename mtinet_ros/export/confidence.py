# SPDX-License-Identifier: Apache-2.0
"""The output `confidence` of an exported graph, whatever its precision.

It is computed in float32 behind the logits whose argmax are the labels, so that it is theirs at
every pixel and changes nothing else.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from mtinet_ros.errors import ExportError
from mtinet_ros.export.accuracy import LIMITS, describe_excess
from mtinet_ros.export.graph_parts import CONFIDENCE, remove_unused
from mtinet_ros.export.verification import run_onnxruntime

OUTPUT = "confidence"


def has_confidence(model: onnx.ModelProto) -> bool:
    """Whether a graph has the output."""
    return any(output.name == OUTPUT for output in model.graph.output)


def logits_of(model: onnx.ModelProto) -> str:
    """Name of the float32 tensor [N,C,H,W] whose argmax are the labels.

    Raises:
        ExportError: The graph has no labels, or does not get them in this way.
    """
    producers = {output: node for node in model.graph.node for output in node.output}
    node = producers.get("labels")
    while node is not None and node.op_type == "Cast":
        node = producers.get(node.input[0])
    axis = None
    if node is not None and node.op_type == "ArgMax":
        axis = next((a.i for a in node.attribute if a.name == "axis"), 0)
    if node is None or axis != 1:
        raise ExportError(
            "the graph has no labels that are an ArgMax over axis 1, whose confidence could be "
            "told; export a model with the task semseg"
        )
    return str(node.input[0])


def with_confidence(model: onnx.ModelProto, temperature: float) -> onnx.ModelProto:
    """A copy that gives the confidence too: uint8 [N,H,W], round(255 · max softmax(logits / T)).

    Nothing that was there is touched. The maximum of the softmax is 1 / Σ exp((z - max z) / T),
    summed over neighbors in memory: of the ways to write it, the one that costs least in ONNX
    Runtime and OpenVINO together.

    Args:
        model: The graph; one that has a confidence gets this one in its place.
        temperature: T.

    Raises:
        ExportError: See `logits_of`.
    """
    model = without_confidence(model)
    graph = model.graph
    tail = _Tail(model)
    logits = tail.node("Transpose", [logits_of(model)], "logits", perm=[0, 2, 3, 1])
    largest = tail.reduced("ReduceMax", logits, "largest", keepdims=1)
    below = tail.node("Sub", [logits, largest], "below")
    scaled = tail.node("Div", [below, tail.constant("temperature", temperature)], "scaled")
    powers = tail.node("Exp", [scaled], "powers")
    total = tail.reduced("ReduceSum", powers, "total", keepdims=0)
    share = tail.node("Div", [tail.constant("certain", 255.0), total], "share")
    raised = tail.node("Add", [share, tail.constant("half", 0.5)], "raised")
    whole = tail.node("Floor", [raised], "whole")
    # TensorRT: a uint8 output must come from a Cast, which rounds down.
    cast = helper.make_node("Cast", [whole], [OUTPUT], f"{CONFIDENCE}Cast", to=TensorProto.UINT8)
    graph.node.append(cast)
    labels = next(output for output in graph.output if output.name == "labels")
    output = graph.output.add()
    output.CopyFrom(labels)
    output.name = OUTPUT
    return model


class _Tail:
    """Nodes at the end of a graph, under names of their own."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._graph = model.graph
        self._opset = max(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))

    def node(self, operator: str, inputs: list[str], name: str, **attributes: Any) -> str:
        output = CONFIDENCE + name
        self._graph.node.append(
            helper.make_node(operator, inputs, [output], f"{output}/{operator}", **attributes)
        )
        return output

    def constant(self, name: str, value: float | list[int]) -> str:
        kind = np.int64 if isinstance(value, list) else np.float32
        tensor = numpy_helper.from_array(np.array(value, kind), CONFIDENCE + name)
        self._graph.initializer.append(tensor)
        return str(tensor.name)

    def reduced(self, operator: str, tensor: str, name: str, keepdims: int) -> str:
        """Over the last axis, which became an input in opset 18, of sums in 13."""
        if self._opset < (13 if operator == "ReduceSum" else 18):
            return self.node(operator, [tensor], name, axes=[-1], keepdims=keepdims)
        axes = self.constant(f"{name}_axes", [-1])
        return self.node(operator, [tensor, axes], name, keepdims=keepdims)


def without_confidence(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy without that output and what leads to it alone."""
    model = copy.deepcopy(model)
    kept = [output for output in model.graph.output if output.name != OUTPUT]
    del model.graph.output[:]
    model.graph.output.extend(kept)
    remove_unused(model.graph)
    return model


def with_logits(model: onnx.ModelProto, name: str = "logits") -> onnx.ModelProto:
    """A copy that also gives the logits, float32 [N,C,H,W]; for measuring, not to be deployed.

    Raises:
        ExportError: See `logits_of`.
    """
    model = copy.deepcopy(model)
    identity = helper.make_node("Identity", [logits_of(model)], [name], name="/logits/Identity")
    model.graph.node.append(identity)
    model.graph.output.add().CopyFrom(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", None, None, None])
    )
    return model


def without_its_figures(accuracy: Mapping[str, Any]) -> dict[str, Any]:
    """A card's `accuracy` without what it says of a confidence, in its report on bf16 too.

    For a graph that gets another confidence: all else is what it was.
    """
    kept = {name: value for name, value in accuracy.items() if not name.startswith(OUTPUT)}
    # Phrases of `describe_excess`, for which an export was forced.
    beyond = str(kept.pop("forced_beyond", "")).split("; ")
    if left := "; ".join(phrase for phrase in beyond if not phrase.startswith(OUTPUT)):
        kept["forced_beyond"] = left
    report = kept.get("bf16")
    if isinstance(report, Mapping):
        report = without_its_figures(report)
        measures = {name: report[name] for name in LIMITS if name in report}
        kept["bf16"] = {**report, "exceeded": describe_excess(measures)}
    return kept


def check_untouched(
    before: onnx.ModelProto, after: onnx.ModelProto, images: NDArray[np.uint8]
) -> None:
    """Hold the outputs of a graph with a confidence against those it had without, bit by bit.

    Args:
        before: Without.
        after: With.
        images: uint8 [N,H,W,3] to run both on.

    Raises:
        ExportError: Another output has changed, or one of the graphs cannot be run.
    """
    expected, found = (run_onnxruntime(model, images) for model in (before, after))
    for name in sorted(set(expected) - {OUTPUT}):
        if expected[name].tobytes() != found[name].tobytes():
            raise ExportError(
                f"with a confidence the output {name} is another one in ONNX Runtime; nothing "
                "was written: export the checkpoint again with --confidence"
            )

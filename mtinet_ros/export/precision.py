# SPDX-License-Identifier: Apache-2.0
"""Chooses what runs in fewer bits: everything that may, less what measurement shows to suffer."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

import numpy as np
import onnx
from numpy.typing import NDArray

from mtinet_ros.errors import ExportError
from mtinet_ros.export.accuracy import describe_excess, excess, measure_accuracy
from mtinet_ros.export.graph_parts import parts
from mtinet_ros.export.reduced_precision import (
    FP16_MAX,
    emulate,
    held_narrowly,
    narrow,
    narrowable_nodes,
)
from mtinet_ros.export.quantization import keep_quantized, quantizable_nodes, quantize
from mtinet_ros.export.verification import run_onnxruntime

# Pictures unlike those measured may reach further: what comes nearer to the limit stays wide.
_FP16_HEADROOM = 4.0
# An artifact of which more than half stays wide is not what was asked for.
_MAX_FP32_SHARE = 0.5


@dataclass(frozen=True)
class Conversion:
    """A graph in another precision.

    Attributes:
        model: The graph.
        measures: Against the float32 graph, see `accuracy.measure_accuracy`.
        fp32_parts: Parts of the network that measurement left in float32.
        max_activation: Largest magnitude of a tensor that became fp16; None for the others.
        complaint: Which limits are exceeded, or an empty string.
    """

    model: onnx.ModelProto
    measures: dict[str, float]
    fp32_parts: tuple[str, ...] = ()
    max_activation: float | None = None
    complaint: str = field(default="")


@dataclass(frozen=True)
class _Candidate:
    """The nodes that may run in fewer bits, and how to try and to make it."""

    nodes: frozenset[str]
    imitate: Callable[[Collection[str]], onnx.ModelProto]
    convert: Callable[[Collection[str]], onnx.ModelProto]
    max_activation: float | None = None


def convert_precision(
    model: onnx.ModelProto,
    precision: str,
    images: NDArray[np.uint8],
    report: Callable[[str], None] = lambda line: None,
) -> Conversion:
    """Convert a float32 graph, keeping wide whatever part the limits of accuracy demand.

    Args:
        model: The float32 graph.
        precision: `fp16`, `bf16` or `int8`.
        pictures: uint8 [N,H,W,3]. int8: all calibrate; at most eight of them measure accuracy.
        report: Told what is going on, line by line.

    Raises:
        ExportError: The graph cannot be run.
    """
    measured = images[np.linspace(0, len(images) - 1, min(len(images), 8)).astype(int)]
    reference = run_onnxruntime(model, measured)
    candidate = (
        _int8(model, images) if precision == "int8" else _float16(model, precision, measured)
    )
    part = parts(model.graph)
    candidate_parts = sorted({part[name] for name in candidate.nodes})

    def measure(wide: Collection[str]) -> dict[str, float]:
        nodes = {name for name in candidate.nodes if part[name] not in wide}
        imitation = candidate.imitate(nodes)
        return measure_accuracy(reference, run_onnxruntime(imitation, measured, optimize=False))

    wide, measures = choose_fp32_parts(candidate_parts, measure, report)
    nodes = {name for name in candidate.nodes if part[name] not in wide}
    return Conversion(
        candidate.convert(nodes),
        measures,
        wide,
        candidate.max_activation,
        describe_excess(measures),
    )


def choose_fp32_parts(
    parts: Collection[str],
    measure: Callable[[Collection[str]], dict[str, float]],
    report: Callable[[str], None] = lambda line: None,
) -> tuple[tuple[str, ...], dict[str, float]]:
    """Find the parts that have to stay wide: those that do most damage alone, until it is enough.

    Args:
        parts: All that could be narrow.
        measure: Accuracy with these parts wide and all others narrow.
        report: Told what is going on, line by line.

    Returns:
        The parts to keep wide, at most half of them, and the accuracy then; it may still be beyond
        the limits.
    """
    wide: list[str] = []
    measures = measure(wide)
    most = int(_MAX_FP32_SHARE * len(parts))
    if excess(measures) <= 1.0 or most == 0:
        return (), measures
    report("all parts at once exceed the limits; measuring each part alone:")
    damage = {}
    for name in parts:
        damage[name] = excess(measure([other for other in parts if other != name]))
        report(f"  {name:<24} {damage[name]:.3g} of the limit")
    for name in sorted(damage, key=lambda name: -damage[name])[:most]:
        wide.append(name)
        measures = measure(wide)
        report(f"  {name} stays wide: {excess(measures):.3g} of the limit")
        if excess(measures) <= 1.0:
            break
    return tuple(wide), measures


def _float16(model: onnx.ModelProto, precision: str, images: NDArray[np.uint8]) -> _Candidate:
    nodes = narrowable_nodes(model)
    max_activation = None
    if precision == "fp16":
        magnitudes = max_magnitudes(model, nodes, images)
        nodes = {name for name in nodes if magnitudes[name] * _FP16_HEADROOM < FP16_MAX}
        max_activation = max((magnitudes[name] for name in nodes), default=0.0)
    return _Candidate(
        frozenset(nodes),
        lambda chosen: emulate(model, precision, chosen),
        lambda chosen: narrow(model, precision, chosen),
        max_activation,
    )


def _int8(model: onnx.ModelProto, images: NDArray[np.uint8]) -> _Candidate:
    nodes = quantizable_nodes(model)
    quantized = quantize(model, images)

    def convert(chosen: Collection[str]) -> onnx.ModelProto:
        return keep_quantized(quantized, model, chosen)

    # Without optimisations, ONNX Runtime computes Q/DQ literally: the graph imitates itself.
    return _Candidate(frozenset(nodes), convert, convert)


def max_magnitudes(
    model: onnx.ModelProto, nodes: Collection[str], images: NDArray[np.uint8]
) -> dict[str, float]:
    """Largest absolute value that each of these nodes reads or puts out, over all pictures.

    Raises:
        ExportError: The graph cannot be run.
    """
    held = held_narrowly(model, nodes)
    model = copy.deepcopy(model)
    graph = model.graph
    del graph.output[:]
    for name in sorted(set().union(*held.values())):
        graph.node.append(onnx.helper.make_node("Abs", [name], [f"{name}_abs"]))
        graph.node.append(
            onnx.helper.make_node("ReduceMax", [f"{name}_abs"], [f"{name}_max"], keepdims=0)
        )
        graph.output.append(
            onnx.helper.make_tensor_value_info(f"{name}_max", onnx.TensorProto.FLOAT, [])
        )
    runs = [run_onnxruntime(model, image[np.newaxis]) for image in images]
    return {
        node: max(float(run[f"{name}_max"]) for run in runs for name in names)
        for node, names in held.items()
    }


def refuse_unless_forced(conversion: Conversion, precision: str, force: bool) -> None:
    """Refuse what is beyond the limits.

    Raises:
        ExportError: Naming measures and limits.
    """
    if conversion.complaint and not force:
        raise ExportError(
            f"{precision} costs too much accuracy against fp32: {conversion.complaint}; nothing "
            "was written: give more or better --calibration pictures, choose a wider precision, "
            "or write it all the same with --force"
        )

# SPDX-License-Identifier: Apache-2.0
"""Chooses the parts of a graph that run in reduced precision, by measuring what each costs."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx
from numpy.typing import NDArray

from mtinet_ros.errors import ExportError
from mtinet_ros.export.accuracy import excess as accuracy_excess
from mtinet_ros.export.calibration import measure_ranges
from mtinet_ros.export.concatenations import split_concatenations
from mtinet_ros.export.criteria import Judge, agreement, judged
from mtinet_ros.export.graph_parts import parts
from mtinet_ros.export.quantization import quantizable_nodes, quantize, quantized_tensors
from mtinet_ros.export.reduced_precision import (
    FP16_MAX,
    convert_nodes,
    converted_tensors,
    convertible_nodes,
    simulate_conversion,
)
from mtinet_ros.export.verification import run_onnxruntime

# Other images may reach further than those measured: nearer to the limit, a node stays float32.
_FP16_HEADROOM = 4.0
# With more than half of its parts in float32, a model is not what was asked for.
_MAX_FP32_SHARE = 0.5


@dataclass(frozen=True)
class Conversion:
    """A graph in reduced precision.

    Attributes:
        model: The graph.
        measures: Against the float32 graph, see `accuracy.measure_accuracy`.
        fp32_parts: Parts of the network left in float32, because the limits demand it.
        max_activation: Largest magnitude of a tensor that became fp16; None for the others.
        exceeded: Description of the limits that are exceeded; empty if none is.
        judgement: On labelled pictures, if there was a judge: `pictures` says which; by precision,
            the figures; `loss` is what decided.
    """

    model: onnx.ModelProto
    measures: dict[str, float]
    fp32_parts: tuple[str, ...] = ()
    max_activation: float | None = None
    exceeded: str = ""
    judgement: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class _Candidate:
    """The nodes that may run in reduced precision, by name the part that each belongs to.

    With functions to simulate and to convert some of them.
    """

    parts: Mapping[str, str]
    simulate: Callable[[Collection[str]], onnx.ModelProto]
    convert: Callable[[Collection[str]], onnx.ModelProto]
    max_activation: float | None = None


def convert_precision(
    model: onnx.ModelProto,
    precision: str,
    images: NDArray[np.uint8],
    report: Callable[[str], None] = lambda line: None,
    judge: Judge | None = None,
    complete: Callable[[onnx.ModelProto], onnx.ModelProto] = lambda graph: graph,
) -> Conversion:
    """Convert a float32 graph, leaving in it the parts that the limits of accuracy demand.

    Args:
        model: The float32 graph.
        precision: `fp16`, `bf16` or `int8`.
        images: uint8 [N,H,W,3]. int8: all calibrate; at most eight of them measure accuracy.
        report: Called with each line of progress.
        judge: Decides by labelled pictures; None: agreement with the float32 graph decides.
        complete: Adds what stays float32 in any precision, to every graph that is measured and to
            the one that is returned.

    Raises:
        ConfigurationError: The judge's pictures have no truth that could decide.
        ExportError: The graph cannot be run.
    """
    measured = images[np.linspace(0, len(images) - 1, min(len(images), 8)).astype(int)]
    reference = complete(model)
    agreeing = criterion = agreement(reference, measured)
    judgement: dict[str, object] = {}
    if judge is not None:
        report(f"judging by {judge.pictures}")
        figures = judge.figures(reference)
        judgement = {"pictures": judge.pictures, "fp32": dict(figures)}
        criterion = judged(judge, figures)
    candidate = (
        _int8(model, images) if precision == "int8" else _float16(model, precision, measured)
    )

    def chosen(fp32_parts: Collection[str]) -> set[str]:
        return {name for name, part in candidate.parts.items() if part not in fp32_parts}

    def simulation(nodes: Collection[str]) -> onnx.ModelProto:
        return complete(candidate.simulate(nodes))

    def measure(fp32_parts: Collection[str]) -> dict[str, float]:
        return criterion.measure(simulation(chosen(fp32_parts)))

    candidate_parts = sorted(set(candidate.parts.values()))
    fp32_parts, measures = choose_fp32_parts(candidate_parts, measure, report, criterion.excess)
    exceeded = criterion.describe(measures)
    nodes = chosen(fp32_parts)
    if judge is not None:
        simulated = simulation(nodes)
        judgement |= {precision: dict(judge.figures(simulated)), "loss": measures}
        measures = agreeing.measure(simulated)
    return Conversion(
        complete(candidate.convert(nodes)),
        measures,
        fp32_parts,
        candidate.max_activation,
        exceeded,
        judgement,
    )


def choose_fp32_parts(
    parts: Collection[str],
    measure: Callable[[Collection[str]], dict[str, float]],
    report: Callable[[str], None] = lambda line: None,
    excess: Callable[[Mapping[str, float]], float] = accuracy_excess,
) -> tuple[tuple[str, ...], dict[str, float]]:
    """Find the parts that stay float32: by the damage each does alone, until the limits hold.

    Args:
        parts: All that could be converted.
        measure: Accuracy with these parts in float32 and all others converted.
        report: Called with each line of progress.
        excess: The worst of the measures as a multiple of its limit.

    Returns:
        The parts to leave in float32, at most half of them, and the accuracy then. Where half is
        not enough, none, and an accuracy beyond the limits: what is written all the same is then
        at least as fast as was hoped for.
    """
    fp32_parts: list[str] = []
    without = measure(fp32_parts)
    most = int(_MAX_FP32_SHARE * len(parts))
    if excess(without) <= 1.0 or most == 0:
        return (), without
    report("all parts at once exceed the limits; measuring each part alone:")
    damage = {}
    for name in parts:
        damage[name] = excess(measure([other for other in parts if other != name]))
        report(f"  {name:<24} {damage[name]:.3g} of the limit")
    for name in sorted(damage, key=lambda name: -damage[name])[:most]:
        fp32_parts.append(name)
        measures = measure(fp32_parts)
        report(f"  {name} stays fp32: {excess(measures):.3g} of the limit")
        if excess(measures) <= 1.0:
            return tuple(fp32_parts), measures
    return (), without


def _float16(model: onnx.ModelProto, precision: str, images: NDArray[np.uint8]) -> _Candidate:
    nodes = convertible_nodes(model)
    max_activation = None
    if precision == "fp16":
        magnitudes = max_magnitudes(model, nodes, images)
        nodes = {name for name in nodes if magnitudes[name] * _FP16_HEADROOM < FP16_MAX}
        max_activation = max((magnitudes[name] for name in nodes), default=0.0)
    part = parts(model.graph)
    return _Candidate(
        {name: part[name] for name in nodes},
        lambda chosen: simulate_conversion(model, precision, chosen),
        lambda chosen: convert_nodes(model, precision, chosen),
        max_activation,
    )


def _int8(model: onnx.ModelProto, images: NDArray[np.uint8]) -> _Candidate:
    model = split_concatenations(model)
    nodes = quantizable_nodes(model)
    ranges = measure_ranges(model, quantized_tensors(model, nodes), images)

    def convert(chosen: Collection[str]) -> onnx.ModelProto:
        return quantize(model, ranges, chosen)

    # Without optimisations, ONNX Runtime computes Q/DQ literally: the graph simulates itself.
    part = parts(model.graph)
    return _Candidate({name: part[name] for name in nodes}, convert, convert)


def max_magnitudes(
    model: onnx.ModelProto, nodes: Collection[str], images: NDArray[np.uint8]
) -> dict[str, float]:
    """Largest absolute value of the tensors each of these nodes reads and writes, over all images.

    Raises:
        ExportError: The graph cannot be run.
    """
    tensors = converted_tensors(model, nodes)
    model = copy.deepcopy(model)
    graph = model.graph
    del graph.output[:]
    for name in sorted(set().union(*tensors.values())):
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
        for node, names in tensors.items()
    }


def check_limits(conversion: Conversion, precision: str, force: bool) -> None:
    """Refuse a conversion beyond the limits of accuracy, unless `force`.

    Raises:
        ExportError: With measures and limits.
    """
    if conversion.exceeded and not force:
        raise ExportError(
            f"{precision} costs too much accuracy against fp32: {conversion.exceeded}; nothing "
            "was written: give more or better --calibration pictures, choose a wider precision, "
            "or write it all the same with --force"
        )

# SPDX-License-Identifier: Apache-2.0
"""A reduced precision is in the graph itself, is measured, and is refused where it costs much."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from functools import partial

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from support.tiny_model import random_images, write_tiny_model

from mtinet_ros.cli.main import main
from mtinet_ros.errors import ConfigurationError, ExportError
from mtinet_ros.export import accuracy
from mtinet_ros.export.calibration import Range, best_limit, measure_ranges
from mtinet_ros.export.concatenations import split_concatenations
from mtinet_ros.export.confidence import has_confidence, with_confidence
from mtinet_ros.export.criteria import LOSS_LIMITS, Judge
from mtinet_ros.export.exporter import ExportOptions, export_network
from mtinet_ros.export.precision import (
    Conversion,
    check_limits,
    choose_fp32_parts,
    convert_precision,
    max_magnitudes,
)
from mtinet_ros.export.quantization import quantizable_nodes, quantize, quantized_tensors
from mtinet_ros.export.reduced_precision import (
    convert_nodes,
    convertible_nodes,
    simulate_conversion,
)
from mtinet_ros.export.synthetic_images import synthetic_images
from mtinet_ros.export.verification import check_exactness, compare, run_onnxruntime

SIZE = (64, 96)


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return synthetic_images(2, SIZE, seed=11)


@pytest.fixture(scope="module")
def pieces(graph) -> onnx.ModelProto:
    return split_concatenations(graph)


@pytest.fixture(scope="module")
def ranges(pieces, pictures) -> dict[str, Range]:
    tensors = quantized_tensors(pieces, quantizable_nodes(pieces))
    return measure_ranges(pieces, tensors, pictures)


@pytest.fixture
def no_limits(monkeypatch) -> None:
    """Random weights are worse than trained ones: what is asked here is not how good they are."""
    loose = dict.fromkeys(accuracy.LIMITS, 1e9) | {"label_agreement": -1e9, "miou": -1e9}
    monkeypatch.setattr(accuracy, "LIMITS", loose)


def operators(model: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


def types(model: onnx.ModelProto) -> Counter[int]:
    weights = {name for node in model.graph.node if node.op_type == "Conv" for name in node.input}
    return Counter(t.data_type for t in model.graph.initializer if t.name in weights)


@pytest.mark.parametrize(
    ("precision", "element_type", "opset"),
    [("fp16", TensorProto.FLOAT16, 17), ("bf16", TensorProto.BFLOAT16, 22)],
)
def test_sixteen_bits_are_in_the_graph_and_outputs_keep_the_contract(
    graph, precision, element_type, opset
):
    model = convert_nodes(graph, precision, convertible_nodes(graph))
    onnx.checker.check_model(model, full_check=True)
    assert set(types(model)) == {element_type}
    assert model.opset_import[0].version == opset
    assert [o.type.tensor_type.elem_type for o in model.graph.output] == [
        o.type.tensor_type.elem_type for o in graph.graph.output
    ]
    assert len(model.SerializeToString()) < 0.55 * len(graph.SerializeToString())
    assert [node.op_type for node in model.graph.node if "image" in node.input] == ["Cast"]


def test_softmax_and_the_length_of_normals_stay_fp32(graph):
    model = onnx.shape_inference.infer_shapes(
        convert_nodes(graph, "fp16", convertible_nodes(graph))
    )
    element = {v.name: v.type.tensor_type.elem_type for v in model.graph.value_info}
    for node in model.graph.node:
        if node.op_type in ("Softmax", "Sqrt"):
            assert element[node.output[0]] == TensorProto.FLOAT


def test_the_simulation_rounds_and_overflows_as_sixteen_bits_do():
    weight = numpy_helper.from_array(np.full((1, 3, 1, 1), 1.0, np.float32), "weight")
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=1),
        helper.make_node("Transpose", ["float"], ["pixels"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["pixels", "weight"], ["sum"], name="/network/a/b/Conv"),
        helper.make_node("Mul", ["sum", "factor"], ["depth"], name="/network/a/b/Mul"),
    ]
    shape = [1, 1, 1, 1]
    graph = helper.make_graph(
        nodes,
        "two operators",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [1, 1, 1, 3])],
        [helper.make_tensor_value_info("depth", TensorProto.FLOAT, shape)],
        [weight, numpy_helper.from_array(np.float32([1.0 + 2.0**-12]), "factor")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    image = np.full((1, 1, 1, 3), 100, np.uint8)
    chosen = {"/network/a/b/Conv", "/network/a/b/Mul"}
    assert run_onnxruntime(model, image)["depth"] != 300.0
    rounded = run_onnxruntime(simulate_conversion(model, "fp16", chosen), image, optimize=False)
    assert rounded["depth"] == 300.0
    model.graph.initializer[1].CopyFrom(numpy_helper.from_array(np.float32([1e4]), "factor"))
    overflown = run_onnxruntime(simulate_conversion(model, "fp16", chosen), image, optimize=False)
    assert np.isinf(overflown["depth"])


def test_what_reads_a_tensor_near_the_largest_fp16_is_near_it_too():
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=1, name="/network/in/Cast"),
        helper.make_node("Mul", ["pixels", "factor"], ["loud"], name="/network/a/Mul"),
        helper.make_node("Sigmoid", ["loud"], ["depth"], name="/network/b/Sigmoid"),
    ]
    graph = helper.make_graph(
        nodes,
        "a loud tensor between quiet ones",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [1, 2])],
        [helper.make_tensor_value_info("depth", TensorProto.FLOAT, [1, 2])],
        [numpy_helper.from_array(np.float32([3000.0]), "factor")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    chosen = {"/network/a/Mul", "/network/b/Sigmoid"}
    magnitudes = max_magnitudes(model, chosen, np.array([[10, 0], [1, 2]], np.uint8))
    assert magnitudes == dict.fromkeys(chosen, 30000.0)


def test_what_comes_near_the_largest_fp16_stays_fp32(graph, pictures, no_limits):
    names = convertible_nodes(graph)
    magnitudes = max_magnitudes(graph, names, pictures[:1])
    assert set(magnitudes) == names
    loud = max(magnitudes, key=lambda name: magnitudes[name])
    scaled = onnx.ModelProto()
    scaled.CopyFrom(graph)
    convolution = next(n for n in scaled.graph.node if n.op_type == "Conv" and n.name in names)
    for tensor in scaled.graph.initializer:
        if tensor.name in convolution.input[1:]:
            values = numpy_helper.to_array(tensor) * np.float32(1e6)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    assert magnitudes[loud] < 65504
    conversion = convert_precision(scaled, "fp16", pictures[:1])
    kept = next(n for n in conversion.model.graph.node if n.name == convolution.name)
    stored = {t.name: t.data_type for t in conversion.model.graph.initializer}
    assert stored[kept.input[1]] == TensorProto.FLOAT
    for name, values in run_onnxruntime(conversion.model, pictures[:1]).items():
        assert np.isfinite(values).all(), f"{name} overflows: what reads a loud tensor is fp16"


@pytest.mark.slow
def test_int8_keeps_the_rules_of_tensorrt(ranges, pieces):
    model = quantize(pieces, ranges, quantizable_nodes(pieces))
    onnx.checker.check_model(model, full_check=True)
    stored = {t.name: t for t in model.graph.initializer}
    producers = {output: node for node in model.graph.node for output in node.output}
    kinds = {"QuantizeLinear", "DequantizeLinear"}
    dequantized = {o for o, node in producers.items() if node.op_type == "DequantizeLinear"}
    for node in model.graph.node:
        if node.op_type in kinds:
            zero_point = stored[node.input[2]]
            assert zero_point.data_type == TensorProto.INT8
            assert not numpy_helper.to_array(zero_point).any(), "int8 must be symmetric"
        elif dequantized.intersection(node.input):
            assert node.op_type in ("Conv", "Add", "Concat", "Resize")
        if node.op_type == "QuantizeLinear":
            assert numpy_helper.to_array(stored[node.input[1]]).ndim == 0, "a scale per tensor"
    first, *others = (node for node in model.graph.node if node.op_type == "Conv")
    assert first.input[0] not in producers or producers[first.input[0]].op_type not in kinds
    for node in others:
        values, weights, bias = node.input
        assert producers[values].op_type == producers[weights].op_type == "DequantizeLinear"
        channels = len(numpy_helper.to_array(stored[producers[weights].input[0]]))
        assert numpy_helper.to_array(stored[producers[weights].input[1]]).shape == (channels,)
        assert stored[bias].data_type == TensorProto.FLOAT, "no Q/DQ on biases"


@pytest.mark.slow
def test_int8_flows_into_residual_sums(ranges, pieces):
    """A block's input is written once, in a quarter of the space, for convolution and sum."""
    model = quantize(pieces, ranges, quantizable_nodes(pieces))
    producers = {output: node for node in model.graph.node for output in node.output}
    read_by_convolutions = {n.input[0] for n in model.graph.node if n.op_type == "Conv"}
    originals = {name.removesuffix("_dequantized") for name in read_by_convolutions}
    for node in model.graph.node:
        if node.op_type in ("Add", "Concat", "Resize"):
            assert not originals & set(node.input), f"{node.name} reads float beside int8"
    shared = [
        node
        for node in model.graph.node
        if node.op_type == "Add"
        and any(
            producers[name].op_type == "DequantizeLinear"
            for name in node.input
            if name in producers
        )
    ]
    assert len(shared) > 50


@pytest.mark.slow
def test_a_part_that_stays_fp32_is_as_it_was(ranges, pieces):
    restored = quantize(pieces, ranges, [])
    assert restored.graph.node == pieces.graph.node
    heads = {n for n in quantizable_nodes(pieces) if "/semseg/" in n or "/depth/" in n}
    model = quantize(pieces, ranges, heads)
    kept = {node.name: node for node in model.graph.node}
    for node in pieces.graph.node:
        if node.name not in heads:
            assert kept[node.name] == node


def convolution_graph(weights: np.ndarray, bias: np.ndarray | None) -> onnx.ModelProto:
    """Pixels, a first convolution that passes them on, and one with these weights."""
    channels = weights.shape[1]
    identity = np.zeros((channels, 3, 1, 1), np.float32)
    identity[:, 0] = 1.0
    inputs = ["first", "weights"] + (["bias"] if bias is not None else [])
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=1, name="/Cast"),
        helper.make_node("Transpose", ["pixels"], ["planes"], perm=[0, 3, 1, 2], name="/T"),
        helper.make_node("Conv", ["planes", "identity"], ["first"], name="/network/a/b/Conv"),
        helper.make_node("Conv", inputs, ["depth"], name="/network/c/d/Conv"),
    ]
    stored = {"identity": identity, "weights": weights}
    if bias is not None:
        stored["bias"] = bias
    graph = helper.make_graph(
        nodes,
        "two convolutions",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", 8, 8, 3])],
        [helper.make_tensor_value_info("depth", TensorProto.FLOAT, ["N", len(weights), 8, 8])],
        [numpy_helper.from_array(value, name) for name, value in stored.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("bias", [None, np.float32([10.0, -3.0])])
def test_the_bias_takes_back_what_rounded_weights_add_to_the_mean(bias):
    random = np.random.default_rng(3)
    weights = random.normal(size=(2, 24, 1, 1)).astype(np.float32)
    weights[:, 0] *= 40.0  # makes the steps coarse for all others
    model = convolution_graph(weights, bias)
    images = random.integers(100, 140, (6, 8, 8, 3), dtype=np.uint8)
    (name,) = tensors = quantized_tensors(model, quantizable_nodes(model))
    measured = measure_ranges(model, tensors, images)
    wanted = run_onnxruntime(model, images)["depth"]

    def mean_error(ranges):
        graph = quantize(model, ranges, quantizable_nodes(model))
        got = run_onnxruntime(graph, images, optimize=False)["depth"]
        return np.abs((got - wanted).mean(axis=(0, 2, 3)))

    without = {name: replace(measured[name], means=np.zeros(24, np.float32))}
    assert (mean_error(measured) < 0.1 * mean_error(without)).all()


def test_a_lone_large_value_does_not_make_all_steps_coarse():
    values = np.abs(np.random.default_rng(0).normal(size=20000)).astype(np.float32)
    assert best_limit(values) == pytest.approx(values.max(), rel=0.2)
    assert best_limit(np.append(values, np.float32(8.0))) < 7.5


def test_parts_that_suffer_most_stay_fp32_until_the_limits_hold():
    damage = {"stem": 0.02, "stage": 0.015, "head": 0.004, "fpm": 0.001}

    def measure(fp32_parts):
        return {"depth_abs_rel": sum(d for name, d in damage.items() if name not in fp32_parts)}

    fp32_parts, measures = choose_fp32_parts(list(damage), measure)
    assert fp32_parts == ("stem",)
    assert measures["depth_abs_rel"] == pytest.approx(0.02)
    damage["stage"] = 0.05
    fp32_parts, measures = choose_fp32_parts(list(damage), measure)
    assert fp32_parts == ("stage",)
    damage |= {"head": 1.0, "fpm": 1.0}
    fp32_parts, measures = choose_fp32_parts(list(damage), measure)
    assert fp32_parts == ()  # half of them would not do: what is forced is converted whole
    assert measures["depth_abs_rel"] == pytest.approx(sum(damage.values()))
    assert "depth_abs_rel" in accuracy.describe_excess(measures)


def judge_by(depth_error: float, calls: list[int]) -> Judge:
    """Says that each int8 weight in a graph's head costs so much; float costs nothing."""

    def figures(model):
        calls.append(1)
        codes = [
            n for n in model.graph.node if "weights" in n.name and n.op_type == "DequantizeLinear"
        ]
        return {"depth_delta1": 0.8 - depth_error * len(codes)}

    return Judge("rooms (rooms), val, 2 frames", figures)


def test_labelled_pictures_decide_if_there_are_any(monkeypatch):
    model = convolution_graph(np.ones((1, 24, 1, 1), np.float32), None)
    images = np.full((2, 8, 8, 3), 100, np.uint8)
    calls: list[int] = []
    mild = convert_precision(model, "int8", images, judge=judge_by(0.004, calls))
    assert mild.fp32_parts == ()
    assert mild.exceeded == ""
    assert mild.judgement["loss"] == {"depth_delta1": pytest.approx(0.004)}
    assert mild.judgement["fp32"] == {"depth_delta1": 0.8}
    assert mild.judgement["pictures"] == "rooms (rooms), val, 2 frames"
    assert "depth_abs_rel" in mild.measures
    bad = convert_precision(model, "int8", images, judge=judge_by(0.02, calls))
    assert bad.exceeded == f"depth_delta1 loses 0.02, the limit {LOSS_LIMITS['depth_delta1']:g}"
    monkeypatch.setattr("mtinet_ros.export.precision._MAX_FP32_SHARE", 1.0)
    kept = convert_precision(model, "int8", images, judge=judge_by(0.02, calls))
    assert kept.fp32_parts == ("c",)
    assert kept.exceeded == ""
    assert not {"QuantizeLinear", "DequantizeLinear"} & {n.op_type for n in kept.model.graph.node}


@pytest.mark.parametrize("precision", ["int8", "fp16", "bf16"])
def test_the_graph_that_is_measured_has_the_confidence_of_the_one_that_is_returned(
    precision, tmp_path, monkeypatch
):
    model = onnx.load(write_tiny_model(tmp_path / "tiny.onnx"))
    for index, node in enumerate(model.graph.node):
        node.name = f"/network/part/{index}"
    seen: list[bool] = []

    def figures(graph):
        seen.append(has_confidence(graph))
        return {"semseg_miou": 0.5}

    def converted(judge=None):
        complete = partial(with_confidence, temperature=1.0)
        return convert_precision(model, precision, images, judge=judge, complete=complete)

    images = random_images(3)
    monkeypatch.setattr(accuracy, "LIMITS", {**accuracy.LIMITS, "confidence_mean": 1e-9})
    conversion = converted()
    assert has_confidence(conversion.model)
    measured = conversion.measures["confidence_mean"]
    assert 0.0 < measured < 0.05
    assert "confidence_mean is " in conversion.exceeded
    if precision == "int8":  # which ONNX Runtime computes as it is
        expected, found = (
            run_onnxruntime(graph, images, optimize=False)["confidence"].astype(float)
            for graph in (with_confidence(model, 1.0), conversion.model)
        )
        assert measured == pytest.approx(np.abs(found - expected).mean() / 255)
    converted(Judge("rooms (rooms), val, 2 frames", figures))
    assert len(seen) >= 2
    assert all(seen)


def test_a_judge_without_truth_is_refused():
    model = convolution_graph(np.ones((1, 24, 1, 1), np.float32), None)
    judge = Judge("rooms (rooms), val, 2 frames", lambda model: {"sal_miou": 0.5})
    with pytest.raises(ConfigurationError, match=r"rooms.*no truth that could decide"):
        convert_precision(model, "int8", np.zeros((1, 8, 8, 3), np.uint8), judge=judge)


def test_measures_against_themselves_are_perfect(graph, pictures):
    outputs = run_onnxruntime(graph, pictures)
    measures = accuracy.measure_accuracy(outputs, outputs)
    assert measures == {
        "label_agreement": 1.0,
        "miou": 1.0,
        "depth_abs_rel": 0.0,
        "normals_mean_deg": 0.0,
        "confidence_mean": 0.0,
    }
    assert accuracy.excess(measures) == 0.0
    broken = {**outputs, "depth": outputs["depth"] * np.nan}
    assert accuracy.excess(accuracy.measure_accuracy(outputs, broken)) == float("inf")
    assert "depth_abs_rel is nan" in accuracy.describe_excess(
        accuracy.measure_accuracy(outputs, broken)
    )


@pytest.mark.slow
def test_a_precision_that_costs_too_much_is_refused_and_nothing_is_written(
    untrained, pictures, tmp_path, monkeypatch
):
    network, card = untrained
    card = replace(card, max_batch=1)
    monkeypatch.setattr(accuracy, "LIMITS", {**accuracy.LIMITS, "label_agreement": 0.999999})
    monkeypatch.setattr("mtinet_ros.export.precision._MAX_FP32_SHARE", 0.0)
    options = ExportOptions(precision="fp16", images=pictures[:1])
    with pytest.raises(ExportError, match=r"fp16 costs too much.*label_agreement.*--force"):
        export_network(network, card, tmp_path / "x.onnx", options)
    assert list(tmp_path.iterdir()) == []


def test_force_writes_what_is_beyond_the_limits():
    conversion = Conversion(onnx.ModelProto(), {}, exceeded="miou is 0.1, the limit 0.9")
    check_limits(conversion, "int8", force=True)
    with pytest.raises(ExportError, match=r"miou is 0\.1"):
        check_limits(conversion, "int8", force=False)


@pytest.mark.slow
def test_the_command_writes_int8_and_inspect_shows_it(tmp_path, capsys, no_limits):
    import cv2

    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, image in enumerate(synthetic_images(3, (80, 80))):
        cv2.imwrite(str(folder / f"{number}.png"), image)
    output = tmp_path / "model.onnx"
    arguments = ["export", "--untrained", "--input-size", "64x96", "--max-batch", "1"]
    arguments += ["--precision", "int8", "--calibration", str(folder), "--confidence"]
    assert main([*arguments, "-o", str(output)]) == 0
    assert "int8 against float32" in capsys.readouterr().out
    assert main(["inspect", str(output), "--json"]) == 0
    page = json.loads(capsys.readouterr().out)
    assert page["card"]["accuracy"]["pictures"] == "real"
    assert 0.0 < page["card"]["accuracy"]["confidence_mean"] < 1.0
    assert page["card"]["precision"] == "int8"
    precisions = {name for part in page["parts"] for name in part["macs"]}
    assert precisions == {"int8", "fp32"}


def test_a_convolution_of_a_concatenation_is_the_sum_of_its_pieces(graph, pictures):
    split = split_concatenations(graph)
    onnx.checker.check_model(split, full_check=True)
    producers = {output: node for node in split.graph.node for output in node.output}
    read = [producers[n.input[0]] for n in split.graph.node if n.op_type == "Conv"]
    whole = [producers[name].op_type for n in read if n.op_type == "Concat" for name in n.input]
    assert set(whole) <= {"Relu"}, "negative values in a concatenation that int8 will read"
    assert operators(split)["Conv"] > operators(graph)["Conv"]
    differences = compare(run_onnxruntime(graph, pictures), run_onnxruntime(split, pictures))
    check_exactness(differences)


def test_openvino_computes_int8_of_pieces_as_the_graph_says(pieces, ranges, pictures):
    openvino = pytest.importorskip("openvino")
    heads = {name for name in quantizable_nodes(pieces) if "/network/depth/" in name}
    model = quantize(pieces, ranges, heads)
    core = openvino.Core()
    config = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(core.read_model(model.SerializeToString()), "CPU", config)
    answers = compiled({"image": pictures})["depth"]
    said = run_onnxruntime(model, pictures, optimize=False)["depth"]
    exact = run_onnxruntime(pieces, pictures)["depth"]
    # Where a value lies between two codes, either may be taken.
    assert np.abs(answers - said).mean() < 0.05 * np.abs(said - exact).mean()

# SPDX-License-Identifier: Apache-2.0
"""`mtinet inspect` shows what is in a file, and refuses files that are not whole."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from safetensors.torch import save_file
from support.tiny_model import tiny_card
from torch.utils.flop_counter import FlopCounterMode

from mtinet_ros.cli.main import main
from mtinet_ros.errors import ModelError
from mtinet_ros.export.inspection import Inspection, inspect_model
from mtinet_ros.export.rewrites import rewrite_for_speed
from mtinet_ros.model_card import METADATA_KEY, ModelCard


def test_arithmetic_and_parameters_are_those_of_the_network(exported, untrained):
    inspection = inspect_model(exported.path)
    network = rewrite_for_speed(untrained[0])
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 3, 64, 96))
    # The graph leaves out the decoders of deep supervision, a small part.
    assert inspection.macs == pytest.approx(counter.get_total_flops() / 2, rel=0.02)
    learnt = sum(p.numel() for p in untrained[0].parameters())
    assert inspection.parameters == pytest.approx(learnt, rel=0.02)
    assert sum(sum(part.macs.values()) for part in inspection.parts) == inspection.macs
    assert {"backbone stem", "scale_3", "fpm_scale_1", "head depth"} <= {
        part.name for part in inspection.parts
    }


def test_the_page_says_what_a_user_asks_first(exported, capsys):
    assert main(["inspect", str(exported.path)]) == 0
    page = capsys.readouterr().out
    for word in (
        "UNTRAINED",
        "GMAC",
        "wall, floor",
        "focal length",
        "label_agreement",
    ):
        assert word in page


def test_weights_outside_the_file_are_refused(exported, tmp_path, capsys):
    """A path in a model file must not make anyone read elsewhere on the disk."""
    model = onnx.load(exported.path)
    tensor = max(model.graph.initializer, key=lambda t: len(t.raw_data))
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../etc/passwd"
    path = tmp_path / "outside.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=r"\.\./\.\./etc/passwd"):
        inspect_model(path)
    assert main(["inspect", str(path)]) == 1
    assert "Traceback" not in capsys.readouterr().err


def test_a_file_that_is_no_model_is_refused(tmp_path):
    path = tmp_path / "x.onnx"
    path.write_bytes(b"no model at all")
    with pytest.raises(ModelError, match=r"x\.onnx"):
        inspect_model(path)


def counts(inspection: Inspection) -> tuple[object, ...]:
    return (
        inspection.parameters, inspection.macs, inspection.uncounted, inspection.parts,
    )  # fmt: skip


def saved(model: onnx.ModelProto, path: Path) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


def test_weights_as_constant_nodes_count_as_initializers_do(exported, graph, tmp_path):
    """PyTorch's own exporter without constant folding, and tf2onnx, write them so."""
    changed = copy.deepcopy(graph)
    constants = [
        onnx.helper.make_node("Constant", [], [tensor.name], value=tensor)
        for tensor in changed.graph.initializer
    ]
    nodes = [*constants, *changed.graph.node]
    del changed.graph.initializer[:], changed.graph.node[:]
    changed.graph.node.extend(nodes)
    inspection = inspect_model(saved(changed, tmp_path / "constants.onnx"))
    assert counts(inspection) == counts(inspect_model(exported.path))


def test_nodes_without_names_are_counted(exported, graph, tmp_path, capsys):
    changed = copy.deepcopy(graph)
    for node in changed.graph.node:
        node.ClearField("name")
    path = saved(changed, tmp_path / "unnamed.onnx")
    named, unnamed = inspect_model(exported.path), inspect_model(path)
    assert counts(unnamed)[:3] == counts(named)[:3]
    # What module a node is of is told by its name; nothing is invented where there is none.
    assert {part.name for part in unnamed.parts} == {"unknown"}
    assert main(["inspect", str(path)]) == 0
    assert "GMAC" in capsys.readouterr().out


def other_tools_graphs(card: ModelCard) -> dict[str, onnx.ModelProto]:
    """Graphs with a card that no exporter of ours wrote, and what they may lack."""
    helper, tensor = onnx.helper, onnx.numpy_helper.from_array
    image = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N", 3, 8, 8])
    free = helper.make_tensor_value_info("w", onnx.TensorProto.FLOAT, None)
    result = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)
    kernel = tensor(np.zeros((4, 3, 3, 3), np.float32), "w")

    def model(nodes, inputs=(image,), weights=(), **options):
        graph = helper.make_graph(list(nodes), "g", list(inputs), [result], list(weights))
        made = helper.make_model(graph, **options)
        helper.set_model_props(made, {METADATA_KEY: card.to_json()})
        return made

    conv = helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])
    named_twice = [
        helper.make_node("Identity", ["x"], ["i"], name="same"),
        helper.make_node("Conv", ["i", "w"], ["y"], name="same"),
    ]
    circle = [
        helper.make_node("Cast", ["b"], ["a"], to=1),
        helper.make_node("Cast", ["a"], ["b"], to=1),
        helper.make_node("Conv", ["x", "a"], ["y"]),
    ]
    no_opset = model([conv], weights=[kernel])
    del no_opset.opset_import[:]
    return {
        "empty": model([]),
        "weights as inputs": model([conv], (image, free)),
        "weights missing": model([conv]),
        "weights computed": model([helper.make_node("Exp", ["x"], ["w"]), conv]),
        "no input at all": model([helper.make_node("Conv", [], [])]),
        "one input": model([helper.make_node("Gemm", ["x"], ["y"])]),
        "an unknown operator": model([helper.make_node("Magic", ["x"], ["y"], domain="acme")]),
        "names twice": model(named_twice, weights=[kernel]),
        "a circle": model(circle),
        "shapes that contradict": model(
            [helper.make_node("Conv", ["x", "w"], ["y"], kernel_shape=[9])], weights=[kernel]
        ),
        "no opset": no_opset,
        "a vector as matrix": model(
            [helper.make_node("MatMul", ["x", "w"], ["y"])],
            weights=[tensor(np.zeros(8, np.float32), "w")],
        ),
    }


@pytest.mark.parametrize("name", other_tools_graphs(tiny_card()))
def test_no_graph_of_another_tool_ends_in_a_traceback(name, tmp_path, capsys):
    path = saved(other_tools_graphs(tiny_card())[name], tmp_path / "x.onnx")
    for options in ([], ["--json"]):
        assert main(["inspect", str(path), *options]) == 0
        printed = capsys.readouterr()
        assert printed.err == ""
        assert printed.out


@pytest.mark.parametrize(
    "entries",
    [
        {"accuracy": [0.9, 0.8]},
        {"accuracy": "good"},
        {"accuracy": {"labels": {"a": 1}}, "name": 7, "attribution": [1], "license": None},
        {"class_names": [1, 2, 3, 4, 5], "focal_length": "50"},
        {"tasks": "depth"},
    ],
)
def test_a_card_that_somebody_wrote_by_hand_ends_in_no_traceback(entries, tmp_path, capsys):
    model = other_tools_graphs(tiny_card())["empty"]
    card = json.loads(tiny_card().to_json()) | entries
    onnx.helper.set_model_props(model, {METADATA_KEY: json.dumps(card)})
    status = main(["inspect", str(saved(model, tmp_path / "x.onnx"))])
    printed = capsys.readouterr()
    assert (status, bool(printed.out)) in ((0, True), (1, False))
    assert status == 0 or "model card" in printed.err


def test_what_cannot_be_counted_is_said(tmp_path, capsys):
    path = saved(other_tools_graphs(tiny_card())["weights missing"], tmp_path / "x.onnx")
    assert inspect_model(path).uncounted == 1
    assert main(["inspect", str(path)]) == 0
    assert "0.00 GMAC per picture and 1 operators uncounted" in capsys.readouterr().out


@pytest.mark.parametrize("transposed", [0, 1])
def test_a_matrix_product_is_counted_whichever_way_its_weights_lie(transposed, tmp_path):
    helper = onnx.helper
    weights = np.zeros((7, 5) if transposed else (5, 7), np.float32)  # from 5 numbers to 7
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", "w"], ["y"], transB=transposed)], "g",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N", 5])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["N", 7])],
        [onnx.numpy_helper.from_array(weights, "w")],
    )  # fmt: skip
    model = helper.make_model(graph)
    helper.set_model_props(model, {METADATA_KEY: tiny_card().to_json()})
    inspection = inspect_model(saved(model, tmp_path / "x.onnx"))
    assert (inspection.macs, inspection.parameters) == (5 * 7, 5 * 7)


def test_a_graph_that_onnx_runtime_has_fused_is_counted(exported, tmp_path):
    """Its fused convolutions have other names, and do the same arithmetic."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(tmp_path / "fused.onnx")
    onnxruntime.InferenceSession(str(exported.path), options, providers=["CPUExecutionProvider"])
    fused = onnx.load(options.optimized_model_filepath)
    onnx.helper.set_model_props(fused, {METADATA_KEY: tiny_card().to_json()})
    inspection = inspect_model(saved(fused, tmp_path / "carded.onnx"))
    assert "com.microsoft.FusedConv" in inspection.operators
    # Shapes after an operator that ONNX does not know are known only where the file says them.
    known = inspect_model(exported.path)
    assert inspection.parameters == pytest.approx(known.parameters, rel=0.001)
    assert inspection.macs + inspection.uncounted > 0


def test_constants_outside_the_file_are_refused(graph, tmp_path, capsys):
    changed = copy.deepcopy(graph)
    tensor = onnx.TensorProto(name="c", data_type=onnx.TensorProto.FLOAT, dims=[1])
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")
    changed.graph.node.append(onnx.helper.make_node("Constant", [], ["c"], value=tensor))
    assert main(["inspect", str(saved(changed, tmp_path / "x.onnx"))]) == 1
    assert "keeps its weights in another file ('weights.bin')" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["last.ckpt", "model.safetensors"])
def test_a_checkpoint_is_not_a_model(name, tmp_path, capsys):
    path = tmp_path / name
    content = {"w": torch.zeros(1)}
    if name.endswith("ckpt"):
        torch.save(content, path)
    else:
        save_file(content, path)
    assert main(["inspect", str(path)]) == 1
    assert "is not an ONNX file" in capsys.readouterr().err

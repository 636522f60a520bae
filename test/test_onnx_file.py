# SPDX-License-Identifier: Apache-2.0
"""A graph that another tool changed is known as such, and never run by what misreads it."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnx.inliner
import onnxruntime
import pytest
from onnx import TensorProto, helper
from onnxruntime.quantization import QuantFormat, QuantType, quantize_dynamic
from support.tiny_model import random_images, tiny_card, write_tiny_model

from mtinet_ros.cli.main import main
from mtinet_ros.errors import BackendUnavailableError, ModelError
from mtinet_ros.export.onnx_graph import attach_card
from mtinet_ros.inference import load_backend
from mtinet_ros.inference.selection import check_operators
from mtinet_ros.model_card import read_model_card
from mtinet_ros.onnx_file import read_onnx_file

BUNDLED = Path(__file__).parents[1] / "models" / "mtinet_indoor.onnx"


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """A model with a card as `mtinet export` writes it."""
    path = write_tiny_model(tmp_path / "tiny.onnx")
    model = onnx.load(path)
    attach_card(model, tiny_card())
    onnx.save(model, path)
    return path


def test_a_card_is_of_the_graph_it_was_exported_with(exported: Path) -> None:
    card = read_model_card(exported)
    assert len(card.fingerprint) == 64
    assert not card.modified


def test_a_copy_by_another_tool_and_more_metadata_change_nothing(exported: Path) -> None:
    model = onnx.load(exported)
    model.metadata_props.add(key="note", value="from the left robot")
    onnx.save(model, exported)
    assert not read_model_card(exported).modified


def test_one_changed_weight_withdraws_what_was_measured(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    exported = tmp_path / "changed.onnx"
    model = onnx.load(BUNDLED)
    largest = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    raw = bytearray(largest.raw_data)
    raw[5] ^= 1
    largest.raw_data = bytes(raw)
    onnx.save(model, exported)
    card = read_model_card(exported)
    assert card.modified
    assert card.accuracy == {}
    with caplog.at_level(logging.WARNING):
        load_backend(exported, "onnxruntime").close()
    assert "was changed by another tool" in caplog.text
    assert main(["inspect", str(exported)]) == 0
    page = capsys.readouterr().out
    assert "another tool has changed the graph" in page
    assert "precision    unknown" in page


def test_a_model_quantized_elsewhere_is_no_longer_called_fp32(exported: Path) -> None:
    quantize_dynamic(
        exported,
        exported.with_name("int8.onnx"),
        weight_type=QuantType.QInt8,
        op_types_to_quantize=["MatMul", "Conv"],
    )
    assert QuantFormat.QDQ  # of the same tool
    assert read_model_card(exported.with_name("int8.onnx")).modified


@pytest.fixture
def fused(exported: Path) -> Path:
    """The model as ONNX Runtime saves it after optimizing: with operators of its own."""
    path = exported.with_name("fused.onnx")
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(path)
    onnxruntime.InferenceSession(str(exported), options, providers=["CPUExecutionProvider"])
    model = onnx.load(path)
    # What the optimizer fuses differs between its versions; a gate is what was misread.
    node = next(node for node in model.graph.node if node.op_type in ("Conv", "FusedConv"))
    if node.op_type == "Conv":
        node.op_type, node.domain = "FusedConv", "com.microsoft"
        node.attribute.append(helper.make_attribute("activation", "Relu"))
        model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    onnx.save(model, path)
    return path


def test_operators_of_another_tool_are_run_by_that_tool_alone(fused: Path) -> None:
    """OpenVINO takes every activation in FusedConv for a ReLU: most labels were wrong."""
    assert "com.microsoft" in read_onnx_file(fused).foreign_operators()
    for backend in ("openvino", "tensorrt", "tensorrt_rtx"):
        with pytest.raises(BackendUnavailableError, match=r"com\.microsoft.*onnxruntime"):
            load_backend(fused, backend)
    chosen = load_backend(fused, "auto")
    assert chosen.name == "onnxruntime"
    images = random_images(2)
    session = onnxruntime.InferenceSession(str(fused), providers=["CPUExecutionProvider"])
    (labels,) = session.run(["labels"], {"image": images})
    assert np.array_equal(chosen.infer(images, ("labels",))["labels"], labels)
    chosen.close()


def test_an_operator_inside_a_loop_is_seen(tmp_path: Path) -> None:
    inner = helper.make_graph(
        [helper.make_node("Gelu", ["a"], ["b"], domain="com.acme")],
        "branch",
        [],
        [helper.make_tensor_value_info("b", TensorProto.FLOAT, [1])],
    )
    branch = helper.make_node("If", ["condition"], ["b"], then_branch=inner, else_branch=inner)
    graph = helper.make_graph([branch], "outer", [], [])
    path = tmp_path / "if.onnx"
    path.write_bytes(helper.make_model(graph).SerializeToString())
    assert read_onnx_file(path).operators == {("", "If"), ("com.acme", "Gelu")}
    assert read_onnx_file(path).foreign_operators() == {"com.acme": ["Gelu"]}


def test_a_changed_model_is_timed_and_listed_in_no_precision(
    exported: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = onnx.load(exported)
    attach_card(model, tiny_card("fp16"))
    model.graph.node[0].doc_string = "changed"
    onnx.save(model, exported)
    words = ["benchmark", str(exported), "--backend", "onnxruntime", "--frames", "1"]
    assert main(words) == 0
    assert capsys.readouterr().out.startswith("tiny unknown 64x")
    monkeypatch.setattr("mtinet_ros.install_paths.bundled_model", lambda: exported)
    main(["doctor"])
    assert "tiny.onnx: tiny, unknown" in capsys.readouterr().out
    assert main(["inspect", str(exported), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["card"]["precision"] == "unknown"


def test_figures_that_nobody_can_verify_are_shown_as_such(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exported before there were fingerprints: still usable, and not vouched for."""
    card = replace(tiny_card(), accuracy={"depth_error": 0.125})
    old = write_tiny_model(tmp_path / "old.onnx", card)
    with caplog.at_level(logging.INFO):
        load_backend(old, "onnxruntime").close()
    (record,) = [record for record in caplog.records if "cannot be verified" in record.message]
    assert record.levelno == logging.INFO
    assert main(["inspect", str(old)]) == 0
    page = capsys.readouterr().out
    assert "cannot be verified: exported by a version that took no fingerprint" in page
    assert "0.125" in page
    assert "precision    fp32" in page


def test_figures_that_are_verified_carry_no_doubt(
    exported: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.INFO):
        load_backend(exported, "onnxruntime").close()
    assert main(["inspect", str(exported)]) == 0
    assert "cannot be verified" not in caplog.text + capsys.readouterr().out


def add_function(path: Path, domain: str, name: str) -> None:
    """Have a model define x -> -x under a name, and use it on its depth."""
    model = onnx.load(path)
    body = [helper.make_node("Neg", ["x"], ["y"])]
    opsets = [helper.make_opsetid("", 17)]
    model.functions.append(helper.make_function(domain, name, ["x"], ["y"], body, opsets))
    model.opset_import.append(helper.make_opsetid(domain, 1))
    last = next(node for node in model.graph.node if "depth" in node.output)
    last.output[0] = "before"
    model.graph.node.append(helper.make_node(name, ["before"], ["depth"], domain=domain))
    attach_card(model, tiny_card())
    onnx.save(model, path)


@pytest.mark.parametrize(
    ("domain", "name"), [("local", "F"), ("local", "Relu"), ("org.openvinotoolkit", "Swish")]
)
def test_a_function_of_the_model_is_run_as_the_model_defines_it(
    exported: Path, domain: str, name: str
) -> None:
    """TensorRT takes local.Relu for Relu, and OpenVINO that Swish for its own."""
    images = random_images(1)
    plain = load_backend(exported, "onnxruntime")
    depth = plain.infer(images, ("depth",))["depth"].copy()
    plain.close()
    add_function(exported, domain, name)
    assert read_onnx_file(exported).foreign_operators() == {}
    for backend in ("openvino", "tensorrt", "tensorrt_rtx"):
        with pytest.raises(BackendUnavailableError, match=rf"{domain}\.{name}.*inline"):
            load_backend(exported, backend)
    chosen = load_backend(exported, "auto")
    assert chosen.name == "onnxruntime"
    assert np.allclose(chosen.infer(images, ("depth",))["depth"], -depth)
    chosen.close()


def test_a_function_that_was_inlined_runs_everywhere(exported: Path) -> None:
    """As the message advises."""
    add_function(exported, "local", "F")
    onnx.save(onnx.inliner.inline_local_functions(onnx.load(exported)), exported)
    for backend in ("openvino", "tensorrt", "tensorrt_rtx", "onnxruntime"):
        check_operators(backend, exported)


def test_an_operator_of_another_tool_inside_a_function_is_seen(tmp_path: Path) -> None:
    body = [helper.make_node("Gelu", ["x"], ["y"], domain="com.acme")]
    function = helper.make_function("local", "F", ["x"], ["y"], body, [])
    graph = helper.make_graph([helper.make_node("F", ["x"], ["y"], domain="local")], "g", [], [])
    path = tmp_path / "function.onnx"
    path.write_bytes(helper.make_model(graph, functions=[function]).SerializeToString())
    assert read_onnx_file(path).foreign_operators() == {"com.acme": ["Gelu"]}


@pytest.mark.parametrize("part", ["values", "indices"])
@pytest.mark.parametrize("place", ["initializer", "attribute", "attributes"])
def test_sparse_weights_in_another_file_are_refused(exported: Path, place: str, part: str) -> None:
    model = onnx.load(exported)
    if place == "initializer":
        sparse = model.graph.sparse_initializer.add()
    else:
        attribute = model.graph.node[0].attribute.add(name="sparse")
        one = place == "attribute"
        sparse = attribute.sparse_tensor if one else attribute.sparse_tensors.add()
    tensor = getattr(sparse, part)
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")
    exported.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=r"weights\.bin.*one file"):
        read_model_card(exported)


@pytest.mark.parametrize("command", ["inspect", "build", "benchmark"])
def test_weights_in_another_file_are_refused_by_every_command(
    exported: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """An engine's key would not cover them: other weights, the same engine."""
    path = exported.with_name("external.onnx")
    onnx.save(
        onnx.load(exported),
        path,
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )
    with pytest.raises(ModelError, match=r"weights\.bin.*one file"):
        read_model_card(path)
    assert main([command, str(path)]) == 1
    assert "weights.bin" in capsys.readouterr().err


def test_a_file_that_is_replaced_is_read_again(exported: Path) -> None:
    before = read_model_card(exported)
    model = onnx.load(exported)
    attach_card(model, tiny_card(name="another"))
    onnx.save(model, exported)
    assert (before.name, read_model_card(exported).name) == ("tiny", "another")


def test_the_bundled_model_is_as_it_was_exported() -> None:
    card = read_model_card(BUNDLED)
    assert card.fingerprint
    assert not card.modified
    assert card.accuracy

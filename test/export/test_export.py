# SPDX-License-Identifier: Apache-2.0
"""An exported file keeps the model contract and answers as the network does."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch

from mtinet_ros.cli.main import main
from mtinet_ros.errors import BackendError, ExportError, InputError
from mtinet_ros.export.checkpoint_backend import CheckpointBackend
from mtinet_ros.export.deploy_network import DeployNetwork
from mtinet_ros.export.exporter import export_network
from mtinet_ros.export.onnx_graph import write_model
from mtinet_ros.export.synthetic_images import synthetic_images
from mtinet_ros.export.untrained import untrained_network
from mtinet_ros.export.verification import check_exactness, compare
from mtinet_ros.inference import load_backend
from mtinet_ros.model_card import METADATA_KEY, ModelCard, read_model_card
from mtinet_ros.network import MTINet, save_checkpoint
from mtinet_ros.network.backbones.base import IMAGENET_MEAN

SIZE = (64, 96)


def test_the_file_answers_as_pytorch_does(exported):
    assert exported.differences["label_agreement"] > 0.999
    assert exported.differences["depth_max"] < 1e-3 * exported.differences["depth_std"]
    assert exported.differences["normals_mean_deg"] < 0.01


def test_the_runtime_accepts_the_file_and_every_batch_up_to_the_largest(exported):
    backend = load_backend(exported.path, "onnxruntime")
    for count in (1, 2, 3):
        outputs = backend.infer(synthetic_images(count, SIZE), backend.output_names)
        assert outputs["labels"].shape == (count, *SIZE)
    assert backend.max_batch == 3
    lengths = np.linalg.norm(outputs["normals"], axis=-1)
    np.testing.assert_allclose(lengths, 1.0, atol=1e-3)


def test_a_picture_in_a_batch_is_answered_as_if_alone(exported):
    backend = load_backend(exported.path, "onnxruntime")
    pictures = synthetic_images(3, SIZE, seed=5)
    together = backend.infer(pictures, ("depth",))["depth"]
    alone = [backend.infer(picture[np.newaxis], ("depth",))["depth"] for picture in pictures]
    np.testing.assert_allclose(together, np.concatenate(alone), atol=1e-4)


def test_a_checkpoint_is_measured_as_its_exported_model_would_be(exported, untrained, tmp_path):
    checkpoint = tmp_path / "mine.safetensors"
    network, card = untrained
    save_checkpoint(checkpoint, network, **{METADATA_KEY: card.to_json()})
    backend = CheckpointBackend(checkpoint, max_batch=2)
    other = load_backend(exported.path, "onnxruntime")
    assert set(backend.output_names) <= set(other.output_names)
    pictures = synthetic_images(2, SIZE)
    found = backend.infer(pictures, backend.output_names)
    expected = other.infer(pictures, backend.output_names)
    for name in backend.output_names:
        assert (found[name].dtype, found[name].shape) == (
            expected[name].dtype, expected[name].shape,
        )  # fmt: skip
    assert np.mean(found["labels"] == expected["labels"]) > 0.999
    np.testing.assert_allclose(found["depth"], expected["depth"], rtol=1e-2, atol=1e-3)
    with pytest.raises(InputError, match="pytorch takes uint8"):
        backend.infer(pictures.astype(np.float32), ("depth",))
    backend.close()
    with pytest.raises(BackendError, match="closed"):
        backend.infer(pictures, ("depth",))


def test_only_casts_touch_uint8_because_tensorrt_takes_nothing_else(graph):
    uint8_outputs = {o.name for o in graph.graph.output if o.type.tensor_type.elem_type == 2}
    assert uint8_outputs == {"labels", "confidence"}
    producers = {output: node for node in graph.graph.node for output in node.output}
    assert [n.op_type for n in graph.graph.node if "image" in n.input] == ["Cast"]
    for name in uint8_outputs:
        cast = producers[name]
        assert cast.op_type == "Cast"
        before = producers[cast.input[0]]
        # ArgMax gives int64, which must pass through float32.
        assert before.op_type != "ArgMax"
        if before.op_type == "Cast":
            assert before.attribute[0].i == onnx.TensorProto.FLOAT
    inferred = onnx.shape_inference.infer_shapes(graph)
    inner = {v.name for v in inferred.graph.value_info if v.type.tensor_type.elem_type == 2}
    assert not inner


def test_batch_norm_is_folded_and_deep_supervision_gone(graph, untrained):
    operators = {node.op_type for node in graph.graph.node}
    assert "BatchNormalization" not in operators
    assert not [w.name for w in graph.graph.initializer if "decoders" in w.name]
    assert graph.opset_import[0].version == 17


def test_no_shape_is_computed_while_the_model_runs(graph):
    assert not {"Shape", "Gather", "Slice"} & {node.op_type for node in graph.graph.node}


def test_only_the_batch_is_dynamic(graph):
    for value in (*graph.graph.input, *graph.graph.output):
        batch, *rest = value.type.tensor_type.shape.dim
        assert batch.dim_param == "N"
        assert [dim.dim_value for dim in rest[:2]] == list(SIZE)


def test_the_card_travels_in_the_file(exported):
    card = read_model_card(exported.path)
    assert card.untrained
    assert (card.name, card.input_size, card.precision) == ("mtinet_untrained", SIZE, "fp32")
    assert len(card.class_names) == len(card.palette) == 40
    assert card.focal_length is not None


def test_random_weights_still_give_a_room_two_meters_deep(exported):
    backend = load_backend(exported.path, "onnxruntime")
    outputs = backend.infer(synthetic_images(1, SIZE, seed=9), ("depth", "labels"))
    assert outputs["depth"].min() > 0.0
    assert 1.0 < np.median(outputs["depth"]) < 3.0
    assert len(np.unique(outputs["labels"])) > 5


def test_the_same_seed_gives_the_same_network(untrained):
    again, _ = untrained_network("hrnet_w18", SIZE)
    state = untrained[0].state_dict()
    assert all(torch.equal(value, state[key]) for key, value in again.state_dict().items())


@pytest.mark.slow
def test_a_task_that_was_not_asked_for_has_no_output(untrained, tmp_path):
    network, card = untrained
    card = replace(card, tasks=("depth",), class_names=(), palette=(), max_batch=1)
    path = export_network(network, card, tmp_path / "depth.onnx").path
    model = onnx.load(path)
    assert [output.name for output in model.graph.output] == ["depth"]
    assert not [w.name for w in model.graph.initializer if "heads.semseg" in w.name]


def test_the_borders_of_the_letterbox_are_zero_for_the_network():
    pad = ModelCard("a", ("depth",), SIZE).pad_color
    assert pad == tuple(round(255 * mean) for mean in IMAGENET_MEAN)


def test_tasks_without_an_output_are_refused():
    network = MTINet("efficientnet_lite0", {"edge": 1})
    with pytest.raises(ExportError, match="edge"):
        DeployNetwork(network)
    with pytest.raises(ExportError, match="confidence"):
        DeployNetwork(MTINet("efficientnet_lite0", {"depth": 1}), confidence=True)


@pytest.mark.slow
def test_weights_with_nan_are_refused_and_nothing_is_written(untrained, tmp_path):
    network = MTINet("hrnet_w18", dict(untrained[0].tasks))
    network.load_state_dict(untrained[0].state_dict())
    with torch.no_grad():
        network.backbone.conv1.weight[0, 0, 0, 0] = float("nan")
    with pytest.raises(ExportError, match="depth_max is nan"):
        export_network(network, replace(untrained[1], max_batch=1), tmp_path / "nan.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_difference_beyond_the_limit_is_named():
    depth = np.random.default_rng(0).uniform(1, 3, (1, 8, 8)).astype(np.float32)
    labels = np.zeros((1, 8, 8), np.uint8)
    other = labels.copy()
    other[0, 0, 0] = 1
    measures = compare({"depth": depth, "labels": labels}, {"depth": depth + 0.1, "labels": other})
    with pytest.raises(ExportError, match=r"label_agreement is 0\.984375.*depth_max is 0\.1"):
        check_exactness(measures)


def test_a_full_disk_leaves_the_old_file_whole(graph, tmp_path, monkeypatch):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"old")

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ExportError, match="No space left on device"):
        write_model(graph, path)
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == b"old"


@pytest.mark.slow
def test_the_command_exports_a_checkpoint_and_says_how_exact_it_is(untrained, tmp_path, capsys):
    checkpoint = tmp_path / "mine.safetensors"
    save_checkpoint(checkpoint, untrained[0])
    output = tmp_path / "mine.onnx"
    arguments = ["export", str(checkpoint), "-o", str(output), "--input-size", "64x96"]
    assert main([*arguments, "--max-batch", "2"]) == 0
    said = capsys.readouterr().out
    assert "label_agreement" in said
    for gap in (
        "classes are named by number",
        "normals stay as trained",
        "depth stays as trained",
    ):
        assert f"note: {gap}; --preset or --" in said
    card = read_model_card(output)
    assert (card.name, card.depth_kind, card.normals_axes) == ("mine", "as_trained", "as_trained")
    assert card.class_names[7] == "class 7"


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        (["missing.safetensors", "-o", "x.onnx"], "missing.safetensors"),
        (["--untrained", "--input-size", "100x96", "-o", "x.onnx"], "multiples of 32"),
        (["--untrained", "--backbone", "resnet", "-o", "x.onnx"], "choose one of"),
        (["--untrained", "--seed=-1", "-o", "x.onnx"], "--seed is -1; 0 or more"),
        (["missing.safetensors", "--backbone", "hrnet_w18", "-o", "x.onnx"], "--untrained"),
        (["--untrained", "--precision", "int8", "-o", "x.onnx"], "--calibration"),
        (["--untrained", "--calibration", "nowhere", "-o", "x.onnx"], "nowhere does not exist"),
        (["--untrained", "--calibration", "{tmp}", "-o", "x.onnx"], "holds no pictures"),
        (["--untrained", "--calibration", "{tmp}/a.jpg", "-o", "x.onnx"], "a.jpg"),
        (["--untrained", "--calibration", "{tmp}/a.mp4", "-o", "x.onnx"], "a.mp4"),
    ],
)
def test_bad_requests_get_one_sentence(arguments, fragment, capsys, tmp_path, monkeypatch):
    work, pictures = tmp_path / "work", tmp_path / "pictures"
    work.mkdir()
    pictures.mkdir()
    monkeypatch.chdir(work)
    for name in ("a.jpg", "a.mp4"):
        if any(name in argument for argument in arguments):
            (pictures / name).write_bytes(b"neither picture nor video")
    if "--input-size" not in arguments:
        arguments = [*arguments, "--input-size", "64x96"]
    assert main(["export", *(a.replace("{tmp}", str(pictures)) for a in arguments)]) == 1
    error = capsys.readouterr().err
    assert fragment in error
    assert "Traceback" not in error
    assert list(work.iterdir()) == []

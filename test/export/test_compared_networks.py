# SPDX-License-Identifier: Apache-2.0
"""The networks that MTI-Net is compared with are exported as MTI-Net is, or say why not."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch

from mtinet_ros.cli.main import main
from mtinet_ros.export.checkpoint_backend import CheckpointBackend
from mtinet_ros.export.graph_parts import part_of
from mtinet_ros.export.inspection import inspect_model
from mtinet_ros.network import build_network, save_checkpoint

TASKS = {"semseg": 5, "normals": 3, "depth": 1}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (
            {"multi_scale": False, "distillation": False},
            {"backbone blocks", "scale_0", "head depth"},
        ),
        ({"architecture": "pad_net"}, {"aggregation", "scale_0", "distillation_scale_0"}),
        (
            {"architecture": "multi_task_baseline", "backbone": "resnet18"},
            {"backbone stem", "backbone layer4", "head depth"},
        ),
    ],
    ids=["one_scale", "pad_net", "resnet18"],
)
def test_the_exported_network_answers_as_the_checkpoint_does(arguments, parts, tmp_path):
    torch.manual_seed(0)
    network = build_network(**{"backbone": "efficientnet_lite0", "tasks": TASKS} | arguments)
    checkpoint, model = tmp_path / "a.safetensors", tmp_path / "a.onnx"
    header = {"depth_output": "metres", "height": "64", "width": "96", "focal_length": "50"}
    save_checkpoint(checkpoint, network, **header)
    assert main(["export", str(checkpoint), "-o", str(model)]) == 0

    images = np.random.default_rng(0).integers(0, 256, (1, 64, 96, 3), dtype=np.uint8)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    exported = dict(zip(names, session.run(names, {"image": images}), strict=True))
    measured = CheckpointBackend(checkpoint, 1).infer(images, names)
    assert np.mean(exported["labels"] == measured["labels"]) > 0.999
    for name in ("depth", "normals"):
        np.testing.assert_allclose(exported[name], measured[name], atol=1e-4)

    inspection = inspect_model(model)
    assert parts <= {part.name for part in inspection.parts}
    without_initial = sum(
        p.numel() for name, p in network.named_parameters() if not name.startswith("scale_0.dec")
    )
    # Batch norms are folded into convolutions: of two parameters a channel, one is left.
    assert 0.97 < inspection.parameters / without_initial < 1.0


def test_a_network_without_an_output_of_the_contract_is_refused(tmp_path, capsys):
    network = build_network(
        architecture="single_task", backbone="efficientnet_lite0", tasks={"sal": 1}
    )
    checkpoint, model = tmp_path / "sal.safetensors", tmp_path / "sal.onnx"
    save_checkpoint(checkpoint, network)
    assert main(["export", str(checkpoint), "-o", str(model)]) == 1
    refusal = capsys.readouterr().err
    assert "the network has the tasks sal; of these, none can be exported" in refusal
    assert not model.exists()


def test_parts_of_a_resnet_are_told_apart():
    assert part_of("/network/backbone/layer4/layer4.1/conv1/Conv") == "backbone layer4"
    assert part_of("/network/backbone/conv1/Conv") == "backbone stem"

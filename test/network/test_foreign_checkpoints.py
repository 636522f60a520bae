# SPDX-License-Identifier: Apache-2.0
"""Weights trained elsewhere are recognised by names and shapes; hostile files are refused."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from mtinet_ros.errors import ModelError
from mtinet_ros.network import MTINet, load_checkpoint
from mtinet_ros.network.backbone import BACKBONES

TASKS = {"semseg": 21, "human_parts": 7}
AUXILIARY_TASKS = {"semseg": 21, "human_parts": 7, "sal": 1, "normals": 3, "edge": 1}


@pytest.fixture(scope="module")
def network() -> MTINet:
    torch.manual_seed(0)
    return MTINet("hrnet_w18", TASKS, AUXILIARY_TASKS)


def wrapped(state: dict[str, torch.Tensor], how: str) -> object:
    parallel = {f"module.{key}": value for key, value in state.items()}
    return {
        "bare": state,
        "parallel": parallel,
        "nested": {"model": state, "epoch": 3, "best_result": {"mIoU": np.float64(0.3)}},
        "nested parallel": {"optimizer": {"lr": 1e-4}, "model": parallel, "epoch": 3},
        "half": {key: v.half() if v.is_floating_point() else v for key, v in state.items()},
    }[how]


@pytest.mark.parametrize("how", ["bare", "parallel", "nested", "nested parallel", "half"])
def test_the_authors_files_are_recognised_however_they_were_saved(how, network, tmp_path):
    path = tmp_path / "checkpoint.pth.tar"
    torch.save(wrapped(network.state_dict(), how), path)
    again = load_checkpoint(path)
    assert again.backbone_name == "hrnet_w18"
    assert list(again.tasks.items()) == list(TASKS.items())
    assert list(again.auxiliary_tasks.items()) == list(AUXILIARY_TASKS.items())
    key = "scale_0.refinement.edge.0.conv1.weight"
    expected = network.state_dict()[key]
    torch.testing.assert_close(again.state_dict()[key], expected, rtol=1e-3, atol=1e-3)
    assert again.state_dict()[key].dtype == torch.float32


def test_the_old_format_of_pytorch_is_read_too(network, tmp_path):
    path = tmp_path / "old.pth"
    torch.save(network.state_dict(), path, _use_new_zipfile_serialization=False)
    assert load_checkpoint(path).tasks == TASKS


def test_an_unknown_backbone_is_named(network, tmp_path):
    path = tmp_path / "resnet.pth"
    state = {k: v for k, v in network.state_dict().items() if not k.startswith("backbone.")}
    torch.save(state, path)
    with pytest.raises(ModelError, match="backbone that is not known"):
        load_checkpoint(path)


class Code:
    def __reduce__(self):
        return Path.touch, (Path("/tmp/mtinet_ros_code_was_run"),)


def test_code_in_a_pickle_is_not_run(tmp_path):
    path = tmp_path / "code.pth"
    for write in (torch.save, lambda content, p: p.write_bytes(pickle.dumps(content))):
        write({"model": Code()}, path)
        with pytest.raises(ModelError, match="could run code"):
            load_checkpoint(path)
        assert not Path("/tmp/mtinet_ros_code_was_run").exists()


def test_a_zip_bomb_is_not_unpacked(tmp_path):
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(50_000_000))
    with pytest.raises(ModelError, match="would unpack to"):
        load_checkpoint(path)


def test_a_tensor_that_claims_more_than_is_stored_is_refused(tmp_path):
    path = tmp_path / "huge.pth"
    huge = torch.zeros(1).as_strided((2**30, 2**20, 1, 1), (0, 0, 0, 0))
    torch.save({"heads.depth.last_layer.3.weight": huge}, path)
    with pytest.raises(ModelError, match="larger than what is stored"):
        load_checkpoint(path)


@pytest.mark.parametrize("content", [3, [], {}, {"a": 1}, {1: torch.zeros(1)}])
def test_files_without_named_tensors_are_refused(content, tmp_path):
    path = tmp_path / "a.pth"
    torch.save(content, path)
    with pytest.raises(ModelError, match="named tensor"):
        load_checkpoint(path)


def test_public_imagenet_weights_of_hrnet_initialise_the_backbone(network):
    weights = {k: torch.full_like(v, 2) for k, v in network.backbone.state_dict().items()}
    weights["classifier.weight"] = torch.zeros(1000, 2048)
    backbone = BACKBONES["hrnet_w18"]()
    backbone.load_imagenet_weights(weights)
    assert (backbone.conv1.weight == 2).all()
    with pytest.raises(ModelError, match="not those of HRNet"):
        BACKBONES["hrnet_w48"]().load_imagenet_weights(weights)

# SPDX-License-Identifier: Apache-2.0
"""Weights survive being written and read, and a wrong file is refused with a sentence."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from mtinet_ros.errors import ModelError
from mtinet_ros.network import MTINet, load_checkpoint, save_checkpoint
from mtinet_ros.network.checkpoint import load_weights, read_metadata


@pytest.fixture(scope="module")
def network() -> MTINet:
    torch.manual_seed(0)
    return MTINet("efficientnet_lite0", {"semseg": 13, "depth": 1}, {"depth": 1, "semseg": 13})


def test_a_checkpoint_brings_back_architecture_weights_and_metadata(network, tmp_path):
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, network, note="step 7")
    again = load_checkpoint(path)
    assert (again.backbone_name, again.tasks) == ("efficientnet_lite0", {"semseg": 13, "depth": 1})
    state = network.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in again.state_dict().items())
    assert read_metadata(path)["note"] == "step 7"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    with pytest.raises(ModelError, match="cannot read"):
        load_checkpoint(path)
    path.write_bytes(b"not safetensors at all")
    with pytest.raises(ModelError, match="cannot be read"):
        load_checkpoint(path)
    save_file({"w": torch.zeros(1)}, path)
    with pytest.raises(ModelError, match="holds no MTI-Net"):
        load_checkpoint(path)


def test_foreign_weights_are_refused_with_a_short_diff(network):
    state = dict(network.state_dict())
    state = {k: v for k, v in state.items() if not k.startswith("heads.")}
    state["extra"] = torch.zeros(1)
    state["scale_0.decoders.depth.bias"] = torch.zeros(7)
    with pytest.raises(ModelError) as refusal:
        load_weights(network, state, "x.pth")
    message = str(refusal.value)
    assert "and 6 more" in message
    assert "; unexpected: extra; " in message
    assert "scale_0.decoders.depth.bias (7,) instead of (1,)" in message

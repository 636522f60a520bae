# SPDX-License-Identifier: Apache-2.0
"""Checkpoints as training scripts write them: any keys, any prefixes, averages, tied weights."""

from __future__ import annotations

import argparse
import collections
import itertools
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule
from safetensors.torch import save_file, save_model
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from mtinet_ros.errors import ModelError
from mtinet_ros.network import MTINet, load_checkpoint, save_checkpoint
from mtinet_ros.network.architecture import LANDMARK
from mtinet_ros.network.checkpoint import Checkpoint, read_checkpoint
from mtinet_ros.network.state_dicts import Choice
from mtinet_ros.network.weights_file import HEADER_KEY, Weights, read_weights

PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.")


class Small(nn.Module):
    """The landmark of an MTI-Net and a backbone of one number, to be quick."""

    def __init__(self, number: float = 1.0) -> None:
        super().__init__()
        self.backbone = nn.Linear(1, 1, bias=False)
        last_layer = nn.Sequential(*(nn.Linear(1, 1) for _ in range(4)))
        self.heads = nn.ModuleDict({"depth": nn.ModuleDict({"last_layer": last_layer})})
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.fill_(number)

    def forward(self, image: Tensor) -> Tensor:
        return image


NAMES = set(Small().state_dict())


def weights_in(content: object, path: Path, choice: Choice | None = None) -> Weights:
    torch.save(content, path / "x.pth")
    return read_weights(path / "x.pth", LANDMARK, choice)


def number_in(content: object, path: Path, choice: Choice | None = None) -> float:
    """The number that all weights are, after the names were found to be the network's."""
    tensors = weights_in(content, path, choice).tensors
    assert set(tensors) == NAMES
    (number,) = {float(value) for tensor in tensors.values() for value in tensor.unique()}
    return number


def prefixed(prefix: str, number: float) -> dict[str, Tensor]:
    return {f"{prefix}{name}": value for name, value in Small(number).state_dict().items()}


@pytest.mark.parametrize("count", [1, 2, 3])
def test_prefixes_come_off_in_any_order(count, tmp_path):
    for parts in itertools.permutations(PREFIXES, count):
        assert number_in(prefixed("".join(parts), 2.0), tmp_path) == 2.0


def test_real_wrappers_come_off_around_the_whole_and_around_parts(tmp_path):
    """`torch.compile` and `DataParallel` themselves, not names made up after them."""
    network = Small(3.0)
    network.backbone = torch.compile(network.backbone)  # type: ignore[assignment]
    network.heads["depth"] = nn.DataParallel(network.heads["depth"])
    wrapped = torch.compile(nn.DataParallel(torch.compile(network)))
    assert number_in(wrapped.state_dict(), tmp_path) == 3.0


@pytest.mark.parametrize(
    "keys",
    [
        ("model_state_dict",),
        ("state_dict",),
        ("model",),
        ("net",),
        ("module",),
        ("checkpoint", "model", "state_dict"),
        ("runs", "fold_0", "weights_of_mine"),
    ],
)
def test_weights_are_found_below_any_keys_beside_an_optimizer(keys, tmp_path):
    network = Small(4.0)
    optimizer = torch.optim.AdamW(network.parameters())
    network.backbone.weight.sum().backward()
    optimizer.step()
    with torch.no_grad():
        network.backbone.weight.fill_(4.0)
    content: dict[str, Any] = network.state_dict()
    for key in reversed(keys):
        content = {key: content, "optimizer": optimizer.state_dict(), "epoch": 3}
    assert number_in(content, tmp_path) == 4.0


@pytest.mark.parametrize("key", ["state_dict_ema", "model_ema", "ema", "ema_state_dict"])
def test_averaged_weights_are_taken_and_said_and_can_be_declined(key, tmp_path):
    content = {"state_dict": prefixed("module.", 1.0), key: prefixed("", 5.0)}
    assert number_in(content, tmp_path) == 5.0
    assert number_in(content, tmp_path, "ema") == 5.0
    assert number_in(content, tmp_path, "model") == 1.0
    note = weights_in(content, tmp_path).note
    assert f"averaged weights are taken ({key})" in note
    assert "--weights model takes those in training (state_dict)" in note
    assert "weights in training are taken" in weights_in(content, tmp_path, "model").note


def averaged_model(steps: int) -> AveragedModel:
    average = AveragedModel(Small(1.0))
    for number in range(steps):
        average.update_parameters(Small(float(number)))
    return average


def test_an_averaged_model_of_pytorch_is_told_by_its_counter(tmp_path):
    average = averaged_model(3)  # of 0, 1 and 2
    content = {"model": prefixed("", 2.0), "average": average.state_dict()}
    assert number_in(average.state_dict(), tmp_path) == 1.0
    assert number_in(content, tmp_path) == 1.0
    assert "over 3 steps" in weights_in(content, tmp_path).note
    compiled = torch.compile(nn.DataParallel(average)).state_dict()
    assert "over 3 steps" in weights_in(compiled, tmp_path).note


def test_an_average_of_nothing_is_not_preferred(tmp_path):
    """Before its first update, an AveragedModel holds the weights that training began with."""
    content = {"model": prefixed("", 2.0), "ema": averaged_model(0).state_dict()}
    assert number_in(content, tmp_path) == 2.0
    assert "average no step yet" in weights_in(content, tmp_path).note
    assert number_in(content, tmp_path, "ema") == 1.0


class Training(LightningModule):
    """A module as people write them, with an average and a loss that has a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.net = Small(1.0)
        self.ema_net = AveragedModel(Small(6.0))
        self.ema_net.n_averaged.fill_(10)
        self.criterion = nn.CrossEntropyLoss(weight=torch.ones(3))


def test_the_attributes_of_a_training_module_are_told_apart(tmp_path):
    content = {
        "state_dict": Training().state_dict(),
        "pytorch-lightning_version": "2.5.0",
        "hyper_parameters": {"lr": 0.1},
    }
    assert number_in(content, tmp_path) == 6.0
    assert number_in(content, tmp_path, "model") == 1.0
    assert "1 tensors outside the network are left out (criterion.weight)" in (
        weights_in(content, tmp_path).note
    )


def test_an_average_inside_the_network_it_averages_is_not_part_of_it(tmp_path):
    content = prefixed("", 1.0) | prefixed("ema.", 7.0)
    assert number_in(content, tmp_path) == 7.0
    assert number_in(content, tmp_path, "model") == 1.0


def test_online_weights_of_ema_pytorch_are_those_in_training(tmp_path):
    flat = prefixed("online_model.", 1.0) | prefixed("ema_model.", 8.0)
    content = {"ema": {**flat, "initted": torch.tensor(True), "step": torch.tensor(9)}}
    assert number_in(content, tmp_path) == 8.0
    assert number_in(content, tmp_path, "model") == 1.0


@pytest.mark.parametrize(
    ("choice", "other"), [("ema", "`--weights model`"), ("model", "`--weights ema`")]
)
def test_weights_that_are_not_there_are_refused_and_the_others_named(choice, other, tmp_path):
    key = "state_dict" if choice == "ema" else "state_dict_ema"
    with pytest.raises(ModelError, match=f"it holds {key}, which {other} takes"):
        weights_in({key: prefixed("", 1.0)}, tmp_path, choice)


def test_the_usual_place_wins_over_another_copy(tmp_path):
    content = {"best_model": prefixed("", 1.0), "model": prefixed("", 2.0)}
    assert number_in(content, tmp_path) == 2.0
    assert "the weights of model are taken" in weights_in(content, tmp_path).note


def test_two_networks_of_equal_right_are_not_guessed_between(tmp_path):
    content = prefixed("student.", 1.0) | prefixed("teacher.", 2.0)
    with pytest.raises(ModelError, match=r"several networks \(.*student\..*\)"):
        weights_in(content, tmp_path)
    same = prefixed("student.", 1.0) | prefixed("teacher.", 1.0)
    assert number_in(same, tmp_path) == 1.0


def test_a_name_that_two_wrappers_give_to_different_weights_is_refused(tmp_path):
    content = prefixed("", 1.0) | prefixed("module.", 2.0)
    with pytest.raises(ModelError, match="twice and with different numbers"):
        weights_in(content, tmp_path)


def test_settings_of_a_training_script_do_not_stand_in_the_way(tmp_path):
    from lightning.fabric.utilities.data import AttributeDict as RealAttributeDict

    defaults: dict[str, list[int]] = collections.defaultdict(list)
    defaults["miou"].append(1)
    content = {
        "model": prefixed("module.", 2.0),
        "args": argparse.Namespace(lr=1e-4, output=Path("runs/1")),
        "hyper_parameters": RealAttributeDict(lr=1e-4),
        "mean": np.zeros(3),
        "history": defaults,
    }
    assert number_in(content, tmp_path) == 2.0


def test_a_counter_or_a_list_of_networks_is_walked(tmp_path):
    content = {"epochs": collections.Counter(a=1), "models": [prefixed("", 2.0)]}
    assert number_in(content, tmp_path) == 2.0


def test_a_checkpoint_that_holds_itself_is_read(tmp_path):
    content: dict[str, Any] = {"model": prefixed("", 2.0)}
    content["self"] = content
    assert number_in(content, tmp_path) == 2.0


@pytest.fixture(scope="module")
def network() -> MTINet:
    torch.manual_seed(0)
    return MTINet("efficientnet_lite0", {"depth": 1}).eval()


def tied(network: MTINet) -> Mapping[str, Tensor]:
    """A state dict in which the attentions towards a task share their memory with each other."""
    state = network.state_dict()
    kept: dict[torch.Size, Tensor] = {}
    return {
        name: kept.setdefault(value.shape, value) if name.startswith("scale_") else value
        for name, value in state.items()
    }


def assert_same(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    own = network.state_dict()
    assert own.keys() == state.keys()
    assert all(torch.equal(own[name], value) for name, value in state.items())


def test_tied_weights_are_stored_once_and_loaded_everywhere(network, tmp_path):
    state = tied(network)
    torch.save(state, tmp_path / "tied.pth")
    claimed = sum(value.numel() * value.element_size() for value in state.values())
    assert claimed > (tmp_path / "tied.pth").stat().st_size
    assert_same(load_checkpoint(tmp_path / "tied.pth"), state)


def test_a_network_of_tied_weights_can_be_saved(network, tmp_path):
    again = MTINet("efficientnet_lite0", {"depth": 1})
    first, second = (again.scale_0.refinement["depth"][i].bn1 for i in (0, 1))
    second.weight = first.weight
    save_checkpoint(tmp_path / "tied.safetensors", again)
    assert_same(load_checkpoint(tmp_path / "tied.safetensors"), again.state_dict())


def test_weights_that_safetensors_left_out_as_tied_are_put_back(network, tmp_path):
    again = MTINet("efficientnet_lite0", {"depth": 1})
    first, second = (again.scale_0.refinement["depth"][i].bn1 for i in (0, 1))
    second.weight = first.weight
    path = tmp_path / "tied.safetensors"
    save_model(again, str(path))
    assert_same(load_checkpoint(path), again.state_dict())


def test_halves_fill_a_network_of_float32(network, tmp_path):
    halves = {k: v.half() if v.is_floating_point() else v for k, v in network.state_dict().items()}
    save_file(halves, tmp_path / "half.SAFETENSORS")
    again = load_checkpoint(tmp_path / "half.SAFETENSORS").state_dict()
    assert all(torch.equal(again[k], v.to(again[k].dtype)) for k, v in halves.items())


@pytest.mark.parametrize("name", ["CHECKPOINT.PTH.TAR", "weights.PT", "pytorch.SAFETENSORS"])
def test_upper_case_names_and_a_wrong_extension_are_read(name, network, tmp_path):
    torch.save({"MODEL": network.state_dict()}, tmp_path / name)
    assert_same(load_checkpoint(tmp_path / name), network.state_dict())


def test_the_header_in_a_pytorch_file_is_read(network, tmp_path):
    content = {"state_dict": network.state_dict(), HEADER_KEY: {"depth_output": "log_metres"}}
    torch.save(content, tmp_path / "x.ckpt")
    assert read_checkpoint(tmp_path / "x.ckpt").description() == {"depth_output": "log_metres"}


def test_a_state_of_the_trainer_without_description_is_not_described(network, tmp_path):
    """Its depth may be a logarithm, and would be taken for depth."""
    content = {"state_dict": network.state_dict(), "callbacks": {"AveragedWeights": {}}}
    torch.save(content, tmp_path / "last.ckpt")
    checkpoint: Checkpoint = read_checkpoint(tmp_path / "last.ckpt")
    with pytest.raises(ModelError, match=r"give the latest\.safetensors beside it"):
        checkpoint.description()


def test_a_torchscript_archive_is_called_that(tmp_path):
    torch.jit.script(Small()).save(str(tmp_path / "model.pt"))
    with pytest.raises(ModelError, match="is a TorchScript archive"):
        load_checkpoint(tmp_path / "model.pt")


@pytest.mark.parametrize("zip_format", [True, False])
def test_a_whole_module_is_not_brought_to_life(zip_format, tmp_path):
    torch.save(Small(), tmp_path / "x.pth", _use_new_zipfile_serialization=zip_format)
    with pytest.raises(ModelError, match=r"Small'.*may hold a whole module.*nothing .* is run"):
        load_checkpoint(tmp_path / "x.pth")


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_plain_pickle_is_not_brought_to_life(protocol, tmp_path):
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(Small(), protocol))
    with pytest.raises(ModelError, match=r"whole module.*nothing in a weights file is run"):
        load_checkpoint(tmp_path / "x.pkl")


def test_weights_without_numbers_are_refused(tmp_path):
    with torch.device("meta"):
        content = Small().state_dict()
    with pytest.raises(ModelError, match="without its numbers"):
        weights_in(content, tmp_path)


def test_an_exported_model_is_no_checkpoint(tmp_path):
    (tmp_path / "model.ONNX").write_bytes(b"\x08\x07\x12\x07pytorch")
    with pytest.raises(ModelError, match="is an exported model, no checkpoint"):
        load_checkpoint(tmp_path / "model.ONNX")

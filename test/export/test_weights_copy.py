# SPDX-License-Identifier: Apache-2.0
"""Weights to pass on: half the space, the same network and description."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from mtinet_ros.cli.main import main
from mtinet_ros.network import MTINet, load_checkpoint, save_checkpoint
from mtinet_ros.network.weights_file import read_metadata


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "latest.safetensors"
    save_checkpoint(path, MTINet("efficientnet_lite0", {"depth": 1}), height="192", width="256")
    return path


def test_halves_take_half_the_space_and_keep_what_the_file_says(checkpoint, tmp_path, capsys):
    copy = tmp_path / "new" / "copy.safetensors"
    assert main(["export", str(checkpoint), "-o", str(copy), "--precision", "fp16"]) == 0
    assert "weights in fp16" in capsys.readouterr().out
    assert copy.stat().st_size < 0.52 * checkpoint.stat().st_size
    assert read_metadata(copy) == read_metadata(checkpoint)
    weights, halves = (load_checkpoint(path).state_dict() for path in (checkpoint, copy))
    for name, value in weights.items():
        torch.testing.assert_close(halves[name], value, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--precision", "int8"], "stored in fp32 or fp16, not in int8"),
        (["--preset", "rooms"], "--preset goes with an .onnx output only"),
        (["--name", "mine"], "--name goes with an .onnx output only"),
    ],
)
def test_what_weights_cannot_say_is_refused(options, sentence, checkpoint, tmp_path, capsys):
    copy = tmp_path / "copy.safetensors"
    assert main(["export", str(checkpoint), "-o", str(copy), *options]) == 1
    assert sentence in capsys.readouterr().err
    assert not copy.exists()


def test_weights_too_large_for_halves_are_refused(tmp_path, capsys):
    network = MTINet("efficientnet_lite0", {"depth": 1})
    with torch.no_grad():
        next(network.parameters()).fill_(1e6)
    path, copy = tmp_path / "big.safetensors", tmp_path / "copy.safetensors"
    save_checkpoint(path, network)
    assert main(["export", str(path), "-o", str(copy), "--precision", "fp16"]) == 1
    assert "too large for fp16" in capsys.readouterr().err


def test_a_place_that_cannot_be_written_is_a_sentence(checkpoint, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    copy = tmp_path / "file" / "copy.safetensors"
    assert main(["export", str(checkpoint), "-o", str(copy)]) == 1
    assert "cannot make the folder" in capsys.readouterr().err


def test_averaged_weights_below_keys_and_prefixes_are_copied_by_plain_names(tmp_path, capsys):
    torch.manual_seed(1)
    trained, averaged = (MTINet("efficientnet_lite0", {"depth": 1}) for _ in range(2))
    content = {
        "state_dict": {f"module.{name}": value for name, value in trained.state_dict().items()},
        "state_dict_ema": averaged.state_dict(),
    }
    torch.save(content, tmp_path / "CHECKPOINT.PTH.TAR")
    command = ["export", str(tmp_path / "CHECKPOINT.PTH.TAR")]
    for options, network, note in (
        ([], averaged, "averaged weights are taken (state_dict_ema)"),
        (["--weights", "model"], trained, "the weights in training are taken (state_dict)"),
    ):
        copy = tmp_path / f"copy{len(options)}.safetensors"
        assert main([*command, *options, "-o", str(copy)]) == 0
        assert note in capsys.readouterr().out
        copied = load_file(copy)
        state = network.state_dict()
        assert copied.keys() == state.keys()
        assert all(torch.equal(copied[name], value) for name, value in state.items())


def test_tied_weights_are_copied_each_under_its_name(tmp_path):
    state = MTINet("efficientnet_lite0", {"depth": 1}).state_dict()
    norms = [f"scale_0.refinement.depth.{block}.bn1.weight" for block in (0, 1)]
    state |= dict.fromkeys(norms, state[norms[1]].fill_(3))
    torch.save(state, tmp_path / "tied.pth")
    copy = tmp_path / "copy.safetensors"
    assert main(["export", str(tmp_path / "tied.pth"), "-o", str(copy)]) == 0
    assert all(torch.equal(value, state[name]) for name, value in load_file(copy).items())


def test_a_choice_of_weights_needs_a_checkpoint(tmp_path, capsys):
    options = ["--untrained", "--weights", "ema", "-o", str(tmp_path / "x.onnx")]
    assert main(["export", *options]) == 1
    assert "--weights ema goes with a checkpoint" in capsys.readouterr().err

# SPDX-License-Identifier: Apache-2.0
"""Weights from anywhere: recognised by names and shapes, or refused; never executed."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from support.reference_weights import fill
from torch import Tensor

from mtinet_ros.errors import ModelError
from mtinet_ros.network import MTINet, load_checkpoint, load_imagenet_backbone

TASKS = {"semseg": 40, "depth": 1}
AUXILIARY = {"semseg": 40, "normals": 3, "edge": 1, "depth": 1}


@pytest.fixture(scope="module")
def network() -> MTINet:
    return fill(MTINet("hrnet_w18", TASKS, AUXILIARY))


@pytest.fixture(scope="module")
def state(network) -> Mapping[str, Tensor]:
    return network.state_dict()


def assert_recognized(path: Path, state: Mapping[str, Tensor]) -> None:
    again = load_checkpoint(path)
    assert (again.backbone_name, again.tasks, again.auxiliary_tasks) == (
        "hrnet_w18",
        TASKS,
        AUXILIARY,
    )
    assert all(torch.equal(value, state[key]) for key, value in again.state_dict().items())


def test_a_training_checkpoint_of_the_authors_is_recognized(state, tmp_path):
    """Weights nested, in a data-parallel wrapper, beside optimizer state and NumPy metrics."""
    path = tmp_path / "checkpoint.pth.tar"
    content = {
        "optimizer": {"state": {}, "param_groups": [{"lr": 1e-4}]},
        "model": {f"module.{key}": value for key, value in state.items()},
        "epoch": 100,
        "best_result": {"semseg": {"mIoU": np.float64(0.37)}, "depth": {"rmse": np.float32(0.6)}},
    }
    torch.save(content, path)
    assert_recognized(path, state)


def test_a_bare_dict_in_the_old_pytorch_format_is_recognized(state, tmp_path):
    path = tmp_path / "old.pth"
    without_counters = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    torch.save(without_counters, path, _use_new_zipfile_serialization=False)
    assert_recognized(path, state)


def test_safetensors_of_another_tool_are_recognized(state, tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file({key: value.contiguous() for key, value in state.items()}, path)
    assert_recognized(path, state)


@pytest.mark.parametrize("backbone", ["hrnet_w32", "hrnet_w48", "efficientnet_lite0"])
def test_the_backbone_is_told_from_shapes(backbone, monkeypatch):
    from mtinet_ros.network.architecture import recognize

    tasks = {"semseg": 21, "human_parts": 7, "sal": 2, "normals": 3, "edge": 1}
    with torch.device("meta"):
        state = MTINet(backbone, tasks).state_dict()
        network = recognize(state, "x")
    assert (network.backbone_name, network.tasks) == (backbone, tasks)


def test_a_network_with_other_shapes_is_refused_with_ten_of_each_kind(state, tmp_path):
    changed = {key: value for key, value in state.items() if not key.startswith("fpm_scale_1.")}
    changed |= {f"fpm_scale_1.renamed.{i}": torch.zeros(1) for i in range(12)}
    changed["scale_0.refinement.depth.0.bn1.bias"] = torch.zeros(7)
    torch.save(changed, tmp_path / "x.pth")
    with pytest.raises(ModelError) as refusal:
        load_checkpoint(tmp_path / "x.pth")
    message = str(refusal.value)
    assert "missing: fpm_scale_1.non_linear.0.conv1.weight" in message
    assert "fpm_scale_1.renamed.9 and 2 more" in message
    assert "scale_0.refinement.depth.0.bn1.bias (7,) instead of (18,)" in message


class Exploit:
    def __reduce__(self):
        return os.system, ("touch exploited",)


@pytest.mark.parametrize("zip_format", [True, False])
def test_code_in_a_pickle_is_never_run(zip_format, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"model": Exploit()}, "x.pth", _use_new_zipfile_serialization=zip_format)
    with pytest.raises(ModelError, match=r"nothing in a weights file is run"):
        load_checkpoint("x.pth")
    assert not Path("exploited").exists()


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path):
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb/data.pkl", b"\0" * 50_000_000)
    assert path.stat().st_size < 100_000
    with pytest.raises(ModelError, match="claims to unpack to 50000000"):
        load_checkpoint(path)


def test_tensors_larger_than_their_file_are_refused(state, tmp_path):
    path = tmp_path / "expanded.pth"
    torch.save(dict(state) | {"huge": torch.zeros(1).expand(10**12)}, path)
    with pytest.raises(ModelError, match="its tensors claim"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    "content",
    [b"", b"\x80", b"no weights at all", b"PK\x03\x04broken", b"\x10\0\0\0\0\0\0\0{}", None],
)
def test_damaged_files_are_refused_with_a_sentence(content, tmp_path):
    path = tmp_path / "x.pth"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match=r"x\.pth"):
        load_checkpoint(path)


def test_a_file_cut_short_is_refused(state, tmp_path):
    path = tmp_path / "x.pth"
    torch.save(dict(state), path)
    path.write_bytes(path.read_bytes()[:100_000])
    with pytest.raises(ModelError, match=r"x\.pth cannot be read"):
        load_checkpoint(path)


@pytest.mark.parametrize("content", [[1, 2], {}, {"model": {"a": 1}}, {"weight": "text"}])
def test_files_without_weights_are_refused(content, tmp_path):
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(ModelError, match="holds no weights"):
        load_checkpoint(tmp_path / "x.pth")


@pytest.mark.parametrize(
    ("container", "prefix"),
    [("state_dict", "module."), ("state_dict_ema", "model._orig_mod."), ("model", "")],
)
def test_a_public_imagenet_file_initializes_the_backbone(container, prefix, tmp_path):
    classifier = MTINet("hrnet_w18", {"depth": 1}).backbone.state_dict()
    classifier |= {
        "classifier.weight": torch.zeros(1000, 2048),
        "final_layer.0.bias": torch.ones(8),
    }
    torch.save({container: {f"{prefix}{k}": v for k, v in classifier.items()}}, tmp_path / "h.pth")
    network = MTINet("hrnet_w18", {"depth": 1})
    load_imagenet_backbone(network, tmp_path / "h.pth")
    own = network.backbone.state_dict()
    assert all(torch.equal(value, classifier[key]) for key, value in own.items())


def test_an_imagenet_file_of_another_width_is_refused(tmp_path):
    torch.save(MTINet("hrnet_w18", {"depth": 1}).backbone.state_dict(), tmp_path / "h.pth")
    with torch.device("meta"):
        network = MTINet("hrnet_w32", {"depth": 1})
    with pytest.raises(ModelError, match="of another shape"):
        load_imagenet_backbone(network, tmp_path / "h.pth")

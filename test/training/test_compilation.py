# SPDX-License-Identifier: Apache-2.0
"""A compiled run, one in another memory layout: faster or not, they train the same network."""

from __future__ import annotations

import logging
import re
import shutil
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from support.tiny_run import configuration, write_rooms
from torch import Tensor, nn

from mtinet_ros.errors import ConfigurationError
from mtinet_ros.export.checkpoint_card import load_described
from mtinet_ros.network import MultiTaskNetwork, build_network
from mtinet_ros.network.backbones.base import Backbone
from mtinet_ros.network.backbones.registry import BACKBONES
from mtinet_ros.training.compilation import compiled, compiles
from mtinet_ros.training.config import TrainConfig
from mtinet_ros.training.config_file import load_config
from mtinet_ros.training.module import TrainingModule
from mtinet_ros.training.run import train

CPU = torch.device("cpu")
TINY = (
    "network.architecture=single_task",
    "network.backbone=tiny",
    "network.tasks={normals: 3}",
    "losses.terms={normals: {cosine: 1}}",
    "optimizer.frozen=[]",
)


class TinyBackbone(Backbone):
    """Four maps of few channels."""

    channels = (4, 4, 6, 6)
    landmark = re.compile("^steps")

    def __init__(self) -> None:
        super().__init__()
        widths = (3, *self.channels)
        self.steps = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(before, after, 3, 4 if before == 3 else 2, 1),
                nn.BatchNorm2d(after),
                nn.ReLU(),
            )
            for before, after in pairwise(widths)
        )

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        maps = []
        for step in self.steps:
            image = step(image)
            maps.append(image)
        return tuple(maps)


@pytest.fixture(autouse=True)
def tiny_backbone(monkeypatch):
    monkeypatch.setitem(BACKBONES, "tiny", TinyBackbone)


@pytest.fixture(scope="module")
def rooms(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("rooms")
    write_rooms(root)
    return root


def tiny_network() -> MultiTaskNetwork:
    return build_network(architecture="single_task", backbone="tiny", tasks={"normals": 3})


def tiny_run(rooms: Path, folder: Path, *overrides: str) -> TrainConfig:
    return configuration(rooms, folder, 3, [*TINY, *overrides])


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler")
def test_a_compiled_run_pauses_goes_on_and_is_exported_as_any_other(rooms, tmp_path, caplog):
    """`_orig_mod.` in the names of weights makes a checkpoint that nothing else can load."""
    caplog.set_level(logging.INFO)
    plain = train(tiny_run(rooms, tmp_path / "plain", "run.compile=off"))
    run = tiny_run(rooms, tmp_path / "compiled", "run.compile=on")
    train(run, max_minutes=1e-6)
    assert torch.load(tmp_path / "compiled/last.ckpt", weights_only=True)["global_step"] == 1
    folder = train(run)
    assert "Compiling the training step" in caplog.text
    assert "not compiled" not in caplog.text
    states = [torch.load(f / "last.ckpt", weights_only=True) for f in (plain, folder)]
    for part in ("state_dict", "current_model_state"):
        assert list(states[0][part]) == list(states[1][part])
        for name, value in states[0][part].items():
            assert torch.allclose(states[1][part][name], value, rtol=1e-3, atol=1e-4), name
    weights = [load_file(f / "latest.safetensors") for f in (plain, folder)]
    assert set(weights[0]) == set(weights[1])
    assert load_described(folder / "last.ckpt").network.backbone_name == "tiny"


def test_without_a_compiler_training_goes_on_and_says_so(monkeypatch, caplog):
    def missing(*_: object, **__: object) -> object:
        raise RuntimeError("No working C++ compiler found in CXX: ('none',).\nSee the manual")

    network = tiny_network()
    monkeypatch.setattr(torch, "compile", missing)
    assert compiled(network, CPU) is network
    (record,) = caplog.records
    assert record.getMessage() == (
        "Training is not compiled: No working C++ compiler found in CXX: ('none',); it goes on as "
        "it is"
    )


def test_a_network_that_cannot_be_compiled_trains_as_it_is(monkeypatch, caplog):
    from torch._dynamo.exc import TorchDynamoException

    def refusing(function, **_):
        def never(image: Tensor) -> None:
            calls.append(len(image))
            raise TorchDynamoException("call_function is not supported\n more")

        return never if getattr(function, "__name__", "") == "forward" else function

    calls: list[int] = []
    network = tiny_network().eval()
    monkeypatch.setattr(torch, "compile", refusing)
    forward = compiled(network, CPU)
    image = torch.zeros(1, 3, 32, 32)
    for _ in range(2):
        assert torch.equal(
            forward(image).predictions["normals"], network(image).predictions["normals"]
        )
    assert calls == [1]
    assert [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING] == [
        "Training is not compiled: call_function is not supported; it goes on as it is"
    ]


def test_only_long_runs_on_new_enough_gpus_are_compiled_unasked(monkeypatch):
    gpu = SimpleNamespace(type="cuda")
    for capability, steps, expected in (
        ((9, 0), 20000, True),
        ((8, 0), 2000, True),
        ((8, 6), 1999, False),
        ((7, 5), 20000, False),
    ):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _, c=capability: c)
        assert compiles("auto", gpu, steps) is expected
    assert not compiles("auto", CPU, 20000)
    assert not compiles("off", gpu, 20000)


@pytest.mark.parametrize(
    ("written", "read"), [("on", True), ("false", False), ("auto", "auto"), ("'on'", "on")]
)
def test_compile_is_a_word_or_a_truth_value(written, read, tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(f"run: {{compile: {written}}}")
    assert load_config(path).run.compile == read
    for wrong in ("fast", "1"):
        with pytest.raises(ConfigurationError, match=rf"compile.* is '?{wrong}'?;"):
            load_config(path, [f"run.compile={wrong}"])


@pytest.mark.parametrize(
    ("kind", "training", "tolerance"),
    # Fresh batch normalization of few values multiplies float32's rounding by thousands.
    [(torch.float64, True, 1e-7), (torch.float32, False, 1e-4)],
)
def test_the_memory_layout_changes_neither_losses_nor_gradients(
    kind, training, tolerance, tmp_path
):
    """A `view` or `reshape` that takes one layout for granted would mix pixels and channels."""
    torch.manual_seed(0)
    batch = {
        "image": torch.randn(2, 3, 32, 64, dtype=kind),
        "semseg": torch.randint(0, 13, (2, 32, 64)),
        "depth": torch.rand(2, 1, 32, 64, dtype=kind) + 1,
        "normals": nn.functional.normalize(torch.randn(2, 3, 32, 64, dtype=kind), dim=1),
    }
    network = build_network(
        backbone="efficientnet_lite0", tasks={"semseg": 13, "normals": 3, "depth": 1}
    )
    results = []
    for layout in ("true", "false"):
        config = configuration(
            tmp_path, tmp_path, 1, [f"run.channels_last={layout}", "optimizer.frozen=[]"]
        )
        module = TrainingModule(network.to(kind), config).train(training)
        is_last = module.network.backbone._conv_stem.weight.is_contiguous(
            memory_format=torch.channels_last
        )
        assert is_last == (layout == "true")
        module.zero_grad()
        losses = module.loss(module.network(module.image(batch)), batch)
        losses["total"].backward()
        gradients = {n: p.grad.clone() for n, p in module.named_parameters()}
        results.append((losses, gradients))
    (losses, gradients), (others, other_gradients) = results
    for name, value in losses.items():
        assert others[name].item() == pytest.approx(value.item(), rel=tolerance), name
    largest = max(float(gradient.abs().max()) for gradient in gradients.values())
    for name, gradient in gradients.items():
        assert (other_gradients[name] - gradient).abs().max() < tolerance * largest, name


def test_a_backward_pass_that_cannot_be_compiled_is_a_sentence(rooms, tmp_path, monkeypatch):
    """It is translated only after the forward pass has been made."""
    from torch._dynamo.exc import TorchDynamoException

    class Refusing(torch.autograd.Function):
        @staticmethod
        def forward(_, value):
            return value.clone()

        @staticmethod
        def backward(*_):
            raise TorchDynamoException("C++ compile error.\nmore")

    def refusing(network, _):
        return lambda image: network(Refusing.apply(image.requires_grad_()))

    monkeypatch.setattr("mtinet_ros.training.module.compiled", refusing)
    with pytest.raises(
        ConfigurationError, match=r"C\+\+ compile error; train with run.compile=off"
    ):
        train(tiny_run(rooms, tmp_path / "run", "run.compile=on"))

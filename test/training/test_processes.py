# SPDX-License-Identifier: Apache-2.0
"""Two processes train as one does on the whole batch: losses, gradients, batch normalization."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from mtinet_ros.network import MTINetOutput
from mtinet_ros.training.config import LossConfig
from mtinet_ros.training.losses import MultiTaskLoss
from mtinet_ros.training.synchronized_norm import with_synchronized_norms

TASKS = {"semseg": 5, "human_parts": 7, "sal": 1, "normals": 3, "edge": 1, "depth": 1}
TERMS = {
    "semseg": {"cross_entropy": 1.0},
    "human_parts": {"cross_entropy": 2.0},
    "sal": {"saliency_bce": 5.0},
    "normals": {"normals_l1": 10.0, "cosine": 1.0},
    "edge": {"balanced_bce": 50.0},
    "depth": {"log_l1": 1.0, "log_gradient": 0.5},
}
IMAGES, ROWS, COLUMNS = 4, 8, 12


class TinyNetwork(nn.Module):
    """Final predictions, and initial ones at half the size, of six tasks."""

    def __init__(self) -> None:
        super().__init__()
        channels = sum(TASKS.values())
        self.early = nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.BatchNorm2d(6), nn.ReLU())
        self.initial = nn.Conv2d(6, channels, 1)
        self.late = nn.Sequential(nn.Conv2d(channels, 6, 3, 1, 1), nn.BatchNorm2d(6), nn.ReLU())
        self.final = nn.Conv2d(6, channels, 1)

    def forward(self, image: Tensor) -> MTINetOutput:
        initial = self.initial(self.early(image))
        final = nn.functional.interpolate(self.final(self.late(initial)), image.shape[-2:])
        split = [
            dict(zip(TASKS, maps.split(list(TASKS.values()), 1), strict=True))
            for maps in (final, initial)
        ]
        return MTINetOutput(split[0], split[1:])


def whole_batch() -> dict[str, Tensor]:
    """Four images whose truth is of very different kind and extent: means of means differ."""
    torch.manual_seed(1)

    def noise(channels: int) -> Tensor:
        return torch.randn(IMAGES, channels, ROWS, COLUMNS, dtype=torch.float64)

    truth = {
        "image": noise(3) * torch.tensor([1.0, 2.0, 0.5, 3.0]).view(4, 1, 1, 1),
        "semseg": torch.randint(0, 5, (IMAGES, ROWS, COLUMNS)),
        "human_parts": torch.randint(0, 7, (IMAGES, ROWS, COLUMNS)),
        "sal": (noise(1) > torch.tensor([-1.0, 0.0, 1.0, 3.0]).view(4, 1, 1, 1)).double(),
        "normals": nn.functional.normalize(noise(3), dim=1),
        "edge": (noise(1) > 1.5).double(),
        "depth": noise(1).abs() + 0.1,
    }
    truth["semseg"][0, 1:] = 255
    truth["human_parts"][2:] = 255  # the second process has no picture with people
    truth["normals"][1, :, :, 3:] = 0
    truth["depth"][:2, :, 2:] = 0
    truth["edge"][3, :, :2] = 255
    return truth


def step(
    network: nn.Module, batch: dict[str, Tensor], is_frozen: bool
) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
    """Losses, gradients and buffers after one backward pass."""
    network.train(not is_frozen)
    loss = MultiTaskLoss(LossConfig(terms=TERMS), TASKS, "log_metres")
    losses = loss(network(batch["image"]), batch)
    losses["total"].backward()
    gradients = {n.removeprefix("module."): p.grad for n, p in network.named_parameters()}
    buffers = {n.removeprefix("module."): b.clone() for n, b in network.named_buffers()}
    return {n: v.detach() for n, v in losses.items()}, gradients, buffers


def tiny_network() -> TinyNetwork:
    torch.manual_seed(0)
    return TinyNetwork().double()


def one_of_two(rank: int, folder: Path) -> None:
    """The second or first half of the batch, in a process of its own."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=2)
    half = {name: value[2 * rank : 2 * rank + 2] for name, value in whole_batch().items()}
    for is_frozen in (True, False):
        network = tiny_network()
        with_synchronized_norms(network, on_gpu=False)
        results = step(DistributedDataParallel(network), half, is_frozen)
        torch.save(results, folder / f"{rank}_{is_frozen}.pt")
    distributed.destroy_process_group()
    # DistributedDataParallel leaves threads of gloo behind even so (torch 2.13), which abort a
    # Python that is ending now and then; what is tested is saved by now.
    os._exit(0)


@pytest.fixture(scope="module")
def halves(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("processes")
    # This file again, as a program: spawned workers would look for a module of its name.
    environment = os.environ | {"GLOO_SOCKET_IFNAME": "lo"}
    both = [
        subprocess.Popen([sys.executable, __file__, str(rank), str(folder)], env=environment)
        for rank in (0, 1)
    ]
    assert [process.wait(100) for process in both] == [0, 0]
    return folder


@pytest.mark.parametrize("is_frozen", [True, False], ids=["frozen norms", "synchronized norms"])
def test_two_processes_have_the_gradients_of_one_with_the_whole_batch(halves, is_frozen):
    """With means of each process's own, a picture with little truth weighed as much as one with
    much; with norms of each one's own, statistics were those of half the frames."""
    losses, gradients, buffers = step(tiny_network(), whole_batch(), is_frozen)
    both = [torch.load(halves / f"{rank}_{is_frozen}.pt") for rank in (0, 1)]
    for name, value in losses.items():
        mean = (both[0][0][name] + both[1][0][name]) / 2
        assert mean.item() == pytest.approx(value.item(), rel=1e-10)
    largest = max(gradient.abs().max() for gradient in gradients.values())
    for name, gradient in gradients.items():
        for _, others, _ in both:
            assert (others[name] - gradient).abs().max() < 1e-11 * largest, name
            if name.endswith("weight"):  # a bias before a normalization has none but noise
                assert torch.allclose(others[name], gradient, rtol=1e-7, atol=1e-11), name
    for name, buffer in buffers.items():
        for _, _, others in both:
            assert torch.allclose(others[name].to(buffer.dtype), buffer, rtol=1e-10), name


@pytest.mark.parametrize("on_gpu", [False, True])
def test_synchronized_norms_keep_names_weights_and_results(on_gpu):
    """So that a checkpoint of one kind of run is one of the other."""
    plain, synchronized = tiny_network(), tiny_network()
    parameters = dict(synchronized.named_parameters())
    with_synchronized_norms(synchronized, on_gpu)
    assert list(synchronized.state_dict()) == list(plain.state_dict())
    assert all(p is parameters[name] for name, p in synchronized.named_parameters())
    assert not any(type(module) is nn.BatchNorm2d for module in synchronized.modules())
    image = whole_batch()["image"]
    for mode in (True, False):
        outputs = [network.train(mode)(image).predictions for network in (plain, synchronized)]
        assert all(torch.equal(outputs[0][task], outputs[1][task]) for task in TASKS)


if __name__ == "__main__":
    one_of_two(int(sys.argv[1]), Path(sys.argv[2]))

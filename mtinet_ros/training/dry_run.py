# SPDX-License-Identifier: Apache-2.0
"""A training run tried out: data looked at, network built, one step made, nothing written."""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from lightning.pytorch import seed_everything
from torch import Tensor
from torch.utils.data import default_collate
from torch.utils.flop_counter import FlopCounterMode

from mtinet_ros.datasets.sample import evenly_spaced
from mtinet_ros.errors import ConfigurationError
from mtinet_ros.training.card import checkpoint_header
from mtinet_ros.training.config import TrainConfig
from mtinet_ros.training.focal_length import with_focal_length
from mtinet_ros.training.initial_weights import initial_network
from mtinet_ros.training.loader import Batch, FixedSamples, StepSampler, TrainingSamples
from mtinet_ros.training.losses import check_losses
from mtinet_ros.training.memory import (
    available_bytes,
    current_bytes,
    forget_peak,
    peak_bytes,
)
from mtinet_ros.training.mixture import Mixture, TrainingSource, open_sources
from mtinet_ros.training.module import TrainingModule
from mtinet_ros.training.run import check_classes, choose_precision
from mtinet_ros.training.steps import steps_of_run

_LOOKS = 4
"""Frames of each split that are read."""
_PROBE_FRAMES = 2
"""Frames of the step that tells what a larger one needs; batch norm cannot do with one."""
_USABLE = 0.8
"""Share of the free memory that a step may take; the rest is left to whatever else runs."""


@dataclass(frozen=True)
class SourceLook:
    """A data set as it was found.

    Attributes:
        name: In the run's description.
        kind: Of data set.
        training: Frames to train on.
        validation: Frames to validate on.
        size: Rows and columns of its first picture.
        tasks: Tasks of the run that it has truth for.
        looks: Frames of each split that were read.
    """

    name: str
    kind: str
    training: int
    validation: int
    size: tuple[int, int]
    tasks: tuple[str, ...]
    looks: int


@dataclass(frozen=True)
class StepMeasure:
    """One optimizer step as it was measured.

    Attributes:
        frames: In its batch; fewer than asked for where memory would not do.
        seconds: Forward, backward and optimizer.
        loading: Seconds in which one process loads one frame.
        loss: Total loss before the step.
        peak: Bytes that the process had at most.
        available: Bytes that were free before it; None: not known.
        device: What it ran on.
        precision: Lightning's name.
    """

    frames: int
    seconds: float
    loading: float
    loss: float
    peak: int
    available: int | None
    device: str
    precision: str


@dataclass(frozen=True)
class NetworkMeasure:
    """What a network costs, whatever it runs on.

    Attributes:
        architecture: Its name and its backbone's.
        parameters: Their number.
        trained: The number of those that are trained.
        flop: Floating-point operations of a training step, per frame; two for a multiply-add.
        kept: Bytes that are kept for the backward pass, per frame.
    """

    architecture: str
    parameters: int
    trained: int
    flop: float
    kept: float


@dataclass(frozen=True)
class DryRun:
    """All that was found out; `run_estimate` makes a text of it.

    Attributes:
        sources: The data.
        network: The network.
        step: The step.
        steps: Of the whole run.
        batch_size: Frames of a step and device, as configured.
        devices: Processes of the run that take such a batch each.
        workers: Loader processes of each.
    """

    sources: tuple[SourceLook, ...]
    network: NetworkMeasure
    step: StepMeasure
    steps: int
    batch_size: int
    devices: int
    workers: int


def dry_run(config: TrainConfig) -> DryRun:
    """Try out a run.

    Args:
        config: The run. Its folder is not touched, whatever is in it.

    Raises:
        ConfigurationError: The configuration does not fit together, the hardware it asks for is
            not here, or the first step has no finite loss.
        DataError: Data are missing or damaged.
        ModelError: Initial weights cannot be read.
    """
    run = config.run
    if run.threads:
        torch.set_num_threads(run.threads)
    seed_everything(run.seed, verbose=False)
    device = _device(run.accelerator)
    network = initial_network(config.network)
    tasks = tuple(network.auxiliary_tasks)
    check_losses(config.losses, network.auxiliary_tasks, config.network.depth_output)
    sources = open_sources(config, tasks)
    check_classes(network, sources[0].training)
    config = with_focal_length(config, network.tasks, sources)
    checkpoint_header(config, network, sources, 0)  # its card must be allowed
    samples = TrainingSamples(sources, tasks, config.data, run.seed)
    _check_precision(run.precision, device.type)
    looks = tuple(_look(source, number, samples, config) for number, source in enumerate(sources))
    devices = (run.devices or (torch.cuda.device_count() if device.type == "cuda" else 1)) * (
        run.nodes
    )
    steps = steps_of_run(
        config.optimizer, sum(look.training for look in looks), config.data.batch_size * devices
    )
    names = [source.name for source in sources]
    module = TrainingModule(network, config, None, names, steps).to(device).train()
    tried = _Trial(module, config, device, choose_precision(run.precision, device.type))

    mixture = Mixture(
        [look.training for look in looks], [source.share for source in sources], run.seed
    )
    keys = next(iter(StepSampler(mixture, config.data.batch_size, lambda: 0)))
    began = time.perf_counter()
    frames = [samples[key] for key in keys]
    loading = (time.perf_counter() - began) / len(frames)
    costs, per_frame = tried.probe(
        frames[:_PROBE_FRAMES], f"{network.architecture} on {network.backbone_name}"
    )
    step = tried.step(frames, per_frame, loading)
    if not math.isfinite(step.loss):
        raise ConfigurationError(
            f"losses: the total of the first step is {step.loss}; look at the truth with `mtinet "
            "data check`, and at the weights in losses.terms"
        )
    return DryRun(
        looks, costs, step, steps.total, config.data.batch_size, devices,
        config.data.workers,
    )  # fmt: skip


def _device(accelerator: str) -> torch.device:
    there = torch.cuda.is_available()
    if accelerator in ("gpu", "cuda") and not there:
        raise ConfigurationError(
            f"run.accelerator is {accelerator} and PyTorch finds no GPU; set it to cpu or auto "
            "to try the run here"
        )
    if accelerator not in ("auto", "cpu", "gpu", "cuda"):
        raise ConfigurationError(
            f"run.accelerator is {accelerator}; a run is tried out on auto, cpu, gpu or cuda"
        )
    return torch.device("cuda" if there and accelerator != "cpu" else "cpu")


def _check_precision(precision: str, device: str) -> None:
    """Refuse what the run itself would."""
    known = ["auto", "32-true", "bf16-mixed", "bf16-true", "64-true"]
    known += ["16-mixed", "16-true"] if device == "cuda" else []
    if precision not in known:
        raise ConfigurationError(
            f"run.precision is {precision}; on {device} it is one of {', '.join(known)}"
        )


def _look(
    source: TrainingSource, number: int, samples: TrainingSamples, config: TrainConfig
) -> SourceLook:
    """Read a few frames of both splits, as training and validation do."""
    indices = evenly_spaced(source.training, _LOOKS)
    for frame, index in enumerate(indices):
        samples[number, index, frame]
    validation = evenly_spaced(source.validation, _LOOKS)
    kind = source.augmentation.kind
    fixed = FixedSamples(source.validation, validation, samples.tasks, config.data, kind)
    for position in range(len(fixed)):
        fixed[position]
    rows, columns = source.training[0].image.shape[:2]
    return SourceLook(
        source.name, source.kind, len(source.training), len(source.validation), (rows, columns),
        source.tasks, len(indices),
    )  # fmt: skip


class _Trial:
    """Optimizer steps of a module, without a trainer."""

    def __init__(
        self, module: TrainingModule, config: TrainConfig, device: torch.device, precision: str
    ) -> None:
        self.module, self.config = module, config
        self.device, self.precision = device, precision
        self.optimizer: torch.optim.Optimizer = module.configure_optimizers()["optimizer"]

    def probe(self, frames: Sequence[Batch], name: str) -> tuple[NetworkMeasure, float]:
        """What the network costs, and bytes of the process for each frame of a batch."""
        weights = {p.untyped_storage().data_ptr() for p in self.module.parameters()}
        kept: dict[int, int] = {}

        def keep(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in weights:
                kept[storage.data_ptr()] = storage.nbytes()
            return tensor

        forget_peak(self.device)
        before = current_bytes(self.device)
        with (
            torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
            FlopCounterMode(display=False) as counter,
        ):
            self._step(frames)
        grown = (peak_bytes(self.device) - before) / len(frames)
        parameters = list(self.module.network.parameters())
        costs = NetworkMeasure(
            name,
            sum(p.numel() for p in parameters),
            sum(p.numel() for p in parameters if p.requires_grad),
            counter.get_total_flops() / len(frames),
            sum(kept.values()) / len(frames),
        )
        return costs, max(grown, costs.kept)

    def step(self, frames: Sequence[Batch], per_frame: float, loading: float) -> StepMeasure:
        """Make one step of as many frames as memory allows, and time it."""
        available = available_bytes(self.device)
        count = len(frames)
        if available is not None:
            count = max(min(count, int(available * _USABLE / per_frame)), 1)
            if count < len(frames) and count < _PROBE_FRAMES:
                count = min(_PROBE_FRAMES, len(frames))  # it went well a moment ago
        forget_peak(self.device)
        while True:
            try:
                began = time.perf_counter()
                loss = self._step(frames[:count])
                seconds = time.perf_counter() - began
                break
            except torch.OutOfMemoryError as error:
                if count == 1:
                    raise ConfigurationError(
                        f"not one frame of {self.config.data.height}x{self.config.data.width} "
                        f"fits into {self._device_name()}; choose a smaller size or network"
                    ) from error
                count //= 2
                torch.cuda.empty_cache()
        return StepMeasure(
            count, seconds, loading, loss, peak_bytes(self.device), available,
            self._device_name(), self.precision,
        )  # fmt: skip

    def _step(self, frames: Sequence[Batch]) -> float:
        batch = {
            name: value.to(self.device) for name, value in default_collate(list(frames)).items()
        }
        image = self.module.image(batch)
        with self._autocast():
            loss = self.module.loss(self.module.network(image), batch)["total"]
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return float(loss.detach())  # waits for a GPU

    def _autocast(self) -> AbstractContextManager[None]:
        if not self.precision.endswith("mixed"):
            return nullcontext()
        kind = torch.bfloat16 if self.precision.startswith("bf16") else torch.float16
        return torch.autocast(self.device.type, kind)

    def _device_name(self) -> str:
        if self.device.type == "cuda":
            return torch.cuda.get_device_name(self.device)
        threads = torch.get_num_threads()
        return f"the CPU ({platform.machine()}, {threads} thread{'s' if threads > 1 else ''})"

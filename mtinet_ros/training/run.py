# SPDX-License-Identifier: Apache-2.0
"""A training run as configured: begun, or continued where it was cut off."""

from __future__ import annotations

import errno
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from functools import partial
from pathlib import Path

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningDataModule, Trainer, seed_everything
from lightning.pytorch.accelerators import CPUAccelerator
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor
from torch.utils.data import DataLoader

from mtinet_ros.datasets.class_sets import HUMAN_PARTS
from mtinet_ros.datasets.sample import SampleSource, evenly_spaced
from mtinet_ros.errors import ConfigurationError, MtinetError
from mtinet_ros.model_contract import VOID_ID
from mtinet_ros.network import MultiTaskNetwork
from mtinet_ros.output_files import folder_lock, make_folder
from mtinet_ros.training.callbacks import (
    SAVED_BEFORE,
    AtomicCheckpointIO,
    AveragedWeights,
    DeployableCheckpoints,
    Pause,
    PredictionImages,
)
from mtinet_ros.training.card import checkpoint_header
from mtinet_ros.training.config import TrainConfig
from mtinet_ros.training.focal_length import with_focal_length
from mtinet_ros.training.frame_check import check_frame
from mtinet_ros.training.initial_weights import initial_network
from mtinet_ros.training.loader import (
    Batch,
    FixedSamples,
    StepSampler,
    TrainingSamples,
    training_loader,
    validation_loader,
)
from mtinet_ros.training.losses import balanced_class_weights, check_losses
from mtinet_ros.training.mixture import Mixture, TrainingSource, open_sources
from mtinet_ros.training.module import TrainingModule
from mtinet_ros.training.optimizers import check_optimizer
from mtinet_ros.training.processes import leave_processes
from mtinet_ros.training.resumption import check_resumable
from mtinet_ros.training.steps import Steps, steps_of_run
from mtinet_ros.training.synchronized_norm import with_synchronized_norms

_log = logging.getLogger(__name__)

_SHEET_FRAMES = 6
_HISTOGRAM_FRAMES = 500


def train(config: TrainConfig, max_minutes: float = 0.0) -> Path:
    """Train until `optimizer.max_steps` or `max_epochs`; pause after `max_minutes` (0: no limit).

    Returns:
        The folder of the run; `latest.safetensors` in it is the averaged network, `last.ckpt` the
        whole state. Called again with the same folder, the run continues from there.

    Raises:
        ConfigurationError: The configuration does not fit together, another run is training into
            the folder, or the disk is full; what was saved before is whole.
        DataError: Data are missing or damaged.
        ModelError: Initial weights cannot be read.
        SystemExit: The process got SIGTERM (status 143) or SIGINT (130); the state is saved.
    """
    folder = Path(config.run.output).expanduser()
    make_folder(folder)
    with _exclusive(folder):
        try:
            return _train(config, folder, max_minutes)
        finally:
            leave_processes()


def _exclusive(folder: Path) -> AbstractContextManager[None]:
    """The folder's lock; processes of one run share it, so the first one holds it for all."""
    if _rank():
        return nullcontext()
    return folder_lock(
        folder,
        ConfigurationError,
        f"another run is training into {folder}; wait for it, stop it, or set run.output to "
        "another folder",
    )


def _rank() -> int:
    """Number of this process among those of the run."""
    return int(getattr(rank_zero_only, "rank", 0))


def _train(config: TrainConfig, folder: Path, max_minutes: float) -> Path:
    run = config.run
    if not _rank():
        for leftover in folder.glob(".*.part"):  # of a run that was killed while it saved
            leftover.unlink(missing_ok=True)
    if run.threads:
        torch.set_num_threads(run.threads)
    seed_everything(run.seed, verbose=False)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message="Checkpoint directory .* exists")
    warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec")

    check_optimizer(config.optimizer)
    network = initial_network(config.network)
    check_losses(config.losses, network.auxiliary_tasks, config.network.depth_output)
    data = TrainingData(config, tuple(network.auxiliary_tasks))
    check_classes(network, data.sources[0].training)
    config = with_focal_length(config, network.tasks, data.sources)
    class_weights = None
    if "semseg" in network.tasks:
        counts = class_histogram(data.sources, network.tasks["semseg"])
        log_class_histogram(counts, data.sources[0].training.class_names)
        if config.losses.class_balance:
            class_weights = balanced_class_weights(counts, config.losses.class_balance)
    header = partial(checkpoint_header, config, network, data.sources)
    header(0)  # a card that is not allowed shows before the first step, not at the first save
    averaged = AveragedWeights(config.optimizer.average) if config.optimizer.average else None
    last = folder / "last.ckpt"
    failures: list[MtinetError] = []
    pause = Pause(last, max_minutes, failures)
    callbacks: list[Callback] = [
        TQDMProgressBar(),  # where rich is installed, Lightning's other bar counts to epoch -2
        *([averaged] if averaged else []),
        pause,
        ModelCheckpoint(
            folder, "last", train_time_interval=timedelta(minutes=run.save_minutes),
            save_top_k=1, enable_version_counter=False,
        ),
        DeployableCheckpoints(folder, run.save_minutes, averaged, header, failures),
        PredictionImages(
            folder / "pictures", run.image_minutes, averaged, data.sheet_samples(), run.watch,
            config.network.depth_output,
        ),
    ]  # fmt: skip
    trainer = _make_trainer(config, folder, callbacks, failures)
    frames = sum(len(source.training) for source in data.sources)
    steps = steps_of_run(config.optimizer, frames, config.data.batch_size * trainer.world_size)
    trainer.fit_loop.epoch_loop.max_steps = steps.total
    data.steps = steps
    if run.sync_batch_norm:
        with_synchronized_norms(network, not isinstance(trainer.accelerator, CPUAccelerator))
    names = [source.name for source in data.sources]
    module = TrainingModule(network, config, class_weights, names, steps)
    if last.exists():
        check_resumable(last, module)
    with one_sentence(folder):
        trainer.fit(module, data, ckpt_path=last if last.exists() else None, weights_only=True)
        trainer.save_checkpoint(last, weights_only=False)
        if trainer.strategy.reduce_boolean_decision(bool(failures), all=False):
            raise failures[0] if failures else SystemExit(1)  # the other process says why
    _log.info("%s", _said_at_the_end(trainer.global_step, steps.total))
    if pause.status:
        raise SystemExit(pause.status)
    return folder


def _said_at_the_end(step: int, steps: int) -> str:
    if step < steps:
        return f"Paused after step {step} of {steps}: the same command goes on from there"
    return f"Complete: {step} steps of {steps}"


@contextmanager
def one_sentence(folder: Path) -> Iterator[None]:
    """Say in one sentence what a logger on a full disk says in many lines."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise ConfigurationError(
            f"cannot write into {folder}: {error.strerror}; {SAVED_BEFORE}"
        ) from error


def _make_trainer(
    config: TrainConfig, folder: Path, callbacks: list[Callback], failures: list[MtinetError]
) -> Trainer:
    run = config.run
    try:
        trainer = Trainer(
            accelerator=run.accelerator,
            devices=run.devices or "auto",
            num_nodes=run.nodes,
            precision=choose_precision(run.precision, run.accelerator),  # type: ignore[arg-type]
            max_epochs=-1,  # the steps are counted when the number of processes is known
            gradient_clip_val=config.optimizer.clip or None,
            val_check_interval=run.validate_steps,
            check_val_every_n_epoch=None,
            num_sanity_val_steps=0,
            log_every_n_steps=run.log_steps,
            use_distributed_sampler=False,
            callbacks=callbacks,
            plugins=AtomicCheckpointIO(failures),
            logger=[
                CSVLogger(folder, "csv", flush_logs_every_n_steps=run.log_steps),
                TensorBoardLogger(folder, "tensorboard", ""),
            ],
            enable_model_summary=False,
        )
    except (MisconfigurationException, ValueError, RuntimeError) as error:
        raise ConfigurationError(
            f"Lightning cannot train with run.accelerator {run.accelerator}, run.devices "
            f"{run.devices}, run.nodes {run.nodes} and run.precision {run.precision} here: {error}"
        ) from error
    if run.precision == "16-mixed" and isinstance(trainer.accelerator, CPUAccelerator):
        # Lightning would take bf16-mixed, and say so in a warning.
        raise ConfigurationError(
            "run.precision is 16-mixed, and the run is on the CPU; it takes 32-true or bf16-mixed"
        )
    return trainer


class TrainingData(LightningDataModule):
    """The training and validation splits of a run's data sets."""

    def __init__(self, config: TrainConfig, tasks: Sequence[str]) -> None:
        """Open all splits as they are on disk now; `tasks` are those to train in."""
        super().__init__()
        self.config = config
        self.tasks = tuple(tasks)
        self.sources = open_sources(config, tasks)
        self.steps: Steps | None = None

    def train_dataloader(self) -> DataLoader[Batch]:
        """Endless, from the trainer's step on."""
        assert self.trainer is not None
        trainer, config = self.trainer, self.config
        mixture = Mixture(
            [len(source.training) for source in self.sources],
            [source.share for source in self.sources],
            config.run.seed,
        )
        sampler = StepSampler(
            mixture, config.data.batch_size,
            lambda: trainer.global_step, trainer.global_rank, trainer.world_size,
            self.steps.first_frame if self.steps else None,
        )  # fmt: skip
        samples = TrainingSamples(self.sources, self.tasks, config.data, config.run.seed)
        return training_loader(samples, sampler)

    def val_dataloader(self) -> list[DataLoader[Batch]]:
        """Evenly spaced frames of every validation split, shared among the processes of a run."""
        assert self.trainer is not None
        loaders = []
        for source in self.sources:
            fixed = self._fixed(source, self.config.data.validation_frames)
            if len(fixed) < self.trainer.world_size:
                raise ConfigurationError(
                    f"{self.trainer.world_size} processes cannot share {len(fixed)} validation "
                    f"frames of {source.name}; raise data.validation_frames, or add frames"
                )
            fixed.indices = fixed.indices[self.trainer.global_rank :: self.trainer.world_size]
            loaders.append(validation_loader(fixed))
        return loaders

    def sheet_samples(self) -> list[FixedSamples]:
        """The few validation frames of the contact sheets."""
        count = max(_SHEET_FRAMES // len(self.sources), 1)
        return [self._fixed(source, count) for source in self.sources]

    def _fixed(self, source: TrainingSource, count: int) -> FixedSamples:
        indices = evenly_spaced(source.validation, count)
        kind = source.augmentation.kind
        return FixedSamples(source.validation, indices, self.tasks, self.config.data, kind)


def check_classes(network: MultiTaskNetwork, source: SampleSource) -> None:
    """Raise `ConfigurationError` unless the data have the classes that the network tells."""
    there = len(source.class_names)
    classes = network.auxiliary_tasks.get("semseg", there)
    if classes != there:
        raise ConfigurationError(
            f"network: semseg has {classes} channels, the data have {there} classes; the two must "
            f"be equal: set network.tasks.semseg to {there}"
        )
    for task, channels in (("human_parts", len(HUMAN_PARTS)), ("sal", 1), ("edge", 1)):
        if network.auxiliary_tasks.get(task, channels) != channels:
            raise ConfigurationError(
                f"network: {task} has {network.auxiliary_tasks[task]} channels; its truth has "
                f"{channels}"
            )


def choose_precision(precision: str, accelerator: str = "auto") -> str:
    """Resolve "auto": bf16-mixed where the run's hardware multiplies bfloat16, else 32-true.

    A CPU without such instructions emulates them, an order of magnitude slower than float32.
    """
    if precision != "auto":
        return precision
    if accelerator != "cpu" and torch.cuda.is_available():
        return (
            "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"
        )
    native = torch.backends.cpu.get_cpu_capability().startswith("AVX512") and (
        torch.cpu._is_avx512_bf16_supported()
    )
    return "bf16-mixed" if native else "32-true"


def class_histogram(sources: Sequence[TrainingSource], classes: int) -> Tensor:
    """Pixels of each semseg class in the mean training frame, double [classes].

    Counted over evenly spaced samples of each source; the sources' means are added by their
    shares.

    Raises:
        DataError: A label is outside the classes; the message names the frame.
    """
    mean = torch.zeros(classes, dtype=torch.double)
    for source in sources:
        if "semseg" not in source.tasks:
            continue
        indices = evenly_spaced(source.training, _HISTOGRAM_FRAMES)
        for index in indices:
            sample = source.training[index]
            check_frame(sample, classes, f"training frame {index} of {source.name}")
            labels = torch.from_numpy(sample.targets["semseg"].astype("int64"))
            known = torch.bincount(labels[labels != VOID_ID], minlength=classes)
            mean += known.double() * (source.share / len(indices) / labels.numel())
    return mean


def log_class_histogram(counts: Tensor, names: Sequence[str]) -> None:
    """Log the class histogram: a class that never occurs is a mistake in the data."""
    shares = (100 * counts / counts.sum().clamp(min=1e-12)).tolist()
    _log.info(
        "Pixels by class: %s",
        ", ".join(f"{n} {s:.2f} %" for n, s in zip(names, shares, strict=True)),
    )
    absent = [n for n, s in zip(names, shares, strict=True) if s == 0]
    if absent:
        _log.warning("No pixel of class %s in the training frames", ", ".join(absent))

# SPDX-License-Identifier: Apache-2.0
"""Lightning callbacks: averaged weights, pausing, deployable checkpoints, images to look at."""

from __future__ import annotations

import io
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.plugins.io import TorchCheckpointIO
from numpy.typing import NDArray
from torch import Tensor, nn

from mtinet_ros.errors import ConfigurationError, DataError, InputError, MtinetError
from mtinet_ros.image_files import read_image, write_png
from mtinet_ros.network import MultiTaskNetwork, save_checkpoint
from mtinet_ros.network.weights_file import HEADER_KEY
from mtinet_ros.output_files import file_errors, make_folder, replace_file
from mtinet_ros.training.decode import decode
from mtinet_ros.training.loader import FixedSamples, normalize, to_tensors
from mtinet_ros.training.processes import process_count
from mtinet_ros.visualization.colors import depth_range
from mtinet_ros.visualization.contact_sheet import SheetFrame, contact_sheet

_log = logging.getLogger(__name__)


class AveragedWeights(WeightAveraging):
    """Exponential moving average of weights and batch-norm statistics.

    Young averages forget faster: after n steps the decay is at most (1 + n) / (10 + n).
    """

    def __init__(self, decay: float) -> None:
        """Average with the final decay `decay`, so over about 1 / (1 - decay) steps."""

        def average(mean: Tensor, value: Tensor, steps: Tensor | int) -> Tensor:
            if not mean.is_floating_point():  # batch norm counts its batches
                return value
            steps = int(steps)
            return mean.lerp(value, 1 - min(decay, (1 + steps) / (10 + steps)))

        super().__init__(avg_fn=average)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the weights in training as they are, so that a paused run continues exactly."""

    def network(self, module: LightningModule) -> MultiTaskNetwork:
        """The averaged network; the one in training where no step was averaged yet."""
        return _network(module if self._average_model is None else self._average_model.module)


def network_to_keep(module: LightningModule, averaged: AveragedWeights | None) -> MultiTaskNetwork:
    """The network that is saved and looked at: the averaged one, if weights are averaged."""
    return averaged.network(module) if averaged else _network(module)


def _network(module: nn.Module) -> MultiTaskNetwork:
    network = module.network
    assert isinstance(network, MultiTaskNetwork)
    return network


class Pause(Callback):
    """The end of a run between two steps, by the clock, Ctrl-C or SIGTERM, to be continued later.

    SIGTERM is taken over from Lightning, whose handler talks to the other processes wherever the
    signal finds it, also amid a backward pass in which they exchange gradients: both then wait
    for ever. Here it sets a flag, which all processes of the run compare after every step. The
    state is saved at once, because who sends SIGTERM often sends SIGKILL ten seconds later.

    A process of several that could not save ends all of them in the same way.

    Attributes:
        status: The exit status that a signal asked for (143 or 130), else 0.
    """

    def __init__(self, state: Path, minutes: float, failures: list[MtinetError]) -> None:
        """Pause after `minutes` (0: no limit), with the whole run saved to the file `state`.

        What is added to `failures` ends the run.
        """
        self.state = state
        self.failures = failures
        self.seconds = minutes * 60 or float("inf")
        self.started = time.monotonic()
        self.status = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Install the signal handlers; the trainer restores the former ones when it ends.

        A signal that is ignored stays ignored: a shell starts background jobs deaf to Ctrl-C.
        """
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                if signal.getsignal(number) is not signal.SIG_IGN:
                    signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _frame: object) -> None:
        if number == signal.SIGINT and self.status:
            raise KeyboardInterrupt  # a second Ctrl-C does not wait for the step
        self.status = 128 + number

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Save and stop if any process of the run got a signal or is out of time."""
        self._pause_if_asked(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save before a validation, which may take minutes, if the end was asked for meanwhile."""
        if not trainer.should_stop:
            self._pause_if_asked(trainer)

    def _pause_if_asked(self, trainer: Trainer) -> None:
        any_process = partial(trainer.strategy.reduce_boolean_decision, all=False)
        late = time.monotonic() - self.started >= self.seconds
        if any_process(bool(self.status or self.failures) or late):
            if any_process(bool(self.status)):
                self.status = self.status or 128 + signal.SIGTERM  # another process got it
            if not any_process(bool(self.failures)):
                trainer.save_checkpoint(self.state, weights_only=False)
            trainer.should_stop = True


class AtomicCheckpointIO(TorchCheckpointIO):
    """Checkpoints that replace a file in one step.

    Lightning writes into the temporary folder, from where a checkpoint can only be copied, and so
    half copied, to another file system.
    """

    def __init__(self, failures: list[MtinetError]) -> None:
        """Add what could not be written to `failures`, see `saving`."""
        super().__init__()
        self.failures = failures

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Replace the file `path`.

        Raises:
            ConfigurationError: It cannot be written, on a full disk for one; the former is whole.
        """
        content = io.BytesIO()
        torch.save(checkpoint, content)
        make_folder(Path(path).parent)
        with saving(Path(path), self.failures):
            refuse_not_finite(checkpoint.get("state_dict", {}))
            replace_file(Path(path), content.getbuffer(), flush=True)


@contextmanager
def saving(path: Path, failures: list[MtinetError]) -> Iterator[None]:
    """Turn what goes wrong while a file of the run is written into a sentence.

    A single process raises it. One of several adds it to `failures`: the others would wait for one
    that is gone, so that all end together, see `Pause`.
    """
    try:
        with file_errors(f"save {path}", ConfigurationError, SAVED_BEFORE):
            yield
    except ConfigurationError as error:
        if process_count() == 1:
            raise
        failures.append(error)


def refuse_not_finite(state: Mapping[str, Tensor]) -> None:
    """Raise `ConfigurationError` where a weight is no finite number: the run has diverged."""
    for name, value in state.items():
        if value.is_floating_point() and not value.isfinite().all():
            raise ConfigurationError(
                f"the training has diverged, {name} is not finite any more; what was saved before "
                "is kept: lower optimizer.learning_rate, or set optimizer.clip"
            )


SAVED_BEFORE = "what was saved before is whole: make room and run the same command again"


class _Periodic(Callback):
    """Writes something every few minutes of training, and at its end."""

    def __init__(self, minutes: float, begin_at_once: bool) -> None:
        self._seconds = minutes * 60
        self._written = float("-inf") if begin_at_once else time.monotonic()

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Write if it is time."""
        if time.monotonic() - self._written >= self._seconds:
            self.on_train_end(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the last state."""
        self._written = time.monotonic()
        if trainer.is_global_zero:
            self._write(trainer, pl_module)

    def _write(self, trainer: Trainer, module: LightningModule) -> None:
        raise NotImplementedError


class DeployableCheckpoints(_Periodic):
    """The network to deploy in `latest.safetensors`, written every few minutes and at the end.

    The state of the run is described as that file is, so that it can be exported too.
    """

    def __init__(
        self,
        folder: Path,
        minutes: float,
        averaged: AveragedWeights | None,
        describe: Callable[[int], dict[str, str]],
        failures: list[MtinetError],
    ) -> None:
        """Save into a folder.

        Args:
            folder: It must exist.
            minutes: Between two saves.
            averaged: Weights to save; None: those in training.
            describe: Entries of the file's header for a number of steps.
            failures: Of saving, see `saving`.
        """
        super().__init__(minutes, begin_at_once=False)
        self.path = folder / "latest.safetensors"
        self.averaged = averaged
        self.describe = describe
        self.failures = failures

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Describe the network in the state of the run."""
        checkpoint[HEADER_KEY] = self.describe(trainer.global_step)

    def _write(self, trainer: Trainer, module: LightningModule) -> None:
        header = self.describe(trainer.global_step)
        network = network_to_keep(module, self.averaged)
        with saving(self.path, self.failures):
            refuse_not_finite(network.state_dict())
            save_checkpoint(self.path, network, **header)


class PredictionImages(_Periodic):
    """Contact sheets of the averaged network's predictions, every few minutes.

    They are written as PNG files and to TensorBoard. A strip of the truth follows each strip of
    predictions, with the same colors of depth; photographs have no truth.
    """

    def __init__(
        self,
        folder: Path,
        minutes: float,
        averaged: AveragedWeights | None,
        samples: Sequence[FixedSamples],
        watched: Sequence[str],
        depth_output: str,
    ) -> None:
        """Prepare for a run.

        Args:
            folder: Folder of the PNG files; made when the first is written.
            minutes: Minutes between two sheets.
            averaged: Weights that predict; None: those in training.
            samples: Frames with their truth, of every data set.
            watched: Image files without truth.
            depth_output: Kind of the network's depth output, see `decode`.

        Raises:
            DataError: A photograph cannot be read.
        """
        super().__init__(minutes, begin_at_once=True)
        self.folder = folder
        self.averaged = averaged
        self.samples = tuple(samples)
        data = self.samples[0].data
        self.depth_output = depth_output
        self.watched = [read_image_at_size(path, data.height, data.width) for path in watched]

    def _write(self, trainer: Trainer, module: LightningModule) -> None:
        network = network_to_keep(module, self.averaged)
        frames, true_depths = [], []
        data = self.samples[0].data
        for sample in (s.resized(position) for s in self.samples for position in range(len(s))):
            tensors = to_tensors(sample, data.focal_length)
            truth = _sheet_frame(sample.image, tensors)
            predicted = self._predict(network, tensors["image"])
            frames += [_sheet_frame(sample.image, predicted), truth]
            if truth.depth is not None:
                true_depths.append(truth.depth)
        frames += [_sheet_frame(p, self._predict(network, normalize(p))) for p in self.watched]
        sheet = contact_sheet(
            frames,
            self.samples[0].source.palette,
            width=data.width,
            near_far=depth_range(*true_depths),
        )
        try:
            make_folder(self.folder)
            write_png(self.folder / f"step_{trainer.global_step:06d}.png", sheet)
        except MtinetError as error:
            _log.warning("%s; training goes on", error)  # hours of work are worth more
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image(
                    "predictions", sheet, trainer.global_step, dataformats="HWC"
                )

    def _predict(self, network: MultiTaskNetwork, image: Tensor) -> dict[str, Tensor]:
        """Decoded predictions of one normalized image, by task, on the CPU."""
        training = network.training
        network.eval()
        device = next(network.parameters()).device
        with torch.no_grad():
            raw = network(image[None].to(device)).predictions
        network.train(training)
        return {task: t[0].cpu() for task, t in decode(raw, self.depth_output).items()}


def read_image_at_size(path: str, height: int, width: int) -> NDArray[np.uint8]:
    """The middle of an image file at the network's size, uint8 [height, width, 3] RGB.

    Raises:
        DataError: The file is missing or no image.
    """
    try:
        image = read_image(Path(path))
    except InputError as error:
        raise DataError(f"run.watch: {error}") from error
    rows, columns = image.shape[:2]
    scale = max(height / rows, width / columns)
    size = (max(width, round(columns * scale)), max(height, round(rows * scale)))
    image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return image[top : top + height, left : left + width]


def _sheet_frame(image: NDArray[np.uint8], tensors: Mapping[str, Tensor]) -> SheetFrame:
    """Predictions or ground truth by task, as the network's tensors have them."""
    labels, depth, normals = (tensors.get(task) for task in ("semseg", "depth", "normals"))
    return SheetFrame(
        image,
        labels=None if labels is None else labels.numpy().astype(np.uint8),
        depth=None if depth is None else depth[0].numpy(),
        normals=None if normals is None else normals.movedim(0, -1).numpy(),
    )

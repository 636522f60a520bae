# SPDX-License-Identifier: Apache-2.0
"""What happens beside the steps: averaged weights, deployable checkpoints, pictures."""

from __future__ import annotations

import io
import signal
import threading
import time
from collections.abc import Callable, Sequence
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
from torch import Tensor

from mtinet_ros.errors import DataError
from mtinet_ros.network import MTINet, save_checkpoint
from mtinet_ros.output_files import make_folder, replace_file
from mtinet_ros.training.decode import decode
from mtinet_ros.training.loader import FixedSamples, normalize
from mtinet_ros.training.pictures import (
    Image,
    draw_depth,
    draw_labels,
    draw_normals,
    montage,
    write_png,
)


class AveragedWeights(WeightAveraging):
    """Exponential moving average of weights and batch-norm statistics.

    Young averages forget faster: after n steps the decay is at most (1 + n) / (10 + n).
    """

    def __init__(self, decay: float) -> None:
        """`decay` is the final one; about 1 / (1 - decay) steps are averaged."""

        def average(mean: Tensor, value: Tensor, steps: Tensor | int) -> Tensor:
            if not mean.is_floating_point():  # batch norm counts its batches
                return value
            steps = int(steps)
            return mean.lerp(value, 1 - min(decay, (1 + steps) / (10 + steps)))

        super().__init__(avg_fn=average)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the weights in training as they are, so that a paused run continues exactly."""

    def network(self, module: LightningModule) -> MTINet:
        """The averaged network; the one in training where no step was averaged yet."""
        holder = module if self._average_model is None else self._average_model.module
        network = holder.network
        assert isinstance(network, MTINet)
        return network


class Pause(Callback):
    """Ends a run between two steps so that it can be continued: by the clock, Ctrl-C or SIGTERM.

    SIGTERM is taken over from Lightning, whose handler talks to the other processes wherever the
    signal finds it, also amid a backward pass in which they exchange gradients: both then wait
    for ever. Here it sets a flag, which all processes of the run compare after every step. The
    state is saved at once, because who sends SIGTERM often sends SIGKILL ten seconds later.

    Attributes:
        status: The exit status that a signal asked for (143 or 130), else 0.
    """

    def __init__(self, state: Path, minutes: float) -> None:
        """Stop after so many minutes (0: no limit), with the run saved to the file `state`."""
        self.state = state
        self.seconds = minutes * 60 or float("inf")
        self.started = time.monotonic()
        self.status = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen; the trainer puts all old handlers back when it ends.

        What is ignored stays so: a shell starts background jobs deaf to Ctrl-C.
        """
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                if signal.getsignal(number) is not signal.SIG_IGN:
                    signal.signal(number, self._asked)

    def _asked(self, number: int, _frame: object) -> None:
        if number == signal.SIGINT and self.status:
            raise KeyboardInterrupt  # a second Ctrl-C does not wait for the step
        self.status = 128 + number

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Stop if it is time."""
        agreed = trainer.strategy.reduce_boolean_decision
        late = time.monotonic() - self.started >= self.seconds
        if agreed(bool(self.status) or late, all=False):
            if agreed(bool(self.status), all=False):
                self.status = self.status or 128 + signal.SIGTERM  # another process was told
            trainer.save_checkpoint(self.state, weights_only=False)
            trainer.should_stop = True


class WholeCheckpoints(TorchCheckpointIO):
    """Writes the state beside its place and renames it there.

    Lightning writes it into the temporary folder, from where it can only be copied, and so half
    copied, to another file system.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Replace the file `path`."""
        content = io.BytesIO()
        torch.save(checkpoint, content)
        make_folder(Path(path).parent)
        replace_file(Path(path), content.getbuffer(), flush=True)


class DeployableCheckpoints(Callback):
    """Writes the averaged network to `latest.safetensors` every few minutes and at the end."""

    def __init__(
        self,
        folder: Path,
        minutes: float,
        averaged: AveragedWeights,
        describe: Callable[[int], dict[str, str]],
    ) -> None:
        """`describe` gives the entries of the file's header for a number of steps."""
        self.path = folder / "latest.safetensors"
        self.seconds = minutes * 60
        self.averaged = averaged
        self.describe = describe
        self.written = time.monotonic()

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Write if it is time."""
        if time.monotonic() - self.written >= self.seconds:
            self._write(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the last state."""
        self._write(trainer, pl_module)

    def _write(self, trainer: Trainer, module: LightningModule) -> None:
        self.written = time.monotonic()
        if trainer.is_global_zero:
            header = self.describe(trainer.global_step)
            save_checkpoint(self.path, self.averaged.network(module), **header)


class PredictionImages(Callback):
    """Draws what the averaged network sees, every few minutes: PNG files and TensorBoard."""

    def __init__(
        self,
        folder: Path,
        minutes: float,
        averaged: AveragedWeights,
        samples: FixedSamples,
        photographs: Sequence[str],
        depth_output: str,
    ) -> None:
        """`samples` are drawn with their truth, `photographs` have none.

        Raises:
            DataError: A photograph cannot be read.
        """
        self.folder = folder
        self.seconds = minutes * 60
        self.averaged = averaged
        self.samples = samples
        self.depth_output = depth_output
        self.photographs = [
            read_photograph(path, samples.data.height, samples.data.width) for path in photographs
        ]
        self.drawn = float("-inf")
        self.draw: dict[str, Callable[[Any], Image]] = {
            "semseg": partial(draw_labels, palette=samples.source.palette),
            "depth": draw_depth,
            "normals": draw_normals,
        }

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Draw if it is time."""
        if time.monotonic() - self.drawn >= self.seconds:
            self._draw(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the last state."""
        self._draw(trainer, pl_module)

    def _draw(self, trainer: Trainer, module: LightningModule) -> None:
        self.drawn = time.monotonic()
        if not trainer.is_global_zero:
            return
        network = self.averaged.network(module)
        rows = []
        for place in range(len(self.samples)):
            batch = self.samples[place]
            predicted, truth = self._predict(network, batch["image"]), []
            for task, draw in self.draw.items():
                if task in batch:
                    truth.append(draw(_channels_last(batch[task])))
            image = self._photograph_of(place)
            rows += [[image, *predicted], [image, *truth]]
        rows += [[p, *self._predict(network, normalize(p))] for p in self.photographs]
        image = montage(rows)
        self.folder.mkdir(parents=True, exist_ok=True)
        write_png(str(self.folder / f"step_{trainer.global_step:06d}.png"), image)
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image(
                    "predictions", image, trainer.global_step, dataformats="HWC"
                )

    def _photograph_of(self, place: int) -> Image:
        data = self.samples.data
        image = self.samples.source[self.samples.indices[place]].image
        size = (data.width, data.height)
        return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)

    def _predict(self, network: MTINet, image: Tensor) -> list[Image]:
        training = network.training
        network.eval()
        device = next(network.parameters()).device
        with torch.no_grad():
            raw = network(image[None].to(device)).predictions
        network.train(training)
        decoded = decode(raw, self.depth_output)
        return [
            draw(_channels_last(decoded[task][0].cpu()))
            for task, draw in self.draw.items()
            if task in decoded
        ]


def read_photograph(path: str, height: int, width: int) -> Image:
    """Read a picture and cut its middle to the network's size.

    Raises:
        DataError: The file is missing or no image.
    """
    image = cv2.imread(path, cv2.IMREAD_COLOR)
    if image is None:
        raise DataError(f"{path} cannot be read as an image; give a PNG or JPEG file.")
    image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    rows, columns = image.shape[:2]
    scale = max(height / rows, width / columns)
    size = (max(width, round(columns * scale)), max(height, round(rows * scale)))
    image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return np.asarray(image[top : top + height, left : left + width], np.uint8)


def _channels_last(tensor: Tensor) -> Any:
    array = tensor.numpy()
    if array.ndim == 2:
        return array
    return array[0] if array.shape[0] == 1 else array.transpose(1, 2, 0)

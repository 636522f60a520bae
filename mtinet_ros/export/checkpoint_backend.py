# SPDX-License-Identifier: Apache-2.0
"""A backend over PyTorch, to measure a checkpoint before it is exported."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mtinet_ros.errors import BackendError
from mtinet_ros.export.checkpoint_card import load_described
from mtinet_ros.export.deploy_network import DeployNetwork
from mtinet_ros.export.presets import Preset
from mtinet_ros.inference.backend import Backend, Run, Runs, check_images
from mtinet_ros.model_contract import TASK_OUTPUTS
from mtinet_ros.network import MTINetOutput
from mtinet_ros.network.state_dicts import Choice


class CheckpointBackend(Backend):
    """`Backend` over PyTorch on the CPU, in float32.

    Attributes:
        note: Which of several weights in the file are measured; empty if there is nothing to say.
        further: Raw predictions of the tasks that have no output in the model contract, N×C×H×W by
            task, for the images of the last `begin`.
    """

    name = "pytorch"
    device = "CPU"
    precision = "fp32"

    def __init__(
        self,
        checkpoint: Path,
        max_batch: int,
        choice: Choice | None = None,
        preset: Preset | None = None,
    ) -> None:
        """Load a checkpoint.

        Args:
            checkpoint: File of `mtinet train`, or any that `mtinet export` takes.
            max_batch: Largest batch to accept.
            choice: Averaged weights or those in training; None: averaged ones if there are any.
            preset: What the file does not say of itself.

        Raises:
            ModelError: It cannot be read.
        """
        described = load_described(checkpoint, preset, choice=choice)
        self.note = described.note
        self.card = described.card
        self.max_batch = max_batch
        self._runs = Runs(self.name)
        tasks = tuple(task for task in described.network.tasks if task in TASK_OUTPUTS)
        network = DeployNetwork(described.network, tasks, convention=described.convention)
        self.further: dict[str, Tensor] = {}
        described.network.register_forward_hook(self._keep_further)
        self.output_names = network.output_names
        self._network: DeployNetwork | None = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def begin(self, images: NDArray[np.uint8], wanted: Collection[str]) -> Run:
        """See `Backend.begin`; all outputs are computed, the wanted ones returned."""
        if self._network is None:
            raise BackendError("the checkpoint is closed")
        check_images(self, images, wanted)
        self._runs.next_turn()
        with torch.inference_mode():
            outputs = self._network(torch.from_numpy(images))
        named = zip(self.output_names, outputs, strict=True)
        arrays = {name: output.numpy() for name, output in named if name in wanted}
        return self._runs.begun(lambda: arrays)

    def _keep_further(self, _network: nn.Module, _images: object, output: MTINetOutput) -> None:
        self.further = {
            task: raw for task, raw in output.predictions.items() if task not in TASK_OUTPUTS
        }

    def close(self) -> None:
        """Free the network."""
        self._network = None
        self._runs.close()

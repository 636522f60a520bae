# SPDX-License-Identifier: Apache-2.0
"""OpenVINO on the CPU: the fastest backend for a robot without an NVIDIA GPU."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtinet_ros.errors import BackendError, ModelError
from mtinet_ros.inference.backend import (
    Backend,
    FixedBatch,
    Run,
    Runs,
    check_graph,
    check_images,
)
from mtinet_ros.inference.cpu_precision import (
    choose_cpu_precision,
    cpu_capabilities,
    describe_precision,
)
from mtinet_ros.inference.cpu_settings import CpuSettings
from mtinet_ros.inference.openvino_graph import read_for_single_images, unstable_argmax
from mtinet_ros.inference.silent_import import import_silently
from mtinet_ros.model_card import read_model_card
from mtinet_ros.model_contract import INPUT_NAME, INPUTS, OUTPUTS


class OpenVinoBackend(Backend):
    """`Backend` over an OpenVINO model for single images.

    The images of a batch run one after another: each with all threads, which takes no longer than
    as one batch (docs/performance.md), and there are no empty places to pay for.

    Attributes:
        warning: What the user should know of the precision; empty if nothing.
    """

    name = "openvino"

    def __init__(self, model: Path, max_batch: int, settings: CpuSettings | None = None) -> None:
        """Load and compile a model for the CPU; arguments and errors as `OnnxRuntimeBackend`."""
        openvino = import_silently("openvino")

        self.card = read_model_card(model)
        self.max_batch = min(max_batch, self.card.max_batch)
        core = openvino.Core()
        settings = settings or CpuSettings()
        # The runtime would choose bf16 by itself on CPUs that have it; it is the card's to say.
        chosen = choose_cpu_precision(self.card, settings, cpu_capabilities())
        config = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": chosen.arithmetic,
            "INFERENCE_NUM_THREADS": settings.thread_count(),
        }
        try:
            graph = read_for_single_images(core, model, self.card.input_size)
            unstable_argmax(graph)
            compiled: Any = core.compile_model(graph, "CPU", config)
        except Exception as error:  # OpenVINO raises bare RuntimeError and its own types alike
            raise ModelError(f"OpenVINO cannot load {model}: {error}") from error
        self.precision = describe_precision(self.card, chosen.arithmetic, cpu_capabilities())
        self.warning = chosen.warning
        self.device = str(core.get_property("CPU", "FULL_DEVICE_NAME")).strip()
        self._tensor = openvino.Tensor
        self._request: Any = compiled.create_infer_request()
        self._runs = Runs(self.name)
        self.output_names = tuple(_name(output) for output in compiled.outputs)
        inputs = {_name(i): _describe(i) for i in compiled.inputs}
        check_graph(model, self.card, inputs, {_name(o): _describe(o) for o in compiled.outputs})
        self._step = inputs[INPUT_NAME][1][0]
        # One after another makes a batch of any size; only a larger step needs filling up.
        shape = (None, *inputs[INPUT_NAME][1][1:]) if self._step == 1 else inputs[INPUT_NAME][1]
        self._fixed_batch = FixedBatch(self.name, model, shape)
        self.max_batch = self._fixed_batch.limit(self.max_batch)
        self.gains_by_batching = self._fixed_batch.gains_by_batching
        # By turn: what the network writes into. Two runs' outputs hold at a time.
        self._outputs = [
            {name: self._new_output(name) for name in self.output_names} for _ in range(2)
        ]

    def begin(self, images: NDArray[np.uint8], wanted: Collection[str]) -> Run:
        """See `Backend.begin`. OpenVINO computes every output; only the wanted are handed out.

        The run is over on return: the CPU that would go on meanwhile is the one that works here.
        """
        if self._request is None:
            raise BackendError("openvino: the backend is closed")
        check_images(self, images, wanted)
        outputs = self._outputs[self._runs.next_turn()]
        try:
            filled = self._fixed_batch.filled(images)
            step = self._step or len(filled)
            for first in range(0, len(filled), step):
                rows = slice(first, first + step)
                for index, name in enumerate(self.output_names):
                    target = self._tensor(outputs[name][rows], shared_memory=True)
                    self._request.set_output_tensor(index, target)
                self._request.infer({INPUT_NAME: filled[rows]}, share_inputs=True)
        except Exception as error:
            raise BackendError(f"OpenVINO failed to run {self.card.name}: {error}") from error
        given = {
            name: outputs[name][: len(images)] for name in self.output_names if name in wanted
        }
        return self._runs.begun(lambda: given)

    def _new_output(self, name: str) -> NDArray[Any]:
        height, width = self.card.input_size
        spec = OUTPUTS[name]
        rows = max(self.max_batch, self._step or 1)
        return np.empty((rows, height, width, *spec.channels), spec.dtype)

    def close(self) -> None:
        """See `Backend.close`."""
        self._request = None
        self._runs.close()


def _name(port: Any) -> str:
    """A port's name in the model contract: OpenVINO may know it by names of inner tensors too."""
    names = port.get_names()
    return next((name for name in (*INPUTS, *OUTPUTS) if name in names), min(names))


def _describe(port: Any) -> tuple[str, tuple[int | None, ...]]:
    shape = tuple(dim.get_length() if dim.is_static else None for dim in port.get_partial_shape())
    return port.get_element_type().to_dtype().name, shape

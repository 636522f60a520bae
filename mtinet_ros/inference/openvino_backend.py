# SPDX-License-Identifier: Apache-2.0
"""OpenVINO on the CPU: the fastest backend for a robot without an NVIDIA GPU."""

from __future__ import annotations

import logging
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
from mtinet_ros.inference.cpu_precision import choose_cpu_precision, describe_precision
from mtinet_ros.inference.cpu_settings import CpuSettings
from mtinet_ros.model_card import read_model_card
from mtinet_ros.model_contract import INPUT_NAME, INPUTS, OUTPUTS

logger = logging.getLogger("mtinet_ros.inference")


class OpenVinoBackend(Backend):
    """`Backend` over an OpenVINO compiled model and two infer requests that take turns."""

    name = "openvino"

    def __init__(self, model: Path, max_batch: int, settings: CpuSettings | None = None) -> None:
        """Load and compile a model for the CPU; arguments and errors as `OnnxRuntimeBackend`."""
        import openvino

        self.card = read_model_card(model)
        self.max_batch = min(max_batch, self.card.max_batch)
        core = openvino.Core()
        settings = settings or CpuSettings()
        capabilities = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        # The runtime would choose bf16 by itself on CPUs that have it; it is the card's to say.
        chosen = choose_cpu_precision(self.card, settings, capabilities)
        config = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": chosen.arithmetic,
            "INFERENCE_NUM_THREADS": settings.thread_count(),
        }
        try:
            compiled: Any = core.compile_model(_read(core, model), "CPU", config)
        except Exception as error:  # OpenVINO raises bare RuntimeError and its own types alike
            raise ModelError(f"OpenVINO cannot load {model}: {error}") from error
        self.precision = describe_precision(self.card, chosen.arithmetic)
        if chosen.warning:
            logger.warning("%s", chosen.warning)
        self.device = str(core.get_property("CPU", "FULL_DEVICE_NAME")).strip()
        self._requests: list[Any] = [compiled.create_infer_request() for _ in range(2)]
        self._runs = Runs(self.name)
        self.output_names = tuple(_name(output) for output in compiled.outputs)
        inputs = {_name(i): _describe(i) for i in compiled.inputs}
        check_graph(model, self.card, inputs, {_name(o): _describe(o) for o in compiled.outputs})
        self._fixed_batch = FixedBatch(self.name, model, inputs[INPUT_NAME][1])
        self.max_batch = self._fixed_batch.limit(self.max_batch)

    def begin(self, images: NDArray[np.uint8], wanted: Collection[str]) -> Run:
        """See `Backend.begin`. OpenVINO computes every output; only the wanted are handed out.

        The run is over on return: the CPU that would go on meanwhile is the one that works here.
        """
        if not self._requests:
            raise BackendError("openvino: the backend is closed")
        check_images(self, images, wanted)
        request = self._requests[self._runs.next_turn()]
        try:
            request.infer({INPUT_NAME: self._fixed_batch.filled(images)}, share_inputs=True)
        except Exception as error:
            raise BackendError(f"OpenVINO failed to run {self.card.name}: {error}") from error
        names, rows = [name for name in self.output_names if name in wanted], len(images)
        return self._runs.begun(
            lambda: {name: request.get_tensor(name).data[:rows] for name in names}
        )

    def close(self) -> None:
        """See `Backend.close`."""
        self._requests = []
        self._runs.close()


def _read(core: Any, model: Path) -> Any:
    """The graph, for any number of images where that is a matter of its description alone.

    Should an operator in the middle fix the number, its outputs show it, and it stays as it was.
    """
    graph = core.read_model(str(model))
    shape: Any = graph.inputs[0].get_partial_shape()
    if len(graph.inputs) > 1 or len(shape) != 4 or shape[0].is_dynamic or shape[0] == 1:
        return graph
    shape[0] = -1
    try:
        graph.reshape(shape)
        shapes = [output.get_partial_shape() for output in graph.outputs]
        is_free = all(len(shape) > 0 and shape[0].is_dynamic for shape in shapes)
    except RuntimeError:  # an operator does not take it
        is_free = False
    return graph if is_free else core.read_model(str(model))


def _name(port: Any) -> str:
    """A port's name in the model contract: OpenVINO may know it by names of inner tensors too."""
    names = port.get_names()
    return next((name for name in (*INPUTS, *OUTPUTS) if name in names), min(names))


def _describe(port: Any) -> tuple[str, tuple[int | None, ...]]:
    shape = tuple(dim.get_length() if dim.is_static else None for dim in port.get_partial_shape())
    return port.get_element_type().to_dtype().name, shape

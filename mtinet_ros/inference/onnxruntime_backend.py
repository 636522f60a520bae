# SPDX-License-Identifier: Apache-2.0
"""ONNX Runtime on the CPU: runs everywhere; the yardstick for the other backends."""

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
    Outputs,
    Run,
    Runs,
    check_graph,
    check_images,
)
from mtinet_ros.inference.cpu_precision import choose_cpu_precision, describe_precision
from mtinet_ros.inference.cpu_settings import CpuSettings
from mtinet_ros.model_card import read_model_card
from mtinet_ros.model_contract import INPUT_NAME

# NumPy's name where it differs from ONNX Runtime's.
_DTYPE_NAMES = {"float": "float32", "double": "float64"}


class OnnxRuntimeBackend(Backend):
    """`Backend` over `onnxruntime.InferenceSession`, CPU execution provider.

    Attributes:
        warning: What the user should know of the precision; empty if nothing.
    """

    name = "onnxruntime"
    device = "CPU"

    def __init__(self, model: Path, max_batch: int, settings: CpuSettings | None = None) -> None:
        """Load a model.

        Args:
            model: ONNX file with a card.
            max_batch: Largest batch to accept; the card's own limit also holds.
            settings: Precision and threads; None: all that is available.

        Raises:
            ModelError: The file is unreadable, not ONNX, without a card or not of the contract.
        """
        import onnxruntime

        self.card = read_model_card(model)
        self.max_batch = min(max_batch, self.card.max_batch)
        self._runs = Runs(self.name)
        settings = settings or CpuSettings()
        # It has no bf16 of its own on the CPU: what it cannot multiply it computes in float32.
        chosen = choose_cpu_precision(self.card, settings, ())
        self.warning = chosen.warning and (
            "cpu_precision is bf16, which ONNX Runtime does not compute in; computing in fp32"
        )
        self.precision = describe_precision(self.card, chosen.arithmetic)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = settings.thread_count()
        # Spinning workers wait for the next operator in a loop: on a busy robot that burns cores
        # which others need, and doubles the latency.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.inter_op.allow_spinning", "0")
        options.log_severity_level = (
            3  # errors reach us as exceptions; warnings are for developers
        )
        try:
            self._session: Any = onnxruntime.InferenceSession(
                str(model), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime has no public base class for its errors
            raise ModelError(f"ONNX Runtime cannot load {model}: {error}") from error
        self.output_names = tuple(output.name for output in self._session.get_outputs())
        inputs = {i.name: _describe(i) for i in self._session.get_inputs()}
        outputs = {o.name: _describe(o) for o in self._session.get_outputs()}
        check_graph(model, self.card, inputs, outputs)
        self._fixed_batch = FixedBatch(self.name, model, inputs[INPUT_NAME][1])
        self.max_batch = self._fixed_batch.limit(self.max_batch)
        self.gains_by_batching = self._fixed_batch.gains_by_batching

    def begin(self, images: NDArray[np.uint8], wanted: Collection[str]) -> Run:
        """See `Backend.begin`. The run is over on return, its arrays are the caller's own."""
        if self._session is None:
            raise BackendError("onnxruntime: the backend is closed")
        check_images(self, images, wanted)
        self._runs.next_turn()
        outputs = self._run(images, [name for name in self.output_names if name in wanted])
        return self._runs.begun(lambda: outputs)

    def _run(self, images: NDArray[np.uint8], names: list[str]) -> Outputs:
        if not names:
            return {}
        try:
            arrays = self._session.run(names, {INPUT_NAME: self._fixed_batch.filled(images)})
        except Exception as error:
            raise BackendError(f"ONNX Runtime failed to run {self.card.name}: {error}") from error
        rows = len(images)
        return {name: array[:rows] for name, array in zip(names, arrays, strict=True)}

    def close(self) -> None:
        """See `Backend.close`."""
        self._session = None
        self._runs.close()


def _describe(tensor: Any) -> tuple[str, tuple[int | None, ...]]:
    shape = tuple(size if isinstance(size, int) else None for size in tensor.shape)
    name = tensor.type.removeprefix("tensor(").removesuffix(")")
    return _DTYPE_NAMES.get(name, name), shape

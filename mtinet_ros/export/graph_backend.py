# SPDX-License-Identifier: Apache-2.0
"""A backend over a graph in memory, to measure it before it is written."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx
from numpy.typing import NDArray

from mtinet_ros.errors import BackendError
from mtinet_ros.export.verification import open_session
from mtinet_ros.inference.backend import Backend, Run, Runs, check_images
from mtinet_ros.model_card import ModelCard
from mtinet_ros.model_contract import INPUT_NAME


class GraphBackend(Backend):
    """`Backend` over ONNX Runtime on the CPU that computes literally what the graph says."""

    name = "onnxruntime"
    device = "CPU"

    def __init__(self, model: onnx.ModelProto, card: ModelCard) -> None:
        """Load a graph; casts and Q/DQ in it are computed, not optimized away.

        Args:
            model: The graph.
            card: What describes it.

        Raises:
            ExportError: ONNX Runtime cannot load it.
        """
        self.card = card
        self.max_batch = 1
        self._session = open_session(model, optimize=False)
        self.output_names = tuple(output.name for output in self._session.get_outputs())
        self._runs = Runs(self.name)

    def begin(self, images: NDArray[np.uint8], wanted: Collection[str]) -> Run:
        """See `Backend.begin`."""
        if self._session is None:
            raise BackendError("the graph is closed")
        check_images(self, images, wanted)
        self._runs.next_turn()
        names = [name for name in self.output_names if name in wanted]
        arrays = self._session.run(names, {INPUT_NAME: images})
        return self._runs.begun(lambda: dict(zip(names, arrays, strict=True)))

    def close(self) -> None:
        """Free the session."""
        self._session = None
        self._runs.close()

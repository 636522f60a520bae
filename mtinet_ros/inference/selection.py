# SPDX-License-Identifier: Apache-2.0
"""Which backend runs a model: by name, or the best one that can run here."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from mtinet_ros.errors import BackendError, ConfigurationError
from mtinet_ros.inference.backend import Backend
from mtinet_ros.model_card import read_model_card

logger = logging.getLogger("mtinet_ros.inference")


@dataclass(frozen=True)
class BackendSpec:
    """Where a backend lives and what it needs.

    Attributes:
        module: Module of this package that holds the class.
        class_name: The class, called with (model, max_batch).
        requires: Importable module without which it cannot run.
        install: The command that brings `requires`.
    """

    module: str
    class_name: str
    requires: str
    install: str

    def missing(self) -> str | None:
        """Why this backend cannot run here, as a sentence, or None."""
        if importlib.util.find_spec(self.requires) is not None:
            return None
        return f"{self.requires} is not installed; `{self.install}` brings it"


# In the order in which `auto` tries them: the fastest first.
BACKENDS: dict[str, BackendSpec] = {
    "openvino": BackendSpec(
        "mtinet_ros.inference.openvino_backend",
        "OpenVinoBackend",
        "openvino",
        "pip install 'mtinet_ros[openvino]'",
    ),
    "onnxruntime": BackendSpec(
        "mtinet_ros.inference.onnxruntime_backend",
        "OnnxRuntimeBackend",
        "onnxruntime",
        "pip install onnxruntime",
    ),
}
BACKEND_CHOICES = ("auto", *BACKENDS)


def load_backend(
    model: str | os.PathLike[str], backend: str = "auto", max_batch: int = 8
) -> Backend:
    """Load `model` with the backend of that name, or with the best that can run here.

    Args:
        model: ONNX file with a card.
        backend: A name of `BACKENDS`, or `auto`.
        max_batch: Largest batch that will be asked for.

    Raises:
        ConfigurationError: There is no backend of that name.
        BackendError: It is not installed (the message has the command), or none is.
        ModelError: The model cannot be read.
    """
    path = Path(model)
    if backend != "auto":
        if backend not in BACKENDS:
            raise ConfigurationError(
                f"backend {backend!r} is unknown; allowed: {', '.join(BACKEND_CHOICES)}"
            )
        missing = BACKENDS[backend].missing()
        if missing:
            raise BackendError(f"backend {backend}: {missing}")
        return _construct(backend, path, max_batch)
    read_model_card(path)  # a bad model is the model's fault, not each backend's in turn
    refusals: list[str] = []
    for name, spec in BACKENDS.items():
        missing = spec.missing()
        if missing:
            refusals.append(f"{name}: {missing}")
            continue
        logger.info(
            "backend auto chose %s%s",
            name,
            f" (not {'; not '.join(refusals)})" if refusals else "",
        )
        return _construct(name, path, max_batch)
    raise BackendError(f"no backend can run here: {'; '.join(refusals)}")


def _construct(name: str, model: Path, max_batch: int) -> Backend:
    spec = BACKENDS[name]
    constructor = cast(
        "Callable[[Path, int], Backend]",
        getattr(importlib.import_module(spec.module), spec.class_name),
    )
    return constructor(model, max_batch)

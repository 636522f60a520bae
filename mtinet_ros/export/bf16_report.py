# SPDX-License-Identifier: Apache-2.0
"""What a CPU's bf16 arithmetic costs a model: measured on pictures, kept in its card.

With a report that passes, a robot's CPU computes the model in bf16 where it can (`cpu_precision`).
A runtime's bf16 is not that of a graph with casts (it chooses where to round), so the runtime
itself is measured: OpenVINO in bf16 against OpenVINO in float32. A machine that cannot do so
simulates, and the report says it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from mtinet_ros.errors import BackendError, BackendUnavailableError, ModelError
from mtinet_ros.export.accuracy import describe_excess, measure_accuracy
from mtinet_ros.export.onnx_graph import (
    attach_card,
    rewritable_card,
    rewrite_card,
    write_model,
)
from mtinet_ros.export.reduced_precision import convertible_nodes, simulate_conversion
from mtinet_ros.export.verification import run_onnxruntime
from mtinet_ros.inference import Backend, CpuSettings
from mtinet_ros.inference.cpu_precision import cpu_capabilities
from mtinet_ros.inference.openvino_backend import OpenVinoBackend
from mtinet_ros.inference.silent_import import import_silently
from mtinet_ros.model_card import ModelCard, read_model_card

MAX_IMAGES = 32


def report_on_export(
    model: onnx.ModelProto, card: ModelCard, float32: onnx.ModelProto, images: NDArray[np.uint8]
) -> dict[str, Any] | None:
    """Report on a graph that is being exported.

    Args:
        model: The graph to be written.
        card: Its card so far.
        float32: The graph before its precision was reduced, to simulate with.
        images: uint8 [N,H,W,3], photographs.

    Returns:
        See `measure_file`; None for a graph in bf16, whose own accuracy says it, and for int8
        where this machine cannot measure.
    """
    if card.precision == "bf16" and not card.wide_parts:
        return None
    if "BF16" in cpu_capabilities():
        with TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            attach_card(model, card)
            write_model(model, path)
            return measure_file(path, images)
    if card.precision in ("int8", "bf16"):
        return None
    measured = _spread(images)
    simulation = simulate_conversion(float32, "bf16", convertible_nodes(float32))
    measures = measure_accuracy(
        run_onnxruntime(float32, measured), run_onnxruntime(simulation, measured, optimize=False)
    )
    return _report(measures, "a simulation: this CPU does not multiply bf16", len(measured))


def measure_file(model: Path, images: NDArray[np.uint8]) -> dict[str, Any]:
    """Measure a model file in OpenVINO, in bf16 against float32.

    Args:
        model: ONNX file with a card.
        images: uint8 [N,H,W,3], photographs at the card's input size; at most `MAX_IMAGES` of
            them, spread evenly, are taken.

    Returns:
        The measures of `accuracy.measure_accuracy`; `exceeded` describes the limits that are
        broken, empty if none is; `measured_in` and `pictures` say how.

    Raises:
        BackendUnavailableError: OpenVINO is missing, or this CPU does not multiply bf16.
        ModelError: The file has no card, or OpenVINO cannot load it.
    """
    openvino = import_silently("openvino")

    if "BF16" not in cpu_capabilities():
        raise BackendUnavailableError(
            f"{model} cannot be measured here: this CPU does not multiply bf16",
            "measure it on one that does (avx512_bf16 or amx_bf16 in /proc/cpuinfo), the card "
            "then holds everywhere",
        )
    measured = _spread(images)
    outputs = []
    for precision in ("f32", "bf16"):
        backend = OpenVinoBackend(model, 1, CpuSettings(precision))
        try:
            outputs.append(_run(backend, measured))
        finally:
            backend.close()
    version = openvino.get_version().partition("-")[0]
    return _report(measure_accuracy(*outputs), f"OpenVINO {version}", len(measured))


def add_report(model: Path, images: NDArray[np.uint8]) -> Mapping[str, Any]:
    """Measure a model file and put the report into its card; the graph stays as it is.

    Args:
        model: ONNX file with a card.
        images: See `measure_file`.

    Returns:
        The report.

    Raises:
        BackendUnavailableError: See `measure_file`.
        ModelError: The file has no card, or another tool has changed its graph.
        ConfigurationError: Its folder cannot be written to.
        ExportError: It cannot be written.
    """
    card = rewritable_card(model)
    if card.precision == "bf16" and not card.wide_parts:
        raise ModelError(
            f"{model} is in bf16 itself and needs no report; its accuracy was measured at export"
        )
    report = measure_file(model, images)
    if read_model_card(model) != card:
        raise ModelError(f"{model} became another file while it was measured; measure it again")
    rewrite_card(model, replace(card, accuracy={**card.accuracy, "bf16": report}))
    return report


def _run(backend: Backend, images: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    names = backend.output_names
    runs = [
        {name: array.copy() for name, array in backend.infer(image[np.newaxis], names).items()}
        for image in images
    ]
    return {name: np.concatenate([run[name] for run in runs]) for name in names}


def _report(measures: Mapping[str, float], measured_in: str, pictures: int) -> dict[str, Any]:
    if not measures:
        raise BackendError("nothing was measured: the model has no output that is compared")
    return {
        **{name: round(value, 6) for name, value in measures.items()},
        "exceeded": describe_excess(measures),
        "measured_in": measured_in,
        "pictures": pictures,
    }


def _spread(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    chosen = np.linspace(0, len(images) - 1, min(len(images), MAX_IMAGES)).astype(int)
    spread: NDArray[np.uint8] = images[chosen]
    return spread

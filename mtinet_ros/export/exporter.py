# SPDX-License-Identifier: Apache-2.0
"""Network and card in, one verified self-describing ONNX file out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from mtinet_ros.errors import ConfigurationError
from mtinet_ros.export.bf16_report import report_on_export
from mtinet_ros.export.confidence import with_confidence
from mtinet_ros.export.criteria import Judge
from mtinet_ros.export.deploy_network import DeployNetwork, OutputConvention
from mtinet_ros.export.onnx_graph import attach_card, trace, write_model
from mtinet_ros.export.precision import check_limits, convert_precision
from mtinet_ros.export.rewrites import rewrite_for_speed
from mtinet_ros.export.synthetic_images import synthetic_images
from mtinet_ros.export.verification import (
    check_exactness,
    compare,
    run_onnxruntime,
    run_pytorch,
)
from mtinet_ros.model_card import ModelCard
from mtinet_ros.model_contract import PRECISIONS
from mtinet_ros.network import MultiTaskNetwork


@dataclass(frozen=True)
class ExportOptions:
    """Choices for an export.

    Attributes:
        confidence: Also give the output `confidence`, with temperature 1: `mtinet confidence` fits
            one.
        precision: One of `model_contract.PRECISIONS`.
        images: uint8 [N,H,W,3], photographs at the card's input size, to calibrate int8 and to
            measure accuracy. None: synthetic ones, not enough for int8, nor for a report on what
            a CPU's bf16 costs.
        force: Write a model whose precision costs too much accuracy all the same.
        convention: Meaning of the network's raw outputs; None: the contract's.
        report: Called with each line of progress.
        judge: Decides by labelled pictures what a reduced precision may cost; None: agreement with
            the float32 graph does.
    """

    confidence: bool = False
    precision: str = "fp32"
    images: NDArray[np.uint8] | None = None
    force: bool = False
    convention: OutputConvention | None = None
    report: Callable[[str], None] = lambda line: None
    judge: Judge | None = None


@dataclass(frozen=True)
class Export:
    """A written model.

    Attributes:
        path: The ONNX file.
        card: The card inside it.
        differences: The float32 graph in ONNX Runtime against PyTorch, see `verification.compare`.
    """

    path: Path
    card: ModelCard
    differences: dict[str, float]


def export_network(
    network: MultiTaskNetwork, card: ModelCard, path: Path, options: ExportOptions | None = None
) -> Export:
    """Export, verify against the network as it was trained, and write.

    Args:
        network: With its weights, left as they are; switched to evaluation.
        card: Description of the network; decides input size, tasks and largest batch.
        path: File to write; replaced in one step.
        options: None: float32 and no extras.

    Raises:
        ConfigurationError: The precision is unknown, int8 is asked for without images, or the
            judge has no truth that could decide.
        ExportError: The graph does not answer as the network does, its precision costs too much,
            or it cannot be written.
    """
    options = options or ExportOptions()
    check_precision(options.precision, options.images is not None)
    images = options.images
    if images is None:
        images = synthetic_images(2, card.input_size)
    deploy = DeployNetwork(network, card.tasks, options.confidence, options.convention)
    fast = DeployNetwork(rewrite_for_speed(network), card.tasks, convention=options.convention)
    options.report("tracing and checking the float32 graph against PyTorch")
    model = trace(fast, card.input_size)
    # The confidence stays float32 behind the logits, so it comes last, whatever the precision.
    complete = partial(with_confidence, temperature=1.0) if options.confidence else _as_it_is
    float32 = complete(model)
    differences = _check_against(deploy, float32, images[:2], card.max_batch)
    accuracy: Mapping[str, Any] = {"reference": "PyTorch, float32", **differences}
    if options.precision != "fp32":
        model, accuracy = _converted(model, complete, images, options)
        _check_runs(model, card, options.precision)
    else:
        model = float32
    images_used = "synthetic" if options.images is None else "real"
    card = replace(
        card,
        tasks=deploy.tasks,
        precision=options.precision,
        accuracy={**accuracy, "pictures": images_used},
        confidence={"temperature": 1.0} if options.confidence else {},
    )
    if options.images is not None:
        options.report("measuring what a CPU's bf16 arithmetic costs")
        report = report_on_export(model, card, float32, options.images)
        if report is not None:
            card = replace(card, accuracy={**card.accuracy, "bf16": report})
    card = attach_card(model, card)
    write_model(model, path)
    return Export(path, card, differences)


def _as_it_is(model: onnx.ModelProto) -> onnx.ModelProto:
    return model


def check_precision(precision: str, has_images: bool) -> None:
    """Refuse an impossible precision before any work is done.

    Raises:
        ConfigurationError: The precision is unknown, or int8 is asked for without images.
    """
    if precision not in PRECISIONS:
        raise ConfigurationError(
            f"precision {precision!r} is unknown; allowed: {', '.join(PRECISIONS)}"
        )
    if precision == "int8" and not has_images:
        raise ConfigurationError(
            "int8 needs real pictures of the kind the robot will see, to learn how large values "
            "get: give --calibration a bag, a video or a folder of 20 or more"
        )


def _check_against(
    deploy: DeployNetwork, model: onnx.ModelProto, images: NDArray[np.uint8], max_batch: int
) -> dict[str, float]:
    """One picture, and the largest batch of alternating ones: items must not leak into another."""
    expected = run_pytorch(deploy, images)
    turns = np.arange(max_batch) % len(images)
    batch = run_onnxruntime(model, images[turns])
    single = run_onnxruntime(model, images[:1])
    differences = compare({name: array[turns] for name, array in expected.items()}, batch)
    check_exactness(differences)
    check_exactness(compare({name: array[:1] for name, array in expected.items()}, single))
    return differences


def _converted(
    model: onnx.ModelProto,
    complete: Callable[[onnx.ModelProto], onnx.ModelProto],
    images: NDArray[np.uint8],
    options: ExportOptions,
) -> tuple[onnx.ModelProto, dict[str, Any]]:
    options.report(f"converting to {options.precision}, measured on {len(images)} pictures")
    conversion = convert_precision(
        model, options.precision, images, options.report, options.judge, complete
    )
    check_limits(conversion, options.precision, options.force)
    # `wide_parts` is the key in the cards of models that exist.
    accuracy: dict[str, Any] = {
        "reference": "the same graph in float32",
        **conversion.measures,
        "wide_parts": list(conversion.fp32_parts),
    }
    if conversion.max_activation is not None:
        accuracy["max_fp16_activation"] = conversion.max_activation
    if conversion.judgement:
        accuracy["judgement"] = dict(conversion.judgement)
    if conversion.exceeded:
        accuracy["forced_beyond"] = conversion.exceeded
    return conversion.model, accuracy


def _check_runs(model: onnx.ModelProto, card: ModelCard, precision: str) -> None:
    """The file itself must load and take the largest batch, wherever this machine can run it."""
    if precision == "bf16":
        onnx.checker.check_model(model, full_check=True)  # no CPU here computes bf16 from ONNX
        return
    run_onnxruntime(model, synthetic_images(card.max_batch, card.input_size))

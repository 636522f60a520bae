# SPDX-License-Identifier: Apache-2.0
"""What decides how much of a graph is in reduced precision: agreement, or labelled pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from mtinet_ros.errors import ConfigurationError
from mtinet_ros.export import accuracy
from mtinet_ros.export.verification import run_onnxruntime

# Most that a reduced precision may lose on labelled pictures: of mIoU and of the share of pixels
# with a depth within a factor of 1.25, a hundredth each; of the mean angle of normals, half a
# degree. Two trainings of one network differ by more.
LOSS_LIMITS: dict[str, float] = {
    "semseg_miou": 0.01,
    "depth_delta1": 0.01,
    "depth_coverage": 0.01,
    "depth_aligned_delta1": 0.01,
    "depth_aligned_coverage": 0.01,
    "normals_mean": 0.5,
}
_LESS_IS_BETTER = ("normals_mean",)


@dataclass(frozen=True)
class Judge:
    """Measures graphs on labelled pictures.

    Attributes:
        pictures: Which these are, for people.
        figures: Those of a graph, by name as `mtinet evaluate` has them; what is in `LOSS_LIMITS`
            decides.
    """

    pictures: str
    figures: Callable[[onnx.ModelProto], Mapping[str, float]]


@dataclass(frozen=True)
class Criterion:
    """Decides whether a graph is good enough.

    Attributes:
        measure: Measures of a graph that simulates a reduced precision.
        excess: The worst of such measures as a multiple of its limit: up to 1 is allowed.
        describe: The measures beyond their limits, as a phrase; empty if there are none.
    """

    measure: Callable[[onnx.ModelProto], dict[str, float]]
    excess: Callable[[Mapping[str, float]], float]
    describe: Callable[[Mapping[str, float]], str]


def agreement(model: onnx.ModelProto, images: NDArray[np.uint8]) -> Criterion:
    """The answers must be those of the float32 graph, see `accuracy.LIMITS`.

    Args:
        model: The float32 graph.
        images: uint8 [N,H,W,3].

    Raises:
        ExportError: The graph cannot be run.
    """
    reference = run_onnxruntime(model, images)

    def measure(graph: onnx.ModelProto) -> dict[str, float]:
        actual = run_onnxruntime(graph, images, optimize=False)
        return accuracy.measure_accuracy(reference, actual)

    return Criterion(measure, accuracy.excess, accuracy.describe_excess)


def judged(judge: Judge, figures: Mapping[str, float]) -> Criterion:
    """The answers must be as right as those of the float32 graph, see `LOSS_LIMITS`.

    Args:
        judge: Knows what is right.
        figures: The judge's, of the float32 graph.

    Raises:
        ConfigurationError: There is none among the figures that could decide.
    """
    deciding = [name for name in LOSS_LIMITS if name in figures]
    if not deciding:
        raise ConfigurationError(
            f"{judge.pictures} have no truth that could decide: labels, depth, or normals whose "
            "axes are known; name other data"
        )

    def measure(graph: onnx.ModelProto) -> dict[str, float]:
        actual = judge.figures(graph)
        return {
            # What is not there any more, such as depth that became NaN, is lost without limit.
            name: (actual.get(name, np.nan) - figures[name])
            * (1 if name in _LESS_IS_BETTER else -1)
            for name in deciding
        }

    return Criterion(measure, _loss_excess, _describe_losses)


def _loss_excess(losses: Mapping[str, float]) -> float:
    shares = [loss / LOSS_LIMITS[name] for name, loss in losses.items()]
    return float("inf") if not np.isfinite(shares).all() else max(shares)


def _describe_losses(losses: Mapping[str, float]) -> str:
    return "; ".join(
        f"{name} loses {loss:.4g}, the limit {LOSS_LIMITS[name]:g}"
        for name, loss in losses.items()
        if not loss <= LOSS_LIMITS[name]  # so that NaN is beyond it too
    )

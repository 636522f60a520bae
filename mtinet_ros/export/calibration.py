# SPDX-License-Identifier: Apache-2.0
"""Ranges of activations, measured on pictures, for quantization."""

from __future__ import annotations

import copy
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from mtinet_ros.export.verification import run_onnxruntime

# Values drawn of a tensor on each picture, always at the same places.
_SAMPLES = 2000
# Limits that are tried, as shares of the largest magnitude.
_SHARES = np.linspace(0.2, 1.0, 41)
# Levels on either side of zero.
_LEVELS = 127
# Of a tensor that is zero on all pictures.
_LEAST_LIMIT = 1e-6


@dataclass(frozen=True)
class Range:
    """How large an activation gets.

    Attributes:
        limit: Magnitude from which on it is clipped.
        means: float32 [C], of each channel over all pictures and places.
    """

    limit: float
    means: NDArray[np.float32]


def measure_ranges(
    model: onnx.ModelProto, tensors: Collection[str], images: NDArray[np.uint8]
) -> dict[str, Range]:
    """Range of each tensor, the one whose rounding errs least on these images.

    Args:
        model: The float32 graph.
        tensors: Names of activations [N,C,H,W].
        images: uint8 [N,H,W,3].

    Raises:
        ExportError: The graph cannot be run.
    """
    run = run_onnxruntime(_probe(model, tensors), images, one_by_one=True)
    ranges = {}
    for name in tensors:
        samples, maxima = np.abs(run[f"{name}/samples"]), run[f"{name}/max"].ravel()
        means = run[f"{name}/means"].mean(axis=0, dtype=np.float64)
        limit = best_limit(np.concatenate([samples, maxima]))
        ranges[name] = Range(limit, means.astype(np.float32))
    return ranges


def best_limit(magnitudes: NDArray[np.float32]) -> float:
    """The limit for which clipping and rounding together have the least mean square error.

    A single large value would make the steps coarse for all others; clipping it costs less. Yet
    where large values carry meaning, as in depth, there are enough of them to keep the limit up.

    Args:
        magnitudes: float32 [K], the largest among them.

    >>> best_limit(np.append(np.linspace(0, 1, 999, dtype=np.float32), np.float32(1)))
    1.0
    >>> best_limit(np.zeros(3, np.float32))
    1e-06
    """
    largest = float(magnitudes.max())
    if not largest > _LEAST_LIMIT:
        return _LEAST_LIMIT
    errors = []
    for share in _SHARES:
        step = np.float32(share * largest / _LEVELS)
        rounded = np.minimum(np.rint(magnitudes / step), _LEVELS) * step
        errors.append(float(np.square(rounded - magnitudes, dtype=np.float64).mean()))
    return float(_SHARES[int(np.argmin(errors))]) * largest


def _probe(model: onnx.ModelProto, tensors: Collection[str]) -> onnx.ModelProto:
    """The graph with what is to be known of each tensor as its outputs; the tensors stay inside.

    Handing out whole tensors would take gigabytes for a large network.
    """
    inferred = onnx.shape_inference.infer_shapes(model).graph.value_info
    sizes = {
        value.name: int(np.prod([d.dim_value for d in value.type.tensor_type.shape.dim[1:]]))
        for value in inferred
    }
    random = np.random.default_rng(0)
    probe = copy.deepcopy(model)
    graph = probe.graph
    del graph.output[:]
    graph.initializer.append(numpy_helper.from_array(np.array([-1]), "/probe/flat"))
    for name in tensors:
        places = random.integers(sizes[name], size=min(_SAMPLES, sizes[name]))
        graph.initializer.append(numpy_helper.from_array(places, f"{name}/places"))
        samples, largest, means = (f"{name}/{m}" for m in ("samples", "max", "means"))
        graph.node.extend(
            (
                helper.make_node("Reshape", [name, "/probe/flat"], [f"{name}/flat"]),
                helper.make_node("Gather", [f"{name}/flat", f"{name}/places"], [samples]),
                helper.make_node("Abs", [name], [f"{name}/abs"]),
                helper.make_node("ReduceMax", [f"{name}/abs"], [largest]),
                helper.make_node("ReduceMean", [name], [means], axes=[2, 3], keepdims=0),
            )
        )
        graph.output.extend(
            helper.make_tensor_value_info(output, TensorProto.FLOAT, None)
            for output in (samples, largest, means)
        )
    return probe

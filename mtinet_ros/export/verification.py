# SPDX-License-Identifier: Apache-2.0
"""Compares an exported graph with its PyTorch network, output by output."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray

from mtinet_ros.errors import ExportError
from mtinet_ros.export.deploy_network import DeployNetwork
from mtinet_ros.model_contract import INPUT_NAME

Arrays = Mapping[str, NDArray[Any]]

# How far an fp32 graph may be from PyTorch. Both round differently (about 1e-5 of a standard
# deviation); a mistake in the graph is beyond 1e-2.
MIN_LABEL_AGREEMENT = 0.999
MAX_DEPTH_DIFFERENCE = 1e-3  # of the standard deviation of depth
MAX_MEAN_ANGLE_DEG = 0.01
MAX_CONFIDENCE_DIFFERENCE = 2.0  # of 255


def run_pytorch(network: DeployNetwork, images: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    """Outputs of the network for uint8 [N,H,W,3], one image at a time to spare memory."""
    with torch.inference_mode():
        results = [network(torch.from_numpy(image[np.newaxis])) for image in images]
    return {
        name: torch.cat(parts).numpy()
        for name, parts in zip(network.output_names, zip(*results, strict=True), strict=True)
    }


def run_onnxruntime(
    model: onnx.ModelProto,
    images: NDArray[np.uint8],
    optimize: bool = True,
    *,
    one_by_one: bool = False,
) -> dict[str, NDArray[Any]]:
    """Outputs of the graph for uint8 [N,H,W,3] in ONNX Runtime on the CPU.

    Args:
        model: The graph.
        images: The batch.
        optimize: Let ONNX Runtime rewrite the graph. Without, it computes literally what the graph
            says (casts and Q/DQ included), and the images run one by one to spare memory.
        one_by_one: Run the images one by one with optimizations too.

    Raises:
        ExportError: ONNX Runtime cannot load or run the graph.
    """
    session = open_session(model, optimize)
    batches = [images] if optimize and not one_by_one else [image[np.newaxis] for image in images]
    names = [output.name for output in session.get_outputs()]
    try:
        runs = [session.run(names, {INPUT_NAME: batch}) for batch in batches]
    except Exception as error:  # ONNX Runtime has no public base class for its errors
        raise ExportError(f"ONNX Runtime cannot run the exported graph: {error}") from error
    if len(runs) == 1:
        return dict(zip(names, runs[0], strict=True))
    return {name: np.concatenate([run[i] for run in runs]) for i, name in enumerate(names)}


def open_session(model: onnx.ModelProto, optimize: bool = True) -> Any:
    """The graph in ONNX Runtime on the CPU; `optimize` as for `run_onnxruntime`.

    Raises:
        ExportError: ONNX Runtime cannot load it.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if not optimize:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # see above
        raise ExportError(f"ONNX Runtime cannot load the exported graph: {error}") from error


def compare(reference: Arrays, actual: Arrays) -> dict[str, float]:
    """Differences between two sets of contract outputs.

    Args:
        reference: Outputs by name (see the model contract).
        actual: The same outputs from another implementation.

    Returns:
        By measure: `label_agreement` (share of pixels), `depth_max` and `depth_mean` difference in
        the unit of depth, `depth_std` of the reference, `normals_max_deg` and `normals_mean_deg`
        angle between normals, `confidence_max` difference of 255; those whose output exists.
    """
    measures = {}
    if "labels" in reference:
        measures["label_agreement"] = float((reference["labels"] == actual["labels"]).mean())
    if "depth" in reference:
        difference = np.abs(reference["depth"] - actual["depth"])
        measures["depth_max"] = float(difference.max())
        measures["depth_mean"] = float(difference.mean())
        measures["depth_std"] = float(reference["depth"].std())
    if "normals" in reference:
        angle = angle_deg(reference["normals"], actual["normals"])
        measures["normals_max_deg"] = float(angle.max())
        measures["normals_mean_deg"] = float(angle.mean())
    if "confidence" in reference:
        confidences = [arrays["confidence"].astype(np.int16) for arrays in (reference, actual)]
        measures["confidence_max"] = float(np.abs(confidences[0] - confidences[1]).max())
    return measures


def angle_deg(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
    """Angle in degrees between unit vectors [..., 3]; from the chord, exact for small angles."""
    chord = np.linalg.norm(a.astype(np.float64) - b.astype(np.float64), axis=-1)
    return np.asarray(np.degrees(2.0 * np.arcsin(np.clip(chord / 2.0, 0.0, 1.0))))


def check_exactness(measures: Mapping[str, float]) -> None:
    """Refuse a graph that does not compute what the network computes.

    Args:
        measures: From `compare`.

    Raises:
        ExportError: Naming each measure beyond its limit.
    """
    limits = {
        "label_agreement": MIN_LABEL_AGREEMENT,
        "depth_max": MAX_DEPTH_DIFFERENCE * measures.get("depth_std", 0.0),
        "normals_mean_deg": MAX_MEAN_ANGLE_DEG,
        "confidence_max": MAX_CONFIDENCE_DIFFERENCE,
    }
    broken = [
        f"{name} is {value:.6g}, the limit {limits[name]:.6g}"
        for name, value in measures.items()
        # Written so that NaN breaks the limit too.
        if name in limits
        and not (value >= limits[name] if name == "label_agreement" else value <= limits[name])
    ]
    if broken:
        raise ExportError(
            f"the exported graph does not answer as the network does: {'; '.join(broken)}; "
            "nothing was written: if the weights hold NaN or huge values, repair them first"
        )

# SPDX-License-Identifier: Apache-2.0
"""The whole way: network and card in, one verified self-describing ONNX file out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mtinet_ros.export.deploy_network import DeployNetwork
from mtinet_ros.export.onnx_graph import attach_card, trace, write_model
from mtinet_ros.export.synthetic_images import synthetic_images
from mtinet_ros.export.verification import (
    check_exactness,
    compare,
    run_onnxruntime,
    run_pytorch,
)
from mtinet_ros.model_card import ModelCard
from mtinet_ros.network import MTINet


@dataclass(frozen=True)
class Export:
    """What was written.

    Attributes:
        path: The ONNX file.
        card: The card inside it.
        differences: The graph in ONNX Runtime against PyTorch, see `verification.compare`.
    """

    path: Path
    card: ModelCard
    differences: dict[str, float]


def export_network(
    network: MTINet, card: ModelCard, path: Path, confidence: bool = False
) -> Export:
    """Export, verify at every batch size that matters, and write.

    Args:
        network: With its weights; switched to evaluation.
        card: What the weights do not say; decides input size, tasks and largest batch.
        path: Where to write; replaced in one step.
        confidence: Also give the output `confidence`.

    Raises:
        ExportError: The graph does not answer as the network does, or cannot be written.
    """
    deploy = DeployNetwork(network, card.tasks, confidence)
    model = trace(deploy, card.input_size)
    pictures = synthetic_images(min(2, card.max_batch), card.input_size)
    expected = run_pytorch(deploy, pictures)
    # The largest batch, of alternating pictures: batch items must not leak into one another.
    turns = np.arange(card.max_batch) % len(pictures)
    batch = run_onnxruntime(model, pictures[turns])
    single = run_onnxruntime(model, pictures[:1])
    differences = compare({name: array[turns] for name, array in expected.items()}, batch)
    check_exactness(differences)
    check_exactness(compare({name: array[:1] for name, array in expected.items()}, single))
    card = replace(card, tasks=deploy.tasks)
    attach_card(model, card)
    write_model(model, path)
    return Export(path, card, differences)

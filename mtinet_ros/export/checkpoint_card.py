# SPDX-License-Identifier: Apache-2.0
"""The model card that belongs to a checkpoint."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mtinet_ros.export.deploy_network import TASK_OUTPUTS
from mtinet_ros.export.presets import voc_palette
from mtinet_ros.model_card import METADATA_KEY, ModelCard
from mtinet_ros.network import MTINet, load_checkpoint
from mtinet_ros.network.checkpoint import read_metadata

DEFAULT_INPUT_SIZE = (480, 640)


def load_with_card(
    path: Path, input_size: tuple[int, int] | None = None
) -> tuple[MTINet, ModelCard]:
    """Read a checkpoint and the card it carries.

    Args:
        path: A checkpoint file.
        input_size: (height, width) to export for; None: the card's own.

    Returns:
        The network, and its card. A checkpoint without one gets classes named by number, and
        depth and normals `as_trained`.

    Raises:
        ModelError: The checkpoint or its card cannot be read, or the input size is not allowed.
    """
    network = load_checkpoint(path)
    text = read_metadata(path).get(METADATA_KEY)
    if text is not None:
        card = ModelCard.from_json(text)
    else:
        classes = network.tasks.get("semseg", 0)
        card = ModelCard(
            name=path.name.partition(".")[0],
            tasks=tuple(task for task in network.tasks if task in TASK_OUTPUTS),
            input_size=input_size or DEFAULT_INPUT_SIZE,
            class_names=tuple(f"class {number}" for number in range(classes)),
            palette=voc_palette(classes),
            depth_kind="as_trained",
            normals_axes="as_trained",
            license="NOASSERTION",
        )
    return network, replace(card, input_size=input_size or card.input_size)

# SPDX-License-Identifier: Apache-2.0
"""The header of a training run's checkpoint, with its model card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from mtinet_ros.model_card import METADATA_KEY, ModelCard
from mtinet_ros.model_contract import TASK_OUTPUTS
from mtinet_ros.network import MultiTaskNetwork
from mtinet_ros.training.augmentation_kinds import CAMERA, used_settings
from mtinet_ros.training.config import TrainConfig
from mtinet_ros.training.mixture import TrainingSource


def checkpoint_header(
    config: TrainConfig,
    network: MultiTaskNetwork,
    sources: Sequence[TrainingSource],
    steps: int,
) -> dict[str, str]:
    """Metadata for the file of a checkpoint.

    Args:
        config: Configuration of the run.
        network: The trained network.
        sources: Training data.
        steps: Number of optimizer steps so far.

    Returns:
        Text by key: input size, focal length and depth output of the training, and the model
        card. Nothing in it tells of the machine or its folders.
    """
    data = config.data
    settings = {key: value for key, value in asdict(config).items() if key not in ("run", "card")}
    settings["data"].pop("root")
    settings["augmentation"] = used_settings(settings["augmentation"])
    for source in settings["data"]["sources"].values():
        source.pop("root")
        if source["augmentation"] is not None:
            source["augmentation"] = used_settings(source["augmentation"])
    for file in ("initial", "backbone_weights"):
        settings["network"].pop(file)
    has_classes = "semseg" in network.tasks
    card = ModelCard(
        name=config.card.name,
        # Without any that has an output, the checkpoint can be measured, not exported.
        tasks=tuple(t for t in network.tasks if t in TASK_OUTPUTS) or tuple(network.tasks),
        input_size=(data.height, data.width),
        # As the training frames came to that size.
        fit="letterbox" if config.augmentation.kind == CAMERA else "stretch",
        class_names=sources[0].training.class_names if has_classes else (),
        palette=sources[0].training.palette if has_classes else (),
        depth_range=config.card.depth_range if "depth" in network.tasks else None,
        focal_length=data.focal_length if "depth" in network.tasks else None,
        training={
            "steps": steps,
            "frames": sum(len(source.training) for source in sources),
            "data": {
                source.name: {
                    "kind": source.kind,
                    "frames": len(source.training),
                    "share": round(source.share, 4),
                    "truth": list(source.tasks),
                }
                for source in sources
            },
            "settings": settings,
        },
        license=config.card.license,
        attribution=tuple(
            dict.fromkeys(
                credit
                for credits in (
                    *(s.training.attribution for s in sources),
                    config.card.attribution,
                )
                for credit in credits
            )
        ),
    )
    return {
        "depth_output": config.network.depth_output,
        "focal_length": str(data.focal_length),
        "height": str(data.height),
        "width": str(data.width),
        METADATA_KEY: card.to_json(),
    }

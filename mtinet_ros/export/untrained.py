# SPDX-License-Identifier: Apache-2.0
"""A network with random weights and plausible outputs, to try the pipeline before training."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mtinet_ros.datasets.class_sets import NYUD_CLASSES, voc_palette
from mtinet_ros.export.synthetic_images import synthetic_images
from mtinet_ros.model_card import ModelCard
from mtinet_ros.network import MTINet
from mtinet_ros.network.backbones.base import IMAGENET_MEAN, IMAGENET_STD

# Mean and standard deviation to give each output: logits of equal chance, walls facing the viewer,
# a room about 2 m deep.
_OUTPUT_STATISTICS: dict[str, tuple[tuple[float, ...], float]] = {
    "semseg": ((0.0,), 1.0),
    "normals": ((0.0, 0.0, -1.0), 0.4),
    "depth": ((2.0,), 0.2),
}
# The Kinect's 60° at any width: so that depth is scaled for the lens, as a trained model's is.
_FOCAL_LENGTH_PER_WIDTH = 0.8
_BATCHES, _BATCH = 3, 4


def untrained_network(
    backbone: str, input_size: tuple[int, int], seed: int = 0
) -> tuple[MTINet, ModelCard]:
    """Random weights whose activations stay of order one, with the tasks of NYU Depth v2.

    Args:
        backbone: A name in `mtinet_ros.network.backbones.registry.BACKBONES`.
        input_size: (height, width) in pixels, multiples of 32.
        seed: The same seed gives the same network.

    Returns:
        The network in evaluation mode, and a card that says `untrained`.

    Raises:
        ConfigurationError: No such backbone.
        ModelError: The input size is not allowed.
    """
    card = ModelCard(
        name="mtinet_untrained",
        tasks=("semseg", "normals", "depth"),
        input_size=input_size,
        class_names=NYUD_CLASSES,
        palette=voc_palette(len(NYUD_CLASSES)),
        depth_range=(0.1, 10.0),
        focal_length=_FOCAL_LENGTH_PER_WIDTH * input_size[1],
        untrained=True,
        training={"data": "none: random weights, its answers mean nothing", "seed": seed},
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = MTINet(backbone, {"semseg": len(NYUD_CLASSES), "normals": 3, "depth": 1})
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
    batches = [
        _normalized(synthetic_images(_BATCH, input_size, seed=seed * _BATCHES + i))
        for i in range(_BATCHES)
    ]
    _calibrate_batch_norm(network, batches)
    _calibrate_heads(network, batches[0])
    return network, card


def _normalized(images: object) -> Tensor:
    pixels = torch.as_tensor(images).permute(0, 3, 1, 2).float() / 255.0
    mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
    return (pixels - mean[:, None, None]) / std[:, None, None]


def _calibrate_batch_norm(network: MTINet, batches: list[Tensor]) -> None:
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average over the batches
    network.train()
    with torch.no_grad():
        for batch in batches:
            network(batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()


def _calibrate_heads(network: MTINet, batch: Tensor) -> None:
    """Give each output the mean and deviation of `_OUTPUT_STATISTICS`."""
    with torch.no_grad():
        predictions = network(batch).predictions
        for task, prediction in predictions.items():
            layer = network.heads.get_submodule(f"{task}.last_layer.3")
            assert isinstance(layer, nn.Conv2d)
            assert layer.bias is not None
            deviation, mean = torch.std_mean(prediction, dim=(0, 2, 3))
            target_mean, target_deviation = _OUTPUT_STATISTICS[task]
            gain = target_deviation / deviation.clamp(min=1e-6)
            layer.weight.mul_(gain[:, None, None, None])
            layer.bias.sub_(mean).mul_(gain).add_(torch.tensor(target_mean))

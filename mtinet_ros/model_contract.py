# SPDX-License-Identifier: Apache-2.0
"""The model contract: what an exported graph takes and gives, and what a card may say of it.

Names, dtypes and shapes of the graph's tensors are said here and nowhere else: the exporter writes
them, the backends check them, training and data sets agree on ids and units by them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

RGB = tuple[int, int, int]
"""A colour: red, green, blue, each 0..255."""

Shape = tuple[int | None, ...]
"""A tensor's shape; None is a dynamic axis."""


@dataclass(frozen=True)
class TensorSpec:
    """dtype and shape of an input or output of the graph.

    Attributes:
        dtype: NumPy dtype of the elements.
        channels: Axes after [N,H,W]: () for a map of single values, (3,) for RGB or vectors.
    """

    dtype: np.dtype[Any]
    channels: tuple[int, ...] = ()

    def shape(self, height: int, width: int) -> Shape:
        """[N,H,W(,3)] for an image of this size, with a dynamic N.

        >>> OUTPUTS["normals"].shape(480, 640)
        (None, 480, 640, 3)
        """
        return (None, height, width, *self.channels)


INPUT_NAME = "image"
"""Name of the graph's only input."""

INPUTS = {INPUT_NAME: TensorSpec(np.dtype(np.uint8), (3,))}
"""Inputs by name: `image` is RGB."""

OUTPUTS = {
    "labels": TensorSpec(np.dtype(np.uint8)),
    "depth": TensorSpec(np.dtype(np.float32)),
    "normals": TensorSpec(np.dtype(np.float32), (3,)),
    "confidence": TensorSpec(np.dtype(np.uint8)),
}
"""Outputs by name; a graph has some of them.

`labels` are class ids; `depth` is along the optical axis (REP 118), in metres where the card says
`metric`; `normals` are unit vectors in the camera optical frame (REP 103) where the card says
`camera_optical`; `confidence` is that of the label, 255 = certain.
"""

SIZE_MULTIPLE = 32
"""Height and width of the input are multiples of this, the stride of the coarsest features."""

VOID_ID = 255
"""Class id of a pixel that belongs to no class or has no ground truth."""

# MTI-Net concatenates features of all tasks in this order, so it is part of every trained network.
TASK_ORDER = ("semseg", "human_parts", "sal", "normals", "edge", "depth")
"""The tasks there are, in the order in which a network computes them."""

TASK_OUTPUTS = {"semseg": "labels", "normals": "normals", "depth": "depth"}
"""Task -> output, in the graph's order. Other tasks help inside the network and have no output."""

FIT_MODES = ("letterbox", "stretch")
"""How a camera image may be brought to the input size."""

DEPTH_KINDS = ("metric", "up_to_scale", "as_trained")
"""What the output `depth` may be; `as_trained` where nobody said."""

DEPTH_OUTPUTS = ("metres", "log_metres")
"""What a network's raw depth may be, before the graph makes it depth: itself or its logarithm."""

NORMAL_AXES = ("camera_optical", "as_trained")
"""Frames the output `normals` may be in; `as_trained` where nobody said."""

PRECISIONS = ("fp32", "fp16", "bf16", "int8")
"""Precisions a graph may compute in."""

# SPDX-License-Identifier: Apache-2.0
"""The protocol of a backend, which runs a model, and the checks that all backends share."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mtinet_ros.errors import InputError, ModelError
from mtinet_ros.model_card import ModelCard
from mtinet_ros.model_contract import INPUTS, OUTPUTS, TASK_OUTPUTS, Shape

Outputs = Mapping[str, NDArray[Any]]


class Backend(Protocol):
    """Runs one model. Created, used and closed in one and the same thread.

    Attributes:
        name: The backend's name as a parameter spells it, e.g. `onnxruntime`.
        device: Name of the device for people, e.g. `CPU` or `cuda:0 Orin`.
        card: The model's card.
        output_names: The graph's outputs, a subset of the contract's.
        max_batch: Largest N that `infer` takes.
    """

    name: str
    device: str
    card: ModelCard
    output_names: tuple[str, ...]
    max_batch: int

    def infer(self, images: NDArray[np.uint8], wanted: Collection[str]) -> Outputs:
        """Run the model once.

        Args:
            images: uint8 [N,H,W,3] RGB, C-contiguous, 1 <= N <= max_batch, H×W as the card says.
            wanted: Names of the outputs to bring back; others are not copied.

        Returns:
            Each wanted output, [N,H,W(,3)] in the dtype of the model contract. The arrays may be
            the backend's own buffers: they hold until the next call of `infer` or `close`.

        Raises:
            InputError: `images` has another shape or dtype, or a wanted output does not exist.
            BackendError: The run failed; the message tells whether to go on.
        """
        ...

    def close(self) -> None:
        """Free all resources. Safe to call twice; `infer` afterwards raises `BackendError`."""
        ...


def check_images(backend: Backend, images: NDArray[np.uint8], wanted: Collection[str]) -> None:
    """Refuse a batch that does not keep the contract (see `Backend.infer`).

    Args:
        backend: Backend that is to run it.
        images: The batch.
        wanted: Names of the outputs to bring back.

    Raises:
        InputError: Naming what is wrong and what is allowed.
    """
    height, width = backend.card.input_size
    if (
        images.dtype != np.uint8
        or images.ndim != 4
        or images.shape[1:] != (height, width, 3)
        or not 1 <= images.shape[0] <= backend.max_batch
    ):
        raise InputError(
            f"images are {images.dtype} {list(images.shape)}; {backend.name} takes uint8 "
            f"[N,{height},{width},3] with N from 1 to {backend.max_batch}"
        )
    unknown = set(wanted) - set(backend.output_names)
    if unknown:
        raise InputError(
            f"the model has no output {', '.join(sorted(unknown))}; "
            f"it has {', '.join(backend.output_names)}"
        )


def check_graph(
    path: object,
    card: ModelCard,
    inputs: Mapping[str, tuple[str, Shape]],
    outputs: Mapping[str, tuple[str, Shape]],
) -> None:
    """Hold a loaded graph against the model contract, so that a wrong one fails at load.

    Args:
        path: File of the model, for the message.
        card: The model's card.
        inputs: Name -> (NumPy dtype name, shape with None for a dynamic axis).
        outputs: The same for outputs.

    Raises:
        ModelError: Naming the tensor, what it is and what the contract asks for.
    """
    if set(inputs) != set(INPUTS):
        raise ModelError(
            f"{path}: inputs are {sorted(inputs)}; the model contract has just {', '.join(INPUTS)}"
        )
    if not outputs or not set(outputs) <= set(OUTPUTS):
        raise ModelError(
            f"{path}: outputs are {sorted(outputs)}; the model contract knows {', '.join(OUTPUTS)}"
        )
    specs = {**INPUTS, **OUTPUTS}
    for name, (dtype, shape) in {**inputs, **outputs}.items():
        expected = specs[name].shape(*card.input_size)
        if dtype != specs[name].dtype.name or not _fits(shape, expected):
            raise ModelError(
                f"{path}: {name} is {dtype} {list(shape)}; the model contract asks for "
                f"{specs[name].dtype.name} {list(expected)} (None: any)"
            )
    for task, output in TASK_OUTPUTS.items():
        if (task in card.tasks) != (output in outputs):
            raise ModelError(
                f"{path}: its card and its graph disagree: tasks are {', '.join(card.tasks)}, "
                f"outputs are {', '.join(outputs)}; {task} is the output {output}"
            )
    if "labels" in outputs and not card.class_names:
        raise ModelError(f"{path} has the output labels; its card names no classes")


def _fits(shape: Shape, expected: Shape) -> bool:
    """Whether two shapes have the same number of axes, equal where neither is dynamic."""
    return len(shape) == len(expected) and all(
        a is None or b is None or a == b for a, b in zip(shape, expected, strict=True)
    )

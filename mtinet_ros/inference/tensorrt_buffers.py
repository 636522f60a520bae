# SPDX-License-Identifier: Apache-2.0
"""The memory of images and outputs on both sides of a GPU, for two runs at a time."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtinet_ros.inference.cuda import DeviceBuffer, HostBuffer
from mtinet_ros.inference.cuda_driver import DriverStream
from mtinet_ros.model_contract import INPUT_NAME


@dataclass(frozen=True)
class TensorLayout:
    """A tensor of the engine at its largest batch.

    Attributes:
        dtype: NumPy's name of its type.
        shape: [largest batch, …].
    """

    dtype: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """In bytes."""
        return int(np.prod(self.shape)) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class Binding:
    """Where on the device an execution reads and writes.

    Attributes:
        addresses: Tensor -> address.
    """

    addresses: Mapping[str, int]


class RunBuffers:
    """Two sets of page-locked memory: one is read and written while the GPU uses the other.

    Without mapping, the device has each tensor once: all copies and executions are in the order of
    one stream. With it, the device has nothing, and works on the host's memory.
    """

    def __init__(self, layouts: Mapping[str, TensorLayout], *, mapped: bool) -> None:
        """Allocate in the current context.

        Args:
            layouts: Of the image and of each output, by name.
            mapped: Whether the device works on the host's memory.

        Raises:
            BackendError: There is not enough memory. What was allocated is free again.
        """
        self._image = layouts[INPUT_NAME]
        self._mapped = mapped
        self._freeing = ExitStack()
        self._own: dict[int, HostBuffer] = {}
        self._bindings: dict[tuple[int, int], Binding] = {}
        with ExitStack() as failed:
            failed.callback(self.free)
            self._device = {} if mapped else {n: self._on_device(layouts[n]) for n in layouts}
            self._staging = tuple(self.new_images() for _ in range(2))
            self._outputs = tuple(
                {n: self._on_host(layouts[n]) for n in layouts if n != INPUT_NAME}
                for _ in range(2)
            )
            failed.pop_all()
        if not mapped:
            self._only = Binding({name: buffer.address for name, buffer in self._device.items()})

    def _on_device(self, layout: TensorLayout) -> DeviceBuffer:
        buffer = DeviceBuffer(layout.size)
        self._freeing.callback(buffer.free)
        return buffer

    def _on_host(self, layout: TensorLayout) -> HostBuffer:
        buffer = HostBuffer(layout.shape, layout.dtype, mapped=self._mapped)
        self._freeing.callback(buffer.free)
        return buffer

    def new_images(self) -> HostBuffer:
        """More page-locked memory for images, which `place` takes as it is.

        Raises:
            BackendError: There is not enough memory.
        """
        buffer = self._on_host(self._image)
        self._own[buffer.host_address] = buffer
        return buffer

    def place(self, images: NDArray[np.uint8], turn: int) -> HostBuffer:
        """Page-locked memory with these images: their own, or a set's, to which they are copied.

        Args:
            images: uint8 [N,H,W,3].
            turn: The set, 0 or 1.
        """
        own = self._own.get(images.__array_interface__["data"][0])
        if own is not None and images.flags.c_contiguous:
            return own
        staging = self._staging[turn]
        np.copyto(staging.rows[images.shape[0] - 1], images)
        return staging

    def binding(self, source: HostBuffer, turn: int) -> Binding:
        """Addresses on the device for a run; one object for all runs with the same."""
        if not self._mapped:
            return self._only
        key = (source.address, turn)
        if key not in self._bindings:
            outputs = {name: buffer.address for name, buffer in self._outputs[turn].items()}
            self._bindings[key] = Binding({INPUT_NAME: source.address, **outputs})
        return self._bindings[key]

    def upload(self, source: HostBuffer, batch: int, stream: DriverStream) -> None:
        """Queue the copy of a batch to the device, if it needs one."""
        if not self._mapped:
            stream.upload(self._device[INPUT_NAME].address, source.rows[batch - 1])

    def download(
        self, names: Collection[str], batch: int, turn: int, stream: DriverStream
    ) -> None:
        """Queue the copies of outputs from the device into a set, if they need them."""
        if self._mapped:
            return
        for name in names:
            stream.download(self._outputs[turn][name].rows[batch - 1], self._device[name].address)

    def outputs(self, names: Collection[str], rows: int, turn: int) -> dict[str, NDArray[Any]]:
        """A set's arrays of some outputs, the first `rows` images of each."""
        return {name: self._outputs[turn][name].rows[rows - 1] for name in names}

    def free(self) -> None:
        """Free all of it now, also what `new_images` handed out.

        Raises:
            BackendError: Some of it could not be freed; the rest is free.
        """
        self._freeing.close()

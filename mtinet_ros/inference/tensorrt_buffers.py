# SPDX-License-Identifier: Apache-2.0
"""The memory of images and outputs on both sides of a GPU, for two runs at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
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
        lane: 0 or 1, where the device has two sets of memory; runs of one lane share addresses.
    """

    addresses: Mapping[str, int]
    lane: int = 0


class RunBuffers:
    """Two sets of page-locked memory: one is read and written while the GPU uses the other.

    The device has two sets of what is copied beside the network, and one of what is copied in the
    order of the network's stream. With mapping it has nothing, and works on the host's memory.

    Attributes:
        is_mapped: Whether it does.
        lanes: Number of bindings that runs have in turn, where they do not follow the images.
    """

    def __init__(
        self,
        layouts: Mapping[str, TensorLayout],
        *,
        mapped: bool,
        two_images: bool = False,
        two_outputs: bool = False,
    ) -> None:
        """Allocate in the current context.

        Args:
            layouts: Of the image and of each output, by name.
            mapped: Whether the device works on the host's memory.
            two_images: Whether the device has two sets of images; with mapping it has none.
            two_outputs: Whether it has two sets of outputs.

        Raises:
            BackendError: There is not enough memory. What was allocated is free again.
        """
        self._image = layouts[INPUT_NAME]
        self.is_mapped = mapped
        self.lanes = 2 if (two_images or two_outputs) and not mapped else 1
        self._freeing = ExitStack()
        self._own: dict[int, HostBuffer] = {}
        self._mapped_bindings: dict[tuple[int, int], Binding] = {}
        self._bindings: tuple[Binding, ...] = ()
        with ExitStack() as failed:
            failed.callback(self.free)
            if not mapped:
                images = self._addresses(layouts, (INPUT_NAME,), 2 if two_images else 1)
                outputs = self._addresses(
                    layouts, layouts.keys() - {INPUT_NAME}, 2 if two_outputs else 1
                )
                self._bindings = tuple(
                    Binding({**images[lane % len(images)], **outputs[lane % len(outputs)]}, lane)
                    for lane in range(self.lanes)
                )
            self._staging = tuple(self.new_images() for _ in range(2))
            self._outputs = tuple(
                {n: self._on_host(layouts[n]) for n in layouts if n != INPUT_NAME}
                for _ in range(2)
            )
            failed.pop_all()

    def _addresses(
        self, layouts: Mapping[str, TensorLayout], names: Collection[str], sets: int
    ) -> list[dict[str, int]]:
        """Memory on the device for some tensors, so many times: where each set is."""
        return [{n: self._on_device(layouts[n]).address for n in names} for _ in range(sets)]

    def _on_device(self, layout: TensorLayout) -> DeviceBuffer:
        buffer = DeviceBuffer(layout.size)
        self._freeing.callback(buffer.free)
        return buffer

    def _on_host(self, layout: TensorLayout) -> HostBuffer:
        buffer = HostBuffer(layout.shape, layout.dtype, mapped=self.is_mapped)
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

    def staging(self, turn: int) -> HostBuffer:
        """A set's memory for images that come from elsewhere."""
        return self._staging[turn]

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
        if not self.is_mapped:
            return self._bindings[turn % self.lanes]
        key = (source.address, turn)
        if key not in self._mapped_bindings:
            outputs = {name: buffer.address for name, buffer in self._outputs[turn].items()}
            self._mapped_bindings[key] = Binding({INPUT_NAME: source.address, **outputs})
        return self._mapped_bindings[key]

    def upload(
        self, source: HostBuffer, binding: Binding, batch: int, stream: DriverStream
    ) -> None:
        """Queue the copy of a batch to where a run reads it, if it needs one."""
        if not self.is_mapped:
            stream.upload(binding.addresses[INPUT_NAME], source.rows[batch - 1])

    def download_images(
        self, source: HostBuffer, binding: Binding, slots: Iterable[int], stream: DriverStream
    ) -> None:
        """Queue the copies of images that the device has made, to their places in `source`."""
        if self.is_mapped:
            return
        for slot in slots:
            image = source.rows[slot][slot]
            stream.download(image, binding.addresses[INPUT_NAME] + slot * image.nbytes)

    def download(
        self,
        names: Collection[str],
        binding: Binding,
        batch: int,
        turn: int,
        stream: DriverStream,
    ) -> None:
        """Queue the copies of outputs from where a run wrote them into a set, if need be."""
        if self.is_mapped:
            return
        for name in names:
            stream.download(self._outputs[turn][name].rows[batch - 1], binding.addresses[name])

    def outputs(self, names: Collection[str], rows: int, turn: int) -> dict[str, NDArray[Any]]:
        """A set's arrays of some outputs, the first `rows` images of each."""
        return {name: self._outputs[turn][name].rows[rows - 1] for name in names}

    def free(self) -> None:
        """Free all of it now, also what `new_images` handed out.

        Raises:
            BackendError: Some of it could not be freed; the rest is free.
        """
        self._freeing.close()

# SPDX-License-Identifier: Apache-2.0
"""Images in the bytes of their cameras on their way to the GPU, which fits them itself."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from mtinet_ros.errors import BackendError
from mtinet_ros.inference.backend import UnfittedImage
from mtinet_ros.inference.cuda import DeviceBuffer, HostBuffer
from mtinet_ros.inference.cuda_driver import DriverStream, GpuIdentity
from mtinet_ros.inference.gpu_fit import GpuFit

logger = logging.getLogger("mtinet_ros.inference")

# Where an image's bytes begin: what the driver itself aligns memory to.
_ALIGNMENT = 256


def image_fitting(gpu: GpuIdentity, *, mapped: bool) -> ImageFitting | None:
    """An `ImageFitting` in the current context; None, and a warning, where there can be none."""
    try:
        return ImageFitting(gpu, mapped=mapped)
    except BackendError as error:
        logger.warning("the CPU fits images to the network's size, not the GPU: %s", str(error))
        return None


class ImageFitting:
    """The kernel, and memory for bytes of images that grows to what is needed and stays so.

    The bytes of a run are copied into page-locked memory of its turn, from there to the device
    (which reads them where they are, if it works on the host's memory), and the kernel writes into
    the network's input.
    """

    def __init__(self, gpu: GpuIdentity, *, mapped: bool) -> None:
        """Compile and load the kernel in the current context.

        Args:
            gpu: The context's device.
            mapped: Whether the device works on the host's memory.

        Raises:
            BackendError: See `GpuFit`.
        """
        self._mapped = mapped
        self._kernel = GpuFit(gpu)
        self._host: list[HostBuffer] = []  # by turn
        self._device: DeviceBuffer | None = None
        self._room = 0

    def queue(
        self,
        unfitted: Mapping[int, UnfittedImage],
        images: int,
        turn: int,
        stream: DriverStream,
        finish: Callable[[], None],
    ) -> None:
        """Queue the upload of bytes, and the kernel for each image.

        Args:
            unfitted: Images by their place in the network's input.
            images: Address of that on the device.
            turn: The run's, 0 or 1: the last run that had it must be over.
            stream: The same for all runs, so that bytes are read before others come in their
                place.
            finish: Waits for all work; called where memory has to grow.

        Raises:
            BackendError: There is not enough memory, or the driver refuses.
        """
        places: dict[int, int] = {}
        end = 0
        for slot, image in unfitted.items():
            places[slot] = end
            end += -(-image.job.source_size // _ALIGNMENT) * _ALIGNMENT
        if end > self._room:
            finish()
            self._grow(end)
        host = self._host[turn]
        content: NDArray[np.uint8] = host.rows[0][0]
        for slot, image in unfitted.items():
            size = image.job.source_size
            np.copyto(content[places[slot] : places[slot] + size], image.data[:size])
        if self._device is None:
            source = host.address
        else:
            source = self._device.address
            stream.upload(source, content[:end])
        for slot, image in unfitted.items():
            height, width = image.job.network_size
            out = images + slot * 3 * height * width
            self._kernel.queue(image.job, source + places[slot], out, stream)

    def _grow(self, size: int) -> None:
        self._free_memory()
        for _ in range(2):
            self._host.append(HostBuffer((1, size), "uint8", mapped=self._mapped))
        if not self._mapped:
            self._device = DeviceBuffer(size)
        self._room = size

    def _free_memory(self) -> None:
        self._room = 0
        device, self._device = self._device, None
        if device is not None:
            device.free()
        while self._host:
            self._host.pop().free()

    def free(self) -> None:
        """Free all of it; what was queued must be done.

        Raises:
            BackendError: Some could not be freed; the rest is.
        """
        try:
            self._free_memory()
        finally:
            self._kernel.free()

# SPDX-License-Identifier: Apache-2.0
"""Fits one camera's images on the GPU, or on the CPU with an upload: what is compared here."""

from __future__ import annotations

from contextlib import ExitStack

import numpy as np
from numpy.typing import NDArray

from mtinet_ros.inference import cuda
from mtinet_ros.inference.backend import UnfittedImage
from mtinet_ros.inference.cuda import DeviceBuffer, DeviceContext, HostBuffer
from mtinet_ros.inference.tensorrt_fitting import ImageFitting
from mtinet_ros.model_contract import RGB
from mtinet_ros.perception.fit import Fit
from mtinet_ros.perception.raw_image import RawImage

PAD: RGB = (114, 7, 250)


class DeviceFit:
    """The network's input of one image on the device, a stream, and the kernel."""

    def __init__(
        self,
        stack: ExitStack,
        context: DeviceContext,
        network: tuple[int, int],
        *,
        mapped: bool = False,
    ) -> None:
        """Make all of it in the current context; the stack frees it."""
        self._fitting = ImageFitting(context.identity, mapped=mapped)
        stack.callback(self._fitting.free)
        self.image = HostBuffer((1, *network, 3), "uint8")
        stack.callback(self.image.free)
        self._input = DeviceBuffer(self.image.rows[0].nbytes)
        stack.callback(self._input.free)
        self._stream, self._event = cuda.make_stream(), cuda.make_event()
        stack.callback(self._stream.free)
        stack.callback(self._event.free)

    def on_cpu(self, raw: RawImage, fit: Fit) -> None:
        """Decode and fit in page-locked memory, upload and wait."""
        fit.apply(raw.decode(raw.data), self.image.rows[0][0], PAD)
        self._stream.upload(self._input.address, self.image.rows[0])
        self.wait()

    def on_gpu(self, raw: RawImage, fit: Fit) -> None:
        """Upload the bytes, fit them there and wait."""
        job = raw.job(fit, PAD)
        assert job is not None
        unfitted = {0: UnfittedImage(job, raw.data)}
        self._fitting.queue(unfitted, self._input.address, 0, self._stream, self.wait)
        self.wait()

    def result(self) -> NDArray[np.uint8]:
        """What the network would see, uint8 [H,W,3]."""
        self.image.rows[0][...] = 0
        self._stream.download(self.image.rows[0], self._input.address)
        self.wait()
        seen: NDArray[np.uint8] = self.image.rows[0][0].copy()
        return seen

    def wait(self) -> None:
        """Until all is done."""
        self._event.record(self._stream)
        self._event.wait()

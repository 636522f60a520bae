# SPDX-License-Identifier: Apache-2.0
"""`RawImage`: a picture in the bytes that its camera sent, decoded only where somebody looks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mtinet_ros.inference.fit_kernel import LAYOUTS, FitJob
from mtinet_ros.model_contract import RGB
from mtinet_ros.perception.fit import Fit


@dataclass(frozen=True, eq=False)
class RawImage:
    """An image whose sizes fit together, not decoded yet.

    Attributes:
        data: uint8 [bytes]; must not change as long as this is used.
        encoding: As sensor_msgs/image_encodings.hpp names it.
        is_bigendian: Of samples of two bytes.
        step: Bytes from row to row.
        size: (height, width).
        decode: Makes uint8 [h,w,3] RGB of other bytes of the same form.
    """

    data: NDArray[np.uint8]
    encoding: str
    is_bigendian: bool
    step: int
    size: tuple[int, int]
    decode: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]

    @cached_property
    def pixels(self) -> NDArray[np.uint8]:
        """uint8 [h,w,3] RGB; may be a view of `data`."""
        return self.decode(self.data)

    @property
    def form(self) -> tuple[object, ...]:
        """The same for images that are decoded and fitted by the same arithmetic."""
        return self.encoding, self.is_bigendian, self.step, self.size

    def job(self, fit: Fit, pad_color: RGB) -> FitJob | None:
        """What the GPU's kernel is told in order to fit it; None where it cannot."""
        layout = LAYOUTS.get(self.encoding)
        if layout is None:
            return None
        halvings = fit.halvings
        # OpenCV rounds the average of just 2x2 pixels as it does in halving, of others to even.
        if self.size == tuple(size << halvings + 1 for size in fit.content_size):
            halvings += 1
        job = FitJob(
            layout,
            self.is_bigendian,
            self.step,
            self.size,
            halvings,
            fit.content_size,
            fit.offset,
            fit.network_size,
            pad_color,
        )
        return job if job.is_possible else None

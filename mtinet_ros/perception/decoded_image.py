# SPDX-License-Identifier: Apache-2.0
"""`DecodedImage`: a picture ready for the network, and the lens it was seen through."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mtinet_ros.perception.camera_model import CameraModel
from mtinet_ros.perception.raw_image import RawImage


@dataclass(frozen=True, eq=False)
class DecodedImage:
    """An image ready to be preprocessed.

    Attributes:
        source: uint8 [h,w,3] RGB, rectified where that was asked for; or a camera's bytes, which
            need no rectification and are decoded when somebody asks for `image`.
        camera: Model of `image`, or None where the lens is not known.
        valid_mask: bool [h,w], True where a rectified image shows something; None: everywhere.
    """

    source: NDArray[np.uint8] | RawImage
    camera: CameraModel | None
    valid_mask: NDArray[np.bool_] | None = None

    @property
    def image(self) -> NDArray[np.uint8]:
        """uint8 [h,w,3] RGB."""
        return self.source.pixels if isinstance(self.source, RawImage) else self.source

    @property
    def nbytes(self) -> int:
        """Bytes that it takes as long as nobody asks for `image`."""
        return self.source.data.nbytes if isinstance(self.source, RawImage) else self.source.nbytes

# SPDX-License-Identifier: Apache-2.0
"""`DecodedImage`: a picture ready for the network, and the lens it was seen through."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mtinet_ros.perception.camera_model import CameraModel


@dataclass(frozen=True, eq=False)
class DecodedImage:
    """An image ready to be preprocessed.

    Attributes:
        image: uint8 [h,w,3] RGB, rectified where that was asked for.
        camera: Model of `image`, or None where the lens is not known.
        valid_mask: bool [h,w], True where a rectified image shows something; None: everywhere.
    """

    image: NDArray[np.uint8]
    camera: CameraModel | None
    valid_mask: NDArray[np.bool_] | None = None

# SPDX-License-Identifier: Apache-2.0
"""`Prediction`: the one dataclass that everything after the network speaks."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from mtinet_ros.model_contract import VOID_ID
from mtinet_ros.perception.camera_model import CameraModel

Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(frozen=True, eq=False)
class Prediction:
    """What the network saw in one image; all arrays are of one size and aligned pixel by pixel.

    Attributes:
        image: uint8 [H,W,3] RGB, the picture at this size.
        labels: uint8 [H,W] class ids, 255 void. None here and below: no such task, or not asked.
        depth: float32 [H,W] along the optical axis, NaN: invalid; metres if `depth_is_metric`.
        normals: float32 [H,W,3] unit vectors in the camera optical frame, facing the viewer.
        confidence: uint8 [H,W], 255 = certain.
        camera: Camera model of these arrays (their size, their pixels); None without a CameraInfo.
        depth_is_metric: Whether depth is in metres (known lens) or up to an unknown scale.
    """

    image: NDArray[np.uint8]
    labels: NDArray[np.uint8] | None = None
    depth: NDArray[np.float32] | None = None
    normals: NDArray[np.float32] | None = None
    confidence: NDArray[np.uint8] | None = None
    camera: CameraModel | None = None
    depth_is_metric: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        height, width = self.image.shape[:2]
        return height, width

    def only(self, outputs: Collection[str]) -> Prediction:
        """The prediction without the outputs (of the model contract) that are not named."""
        return replace(
            self,
            labels=self.labels if "labels" in outputs else None,
            depth=self.depth if "depth" in outputs else None,
            normals=self.normals if "normals" in outputs else None,
            confidence=self.confidence if "confidence" in outputs else None,
        )

    def masked(self, valid_mask: NDArray[np.bool_]) -> Prediction:
        """The prediction without what the network made up where the image shows nothing.

        Args:
            valid_mask: bool [h,w] at any size, e.g. the camera's; brought to this size.

        Returns:
            Labels void, confidence 0, depth and normals NaN where the mask is False.
        """
        size = self.size[::-1]
        invalid = cv2.resize(
            (~valid_mask).view(np.uint8), size, interpolation=cv2.INTER_NEAREST_EXACT
        )
        hidden = invalid.view(np.bool_)

        def cleared(array: NDArray[Scalar] | None, value: float) -> NDArray[Scalar] | None:
            if array is None:
                return None
            result: NDArray[Scalar] = array.copy()
            result[hidden] = value
            return result

        return replace(
            self,
            labels=cleared(self.labels, VOID_ID),
            depth=cleared(self.depth, np.nan),
            normals=cleared(self.normals, np.nan),
            confidence=cleared(self.confidence, 0),
        )

# SPDX-License-Identifier: Apache-2.0
"""From camera images to predictions: fit, infer, un-fit, scale depth. There is no other way."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from mtinet_ros.errors import InputError
from mtinet_ros.inference import Backend
from mtinet_ros.perception.camera_model import CameraModel
from mtinet_ros.perception.depth import depth_scale, valid_depth
from mtinet_ros.perception.fit import Fit
from mtinet_ros.perception.prediction import Prediction


class Predictor:
    """Runs a backend on camera images of any size.

    Not thread-safe: it belongs to the thread that owns the backend.
    """

    def __init__(self, backend: Backend, fit: str = "") -> None:
        """Prepare for a backend.

        Args:
            backend: A loaded model.
            fit: `letterbox`, `stretch`, or empty for what the model card says.
        """
        self.backend = backend
        self.card = backend.card
        self._fit_mode = fit or self.card.fit
        height, width = self.card.input_size
        self._batch = np.empty((backend.max_batch, height, width, 3), np.uint8)

    def plan_fit(self, image_size: tuple[int, int]) -> Fit:
        """How an image of (height, width) lies in the network's input. Raises `InputError`."""
        return Fit.plan(image_size, self.card.input_size, self._fit_mode)

    def predict(
        self,
        images: Sequence[NDArray[np.uint8]],
        cameras: Sequence[CameraModel | None],
        wanted: Collection[str] | None = None,
    ) -> list[Prediction]:
        """Run the network once on several images.

        Args:
            images: Each uint8 [h,w,3] RGB; sizes may differ; at most `backend.max_batch`.
            cameras: Model of each image's camera, or None where it is not known.
            wanted: Outputs of the model contract to compute; None: all the model has.

        Returns:
            A prediction per image, at network size with the padding cropped. Its arrays may be
            views of buffers that the next call overwrites.

        Raises:
            InputError: An image is not uint8 [h,w,3], is empty, or its camera is of another size.
            BackendError: The run failed.
        """
        if wanted is None:
            wanted = self.backend.output_names
        fits = [
            self._place(slot, image, camera)
            for slot, (image, camera) in enumerate(zip(images, cameras, strict=True))
        ]
        outputs = self.backend.infer(self._batch[: len(fits)], wanted) if wanted else {}
        predictions = []
        for slot, (fit, camera) in enumerate(zip(fits, cameras, strict=True)):
            arrays = {name: fit.crop(array[slot]) for name, array in outputs.items()}
            scale = depth_scale(self.card, fit, camera)
            if "depth" in arrays:
                arrays["depth"] = valid_depth(arrays["depth"], scale, self.card.depth_range)
            predictions.append(
                Prediction(
                    image=fit.crop(self._batch[slot]),
                    camera=camera and fit.content_camera(camera),
                    depth_is_metric=scale is not None,
                    **arrays,
                )
            )
        return predictions

    def _place(self, slot: int, image: NDArray[np.uint8], camera: CameraModel | None) -> Fit:
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise InputError(
                f"the image is {image.dtype} {list(image.shape)}; uint8 [h,w,3] RGB is needed"
            )
        height, width = image.shape[:2]
        if camera is not None and (camera.height, camera.width) != (height, width):
            raise InputError(
                f"the camera model is for {camera.width}x{camera.height} pixels, "
                f"the image has {width}x{height}"
            )
        fit = self.plan_fit((height, width))
        fit.apply(image, self._batch[slot], self.card.pad_color)
        return fit

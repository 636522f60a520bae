# SPDX-License-Identifier: Apache-2.0
"""From camera images to predictions in three calls: preprocess, infer, postprocess.

The node, the commands and the benchmark all walk these three; there is no other way.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from mtinet_ros.errors import InputError
from mtinet_ros.inference import Backend, Outputs, Run
from mtinet_ros.model_contract import RGB
from mtinet_ros.perception.backend_fitting import BackendFitting
from mtinet_ros.perception.camera_model import CameraModel
from mtinet_ros.perception.depth import depth_scale, valid_depth
from mtinet_ros.perception.fit import Fit
from mtinet_ros.perception.prediction import Prediction
from mtinet_ros.perception.raw_image import RawImage


class Batch:
    """Images as the network takes them, and how each of them got there; used again and again.

    Attributes:
        fits: Placement of each image in the network's input.
        cameras: Model of each image's camera, or None where the lens is not known.
        raw: By its place in the batch, what the backend is to bring to the network's size.
    """

    def __init__(self, buffer: NDArray[np.uint8]) -> None:
        """Begin empty, with room for images in `buffer`, uint8 [max_batch,H,W,3]."""
        self._buffer = buffer
        self.fits: list[Fit] = []
        self.cameras: list[CameraModel | None] = []
        self.raw: dict[int, RawImage] = {}

    def __len__(self) -> int:
        """Number of images in the batch."""
        return len(self.fits)

    @property
    def images(self) -> NDArray[np.uint8]:
        """The images, uint8 [N,H,W,3] RGB, as a view that the next ones overwrite.

        Those in `raw` are there once the run's outputs are.
        """
        return self._buffer[: len(self)]

    def append(
        self,
        image: NDArray[np.uint8],
        fit: Fit,
        camera: CameraModel | None,
        pad_color: RGB,
    ) -> None:
        """Write one more image (uint8 [h,w,3] RGB) into the batch."""
        fit.apply(image, self._buffer[len(self)], pad_color)
        self.fits.append(fit)
        self.cameras.append(camera)

    def append_raw(self, image: RawImage, fit: Fit, camera: CameraModel | None) -> None:
        """Take one more image that the backend is to fit."""
        self.raw[len(self)] = image
        self.fits.append(fit)
        self.cameras.append(camera)

    def fit_here(self, slot: int, pad_color: RGB) -> None:
        """Fit an image of `raw` on the CPU after all."""
        self.fits[slot].apply(self.raw.pop(slot).pixels, self._buffer[slot], pad_color)

    def remove(self, slot: int) -> None:
        """Take an image out; those after it move up."""
        self._buffer[slot : len(self) - 1] = self._buffer[slot + 1 : len(self)]
        self.raw = {n - (n > slot): raw for n, raw in self.raw.items() if n != slot}
        del self.fits[slot], self.cameras[slot]

    def clear(self) -> None:
        """Forget the images; the memory stays."""
        self.fits.clear()
        self.cameras.clear()
        self.raw.clear()


class Predictor:
    """Runs a backend on camera images of any size.

    What runs the network (`begin`, `infer`, `predict`) and `new_batch` belong to the thread that
    owns the backend; `preprocess` and `postprocess` may be called in any, for one batch by one.
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
        self._fitting = BackendFitting(backend, self.card.pad_color)
        self._batch: Batch | None = None  # of `predict`, which not everybody uses

    def new_batch(self) -> Batch:
        """An empty batch for `preprocess`, with room for `backend.max_batch` images.

        It holds as long as the backend does.
        """
        return Batch(self.backend.new_images())

    def preprocess(
        self, batch: Batch, image: NDArray[np.uint8] | RawImage, camera: CameraModel | None
    ) -> Fit:
        """Bring an image to the network's size and put it into a batch that is not full.

        Args:
            batch: Batch from `new_batch`.
            image: uint8 [h,w,3] RGB; or a camera's bytes, which must not change until the outputs
                of the batch's run are there.
            camera: Model of the image's camera, or None where it is not known.

        Returns:
            Placement of the image in the network's input.

        Raises:
            InputError: The image is not uint8 [h,w,3], is empty or far too long and thin, or its
                camera is of another size. The batch is as it was.
        """
        if isinstance(image, RawImage):
            height, width = image.size
        elif image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise InputError(
                f"the image is {image.dtype} {list(image.shape)}; uint8 [h,w,3] RGB is needed"
            )
        else:
            height, width = image.shape[:2]
        if camera is not None and (camera.height, camera.width) != (height, width):
            raise InputError(
                f"the camera model is for {camera.width}x{camera.height} pixels, "
                f"the image has {width}x{height}"
            )
        fit = Fit.plan((height, width), self.card.input_size, self._fit_mode)
        if not isinstance(image, RawImage):
            batch.append(image, fit, camera, self.card.pad_color)
        elif self._fitting.takes(image, fit):
            batch.append_raw(image, fit, camera)
        else:
            batch.append(image.pixels, fit, camera, self.card.pad_color)
        return fit

    def begin(self, batch: Batch, wanted: Collection[str]) -> Run:
        """Run the network once, beside what the caller does next; see `Backend.begin`.

        Args:
            batch: Filled by `preprocess`; not to be changed until the run's outputs are there.
            wanted: Outputs of the model contract to compute; without any, nothing is run.

        Returns:
            The run, whose outputs are arrays [N,H,W(,3)] by name.

        Raises:
            BackendError: The run failed.
        """
        for slot in set(batch.raw) - self._fitted_by_backend(batch, wanted):
            batch.fit_here(slot, self.card.pad_color)
        if not wanted:
            return Run(dict)
        if not batch.raw:
            return self.backend.begin(batch.images, wanted)
        unfitted = {
            slot: self._fitting.unfitted(image, batch.fits[slot])
            for slot, image in batch.raw.items()
        }
        return self._fitting.begin(
            lambda: self.backend.begin_unfitted(batch.images, unfitted, wanted)
        )

    def _fitted_by_backend(self, batch: Batch, wanted: Collection[str]) -> set[int]:
        """Slots of the raw images that the backend fits: all that may be, unless a check fails."""
        if not (wanted and batch.raw):
            return set()
        agreeing = {
            slot
            for slot, image in batch.raw.items()
            if self._fitting.agrees(image, batch.fits[slot])
        }
        return agreeing if self._fitting.is_tried else set()

    def infer(self, batch: Batch, wanted: Collection[str]) -> Outputs:
        """Run the network once and wait for the outputs; as `begin`."""
        return self.begin(batch, wanted).outputs()

    def postprocess(self, batch: Batch, outputs: Outputs) -> list[Prediction]:
        """Crop the padding, scale depth by each camera's focal length, void what means nothing.

        Args:
            batch: As given to `infer`.
            outputs: Its answer.

        Returns:
            A prediction per image, at network size without padding. Its arrays may be views of
            the batch, and of buffers that hold as long as the run's outputs do.
        """
        predictions = []
        for slot, (fit, camera) in enumerate(zip(batch.fits, batch.cameras, strict=True)):
            arrays = {name: fit.crop(array[slot]) for name, array in outputs.items()}
            scale = depth_scale(self.card, fit, camera)
            if "depth" in arrays:
                arrays["depth"] = valid_depth(arrays["depth"], scale, self.card.depth_range)
            predictions.append(
                Prediction(
                    image=fit.crop(batch.images[slot]),
                    camera=camera and fit.content_camera(camera),
                    depth_is_metric=scale is not None,
                    **arrays,
                )
            )
        return predictions

    def predict(
        self,
        images: Sequence[NDArray[np.uint8]],
        cameras: Sequence[CameraModel | None],
        wanted: Collection[str] | None = None,
    ) -> list[Prediction]:
        """All three calls for several images at once.

        Args:
            images: Each uint8 [h,w,3] RGB; sizes may differ; at most `backend.max_batch`.
            cameras: Model of each image's camera, or None where it is not known.
            wanted: Outputs of the model contract to compute; None: all the model has.

        Returns:
            See `postprocess`.

        Raises:
            InputError: See `preprocess`.
            BackendError: The run failed.
        """
        if self._batch is None:
            self._batch = self.new_batch()
        batch = self._batch
        batch.clear()
        for image, camera in zip(images, cameras, strict=True):
            self.preprocess(batch, image, camera)
        outputs = self.infer(batch, self.backend.output_names if wanted is None else wanted)
        return self.postprocess(batch, outputs)

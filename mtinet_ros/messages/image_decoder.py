# SPDX-License-Identifier: Apache-2.0
"""From a camera's message to an image of a known lens: decoding, calibration, rectification."""

from __future__ import annotations

import threading
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mtinet_ros.errors import InputError
from mtinet_ros.messages.camera_info_message import (
    calibrated_size,
    calibration_kind,
    camera_model,
    size_ratio,
)
from mtinet_ros.messages.image_message import (
    decode_compressed_image,
    decode_image,
    is_compressed,
    raw_image,
)
from mtinet_ros.perception.camera_model import CameraModel
from mtinet_ros.perception.decoded_image import DecodedImage
from mtinet_ros.perception.raw_image import RawImage
from mtinet_ros.perception.rectify import Rectifier

# Calibrations of different sizes on one topic that are kept: one for each mode of a camera.
MAX_CALIBRATIONS = 8

# Share of a rectified image that shows something, below which the calibration is nonsense.
_SMALLEST_VIEW = 0.1

_CONSEQUENCE = "so depth is up to scale and no camera_info or points are published"


class Problems(Protocol):
    """Where an `ImageDecoder` tells what is wrong. Subjects are such as `front: camera_info`."""

    def report(self, subject: str, text: str) -> None:
        """Take a problem that may come up with every frame."""

    def report_once(self, subject: str, text: str) -> None:
        """Take a fact worth knowing, once until `resolve`."""

    def resolve(self, subject: str, text: str = "") -> None:
        """Take note that a problem is over, with a text that says so."""


class ImageDecoder:
    """Decodes the images of one camera; `decode` may be called in several threads.

    Attributes:
        rectify: Whether distorted images are undistorted.
        keeps_raw: Whether an image whose bytes are pixels, and which needs no rectification, is
            left as it came, for whoever wants it in another form.
    """

    def __init__(
        self,
        camera: str,
        image_topic: str,
        camera_info_topic: str,
        problems: Problems,
        rectify: bool = True,
    ) -> None:
        """Begin without a calibration.

        Args:
            camera: Name of the camera.
            image_topic: Topic of its images, which tells whether they are rectified already.
            camera_info_topic: Topic of its calibration, for messages.
            problems: Takes what is wrong with a calibration.
            rectify: See the attribute.
        """
        self.rectify = rectify
        self.keeps_raw = False
        self._camera = camera
        self._subject = f"{camera}: camera_info"
        self._image_topic = image_topic
        self._camera_info_topic = camera_info_topic
        self._problems = problems
        # Newest calibration by the size it is for, the newest of all last. Replaced, never
        # changed: the executor's thread writes it, another reads it.
        self._calibrations: dict[tuple[int, ...], Any] = {}
        self._rectifier: Rectifier | None = None
        self._rectifier_lock = threading.Lock()  # making one takes long, and once is enough

    def has_calibration(self, image_size: tuple[int, int] | None = None) -> bool:
        """Whether a CameraInfo has been received (for images of (height, width), if given)."""
        return any(
            image_size is None or size_ratio(info, image_size) == 1
            for info in self._calibrations.values()
        )

    def add_calibration(self, info: Any) -> None:
        """Take a CameraInfo in place of the last one for images of that size; from any thread."""
        kind = calibration_kind(info)
        others = [item for item in self._calibrations.items() if item[0] != kind]
        self._calibrations = dict([*others[-MAX_CALIBRATIONS + 1 :], (kind, info)])

    def decode(self, message: Any) -> DecodedImage:
        """The image in an Image or CompressedImage, with its camera model.

        Raises:
            InputError: The message cannot be understood.
        """
        if is_compressed(message):
            return self.with_lens(decode_compressed_image(message))
        raw = raw_image(message) if self.keeps_raw else None
        return self.with_lens(decode_image(message) if raw is None else raw)

    def with_lens(self, image: NDArray[np.uint8] | RawImage) -> DecodedImage:
        """A picture, uint8 [h,w,3] RGB or yet to be decoded, with its camera model."""
        size = image.size if isinstance(image, RawImage) else (image.shape[0], image.shape[1])
        camera, note = self._camera_model(size)
        decoded = self._seen_through(image, camera)
        if decoded.camera is not None and note:
            self._problems.report_once(self._subject, note)
        elif decoded.camera is not None:
            self._problems.resolve(self._subject, "usable now")
        return decoded

    def _seen_through(
        self, image: NDArray[np.uint8] | RawImage, camera: CameraModel | None
    ) -> DecodedImage:
        """The image, rectified if need be, with the model of the lens that it now shows."""
        valid_mask = None
        doubt = ""  # about whether the image is rectified already
        if camera is not None and not camera.is_distorted:
            # As image_geometry has it: an image without distortion is described by P.
            camera = camera.rectified()
        elif camera is not None and not self.rectify:
            # A topic that is rectified already shares its CameraInfo with the raw one.
            camera = self._projection_of(camera)
            if camera is not None and "rect" not in self._image_topic:
                doubt = (
                    "is off, and CameraInfo has distortion: depth and points are those of a "
                    f"rectified image; if {self._image_topic} is none, they are wrong"
                )
        elif camera is not None:
            if "image_rect" in self._image_topic:
                doubt = (
                    f"{self._image_topic} sounds rectified, and its CameraInfo has distortion: it "
                    "is undistorted again; set rectify: off if it is rectified"
                )
            rectifier = self._rectifier_of(camera)
            if rectifier is None:
                camera, doubt = None, ""
            else:
                pixels = image.pixels if isinstance(image, RawImage) else image
                image, camera = rectifier.apply(pixels), rectifier.camera
                valid_mask = rectifier.valid_mask
        self._report(f"{self._camera}: rectify", doubt)
        self._report(f"{self._camera}: lens", "" if camera is None else _about_aspect(camera))
        return DecodedImage(image, camera, valid_mask)

    def _report(self, subject: str, problem: str) -> None:
        if problem:
            self._problems.report_once(subject, problem)
        else:
            self._problems.resolve(subject)

    def _projection_of(self, camera: CameraModel) -> CameraModel | None:
        """The lens of an image that was rectified upstream; None, and reported, without P."""
        if camera.has_projection:
            return camera.rectified()
        self._problems.report(
            self._subject, f"has distortion and no P, and rectify is off, {_CONSEQUENCE}"
        )
        return None

    def _rectifier_of(self, camera: CameraModel) -> Rectifier | None:
        """Rectifier of a lens; None, and reported, for one that cannot be undone.

        What things are can still be seen then, and is.
        """
        try:
            with self._rectifier_lock:
                rectifier = self._rectifier
                if rectifier is None or not rectifier.fits(camera):
                    self._rectifier = rectifier = Rectifier(camera)
        except InputError as error:
            self._problems.report(self._subject, f"{error}, {_CONSEQUENCE}")
            return None
        share = float(rectifier.valid_mask.mean())
        if share < _SMALLEST_VIEW:
            self._problems.report(
                self._subject,
                f"rectifies {share:.0%} of the image and no more, as no lens does, {_CONSEQUENCE}",
            )
            return None
        return rectifier

    def _camera_model(self, image_size: tuple[int, int]) -> tuple[CameraModel | None, str]:
        """Camera model of an image of (height, width), and what to note about it.

        None, and reported, if no calibration is usable.
        """
        calibrations = list(self._calibrations.values())
        if not calibrations:
            self._problems.report_once(
                self._subject, f"none received on {self._camera_info_topic}, {_CONSEQUENCE}"
            )
            return None, ""
        # The newest that is for this size; else the newest that can be scaled to it.
        ratios = [size_ratio(info, image_size) for info in calibrations]
        fitting = [info for info, ratio in zip(calibrations, ratios, strict=True) if ratio == 1]
        scalable = [info for info, ratio in zip(calibrations, ratios, strict=True) if ratio]
        info = (fitting or scalable or calibrations)[-1]
        try:
            model = camera_model(info, image_size)
        except InputError as error:
            self._problems.report(self._subject, f"{error}, {_CONSEQUENCE}")
            return None, ""
        height, width = calibrated_size(info)
        if (height, width) != image_size:
            return model, (
                f"is for {width}x{height} pixels, the image has {image_size[1]}x{image_size[0]}: "
                "it is scaled"
            )
        if not model.is_distorted and model.has_other_projection:
            return model, (
                "has no distortion, and P is not K or R not 1: the image is taken for rectified "
                "and P for its lens, as image_geometry does"
            )
        return model, ""


def _about_aspect(camera: CameraModel) -> str:
    """What a user should know of fx and fy that differ; empty if they do not."""
    if camera.has_square_pixels:
        return ""
    fx, fy = camera.focal_lengths
    return (
        f"fx is {fx:.1f} and fy {fy:.1f} pixels: the driver squashes the image, so that metric "
        "depth is approximate (scaled by the root of both)"
    )

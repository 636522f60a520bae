# SPDX-License-Identifier: Apache-2.0
"""From a camera's message to an image of a known lens: decoding, calibration, rectification."""

from __future__ import annotations

from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from mtinet_ros.errors import InputError
from mtinet_ros.node.camera_info_message import camera_model, size_ratio
from mtinet_ros.node.frame_processor import DecodedImage
from mtinet_ros.node.image_message import decode_compressed_image, decode_image
from mtinet_ros.node.problem_log import ProblemLog
from mtinet_ros.perception.camera_model import CameraModel
from mtinet_ros.perception.rectify import Rectifier

# Calibrations of different sizes on one topic that are kept: one for each mode of a camera.
_MAX_CALIBRATIONS = 8

_CONSEQUENCE = "so depth is up to scale and no camera_info or points are published"


class ImageDecoder:
    """Decodes the images of one camera; `decode` belongs to the worker's thread.

    Attributes:
        rectify: Whether distorted images are undistorted.
    """

    def __init__(
        self,
        camera: str,
        image_topic: str,
        camera_info_topic: str,
        problems: ProblemLog,
        rectify: bool = True,
    ) -> None:
        """Begin without a calibration.

        Args:
            camera: Name of the camera.
            image_topic: Topic of its images, which tells whether they are rectified already.
            camera_info_topic: Topic of its calibration, for messages.
            problems: Log of what is wrong with a calibration.
            rectify: See the attribute.
        """
        self.rectify = rectify
        self._camera = camera
        self._subject = f"{camera}: camera_info"
        self._image_topic = image_topic
        self._camera_info_topic = camera_info_topic
        self._problems = problems
        # Newest calibration by the size it is for, the newest of all last. Replaced, never
        # changed: the executor's thread writes it, the worker's reads it.
        self._calibrations: dict[tuple[int, ...], CameraInfo] = {}
        self._rectifier: Rectifier | None = None

    @property
    def has_calibration(self) -> bool:
        """Whether a CameraInfo has been received."""
        return bool(self._calibrations)

    def add_calibration(self, info: CameraInfo) -> None:
        """Take a CameraInfo in place of the last one for images of that size; from any thread."""
        roi = info.roi
        size = (
            *(info.width, info.height, info.binning_x, info.binning_y),
            *(roi.width, roi.height, roi.x_offset, roi.y_offset),
        )
        others = [item for item in self._calibrations.items() if item[0] != size]
        self._calibrations = dict([*others[-_MAX_CALIBRATIONS + 1 :], (size, info)])

    def decode(self, message: Image | CompressedImage) -> DecodedImage:
        """The image in a message, with its camera model.

        Raises:
            InputError: The message cannot be understood.
        """
        if isinstance(message, CompressedImage):
            image = decode_compressed_image(message)
        else:
            image = decode_image(message)
        camera = self._camera_model((image.shape[0], image.shape[1]))
        if camera is None:
            return DecodedImage(image, None)
        self._check_aspect(camera)
        if not camera.is_distorted or not self.rectify:
            # As image_geometry has it: an image without distortion, or one that is rectified
            # already and shares its CameraInfo with the raw one, is described by P.
            return DecodedImage(image, camera.rectified())
        try:
            rectifier = self._rectifier_of(camera)
        except InputError as error:  # a lens nobody here knows; what things are can still be seen
            self._problems.report(self._subject, f"{error}, {_CONSEQUENCE}")
            return DecodedImage(image, None)
        if "image_rect" in self._image_topic:
            self._problems.report_once(
                f"{self._camera}: rectify",
                f"{self._image_topic} sounds rectified, and its CameraInfo has distortion: it is "
                "undistorted again; set rectify: off if it is rectified",
            )
        return DecodedImage(rectifier.apply(image), rectifier.camera, rectifier.valid_mask)

    def _rectifier_of(self, camera: CameraModel) -> Rectifier:
        if self._rectifier is None or not self._rectifier.fits(camera):
            self._rectifier = Rectifier(camera)
        return self._rectifier

    def _camera_model(self, image_size: tuple[int, int]) -> CameraModel | None:
        """Camera model of an image of (height, width); None, and reported, if none is usable."""
        calibrations = list(self._calibrations.values())
        if not calibrations:
            self._problems.report_once(
                self._subject, f"none received on {self._camera_info_topic}, {_CONSEQUENCE}"
            )
            return None
        # The newest that is for this size; else the newest that can be scaled to it.
        ratios = [size_ratio(info, image_size) for info in calibrations]
        fitting = [info for info, ratio in zip(calibrations, ratios, strict=True) if ratio == 1]
        scalable = [info for info, ratio in zip(calibrations, ratios, strict=True) if ratio]
        info = (fitting or scalable or calibrations)[-1]
        try:
            model = camera_model(info, image_size)
        except InputError as error:
            self._problems.report(self._subject, f"{error}, {_CONSEQUENCE}")
            return None
        if size_ratio(info, image_size) != 1:
            self._problems.report_once(
                self._subject,
                f"is for {info.width}x{info.height} pixels, the image has "
                f"{image_size[1]}x{image_size[0]}: it is scaled",
            )
        elif not model.is_distorted and model.has_other_projection:
            self._problems.report_once(
                self._subject,
                "has no distortion, and P is not K or R not 1: the image is taken for rectified "
                "and P for its lens, as image_geometry does",
            )
        else:
            self._problems.resolve(self._subject, "usable now")
        return model

    def _check_aspect(self, camera: CameraModel) -> None:
        subject = f"{self._camera}: lens"
        if camera.has_square_pixels:
            self._problems.resolve(subject)
            return
        fx, fy = camera.K[0, 0], camera.K[1, 1]
        self._problems.report_once(
            subject,
            f"fx is {fx:.1f} and fy {fy:.1f} pixels: the driver squashes the image, so that "
            "metric depth is approximate (scaled by the root of both)",
        )

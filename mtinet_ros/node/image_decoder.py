# SPDX-License-Identifier: Apache-2.0
"""From a camera's message to an image of a known lens: decoding, calibration, rectification."""

from __future__ import annotations

from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from mtinet_ros.errors import InputError
from mtinet_ros.node.camera_info_message import camera_model
from mtinet_ros.node.frame_processor import DecodedImage
from mtinet_ros.node.image_message import decode_compressed_image, decode_image
from mtinet_ros.node.problem_log import ProblemLog
from mtinet_ros.perception.camera_model import CameraModel
from mtinet_ros.perception.rectify import Rectifier


class ImageDecoder:
    """Decodes the images of one camera; `decode` belongs to the worker's thread.

    Attributes:
        camera_info: The newest calibration received, or None; set from any thread.
        rectify: Whether distorted images are undistorted.
    """

    def __init__(
        self, camera: str, camera_info_topic: str, problems: ProblemLog, rectify: bool = True
    ) -> None:
        """Begin without a calibration.

        Args:
            camera: Name of the camera.
            camera_info_topic: Topic of its calibration, for messages.
            problems: Log of what is wrong with a calibration.
            rectify: See the attribute.
        """
        self.camera_info: CameraInfo | None = None
        self.rectify = rectify
        self._subject = f"{camera}: camera_info"
        self._camera_info_topic = camera_info_topic
        self._problems = problems
        self._rectifier: Rectifier | None = None

    def reset(self) -> None:
        """Forget the calibration, before a stream begins."""
        self.camera_info = None
        self._rectifier = None

    def decode(self, message: Image | CompressedImage) -> DecodedImage:
        """The image in a message, with its camera model.

        Raises:
            InputError: The message cannot be understood, or its distortion not be undone.
        """
        if isinstance(message, CompressedImage):
            image = decode_compressed_image(message)
        else:
            image = decode_image(message)
        camera = self._camera_model((image.shape[0], image.shape[1]))
        if camera is None or not camera.is_distorted:
            return DecodedImage(image, camera)
        if not self.rectify:
            # Such a topic shares its CameraInfo with the raw one: K and D are of the latter.
            return DecodedImage(image, camera.rectified())
        # Taken once: the executor's thread may forget it at any moment.
        rectifier = self._rectifier
        if rectifier is None or not rectifier.fits(camera):
            rectifier = self._rectifier = Rectifier(camera)
        return DecodedImage(rectifier.apply(image), rectifier.camera, rectifier.valid_mask)

    def _camera_model(self, image_size: tuple[int, int]) -> CameraModel | None:
        """Camera model of an image of (height, width); None, and reported, if none is usable."""
        consequence = "so depth is up to scale and no camera_info or points are published"
        info = self.camera_info
        if info is None:
            self._problems.report_once(
                self._subject, f"none received on {self._camera_info_topic}, {consequence}"
            )
            return None
        try:
            model = camera_model(info, image_size)
        except InputError as error:
            self._problems.report(self._subject, f"{error}, {consequence}")
            return None
        self._problems.resolve(self._subject, "usable now")
        return model

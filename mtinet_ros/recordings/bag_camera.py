# SPDX-License-Identifier: Apache-2.0
"""One camera of a bag: its frames are decoded in any thread, each with its own calibration."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from mtinet_ros.messages.image_decoder import ImageDecoder
from mtinet_ros.perception.decoded_image import DecodedImage
from mtinet_ros.recordings.bag_storage import Channel
from mtinet_ros.recordings.bag_topics import CameraTopic
from mtinet_ros.recordings.calibration_history import Calibrations
from mtinet_ros.recordings.problem_list import ProblemList

# Lenses whose rectification is kept for each camera: it takes long to find, and memory.
_KEPT_LENSES = 4


@dataclass(eq=False)
class BagCamera:
    """A camera while it is read.

    Attributes:
        topic: Its name and topics.
        rectify: Whether distorted images are undistorted.
        keeps_raw: See `ImageDecoder`.
        problems: Takes what is wrong with its calibration.
        channels: What its images lie in.
        first_frame: Record time of its first one, in ns.
    """

    topic: CameraTopic
    rectify: bool
    problems: ProblemList
    channels: tuple[Channel, ...]
    first_frame: int
    keeps_raw: bool = False
    _decoders: OrderedDict[tuple[bytes, ...], ImageDecoder] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def decode(self, message: Any, calibrations: Calibrations) -> DecodedImage:
        """The picture in a message whose calibrations are known; in any thread."""
        return self._decoder(calibrations).decode(message)

    def _decoder(self, calibrations: Calibrations) -> ImageDecoder:
        """A decoder that knows just these; decoders keep what rectification needs."""
        key = tuple(calibration.content for calibration in calibrations)
        with self._lock:
            decoder = self._decoders.pop(key, None)
            if decoder is None:
                decoder = ImageDecoder(
                    self.topic.name,
                    self.topic.topic,
                    self.topic.camera_info_topic,
                    self.problems,
                    self.rectify,
                )
                decoder.keeps_raw = self.keeps_raw
                for calibration in calibrations:
                    decoder.add_calibration(calibration.message)
            self._decoders[key] = decoder
            if len(self._decoders) > _KEPT_LENSES:
                self._decoders.popitem(last=False)
        return decoder

# SPDX-License-Identifier: Apache-2.0
"""sensor_msgs/Image and CompressedImage to RGB arrays, and what an Image says of an array.

Decoding looks at the bytes where they lie (honouring `step` and `is_bigendian`) and calls OpenCV
once where the encoding needs it. Encodings outside the table go to cv_bridge where that is
installed.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray

from mtinet_ros.errors import InputError
from mtinet_ros.image_files import MAX_PIXELS, decode_image_file, image_file_format
from mtinet_ros.perception.raw_image import RawImage

Array = NDArray[Any]

_SHOWN = 60  # characters of a name from outside that go into a sentence

# OpenCV's names of samples that are no colors: 16UC1, 32FC1 and so on (REP 118).
_NO_IMAGE = re.compile(r"(8S|16[SU]|32[SF]|64F)C\d+")

# 16-bit to 8-bit as cv_bridge scales it, x·255/65535 rounded: 257 is odd, so there are no ties.
_TO_8_BIT = ((np.arange(65536) + 128) // 257).astype(np.uint8)


@dataclass(frozen=True)
class Encoding:
    """How the pixels of an encoding lie in memory and become RGB.

    Attributes:
        channels: Samples per pixel in a row.
        to_rgb: Rows as sent ([rows,w,channels] or [rows,w]) to uint8 [h,w,3].
        sample: Type of a sample, in native byte order.
        row_factor: Rows in memory per image row, for planar encodings.
        even: Whether (height, width) must be even.
    """

    channels: int
    to_rgb: Callable[[Array], Array]
    sample: type[np.generic] = np.uint8
    row_factor: float = 1.0
    even: tuple[bool, bool] = (False, False)


def _convert(code: int) -> Callable[[Array], Array]:
    return lambda pixels: cv2.cvtColor(pixels, code)


def _narrow(reorder: Callable[[Array], Array]) -> Callable[[Array], Array]:
    return lambda pixels: reorder(np.take(_TO_8_BIT, pixels))


def _as_is(pixels: Array) -> Array:
    return pixels


def _nv24(rows: Array) -> Array:
    """NV24: a plane of Y, then Cb Cr interleaved at full size. ITU-R BT.601, studio swing."""
    height, width = rows.shape[0] // 3, rows.shape[1]
    step = rows.strides[0]
    chroma = np.lib.stride_tricks.as_strided(
        rows[height:], (height, width, 2), (2 * step, 2, 1), writeable=False
    )
    # What is blacker than black counts as black, as in OpenCV's conversions of other encodings.
    ycbcr = np.dstack([np.maximum(rows[:height], 16), chroma]).astype(np.float32)
    matrix = np.array([[1.164, 0.0, 1.596], [1.164, -0.391, -0.813], [1.164, 2.018, 0.0]])
    offset = matrix @ [16.0, 128.0, 128.0]
    rgb = cv2.transform(ycbcr, np.hstack([matrix, -offset[:, np.newaxis]]))
    return np.asarray(rgb.round().clip(0, 255), np.uint8)


_UYVY = Encoding(2, _convert(cv2.COLOR_YUV2RGB_UYVY), even=(False, True))
_YUYV = Encoding(2, _convert(cv2.COLOR_YUV2RGB_YUY2), even=(False, True))

ENCODINGS: dict[str, Encoding] = {
    "rgb8": Encoding(3, _as_is),
    "bgr8": Encoding(3, _convert(cv2.COLOR_BGR2RGB)),
    "rgba8": Encoding(4, _convert(cv2.COLOR_RGBA2RGB)),
    "bgra8": Encoding(4, _convert(cv2.COLOR_BGRA2RGB)),
    "mono8": Encoding(1, _convert(cv2.COLOR_GRAY2RGB)),
    "mono16": Encoding(1, _narrow(_convert(cv2.COLOR_GRAY2RGB)), np.uint16),
    "rgb16": Encoding(3, _narrow(_as_is), np.uint16),
    "bgr16": Encoding(3, _narrow(_convert(cv2.COLOR_BGR2RGB)), np.uint16),
    # OpenCV names a Bayer pattern by the second row's second and third pixel, ROS by its start.
    "bayer_rggb8": Encoding(1, _convert(cv2.COLOR_BayerBG2RGB)),
    "bayer_bggr8": Encoding(1, _convert(cv2.COLOR_BayerRG2RGB)),
    "bayer_gbrg8": Encoding(1, _convert(cv2.COLOR_BayerGR2RGB)),
    "bayer_grbg8": Encoding(1, _convert(cv2.COLOR_BayerGB2RGB)),
    "yuv422": _UYVY,
    "uyvy": _UYVY,
    "yuv422_yuy2": _YUYV,
    "yuyv": _YUYV,
    "nv21": Encoding(1, _convert(cv2.COLOR_YUV2RGB_NV21), row_factor=1.5, even=(True, True)),
    "nv24": Encoding(1, _nv24, row_factor=3.0),
}


def is_compressed(message: Any) -> bool:
    """Whether a message is a CompressedImage rather than an Image: only that has a `format`."""
    return hasattr(message, "format")


def decode_image(message: Any) -> NDArray[np.uint8]:
    """The picture in an Image message.

    Returns:
        uint8 [height,width,3] RGB; may be a read-only view of the message's data.

    Raises:
        InputError: The encoding is not known here, or size, step and data do not fit together.
    """
    raw = raw_image(message)
    return _decode_with_cv_bridge(message) if raw is None else raw.pixels


def raw_image(message: Any) -> RawImage | None:
    """The picture in an Image message, yet to be decoded; None if its encoding is not known here.

    Raises:
        InputError: Size, step and data do not fit together.
    """
    encoding = ENCODINGS.get(message.encoding)
    if encoding is None:
        return None
    height, width, step = message.height, message.width, message.step
    if not 0 < height * width <= MAX_PIXELS:
        raise InputError(
            f"the image has {width}x{height} pixels; from 1 to {MAX_PIXELS} are allowed"
        )
    if (encoding.even[0] and height % 2) or (encoding.even[1] and width % 2):
        raise InputError(
            f"{message.encoding} cannot have {width}x{height} pixels: they come in pairs"
        )
    sample = np.dtype(encoding.sample).newbyteorder(">" if message.is_bigendian else "<")
    row_bytes = width * encoding.channels * sample.itemsize
    rows = int(height * encoding.row_factor)
    if step < row_bytes:
        raise InputError(
            f"step {step} is too short for {width} pixels of {message.encoding}: {row_bytes} bytes"
        )
    data = np.frombuffer(message.data, np.uint8)
    if data.size < step * (rows - 1) + row_bytes:
        raise InputError(
            f"{data.size} bytes of data are too few for {width}x{height} pixels of "
            f"{message.encoding} with step {step} ({step * rows} bytes)"
        )

    def decode(data: NDArray[np.uint8]) -> NDArray[np.uint8]:
        pixels = _in_rows(data, step, (rows, width, encoding.channels), sample)
        return encoding.to_rgb(pixels if encoding.channels > 1 else pixels[..., 0])

    big = bool(message.is_bigendian)
    return RawImage(data, message.encoding, big, step, (height, width), decode)


def samples(message: Any, kind: npt.DTypeLike, channels: int = 1) -> Array:
    """A view [h,w,channels] of the samples in an Image message, in the byte order they came in.

    Args:
        message: Its encoding is not looked at.
        kind: What a sample is, e.g. float32.
        channels: Samples of a pixel.

    Raises:
        InputError: Size, step and data do not fit together.
    """
    height, width, step = int(message.height), int(message.width), int(message.step)
    if not 0 < height * width <= MAX_PIXELS:
        raise InputError(f"the image has {width}x{height} pixels; 1 to {MAX_PIXELS} are allowed")
    sample = np.dtype(kind).newbyteorder(">" if message.is_bigendian else "<")
    row = width * channels * sample.itemsize
    data = np.frombuffer(message.data, np.uint8)
    if step < row or data.size < step * (height - 1) + row:
        raise InputError(
            f"{data.size} bytes with step {step} are not {width}x{height} pixels of "
            f"{message.encoding}: {row} bytes a row are needed"
        )
    return _in_rows(data, step, (height, width, channels), sample)


def _in_rows(
    data: NDArray[np.uint8], step: int, shape: tuple[int, int, int], sample: np.dtype[Any]
) -> Array:
    """A view of samples [rows,width,channels] whose rows begin `step` bytes apart."""
    strides = (step, shape[2] * sample.itemsize, sample.itemsize)
    pixels: Array = np.ndarray(shape, sample, buffer=data, strides=strides)
    return pixels


def _decode_with_cv_bridge(message: Any) -> NDArray[np.uint8]:
    refusal = f"encoding {message.encoding[:_SHOWN]!r} is not supported"
    try:
        from cv_bridge import CvBridge

        return np.asarray(CvBridge().imgmsg_to_cv2(message, "rgb8"), np.uint8)
    except ImportError as error:
        raise InputError(
            f"{refusal}; supported: {', '.join(ENCODINGS)}. Where cv_bridge is installed, all "
            "that it reads is too"
        ) from error
    except Exception as error:  # bytes from outside in foreign code: it raises all sorts of things
        raise InputError(
            f"{refusal} here, and cv_bridge says: {error}. Supported: {', '.join(ENCODINGS)}"
        ) from error


def decode_compressed_image(message: Any) -> NDArray[np.uint8]:
    """The picture in a CompressedImage message: jpeg or png, whatever `format` says.

    Returns:
        uint8 [height,width,3] RGB.

    Raises:
        InputError: The data is damaged, cut short, too large or of another format.
    """
    data = np.frombuffer(message.data, np.uint8)
    name = f"the compressed image (format {message.format[:_SHOWN]!r})"
    # compressed_image_transport writes "<encoding>; <jpeg or png> compressed <encoding inside>".
    source, _, inside = (part.strip().lower() for part in message.format.partition(";"))
    if _NO_IMAGE.fullmatch(source.upper()):
        raise InputError(
            f"{name} is no picture: {source.upper()} holds measurements, such as depth"
        )
    if not image_file_format(data):
        raise InputError(f"{name}, {data.size} bytes, is neither jpeg nor png")
    try:
        image = decode_image_file(data, upright=False)
    except InputError as error:
        raise InputError(f"{name} {error}") from error
    is_color = "bgr" in inside or "rgb" in inside  # the mosaic was taken out before compressing
    return image if is_color else _without_mosaic(image, source)


def _without_mosaic(image: NDArray[np.uint8], source: str) -> NDArray[np.uint8]:
    """A picture whose bytes are those of a color filter array (`bayer_…`), in color.

    image_transport compresses a mosaic as a gray picture, or in color if asked to: only the former
    is a mosaic still.
    """
    mosaic = (
        ENCODINGS.get(re.sub(r"1[0246]$", "8", source)) if source.startswith("bayer_") else None
    )
    if mosaic is None or not (image == image[..., :1]).all():
        return image
    return np.asarray(mosaic.to_rgb(np.ascontiguousarray(image[..., 0])), np.uint8)


def image_fields(pixels: Array, encoding: str) -> dict[str, Any]:
    """What an Image message says of pixels, all but its header and its data.

    Args:
        pixels: [h,w] or [h,w,channels] of the dtype that `encoding` says, e.g. float32 for 32FC1.
        encoding: A name of sensor_msgs/image_encodings.hpp.
    """
    height, width = pixels.shape[:2]
    return {
        "height": height,
        "width": width,
        "encoding": encoding,
        "is_bigendian": int(sys.byteorder == "big"),
        "step": pixels.nbytes // height,
    }

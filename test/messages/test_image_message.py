# SPDX-License-Identifier: Apache-2.0
"""Every camera's bytes become the right picture, or one clear sentence; never a dead node."""

from __future__ import annotations

import array
import sys
import time
import types
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

pytest.importorskip("sensor_msgs")
from sensor_msgs.msg import CompressedImage, Image

from mtinet_ros.errors import InputError
from mtinet_ros.image_files import MAX_PIXELS
from mtinet_ros.messages.image_message import (
    ENCODINGS,
    decode_compressed_image,
    decode_image,
    is_compressed,
)

pytestmark = pytest.mark.ros

Pixel = tuple[float, float, float]


def image(
    encoding: str,
    size: tuple[int, int],
    step: int,
    rows: int,
    big_endian: bool = False,
    seed: int = 0,
) -> Image:
    """A message of random bytes; step and rows in memory as given."""
    data = np.random.default_rng(seed).integers(0, 256, step * rows, np.uint8)
    return Image(
        height=size[0],
        width=size[1],
        encoding=encoding,
        is_bigendian=int(big_endian),
        step=step,
        data=array.array("B", data.tobytes()),
    )


def bytes_per_pixel(encoding: str) -> int:
    channels = 4 if "a" in encoding[:4] and "bayer" not in encoding else 3
    if encoding.startswith(("mono", "bayer", "nv")):
        channels = 1
    elif encoding.startswith(("yuv", "uyvy", "yuyv")):
        channels = 2
    return channels * (2 if encoding.endswith("16") else 1)


def memory_rows(encoding: str, height: int) -> int:
    return {"nv21": height * 3 // 2, "nv24": height * 3}.get(encoding, height)


def reference(message: Image) -> NDArray[np.uint8]:
    """The picture, pixel by pixel and byte by byte, for encodings without OpenCV's recipes."""
    data, step = message.data, message.step
    order = "big" if message.is_bigendian else "little"
    size = 2 if message.encoding.endswith("16") else 1
    letters = {"m": "ggg", "r": "rgb", "b": "bgr"}[message.encoding[0]]
    channels = bytes_per_pixel(message.encoding) // size
    out = np.zeros((message.height, message.width, 3), np.uint8)
    for v in range(message.height):
        for u in range(message.width):
            for letter_index, letter in enumerate(letters):
                place = 0 if letter == "g" and letters == "ggg" else letter_index
                at = v * step + (u * channels + place) * size
                value = int.from_bytes(data[at : at + size], order)
                channel = letter_index if letters == "ggg" else "rgb".index(letter)
                out[v, u, channel] = value if size == 1 else round(value * 255 / 65535)
    return out


PLAIN = ("rgb8", "bgr8", "rgba8", "bgra8", "mono8", "mono16", "rgb16", "bgr16")


@pytest.mark.parametrize("encoding", PLAIN)
@pytest.mark.parametrize("padding", [0, 1, 7])
@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (4, 1), (1, 6)])
def test_plain_encodings(
    encoding: str, padding: int, big_endian: bool, size: tuple[int, int]
) -> None:
    step = size[1] * bytes_per_pixel(encoding) + padding
    message = image(encoding, size, step, size[0], big_endian)
    assert np.array_equal(decode_image(message), reference(message))


# How cv_bridge names OpenCV's conversion for each (vision_opencv, cv_bridge/src/cv_bridge.cpp).
OPENCV = {
    "bayer_rggb8": cv2.COLOR_BayerBG2RGB,
    "bayer_bggr8": cv2.COLOR_BayerRG2RGB,
    "bayer_gbrg8": cv2.COLOR_BayerGR2RGB,
    "bayer_grbg8": cv2.COLOR_BayerGB2RGB,
    "yuv422": cv2.COLOR_YUV2RGB_UYVY,
    "uyvy": cv2.COLOR_YUV2RGB_UYVY,
    "yuv422_yuy2": cv2.COLOR_YUV2RGB_YUY2,
    "yuyv": cv2.COLOR_YUV2RGB_YUY2,
    "nv21": cv2.COLOR_YUV2RGB_NV21,
}


@pytest.mark.parametrize("encoding", OPENCV)
@pytest.mark.parametrize("padding", [0, 3])
@pytest.mark.parametrize("size", [(6, 8), (4, 4), (12, 6)])
def test_mosaics_and_packed_color_are_what_opencv_makes_of_a_contiguous_copy(
    encoding: str, padding: int, size: tuple[int, int]
) -> None:
    width = size[1] * bytes_per_pixel(encoding)
    rows = memory_rows(encoding, size[0])
    message = image(encoding, size, width + padding, rows, big_endian=True)
    bytes_ = np.frombuffer(message.data, np.uint8).reshape(rows, width + padding)[:, :width]
    pixels = np.ascontiguousarray(bytes_)
    if bytes_per_pixel(encoding) == 2:
        pixels = pixels.reshape(rows, size[1], 2)
    assert np.array_equal(decode_image(message), cv2.cvtColor(pixels, OPENCV[encoding]))


def flat(encoding: str, y: int, cb: int, cr: int, size: tuple[int, int] = (4, 6)) -> Image:
    """One colour everywhere, as the kernel's pixel format documents lay it out."""
    height, width = size
    n = height * width
    data = {
        "uyvy": bytes([cb, y, cr, y]) * (n // 2),
        "yuyv": bytes([y, cb, y, cr]) * (n // 2),
        "nv21": bytes([y]) * n + bytes([cr, cb]) * (n // 4),
        "nv24": bytes([y]) * n + bytes([cb, cr]) * n,
    }[encoding]
    step = width * (2 if encoding in ("uyvy", "yuyv") else 1)
    return Image(height=height, width=width, encoding=encoding, step=step, data=data)


@pytest.mark.parametrize("encoding", ["uyvy", "yuyv", "nv21", "nv24"])
@pytest.mark.parametrize(
    ("ycbcr", "rgb"),
    [  # ITU-R BT.601, studio swing
        ((16, 128, 128), (0, 0, 0)),
        ((235, 128, 128), (255, 255, 255)),
        ((81, 90, 240), (255, 0, 0)),
        ((145, 54, 34), (0, 255, 0)),
        ((41, 240, 110), (0, 0, 255)),
        ((0, 0, 0), (0, 154, 0)),
    ],
)
def test_video_colors(encoding: str, ycbcr: tuple[int, int, int], rgb: Pixel) -> None:
    picture = decode_image(flat(encoding, *ycbcr))
    assert picture.shape == (4, 6, 3)
    assert np.abs(picture.astype(int) - rgb).max() <= 2


@pytest.mark.parametrize("encoding", ["nv24"])
@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (4, 6)])
def test_full_chroma_video_pixel_by_pixel(
    encoding: str, padding: int, size: tuple[int, int]
) -> None:
    height, width = size
    step = width + padding
    message = image(encoding, size, step, 3 * height)
    picture = decode_image(message)
    for v in range(height):
        for u in range(width):
            at = height * step + v * 2 * step + 2 * u
            y, cb, cr = message.data[v * step + u], message.data[at], message.data[at + 1]
            y, cb, cr = 1.164 * (max(y, 16) - 16), cb - 128, cr - 128
            rgb = np.array([y + 1.596 * cr, y - 0.391 * cb - 0.813 * cr, y + 2.018 * cb])
            assert np.abs(picture[v, u] - rgb.clip(0, 255)).max() <= 0.51


@pytest.mark.parametrize("encoding", [e for e in OPENCV if e.startswith("bayer")])
def test_a_mosaic_shows_red_where_its_name_says(encoding: str) -> None:
    """The four letters are the mosaic's first two rows."""
    letters = encoding.removeprefix("bayer_")[:4]
    for color in range(3):
        mosaic = np.zeros((8, 8), np.uint8)
        for index, letter in enumerate(letters):
            if letter == "rgb"[color]:
                mosaic[index // 2 :: 2, index % 2 :: 2] = 180
        message = Image(height=8, width=8, encoding=encoding, step=8, data=mosaic.tobytes())
        expected = [180 if channel == color else 0 for channel in range(3)]
        assert decode_image(message)[3:5, 3:5].reshape(-1, 3).tolist() == [expected] * 4


def test_sixteen_bits_become_eight_exactly_as_cv_bridge_rounds() -> None:
    values = np.arange(65536, dtype=np.uint16)
    message = Image(
        height=256, width=256, encoding="mono16", step=512, data=values.astype("<u2").tobytes()
    )
    # cv_bridge: cv::Mat::convertTo(8 bit, 255/65535), which convertScaleAbs is for positives.
    expected = cv2.convertScaleAbs(values.reshape(256, 256), alpha=255.0 / 65535.0)
    assert np.array_equal(decode_image(message)[..., 0], expected)


def test_rgb8_is_looked_at_where_it_lies() -> None:
    message = image("rgb8", (480, 640), 1920 + 64, 480)
    assert np.shares_memory(decode_image(message), np.frombuffer(message.data, np.uint8))


def test_the_list_of_encodings_is_the_one_promised() -> None:
    assert set(ENCODINGS) == {*PLAIN, *OPENCV, "nv24"}


@pytest.mark.parametrize("encoding", sorted(ENCODINGS))
def test_lies_about_size_step_and_data_are_named(encoding: str) -> None:
    width = 8 * bytes_per_pixel(encoding)
    rows = memory_rows(encoding, 6)

    def refused(pattern: str, **changes: Any) -> None:
        message = image(encoding, (6, 8), width, rows)
        for name, value in changes.items():
            setattr(message, name, value)
        with pytest.raises(InputError, match=pattern):
            decode_image(message)

    refused("step", step=width - 1)
    refused("step", step=0)
    refused("too few", step=width + 1)
    refused("too few", step=2**32 - 1)
    refused("too few", data=array.array("B"))
    refused("too few", data=array.array("B", bytes(width * rows - 1)))
    refused("0x6 pixels", width=0)
    refused("8x0 pixels", height=0)
    refused("0x0 pixels", height=0, width=0, step=0, data=array.array("B"))
    refused("pixels; from 1 to", height=2**32 - 2, width=2**32 - 2)
    refused("too few", height=8000, step=width)


@pytest.mark.parametrize(
    ("encoding", "size"),
    [("uyvy", (4, 5)), ("yuyv", (4, 5)), ("nv21", (4, 5)), ("nv21", (5, 4))],
)
def test_odd_sizes_of_shared_chroma_are_refused(encoding: str, size: tuple[int, int]) -> None:
    with pytest.raises(InputError, match="pairs"):
        decode_image(image(encoding, size, 64, 64))


def test_the_last_row_may_lack_its_padding() -> None:
    whole = image("rgb8", (4, 5), 20, 4)
    short = image("rgb8", (4, 5), 20, 4)
    short.data = short.data[:-5]
    assert np.array_equal(decode_image(whole), decode_image(short))


@pytest.mark.parametrize("encoding", ["rgb8", "bgr8", "mono16", "bayer_rggb8", "yuyv"])
def test_twenty_megapixels_are_fine(encoding: str) -> None:
    step = 5472 * bytes_per_pixel(encoding)
    message = Image(
        height=3648,
        width=5472,
        encoding=encoding,
        step=step,
        data=array.array("B", bytes(step * 3648)),
    )
    start = time.perf_counter()
    assert decode_image(message).shape == (3648, 5472, 3)
    assert time.perf_counter() - start < 5.0


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 2), (3, 3), (2, 7)])
def test_tiny_mosaics_do_no_harm(size: tuple[int, int]) -> None:
    assert decode_image(image("bayer_rggb8", size, size[1], size[0])).shape == (*size, 3)


@pytest.mark.parametrize("encoding", ["", "RGB8", "32FC1", "jpeg", "x" * 10000, "ü{}%s\n"])
def test_other_encodings_are_refused_with_the_list_of_good_ones(encoding: str) -> None:
    with pytest.raises(InputError, match=r"rgb8, bgr8, .*nv24.*cv_bridge") as refusal:
        decode_image(image(encoding, (4, 4), 64, 4))
    assert len(str(refusal.value)) < 500
    assert "\n" not in str(refusal.value)


def broken() -> Any:
    raise AttributeError("module 'numpy' has no attribute 'bool'")


@pytest.mark.parametrize(
    "raises", [ValueError, TypeError, KeyError, RuntimeError, cv2.error, ZeroDivisionError]
)
def test_whatever_cv_bridge_raises_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, raises: type[Exception]
) -> None:
    """A stand-in for cv_bridge, which is not on PyPI for today's NumPy."""

    class Bridge:
        def imgmsg_to_cv2(self, message: Image, encoding: str) -> Any:
            if message.encoding == "rgba16":
                return np.full((message.height, message.width, 3), 9, np.uint8)
            raise raises("so it is")

    module: Any = types.ModuleType("cv_bridge")
    module.CvBridge = Bridge
    monkeypatch.setitem(sys.modules, "cv_bridge", module)
    assert (decode_image(image("rgba16", (4, 4), 32, 4)) == 9).all()
    with pytest.raises(InputError, match=r"'8UC9'.*so it is"):
        decode_image(image("8UC9", (4, 4), 64, 4))
    module.CvBridge = broken
    with pytest.raises(InputError, match="no attribute"):
        decode_image(image("8UC9", (4, 4), 64, 4))


def same_as_cv_bridge(encoding: str, big_endian: bool) -> None:
    cv_bridge = pytest.importorskip("cv_bridge")
    step = 8 * bytes_per_pixel(encoding)
    message = image(encoding, (6, 8), step, memory_rows(encoding, 6), big_endian)
    try:
        expected = cv_bridge.CvBridge().imgmsg_to_cv2(message, "rgb8")
    except cv_bridge.CvBridgeError as error:
        pytest.skip(f"cv_bridge does not read it: {error}")
    assert np.array_equal(decode_image(message), expected)


@pytest.mark.parametrize("encoding", sorted(ENCODINGS))
def test_every_encoding_is_read_as_cv_bridge_reads_it(encoding: str) -> None:
    same_as_cv_bridge(encoding, big_endian=False)


# Compressed images


def photo() -> NDArray[np.uint8]:
    v, u = np.mgrid[0:120, 0:160]
    waves = [127 + 120 * np.sin(u / a + v / b) for a, b in ((9, 31), (23, 11), (40, 17))]
    return np.dstack(waves).astype(np.uint8)


def compressed(suffix: str, pixels: NDArray[Any], *options: int) -> CompressedImage:
    data = cv2.imencode(suffix, pixels, options)[1]
    return CompressedImage(format=suffix[1:], data=array.array("B", data.tobytes()))


def test_jpeg_and_png() -> None:
    picture = photo()
    bgr = np.ascontiguousarray(picture[..., ::-1])
    assert np.array_equal(decode_compressed_image(compressed(".png", bgr)), picture)
    jpeg = decode_compressed_image(compressed(".jpg", bgr, cv2.IMWRITE_JPEG_QUALITY, 95))
    assert np.abs(jpeg.astype(int) - picture).mean() < 4
    progressive = compressed(".jpg", bgr, cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    assert decode_compressed_image(progressive).shape == picture.shape


def test_gray_alpha_and_sixteen_bit_png() -> None:
    gray = photo()[..., 0]
    assert (decode_compressed_image(compressed(".png", gray)) == gray[..., np.newaxis]).all()
    alpha = np.dstack([photo(), np.full((120, 160), 7, np.uint8)])
    assert np.array_equal(decode_compressed_image(compressed(".png", alpha)), alpha[..., 2::-1])
    deep = gray.astype(np.uint16) * 257
    decoded = decode_compressed_image(compressed(".png", deep)).astype(int)
    assert np.abs(decoded - gray[..., np.newaxis]).max() <= 1


def test_padding_behind_a_picture_is_forgiven() -> None:
    for suffix in (".jpg", ".png"):
        message = compressed(suffix, photo())
        message.data = message.data + array.array("B", bytes(500))
        assert decode_compressed_image(message).shape == (120, 160, 3)


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_picture_cut_short_anywhere_is_refused(suffix: str) -> None:
    whole = compressed(suffix, np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8))
    cuts = [0, 1, 2, 3, 9, *range(20, len(whole.data), 211), len(whole.data) - 2]
    for cut in cuts:
        message = CompressedImage(format="jpeg", data=whole.data[:cut])
        with pytest.raises(InputError, match=r"cut short|neither"):
            decode_compressed_image(message)


def test_a_bomb_is_refused_unopened() -> None:
    png = bytearray(compressed(".png", photo()).data)
    png[16:24] = (2**14 + 1).to_bytes(4, "big") * 2
    with pytest.raises(InputError, match=f"from 1 to {MAX_PIXELS}"):
        decode_compressed_image(CompressedImage(format="png", data=bytes(png)))


def test_another_format_is_refused() -> None:
    message = compressed(".bmp", photo())
    with pytest.raises(InputError, match=r"'bmp'.*neither jpeg nor png"):
        decode_compressed_image(message)


# Fuzz: whatever comes in, it is a picture or an InputError


def image_or_input_error(decode: Callable[[Any], NDArray[np.uint8]], message: Any) -> None:
    try:
        picture = decode(message)
    except InputError:
        return
    assert picture.dtype == np.uint8
    assert picture.ndim == 3
    assert picture.shape[2] == 3


small = st.integers(0, 40)
uint32 = st.one_of(small, st.integers(0, 2**32 - 1), st.sampled_from([2**31, 2**32 - 1]))


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    height=uint32,
    width=uint32,
    step=uint32,
    encoding=st.one_of(st.sampled_from(sorted(ENCODINGS)), st.text(max_size=20)),
    big_endian=st.integers(0, 255),
    data=st.binary(max_size=3000),
)
def test_random_images(
    height: int, width: int, step: int, encoding: str, big_endian: int, data: bytes
) -> None:
    message = types.SimpleNamespace(
        height=height,
        width=width,
        step=step,
        encoding=encoding,
        is_bigendian=big_endian,
        data=array.array("B", data),
    )
    image_or_input_error(decode_image, message)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    encoding=st.sampled_from(sorted(ENCODINGS)),
    height=st.integers(1, 12),
    width=st.integers(1, 12),
    padding=st.integers(0, 5),
    missing=st.integers(-3, 3),
    big_endian=st.booleans(),
)
def test_nearly_right_images(
    encoding: str, height: int, width: int, padding: int, missing: int, big_endian: bool
) -> None:
    step = width * bytes_per_pixel(encoding) + padding
    message = image(encoding, (height, width), step, memory_rows(encoding, height), big_endian)
    message.data = array.array("B", bytes(max(0, len(message.data) - missing)))
    image_or_input_error(decode_image, message)


SMALL_IMAGES = {
    suffix: cv2.imencode(suffix, photo()[:24, :32])[1].tobytes() for suffix in (".jpg", ".png")
}


@settings(max_examples=100, deadline=None)
@given(
    suffix=st.sampled_from([".jpg", ".png"]),
    changes=st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), max_size=12),
    format_=st.text(max_size=30),
)
def test_compressed_images_with_flipped_bytes(
    suffix: str, changes: list[tuple[int, int]], format_: str
) -> None:
    data = array.array("B", SMALL_IMAGES[suffix])
    for place, value in changes:
        data[place % len(data)] = value
    message = types.SimpleNamespace(format=format_, data=data)
    image_or_input_error(decode_compressed_image, message)


@settings(max_examples=100, deadline=None)
@given(start=st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"]), rest=st.binary())
def test_random_compressed_images(start: bytes, rest: bytes) -> None:
    for end in (b"", b"\xff\xd9", b"IEND\xaeB`\x82"):
        message = types.SimpleNamespace(format="x", data=array.array("B", start + rest + end))
        image_or_input_error(decode_compressed_image, message)


# What image_transport compresses beside pictures


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
@pytest.mark.parametrize("codec", ["png", "jpeg"])
def test_a_compressed_mosaic_has_its_colors_again(pattern: str, codec: str) -> None:
    """image_transport compresses the mosaic as a gray picture; as such all would be gray."""
    color = np.full((32, 48, 3), (200, 120, 40), np.uint8)  # RGB
    mosaic = np.empty((32, 48), np.uint8)
    for place, letter in enumerate(pattern):
        mosaic[place // 2 :: 2, place % 2 :: 2] = color[0, 0, "rgb".index(letter)]
    data = cv2.imencode(f".{codec}", mosaic, [cv2.IMWRITE_JPEG_QUALITY, 100])[1].tobytes()
    message = CompressedImage(format=f"bayer_{pattern}8; {codec} compressed", data=data)
    answer = decode_compressed_image(message)[2:-2, 2:-2].astype(int)
    assert np.abs(answer - color[0, 0]).max() <= (0 if codec == "png" else 4)
    raw = Image(height=32, width=48, encoding=f"bayer_{pattern}8", step=48, data=mosaic.tobytes())
    assert np.abs(answer - decode_image(raw)[2:-2, 2:-2]).max() <= (0 if codec == "png" else 4)


@pytest.mark.parametrize("is_gray", [False, True])
def test_a_mosaic_that_was_compressed_in_color_is_left_alone(is_gray: bool) -> None:
    color = np.random.default_rng(3).integers(0, 256, (32, 48, 3), np.uint8)
    if is_gray:
        color[...] = color[..., :1]
    data = cv2.imencode(".png", color[..., ::-1])[1].tobytes()
    message = CompressedImage(format="bayer_rggb8; png compressed bgr8", data=data)
    assert np.array_equal(decode_compressed_image(message), color)


@pytest.mark.parametrize("encoding", ["16UC1", "32FC1", "16SC1"])
def test_compressed_depth_is_no_picture(encoding: str) -> None:
    depth = np.random.default_rng(4).integers(300, 5000, (24, 32)).astype(np.uint16)
    data = cv2.imencode(".png", depth)[1].tobytes()
    with pytest.raises(InputError, match="no picture"):
        decode_compressed_image(CompressedImage(format=f"{encoding}; png compressed ", data=data))


# Messages that rosbags made


def of_rosbags(store: str, message: Any) -> Any:
    """A message as a reader of bags has it: a dataclass, with NumPy's arrays."""
    typesys = pytest.importorskip("rosbags.typesys")
    types_ = typesys.get_typestore(typesys.Stores[store]).types
    stamp, fields = types_["builtin_interfaces/msg/Time"](0, 0), {}
    for name in message.get_fields_and_field_types():
        fields[name] = getattr(message, name)
    header = {"stamp": stamp, "frame_id": "camera"}
    if store.startswith("ROS1"):
        header["seq"] = 0
    fields["header"] = types_["std_msgs/msg/Header"](**header)
    fields["data"] = np.frombuffer(message.data, np.uint8)
    return types_[f"sensor_msgs/msg/{type(message).__name__}"](**fields)


@pytest.mark.parametrize("store", ["ROS1_NOETIC", "ROS2_FOXY", "ROS2_KILTED"])
def test_messages_from_a_bag_are_the_same_pictures(store: str) -> None:
    raw = image("bgr8", (6, 8), 30, 6)
    assert np.array_equal(decode_image(of_rosbags(store, raw)), decode_image(raw))
    png = compressed(".png", photo())
    from_bag = of_rosbags(store, png)
    assert np.array_equal(decode_compressed_image(from_bag), decode_compressed_image(png))
    kinds = [is_compressed(message) for message in (raw, of_rosbags(store, raw), png, from_bag)]
    assert kinds == [False, False, True, True]

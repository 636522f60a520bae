# SPDX-License-Identifier: Apache-2.0
"""Videos as cameras and phones write them."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("av")

import av

from mtinet_ros.errors import ConfigurationError
from mtinet_ros.recordings.frame import Interval
from mtinet_ros.recordings.lens import LensOptions
from mtinet_ros.recordings.video_source import VideoSource
from test.support.videos import (
    LOSSLESS,
    numbered_picture,
    write_video,
    yuv_frame,
)

SHORT_GOP = {"bf": "2", "g": "12", "preset": "ultrafast"}
CORNERS = np.full((48, 64, 3), 128, np.uint8)
CORNERS[:24, :32], CORNERS[:24, 32:], CORNERS[24:, :32] = (
    (220, 40, 40),
    (40, 200, 40),
    (40, 40, 220),
)


def read(source: VideoSource, start: int | None = None, end: int | None = None) -> list:
    """Time, name and picture of every frame."""
    frames = source.read(Interval(start, end))
    return [(frame.time, frame.name, frame.decode().image) for frame in frames]


def only_picture(path: Path) -> np.ndarray:
    return read(VideoSource(path))[0][2]


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("closed.mp4", "libx264", SHORT_GOP),
        ("open.mp4", "libx264", {"x264-params": "open-gop=1:b-pyramid=normal:keyint=12"}),
        ("refresh.mp4", "libx264", {"x264-params": "intra-refresh=1:keyint=12"}),
        ("hevc.mov", "libx265", {"x265-params": "keyint=12:open-gop=1:log-level=none"}),
        ("matroska.mkv", "libx264", SHORT_GOP),
        ("stream.ts", "libx264", SHORT_GOP),
        ("old.avi", "mpeg4", {"bf": "2", "g": "12"}),
        ("web.webm", "libvpx-vp9", {"g": "12", "deadline": "realtime", "cpu-used": "8"}),
        ("untimed.h264", "libx264", SHORT_GOP),
    ],
)
def test_a_part_has_the_very_frames_of_the_whole(
    tmp_path: Path, name: str, codec: str, options: dict[str, str]
) -> None:
    write_video(tmp_path / name, codec=codec, options=options)
    source = VideoSource(tmp_path / name)
    whole = read(source)
    assert len(whole) == source.cameras[0].frames == 60
    assert whole[0][:2] == (0, f"{name.partition('.')[0]}/000000")
    assert whole[-1][0] in source.interval()
    for first in (1, 11, 12, 13, 30, 36, 58):
        start, end = whole[first][0], whole[min(first + 9, 59)][0]
        part = read(source, start, end)
        assert [frame[:2] for frame in part] == [frame[:2] for frame in whole[first : first + 9]][
            : len(part)
        ]
        assert len(part) == min(first + 9, 59) - first
        for mine, other in zip(part, whole[first:], strict=False):
            np.testing.assert_array_equal(mine[2], other[2])


def test_frames_keep_the_times_of_a_phone_that_drops_some(tmp_path: Path) -> None:
    # As an iPhone counts, 1/600 s: 30 Hz, in the dark 24 Hz, and one second without a frame.
    times = [0, 20, 40, 65, 90, 690, 711]
    write_video(
        tmp_path / "dark.mov",
        count=7,
        times=times,
        time_base=Fraction(1, 600),
        options={"bf": "2"},
        sound=True,
    )
    source = VideoSource(tmp_path / "dark.mov")
    assert [time for time, *_ in read(source)] == [time * 10**9 // 600 for time in times]
    assert [frame[1] for frame in read(source, 10**9)] == ["dark/000005", "dark/000006"]
    assert source.problems == []


def test_times_begin_with_the_first_frame_that_is_shown(tmp_path: Path) -> None:
    write_video(tmp_path / "late.mp4", count=4, times=[61, 62, 63, 65])
    times = [time for time, *_ in read(VideoSource(tmp_path / "late.mp4"))]
    assert times == [0, 33333333, 66666666, 133333333]


def test_a_video_that_was_trimmed_on_the_phone(tmp_path: Path) -> None:
    # An edit list that begins amid a group of pictures: those before are there, and not shown.
    path = tmp_path / "trimmed.mp4"
    write_video(path, options=SHORT_GOP, sound=True)
    content = bytearray(path.read_bytes())
    at = content.index(b"elst") + 12  # behind version, flags and the number of edits: one
    duration, begin = struct.unpack(">Ii", content[at : at + 8])
    with av.open(str(path)) as file:
        cut = Fraction(17, 30) / file.streams.video[0].time_base
    content[at : at + 8] = struct.pack(">Ii", duration - 567, begin + int(cut))
    path.write_bytes(content)
    source = VideoSource(path)
    frames = read(source)
    assert len(frames) == source.cameras[0].frames == 43
    assert frames[0][:2] == (0, "trimmed/000000")
    distances = [np.abs(frames[0][2] - numbered_picture(i).astype(int)).mean() for i in range(60)]
    assert int(np.argmin(distances)) == 17
    for mine, other in zip(read(source, 10**9), frames[30:], strict=True):
        np.testing.assert_array_equal(mine[2], other[2])


@pytest.mark.parametrize(
    ("degrees", "flip", "upright"),
    [
        (0, "", CORNERS),
        (90, "", np.rot90(CORNERS)),
        (180, "", np.rot90(CORNERS, 2)),
        (-90, "", np.rot90(CORNERS, -1)),
        (0, "h", CORNERS[:, ::-1]),
        (0, "v", CORNERS[::-1]),
        (90, "h", np.rot90(CORNERS)[:, ::-1]),
        (-90, "h", np.rot90(CORNERS, -1)[:, ::-1]),
    ],
)
def test_frames_stand_upright(
    tmp_path: Path, degrees: int, flip: str, upright: np.ndarray
) -> None:
    path = tmp_path / "phone.mp4"

    def turn(track: object) -> None:
        track.set_display_rotation(degrees, hflip=flip == "h", vflip=flip == "v")

    write_video(path, [CORNERS] * 2, options=LOSSLESS, pixels="yuv444p", track=turn)
    image = only_picture(path)
    assert image.shape == upright.shape
    assert np.abs(image.astype(int) - upright).max() <= 3
    if not flip:  # which OpenCV leaves out
        foreign = cv2.cvtColor(cv2.VideoCapture(str(path)).read()[1], cv2.COLOR_BGR2RGB)
        assert np.abs(image.astype(int) - foreign).max() <= 6


def test_an_iphone_held_upright(tmp_path: Path) -> None:
    # What is in the track header of its files: a quarter turn clockwise, and the shift with it.
    matrix = [0, 65536, 0, -65536, 0, 0, 48 << 16, 0, 1 << 30]
    path = tmp_path / "IMG_0001.MOV"
    write_video(
        path,
        [CORNERS] * 2,
        codec="libx265",
        options={"x265-params": "log-level=none"},
        track=lambda track: track.set_display_matrix(matrix),
        sound=True,
        container="mov",
    )
    image = only_picture(path)
    assert image.shape == (64, 48, 3)
    assert np.abs(image.astype(int) - np.rot90(CORNERS, -1))[8:24, 8:16].max() <= 6


def converted(
    yuv: tuple[int, int, int], kr: float, kb: float, full: bool, bits: int
) -> np.ndarray:
    """RGB by the definition of Y'CbCr in ITU-T H.273."""
    one = 2 ** (bits - 8)
    y, cb, cr = yuv
    if full:
        top = 2**bits - 1
        luma, blue, red = y / top, (cb - 128 * one) / top, (cr - 128 * one) / top
    else:
        luma, blue, red = (
            *((y / one - 16) / 219, (cb / one - 128) / 224, (cr / one - 128) / 224),
        )
    r, b = luma + 2 * (1 - kr) * red, luma + 2 * (1 - kb) * blue
    g = (luma - kr * r - kb * b) / (1 - kr - kb)
    return np.array([r, g, b]).clip(0, 1) * 255


@pytest.mark.parametrize(
    ("pixels", "said", "size", "coefficients", "full"),
    [
        ("yuv420p", (1, 1), (64, 48), (0.2126, 0.0722), False),
        ("yuv420p", (6, 1), (64, 48), (0.299, 0.114), False),
        ("yuv420p", (5, 1), (1280, 32), (0.299, 0.114), False),
        ("yuv420p", (9, 1), (64, 48), (0.2627, 0.0593), False),
        ("yuv420p", (2, 0), (64, 48), (0.299, 0.114), False),
        ("yuv420p", (2, 0), (1280, 32), (0.2126, 0.0722), False),
        ("yuvj420p", (2, 0), (64, 48), (0.299, 0.114), True),
        ("yuv420p", (1, 2), (64, 48), (0.2126, 0.0722), True),
        ("yuv420p10le", (1, 1), (64, 48), (0.2126, 0.0722), False),
        ("yuv422p", (1, 1), (64, 48), (0.2126, 0.0722), False),
        ("yuv444p", (1, 1), (66, 49), (0.2126, 0.0722), False),
    ],
)
def test_colors_are_what_the_file_says(
    tmp_path: Path,
    pixels: str,
    said: tuple[int, int],
    size: tuple[int, int],
    coefficients: tuple[float, float],
    full: bool,
) -> None:
    bits = 10 if "10" in pixels else 8
    colors = [(81, 90, 240), (145, 54, 34), (41, 240, 110), (235, 128, 128), (120, 100, 150)]
    colors = [tuple(value << (bits - 8) for value in color) for color in colors]
    path = tmp_path / "color.mkv"

    def say(track: object) -> None:
        track.codec_context.colorspace, track.codec_context.color_range = said

    frames = [yuv_frame(*color, pixels, size) for color in colors]
    write_video(path, frames, options=LOSSLESS, pixels=pixels, track=say)
    for color, (_, _, image) in zip(colors, read(VideoSource(path)), strict=True):
        expected = converted(color, *coefficients, full, bits)
        assert np.abs(image - expected).max() <= 1.5


def test_odd_sizes_have_all_their_pixels(tmp_path: Path) -> None:
    picture = np.full((47, 65, 3), 90, np.uint8)
    picture[-1], picture[:, -1] = 220, 220
    write_video(tmp_path / "odd.mkv", [picture], codec="ffv1")
    image = only_picture(tmp_path / "odd.mkv")
    assert image.shape == picture.shape
    assert np.abs(image.astype(int) - picture).max() <= 2


@pytest.mark.parametrize("light", [203.0, 36.5, 2.0])
def test_hdr_is_as_bright_as_an_ordinary_picture(tmp_path: Path, light: float) -> None:
    power = (light / 10000) ** 0.1593017578125  # SMPTE ST 2084, inverse EOTF
    signal = ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375
    path = tmp_path / "hdr.mkv"

    def say(track: object) -> None:
        context = track.codec_context
        context.colorspace, context.color_range, context.color_trc = 9, 1, 16
        context.color_primaries = 9

    frame = yuv_frame(round(64 + 876 * signal), 512, 512, "yuv420p10le")
    write_video(path, [frame], options=LOSSLESS, pixels="yuv420p10le", track=say)
    source = VideoSource(path)
    level = read(source)[0][2][24, 32].astype(float)
    linear = light / 203.0
    plain = 255 * (1.055 * linear ** (1 / 2.4) - 0.055 if linear > 0.0031308 else 12.92 * linear)
    assert np.abs(level - min(plain, 246.0)).max() <= 2.5
    assert source.problems == [f"{path} is HDR (PQ): it is brought to the ordinary range"]


def test_pixels_become_square(tmp_path: Path) -> None:
    def say(track: object) -> None:
        track.codec_context.sample_aspect_ratio = Fraction(3, 2)

    path = tmp_path / "anamorphic.mp4"
    write_video(path, [CORNERS], track=say)
    source = VideoSource(path)
    assert read(source)[0][2].shape == (48, 96, 3)
    assert "1.5 times as wide as high" in source.problems[0]


def test_names_in_any_encoding_and_with_colons(tmp_path: Path) -> None:
    path = tmp_path / "2024-05-01T12:30:00 \udcff.mp4"
    try:
        write_video(tmp_path / "plain.mp4", count=2)
        (tmp_path / "plain.mp4").rename(path)
    except OSError:
        pytest.skip("this disk cannot hold such a name")
    names = [name for _, name, _ in read(VideoSource(path))]
    assert len(names) == 2
    assert all(name.isascii() and ":" not in name for name in names)


def test_the_lens_is_that_of_the_upright_picture(tmp_path: Path) -> None:
    path = tmp_path / "phone.mp4"
    write_video(path, count=1, track=lambda track: track.set_display_rotation(90))
    source = VideoSource(path, LensOptions(focal_length=70.0), frame_id="phone", start_stamp=5)
    frame = next(iter(source.read(Interval())))
    assert (frame.header.stamp, frame.header.frame_id) == (5, "phone")
    camera = frame.decode().camera
    assert (camera.width, camera.height) == (48, 64)
    np.testing.assert_allclose(camera.K, [[70, 0, 23.5], [0, 70, 31.5], [0, 0, 1]])
    calibration = tmp_path / "ost.yaml"
    calibration.write_text(
        "image_width: 64\nimage_height: 48\ncamera_matrix: {rows: 3, cols: 3, data: "
        "[70, 0, 32, 0, 70, 24, 0, 0, 1]}\ndistortion_coefficients: {rows: 1, cols: 5, data: "
        "[0, 0, 0, 0, 0]}\n"
    )
    with pytest.raises(ConfigurationError, match=r"48x64 pixels, once it is turned .* 64x48"):
        VideoSource(path, LensOptions(calibration=calibration))


def test_frames_can_be_decoded_in_threads(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    pictures = [numbered_picture(index) for index in range(30)]
    write_video(tmp_path / "clip.mkv", pictures, codec="ffv1", pixels="yuv444p")
    with ThreadPoolExecutor(4) as pool:
        frames = list(VideoSource(tmp_path / "clip.mkv").read(Interval()))
        images = list(pool.map(lambda frame: frame.decode().image, reversed(frames)))
    for image, picture in zip(reversed(images), pictures, strict=True):
        assert np.abs(image.astype(int) - picture).max() <= 3

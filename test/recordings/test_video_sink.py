# SPDX-License-Identifier: Apache-2.0
"""A video of montages, read back with OpenCV, which shares no code with what wrote it."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.full_disk import full_disk

pytest.importorskip("av")

import av

from mtinet_ros.errors import ConfigurationError, InputError
from mtinet_ros.recordings import video_segments
from mtinet_ros.recordings.frame import Interval
from mtinet_ros.recordings.video_sink import VideoSink
from mtinet_ros.recordings.video_source import VideoSource
from test.support.predictions import CARD, made_up_frame, made_up_prediction, write_frame

OUTPUTS = ("segmentation", "depth", "normals")
# Of a bag: record times, and one gap.
START = 1_700_000_000_000_000_000
TIMES = [START + 33_333_333 * i + (700_000_000 if i > 7 else 0) for i in range(12)]


def write(sink: VideoSink, number: int, indices: range, **how: object) -> dict:
    sink.begin_part(number)
    for index in indices:
        frame = made_up_frame(index, TIMES[index], **how)
        write_frame(sink, frame, made_up_prediction(index))
    return sink.end_part()


def opencv_frames(path: Path) -> tuple[list[np.ndarray], list[float]]:
    """Pictures as RGB, and their times in ms."""
    capture = cv2.VideoCapture(str(path))
    images, times = [], []
    while True:
        ok, image = capture.read()
        if not ok:
            return images, times
        images.append(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
        times.append(capture.get(cv2.CAP_PROP_POS_MSEC))


def test_parts_join_into_a_video_with_the_times_of_the_source(tmp_path: Path) -> None:
    path = tmp_path / "room: 1.mp4"
    sink = VideoSink(path, CARD, OUTPUTS)
    parts = [write(sink, 2, range(5, 12)), write(sink, 1, range(5))]
    VideoSink(path, CARD, OUTPUTS).finish(json.loads(json.dumps(parts)))
    images, times = opencv_frames(path)
    expected = [(time - START) / 1e6 for time in TIMES]
    np.testing.assert_allclose(times, expected, atol=0.02)
    with av.open(str(path)) as file:
        context = file.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
        times = [float(frame.pts * frame.time_base) for frame in file.decode(video=0)]
    np.testing.assert_allclose(times, np.array(expected) / 1e3, atol=2e-5)
    assert path.read_bytes().index(b"moov") < path.read_bytes().index(b"mdat")  # for browsers
    # The bar is where it was in each frame, in the picture at the upper left.
    scale = images[0].shape[1] / 2 / 96
    for index, image in enumerate(images):
        x = int((index * 4 % 96 + 4) * scale)
        assert np.abs(image[40, x].astype(int) - (200, 60, 40)).max() < 40


def test_colors_come_back(tmp_path: Path) -> None:
    sink = VideoSink(tmp_path / "room.mp4", CARD, ())
    sink.finish([write(sink, 1, range(2))])
    frame = next(iter(VideoSource(tmp_path / "room.mp4").read(Interval())))
    image = frame.decode().image
    assert np.abs(image[40, -20].astype(int) - (90, 110, 60)).max() <= 3


def test_more_parts_can_follow(tmp_path: Path) -> None:
    sink = VideoSink(tmp_path / "room.mkv", CARD, OUTPUTS)
    parts = [write(sink, 1, range(3))]
    sink.finish(parts)
    assert len(opencv_frames(tmp_path / "room.mkv")[0]) == 3
    sink.begin_part(2)  # killed
    write_frame(sink, made_up_frame(3, TIMES[3]), made_up_prediction(3))
    again = VideoSink(tmp_path / "room.mkv", CARD, OUTPUTS)
    parts.append(write(again, 2, range(3, 9)))
    (tmp_path / ".room.mkv.77.part").write_bytes(b"half")
    again.finish(parts)
    assert len(opencv_frames(tmp_path / "room.mkv")[0]) == 9
    again.remove_parts()
    assert [file.name for file in tmp_path.iterdir() if not file.is_dir()] == ["room.mkv"]


def test_pictures_of_other_sizes_are_fitted(tmp_path: Path) -> None:
    sink = VideoSink(tmp_path / "mixed.mp4", CARD, OUTPUTS)
    sink.begin_part(1)
    for index, size in enumerate([(64, 96), (63, 95), (96, 64), (48, 128)]):
        write_frame(sink, made_up_frame(index, TIMES[index]), made_up_prediction(index, size))
    sink.finish([sink.end_part()])
    images, _ = opencv_frames(tmp_path / "mixed.mp4")
    assert len({image.shape for image in images}) == 1
    assert images[0].shape[0] % 2 == images[0].shape[1] % 2 == 0
    assert len(images) == 4


def test_each_camera_has_its_video(tmp_path: Path) -> None:
    # A run that is stopped before the second camera's first frame, and gone on with.
    first = VideoSink(tmp_path / "robot.mp4", CARD, OUTPUTS)
    parts = [write(first, 1, range(2), camera="front")]
    first.finish(parts)
    assert [path.name for path in tmp_path.glob("*.mp4")] == ["robot.mp4"]
    sink = VideoSink(tmp_path / "robot.mp4", CARD, OUTPUTS)
    sink.begin_part(2)
    for index in range(2, 6):
        camera = ("front", "arm/wrist")[index % 2]
        frame = made_up_frame(index, TIMES[index], camera=camera)
        write_frame(sink, frame, made_up_prediction(index))
    parts.append(sink.end_part())
    sink.finish(parts)
    assert sorted(path.name for path in tmp_path.glob("*.mp4")) == [
        "robot_arm_wrist.mp4",
        "robot_front.mp4",
    ]


def test_two_frames_at_one_time_are_both_there(tmp_path: Path) -> None:
    sink = VideoSink(tmp_path / "twin.mp4", CARD, ())
    sink.begin_part(1)
    for index in range(3):
        write_frame(sink, made_up_frame(index, START), made_up_prediction(index))
    sink.finish([sink.end_part()])
    assert len(opencv_frames(tmp_path / "twin.mp4")[0]) == 3


def test_a_part_is_discarded(tmp_path: Path) -> None:
    sink = VideoSink(tmp_path / "room.mp4", CARD, ())
    sink.begin_part(1)
    write_frame(sink, made_up_frame(0, START), made_up_prediction(0))
    sink.discard_part()
    assert not list(tmp_path.rglob("*.mp4*.part"))
    sink.finish([write(sink, 1, range(2))])
    assert len(opencv_frames(tmp_path / "room.mp4")[0]) == 2


def test_a_full_disk_is_named_and_the_video_stays(tmp_path: Path) -> None:
    path = tmp_path / "room.mp4"
    sink = VideoSink(path, CARD, OUTPUTS)
    parts = [write(sink, 1, range(3))]
    sink.finish(parts)
    before = path.read_bytes()
    with full_disk(2000):
        with pytest.raises(InputError, match=r"cannot write .*part-000002-camera\.mp4"):
            write(sink, 2, range(3, 12))
        sink.discard_part()
        with pytest.raises(InputError, match=r"cannot write .*room\.mp4"):
            sink.finish(parts)
    assert path.read_bytes() == before
    assert not list(tmp_path.rglob("*.part"))


def test_without_an_encoder_of_h264_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoders = video_segments._ENCODERS
    monkeypatch.setattr(video_segments, "_ENCODERS", encoders[-1:])
    sink = VideoSink(tmp_path / "room.mp4", CARD, OUTPUTS)
    assert "the video is MPEG-4 Part 2" in sink.problems[0]
    sink.finish([write(sink, 1, range(5)), write(sink, 2, range(5, 9))])
    assert len(opencv_frames(tmp_path / "room.mp4")[0]) == 9


def test_what_cannot_be_a_video_is_refused_before(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"room\.avi cannot be written as a video of H"):
        VideoSink(tmp_path / "room.avi", CARD, OUTPUTS)
    with pytest.raises(ConfigurationError, match="the output points cannot be shown in a video"):
        VideoSink(tmp_path / "room.mp4", CARD, ("points",))

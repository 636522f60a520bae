# SPDX-License-Identifier: Apache-2.0
"""Videos that are damaged, cut, or none at all."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("av")

import av

from mtinet_ros.errors import ConfigurationError, InputError
from mtinet_ros.recordings.frame import Interval
from mtinet_ros.recordings.video_source import VideoSource
from test.support.videos import (
    numbered_picture,
    write_video,
)

SHORT_GOP = {"bf": "2", "g": "12", "preset": "ultrafast"}


def read(source: VideoSource, start: int | None = None, end: int | None = None) -> list:
    """Time, name and picture of every frame; the error, of one that cannot be decoded."""
    result = []
    for frame in source.read(Interval(start, end)):
        try:
            result.append((frame.time, frame.name, frame.decode().image))
        except InputError as error:
            result.append((frame.time, frame.name, error))
    return result


def test_what_begins_amid_a_group_of_pictures_is_told(tmp_path: Path) -> None:
    path = tmp_path / "cut.ts"
    write_video(path, options=SHORT_GOP)
    content = path.read_bytes()
    path.write_bytes(content[len(content) // 3 // 188 * 188 :])
    frames = read(VideoSource(path))
    bad = [isinstance(image, InputError) for *_, image in frames]
    assert 0 < sum(bad) < 12
    assert bad == sorted(bad, reverse=True)  # the first ones
    assert [name for _, name, _ in frames] == [f"cut/{i:06d}" for i in range(len(frames))]
    for first in (1, sum(bad), 20):
        later = read(VideoSource(path), frames[first][0])
        assert [frame[:2] for frame in later] == [frame[:2] for frame in frames[first:]]


def test_a_sound_track_that_begins_amid_the_file(tmp_path: Path) -> None:
    for name, sound in (("silent.ts", False), ("loud.ts", True)):
        write_video(tmp_path / name, count=10, options=SHORT_GOP, sound=sound)
    parts = [(tmp_path / name).read_bytes() for name in ("silent.ts", "loud.ts")]
    (tmp_path / "both.ts").write_bytes(b"".join(parts))
    assert len(read(VideoSource(tmp_path / "both.ts"))) == 20


def test_two_recordings_one_behind_the_other(tmp_path: Path) -> None:
    write_video(tmp_path / "once.ts", count=10, options=SHORT_GOP)
    (tmp_path / "twice.ts").write_bytes((tmp_path / "once.ts").read_bytes() * 2)
    source = VideoSource(tmp_path / "twice.ts")
    whole = read(source)
    assert len({name for _, name, _ in whole}) == 20
    assert all(a[0] < b[0] for a, b in itertools.pairwise(whole))
    assert [frame[:2] for frame in read(source, whole[15][0])] == [f[:2] for f in whole[15:]]
    assert "gives some twice" in source.problems[0]


def test_a_recording_that_was_cut_off_gives_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "cut.mp4"
    write_video(path, options=SHORT_GOP | {"movflags": "faststart"})
    with (
        av.open(str(path)) as file,
        av.open(str(tmp_path / "fast.mp4"), "w", options={"movflags": "faststart"}) as out,
    ):
        track = out.add_stream_from_template(file.streams.video[0])
        for packet in file.demux(video=0):
            if packet.dts is not None:
                packet.stream = track
                out.mux(packet)
    content = (tmp_path / "fast.mp4").read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    source = VideoSource(path)
    images = read(source)
    assert 10 < len(images) < 60
    assert [name for _, name, _ in images] == [f"cut/{i:06d}" for i in range(len(images))]


def test_a_recording_without_its_index_is_named(tmp_path: Path) -> None:
    path = tmp_path / "killed.mp4"
    write_video(path)
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"moov") - 8])
    with pytest.raises(InputError, match="has no index: the recording was cut off"):
        VideoSource(path)


def test_a_frame_that_cannot_be_decoded_is_one_bad_frame(tmp_path: Path) -> None:
    path = tmp_path / "scratched.mov"
    write_video(path, codec="png", pixels="rgb24", count=20)
    content = bytearray(path.read_bytes())
    at = content.index(b"\x89PNG", len(content) // 3)
    content[at + 60 : at + 100] = bytes(40)
    path.write_bytes(content)
    source = VideoSource(path)
    frames = read(source)
    assert [name for _, name, _ in frames] == [f"scratched/{i:06d}" for i in range(20)]
    bad = [index for index, frame in enumerate(frames) if isinstance(frame[2], InputError)]
    assert len(bad) == 1
    assert str(frames[bad[0]][2]) == (
        f"the frame of {path} at {bad[0] / 30:.3f} s is damaged: FFmpeg cannot decode it"
    )
    assert source.problems == []
    for first in (bad[0] - 1, bad[0], bad[0] + 1):
        part = read(source, frames[first][0], frames[first + 2][0])
        assert [frame[:2] for frame in part] == [frame[:2] for frame in frames[first : first + 2]]
        assert [isinstance(frame[2], InputError) for frame in part] == [
            index == bad[0] for index in (first, first + 1)
        ]


def test_damage_shifts_no_other_frame(tmp_path: Path) -> None:
    path = tmp_path / "scratched.mp4"
    random = np.random.default_rng(0)
    pictures = [
        numbered_picture(index, (320, 240)) // 2 + random.integers(0, 60, (240, 320, 3), np.uint8)
        for index in range(30)
    ]
    write_video(path, pictures, options=SHORT_GOP)
    whole = read(VideoSource(path))
    content = bytearray(path.read_bytes())
    at = len(content) // 3
    content[at : at + 400] = random.bytes(400)
    path.write_bytes(content)
    damaged = {name: image for _, name, image in read(VideoSource(path))}
    same = [np.array_equal(damaged.get(name), image) for _, name, image in whole]
    assert not all(same)
    assert sum(same) >= 18  # all but those of one group of pictures


def test_a_file_that_shrinks_meanwhile_is_named(tmp_path: Path) -> None:
    path = tmp_path / "shrinking.mkv"
    write_video(path, options=SHORT_GOP)
    source = VideoSource(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match=r"cannot be read on after \d+ of 60 frames"):
        read(source)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty (0 bytes)"),
        (b"This is a letter, and no video.\n" * 50, "is no video that FFmpeg can read"),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1/x.ts\n", "is no video"),
        (b"ffconcat version 1.0\nfile '/etc/passwd'\n", "is no video that FFmpeg can read"),
    ],
)
def test_what_is_no_video_is_named(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        VideoSource(path)
    assert str(path) in str(caught.value)
    assert sentence in str(caught.value)


def test_a_picture_larger_than_any_camera_has_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "huge.y4m"
    path.write_bytes(b"YUV4MPEG2 W60000 H60000 F30:1 Ip A1:1 C420jpeg\nFRAME\n" + bytes(10_000))
    with pytest.raises(InputError, match=r"huge\.y4m .*(60000x60000|no video that FFmpeg)"):
        VideoSource(path)


def test_without_pyav_its_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(
        ConfigurationError, match=r"takes .* av .*pip install 'mtinet_ros\[process"
    ):
        VideoSource(tmp_path / "clip.mp4")


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "voice.mp4"
    with av.open(str(path), "w") as file:
        audio = file.add_stream("aac", rate=48000)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        silence.sample_rate = 48000
        file.mux(audio.encode(silence))
        file.mux(audio.encode(None))
    with pytest.raises(InputError, match="holds no video track, only audio"):
        VideoSource(path)


def test_what_ffmpeg_does_not_miss_is_told_by_the_header(tmp_path: Path) -> None:
    path = tmp_path / "cut.mkv"
    write_video(path, count=90, options=SHORT_GOP)
    assert VideoSource(path).problems == []
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 3])
    source = VideoSource(path)
    assert 0 < len(read(source)) < 60
    (problem,) = source.problems
    assert "and its header says 3.0 s: it was cut off" in problem

# SPDX-License-Identifier: Apache-2.0
"""A recording is known by its content, and a file that is none is called what it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mtinet_ros.errors import ConfigurationError, InputError
from mtinet_ros.image_files import png_bytes
from mtinet_ros.offline.inputs import group_inputs
from mtinet_ros.recordings.lens import LensOptions
from mtinet_ros.recordings.open import Kind, SourceOptions, kind_of, open_source

PNG = png_bytes(np.zeros((4, 6, 3), np.uint8))


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.mcap", b"\x89MCAP0\r\n" + bytes(30), Kind.BAG),
        ("renamed.bin", b"\x89MCAP0\r\n" + bytes(30), Kind.BAG),
        ("a.db3", b"SQLite format 3\0" + bytes(30), Kind.BAG),
        ("a.bag", b"#ROSBAG V2.0\n" + bytes(30), Kind.BAG),
        ("a.mcap", b"", Kind.BAG),  # whose reader says that it is empty
        ("a.mcap.zstd", b"\x28\xb5\x2f\xfd" + bytes(30), Kind.BAG),
        ("photo", PNG, Kind.PICTURES),
        ("a.jpg", b"\xff\xd8\xff\xe0" + bytes(30), Kind.PICTURES),
        ("a.png", b"some text", Kind.PICTURES),  # a bad picture, told with the others
        ("a.mp4", b"\0\0\0\x20ftypisom" + bytes(30), Kind.VIDEO),
        ("video", b"\x1aE\xdf\xa3" + bytes(30), Kind.VIDEO),
    ],
)
def test_files_are_known_by_their_first_bytes(
    tmp_path: Path, name: str, content: bytes, kind: Kind
) -> None:
    (tmp_path / name).write_bytes(content)
    assert kind_of(tmp_path / name) is kind


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        (["clip.mp4", "clip2.mp4"], r"holds 2 videos, e.g. clip.mp4; give them each: .*/\*.mp4"),
        (["a/metadata.yaml", "b/metadata.yaml"], r"is no bag but holds 2, e.g. a; give them"),
        (["readme.txt"], "holds no pictures"),
    ],
)
def test_folders_of_something_else_are_called_that(
    tmp_path: Path, files: list[str], sentence: str
) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    with pytest.raises(InputError, match=sentence):
        open_source(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("notes.txt", "some words", r"no bag, video or picture: it is a text file \('some words'"),
        ("video.mp4", "", r"it is empty \(0 bytes\)"),
        ("metadata.yaml", "a: 1", "describes a bag; give its folder"),
        ("page.mp4", "<html><title>Sign in</title>", "is a web page"),
    ],
)
def test_files_of_something_else_are_called_that(
    tmp_path: Path, name: str, content: str, sentence: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=sentence):
        open_source(tmp_path / name)


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        open_source(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (SourceOptions(("/a",)), "--topics is not for"),
        (SourceOptions(("/a",), topics_option="--topic"), "--topic is not for"),
        (SourceOptions(frame_id="a"), "--frame-id is not for"),
        (SourceOptions(lens=LensOptions(500.0)), "--focal-length is not for"),
    ],
)
def test_options_of_other_recordings_are_refused(
    tmp_path: Path, options: SourceOptions, sentence: str
) -> None:
    name, content = ("a.png", PNG) if options.topics else ("a.mcap", b"\x89MCAP0\r\n")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigurationError, match=sentence):
        open_source(tmp_path / name, options)


def test_videos_of_one_folder_that_differ_in_their_suffix_alone(tmp_path: Path) -> None:
    files = ["day/a.mp4", "day/a.mkv", "day/a", "day/A_mp4.mov"]
    (tmp_path / "day").mkdir()
    for name in files:
        (tmp_path / name).write_bytes(b"\0\0\0\x20ftypisom" + bytes(30))
    groups = group_inputs([tmp_path / name for name in files])
    assert [group.name for group in groups] == ["a_mp4", "a_mkv", "a", "A_mp4_2"]


def test_pictures_together_are_one_recording_and_names_are_told_apart(tmp_path: Path) -> None:
    for name in ("day1/front.mp4", "day2/front.mp4", "day2/rear.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"\0\0\0\x20ftypisom" + bytes(30))
    for name in ("shots/b2.png", "shots/b10.png", "album/1.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(PNG)
    words = ["day*/*.mp4", "shots/b*.png", "album", "day2/front.mp4"]
    groups = group_inputs([tmp_path / word for word in words])
    assert [(group.name, len(group.paths)) for group in groups] == [
        *(("day1_front", 1), ("day2_front", 1), ("rear", 1)),
        *(("shots", 2), ("album", 1)),
    ]
    assert [path.name for path in groups[3].paths] == ["b2.png", "b10.png"]
    with pytest.raises(InputError, match="fits this pattern"):
        group_inputs([tmp_path / "*.mov"])

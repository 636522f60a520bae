# SPDX-License-Identifier: Apache-2.0
"""A bag gives its frames whatever wrote it: storages, versions, compressions, libraries."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rosbags")
pytest.importorskip("mcap")
from support.bags import (
    CAMERA_INFO,
    IMAGE,
    SECOND,
    START,
    Recorded,
    a_camera,
    image,
    info,
    metadata_text,
    picture,
    text,
    write_mcap,
    write_ros1,
    write_rosbags,
    write_sqlite,
)

from mtinet_ros.errors import InputError
from mtinet_ros.recordings.bag_source import BagSource
from mtinet_ros.recordings.frame import Interval, PassedMessage, RecordedFrame

RECORDED = [
    *a_camera(frames=4),
    Recorded("/words", "std_msgs/msg/String", START + SECOND // 4, text("hello")),
]


def frames_of(source: BagSource, interval: Interval | None = None) -> list[RecordedFrame]:
    return [
        item for item in source.read(interval or Interval()) if isinstance(item, RecordedFrame)
    ]


def check_frames(path: Path, problems: Iterable[str] = ()) -> None:
    """The frames of `RECORDED`, and what is told of them: each a part of a sentence."""
    source = BagSource(path)
    try:
        (camera,) = source.cameras
        assert (camera.name, camera.topic, camera.frames) == ("front", "/front/image_raw", 4)
        frames = frames_of(source)
        assert [frame.time - START for frame in frames] == [
            1_000_000, 101_000_000, 201_000_000, 301_000_000,
        ]  # fmt: skip
        for number, frame in enumerate(frames):
            assert frame.header.stamp == START + number * SECOND // 10
            assert frame.header.frame_id == "front_optical_frame"
            assert frame.name == f"front/1700000000_{frame.time - START:09d}"
            decoded = frame.decode()
            assert np.array_equal(decoded.image, picture(number))
            assert decoded.camera is not None
            assert decoded.camera.focal_lengths == (20.0, 20.0)
        assert len(source.problems) == len(list(problems)), source.problems
        for part in problems:
            assert any(part in problem for problem in source.problems), source.problems
    finally:
        source.close()


@pytest.mark.parametrize("version", [8, 9])
@pytest.mark.parametrize(
    ("storage", "compression"),
    [
        *itertools.product(["mcap", "sqlite3"], ["none", "file", "message"]),
        ("mcap", "storage"),
    ],
)
def test_bags_of_rosbags_writer(
    tmp_path: Path, storage: str, compression: str, version: int
) -> None:
    check_frames(write_rosbags(tmp_path / "bag", RECORDED, storage, version, compression))


@pytest.mark.parametrize("schema", [1, 2, 3, 4])
def test_sqlite_files_of_every_version_of_the_tables(tmp_path: Path, schema: int) -> None:
    check_frames(write_sqlite(tmp_path / "bag_0.db3", RECORDED, schema))


def mcap_options() -> dict[str, dict[str, Any]]:
    from mcap.writer import CompressionType, IndexType

    small = {"chunk_size": 1000}
    return {
        "lz4": {"compression": CompressionType.LZ4, **small},
        "uncompressed": {"compression": CompressionType.NONE, **small},
        "one chunk": {"compression": CompressionType.ZSTD},
        "no chunks": {"use_chunking": False},
        "no chunks, no statistics": {"use_chunking": False, "use_statistics": False},
        "no message indexes": {"index_types": IndexType.CHUNK, **small},
        "no chunk indexes": {"index_types": IndexType.MESSAGE, **small},
        "no indexes": {"index_types": IndexType.NONE, **small},
        "no statistics": {"use_statistics": False, **small},
        "no channels": {"repeat_channels": False, "repeat_schemas": False, **small},
        "no summary": {
            "index_types": IndexType.NONE, "use_statistics": False, "repeat_channels": False,
            "repeat_schemas": False, "use_summary_offsets": False, **small,
        },
        "no checksums": {"enable_crcs": False, **small},
        "another profile": {"profile": "", **small},
    }  # fmt: skip


@pytest.mark.parametrize("options", list(mcap_options().values()), ids=list(mcap_options()))
def test_mcap_files_of_a_foreign_writer(tmp_path: Path, options: dict[str, Any]) -> None:
    check_frames(write_mcap(tmp_path / "drive.mcap", RECORDED, **options))


def test_names_of_types_as_the_first_ros_2_had_them(tmp_path: Path) -> None:
    path = write_sqlite(tmp_path / "bag.db3", RECORDED, schema=1)
    with sqlite3.connect(path) as database:
        database.execute("UPDATE topics SET type = replace(type, '/msg/', '/')")
    database.close()
    check_frames(path)


def test_an_mcap_of_ros_1(tmp_path: Path) -> None:
    from rosbags.rosbag1 import Reader

    with Reader(write_ros1(tmp_path / "drive.bag", RECORDED)) as reader:
        recorded = [
            Recorded(connection.topic, connection.msgtype, time, bytes(data))
            for connection, time, data in reader.messages()
        ]
    path = write_mcap(tmp_path / "a.mcap", recorded, profile="ros1", message_encoding="ros1")
    check_frames(path)


def test_a_bag_of_ros_1(tmp_path: Path) -> None:
    check_frames(write_ros1(tmp_path / "drive.bag", RECORDED))


# By version of metadata.yaml: the SQLite tables of its time.
SCHEMAS = {1: 1, 2: 1, 3: 2, 4: 2, 5: 3, 6: 4, 7: 4, 8: 4, 9: 4}


@pytest.mark.parametrize("storage", ["sqlite3", "mcap"])
@pytest.mark.parametrize("version", range(1, 10))
def test_metadata_of_every_version(tmp_path: Path, version: int, storage: str) -> None:
    """In eleven files, so that the names' order is not that of time."""
    folder = tmp_path / "drive"
    folder.mkdir()
    names = []
    for number, one in enumerate([*RECORDED, RECORDED[-1], RECORDED[-1]]):
        names.append(f"drive_{number}.{'mcap' if storage == 'mcap' else 'db3'}")
        if storage == "mcap":
            write_mcap(folder / names[-1], [one])
        else:
            write_sqlite(folder / names[-1], [one], SCHEMAS[version])
    metadata = metadata_text(version, storage, names, [*RECORDED, RECORDED[-1], RECORDED[-1]])
    (folder / "metadata.yaml").write_text(metadata)
    check_frames(folder)
    check_frames(folder / "metadata.yaml")
    (folder / "metadata.yaml").unlink()
    check_frames(folder, ["has no metadata.yaml; the files of the folder were read: drive_0."])


def interleaved() -> list[Recorded]:
    """Two cameras, written out of order and several at one time."""
    recorded = []
    for number in range(30):
        for camera in ("/front", "/rear"):
            stamp = START + number * SECOND // 10
            time = stamp - stamp % (SECOND // 4)  # several at one time
            pixels = picture(2 * number + (camera == "/rear"))
            recorded.append(Recorded(f"{camera}/image_raw", IMAGE, time, image(stamp, pixels)))
            recorded.append(Recorded(f"{camera}/camera_info", CAMERA_INFO, time, info(stamp)))
    return [*recorded[40:], *recorded[:40]]


def written_interleaved(folder: Path) -> dict[str, Path]:
    recorded = interleaved()
    folder.mkdir()
    split = folder / "split"
    split.mkdir()
    for number in range(3):  # files whose times overlap
        write_mcap(split / f"b_{number}.mcap", recorded[number::3], chunk_size=3000)
    return {
        "chunks": write_mcap(folder / "a.mcap", recorded, chunk_size=3000),
        "one chunk": write_mcap(folder / "b.mcap", recorded),
        "no chunks": write_mcap(folder / "c.mcap", recorded, use_chunking=False),
        "sqlite": write_sqlite(folder / "d.db3", recorded),
        "split": split,
    }


def test_frames_of_several_cameras_come_in_order_of_time_then_as_recorded(tmp_path: Path) -> None:
    recorded = [one for one in interleaved() if one.type_name == IMAGE]
    in_order = sorted(recorded, key=lambda one: one.time)  # stable
    for name, path in written_interleaved(tmp_path / "bags").items():
        source = BagSource(path)
        assert {camera.name for camera in source.cameras} == {"front", "rear"}
        frames = frames_of(source)
        assert len({frame.name for frame in frames}) == len(frames) == 60
        assert [frame.time for frame in frames] == [one.time for one in in_order]
        if name == "split":  # in one file after the other, where times are equal
            continue
        assert [(frame.camera, frame.header.stamp) for frame in frames] == [
            (
                one.topic.split("/")[1],
                one.message.header.stamp.sec * SECOND + one.message.header.stamp.nanosec,
            )
            for one in in_order
        ]
        for frame, one in zip(frames, in_order, strict=True):
            assert np.array_equal(frame.decode().image.ravel(), one.message.data)


def test_files_follow_each_other_by_number_where_times_are_equal(tmp_path: Path) -> None:
    for number in (10, 9, 2, 1):
        stamp = START + number
        one = Recorded("/front/image_raw", IMAGE, START, image(stamp))
        write_mcap(tmp_path / f"drive_{number}.mcap", [one])
    source = BagSource(tmp_path)
    assert [frame.header.stamp - START for frame in frames_of(source)] == [1, 2, 9, 10]


def test_parts_of_the_time_make_the_whole(tmp_path: Path) -> None:
    """Under the same names, which `_2` and `_3` are part of."""
    for path in written_interleaved(tmp_path / "bags").values():
        source = BagSource(path)
        whole = frames_of(source)
        names = {frame.name: frame for frame in whole}
        assert any(name.endswith("_3") for name in names)
        first, last = source.interval().start, source.interval().end
        assert first is not None
        assert last is not None
        assert first == min(frame.time for frame in whole)
        assert last == max(frame.time for frame in whole) + 1
        for parts in (2, 7):
            bounds = [first + (last - first) * part // parts for part in range(parts + 1)]
            joined = [
                frame
                for begin, end in itertools.pairwise(bounds)
                for frame in frames_of(source, Interval(begin, end))
            ]
            assert [frame.name for frame in joined] == [frame.name for frame in whole]
        assert frames_of(source, Interval(None, whole[20].time)) != []
        assert frames_of(source, Interval(last)) == []
        source.close()


@pytest.mark.parametrize("compression", ["none", "message"])
def test_other_messages_are_passed_on_as_they_are(tmp_path: Path, compression: str) -> None:
    source = BagSource(write_rosbags(tmp_path / "bag", RECORDED, "mcap", 9, compression))
    items = list(source.read(Interval(), with_other_messages=True))
    in_order = sorted(RECORDED, key=lambda one: one.time)
    assert [item.time for item in items] == [one.time for one in in_order]
    for item, one in zip(items, in_order, strict=True):
        passed = item if isinstance(item, PassedMessage) else item.message
        assert passed is not None
        assert (passed.topic, passed.type_name) == (one.topic, one.type_name)
        assert passed.data == one.cdr()
        assert passed.connection.serialization == "cdr"
        assert passed.connection.definition_format == "ros2msg"
        assert passed.connection.digest.startswith("RIHS01_") or passed.connection.definition
    assert sum(isinstance(item, RecordedFrame) for item in items) == 4
    assert all(frame.message is None for frame in frames_of(source))


def test_topics_that_are_asked_for(tmp_path: Path) -> None:
    depth = np.full((12, 16), 1000, np.uint16)
    recorded = [
        *RECORDED,
        *a_camera(2, "/rear"),
        Recorded("/depth/image", IMAGE, START, image(START, depth, "16UC1")),
    ]
    path = write_mcap(tmp_path / "bag.mcap", recorded)
    source = BagSource(path)
    assert [camera.name for camera in source.cameras] == ["front", "rear"]
    assert any("/depth/image (is 16UC1)" in problem for problem in source.problems)
    source = BagSource(path, ["/rear/image_raw"])
    assert [(camera.name, camera.frames) for camera in source.cameras] == [("rear", 2)]
    assert {frame.camera for frame in frames_of(source)} == {"rear"}
    others = list(source.read(Interval(), with_other_messages=True))
    assert sum(isinstance(item, RecordedFrame) for item in others) == 2
    assert len(others) == len(recorded)


def test_a_calibration_on_another_topic(tmp_path: Path) -> None:
    recorded = [
        Recorded("/cam/image_raw", IMAGE, START + 5, image(START)),
        Recorded("/calibration", CAMERA_INFO, START, info(START, 33.0)),
    ]
    path = write_mcap(tmp_path / "bag.mcap", recorded)
    source = BagSource(path)
    assert frames_of(source)[0].decode().camera is None
    hint, consequence = source.problems
    assert hint == (
        f"{path}: cam: there is no CameraInfo on /cam/camera_info; CameraInfo is on /calibration"
    )
    assert consequence.startswith(
        f"{path}: cam: camera_info none received on /cam/camera_info, so depth"
    )
    named = BagSource(path, camera_info_topics={"cam": "/calibration"})
    camera = frames_of(named)[0].decode().camera
    assert camera is not None
    assert camera.focal_lengths == (33.0, 33.0)
    assert named.problems == []
    with pytest.raises(InputError, match="no CameraInfo on /calib; CameraInfo is on /calibration"):
        BagSource(path, camera_info_topics={"cam": "/calib"})


def test_what_is_odd_about_headers_is_told_once(tmp_path: Path) -> None:
    stamps = [START, START + SECOND, 0, START, START + 5 * SECOND, START + SECOND]
    recorded = [
        Recorded("/cam/image_raw", IMAGE, START + at * SECOND, image(stamp, frame_id="cam"))
        for at, stamp in enumerate(stamps)
    ]
    source = BagSource(write_mcap(tmp_path / "bag.mcap", recorded))
    frames = frames_of(source)
    assert [frame.header.stamp for frame in frames] == stamps
    assert [frame.time - START for frame in frames] == [at * SECOND for at in range(6)]
    subjects = sorted(problem.split(": ")[2].split(" ")[0] for problem in source.problems)
    assert subjects == ["frame_id", "stamp", "stamp"]
    assert any("jumped back by more than a second" in problem for problem in source.problems)


def test_rectification_can_be_left_out(tmp_path: Path) -> None:
    recorded = [
        Recorded("/cam/image_raw", IMAGE, START, image(START)),
        Recorded("/cam/camera_info", CAMERA_INFO, START, info(START, bend=-0.3)),
    ]
    path = write_mcap(tmp_path / "bag.mcap", recorded)
    (as_it_is,) = frames_of(BagSource(path, rectify=False))
    assert np.array_equal(as_it_is.decode().image, picture(0))
    (straight,) = frames_of(BagSource(path))
    assert not np.array_equal(straight.decode().image, picture(0))

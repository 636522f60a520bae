# SPDX-License-Identifier: Apache-2.0
"""A bag gives its frames whatever wrote it: storages, versions, compressions, libraries."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rosbags")
from support.bags import (
    SECOND,
    START,
    Recorded,
    a_camera,
    picture,
    text,
    write_mcap,
    write_ros1,
    write_rosbags,
    write_sqlite,
)

from mtinet_ros.recordings.bag_source import BagSource
from mtinet_ros.recordings.frame import Interval, RecordedFrame

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


def test_a_bag_of_ros_1(tmp_path: Path) -> None:
    check_frames(write_ros1(tmp_path / "drive.bag", RECORDED))

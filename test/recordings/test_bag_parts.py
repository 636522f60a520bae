# SPDX-License-Identifier: Apache-2.0
"""Parts of a bag: what is left when a run breaks off, and what is passed on as it was recorded."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("rosbags")
from rosbags.rosbag2 import Reader
from support.bag_frames import (
    ALL,
    START,
    foreign_messages,
    frame,
    metadata,
    rosbags_messages,
    write,
)
from support.tiny_model import tiny_card

from mtinet_ros.errors import ConfigurationError, InputError
from mtinet_ros.recordings.bag_sink import BagSink
from mtinet_ros.recordings.bag_storage import Channel
from mtinet_ros.recordings.bag_types import open_typestore
from mtinet_ros.recordings.frame import Header, PassedMessage

# Breaking off


def test_a_killed_part_leaves_nothing_that_looks_whole(tmp_path: Path) -> None:
    folder = tmp_path / "bag"
    sink = BagSink(folder, tiny_card(), ALL)
    sink.begin_part(1)
    write(sink, frame(0))
    sink.finish([sink.end_part()])
    child = os.fork()
    if child == 0:  # without OpenCV, which may wait for ever in a process that was forked
        sink.begin_part(2)
        for index in range(40_000):
            sink.pass_on(passed("/beat", "std_msgs/msg/Float64", PLAIN, START + index))
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    visible = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    assert visible == {"bag_1.mcap", "metadata.yaml"}
    assert (folder / ".bag_2.mcap.part").stat().st_size > 1_000_000
    assert len(rosbags_messages(folder)) == 12
    sink = BagSink(folder, tiny_card(), ALL)
    sink.begin_part(2)
    write(sink, frame(1))
    first = yaml.safe_load((folder / "metadata.yaml").read_text())
    record = sink.end_part()
    assert yaml.safe_load((folder / "metadata.yaml").read_text()) == first
    assert sorted(path.name for path in folder.iterdir()) == [
        "bag_1.mcap",
        "bag_2.mcap",
        "metadata.yaml",
    ]
    assert record["file"] == "bag_2.mcap"


def test_a_part_that_was_whole_but_not_told_is_made_again(tmp_path: Path) -> None:
    """A kill between the end of a part and its line in the journal."""
    for frames in ((0, 1), (0,)):
        sink = BagSink(tmp_path / "bag", tiny_card(), ALL)
        sink.begin_part(1)
        write(sink, *map(frame, frames))
        record = sink.end_part()
    sink.finish([record])
    assert len(rosbags_messages(tmp_path / "bag")) == 12


def test_a_discarded_and_an_empty_part_leave_no_file(tmp_path: Path) -> None:
    sink = BagSink(tmp_path / "bag", tiny_card(), ALL)
    sink.begin_part(1)
    write(sink, frame(0))
    sink.discard_part()
    assert list((tmp_path / "bag").iterdir()) == []
    sink.begin_part(1)
    empty = json.loads(json.dumps(sink.end_part()))
    sink.begin_part(2)
    write(sink, frame(0))
    sink.finish([empty, sink.end_part()])
    assert metadata(tmp_path / "bag")["relative_file_paths"] == ["bag_2.mcap"]


def test_a_folder_with_the_name_of_a_file_does_not_name_its_files_twice(tmp_path: Path) -> None:
    for name, file in (("out.mcap", "out_1.mcap"), ("v1.2", "v1.2_1.mcap")):
        sink = BagSink(tmp_path / name, tiny_card(), ALL)
        sink.begin_part(1)
        write(sink, frame(0))
        assert sink.end_part()["file"] == file


def test_parts_of_two_processes_become_one_bag_in_order_of_time(tmp_path: Path) -> None:
    late, early = (BagSink(tmp_path / "bag", tiny_card(), ALL) for _ in range(2))
    records = []
    for sink, first, indices in ((late, 1, (5, 6)), (early, 1001, (0, 1))):
        for number, index in enumerate(indices, first):
            sink.begin_part(number)
            write(sink, frame(index))
            records.append(sink.end_part())
    late.finish(records)
    told = metadata(tmp_path / "bag")
    assert told["relative_file_paths"] == [
        *("bag_1001.mcap", "bag_1002.mcap"),
        *("bag_1.mcap", "bag_2.mcap"),
    ]
    times = [time for _, _, time, _ in rosbags_messages(tmp_path / "bag")]
    assert times == sorted(times)
    assert len(times) == 4 * 12
    late.finish(records[2:])
    assert metadata(tmp_path / "bag")["relative_file_paths"] == ["bag_1001.mcap", "bag_1002.mcap"]
    (tmp_path / "bag" / "bag_1.mcap").unlink()
    with pytest.raises(InputError, match=r"bag_1\.mcap is missing"):
        late.finish(records)


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_a_full_disk_is_one_sentence_and_what_was_whole_stays(
    tmp_path: Path, storage: str
) -> None:
    folder = tmp_path / "bag"
    sink = BagSink(folder, tiny_card(), ALL, storage=storage)
    sink.begin_part(1)
    write(sink, frame(0))
    sink.finish([sink.end_part()])
    sink.begin_part(2)
    assert sink._part is not None
    writer: Any = sink._part._writer
    if storage == "mcap":
        with Path("/dev/full").open("wb") as full:
            os.dup2(full.fileno(), writer._file.fileno())
    else:
        writer._database.execute("PRAGMA max_page_count = 20")

    def fill() -> None:
        write(sink, *map(frame, range(1, 2000)))
        sink.end_part()

    with pytest.raises(InputError) as told:
        fill()
    sink.discard_part()
    sentence = str(told.value)
    assert sentence.startswith(f"cannot write {folder}/bag_2.")
    assert "full" in sentence or "No space left on device" in sentence
    assert sentence.endswith("; make room")
    assert len(rosbags_messages(folder)) == 12
    assert len(list(folder.iterdir())) == 2


def test_a_folder_that_is_gone_or_none_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot make the folder"):
        BagSink(tmp_path / "file" / "bag", tiny_card(), ALL)
    sink = BagSink(tmp_path / "bag", tiny_card(), ALL)
    (tmp_path / "bag").rmdir()
    with pytest.raises(InputError, match=r"cannot write .*bag_1\.mcap: No such file"):
        sink.begin_part(1)
    sink.discard_part()
    with pytest.raises(InputError, match=r"cannot write .*metadata\.yaml"):
        sink.finish([])


# What is passed on

BATTERY = "float32 charge\nmy_msgs/Cell[] cells\n" + "=" * 80 + "\nMSG: my_msgs/Cell\nuint8 id\n"


BEST_EFFORT = """
- history: keep_last
  depth: 5
  reliability: best_effort
  durability: volatile
  deadline: {sec: 9223372036, nsec: 854775807}
  lifespan: {sec: 9223372036, nsec: 854775807}
  liveliness: automatic
  liveliness_lease_duration: {sec: 9223372036, nsec: 854775807}
  avoid_ros_namespace_conventions: false
"""


PLAIN = Channel("", "", "cdr")


def passed(topic: str, type_name: str, channel: Channel, time: int = START) -> PassedMessage:
    channel = replace(channel, topic=topic, type_name=type_name)
    return PassedMessage(topic, type_name, time, b"\0\1\0\0\0\0\x80\x3f\0\0\0\0", channel)


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_what_is_passed_on_is_as_it_was_recorded(tmp_path: Path, storage: str) -> None:
    custom = replace(PLAIN, definition=BATTERY, definition_format="ros2msg", qos=BEST_EFFORT)
    sink = BagSink(tmp_path / "bag", tiny_card(), ALL, storage=storage)
    sink.begin_part(1)
    sink.pass_on(passed("/battery", "my_msgs/msg/Battery", custom))
    write(sink, frame(0))
    sink.pass_on(passed("/battery", "my_msgs/msg/Battery", custom, START + 1))
    sink.finish([sink.end_part()])
    assert sink.problems == []
    with Reader(tmp_path / "bag") as reader:
        battery = reader.topics["/battery"]
        (connection,) = battery.connections
        assert (battery.msgtype, battery.msgcount) == ("my_msgs/msg/Battery", 2)
        assert connection.msgdef.data == BATTERY
        assert connection.digest.startswith("RIHS01_")
        (qos,) = connection.ext.offered_qos_profiles  # type: ignore[union-attr]
        assert (qos.reliability.name, qos.depth) == ("BEST_EFFORT", 5)
    messages = [m for m in rosbags_messages(tmp_path / "bag") if m[0] == "/battery"]
    data = passed("", "", custom).data
    assert [(time, content) for _, _, time, content in messages] == [
        (START, data),
        (START + 1, data),
    ]
    if storage == "mcap":
        decoded = [m[3] for m in foreign_messages(tmp_path / "bag" / "bag_1.mcap")]
        assert decoded[0].charge == 1.0
        (told,) = [
            t
            for t in metadata(tmp_path / "bag")["topics_with_message_count"]
            if t["topic_metadata"]["name"] == "/battery"
        ]
        (offered,) = yaml.safe_load(told["topic_metadata"]["offered_qos_profiles"])
        assert offered["reliability"] == 2  # best effort, the number that Humble reads


def test_a_type_without_a_definition_is_looked_up_or_kept_and_told_once(tmp_path: Path) -> None:
    """Bags up to Humble have no definitions."""
    sink = BagSink(tmp_path / "bag", tiny_card(), ALL)
    sink.begin_part(1)
    for index in range(3):
        sink.pass_on(passed("/battery", "my_msgs/msg/Battery", PLAIN, START + index))
        sink.pass_on(passed("/charge", "std_msgs/msg/Float64", PLAIN, START + index))
    sink.finish([sink.end_part()])
    (problem,) = sink.problems
    assert "/battery is kept" in problem
    assert "no definition of my_msgs/msg/Battery" in problem
    assert len(rosbags_messages(tmp_path / "bag")) == 6
    highlevel = pytest.importorskip("rosbags.highlevel")
    with highlevel.AnyReader([tmp_path / "bag"]) as reader:  # it looks at all definitions
        kinds = {connection.topic: connection.digest for connection in reader.connections}
    assert kinds["/battery"] == ""
    assert kinds["/charge"] == open_typestore().hash_rihs01("std_msgs/msg/Float64")
    names = [m[1].topic for m in foreign_messages(tmp_path / "bag" / "bag_1.mcap")]
    assert names.count("/battery") == 3


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
@pytest.mark.parametrize("time", [-1, 2**63])
def test_times_that_no_bag_can_have_spoil_none(tmp_path: Path, storage: str, time: int) -> None:
    sink = BagSink(tmp_path / "bag", tiny_card(), ALL, storage=storage)
    sink.begin_part(1)
    sink.pass_on(passed("/beat", "std_msgs/msg/Float64", PLAIN, time))
    with pytest.raises(
        InputError, match=rf"/perception/front/.* recorded at {time} ns; a bag allows"
    ):
        write(sink, replace(frame(0), time=time))
    write(sink, replace(frame(0), header=Header(2**32 * 1_000_000_000 - 1, "late")))
    sink.finish([sink.end_part()])
    assert len(rosbags_messages(tmp_path / "bag")) >= 10


def test_a_type_without_fields_is_nothing_to_tell_of(tmp_path: Path) -> None:
    channel = replace(PLAIN, definition="", definition_format="ros2msg")
    sink = BagSink(tmp_path / "bag", tiny_card(), ALL)
    sink.begin_part(1)
    sink.pass_on(passed("/beat", "std_msgs/msg/Empty", channel))
    sink.finish([sink.end_part()])
    assert sink.problems == []
    with Reader(tmp_path / "bag") as reader:
        (connection,) = reader.connections
    assert connection.msgdef.data == ""
    # As rosidl says: rosidl_generate_interfaces' std_msgs/msg/Empty.json.
    assert connection.digest == (
        "RIHS01_20b625256f32d5dbc0d04fee44f43c41e51c70d3502f84b4a08e7a9c26a96312"
    )


@pytest.mark.parametrize(
    ("topic", "channel", "why"),
    [
        ("/imu", replace(PLAIN, serialization="protobuf"), "serialized as protobuf"),
        ("/perception/front/depth/image", PLAIN, "has the same name"),
    ],
)
def test_what_would_spoil_the_bag_is_left_out_and_told_once(
    tmp_path: Path, topic: str, channel: Channel, why: str
) -> None:
    sink = BagSink(tmp_path / "bag", tiny_card(), ALL)
    sink.begin_part(1)
    for _ in range(2):
        sink.pass_on(passed(topic, "sensor_msgs/msg/Image", channel))
    write(sink, frame(0))
    sink.end_part()
    (problem,) = sink.problems
    assert topic in problem
    assert why in problem

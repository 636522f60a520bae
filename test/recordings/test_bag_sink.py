# SPDX-License-Identifier: Apache-2.0
"""The bag that comes out: what strangers read in it, and what is left of it when a run breaks off.

Read back by `mcap` with `mcap-ros2-support`, which share no code with what writes, by SQLite, by
rosbags, and by rclpy where it is installed.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

pytest.importorskip("rosbags")
from rosbags.typesys import Stores, get_typestore
from support.bag_frames import (
    ALL,
    SECOND,
    START,
    H,
    W,
    foreign_messages,
    frame,
    metadata,
    predicted,
    prediction,
    rosbags_messages,
    write,
    write_bag,
)
from support.tiny_model import tiny_card

from mtinet_ros.errors import ConfigurationError, InputError
from mtinet_ros.messages.output_topics import (
    ClassClouds,
    legend_messages,
    output_topics,
)
from mtinet_ros.perception.point_cloud import point_cloud
from mtinet_ros.recordings.bag_sink import BagSink, topic_token
from mtinet_ros.recordings.bag_types import open_typestore

IMAGES = {
    "segmentation/image": ("mono8", np.uint8, 1),
    "segmentation/color": ("rgb8", np.uint8, 3),
    "segmentation/overlay": ("rgb8", np.uint8, 3),
    "depth/image": ("32FC1", np.float32, 1),
    "normals/image": ("32FC3", np.float32, 3),
    "normals/color": ("rgb8", np.uint8, 3),
}
INFOS = ("segmentation/camera_info", "depth/camera_info", "normals/camera_info")
LEGENDS = ("segmentation/label_info_json", "segmentation/label_info")


def stamp_of(message: Any) -> int:
    return int(message.header.stamp.sec) * SECOND + int(message.header.stamp.nanosec)


def test_a_stranger_finds_every_topic_pixel_for_pixel_under_the_header_of_its_image(
    tmp_path: Path,
) -> None:
    write_bag(tmp_path / "bag")
    found: dict[str, list[tuple[Any, Any]]] = {}
    types: dict[str, str] = {}
    for number in (1, 2):
        for schema, channel, message, decoded in foreign_messages(
            tmp_path / "bag" / f"bag_{number}.mcap"
        ):
            assert (schema.encoding, channel.message_encoding) == ("ros2msg", "cdr")
            name = channel.topic.removeprefix("/perception/front/")
            types[name] = schema.name
            found.setdefault(name, []).append((message, decoded))
    assert types == {
        **dict.fromkeys(IMAGES, "sensor_msgs/msg/Image"),
        **dict.fromkeys(INFOS, "sensor_msgs/msg/CameraInfo"),
        "points": "sensor_msgs/msg/PointCloud2",
        "segmentation/label_info_json": "std_msgs/msg/String",
        "segmentation/label_info": "vision_msgs/msg/LabelInfo",
    }
    frames = [frame(index) for index in range(5)]
    for name in (*IMAGES, *INFOS, "points"):
        assert len(found[name]) == 5
        for one, (message, decoded) in zip(frames, found[name], strict=True):
            assert message.log_time == message.publish_time == one.time
            assert stamp_of(decoded) == one.header.stamp
            assert decoded.header.frame_id == "front_optical_frame"
            assert (decoded.height, decoded.width) == (H, W)
            truth = predicted(one)
            if name in IMAGES:
                encoding, dtype, channels = IMAGES[name]
                step = W * channels * np.dtype(dtype).itemsize
                assert (decoded.encoding, decoded.step) == (encoding, step)
                assert decoded.is_bigendian == (sys.byteorder == "big")
                arrays = {
                    "segmentation/image": truth.labels,
                    "depth/image": truth.depth,
                    "normals/image": truth.normals,
                }
                if name in arrays:
                    assert bytes(decoded.data) == np.ascontiguousarray(arrays[name]).tobytes()
                assert len(decoded.data) == H * step
            elif name in INFOS:
                assert list(decoded.k) == [9.0, 0, 4.5, 0, 9.5, 3.5, 0, 0, 1]
                assert decoded.roi.width == decoded.binning_x == 0
            else:
                assert bytes(decoded.data) == point_cloud(truth).tobytes()
                names = [(field.name, field.offset, field.datatype) for field in decoded.fields]
                assert names[:4] == [("x", 0, 7), ("y", 4, 7), ("z", 8, 7), ("rgb", 12, 7)]
                assert names[4] == ("label", 16, 6)


@pytest.mark.parametrize("compression", ["", "zstd"])
def test_a_stranger_reads_it_from_front_to_back_and_by_its_summary(
    tmp_path: Path, compression: str
) -> None:
    """A pipe has no end to begin at; an index that lies would show as other messages."""
    pytest.importorskip("mcap")
    from mcap.reader import NonSeekingReader, SeekingReader

    write_bag(tmp_path / "bag", compression=compression)
    with (tmp_path / "bag" / "bag_1.mcap").open("rb") as file:
        streamed = [
            (channel.topic, message.log_time, message.sequence, message.data)
            for _, channel, message in NonSeekingReader(file, validate_crcs=True).iter_messages()
        ]
        file.seek(0)
        reader = SeekingReader(file, validate_crcs=True)
        indexed = [
            (channel.topic, message.log_time, message.sequence, message.data)
            for _, channel, message in reader.iter_messages()
        ]
        summary = reader.get_summary()
        (told,) = reader.iter_metadata()
        (only,) = reader.iter_messages(
            ["/perception/front/depth/image"],
            starting_at=START + SECOND // 10,
            ending_before=START + 2 * SECOND // 10,
        )
        header = reader.get_header()
    assert sorted(streamed) == sorted(indexed)
    assert len(streamed) == 32
    assert only[2].log_time == frame(1).time
    assert header.profile == "ros2"
    assert summary is not None
    assert summary.statistics is not None
    assert summary.statistics.message_count == 32
    assert summary.statistics.message_start_time == START
    assert summary.statistics.message_end_time == frame(2).time
    counts = {
        summary.channels[number].topic: count
        for number, count in summary.statistics.channel_message_counts.items()
    }
    assert counts["/perception/front/points"] == 3
    inside = yaml.safe_load(told.metadata["serialized_metadata"])
    assert (told.name, inside["version"], inside["message_count"]) == ("rosbag2", 8, 32)
    assert inside["relative_file_paths"] == ["bag_1.mcap"]


def test_the_legend_is_at_the_start_of_every_part_and_latched(tmp_path: Path) -> None:
    """A part that is played alone has it, for who subscribes late too."""
    write_bag(tmp_path / "bag")
    card = tiny_card()
    for number, first in ((1, 0), (2, 3)):
        messages = list(foreign_messages(tmp_path / "bag" / f"bag_{number}.mcap"))
        assert {m[1].topic.removeprefix("/perception/front/") for m in messages[:2]} == {*LEGENDS}
        assert {m[2].log_time for m in messages[:2]} == {frame(first).time}
        legends = {message[1].topic.rpartition("/")[2]: message[3] for message in messages[:2]}
        legend = json.loads(legends["label_info_json"].data)
        assert [entry["name"] for entry in legend["classes"]] == list(card.class_names)
        class_map = legends["label_info"].class_map
        assert [(c.class_id, c.class_name) for c in class_map] == list(enumerate(card.class_names))
        # 1: transient local, as rmw numbers it; the others are volatile, 2.
        for _, channel, _, _ in messages:
            (offered,) = yaml.safe_load(channel.metadata["offered_qos_profiles"])
            name = channel.topic.removeprefix("/perception/front/")
            assert offered["durability"] == (1 if name in LEGENDS else 2)
            assert (offered["reliability"], offered["history"], offered["depth"]) == (1, 1, 1)


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_metadata_is_what_humble_jazzy_and_kilted_read(tmp_path: Path, storage: str) -> None:
    """Version 9 has lists where Humble's reader wants a text: rosbag2_storage/yaml.hpp."""
    write_bag(tmp_path / "bag", storage=storage)
    told = metadata(tmp_path / "bag")
    suffix = {"mcap": "mcap", "sqlite3": "db3"}[storage]
    assert (told["version"], told["storage_identifier"]) == (8, storage)
    assert told["relative_file_paths"] == [f"bag_1.{suffix}", f"bag_2.{suffix}"]
    assert told["starting_time"] == {"nanoseconds_since_epoch": START}
    assert told["duration"] == {"nanoseconds": 4 * SECOND // 10}
    legends, per_frame = 2, 10
    assert told["message_count"] == 2 * legends + 5 * per_frame
    assert told["files"] == [
        {
            "path": f"bag_1.{suffix}",
            "starting_time": {"nanoseconds_since_epoch": START},
            "duration": {"nanoseconds": 2 * SECOND // 10},
            "message_count": legends + 3 * per_frame,
        },
        {
            "path": f"bag_2.{suffix}",
            "starting_time": {"nanoseconds_since_epoch": START + 3 * SECOND // 10},
            "duration": {"nanoseconds": SECOND // 10},
            "message_count": legends + 2 * per_frame,
        },
    ]
    counts = {}
    for topic in told["topics_with_message_count"]:
        assert isinstance(topic["topic_metadata"]["offered_qos_profiles"], str)
        assert topic["topic_metadata"]["serialization_format"] == "cdr"
        counts[topic["topic_metadata"]["name"]] = topic["message_count"]
    assert counts["/perception/front/depth/image"] == 5
    assert counts["/perception/front/segmentation/label_info"] == 2
    assert (told["compression_format"], told["compression_mode"]) == ("", "")
    assert told["custom_data"]["mtinet_ros.model"] == "tiny"
    assert sorted(path.name for path in (tmp_path / "bag").iterdir()) == [
        f"bag_1.{suffix}",
        f"bag_2.{suffix}",
        "metadata.yaml",
    ]


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_both_formats_hold_the_same(tmp_path: Path, storage: str) -> None:
    write_bag(tmp_path / "bag", storage=storage)
    write_bag(tmp_path / "plain")
    assert rosbags_messages(tmp_path / "bag") == rosbags_messages(tmp_path / "plain")
    assert len(rosbags_messages(tmp_path / "bag")) == 54


def test_sqlite_is_read_without_any_reader_of_bags(tmp_path: Path) -> None:
    write_bag(tmp_path / "bag", storage="sqlite3")
    with sqlite3.connect(tmp_path / "bag" / "bag_2.db3") as database:
        rows = database.execute(
            "SELECT timestamp, data FROM messages JOIN topics ON topic_id = topics.id "
            "WHERE name = '/perception/front/depth/image' ORDER BY timestamp"
        ).fetchall()
        definitions = dict(
            database.execute("SELECT topic_type, type_description_hash FROM message_definitions")
        )
    assert [time for time, _ in rows] == [frame(3).time, frame(4).time]
    depth = predicted(frame(3)).depth
    assert depth is not None
    assert rows[0][1].endswith(depth.tobytes())
    message: Any = get_typestore(Stores.ROS2_JAZZY).deserialize_cdr(
        rows[0][1], "sensor_msgs/msg/Image"
    )
    assert stamp_of(message) == frame(3).header.stamp
    assert definitions["sensor_msgs/msg/Image"].startswith("RIHS01_d31d41a9a4c4bc8eae9b")


def test_compressed_with_zstd_it_is_smaller_and_the_same(tmp_path: Path) -> None:
    write_bag(tmp_path / "bag", compression="zstd")
    write_bag(tmp_path / "plain")
    assert rosbags_messages(tmp_path / "bag") == rosbags_messages(tmp_path / "plain")
    names = [message[1].topic for message in foreign_messages(tmp_path / "bag" / "bag_1.mcap")]
    assert len(names) == 32
    small, large = ((tmp_path / name) / f"{name}_1.mcap" for name in ("bag", "plain"))
    assert small.stat().st_size < 0.8 * large.stat().st_size


def test_the_hashes_of_types_are_those_of_ros() -> None:
    """REP 2011; vision_msgs' are from its generated code, the others from what is installed."""
    types = open_typestore()
    hashes = {
        "vision_msgs/msg/LabelInfo": (
            "RIHS01_3d37df4015cdf660cc851c51897f2acd957e1ca6205ba0a99aebffb9406b0783"
        ),
        "vision_msgs/msg/VisionClass": (
            "RIHS01_1e4a11f0fed50b5623cb8ff26ca0e37952a48a9c074d16f804b44e9164c2037a"
        ),
    }
    for name in (
        *("sensor_msgs/msg/Image", "sensor_msgs/msg/CameraInfo", "sensor_msgs/msg/PointCloud2"),
        *("std_msgs/msg/String", "std_msgs/msg/Header"),
    ):
        described = Path(sys.prefix) / "share" / f"{name}.json"
        if described.is_file():
            entries = json.loads(described.read_text())["type_hashes"]
            hashes |= {entry["type_name"]: entry["hash_string"] for entry in entries}
    assert {name: types.hash_rihs01(name) for name in hashes} == hashes


@pytest.mark.ros
@pytest.mark.parametrize("depth_encoding", ["32FC1", "16UC1"])
def test_rclpy_reads_the_very_messages_that_the_node_publishes(
    tmp_path: Path, depth_encoding: str
) -> None:
    serialization = pytest.importorskip("rclpy.serialization")
    import sensor_msgs.msg
    import std_msgs.msg

    from mtinet_ros.node.message_factory import RosMessages

    outputs = (*ALL, "rgb", "obstacles", "classes")
    clouds = ClassClouds(2, ground_classes=("class 1", "class 3"), class_fields=("class 2",))
    sink = BagSink(
        tmp_path / "bag",
        tiny_card(),
        outputs,
        points_stride=3,
        depth_encoding=depth_encoding,
        class_clouds=clouds,
    )
    sink.begin_part(1)
    write(sink, frame(7))
    sink.finish([sink.end_part()])
    header = std_msgs.msg.Header(frame_id="front_optical_frame")
    header.stamp.sec, header.stamp.nanosec = divmod(frame(7).header.stamp, SECOND)
    topics = output_topics(tiny_card(), outputs, 3, depth_encoding, RosMessages(), clouds)
    published = {t.name: t.encode for t in topics}
    legends = {x.name: x.message for x in legend_messages(tiny_card(), outputs, RosMessages())}
    seen = set()
    for topic, type_name, _, data in rosbags_messages(tmp_path / "bag"):
        package, _, name = type_name.split("/")
        if package == "vision_msgs":
            continue  # not installed everywhere
        kind = getattr({"sensor_msgs": sensor_msgs, "std_msgs": std_msgs}[package].msg, name)
        got = serialization.deserialize_message(data, kind)
        below = topic.removeprefix("/perception/front/")
        seen.add(below)
        expected = legends.get(below) or published[below](predicted(frame(7)), header)
        assert serialization.serialize_message(got) == serialization.serialize_message(expected)
    assert seen == {*published, "segmentation/label_info_json"}


def test_without_a_lens_there_is_no_camera_info_no_cloud_and_the_bag_says_so(
    tmp_path: Path,
) -> None:
    sink = BagSink(tmp_path / "bag", tiny_card(), ALL)
    sink.begin_part(1)
    write(sink, frame(0), has_camera=False)
    write(sink, frame(0, "rear"))
    sink.finish([sink.end_part()])
    names = {topic for topic, *_ in rosbags_messages(tmp_path / "bag")}
    assert not {"/perception/front/points", "/perception/front/depth/camera_info"} & names
    assert {"/perception/rear/points", "/perception/front/depth/image"} <= names
    assert metadata(tmp_path / "bag")["custom_data"]["mtinet_ros.depth_up_to_scale"] == "front"


def test_only_what_was_chosen_and_where(tmp_path: Path) -> None:
    sink = BagSink(tmp_path / "bag", tiny_card(), ["overlay", "depth"], prefix="a/b")
    sink.begin_part(1)
    write(sink, frame(0, "2nd floor/cam-1"))
    sink.finish([sink.end_part()])
    assert {topic for topic, *_ in rosbags_messages(tmp_path / "bag")} == {
        f"/a/b/_2nd_floor_cam_1/{name}"
        for name in ("segmentation/overlay", "depth/image", "depth/camera_info")
    }
    sink.begin_part(2)
    with pytest.raises(InputError, match="would both be /a/b/_2nd_floor_cam_1"):
        write(sink, frame(1, "2nd floor/cam_1"))


@pytest.mark.parametrize(
    ("name", "token"), [("front", "front"), ("a__b-", "a_b"), ("3", "_3"), ("ü", "camera")]
)
def test_any_name_of_a_camera_makes_a_topic(name: str, token: str) -> None:
    assert topic_token(name) == token


@pytest.mark.parametrize(
    "options",
    [{"storage": "ros1"}, {"compression": "lz4"}, {"compression": "zstd", "storage": "sqlite3"}],
)
def test_what_cannot_be_asked_for_is_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="allowed"):
        BagSink(tmp_path / "bag", tiny_card(), ALL, **options)
    assert not (tmp_path / "bag").exists()


def test_without_rosbags_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "rosbags.typesys", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'mtinet_ros\[process\]'"):
        BagSink(tmp_path / "bag", tiny_card(), ALL)


def test_a_model_without_a_task_has_no_such_topics(tmp_path: Path) -> None:
    card = replace(tiny_card(), tasks=("depth",), class_names=(), palette=())
    sink = BagSink(tmp_path / "bag", card, ALL)
    sink.begin_part(1)
    sink.write(frame(0), sink.encode(frame(0), prediction(0).only({"depth"})))
    sink.finish([sink.end_part()])
    assert {
        topic.removeprefix("/perception/front/")
        for topic, *_ in rosbags_messages(tmp_path / "bag")
    } == {
        "depth/image",
        "depth/camera_info",
        "points",
    }

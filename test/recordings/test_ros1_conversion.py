# SPDX-License-Identifier: Apache-2.0
"""What was recorded beside the images in ROS 1 can be played in ROS 2."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rosbags")
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from support.bag_frames import ALL, START, foreign_messages
from support.tiny_model import tiny_card

from mtinet_ros.errors import InputError
from mtinet_ros.recordings.bag_sink import BagSink
from mtinet_ros.recordings.bag_storage import Channel, StoredMessage
from mtinet_ros.recordings.frame import PassedMessage
from mtinet_ros.recordings.ros1_conversion import Ros1Conversion

# As rosbag of ROS 1 writes it; time and duration are types of its own.
BATTERY = (
    "Header header\ntime charged\nduration age\nfloat32[] cells\n"
    + "=" * 80
    + "\nMSG: std_msgs/Header\nuint32 seq\ntime stamp\nstring frame_id\n"
)


def channel(topic: str, type_name: str, definition: str = "") -> Channel:
    return Channel(topic, type_name, "ros1", definition, "ros1msg")


def recorded() -> list[StoredMessage]:
    """A battery, of a type of one's own, and a twist."""
    ros1 = get_typestore(Stores.ROS1_NOETIC)
    types = get_types_from_msg(BATTERY, "my_msgs/msg/Battery")
    ros1.register({name: kind for name, kind in types.items() if name.startswith("my_msgs")})
    make = ros1.types
    stamp = make["builtin_interfaces/msg/Time"](5, 6)
    age = make["builtin_interfaces/msg/Duration"](7, 8)
    header = make["std_msgs/msg/Header"](seq=9, stamp=stamp, frame_id="base_link")
    cells = np.array([3.5, 4.0], np.float32)
    twist = (make["geometry_msgs/msg/Vector3"](x, 0.0, 0.0) for x in (1.5, 2.5))
    messages: list[tuple[str, str, Any]] = [
        ("my_msgs/msg/Battery", BATTERY, make["my_msgs/msg/Battery"](header, stamp, age, cells)),
        ("geometry_msgs/msg/Twist", "", make["geometry_msgs/msg/Twist"](*twist)),
    ]
    return [
        StoredMessage(START, channel(f"/t{i}", name, told), bytes(ros1.serialize_ros1(m, name)))
        for i, (name, told, m) in enumerate(messages)
    ]


def test_a_stranger_reads_messages_of_ros_1_as_those_of_ros_2(tmp_path: Path) -> None:
    conversion = Ros1Conversion()
    sink = BagSink(tmp_path / "bag", tiny_card(), ALL)
    sink.begin_part(1)
    for stored in map(conversion.convert, recorded()):
        topic, data = stored.channel, bytes(stored.data)
        sink.pass_on(PassedMessage(topic.topic, topic.type_name, stored.time, data, topic))
        assert topic.digest.startswith("RIHS01_")
    sink.finish([sink.end_part()])
    assert sink.problems == []
    battery, twist = (m[3] for m in foreign_messages(tmp_path / "bag" / "bag_1.mcap"))
    assert (battery.header.frame_id, battery.header.stamp.nanosec) == ("base_link", 6)
    assert (battery.charged.sec, battery.age.sec, battery.age.nanosec) == (5, 7, 8)
    assert list(battery.cells) == [3.5, 4.0]
    assert (twist.linear.x, twist.angular.x) == (1.5, 2.5)


def test_what_cannot_be_understood_is_one_sentence() -> None:
    conversion = Ros1Conversion()
    battery = recorded()[0]
    with pytest.raises(InputError, match="is no my_msgs/msg/Battery of ROS 1"):
        conversion.convert(battery._replace(data=battery.data[:7]))
    bad = StoredMessage(START, channel("/bad", "my_msgs/msg/Bad", "float128[ x"), b"")
    with pytest.raises(InputError, match="definition of my_msgs/msg/Bad") as told:
        conversion.convert(bad)
    assert "\n" not in str(told.value)


def test_messages_of_ros_2_are_left_alone() -> None:
    stored = StoredMessage(START, Channel("/a", "std_msgs/msg/String", "cdr"), b"\0\1\0\0")
    assert Ros1Conversion().convert(stored) is stored

# SPDX-License-Identifier: Apache-2.0
"""Cameras and listeners that are no ROS 2 at all, and our files as their middlewares read them.

A participant of Eclipse Cyclone DDS stands in for everything on the robot that is not built on
rclpy and Fast DDS: it sends `sensor_msgs/Image` and takes the node's answers, each compared.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

CONFIG = Path(__file__).parents[2] / "config"
OUR_CYCLONE_SETTINGS = CONFIG / "cyclonedds.xml"


def test_zenoh_reads_our_session_file_as_it_is_meant() -> None:
    zenoh = pytest.importorskip("zenoh")
    config = zenoh.Config.from_file(str(CONFIG / "zenoh_session.json5"))
    assert json.loads(config.get_json("mode")) == "peer"
    assert json.loads(config.get_json("connect/endpoints")) == ["tcp/localhost:7447"]
    assert json.loads(config.get_json("scouting/multicast/enabled")) is False


def test_zenoh_s_line_in_the_guide_says_what_the_file_says() -> None:
    zenoh = pytest.importorskip("zenoh")
    guide = (CONFIG.parent / "docs" / "transport.md").read_text(encoding="utf-8")
    line = guide.partition("ZENOH_CONFIG_OVERRIDE='")[2].partition("'")[0]
    config = zenoh.Config.from_file(str(CONFIG / "zenoh_session.json5"))
    settings = dict(setting.split("=") for setting in line.split(";"))
    assert len(settings) == 3
    for path, value in settings.items():
        assert json.loads(config.get_json(path)) == json.loads(value)


def on_this_computer() -> str:
    """Cyclone DDS as its ROS 2 binding sets it for `ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST`."""
    return (
        "<CycloneDDS><Domain><General><AllowMulticast>false</AllowMulticast>"
        '<Interfaces><NetworkInterface name="lo"/></Interfaces></General><Discovery>'
        "<ParticipantIndex>auto</ParticipantIndex>"
        "<MaxAutoParticipantIndex>32</MaxAutoParticipantIndex>"
        '<Peers><Peer address="localhost"/></Peers>'
        "</Discovery></Domain></CycloneDDS>"
    )


@dataclass(frozen=True)
class ForeignCamera:
    """Publishes numbered images in one colour and takes the node's label images."""

    images: Any
    labels: Any

    def send(self, number: int, image: np.ndarray) -> None:
        from support.foreign_messages import Header, Image, Time

        height, width, _ = image.shape
        self.images.write(
            Image(
                header=Header(Time(number, 0), "foreign_optical_frame"),
                height=height,
                width=width,
                encoding="rgb8",
                is_bigendian=0,
                step=3 * width,
                data=list(image.tobytes()),
            )
        )


@pytest.fixture
def foreign(ros_domain: int) -> Iterator[Any]:
    """Makes cameras of one Cyclone DDS participant, with our settings in force."""
    pytest.importorskip("cyclonedds")
    from cyclonedds.core import Policy, Qos
    from cyclonedds.domain import Domain, DomainParticipant
    from cyclonedds.pub import DataWriter
    from cyclonedds.sub import DataReader
    from cyclonedds.topic import Topic
    from support.foreign_messages import Image

    qos = Qos(
        Policy.Reliability.Reliable(10**9),
        Policy.History.KeepLast(10),
        Policy.DataRepresentation(use_cdrv0_representation=True),
    )
    held = [Domain(ros_domain, f"{on_this_computer()},file://{OUR_CYCLONE_SETTINGS}")]
    participant = DomainParticipant(ros_domain)

    def camera(name: str) -> ForeignCamera:
        def topic(path: str) -> Any:
            return Topic(participant, f"rt/{path}", Image, qos=qos)

        return ForeignCamera(
            DataWriter(participant, topic(f"{name}/image_raw"), qos=qos),
            DataReader(participant, topic(f"perception/{name}/segmentation/image"), qos=qos),
        )

    yield camera
    held.clear()  # what stands for the domain lives as long as the participant


@pytest.fixture
def profile_without_types(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our profile, and the line of the guide for programs that compare types and not just names.

    Cyclone DDS 11 finds the description of `sensor_msgs/Image` invalid that Fast DDS 3.2 sends.
    """
    from mtinet_ros.node.transport_profile import profile_variable

    guide = (CONFIG.parent / "docs" / "transport.md").read_text(encoding="utf-8")
    tag = "<propertiesPolicy>"
    line = tag + guide.partition(tag)[2].partition("\n")[0]
    profile = (CONFIG / "fastdds_profile.xml").read_text(encoding="utf-8")
    assert "type_propagation" in line
    (tmp_path / "profile.xml").write_text(profile.replace("</rtps>", f"{line}</rtps>"))
    monkeypatch.setenv(profile_variable(os.environ), str(tmp_path / "profile.xml"))


@pytest.mark.ros
def test_cameras_of_another_dds_are_answered_frame_by_frame(
    robot: Any, foreign: Any, profile_without_types: None, tiny_model: Path
) -> None:
    from support.node_harness import NodeProcess

    from mtinet_ros.inference import load_backend
    from mtinet_ros.perception.predictor import Predictor

    names = ("front", "rear")
    cameras = {name: foreign(name) for name in names}
    predictor = Predictor(load_backend(tiny_model, "onnxruntime", max_batch=1))
    shown = {
        name: np.random.default_rng(index)
        .integers(0, 256, (6, 8, 3), np.uint8)
        .repeat(8, 0)
        .repeat(8, 1)
        for index, name in enumerate(names)
    }
    expected = {
        name: predictor.predict([image], [None])[0].labels for name, image in shown.items()
    }
    assert (expected["front"] != expected["rear"]).any()
    answered: dict[str, set[int]] = {name: set() for name in names}
    sent = 0
    with NodeProcess(
        f"model:={tiny_model}", "backend:=onnxruntime", f"cameras:=[{','.join(names)}]"
    ) as node:
        robot.start()
        assert robot.reports("engine", "state", "ready")
        deadline = time.monotonic() + 30.0
        while min(len(numbers) for numbers in answered.values()) < 10:
            assert time.monotonic() < deadline, f"{answered} of {sent}\n{node.text()}"
            sent += 1
            for name, camera in cameras.items():
                camera.send(sent, shown[name])
            robot.spin_for(0.05)
            for name, camera in cameras.items():
                for answer in camera.labels.take(20):
                    assert answer.header.frame_id == "foreign_optical_frame"
                    assert 1 <= answer.header.stamp.sec <= sent
                    assert answer.header.stamp.sec not in answered[name]
                    labels = np.array(answer.data, np.uint8)
                    np.testing.assert_array_equal(
                        labels.reshape(answer.height, answer.width), expected[name]
                    )
                    answered[name].add(answer.header.stamp.sec)

# SPDX-License-Identifier: Apache-2.0
"""Camera images above 0.5 MB arrive, because our Fast DDS profile is in force."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest

from mtinet_ros.errors import ConfigurationError
from mtinet_ros.node import transport_profile
from mtinet_ros.node.transport_profile import ensure_transport_profile

CONFIG = Path(__file__).parents[2] / "config"
PROFILE = CONFIG / "fastdds_profile.xml"
UDP_PROFILE = CONFIG / "fastdds_udp_profile.xml"
NEW = "FASTDDS_DEFAULT_PROFILES_FILE"
OLD = "FASTRTPS_DEFAULT_PROFILES_FILE"


@pytest.fixture(autouse=True)
def shared_memory_has_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_profile, "has_room", lambda folder: True)


@pytest.mark.parametrize(
    ("distribution", "variable"),
    [("humble", OLD), ("jazzy", OLD), ("kilted", NEW), ("lyrical", NEW), ("rolling", NEW)],
)
def test_each_distribution_gets_the_variable_it_reads(distribution: str, variable: str) -> None:
    environ = {"ROS_DISTRO": distribution}
    assert ensure_transport_profile(environ) == str(PROFILE)
    assert environ == {"ROS_DISTRO": distribution, variable: str(PROFILE)}


def test_wheels_without_ros_distro_are_kilted() -> None:
    environ: dict[str, str] = {}
    ensure_transport_profile(environ)
    assert environ == {NEW: str(PROFILE)}


@pytest.mark.parametrize(("distribution", "variable"), [("jazzy", OLD), ("kilted", NEW)])
def test_a_profile_of_the_user_stays(tmp_path: Path, variable: str, distribution: str) -> None:
    theirs = tmp_path / "theirs.xml"
    theirs.write_text("<dds/>")
    environ = {"ROS_DISTRO": distribution, variable: str(theirs)}
    before = dict(environ)
    assert ensure_transport_profile(environ) is None
    assert environ == before


@pytest.mark.parametrize(("distribution", "variable"), [("jazzy", OLD), ("kilted", NEW)])
def test_a_variable_that_is_not_read_here_keeps_nothing_from_being_set(
    distribution: str, variable: str
) -> None:
    other = OLD if variable == NEW else NEW
    environ = {"ROS_DISTRO": distribution, other: "/their/profile.xml"}
    assert ensure_transport_profile(environ) == str(PROFILE)
    assert environ[variable] == str(PROFILE)
    assert environ[other] == "/their/profile.xml"


@pytest.mark.parametrize("content", [None, "", "<dds><profiles></dds>"])
def test_a_profile_that_fast_dds_would_drop_silently_is_refused(
    tmp_path: Path, content: str | None
) -> None:
    theirs = tmp_path / "theirs.xml"
    if content is not None:
        theirs.write_text(content)
    with pytest.raises(ConfigurationError, match=rf"theirs\.xml.*{NEW}, or unset"):
        ensure_transport_profile({NEW: str(theirs)})


def test_an_installation_without_the_file_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport_profile, "share_directory", lambda: tmp_path)
    environ: dict[str, str] = {}
    with pytest.raises(ConfigurationError, match=r"fastdds_profile\.xml"):
        ensure_transport_profile(environ)
    assert environ == {}


def test_a_container_with_little_shared_memory_gets_the_profile_without(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.undo()
    environ: dict[str, str] = {}
    assert ensure_transport_profile(environ, shared_memory=tmp_path / "none") == str(UDP_PROFILE)
    assert environ == {NEW: str(UDP_PROFILE)}


def test_room_is_what_a_segment_takes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Docker's 64 MB are not enough for a segment of 64 MB, whose administration comes on top."""
    monkeypatch.undo()
    for free, enough in ((64 << 20, False), (1 << 30, True)):
        monkeypatch.setattr(
            transport_profile.shutil,
            "disk_usage",
            lambda path, free=free: SimpleNamespace(free=free),
        )
        assert transport_profile.has_room(tmp_path) is enough


def test_cyclone_dds_gets_its_own_settings_and_no_others() -> None:
    environ = {"RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp"}
    assert ensure_transport_profile(environ) == str(CONFIG / "cyclonedds.xml")
    assert environ.pop("CYCLONEDDS_URI") == f"file://{CONFIG / 'cyclonedds.xml'}"
    assert environ == {"RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp"}


@pytest.mark.parametrize(
    ("middleware", "environ"),
    [
        ("rmw_cyclonedds_cpp", {"CYCLONEDDS_URI": "<General/>"}),
        ("rmw_zenoh_cpp", {}),
        ("rmw_connextdds", {}),
    ],
)
def test_nothing_is_set_where_the_user_has_or_where_nothing_is_ours(
    middleware: str, environ: dict[str, str]
) -> None:
    before = dict(environ)
    assert ensure_transport_profile(environ, middleware) is None
    assert environ == before


def test_cyclone_dds_starts_without_our_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A path that is not there, or one with a comma in it, would keep its nodes from starting."""
    environ: dict[str, str] = {}
    for folder in (tmp_path, tmp_path / "a,b"):
        (tmp_path / "a,b" / "config").mkdir(parents=True, exist_ok=True)
        (tmp_path / "a,b" / "config" / "cyclonedds.xml").write_text("<CycloneDDS/>")
        monkeypatch.setattr(transport_profile, "share_directory", lambda folder=folder: folder)
        assert ensure_transport_profile(environ, "rmw_cyclonedds_cpp") is None
    assert environ == {}


def test_localhost_only_on_humble_stays_on_localhost() -> None:
    environ = {"ROS_DISTRO": "humble", "ROS_LOCALHOST_ONLY": "1"}
    assert ensure_transport_profile(environ) is None
    assert OLD not in environ


def test_profile_has_room_for_images_in_shared_memory_and_in_sockets() -> None:
    root = ElementTree.parse(PROFILE).getroot()
    values = {element.tag.rpartition("}")[2]: element.text for element in root.iter()}
    assert values["segment_size"] == str(64 * 2**20)
    assert values["sendBufferSize"] == values["receiveBufferSize"] == str(4 * 2**20)
    assert values["useBuiltinTransports"] == "false"
    udp = ElementTree.parse(UDP_PROFILE).getroot()
    kinds = [element.text for element in udp.iter() if element.tag.endswith("}type")]
    values = {element.tag.rpartition("}")[2]: element.text for element in udp.iter()}
    assert kinds == ["UDPv4"]
    assert values["sendBufferSize"] == values["receiveBufferSize"] == str(4 * 2**20)
    assert values["useBuiltinTransports"] == "false"


PUBLISHER = """
import array, time, rclpy
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
rclpy.init()
node = rclpy.create_node("camera")
publisher = node.create_publisher(Image, "image_raw", qos_profile_sensor_data)
frame = Image(height=480, width=640, encoding="bgr8", step=1920)
frame.data = array.array("B", bytes(480 * 1920))
deadline = time.monotonic() + 20
while publisher.get_subscription_count() == 0 and time.monotonic() < deadline:
    time.sleep(0.05)
time.sleep(0.5)
for _ in range(30):
    publisher.publish(frame)
    time.sleep(0.05)
time.sleep(1)
"""

SUBSCRIBER = """
import time, rclpy
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
rclpy.init()
node = rclpy.create_node("subscriber")
received = []
node.create_subscription(Image, "image_raw", received.append, qos_profile_sensor_data)
deadline, last, count = time.monotonic() + 25, time.monotonic(), 0
while time.monotonic() < deadline and len(received) < 30:
    rclpy.spin_once(node, timeout_sec=0.1)
    if len(received) > count:
        count, last = len(received), time.monotonic()
    elif count and time.monotonic() - last > 2:
        break
print(len(received))
"""


@pytest.mark.ros
def test_best_effort_camera_frames_arrive_in_another_process() -> None:
    pytest.importorskip("rclpy")
    domain_coordinator = pytest.importorskip("domain_coordinator")
    with domain_coordinator.domain_id() as domain:
        environ = {k: v for k, v in os.environ.items() if k not in (OLD, NEW)}
        environ |= {"ROS_DOMAIN_ID": str(domain), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
        ensure_transport_profile(environ)
        subscriber = subprocess.Popen(
            [sys.executable, "-c", SUBSCRIBER], env=environ, stdout=subprocess.PIPE, text=True
        )
        try:
            subprocess.run([sys.executable, "-c", PUBLISHER], env=environ, timeout=40, check=True)
            received = int(subscriber.communicate(timeout=30)[0])
        finally:
            subscriber.kill()
    # With the default sizes of Fast DDS none of the 30 arrived.
    assert received >= 25

# SPDX-License-Identifier: Apache-2.0
"""What loses images is said, with what to do, before or when it does."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from mtinet_ros.node import transport_profile
from mtinet_ros.node.transport_advice import Transport
from mtinet_ros.node.transport_profile import shared_memory_profile, udp_profile

ME = os.geteuid()


@pytest.fixture
def limit(tmp_path: Path) -> Path:
    """The limit of Ubuntu and Debian."""
    path = tmp_path / "rmem_max"
    path.write_text("212992\n")
    return path


def fast_dds(shared_memory: Path, **changes: object) -> Transport:
    given = {
        "middleware": "rmw_fastrtps_cpp",
        "settings": str(shared_memory_profile()),
        "user": ME,
        **changes,
    }
    return Transport(shared_memory=shared_memory, **given)  # type: ignore[arg-type]


def set_free(monkeypatch: pytest.MonkeyPatch, free: float) -> None:
    usage = SimpleNamespace(free=free)
    monkeypatch.setattr(transport_profile.shutil, "disk_usage", lambda path: usage)


def test_the_settings_in_force_are_told_and_whom_else_they_concern(tmp_path: Path) -> None:
    summary = fast_dds(tmp_path).summary()
    assert str(shared_memory_profile()) in summary
    assert "camera drivers need that profile too" in summary
    environ = {"CYCLONEDDS_URI": "file:///mine.xml"}
    cyclone = Transport.of_this_process("rmw_cyclonedds_cpp", environ)
    assert cyclone.summary() == "images come over rmw_cyclonedds_cpp with file:///mine.xml"
    other = Transport.of_this_process("rmw_connextdds", environ)
    assert other.summary() == "images come over rmw_connextdds with its own settings"
    assert other.warnings() == []


def test_docker_s_little_shared_memory_is_told_with_the_option(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    set_free(monkeypatch, 60e6)
    (sentence,) = fast_dds(tmp_path).warnings()
    assert sentence.startswith(f"{tmp_path} has 60 MB free, too little")
    assert "--ipc=host or --shm-size=1g" in sentence
    set_free(monkeypatch, 1e9)
    assert fast_dds(tmp_path).warnings() == []


def test_no_shared_memory_at_all_is_told(tmp_path: Path) -> None:
    (sentence,) = fast_dds(tmp_path / "none").warnings()
    assert "has no memory, too little" in sentence


def test_nothing_is_said_of_memory_that_the_user_s_own_profile_may_not_need(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    set_free(monkeypatch, 0)
    assert fast_dds(tmp_path, settings="/mine.xml").warnings() == []


def test_a_kernel_s_small_receive_buffer_is_told_with_the_command(limit: Path) -> None:
    cyclone = Transport("rmw_cyclonedds_cpp", receive_buffer_limit=limit)
    (sentence,) = cyclone.warnings()
    assert "images of 0.9 MB get lost on the way: net.core.rmem_max is 212992 bytes" in sentence
    assert sentence.endswith("sudo sysctl -w net.core.rmem_max=4194304")
    limit.write_text("4194304\n")
    assert cyclone.warnings() == []
    assert cyclone.too_small_buffer(1920 * 1080 * 3) == ""
    assert cyclone.too_small_buffer(3840 * 2160 * 3).endswith("net.core.rmem_max=33554432")


def test_the_receive_buffer_does_not_matter_with_shared_memory(limit: Path) -> None:
    assert fast_dds(limit.parent, receive_buffer_limit=limit).too_small_buffer(10**7) == ""
    by_udp = fast_dds(limit.parent, receive_buffer_limit=limit, settings=str(udp_profile()))
    assert by_udp.too_small_buffer(10**7)


def test_a_kernel_that_does_not_tell_is_left_in_peace(tmp_path: Path) -> None:
    cyclone = Transport("rmw_cyclonedds_cpp", receive_buffer_limit=tmp_path / "none")
    assert cyclone.warnings() == []


@pytest.mark.parametrize("name", ["fastdds_0123456789abcdef_el", "fastrtps_port7411_el"])
@pytest.mark.parametrize(
    ("me", "said"),
    [
        (0, "get nothing of what root publishes"),
        (54321, "share no memory with this one"),
    ],
)
def test_processes_of_other_users_are_told(tmp_path: Path, name: str, me: int, said: str) -> None:
    segment = tmp_path / name
    segment.touch()
    if ME == 0:
        os.chown(segment, 1000, 1000)
    owner = segment.stat().st_uid
    transport = fast_dds(tmp_path, user=me)
    assert transport.warnings() == []  # left behind by a process that is dead
    with segment.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        (sentence,) = transport.warnings()
        assert said in sentence
        assert str(udp_profile()) in sentence
        assert transport.why_silent() == sentence
        assert fast_dds(tmp_path, user=owner).warnings() == []
        assert fast_dds(tmp_path, user=me, settings=str(udp_profile())).warnings() == []


@pytest.mark.parametrize(
    ("middleware", "said"),
    [
        ("rmw_fastrtps_cpp", "give the driver the Fast DDS profile too (docs/transport.md)"),
        ("rmw_cyclonedds_cpp", "net.core.rmem_max, which is 212992 bytes"),
        ("rmw_zenoh_cpp", "wait_before_drop"),
        ("rmw_connextdds", "see docs/transport.md"),
    ],
)
def test_silence_has_a_reason_that_fits_the_middleware(
    limit: Path, middleware: str, said: str
) -> None:
    transport = Transport(middleware, shared_memory=limit.parent, receive_buffer_limit=limit)
    assert said in transport.why_silent()


def test_nobody_seen_with_zenoh_may_be_a_router_that_does_not_run() -> None:
    assert "rmw_zenohd" in Transport("rmw_zenoh_cpp").why_alone()
    assert Transport("rmw_fastrtps_cpp").why_alone() == ""

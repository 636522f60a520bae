# SPDX-License-Identifier: Apache-2.0
"""Recordings that Rerun itself makes, through the pipe into a file; `make view-check` runs it."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from support.full_disk import full_disk

from mtinet_ros.errors import ConfigurationError
from mtinet_ros.viewer.recording_file import recording_file
from mtinet_ros.viewer.window import rerun_program

rr = pytest.importorskip("rerun", reason="needs Rerun: pip install 'mtinet_ros[view]'")

from mtinet_ros.viewer.scene import Scene  # noqa: E402, it needs Rerun

NOISE = np.random.default_rng(3).integers(0, 256, (20, 200, 200, 3), np.uint8)  # 2.4 MB


def log(stream: rr.RecordingStream) -> None:
    for number, pixels in enumerate(NOISE):
        stream.set_time("frame", sequence=number)
        stream.log("picture", rr.Image(pixels))


def lost() -> None:
    raise AssertionError("the file can be written")


def test_all_that_was_logged_is_in_the_file(tmp_path: Path) -> None:
    stream = rr.RecordingStream("mtinet_ros")
    with recording_file(stream, tmp_path / "run.rrd", lost):
        log(stream)
    verify = [rerun_program(), "rrd", "verify", str(tmp_path / "run.rrd")]
    assert subprocess.run(verify).returncode == 0
    assert (tmp_path / "run.rrd").stat().st_size > NOISE.nbytes
    assert len(list(tmp_path.iterdir())) == 1


def test_a_slow_disk_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rerun would keep in memory what is not written yet, of a long bag all of it."""
    read = os.read

    def read_slowly(descriptor: int, count: int) -> bytes:
        time.sleep(0.002)
        return read(descriptor, count)

    monkeypatch.setattr(os, "read", read_slowly)
    stream = rr.RecordingStream("mtinet_ros")
    scene = Scene(stream, plots={}, waits=True)
    with recording_file(stream, tmp_path / "run.rrd", lost):
        for number in range(33):
            scene.set_time(number)
            scene.normals("camera", NOISE[number % len(NOISE)])
        (aside,) = tmp_path.iterdir()
        assert aside.stat().st_size > 31 * NOISE[0].nbytes  # a pipe holds half of the 32nd


def test_a_full_disk_ends_the_recording_and_is_told(tmp_path: Path) -> None:
    stream = rr.RecordingStream("mtinet_ros")
    with (
        full_disk(1 << 20),
        pytest.raises(ConfigurationError, match=r"cannot write .*run\.rrd: File too large"),
        recording_file(stream, tmp_path / "run.rrd", lambda: None),
    ):
        log(stream)
    assert list(tmp_path.iterdir()) == []

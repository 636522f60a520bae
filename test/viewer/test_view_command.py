# SPDX-License-Identifier: Apache-2.0
"""`mtinet view` with a bag: what cannot be is a sentence, before anything is opened or written.

Rerun itself is not needed for that; what stands in for it notes what it is given.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("rosbags")
pytest.importorskip("mcap")
from support.bags import IMAGE, Recorded, image, picture, write_mcap
from support.full_disk import full_disk

from mtinet_ros.cli.main import main
from mtinet_ros.viewer import window

CONTENT = b"RRF2 new" + bytes(200_000)


class Recording:
    """Rerun's stream into a file: opened once, and written from a thread of Rerun's."""

    def __init__(self, name: str) -> None: ...

    def save(self, file: str) -> None:
        self.file = os.open(file, os.O_WRONLY)

    def disconnect(self) -> None:
        with open(self.file, "wb") as file:
            file.write(CONTENT)


class Scene:
    """Shows nothing."""

    def __init__(self, stream: Recording, plots: Any, waits: bool) -> None: ...

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: None


@pytest.fixture(autouse=True)
def rerun(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def opened() -> str:
        raise AssertionError("a viewer is opened")

    monkeypatch.setitem(sys.modules, "rerun", SimpleNamespace(RecordingStream=Recording))
    monkeypatch.setitem(sys.modules, "mtinet_ros.viewer.scene", SimpleNamespace(Scene=Scene))
    monkeypatch.setattr(window, "rerun_program", opened)
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def bag(tmp_path: Path) -> Path:
    topic = "/perception/front/segmentation/overlay"
    recorded = [Recorded(topic, IMAGE, 10**9, image(10**9, picture(1)))]
    return write_mcap(tmp_path / "bag.mcap", recorded)


@pytest.mark.parametrize("node", ["/perception", "perception", "/perception/"])
def test_a_bag_becomes_a_recording_in_place_of_an_older_one(
    bag: Path, tmp_path: Path, node: str, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "run.rrd"
    target.write_bytes(b"RRF2 old")
    assert main(["view", str(bag), "--node", node, "--save", str(target)]) == 0
    assert "1 messages of" in capsys.readouterr().out
    assert target.read_bytes() == CONTENT
    assert sorted(tmp_path.iterdir()) == [bag, target]


@pytest.mark.parametrize("older", [b"", b"RRF2 old"])
def test_a_recording_that_cannot_be_written_is_not_said_to_be(
    bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], older: bytes
) -> None:
    target = tmp_path / "run.rrd"
    target.write_bytes(older)
    with full_disk(1 << 16):
        assert main(["view", str(bag), "--save", str(target)]) == 1
    told = capsys.readouterr()
    assert "wrote" not in told.out
    assert f"mtinet view: cannot write {target}: File too large; choose another" in told.err
    assert target.read_bytes() == older
    assert sorted(tmp_path.iterdir()) == [bag, target]


def test_a_bag_that_is_interrupted_becomes_no_recording(
    bag: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Scene, "add_camera", lambda *_: signal.raise_signal(signal.SIGTERM), False)
    assert main(["view", str(bag), "--save", str(tmp_path / "run.rrd")]) == 130
    told = capsys.readouterr()
    assert "wrote" not in told.out
    assert "interrupted" in told.err
    assert list(tmp_path.iterdir()) == [bag]


def test_no_file_of_somebody_else_is_written_over(
    bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = bag.read_bytes()
    for target, reason in ((bag, "was not written by mtinet"), (tmp_path, "no regular file")):
        assert main(["view", str(bag), "--save", str(target)]) == 1
        assert reason in capsys.readouterr().err
    assert bag.read_bytes() == content
    assert list(tmp_path.iterdir()) == [bag]


def test_what_is_no_bag_of_the_node_opens_no_viewer(
    bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for given, reason in (
        ([str(tmp_path / "none")], "does not exist"),
        ([str(bag), "--node", "/other"], "no topic of /other that can be shown"),
    ):
        assert main(["view", "--web", "--port", "0", *given]) == 1
        assert reason in capsys.readouterr().err

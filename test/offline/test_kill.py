# SPDX-License-Identifier: Apache-2.0
"""Real processes that are killed: what they leave, another goes on with."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FRAMES = 120

# A run of about a second, beside a network that takes 20 ms an image.
PROGRAM = f"""
import sys
from pathlib import Path
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "test")!r}]
from support.recording_doubles import ColorBackend, LinesSink, ListSource
from mtinet_ros.offline.parts import PartLimits
from mtinet_ros.offline.run import RunSettings, Target, process_recording
from mtinet_ros.offline.stopping import Stopping
from mtinet_ros.perception.predictor import Predictor

folder = Path(sys.argv[1])
folder.mkdir(exist_ok=True)
kinds = ["front", "rear", ""]
source = ListSource([(number // 3, kinds[number % 3]) for number in range({FRAMES})])
settings = RunSettings(
    ("labels",), keep_other_messages=True, resume=True, every=2, limits=PartLimits(frames=6)
)
with Stopping() as stopping:
    print("begun", flush=True)
    outcome = process_recording(
        source,
        lambda: LinesSink(folder),
        Predictor(ColorBackend(seconds=0.02, max_batch=1)),
        Target("list", folder, is_file=False),
        settings,
        {{}},
        stopping.is_asked,
    )
sys.exit(0 if outcome.is_complete else 128 + stopping.signal)
"""


def start(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    return process


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("whole") / "out"
    assert start(folder).wait(60) == 0
    lines = (folder / "result").read_text().splitlines()
    assert len(lines) == FRAMES // 3 + FRAMES // 3  # messages, and every second frame
    return lines


def test_killed_at_random_moments_the_result_is_that_of_one_run(
    tmp_path: Path, whole: list[str]
) -> None:
    random_ = random.Random(20)
    folder = tmp_path / "out"
    statuses = []
    for _ in range(60):
        process = start(folder)
        time.sleep(random_.uniform(0.0, 0.25))
        sent = random_.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM])
        process.send_signal(sent)
        statuses.append(process.wait(60))
        if sent == signal.SIGTERM and statuses[-1] in (0, 143) and (folder / "result").exists():
            lines = (folder / "result").read_text().splitlines()
            assert lines == whole[: len(lines)], "the output is valid after SIGTERM"
        if statuses[-1] == 0:
            break
    assert statuses[-1] == 0
    assert -signal.SIGKILL in statuses
    assert 143 in statuses
    assert (folder / "result").read_text().splitlines() == whole


def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    process = start(tmp_path / "out")
    os.kill(process.pid, signal.SIGINT)
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(10) in (128 + signal.SIGINT, 128 + signal.SIGTERM)

# SPDX-License-Identifier: Apache-2.0
"""`mtinet build`: what it prints, that Ctrl-C leaves nothing, and its sentences."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.tiny_model import write_tiny_model

from mtinet_ros.cli.main import main

pytest.importorskip("tensorrt_rtx")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "m.onnx")


def test_it_tells_where_the_engine_is_and_what_it_is_for(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["build", str(model), "--engine-cache-dir", str(tmp_path / "cache")]
    assert main([*arguments, "--second-batch", "3", "--optimization-level", "1"]) == 0
    path, size, target, built = capsys.readouterr().out.splitlines()
    assert Path(path).read_bytes()
    assert "layers, fp32, batch [1, 1, 4] and [3, 3, 3]" in size
    assert target.startswith("  tensorrt_rtx 1.")
    assert built.startswith("  built in ")
    assert main(arguments) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "  was there already and fits"


def test_a_bad_model_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", str(tmp_path / "absent.onnx")]) == 1
    assert capsys.readouterr().err.startswith("mtinet build: cannot read model ")


def test_tensorrt_without_its_package_is_one_sentence(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        from tensorrt import Builder  # noqa: F401
    except ImportError:
        assert main(["build", str(model), "--backend", "tensorrt"]) == 1
        assert "tensorrt is not installed; `pip install" in capsys.readouterr().err
    else:
        pytest.skip("tensorrt is installed")


def test_ctrl_c_at_a_terminal_ends_the_build_and_leaves_nothing(
    model: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "mtinet_ros.cli.main", "build", str(model)]
    process = subprocess.Popen(
        [*command, "--engine-cache-dir", str(cache)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    os.close(theirs)
    seen = b""
    while b"[" not in seen:  # the progress bar
        seen += os.read(ours, 1000)
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)
    try:
        while chunk := os.read(ours, 1000):
            seen += chunk
    except OSError:  # how Linux tells that the other side of a terminal is gone
        pass
    os.close(ours)
    assert process.wait() == 130, seen.decode()
    assert time.monotonic() - begun < 5
    assert b"Traceback" not in seen
    assert b"mtinet build: interrupted" in seen
    assert [path.suffix for path in cache.iterdir()] == [".lock"]

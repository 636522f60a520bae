# SPDX-License-Identifier: Apache-2.0
"""Names in any encoding, and a reader that goes away, never end a command in the middle."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.tiny_model import random_images, write_tiny_model

from mtinet_ros.cli.main import COMMANDS
from mtinet_ros.image_files import write_png

LATIN_1 = os.fsdecode("café".encode("latin-1"))


def mtinet(*arguments: object, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "mtinet_ros.cli.main", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
        capture_output=True,
        check=False,
    )


def unread(*arguments: object, both: bool = False) -> tuple[int, bytes]:
    """Status and stderr of a command whose stdout, or both, nobody reads from the start."""
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run(
        [sys.executable, "-m", "mtinet_ros.cli.main", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=writing,
        stderr=writing if both else subprocess.PIPE,
        check=False,
    )
    os.close(writing)
    return ended.returncode, ended.stderr or b""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "m.onnx")


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_help_that_nobody_reads_is_no_traceback(command: str) -> None:
    assert unread(command, "--help") == (0, b"")


@pytest.mark.parametrize("both", [False, True])
def test_work_goes_on_when_the_reader_of_its_output_is_gone(
    model: Path, tmp_path: Path, both: bool
) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.png"):
        write_png(tmp_path / "in" / name, random_images(1)[0])
    words = ("predict", "-m", model, "--backend", "onnxruntime", tmp_path / "in")
    assert unread(*words, "-o", tmp_path / "out", both=both) == (0, b"")
    assert (tmp_path / "out" / "b_montage.png").exists()
    words = ("benchmark", model, "--backend", "onnxruntime", "--frames", 1)
    assert unread(*words, "-o", tmp_path / "out", both=both) == (0, b"")
    assert json.loads((tmp_path / "out" / "benchmark.json").read_text())["results"]
    assert unread("doctor", both=both) == (0, b"")


def test_a_full_disk_behind_stdout_is_said() -> None:
    with open("/dev/full", "w") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "mtinet_ros.cli.main", "doctor"],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert ended.returncode == 1
    assert ended.stderr == "mtinet doctor: cannot print: No space left on device\n"


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
)
@pytest.mark.parametrize("name", [LATIN_1, "café"])
def test_a_picture_of_any_name_is_predicted(
    model: Path, tmp_path: Path, name: str, environment: dict[str, str]
) -> None:
    folder = tmp_path / name
    folder.mkdir()
    write_png(folder / f"{name}.png", random_images(1)[0])
    (folder / f"{name}2.jpg").write_bytes(b"no picture")
    words = ("predict", "-m", model, "--backend", "onnxruntime", folder, "-o", folder)
    for _ in range(2):
        ended = mtinet(*words, **environment)
        assert b"Traceback" not in ended.stderr
        assert b"1 of 2 pictures cannot be read" in ended.stderr
        assert ended.returncode == 1
        assert b"_*, depth up to scale" in ended.stdout
    assert (folder / f"{name}_labels.png").exists()


def test_a_path_that_scripts_read_keeps_its_bytes(model: Path, tmp_path: Path) -> None:
    write_png(tmp_path / f"{LATIN_1}.png", random_images(1)[0])
    picture = tmp_path / f"{LATIN_1}.png"
    words = ("predict", "-m", model, "--backend", "onnxruntime", picture, "-o", tmp_path / "out")
    assert os.fsencode(picture) in mtinet(*words, PYTHONUTF8="1").stdout


@pytest.mark.parametrize(
    "words",
    [
        ("predict", "x.png", "-o", "out", "-m", f"{LATIN_1}.onnx"),
        ("inspect", f"{LATIN_1}.onnx"),
        ("benchmark", f"{LATIN_1}.onnx"),
        ("build", f"{LATIN_1}.onnx"),
        ("export", f"{LATIN_1}.pth", "-o", "m.onnx"),
        ("export", "--untrained", "-o", f"{LATIN_1}.onnx"),
        ("export", "--untrained", "-o", "m.onnx", "--name", LATIN_1),
        ("evaluate", f"{LATIN_1}.onnx", "--data", "rooms"),
        ("scenes", "-o", LATIN_1, "--furniture", LATIN_1),
        ("scenes", "--check", LATIN_1),
        ("train", f"{LATIN_1}.yaml"),
    ],
)
def test_other_files_of_such_a_name_are_refused_in_words(words: tuple[str, ...]) -> None:
    if words[0] in ("scenes", "train"):
        pytest.importorskip("lightning")  # of the extra without which these commands say so
    ended = mtinet(*words, PYTHONIOENCODING="ascii")
    assert ended.returncode in (1, 2)
    assert b"Traceback" not in ended.stderr
    assert b"caf\\udce9" in ended.stderr

# SPDX-License-Identifier: Apache-2.0
"""The `mtinet` command: helpful, quick to start, and never a traceback for a user's mistake."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from mtinet_ros import __version__
from mtinet_ros.cli import main as main_module
from mtinet_ros.cli.main import COMMANDS, build_parser, main


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    for name, (_, summary) in COMMANDS.items():
        assert name in text
        assert summary.split()[0] in text


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out.strip() == f"mtinet_ros {__version__}"


@pytest.mark.parametrize("arguments", [[], ["fly"], ["--fast"], ["predict"]])
def test_misuse_is_explained_with_status_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: mtinet" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "usage"),
    [
        (["inspect", "x", "--fast"], "inspect"),
        (["data", "check", "x", "--fast"], "data check"),
    ],
)
def test_an_option_that_a_command_lacks_is_told_beside_those_it_has(
    arguments: list[str], usage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert f"usage: mtinet {usage} [-h]" in said
    assert f"mtinet {usage}: error: unrecognized arguments: {arguments[-1]}" in said


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        build_parser(name).parse_args([name, "--help"])
    assert ended.value.code == 0
    assert f"mtinet {name}" in capsys.readouterr().out


def test_help_needs_neither_torch_nor_ros_nor_opencv() -> None:
    code = (
        "import sys; from mtinet_ros.cli.main import build_parser; build_parser(None);"
        "sys.exit(bool({'torch', 'rclpy', 'cv2', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("command", "package", "brings"),
    [
        (["inspect", "m.onnx"], "onnx", r"'mtinet_ros[export]'"),
        (["evaluate", "m.onnx", "--data=rooms"], "tqdm", r"'mtinet_ros[train]'"),
        (
            ["evaluate", "m.onnx", "--data=rooms", "--record=x"],
            "onnx",
            r"'mtinet_ros[train,export]'",
        ),
        (["scenes", "-o", "rooms"], "trimesh", r"'mtinet_ros[train]'"),
        (["predict", "a.jpg", "-o", "out"], "cv2", "opencv-python"),
    ],
)
def test_a_package_that_is_not_installed_is_named_with_what_brings_it(
    command: list[str],
    package: str,
    brings: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def run(_arguments: object) -> int:
        raise ModuleNotFoundError(f"No module named '{package}.sub'", name=f"{package}.sub")

    module = importlib.import_module(COMMANDS[command[0]][0])
    monkeypatch.setattr(module, "run", run)
    assert main(command) == 1
    text = capsys.readouterr().err
    assert f"the Python package {package} is not installed; `pip install {brings}` brings" in text


def test_a_package_that_is_missing_already_for_the_options_is_named() -> None:
    code = (
        "import sys; sys.modules['cv2'] = None; from mtinet_ros.cli.main import main;"
        "sys.exit(main(['predict', '--help']))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 1
    assert "`pip install opencv-python` brings" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_package_that_does_not_load_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(_arguments: object) -> int:
        raise ImportError("libembree4.so.4: cannot open shared object file", name="embreex.rtcore")

    monkeypatch.setattr(importlib.import_module("mtinet_ros.cli.scenes"), "run", run)
    assert main(["scenes", "-o", "rooms"]) == 1
    assert "embreex is installed but does not load: libembree4" in capsys.readouterr().err


def test_a_module_of_ours_that_is_missing_is_a_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(main_module.COMMANDS, "doctor", ("mtinet_ros.cli.lost", "gone"))
    with pytest.raises(ModuleNotFoundError):
        main(["doctor"])

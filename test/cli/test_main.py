# SPDX-License-Identifier: Apache-2.0
"""The `mtinet` command: helpful, quick to start, and never a traceback for a user's mistake."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mtinet_ros import __version__
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

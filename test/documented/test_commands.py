# SPDX-License-Identifier: Apache-2.0
"""The commands that the pages tell are understood.

Whatever is written as code is told by its program: `mtinet …` is parsed by the command's own
parser, or its options are looked up there where it is but a part; launch files with their
arguments, parameters, targets, extras and scripts are looked up. What is not ours, or takes
minutes or the network, is in `NOT_RUN`. What commands of `mtinet` do when they are run is held by
`test_runs.py`, what the pages quote by `test_messages.py`.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest
import yaml
from support.pages import (
    CODE,
    OURS,
    PAGES,
    PARSERS,
    ROOT,
    TEXT,
    commands,
    is_placeholder,
    lines,
)

from mtinet_ros.cli.main import COMMANDS, main

CHECKED = {"mtinet", "make", "python"}  # and `ros2` and `pip`, as far as they are about us
NOT_RUN = {
    **dict.fromkeys(["ros2", "rosdep", "colcon"], "comes with apt's ROS"),
    **dict.fromkeys(["sudo", "pip", "docker", "git"], "changes the machine, or the network's"),
    **dict.fromkeys(["ls", "echo"], "run where their output is shown"),
    **dict.fromkeys(
        ["cd", "mkdir", ".", "export", "python3", "wait", "exit"], "the shell's, or a script"
    ),
    **dict.fromkeys(["for", "done", "if", "exec", "status=$?"], "the shell's"),
    **dict.fromkeys(["srun", "sbatch", "job=$(sbatch"], "needs several machines"),
    "CUDA_VISIBLE_DEVICES=$((i": "part of a loop",
    "venv/lib/mtinet_ros/perception_node": "runs until it is told to end; test/node has it",
}
# Targets and scripts: which tests run what they run, or why none does.
TARGETS_AND_SCRIPTS = {
    "make demo": "test/demo/, and test/bare_machine.sh",
    "make test": "what runs now",
    "make bench": "17 minutes; its parts: test/test_node_speed.py",
    "make soak": "half an hour",
    "make verify-gpu": "installs packages; its steps: test/gpu/test_verify.py",
    "python3 -m": "an environment; test/gpu/test_verify.py",
    "python3 -c": "needs TensorRT on a Jetson",
    "python benchmarks/multitask.py": "hours of training",
    "python benchmarks/compare_models.py": "minutes on a quiet machine",
    "python benchmarks/training_step.py": "minutes; test/training/test_training_step_benchmark.py",
}
FOREIGN_LAUNCH_ARGUMENTS = {"rtabmap.launch.py": "passes on every argument of RTAB-Map's own"}


def options_of(command: str) -> set[str]:
    """Options of a command and of the actions below it."""
    waiting, options = [PARSERS[command]], {"--help"}
    while waiting:
        for action in waiting.pop()._actions:
            options |= set(action.option_strings)
            if isinstance(action, argparse._SubParsersAction):
                names = [name for name in action.choices if name not in COMMANDS]
                waiting += [
                    action.choices[name] for name in [*names, command] if name in action.choices
                ]
    return options


def named(words: list[str]) -> list[str]:
    return [word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_options_are_those_of_the_command(page: Path) -> None:
    unknown = [
        (words[0], option)
        for code, words in OURS
        if code.page == page
        for option in named(words)
        if option not in options_of(words[0])
    ]
    assert unknown == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_whole_commands_are_understood(
    page: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    refused = []
    for code, words in OURS:
        if code.page == page and code.kind != "inline" and not is_placeholder(words):
            try:
                PARSERS[words[0]].parse_args(words)
            except SystemExit as end:
                if end.code:
                    refused.append((words, capsys.readouterr().err.splitlines()[-1:]))
    assert refused == []


@pytest.mark.parametrize("command", PARSERS)
def test_help_is_printed(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert end.value.code == 0
    assert f"usage: mtinet {command}" in capsys.readouterr().out


def test_enough_commands_are_seen() -> None:
    assert len([1 for code, _ in OURS if code.kind != "inline"]) > 50
    assert set(PARSERS) == set(COMMANDS)  # each has its place in the pages


def test_launch_files_and_their_arguments_exist() -> None:
    declared = {
        path.name: set(re.findall(r'DeclareLaunchArgument\(\s*"(\w+)"', path.read_text()))
        for path in (ROOT / "launch").glob("*.launch.py")
    }
    common = declared["perception.launch.py"]
    launches = commands("ros2 launch mtinet_ros")
    assert len(launches) > 8
    for code, (file, *arguments) in launches:
        assert file in declared, code
        given = {argument.partition(":=")[0] for argument in arguments if ":=" in argument}
        if file not in FOREIGN_LAUNCH_ARGUMENTS:
            assert given <= declared[file] | common, code


def test_parameters_that_are_set_exist() -> None:
    document = yaml.safe_load((ROOT / "config" / "perception.yaml").read_text())
    known = set(document["/**/perception"]["ros__parameters"]) | {"use_sim_time"}
    found = [
        name
        for _, words in commands("ros2 run mtinet_ros perception_node")
        for name in re.findall(r"(?<=-p )(\w+)(?=:=)", " ".join(words))
    ]
    assert len(found) >= 2
    assert set(found) <= known


def test_targets_and_their_variables_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([\w-]+):", makefile, re.MULTILINE))
    variables = set(re.findall(r"^(\w+) \?=", makefile, re.MULTILINE))
    called = commands("make")
    assert len(called) > 5
    for code, words in called:
        for word in words:
            name, is_variable, _ = word.partition("=")
            assert name in (variables if is_variable else targets), (code.page.name, word)


def test_extras_exist() -> None:
    text = (ROOT / "setup.py").read_text().partition("EXTRAS = {")[2].partition("\n}")[0]
    known = set(re.findall(r'^    "([\w-]+)":', text, re.MULTILINE))
    given = [
        extra
        for page in PAGES
        for extras in re.findall(r"pip install '(?:\.|mtinet_ros)\[([\w,-]+)\]'", TEXT[page])
        for extra in extras.split(",")
    ]
    assert len(given) > 8
    assert set(given) <= known


def test_scripts_and_their_options_exist() -> None:
    called = commands("python") + commands("python3")
    seen = 0
    for code, words in called:
        module = words[words.index("-m") + 1] if "-m" in words[:2] else ""
        path = ROOT / (f"{module.replace('.', '/')}.py" if module else words[0] if words else "")
        if path.suffix != ".py" or module in ("venv", "pytest", "pip"):
            continue
        if not path.is_file():  # a package, or one of the tests' rooms
            places = [ROOT / place / module.replace(".", "/") for place in ("", "test")]
            folder = next(
                (p for p in places if p.is_dir() or p.with_suffix(".py").is_file()), None
            )
            assert folder is not None, (code.page.name, words)
            path = folder / "__main__.py" if folder.is_dir() else folder.with_suffix(".py")
        seen += 1
        source = path.read_text()
        assert [
            o for o in named(words[1:]) if o.startswith("--") and f'"{o}"' not in source
        ] == [], words
    assert seen > 5


def test_every_command_is_checked_or_said_not_to_run() -> None:
    programs = {
        (code.page.name, re.sub(r"^(\w+=[^\s$]*\s+)+", "", line).split()[0])
        for code in CODE
        if code.kind in ("sh", "bash")
        for line in lines(code)
        if not line.startswith("#")
    }
    assert {found for found in programs if found[1] not in CHECKED | set(NOT_RUN)} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_blocks_of_python_and_yaml_can_be_read(page: Path) -> None:
    for kind, text in re.findall(
        r"^```(python|yaml)\n(.*?)^```$", TEXT[page], re.MULTILINE | re.DOTALL
    ):
        if kind == "python":
            compile(text, page.name, "exec")
        else:
            assert yaml.safe_load(text)


def test_every_target_and_script_is_run_somewhere_or_said_why_not() -> None:
    found = {
        f"{match[1]} {match[2]}"
        for code in CODE
        if code.kind in ("sh", "bash", "indented")
        for line in lines(code)
        if (match := re.match(r"(?:\w+=\S+ )*(make|python3?) (\S+)", line))
    }
    assert found == set(TARGETS_AND_SCRIPTS)
    named = [path for why in TARGETS_AND_SCRIPTS.values() for path in re.findall(r"test/\S+", why)]
    assert [path for path in named if not (ROOT / path.rstrip(",")).exists()] == []

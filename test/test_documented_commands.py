# SPDX-License-Identifier: Apache-2.0
"""The commands that the pages tell are understood, and say what the pages say they do.

Whatever is written as code is told by its program: `mtinet …` is parsed by the command's own
parser, or its options are looked up there where it is but a part; launch files with their
arguments, parameters, targets, extras and scripts are looked up. A block of `mtinet …`
commands (and `ls`) which a block of the kind `text` follows is run, and held to that text. What is
not ours, or takes minutes or the network, is in `NOT_RUN`.
"""

from __future__ import annotations

import argparse
import itertools
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from mtinet_ros.cli.main import COMMANDS, build_parser, main

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "models" / "README.md"])
TEXT = {page: page.read_text() for page in PAGES}
CHECKED = {"mtinet", "make", "python"}  # and `ros2` and `pip`, as far as they are about us
NOT_RUN = {
    **dict.fromkeys(["ros2", "rosdep", "colcon"], "comes with apt's ROS"),
    **dict.fromkeys(["sudo", "pip", "docker", "git"], "changes the machine, or the network's"),
    "ls": "run where its output is shown",
    **dict.fromkeys(["cd", ".", "export", "python3", "wait", "exit"], "the shell's, or a script"),
    **dict.fromkeys(["for", "done", "if", "exec", "status=$?"], "the shell's"),
    **dict.fromkeys(["srun", "sbatch", "job=$(sbatch"], "needs several machines"),
    "CUDA_VISIBLE_DEVICES=$((i": "part of a loop",
    "venv/lib/mtinet_ros/perception_node": "runs until it is told to end; test/node has it",
}
FOREIGN_LAUNCH_ARGUMENTS = {"rtabmap.launch.py": "passes on every argument of RTAB-Map's own"}


@dataclass(frozen=True)
class Code:
    """Code in a page: `kind` is a fence's language, `indented` or `inline`."""

    page: Path
    kind: str
    text: str


def code_in(page: Path) -> Iterator[Code]:
    """All code of a page in order; blocks that are no shell's are left out but for `text`."""
    position = 0
    fences = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    for fence in [*fences.finditer(TEXT[page]), None]:
        between = TEXT[page][position : fence.start() if fence else None]
        for block in re.finditer(r"(?<=\n\n)(?:    .*\n)+", between):
            yield Code(page, "indented", re.sub(r"^    ", "", block[0], flags=re.MULTILINE))
        for span in re.finditer(r"`([^`\n]+)`", re.sub(r"^    .*\n", "", between)):
            yield Code(page, "inline", span[1])
        if fence is None:
            return
        if fence[1] in ("", "sh", "bash", "text"):
            yield Code(page, fence[1] or "sh", fence[2])
        position = fence.end()


CODE = [code for page in PAGES for code in code_in(page)]


def lines(code: Code) -> list[str]:
    """Its commands, those that go over several lines joined."""
    return [line.strip() for line in code.text.replace("\\\n", " ").splitlines() if line.strip()]


def commands(program: str) -> list[tuple[Code, list[str]]]:
    """The words behind each occurrence of a program, up to the end of the command."""
    found = []
    for code in CODE:
        for line in lines(code) if code.kind != "text" else []:
            for match in re.finditer(rf"(?:^|[\s/;&(]){re.escape(program)}(?=\s)", line):
                words = shlex_words(line[match.end() :])
                found.append((code, words))
    return found


def shlex_words(text: str) -> list[str]:
    lexer = shlex.shlex(text, posix=True, punctuation_chars="|&;<>()")
    lexer.whitespace_split = True
    words = []
    try:
        for word in lexer:
            if set(word) <= set("|&;<>()"):
                break
            words.append(word)
    except ValueError:  # a quotation mark that only the whole line closes
        pass
    return words


OURS = [(code, words) for code, words in commands("mtinet") if words and words[0] in COMMANDS]
PARSERS = {name: build_parser(name) for name in sorted({words[0] for _, words in OURS})}


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


def is_placeholder(words: list[str]) -> bool:
    return any("…" in word or word in ("...", "COMMAND") for word in words)


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


RUN = [
    (command, said)
    for command, said in itertools.pairwise(CODE)
    if said.kind == "text"
    and command.kind == "sh"
    and command.text.startswith("mtinet ")
    and command.page == said.page
]


@pytest.mark.parametrize(("command", "said"), RUN, ids=lambda code: code.page.stem)
def test_a_command_says_what_the_page_says(
    command: Code,
    said: Code,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for folder in ("demo", "models"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    monkeypatch.chdir(tmp_path)
    printed = ""
    for program, *words in (shlex.split(line, comments=True) for line in lines(command)):
        if program == "ls":
            (folder,) = words
            names = (path.name for path in (tmp_path / folder).iterdir())
            printed += "".join(f"{name}\n" for name in sorted(names) if name[0] != ".")
        else:
            assert program == "mtinet"
            assert main(words) == 0
            printed += capsys.readouterr().out
    pattern = ".*".join(re.escape(part) for part in said.text.split("…"))
    assert re.fullmatch(pattern, printed, re.DOTALL), printed


def test_there_are_commands_that_are_run() -> None:
    assert [said for _, said in RUN] == [code for code in CODE if code.kind == "text"]
    assert {code.page.stem for code, _ in RUN} >= {"quickstart", "weights", "process", "scaling"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_blocks_of_python_and_yaml_can_be_read(page: Path) -> None:
    for kind, text in re.findall(
        r"^```(python|yaml)\n(.*?)^```$", TEXT[page], re.MULTILINE | re.DOTALL
    ):
        if kind == "python":
            compile(text, page.name, "exec")
        else:
            assert yaml.safe_load(text)

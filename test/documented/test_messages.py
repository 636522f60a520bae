# SPDX-License-Identifier: Apache-2.0
"""What the pages quote is said by the programs, in these words.

Quoted is what stands between quotation marks, curved or straight; what inline code says in three
words or more that are no command; and the first column of tables that are headed "the log says".
All of it must be in a text of the sources, f-strings with anything for the values that they put
in, or in `OTHERS`, with whose word it is.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.pages import PAGES, ROOT, TEXT

from mtinet_ros.node.statistics import DropReason

OTHERS = {
    **dict.fromkeys(["Fixed Frame", "Durability Policy", "Reliability Policy"], "rviz's settings"),
    "CRITICAL FAILURE: SERVER perception IS DOWN": "nav2's lifecycle manager says it",
    "Server perception connected with bond.": "nav2's lifecycle manager says it",
    "Height Layer": "a setting of grid_map_rviz_plugin",
    "Color Layer": "a setting of grid_map_rviz_plugin",
    "Display frame": "Foxglove's setting",
    "Import from file": "Foxglove's menu",
    "Orin": "a Jetson's driver calls its GPU so",
    "A module that was compiled using NumPy 1.x cannot be run in NumPy 2": "NumPy",
    "numpy.core.multiarray failed to import": "NumPy",
    "rmse": "MTI-Net's authors print it while training",
    "other prop": "a class of NYU Depth V2",
    "Forthcoming": "a heading of CHANGELOG.rst",
    "x y z": "fields of a cloud",
    "normal_x normal_y normal_z": "fields of a cloud",
    "quotation marks": "docs/troubleshooting.md about its own",
    "…": "docs/troubleshooting.md about its own",
    "Indoor Segmentation and Support Inference from RGBD Images": "a paper",
    "Attentive Single-Tasking of Multiple Tasks": "a paper",
    "On Calibration of Modern Neural Networks": "a paper",
    "UrbanLF: A Comprehensive Light Field Dataset for Semantic Segmentation of Urban Scenes": "a "
    "paper",
}
PROGRAMS = {
    "bloom-release", "docker", "git", "kill", "make", "mtinet", "pip", "python", "ros2", "rviz2",
    "scp", "ssh", "sudo", "torchrun",
}  # fmt: skip
EXAMPLES = {"tiny", "tensorrt", "SIGKILL", "/dev/shm", "''"}  # values put into a sentence


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    text = re.sub(r"^```.*?^```$", "", TEXT[page], flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"(?<=\n\n)(?:    .*\n)+", "", text)


def quotations(text: str) -> Iterator[str]:
    """What the prose of a page says that somebody says."""
    for row in re.finditer(r"^\| the log says \|.*\n\|[-|]+\n((?:\|.*\n)+)", text, re.MULTILINE):
        for line in row[1].splitlines():
            yield line.split("|")[1].strip().strip("“”")
    for quoted in re.findall("“([^”]+)”", text):
        yield " ".join(quoted.split())
    for quoted in re.findall(r'(?<![\w=])"([^"`|]+)"', re.sub(r"`[^`\n]+`", "`", text)):
        yield " ".join(quoted.split()).strip(",")
    for code in re.findall(r"`([^`\n]+)`", text):
        if is_sentence(code):
            yield code


def is_sentence(code: str) -> bool:
    """Whether inline code is words: no command, no assignment, no list, no file."""
    words = code.split()
    plain = all(re.fullmatch(r"[\w…'.,;:()/-]+", word) for word in words)
    is_command = any(word.startswith("-") for word in words[1:]) or words[0] in PROGRAMS
    is_option = words[0].startswith("-") and words[1:2] != ["is"]
    return len(words) > 2 and plain and not is_command and not is_option


def literal_texts() -> list[str]:
    """Texts of the sources but docstrings, adjacent ones joined, with … for values put in."""
    found = set()
    for path in (ROOT / "mtinet_ros").rglob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
        for node in nodes:
            if id(node) in docstrings:
                continue
            if isinstance(node, ast.JoinedStr):
                parts = [p.value if isinstance(p, ast.Constant) else "…" for p in node.values]
                found.add("".join(str(part) for part in parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(re.sub(r"%[sdg]", "…", node.value))
    return sorted(found)


def is_said(quoted: str, texts: list[str]) -> bool:
    """Whether one text of the sources has a quotation's words, in order.

    A … of the quotation is anything; numbers in it, with their unit, and `EXAMPLES` may be values
    put in. Sentences that a semicolon joins may be of several texts.
    """
    if "; " in quoted and not _is_in_one(quoted, texts):
        return all(_is_in_one(part, texts) for part in quoted.split("; "))
    return _is_in_one(quoted, texts)


def _is_in_one(quoted: str, texts: list[str]) -> bool:
    parts = [part for part in re.split(r"\s*…\s*", quoted) if part.strip(" .;:,()")]
    pattern = re.compile(".*".join(map(_as_pattern, parts)), re.DOTALL)
    return bool(parts) and any(pattern.search(text) for text in texts)


def _as_pattern(part: str) -> str:
    words = []
    for word in re.findall(r"\d\S* MB free|\S+|\s+", part):
        core = word.strip(".,;:()")
        if any(letter.isdigit() for letter in core) or core in EXAMPLES:
            before, _, after = word.partition(core)
            words.append(f"{re.escape(before)}(?:{re.escape(core)}|…){re.escape(after)}")
        else:
            words.append(re.escape(word))
    return "".join(words)


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return literal_texts()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_quotes_is_said_by_the_sources(page: Path, texts: list[str]) -> None:
    quoted = set(quotations(prose(page))) - set(OTHERS)
    assert [text for text in sorted(quoted) if not is_said(text, texts)] == []


def test_what_is_anothers_word_is_quoted() -> None:
    quoted = {text for page in PAGES for text in quotations(prose(page))}
    assert set(OTHERS) - quoted == set()
    assert len(quoted - set(OTHERS)) > 60


def test_a_quotation_that_nobody_says_is_found() -> None:
    texts = ["no image on … for … s: …", "the weights of … are random", "… has … of 7 frames"]
    assert is_said("no image on … for … s", texts)
    assert is_said("no image on … for 3.2 s", texts)
    assert is_said("the weights of tiny are random", texts)
    assert is_said("has 3 of 7 frames", texts)
    assert not is_said("has 3 of 8 frames", texts)
    assert not is_said("no image on … for … minutes", texts)
    assert not is_said("no image … are random", texts)
    assert not is_said("…", texts)


def test_quotations_are_told_from_other_code_and_found_across_lines() -> None:
    text = (
        'The log says “one\ntwo”, `no image on …` and "three, four"; `mtinet export --judge x`,\n'
        "`--compare A B`, `ros2 bag play drive` `[f, cx, cy]` `cx' = (cx + 0.5)·s` are none.\n"
        'Nor is title="no".\n\n'
        "| the log says | do |\n|---|---|\n| cannot parse … | export |\n| “gone” | nothing |\n"
    )
    found = {"one two", "no image on …", "three, four", "cannot parse …", "gone"}
    assert set(quotations(text)) == found


def test_the_reasons_of_dropped_frames_are_those_of_the_node() -> None:
    page = (ROOT / "docs" / "topics.md").read_text()
    table = re.search(r"^\| dropped: \|.*\n\|[-|]+\n((?:\|.*\n)+)", page, re.MULTILINE)
    assert table is not None
    told = [row.split("|")[1].strip(" `") for row in table[1].splitlines()]
    assert sorted(told) == sorted(reason.value for reason in DropReason)

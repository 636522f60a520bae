# SPDX-License-Identifier: Apache-2.0
"""The pages of the repository, and the code and commands in them."""

from __future__ import annotations

import contextlib
import io
import itertools
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mtinet_ros.cli.main import COMMANDS, build_parser

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "models" / "README.md"])
TEXT = {page: page.read_text() for page in PAGES}


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


def is_placeholder(words: list[str]) -> bool:
    return any("…" in word or word in ("...", "COMMAND") for word in words)


def whole_commands() -> dict[tuple[str, ...], list[Path]]:
    """The words of each command of `mtinet` that can be typed as it stands, and its pages.

    In the text these are the ones that say more than an option or two, as `mtinet build MODEL`
    does; in blocks all. Left out are those whose output is shown in one place.
    """
    blocks = [code for code, _ in with_output()]
    shown = {tuple(words) for code, words in OURS if any(code is block for block in blocks)}
    found: dict[tuple[str, ...], list[Path]] = {}
    for code, words in OURS:
        is_part = code.kind == "inline" and (len(words) < 2 or words[1].startswith("-"))
        if tuple(words) in shown or is_part or is_placeholder(words):
            continue
        if code.kind != "inline" or is_understood(words):
            found.setdefault(tuple(words), []).append(code.page)
    return found


def is_understood(words: list[str]) -> bool:
    with contextlib.redirect_stderr(io.StringIO()):
        try:
            PARSERS[words[0]].parse_args(words)
        except SystemExit:
            return False
    return True


def with_output() -> list[tuple[Code, Code]]:
    """Blocks of commands, each with the block of the kind `text` behind it."""
    blocks = [code for code in CODE if code.kind != "inline"]
    return [
        (command, said)
        for command, said in itertools.pairwise(blocks)
        if said.kind == "text"
        and command.kind == "sh"
        and command.text.startswith("mtinet ")
        and command.page == said.page
    ]

# SPDX-License-Identifier: Apache-2.0
"""Sentences of the pages of what a command answers, and how one is held to it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from support.newcomer import Newcomer
from support.pages import ROOT

from mtinet_ros.cli.main import main


@dataclass(frozen=True)
class Claim:
    """Words of a page; a command; what it ends with; and what was done before.

    Attributes:
        page: Below the checkout.
        words: Of the page, as they stand there but for line ends.
        command: Is typed in the reader's folder.
        status: Its exit status.
        says: Is in what it prints; … is anything.
        before: Commands with && between, or what is done to the folder.
    """

    page: str
    words: str
    command: str
    status: int
    says: tuple[str, ...]
    before: str | Callable[[Path], None] = ""

    def __str__(self) -> str:
        return f"{self.page}-{self.words[:40]}"


def hold(claim: Claim, reader: Newcomer, folder: Path, printed: Callable[[], str]) -> None:
    """Assert that the page says it and the command does it.

    Args:
        claim: To hold.
        reader: Brings what the commands name.
        folder: Where they are typed, which is the working directory.
        printed: What was printed since the last call.
    """
    assert _in_one_line(claim.words) in _in_one_line((ROOT / claim.page).read_text())
    if callable(claim.before):
        claim.before(folder)
    else:
        for command in filter(None, claim.before.split(" && ")):
            reader.provide(folder, command.split())
            assert main(command.split()) == 0
    words = claim.command.split()
    reader.provide(folder, words)
    printed()
    status = main(words)
    text = printed()
    assert status == claim.status, text
    for said in claim.says:
        pattern = ".*".join(re.escape(part) for part in said.split("…"))
        assert re.search(pattern, text, re.DOTALL), text
    assert "Traceback" not in text


def _in_one_line(text: str) -> str:
    return " ".join(text.split())

# SPDX-License-Identifier: Apache-2.0
"""The report: written anew after every step, as a whole or not at all."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import Enum
from pathlib import Path


class Verdict(Enum):
    """What became of a step."""

    PASSED = "passed"
    FAILED = "FAILED"
    NOT_SUPPORTED = "not supported here"
    NOT_RUN = "not run"


@dataclass(frozen=True)
class Result:
    """A step's end.

    Attributes:
        key: Of the step.
        title: Of the step.
        verdict: What became of it.
        reason: Why, unless it passed; what was left out, if it did.
        command: What ran.
        seconds: How long.
        output: What it said.
    """

    key: str
    title: str
    verdict: Verdict
    reason: str = ""
    command: str = ""
    seconds: float = 0.0
    output: str = ""


# What is cut out of longer outputs is in their middle.
_LONGEST = 30_000


def write_report(file: Path, heading: list[str], results: list[Result], of: int) -> None:
    """Replace the report.

    Args:
        file: It.
        heading: Facts about the machine and its packages, a line each.
        results: Of the steps so far.
        of: How many steps there are.
    """
    lines = ["# Verification on a GPU", "", *(f"- {line}" for line in heading), ""]
    if len(results) < of:
        lines += [f"{len(results)} of {of} steps so far.", ""]
    lines += ["| step | | s | |", "|---|---|---|---|"]
    lines += [
        f"| {result.title} (`{result.key}`) | {result.verdict.value} | {result.seconds:.0f} | "
        f"{_one_line(result.reason)} |"
        for result in results
    ]
    for result in results:
        if result.command:
            lines += ["", f"## {result.title}: {result.verdict.value}", "", f"`{result.command}`"]
            lines += ["", "```", _shortened(result.output.strip()), "```"]
    partial = file.with_name(f".{file.name}.part")
    partial.write_text("\n".join([*lines, ""]), encoding="utf-8")
    os.replace(partial, file)


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _shortened(text: str) -> str:
    if len(text) <= _LONGEST:
        return text
    half = _LONGEST // 2
    return f"{text[:half]}\n… {len(text) - _LONGEST} characters left out …\n{text[-half:]}"

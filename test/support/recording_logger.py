# SPDX-License-Identifier: Apache-2.0
"""Stands in for a node's logger, for tests of what is logged without a node."""

from __future__ import annotations


class RecordingLogger:
    """Keeps what it is asked to write, line by line."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def warning(self, text: str) -> None:
        self.lines.append(text)

    info = warning

# SPDX-License-Identifier: Apache-2.0
"""Problems of a recording, gathered while several threads read it."""

from __future__ import annotations

import threading


class Loss(str):
    """A sentence about a part of a recording that is missing from what is read."""


class ProblemList:
    """Fills a list with sentences, each once; an `ImageDecoder` may tell its problems to it."""

    def __init__(self, sentences: list[str], subject: str) -> None:
        """Fill `sentences`; each begins with the subject, e.g. the name of a file."""
        self._sentences = sentences
        self._subject = subject
        self._lock = threading.Lock()

    def tell(self, sentence: str) -> None:
        """Take a whole sentence."""
        with self._lock:
            if sentence not in self._sentences:
                self._sentences.append(sentence)

    def add(self, text: str) -> None:
        """Take a problem, as a predicate of the subject."""
        self.tell(f"{self._subject} {text}")

    def lose(self, text: str) -> None:
        """Take a loss, as a predicate of the subject."""
        self.tell(Loss(f"{self._subject} {text}"))

    def report(self, subject: str, text: str) -> None:
        """Take a problem of a calibration, e.g. of `front: camera_info`."""
        self.tell(f"{self._subject}: {subject} {text}")

    def report_once(self, subject: str, text: str) -> None:
        """The same: nothing is told twice."""
        self.report(subject, text)

    def resolve(self, subject: str, text: str = "") -> None:
        """Nothing: what was wrong is told at the end."""

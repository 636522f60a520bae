# SPDX-License-Identifier: Apache-2.0
"""Printing that never ends the work it tells of."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


def make_streams_robust() -> None:
    """Have stdout and stderr take any text, and go on when nobody reads them any more.

    `mtinet evaluate … | head -3` closes the pipe after three lines: what is printed from then on
    is dropped, and the work is done to its end. A character that the encoding has not is written
    as an escape; on stdout a file name in another encoding as its own bytes, for scripts.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        # Nothing else than Python's own: not a test's, not a notebook's, not a closed one.
        if isinstance(stream, io.TextIOWrapper) and stream is getattr(sys, f"__{name}__"):
            setattr(sys, name, _robust(stream))


def _robust(stream: io.TextIOWrapper) -> TextIO:
    stream.flush()
    has_bytes = stream.encoding.lower().replace("-", "") == "utf8" and stream is sys.__stdout__
    return io.TextIOWrapper(
        io.BufferedWriter(_Pipe(stream.fileno(), "wb", closefd=False)),
        encoding=stream.encoding,
        errors="surrogateescape" if has_bytes else "backslashreplace",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


class _Pipe(io.FileIO):
    """Drops what nobody reads."""

    def write(self, data: ReadableBuffer, /) -> int:
        """As a file does, and as if it had where the reader is gone."""
        try:
            return super().write(data)
        except BrokenPipeError:
            return memoryview(data).nbytes

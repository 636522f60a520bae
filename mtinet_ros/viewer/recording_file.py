# SPDX-License-Identifier: Apache-2.0
"""A recording of Rerun in a file, which is there as a whole or not at all.

Where Rerun writes into a file itself, of a full disk it says a line on the terminal, goes on as if
nothing were, and never ends. So it writes into a pipe, and the file is written here.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

from mtinet_ros.errors import ConfigurationError
from mtinet_ros.output_files import check_target, file_errors

if TYPE_CHECKING:
    import rerun as rr

_MAGIC = b"RRF"  # of Rerun's files, whatever their version
_PIECE = 1 << 16  # bytes, as many as a pipe holds


@contextlib.contextmanager
def recording_file(
    stream: rr.RecordingStream, file: Path, on_failure: Callable[[], None]
) -> Iterator[None]:
    """Write what is logged in the block; the file is there once the block has ended in order.

    Until then it lies in `.<name>.<process>.part`.

    Args:
        stream: The recording.
        file: Where to. In place of an older recording, and of nothing else.
        on_failure: Called in a thread if the file cannot be written while the block runs, which
            should end then.

    Raises:
        ConfigurationError: The file cannot be written; the message names it.
    """
    check_target(file, _is_recording)
    aside = file.with_name(f".{file.name}.{os.getpid()}.part")
    with _errors(file):
        content = aside.open("wb")
    try:
        copy = _Copy(content, on_failure)
        try:
            copy.begin(stream)
            yield
        finally:
            copy.end(stream)
            with _errors(file):  # rather than that the block was interrupted for it
                copy.check()
        with _errors(file):
            content.close()
            os.replace(aside, file)
    finally:
        with contextlib.suppress(OSError):  # what could not be written cannot be at its end either
            content.close()
        aside.unlink(missing_ok=True)


class _Copy:
    """Copies what comes through a pipe into a file, in a thread."""

    def __init__(self, content: IO[bytes], on_failure: Callable[[], None]) -> None:
        self._content = content
        self._on_failure = on_failure
        self._failure: OSError | None = None
        self._is_ending = False
        self._reads, self._writes = os.pipe()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def begin(self, stream: rr.RecordingStream) -> None:
        """Have the recording write into the pipe."""
        self._thread.start()
        try:
            stream.save(f"/proc/self/fd/{self._writes}")  # opens it once more
        finally:
            os.close(self._writes)

    def end(self, stream: rr.RecordingStream) -> None:
        """Return once all that was logged is copied."""
        self._is_ending = True
        stream.disconnect()
        self._thread.join()
        os.close(self._reads)

    def check(self) -> None:
        """Raise the `OSError` for which not all could be written, if there was one."""
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        while piece := os.read(self._reads, _PIECE):
            if self._failure is not None:
                continue  # Rerun would wait for ever for a pipe that nobody reads
            try:
                self._content.write(piece)
            except OSError as error:
                self._failure = error
                if not self._is_ending:
                    self._on_failure()


def _errors(file: Path) -> contextlib.AbstractContextManager[None]:
    return file_errors(f"write {file}", ConfigurationError, "choose another place")


def _is_recording(file: Path) -> bool:
    """Whether a file is one of Rerun's."""
    with file.open("rb") as stream:
        return stream.read(len(_MAGIC)) == _MAGIC

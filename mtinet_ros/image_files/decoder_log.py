# SPDX-License-Identifier: Apache-2.0
"""OpenCV's image decoders, together with what the libraries below them print.

libjpeg fills what is missing with gray and prints a line about it; OpenCV passes no word of that
on. The line goes to file descriptor 2, which all threads of a process share, so catching it there
would take log lines of other threads with it. Linux can give one thread a table of descriptors of
its own (close_range(2), CLOSE_RANGE_UNSHARE): all decoding is done in such a thread, whose
descriptor 2 is a file in memory. Nothing else in the process notices, and nobody's terminal is
filled with the libraries' lines. Where the system cannot do that (Linux before 5.9, a strict
seccomp profile, no Linux), pictures are decoded all the same and the lines go where they always
went.
"""

from __future__ import annotations

import ctypes
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

_CLOSE_RANGE_UNSHARE = 2
_STDERR = 2
_MOST_KEPT = 10_000  # bytes of a decoder's lines

_log = threading.local()


def decode_with_log(data: NDArray[np.uint8], flags: int) -> tuple[NDArray[Any] | None, str]:
    """`cv2.imdecode`, and what was printed meanwhile.

    Args:
        data: uint8 [n], the file's content.
        flags: Of `cv2.imdecode`.

    Returns:
        The picture or None, and the printed lines; no lines where they cannot be caught.

    Raises:
        cv2.error: OpenCV has something against the picture.
    """
    return _decoder().submit(_decode, data, flags).result()


@cache
def _decoder() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, "image-decoder", _catch_stderr)


# A forked process has the executor, but not its thread.
os.register_at_fork(after_in_child=_decoder.cache_clear)


def _catch_stderr() -> None:
    """Give this thread descriptors of its own, of which 2 is a file in memory."""
    _log.file = None
    try:
        close_range = ctypes.CDLL(None, use_errno=True).close_range
        arguments = (_STDERR + 1, ctypes.c_uint(-1), _CLOSE_RANGE_UNSHARE)
        if close_range(*arguments) == 0:
            file = os.memfd_create("image-decoder")
            os.dup2(file, _STDERR)
            _log.file = file
    except (AttributeError, OSError):  # no such function in this C library, no such kind of file
        pass


def _decode(data: NDArray[np.uint8], flags: int) -> tuple[NDArray[Any] | None, str]:
    try:
        image = cv2.imdecode(data, flags)
    finally:
        printed = _printed()
    return image, printed


def _printed() -> str:
    if _log.file is None:
        return ""
    text = os.pread(_log.file, _MOST_KEPT, 0)
    if text:
        os.ftruncate(_log.file, 0)
        os.lseek(_log.file, 0, os.SEEK_SET)
    return text.decode("utf-8", "replace")

# SPDX-License-Identifier: Apache-2.0
"""Runs a program that ends with whoever started it, however that one ends.

    python leash.py PROGRAM ARGUMENT…

Its standard input is a pipe, which the system closes when the process at the other end is gone,
killed or not. Then it kills its process group, which has to be its own: the program may be a
script around another. Run as a file: it needs nothing but Python.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading


def main() -> int:
    """Run the program; returns its status, as a shell says it where a signal has ended it."""
    program = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
    threading.Thread(target=_kill_once_let_go, daemon=True).start()
    status = program.wait()
    return status if status >= 0 else 128 - status


def _kill_once_let_go() -> None:
    while os.read(0, 1):
        pass
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""The parent's side of an engine build: a child process, its messages and its exit."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, Any

from mtinet_ros import errors
from mtinet_ros.errors import BackendError
from mtinet_ros.inference.engine_builder import BuildRequest, Progress

logger = logging.getLogger("mtinet_ros.tensorrt")

_MODULE = "mtinet_ros.inference.engine_builder"
# A cancelled builder has this long to end by itself before it is killed.
_STOP_SECONDS = 3.0


def run_build(
    request: BuildRequest, output: Path, progress: Progress, cancelled: threading.Event
) -> Mapping[str, Any]:
    """Build in a child process.

    Args:
        request: What to build.
        output: File to write the engine to, instead of the request's.
        progress: Called in this thread with phase and share done.
        cancelled: Set it to stop the child.

    Returns:
        The fields of `BuildReport`.

    Raises:
        BackendError: The build failed, was cancelled, or the builder crashed.
        MtinetError: Whatever else of that family the builder reports.
    """
    environment = dict(os.environ)
    # The child sees the same packages, wherever this process found them.
    environment["PYTHONPATH"] = os.pathsep.join(path or os.getcwd() for path in sys.path)
    with tempfile.TemporaryFile() as stderr:
        # A session of its own: Ctrl-C in the terminal reaches us alone, and we stop the child.
        child = subprocess.Popen(
            [sys.executable, "-m", _MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=environment,
            start_new_session=True,
            text=True,
        )
        assert child.stdin is not None
        assert child.stdout is not None
        ended = threading.Event()
        watcher = threading.Thread(
            target=_stop_on_cancel, args=[cancelled, ended, child], daemon=True
        )
        watcher.start()
        try:
            _send(child.stdin, replace(request, engine=str(output)))
            outcome = _read_messages(child.stdout, progress)
            child.wait()
        finally:
            ended.set()
            watcher.join()
            _stop(child)
            child.stdout.close()
        if cancelled.is_set():
            raise BackendError(f"building an engine of {request.model} was cancelled")
        if "done" in outcome and child.returncode == 0:
            report: Mapping[str, Any] = outcome["done"]
            return report
        if "failed" in outcome:
            raise getattr(errors, outcome["kind"])(*outcome["failed"])
        raise BackendError(_describe_exit(child.returncode, request, stderr))


def _send(stdin: IO[str], request: BuildRequest) -> None:
    with contextlib.suppress(BrokenPipeError):  # it died at once; its end says why
        stdin.write(json.dumps(asdict(request)) + "\n")
        stdin.flush()


def _read_messages(stdout: IO[str], progress: Progress) -> dict[str, Any]:
    """Pass on progress and log until the child closes its output; returns the final message."""
    outcome: dict[str, Any] = {}
    for line in stdout:
        message = json.loads(line)
        if "progress" in message:
            phase, share = message["progress"]
            progress(phase, share)
        elif "log" in message:
            logger.log(*message["log"])
        else:
            outcome = message
    return outcome


def _stop_on_cancel(
    cancelled: threading.Event, ended: threading.Event, child: subprocess.Popen[str]
) -> None:
    while not ended.is_set():
        if cancelled.wait(0.05):
            _stop(child)
            return


def _stop(child: subprocess.Popen[str]) -> None:
    """Close the child's input, which tells it to stop; kill it if it does not."""
    assert child.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        child.stdin.close()
    try:
        child.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _describe_exit(code: int, request: BuildRequest, stderr: IO[bytes]) -> str:
    stderr.seek(0)
    lines = stderr.read().decode("utf-8", "replace").strip().splitlines()
    said = f"; its last words: {lines[-1]}" if lines else ""
    if code < 0:
        name = signal.Signals(-code).name
        advice = (
            "most often the system ran out of memory (see dmesg): end other programs or lower "
            "max_batch"
            if -code == signal.SIGKILL
            else "that is a fault inside TensorRT: try another TensorRT version or backend"
        )
        return f"{request.edition}'s builder died of {name}; {advice}{said}"
    return f"{request.edition}'s builder ended with status {code} and no result{said}"

# SPDX-License-Identifier: Apache-2.0
"""A page in headless Chromium: what it shows, and whom it asks for something.

Chromium is spoken to through a pipe (its DevTools protocol), so that no package is needed for it.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")

# WebGL drawn by the CPU, and nothing that the browser would ask the internet for on its own.
OPTIONS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-features=AutofillServerCommunication,NetworkTimeServiceQuerying,"
    "OptimizationHints,MediaRouter,Translate",
    "--remote-debugging-pipe",
]
# Whom Chromium asks on its own all the same, whatever the page.
_ITS_OWN = (
    "www.google.com",
    "accounts.google.com",
    "android.clients.google.com",
    "clients2.google.com",
    "content-autofill.googleapis.com",
)
_ANSWER = 60.0  # seconds; drawing by the CPU keeps the page from answering for some


def browser_program() -> str | None:
    """Path of a Chromium, or None."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


class Page:
    """A tab; made by `opened`."""

    def __init__(self, commands: int, answers: int, asked: list[str]) -> None:
        self._commands, self._answers = commands, answers
        self._rest = b""
        self._last = 0
        self._session: str | None = None
        self._events: set[str | None] = set()
        self.asked = asked  # hosts other than 127.0.0.1

    def open(self, url: str, width: int, height: int) -> None:
        """Go to an address, in a window of so many pixels."""
        target = self.call("Target.createTarget", url="about:blank")
        attached = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        self.call("Page.enable")
        self._events.clear()
        self.call("Page.navigate", url=url)
        while "Page.loadEventFired" not in self._events:
            self._events.add(self._next().get("method"))

    def screenshot(self) -> NDArray[np.uint8]:
        """What is to be seen, uint8 [h,w,3] RGB."""
        answer = self.call("Page.captureScreenshot", format="png")
        data = np.frombuffer(base64.b64decode(answer["data"]), np.uint8)
        decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
        assert decoded is not None
        return np.asarray(decoded[..., ::-1], np.uint8)

    def click(self, x: float, y: float) -> None:
        """Press and release the left button there."""
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            place = {"x": x, "y": y, "button": "left", "clickCount": 1}
            self.call("Input.dispatchMouseEvent", type=kind, **place)

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression, or of the promise that it is."""
        answer = self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        return answer["result"].get("value")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command of the DevTools protocol and wait for its answer."""
        self._last += 1
        message: dict[str, Any] = {"id": self._last, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self._last:
            self._events.add(answer.get("method"))
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        result: dict[str, Any] = answer["result"]
        return result

    def _next(self) -> dict[str, Any]:
        end = time.monotonic() + _ANSWER
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._answers], [], [], max(end - time.monotonic(), 0))
            if not ready:
                raise TimeoutError(f"the browser says nothing for {_ANSWER:g} s")
            piece = os.read(self._answers, 1 << 20)
            if not piece:
                raise ConnectionError("the browser has ended")
            self._rest += piece
        line, _, self._rest = self._rest.partition(b"\0")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[Page]:
    """Start a browser, whose profile is in the folder; it ends with the block.

    Every other host is reached through a proxy of ours, which notes what is asked and refuses it.
    """
    program = browser_program()
    assert program is not None
    asked: list[str] = []
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(_proxy(asked))
        theirs_in, commands = map(stack.enter_context, _pipe())
        answers, theirs_out = map(stack.enter_context, _pipe())
        options = [*OPTIONS, f"--user-data-dir={folder}", f"--proxy-server=127.0.0.1:{port}"]
        # The protocol's pipe is at 3 and 4.
        shell = ["bash", "-c", f'exec "$@" 3<&{theirs_in.fileno()} 4>&{theirs_out.fileno()}']
        process = subprocess.Popen(
            [*shell, "bash", program, *options],
            pass_fds=(theirs_in.fileno(), theirs_out.fileno()),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        theirs_out.close()  # so that the pipe ends with the browser
        try:
            yield Page(commands.fileno(), answers.fileno(), asked)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _pipe() -> tuple[FileIO, FileIO]:
    """A pipe, to read and to write, above the numbers that the browser's ends are moved to."""
    low = os.pipe()
    read, write = (fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 20) for end in low)
    for end in low:
        os.close(end)
    return FileIO(read, "r"), FileIO(write, "w")


@contextlib.contextmanager
def _proxy(asked: list[str]) -> Iterator[int]:
    """Listen as a proxy that notes the host of every request and hangs up."""

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError, IndexError):
                connection.settimeout(2.0)
                target = connection.recv(4096).split(b" ")[1].decode(errors="replace")
                host = target.removeprefix("http://").partition("/")[0].partition(":")[0]
                if host not in _ITS_OWN:
                    asked.append(host)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)

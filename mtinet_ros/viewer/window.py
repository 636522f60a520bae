# SPDX-License-Identifier: Apache-2.0
"""The Rerun viewer as a process: a window where there is a display, else a page for a browser.

Rerun listens on all addresses unless told, and its page asks the internet for fonts, releases and
telemetry. So the viewer is told which address to listen on, and the page comes through a small
server of ours that forbids it, by a Content-Security-Policy, to talk to anyone but the viewer, and
takes out of it what would connect to others without asking them for anything.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from mtinet_ros.errors import ConfigurationError
from mtinet_ros.viewer import leash

LOCAL = "127.0.0.1"
OnEnd = Callable[[int, str], None]
# Rerun has no variable of its own to keep it from sending statistics of its use; where this one is
# set, it sends none. `rerun analytics disable` would change a setting of the user's.
_NO_STATISTICS = {"CI": "true"}
_START = 15.0  # seconds that the viewer may take to listen
_END = 2.0  # seconds that it may take to end once it is killed
_COLORS = re.compile(r"\x1b\[[0-9;]*m")  # of a terminal
_KIND = re.compile(r"^[Ee]rror: ")
_NEWS = re.compile(r"\S+\s+(?:TRACE|DEBUG|INFO|WARN)\s")  # of Rerun's log, after the time
# What makes a browser connect to a host ahead of any request: no policy forbids it.
_CONNECTS = re.compile(rb"<link\b[^>]*\brel=[\"']?(?:preconnect|dns-prefetch)\b[^>]*>")


def rerun_program() -> str:
    """Path of Rerun's viewer, beside this Python or on the path.

    Raises:
        ConfigurationError: There is none.
    """
    beside = Path(sys.executable).parent
    found = shutil.which("rerun", path=f"{beside}:{os.environ.get('PATH', os.defpath)}")
    if found is None:
        raise ConfigurationError(
            "the program rerun is not there; `pip install 'mtinet_ros[view]'` brings it"
        )
    return found


@contextlib.contextmanager
def window(memory_limit: str, on_end: OnEnd) -> Iterator[str]:
    """Open the viewer's window; gives the address to log to. Closed with the block, if not before.

    Args:
        memory_limit: Of what the viewer keeps, e.g. `1GB`.
        on_end: Called in a thread if the viewer ends before the block does, with its exit status
            and the last that it said: 0 where its window was closed, 128 and the signal's number
            where one has ended it.

    Raises:
        ConfigurationError: The viewer does not start.
    """
    port = free_port(LOCAL)
    options = ["--port", str(port), "--expect-data-soon", "--memory-limit", memory_limit]
    with _running([rerun_program(), "--bind", LOCAL, *options], [(LOCAL, port)], on_end):
        yield grpc_address(LOCAL, port)


@contextlib.contextmanager
def page(address: str, port: int, memory_limit: str, on_end: OnEnd) -> Iterator[tuple[str, str]]:
    """Serve the viewer as a page.

    Args:
        address: Address to listen on.
        port: Port of the page; 0: any.
        memory_limit: Of what is kept for late viewers, e.g. `1GB`.
        on_end: As for `window`.

    Yields:
        The address to log to, and the page's.

    Raises:
        ConfigurationError: The viewer does not start, or the port is taken.
    """
    grpc, inner = free_port(address), free_port(LOCAL)
    # The page itself listens where this program alone looks.
    command = [rerun_program(), "--serve-web", "--bind", address, "--port", str(grpc)]
    command += ["--web-viewer-port", str(inner), "--server-memory-limit", memory_limit]
    try:
        server = ThreadingHTTPServer((address, port), _handler(address, inner, grpc))
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on {address}, port {port}: {_words(error)}; choose another --port"
        ) from error
    near = LOCAL if _is_every(address) else address
    with server, _running(command, [(near, grpc), (LOCAL, inner)], on_end):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            host, chosen = _host(address), server.server_address[1]
            source = f"rerun%2Bhttp://{host}:{grpc}/proxy"
            yield grpc_address(near, grpc), f"http://{host}:{chosen}/?url={source}"
        finally:
            server.shutdown()


def grpc_address(address: str, port: int) -> str:
    """What `RecordingStream.connect_grpc` connects to."""
    return f"rerun+http://{_host(address)}:{port}/proxy"


def free_port(address: str) -> int:
    """A port that nobody listens on.

    Raises:
        ConfigurationError: The address is none of this machine's.
    """
    try:
        with socket.create_server((address, 0)) as listener:
            return int(listener.getsockname()[1])
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on {address}: {_words(error)}; choose an address of this machine"
        ) from error


def _words(error: OSError) -> str:
    """What is wrong, without the address, which `socket.create_server` adds."""
    return (error.strerror or str(error)).partition(" (while attempting")[0]


def content_security_policy(host: str, grpc_port: int) -> str:
    """What the page may do: run its own code, and talk to the viewer's port of its host."""
    return (
        "default-src 'none'; script-src 'self' 'unsafe-inline' 'wasm-unsafe-eval'; "
        "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
        f"worker-src 'self' blob:; manifest-src 'self'; connect-src 'self' http://{host}:{grpc_port}"
    )


def _host(address: str) -> str:
    """The address as others call it: the machine's name where it is every address."""
    return socket.gethostname() if _is_every(address) else address


def _is_every(address: str) -> bool:
    """Whether it stands for all addresses of the machine."""
    return address in ("0.0.0.0", "::")


@contextlib.contextmanager
def _running(
    command: list[str], listens: Sequence[tuple[str, int]], on_end: OnEnd
) -> Iterator[None]:
    """Run the viewer until the block ends, or this process; the block begins once it listens."""
    environment = {**os.environ, **_NO_STATISTICS}
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", leash.__file__, *command],
        env=environment,
        stdin=subprocess.PIPE,  # the leash: nothing is written into it
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,  # `rerun` is a script that starts the viewer: both have to end
    )
    is_closing = threading.Event()
    said = _LastLine(process)

    def watch() -> None:
        status = process.wait()
        if not is_closing.is_set():
            on_end(status, said.text())

    try:
        _wait_for(process, listens, said)
        threading.Thread(target=watch, daemon=True).start()
        yield
    finally:
        is_closing.set()
        _signal_group(process, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5.0)
        _signal_group(process, signal.SIGKILL)
        process.wait()
        if process.stdin is not None:
            process.stdin.close()
        # The viewer is a child of its child, for whose end nobody can wait.
        end = time.monotonic() + _END
        while time.monotonic() < end and any(_is_heard(*place) for place in listens):
            time.sleep(0.02)


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


class _LastLine:
    """The last line that the viewer says before it ends, but for news: why it does."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stderr is not None
        self._lines = process.stderr
        self._line = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def text(self) -> str:
        """As the end of a sentence."""
        self._reader.join(1.0)
        return _KIND.sub("", self._line).rstrip(".") or "it says nothing"

    def _read(self) -> None:
        for raw in self._lines:
            line = _COLORS.sub("", raw.decode(errors="replace")).strip()
            if line and not _NEWS.match(line):
                self._line = line


def _wait_for(
    process: subprocess.Popen[bytes], listens: Sequence[tuple[str, int]], said: _LastLine
) -> None:
    """Return once the viewer listens. Raises `ConfigurationError` if it never does."""
    end = time.monotonic() + _START
    missing = list(listens)
    while missing and time.monotonic() < end and process.poll() is None:
        if _is_heard(*missing[0]):
            missing.pop(0)
        else:
            time.sleep(0.05)
    if missing:
        raise ConfigurationError(f"the viewer rerun does not start: {said.text()}")


def _is_heard(address: str, port: int) -> bool:
    """Whether somebody listens."""
    try:
        socket.create_connection((address, port), 0.2).close()
    except OSError:
        return False
    return True


def _handler(address: str, inner: int, grpc: int) -> type[BaseHTTPRequestHandler]:
    policy = content_security_policy(_host(address), grpc)

    class Handler(BaseHTTPRequestHandler):
        """Hands on what the viewer's own server says, and what the page may do."""

        def do_GET(self) -> None:  # the name is http.server's
            connection = http.client.HTTPConnection(LOCAL, inner, timeout=10.0)
            try:
                connection.request("GET", self.path)
                response = connection.getresponse()
                body = response.read()
            except OSError:
                self.send_error(502, "the viewer does not answer")
                return
            finally:
                connection.close()
            if response.getheader("Content-Type", "").startswith("text/html"):
                body = _CONNECTS.sub(b"", body)
            self.send_response(response.status)
            for name in ("Content-Type", "Content-Encoding"):
                if value := response.getheader(name):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Content-Security-Policy", policy)
            self.send_header("X-Content-Type-Options", "nosniff")
            self.send_header("Referrer-Policy", "no-referrer")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *values: object) -> None:
            """Say nothing of each request."""

    return Handler

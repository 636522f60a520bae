# SPDX-License-Identifier: Apache-2.0
"""The page is served on one address, and may talk to nobody but the viewer.

A small program stands in for Rerun's: it listens where it is told, and serves a page.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from queue import SimpleQueue

import pytest

from mtinet_ros.errors import ConfigurationError
from mtinet_ros.viewer import window

STAND_IN = f"""#!{sys.executable}
import http.server, os, socket, sys, threading
given = dict(zip(sys.argv[1:], sys.argv[2:]))
if "FAIL" in open(__file__ + ".mode").read():
    print("error: the port is taken", file=sys.stderr)
    sys.exit(1)
print("\\x1b[31mError: \\x1b[0mno screen.\\n", file=sys.stderr)
print("\\x1b[2m2026-11-28T01:43Z\\x1b[0m \\x1b[32m INFO\\x1b[0m end", file=sys.stderr, flush=True)
listener = socket.create_server((given["--bind"], int(given["--port"])))
open(__file__ + ".process", "w").write(str(os.getpid()))
open(__file__ + ".arguments", "w").write(" ".join(sys.argv[1:]))
if "--web-viewer-port" in given:
    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = b"page " + self.path.encode()
            body += b'<link rel="preconnect" href="https://fonts.invalid" /><link rel="icon" />'
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(body)
    address = (given["--bind"], int(given["--web-viewer-port"]))
    http.server.HTTPServer(address, Page).serve_forever()
threading.Event().wait()
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The stand-in, found in place of Rerun's program."""
    program = tmp_path / "rerun"
    program.write_text(STAND_IN)
    program.chmod(0o755)
    Path(f"{program}.mode").write_text("")
    monkeypatch.setattr(window, "rerun_program", lambda: str(program))
    return program


def lost(status: int, said: str) -> None:
    raise AssertionError("the viewer has not ended by itself")


def test_the_page_may_talk_to_the_viewer_alone(program: Path) -> None:
    with window.page("127.0.0.1", 0, "1GB", lost) as (log_to, url):
        port = log_to.removeprefix("rerun+http://127.0.0.1:").removesuffix("/proxy")
        with urllib.request.urlopen(url) as response:
            text = response.read()
            policy = response.headers["Content-Security-Policy"]
            assert response.headers["Content-Type"] == "text/html"
    assert text.startswith(b"page /?url=rerun%2Bhttp://127.0.0.1:")
    assert text.endswith(b'/proxy<link rel="icon" />')  # a policy does not keep it from connecting
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["connect-src"] == f"'self' http://127.0.0.1:{port}"
    assert not any("http" in sources for rule, sources in rules.items() if rule != "connect-src")
    assert "--bind 127.0.0.1" in Path(f"{program}.arguments").read_text()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(url)  # gone with the block


def test_a_window_is_told_to_listen_on_this_machine_only(program: Path) -> None:
    with window.window("2GB", lost) as log_to:
        assert log_to.startswith("rerun+http://127.0.0.1:")
    arguments = Path(f"{program}.arguments").read_text()
    assert "--bind 127.0.0.1" in arguments
    assert "--memory-limit 2GB" in arguments


@pytest.fixture
def wrapped(program: Path) -> Path:
    """The stand-in behind a script, as Rerun's viewer is."""
    inner = program.rename(program.with_name("viewer"))
    Path(f"{inner}.mode").write_text("")
    program.write_text(f'#!/bin/sh\n{inner} "$@" & wait\n')
    program.chmod(0o755)
    return program


def test_what_the_program_has_started_ends_with_it(wrapped: Path) -> None:
    with window.window("1GB", lost) as log_to:
        port = int(log_to.split(":")[2].split("/")[0])
        socket.create_connection(("127.0.0.1", port)).close()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port))


# Opens a window with the program in its arguments, says where it listens, and waits.
OWNER = """
import signal, sys
from mtinet_ros.viewer import window
window.rerun_program = lambda: sys.argv[1]
with window.window("1GB", print) as log_to:
    print(log_to, flush=True)
    signal.pause()
"""


def test_a_killed_owner_leaves_no_viewer_behind(wrapped: Path) -> None:
    """It would hold its port and up to the memory limit until the machine is restarted."""
    command = [sys.executable, "-c", OWNER, str(wrapped)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        port = int(owner.stdout.readline().split(":")[2].split("/")[0])
        socket.create_connection(("127.0.0.1", port)).close()
        owner.kill()
    viewer = Path(f"/proc/{wrapped.with_name('viewer.process').read_text()}")
    end = time.monotonic() + 10.0
    while viewer.exists() and time.monotonic() < end:
        time.sleep(0.02)
    assert not viewer.exists()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port))


def test_a_window_that_is_closed_is_told(program: Path) -> None:
    """Else a node would go on computing for nobody."""
    ends: SimpleQueue[tuple[int, str]] = SimpleQueue()
    with window.window("1GB", lambda *end: ends.put(end)):
        process = int(Path(f"{program}.process").read_text())
        os.kill(process, signal.SIGKILL)
        assert ends.get(timeout=10.0) == (128 + signal.SIGKILL, "no screen")
    with window.window("1GB", lambda *end: ends.put(end)):
        pass
    assert ends.empty()


def test_a_viewer_that_does_not_start_says_why(program: Path) -> None:
    Path(f"{program}.mode").write_text("FAIL")
    with (
        pytest.raises(ConfigurationError, match=r"does not start: the port is taken$"),
        window.page("127.0.0.1", 0, "1GB", lost),
    ):
        pass


def test_addresses_and_ports_that_cannot_be_had(program: Path) -> None:
    with (
        pytest.raises(ConfigurationError, match=r"on 192\.0\.2\.1: [\w ]+; choose"),
        window.page("192.0.2.1", 0, "1GB", lost),
    ):
        pass
    with window.page("127.0.0.1", 0, "1GB", lost) as (_, url):
        taken = int(url.split(":")[2].split("/")[0])
        with (
            pytest.raises(ConfigurationError, match=f"port {taken}: .*; choose another --port"),
            window.page("127.0.0.1", taken, "1GB", lost),
        ):
            pass


def test_without_rerun_the_way_to_get_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window.shutil, "which", lambda *_, **__: None)
    with pytest.raises(ConfigurationError, match=r"pip install 'mtinet_ros\[view\]'"):
        window.rerun_program()

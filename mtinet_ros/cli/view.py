# SPDX-License-Identifier: Apache-2.0
"""`mtinet view`: what a node publishes, or published into a bag, in Rerun."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from mtinet_ros.cli.options import path
from mtinet_ros.errors import ConfigurationError, InputError, MtinetError
from mtinet_ros.node.end_signals import EndSignals, given_back
from mtinet_ros.visualization.display import has_display

if TYPE_CHECKING:
    import rerun as rr

    from mtinet_ros.viewer.replay import Replay
    from mtinet_ros.viewer.scene import Scene
    from mtinet_ros.viewer.window import OnEnd


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument(
        "bag",
        nargs="?",
        type=path,
        help="rosbag2 with a node's topics, as `mtinet process` writes it; none: a running node",
    )
    parser.add_argument(
        "--node", default="/perception", help="name of the node (default: /perception)"
    )
    parser.add_argument(
        "--web",
        action="store_true",
        help="a page for a browser (the default where there is no display) instead of a window",
    )
    parser.add_argument(
        "--address",
        default="127.0.0.1",
        help="address that the page is served on (default: 127.0.0.1, this machine only)",
    )
    parser.add_argument("--port", type=int, default=9090, help="port of the page (default: 9090)")
    parser.add_argument(
        "--save", type=path, metavar="FILE.rrd", help="write into a file instead of showing"
    )
    parser.add_argument(
        "--memory-limit",
        default="1GB",
        help="what the viewer keeps before it drops the oldest (default: 1GB)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Show until Ctrl-C or until the window is closed, which are the regular ends."""
    if not 0 <= arguments.port <= 65535:
        raise ConfigurationError(f"--port {arguments.port} is not allowed; from 0 to 65535")
    arguments.node = "/" + arguments.node.strip("/")
    with _quiet():
        import rerun as rr

        from mtinet_ros.viewer.scene import Scene

        stream = rr.RecordingStream("mtinet_ros")

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    ends: list[tuple[int, str]] = []

    def on_end(status: int, said: str) -> None:
        ends.append((status, said))
        os.kill(os.getpid(), signal.SIGTERM)  # who looks at nothing subscribes to nothing

    shown = _shown(arguments, stream, on_end)
    with _regular_end(arguments), _opened(arguments) as bag, shown:
        if bag is None:
            scene = Scene(stream, waits=arguments.save is not None)
            _watch(scene, arguments.node)
            if arguments.save is not None and scene.is_empty:
                raise InputError(
                    f"nothing of {arguments.node} came in, so {arguments.save} is not written; is "
                    "the node active? --node names another"
                )
        else:
            scene = Scene(stream, plots={}, waits=arguments.save is not None)
            _replay(scene, bag, arguments)
    for status, said in ends:
        if status != 0:
            raise MtinetError(
                f"the viewer rerun has ended with status {status}: {said}; start it again, or see "
                "a page with --web"
            )
    return 0


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Import Rerun inside: what it would tell the terminal of itself, it does not.

    A viewer that is closed is no error, and the errors that are have a sentence of ours.
    """
    if "RUST_LOG" in os.environ:
        yield
        return
    os.environ["RUST_LOG"] = "off"
    try:
        yield
    finally:
        del os.environ["RUST_LOG"]  # why the viewer does not start, it has to say


@contextlib.contextmanager
def _regular_end(arguments: argparse.Namespace) -> Iterator[None]:
    """Take Ctrl-C and SIGTERM for the end that was meant, but not where a file is unfinished."""
    try:
        yield
    except KeyboardInterrupt:
        if arguments.save is not None:
            raise
        print()


@contextlib.contextmanager
def _opened(arguments: argparse.Namespace) -> Iterator[Replay | None]:
    """The bag, if one is to be shown; opened before there is anything to look at."""
    if arguments.bag is None:
        yield None
        return
    from mtinet_ros.viewer.replay import Replay

    with contextlib.closing(Replay(arguments.bag, arguments.node)) as bag:
        yield bag


@contextlib.contextmanager
def _shown(
    arguments: argparse.Namespace, stream: rr.RecordingStream, on_end: OnEnd
) -> Iterator[None]:
    """Connect the recording to a file, a window or a page, and say which.

    Args:
        arguments: Of the command.
        stream: The recording.
        on_end: Called with the viewer's exit status and last words if it ends by itself.
    """
    from mtinet_ros.viewer import window

    memory_limit = arguments.memory_limit
    if arguments.save is not None:
        with _saved(arguments, stream):
            yield
    elif not arguments.web and has_display():
        with window.window(memory_limit, on_end) as address, _connected(stream, address):
            yield
    else:
        page = window.page(arguments.address, arguments.port, memory_limit, on_end)
        with page as (to, url):
            print(f"open {url} in a browser; Ctrl-C ends it", flush=True)
            with _connected(stream, to):
                yield


@contextlib.contextmanager
def _connected(stream: rr.RecordingStream, address: str) -> Iterator[None]:
    """Log to a viewer; what was logged has arrived before the viewer is closed."""
    stream.connect_grpc(address)
    try:
        yield
    finally:
        with contextlib.suppress(Exception):  # the viewer may be gone already
            stream.flush(timeout_sec=2.0)
        stream.disconnect()


@contextlib.contextmanager
def _saved(arguments: argparse.Namespace, stream: rr.RecordingStream) -> Iterator[None]:
    """Write into a file: of a node until Ctrl-C, of a bag all or nothing."""
    from mtinet_ros.viewer.recording_file import recording_file

    def on_failure() -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    file = arguments.save
    regular = (KeyboardInterrupt,) if arguments.bag is None else ()
    with recording_file(stream, file, on_failure), contextlib.suppress(*regular):
        yield
    print(f"\nwrote {file}; `rerun {file}` shows it")


def _watch(scene: Scene, node: str) -> None:
    # From before the imports: in the middle of one, Ctrl-C looks like a package that is broken.
    with given_back():
        signals = EndSignals()
        try:
            _live()(scene, node, signals)
        finally:
            signals.ignore()


def _live() -> Callable[[Scene, str, EndSignals], None]:
    try:
        from mtinet_ros.viewer.live import watch
    except ImportError as error:
        raise ConfigurationError(
            f"a running node is watched with ROS 2 ({error}): source your ROS installation, or "
            "install the wheels with pip install 'mtinet_ros[ros]'"
        ) from error
    return watch


def _replay(scene: Scene, bag: Replay, arguments: argparse.Namespace) -> None:
    shown = bag.show(scene)
    if shown == 0:
        raise InputError(f"no message of {arguments.bag} could be shown; the lines above say why")
    print(f"{shown} messages of {arguments.bag}", flush=True)
    if arguments.save is None:
        signal.pause()

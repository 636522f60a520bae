# SPDX-License-Identifier: Apache-2.0
"""Starts the perception node as a user would, plays a camera to it, and shows what comes back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import rclpy
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from numpy.typing import NDArray
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from mtinet_ros.demo.player import CameraPlayer
from mtinet_ros.demo.sources import open_source
from mtinet_ros.demo.watcher import Watcher
from mtinet_ros.errors import BackendError, MtinetError
from mtinet_ros.image_files import png_bytes
from mtinet_ros.model_card import read_model_card
from mtinet_ros.node.end_signals import EndSignals
from mtinet_ros.node.transport_profile import ensure_transport_profile
from mtinet_ros.output_files import ResultFolder
from mtinet_ros.visualization.display import has_display

_START_TIMEOUT = 60.0  # seconds for the node to appear and change its state
_FRAME_TIMEOUT = 90.0  # seconds without a complete frame after which something is wrong
_TABLE_PERIOD = 5.0  # seconds
_KEPT = 200  # montages; later ones take the places of the first
_WINDOW = "mtinet_ros demo"


def run_demonstration(
    signals: EndSignals,
    model: Path,
    backend: str,
    source: str,
    rate: float,
    frames: int,
    output: Path,
    *,
    has_window: bool = True,
) -> None:
    """Play, predict and show until enough frames were seen or the user interrupts.

    Args:
        signals: Of the user.
        model: ONNX model with a card.
        backend: Its backend's name, or auto.
        source: See `open_source`.
        rate: Pictures per second.
        frames: End after so many; 0: go on until Ctrl-C.
        output: Folder for the montages.
        has_window: Whether they are shown too, where there is a screen.

    Raises:
        MtinetError: Something did not start, or no pictures came out; the sentence says what.
    """
    card = read_model_card(model)
    show = _Display(ResultFolder(output), has_window and has_display())
    shots = open_source(source)
    ensure_transport_profile(os.environ)
    if signals.has_come:
        return
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    process = _start_perception(model, backend)
    try:
        player = CameraPlayer(shots, rate)
        watcher = Watcher(card, show)
        executor = SingleThreadedExecutor()
        executor.add_node(player)
        executor.add_node(watcher)
        spin = _Spinning(executor, process, signals)
        for transition in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
            _change_state(watcher, spin, transition)
        print(f"Montages are written to {output}/; Ctrl-C ends the demonstration.", flush=True)
        _watch(spin, watcher, frames)
        print(watcher.table(), flush=True)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        try:
            _stop(process)  # before the client goes that its answers are for
        finally:
            rclpy.try_shutdown()


class _Display:
    """Writes every montage, and shows it in a window if it is to have one."""

    def __init__(self, results: ResultFolder, has_window: bool) -> None:
        results.check(map(_montage_name, range(_KEPT)))
        self._results = results
        self._has_window = has_window

    def __call__(self, number: int, image: NDArray[np.uint8]) -> None:
        self._results.write(_montage_name(number), png_bytes(image))
        if self._has_window:
            try:
                cv2.imshow(_WINDOW, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
                cv2.waitKey(1)
            except cv2.error as error:
                print(f"No window can be opened ({error.err}); see the files instead.")
                self._has_window = False


def _montage_name(number: int) -> str:
    return f"frame_{number % _KEPT:03d}.png"


def _start_perception(model: Path, backend: str) -> subprocess.Popen[bytes]:
    parameters = {"model": model.resolve(), "backend": backend}
    arguments = [word for key, value in parameters.items() for word in ("-p", f"{key}:={value}")]
    command = [sys.executable, "-m", "mtinet_ros.node", "--ros-args", *arguments]
    # A session of its own: Ctrl-C reaches only this process, which then ends the node in order.
    return subprocess.Popen(command, start_new_session=True)


@dataclass(frozen=True)
class _Spinning:
    """Waits for things, while the nodes of this process work.

    Attributes:
        executor: Theirs.
        process: The perception node, which must not end.
        signals: What ends the waiting.
    """

    executor: SingleThreadedExecutor
    process: subprocess.Popen[bytes]
    signals: EndSignals

    def until(
        self, done: Callable[[], bool], message: str, timeout: float = _START_TIMEOUT
    ) -> None:
        """Wait until something is done.

        Args:
            done: Whether it is.
            message: What is wrong if it is not in time.
            timeout: Seconds.

        Raises:
            KeyboardInterrupt: The user wants no more.
            MtinetError: It is not in time, or the perception node has ended.
        """
        deadline = time.monotonic() + timeout
        while not done():
            self.executor.spin_once(timeout_sec=0.1)
            if self.signals.has_come:
                raise KeyboardInterrupt
            if self.process.poll() is not None:
                status = self.process.returncode
                raise BackendError(
                    f"the perception node ended with status {status}; its log is above"
                )
            if time.monotonic() > deadline:
                raise MtinetError(f"{message} within {timeout:.0f} s")


def _change_state(node: Node, spin: _Spinning, transition: int) -> None:
    client: Any = node.create_client(ChangeState, "/perception/change_state")
    try:
        spin.until(client.service_is_ready, "the node did not come up")
        request = ChangeState.Request(transition=Transition(id=transition))
        answer: Any = client.call_async(request)
        spin.until(answer.done, "the node did not answer")
        if not answer.result().success:
            raise MtinetError("the perception node refused to start; its log above says why")
    finally:
        node.destroy_client(client)


def _watch(spin: _Spinning, watcher: Watcher, frames: int) -> None:
    last_table = time.monotonic()
    while not frames or watcher.frames < frames:
        seen = watcher.frames
        spin.until(
            lambda seen=seen: watcher.frames > seen,  # type: ignore[misc]
            "no complete set of the model's outputs came out",
            _FRAME_TIMEOUT,
        )
        if time.monotonic() - last_table > _TABLE_PERIOD:
            last_table = time.monotonic()
            print(watcher.table(), flush=True)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        status = process.wait(5.0)
    except subprocess.TimeoutExpired:
        process.kill()
        raise MtinetError("the perception node did not end within 5 s and was killed") from None
    # One that is just about to start does not take the signal yet.
    if status not in (0, -signal.SIGTERM):
        raise MtinetError(f"the perception node ended with status {status}")

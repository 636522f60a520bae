# SPDX-License-Identifier: Apache-2.0
"""Cameras, a node and a subscriber, each a process of its own, for as long as one is measured."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.node_speed.answers import Run, read_runs
from benchmarks.node_speed.camera_process import Order, Sent, run_camera
from benchmarks.node_speed.child_processes import before_exec, cpu_seconds
from benchmarks.node_speed.pictures import CAMERAS, ROOT
from benchmarks.node_speed.subscriber_process import Arrival, run_subscriber
from mtinet_ros.model_card import ModelCard
from mtinet_ros.node.transport_profile import ensure_transport_profile, profile_variable

# Processes are forked from one that has loaded everything and used nothing: OpenCV's threads do
# not survive a fork.
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(
    ["benchmarks.node_speed.camera_process", "benchmarks.node_speed.subscriber_process"]
)
_PATIENCE = 90.0  # seconds for a process to answer, or a model to load
IMAGES = ("segmentation/image", "depth/image", "normals/image")


class MeasurementError(Exception):
    """A measurement that has no result, in a sentence that says why."""


@dataclass(frozen=True)
class Contestant:
    """What is measured.

    Attributes:
        name: `ours`, `plain`, or `plain_profile`: the plain node with our transport profile.
        backend: `null`, or a backend's name as the parameter `backend` spells it.
        model: ONNX file.
        card: Its card.
        inference_ms: How long a null backend pretends to compute.
    """

    name: str
    backend: str
    model: Path
    card: ModelCard
    inference_ms: float = 0.0

    @property
    def node_name(self) -> str:
        """Name of the node."""
        return "perception" if self.name == "ours" else "plain"

    def command(self, runs: Path, cameras: int) -> list[str]:
        """Command line of the node's process."""
        names = [f"camera{number}" for number in range(cameras)]
        null = ["--null", str(self.inference_ms)] if self.backend == "null" else []
        module = [sys.executable, "-m", "benchmarks.node_speed."]
        if self.name != "ours":
            module[2] += "plain_node"
            return [*module, str(runs), str(self.model), ",".join(names), *null]
        module[2] += "node_process"
        parameters = [f"cameras:=[{','.join(names)}]", f"model:={self.model}"]
        if not null:
            parameters.append(f"backend:={self.backend}")
        flags = [word for parameter in parameters for word in ("-p", parameter)]
        return [*module, str(runs), *null, "--ros-args", *flags]

    def environment(self) -> dict[str, str]:
        """What cameras and subscriber run with: beside ours as our documentation says."""
        environment = dict(os.environ)
        if self.name == "plain":
            environment.pop(profile_variable(environment), None)
        else:
            ensure_transport_profile(environment)
        return environment


@dataclass
class Phase:
    """What was seen while cameras showed a number of frames.

    Attributes:
        sent: By camera, what it published.
        arrivals: What the subscriber got.
        runs: Runs of the backend.
        seconds: How long it took.
        cpu_seconds: CPU time of the node's process.
    """

    sent: dict[int, list[Sent]]
    arrivals: list[Arrival]
    runs: list[Run]
    seconds: float
    cpu_seconds: float


@dataclass
class _Child:
    process: Any
    pipe: Any

    def ask(self, order: Any) -> Any:
        self.pipe.send(order)
        return self.answer()

    def answer(self, patience: float = _PATIENCE) -> Any:
        if not self.pipe.poll(patience):
            raise MeasurementError(f"the process {self.process.name} does not answer")
        try:
            return self.pipe.recv()
        except EOFError:
            raise MeasurementError(f"the process {self.process.name} has ended") from None


@dataclass
class World:
    """Use it in a `with`: processes are started then, and none is left behind."""

    contestant: Contestant
    cameras: int = CAMERAS
    _children: list[_Child] = field(default_factory=list)
    _outputs: int = 0  # that the subscriber listens to, of each camera
    _shown: set[tuple[int, int]] = field(default_factory=set)  # (camera, stamp) of earlier phases

    def __enter__(self) -> World:
        """Start all processes; returns when the node is active."""
        self._folder = tempfile.TemporaryDirectory(prefix="node_speed_")
        self._runs = Path(self._folder.name) / "runs"
        self._runs.touch()
        self._log = Path(self._folder.name) / "log"
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self) -> None:
        card = self.contestant.card
        environment = self.contestant.environment()
        with self._log.open("wb") as log:
            self._node = subprocess.Popen(
                self.contestant.command(self._runs, self.cameras),
                cwd=ROOT,
                env=self._node_environment(environment),
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=before_exec,
            )
        for number in range(self.cameras):
            lens = (environment, card.input_size, card.focal_length or 1.0)
            self._fork(f"camera {number}", run_camera, number, *lens)
        self._subscriber = self._fork("subscriber", run_subscriber, environment)
        for child in self._children:
            child.answer()
        if self.contestant.name == "ours":
            self._ask_subscriber("activate", self.contestant.node_name)

    def _node_environment(self, environment: dict[str, str]) -> dict[str, str]:
        """Ours finds its profile by itself, which is part of what is measured."""
        return {
            **(os.environ if self.contestant.name == "ours" else environment),
            "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path[1:]]),
        }

    def _fork(self, name: str, target: Any, *arguments: Any) -> _Child:
        ours, theirs = _PROCESSES.Pipe()
        first = (
            (arguments[0], theirs, *arguments[1:]) if "camera" in name else (theirs, *arguments)
        )
        process = _PROCESSES.Process(target=target, args=first, name=name, daemon=True)
        process.start()
        theirs.close()
        child = _Child(process, ours)
        self._children.append(child)
        return child

    def __exit__(self, *_: object) -> None:
        """End all processes, the node first."""
        node = getattr(self, "_node", None)
        if node is not None and node.poll() is None:
            node.terminate()
            try:
                node.wait(10.0)
            except subprocess.TimeoutExpired:
                node.kill()
                node.wait()
        for child in self._children:
            try:
                child.pipe.send(None)
            except OSError:  # it has ended
                continue
        for child in self._children:
            child.process.join(3.0)
            child.process.kill()
            child.process.join()
        self._children.clear()
        self._folder.cleanup()

    @property
    def pid(self) -> int:
        """Of the node's process."""
        return self._node.pid

    def check_node(self) -> None:
        """Raise `MeasurementError` if the node has ended."""
        if self._node.poll() is not None:
            raise MeasurementError(
                f"the node ended with status {self._node.returncode}: {self._last_words()}"
            )

    def _last_words(self) -> str:
        words = self._log.read_text(errors="replace").strip().splitlines()
        return words[-1] if words else "without a word"

    def listen(self, cameras: int, size: tuple[int, int], outputs: tuple[str, ...]) -> None:
        """Subscribe, and show frames until every output of every camera has come once."""
        self._ask_subscriber("listen", self.contestant.node_name, cameras, outputs)
        self._outputs = len(outputs)
        wanted = {(camera, output) for camera in range(cameras) for output in outputs}
        seen: set[tuple[int, str]] = set()
        deadline = time.monotonic() + _PATIENCE
        while wanted - seen:
            self.check_node()
            if time.monotonic() > deadline:
                missing = ", ".join(f"camera{n}/{output}" for n, output in sorted(wanted - seen))
                raise MeasurementError(
                    f"nothing came on {missing}; the node's last words: {self._last_words()}"
                )
            self._show(cameras, Order(size, 1000.0, 1, time.monotonic()))
            time.sleep(0.15)
            arrivals = self._ask_subscriber("collect")
            seen |= {(arrival.camera, arrival.output) for arrival in arrivals}
        self.settle(0.3)

    def settle(self, seconds: float) -> None:
        """Wait until nothing more comes for so long, and forget what came."""
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            time.sleep(seconds)
            if not self._ask_subscriber("collect"):
                return

    def phase(
        self,
        cameras: int,
        size: tuple[int, int],
        rate: float,
        frames: int,
        patience: float = 0.3,
    ) -> Phase:
        """Have the first cameras show frames in turns, evenly spread over the period.

        Args:
            cameras: How many of them.
            size: (height, width) of their images.
            rate: Frames per second of each.
            frames: Frames of each.
            patience: Seconds without an arrival after which no more are expected.
        """
        self.check_node()
        start = time.monotonic() + 0.05
        lines, cpu = len(read_runs(self._runs)), cpu_seconds(self.pid)
        for number in range(cameras):
            order = Order(size, rate, frames, start + number / (cameras * rate))
            self._children[number].pipe.send(order)
        sent = {
            number: self._children[number].answer(_PATIENCE + frames / rate)
            for number in range(cameras)
        }
        seconds = time.monotonic() - start
        arrivals = self._gather(sum(len(all_) for all_ in sent.values()), patience)
        self.check_node()
        used = cpu_seconds(self.pid) - cpu
        arrivals = [a for a in arrivals if (a.camera, a.stamp) not in self._shown]
        self._remember(sent)
        return Phase(sent, arrivals, read_runs(self._runs)[lines:], seconds, used)

    def _gather(self, frames: int, patience: float) -> list[Arrival]:
        """What comes until so many frames have all their outputs, or nothing more comes."""
        arrivals: list[Arrival] = []
        last = time.monotonic()
        while len(arrivals) < frames * self._outputs and time.monotonic() - last < patience:
            time.sleep(0.05)
            if more := self._ask_subscriber("collect"):
                arrivals += more
                last = time.monotonic()
        return arrivals

    def _show(self, cameras: int, order: Order) -> None:
        for child in self._children[:cameras]:
            child.pipe.send(order)
        self._remember({n: child.answer() for n, child in enumerate(self._children[:cameras])})

    def _remember(self, sent: dict[int, list[Sent]]) -> None:
        self._shown |= {(camera, frame.stamp) for camera, all_ in sent.items() for frame in all_}

    def _ask_subscriber(self, *order: Any) -> Any:
        answer = self._subscriber.ask(order)
        if answer is False:
            self.check_node()
            raise MeasurementError(f"the subscriber's {' '.join(map(str, order))} had no success")
        return answer

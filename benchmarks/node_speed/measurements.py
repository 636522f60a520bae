# SPDX-License-Identifier: Apache-2.0
"""The measurements: latency and overhead, the ceiling, the cost of outputs.

Contestants take turns, round by round. A row is what one phase of one round gave; a phase that
failed is a row that says why, and enters no median.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from domain_coordinator import domain_id

from benchmarks.node_speed.answers import Answers, Judge, judge_null, match
from benchmarks.node_speed.expectations import picture_judge
from benchmarks.node_speed.machine import describe_machine, revision
from benchmarks.node_speed.summary import percentiles
from benchmarks.node_speed.world import IMAGES, Contestant, MeasurementError, Phase, World
from mtinet_ros.model_card import read_model_card
from mtinet_ros.output_files import replace_file

VGA, HD = (480, 640), (720, 1280)
OUTPUTS = (
    "segmentation/image",
    "segmentation/color",
    "segmentation/overlay",
    "depth/image",
    "normals/image",
    "normals/color",
    "points",
)
_TOLERATED = 0.1  # share of frames that may lack an answer where none should; the tables tell them
_PATIENCE = 1.0  # seconds for late answers: default transport resends, a network computes
_WARM_UP = (10.0, 20)  # frames per second, and how many, before anything counts
_BUSY = 0.5  # share of time that a real network runs while latency is measured
_TOO_BUSY = 0.8
_FASTEST = 20.0  # frames per second of all cameras together, for a real network

Row = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes:
        rounds: Turns of each contestant.
        cameras: Numbers of cameras.
        sizes: (height, width) of the images.
        null_rate: Frames per second of each camera with the null backend.
        seconds: How long a phase with the null backend takes.
        real_seconds: The same with a real one.
        ceiling: Frames per second that are offered by all cameras together, one after the other.
        ceiling_seconds: How long each is.
        output_frames: Frames for the cost of an output.
    """

    rounds: int = 3
    cameras: tuple[int, ...] = (1, 2, 4, 8)
    sizes: tuple[tuple[int, int], ...] = (VGA, HD)
    null_rate: float = 5.0
    seconds: float = 2.0
    real_seconds: float = 3.0
    ceiling: tuple[float, ...] = (80.0, 160.0, 240.0, 320.0, 400.0)
    ceiling_seconds: float = 1.0
    output_frames: int = 40


QUICK = replace(
    Plan(),
    rounds=1,
    cameras=(1, 2),
    sizes=(VGA,),
    seconds=1.5,
    real_seconds=2.0,
    ceiling=(100.0, 200.0),
    ceiling_seconds=1.0,
    output_frames=12,
)


class Record:
    """A measurement's rows in a file; what is there already is not measured again."""

    def __init__(self, path: Path, plan: Plan, model: Path, backend: str) -> None:
        """Continue the file, if it is of the same plan, model, revision and processor."""
        self._path = path
        machine = describe_machine()
        of = [asdict(plan), hashlib.sha256(model.read_bytes()).hexdigest(), backend, revision()]
        of += [machine["processor"], machine["cores"]]
        self._content: dict[str, Any] = {
            "of": json.loads(json.dumps(of)),
            "machine": machine,
            "done": [],
            "rows": [],
        }
        try:
            old = json.loads(path.read_text())
        except (OSError, ValueError):
            return
        if old.get("of") == self._content["of"]:
            self._content = old

    @property
    def rows(self) -> list[Row]:
        """All rows so far."""
        return list(self._content["rows"])

    @property
    def machine(self) -> dict[str, Any]:
        """Where they were measured."""
        return dict(self._content["machine"])

    def add(self, step: str, measure: Callable[[], Iterator[Row]]) -> None:
        """Measure a step that is not done, and write its rows down."""
        if step in self._content["done"]:
            return
        print(f"{self._path.stem}: {step}", file=sys.stderr, flush=True)
        rows: list[Row] = []
        try:
            with domain_id() as domain:  # nobody else's nodes shall be heard
                os.environ["ROS_DOMAIN_ID"] = str(domain)
                rows.extend(measure())
        except MeasurementError as error:
            rows.append({"step": step, "failure": str(error)})
        for row in rows:
            if row.get("failure"):
                print(f"  failed: {row['failure']}", file=sys.stderr, flush=True)
        self._content["rows"] += rows
        self._content["done"].append(step)
        replace_file(self._path, json.dumps(self._content, indent=1))


@dataclass(frozen=True)
class Bench:
    """Runs the measurements.

    Attributes:
        plan: How much.
        model: ONNX file.
        backend: Backend of our node for the real model, as the parameter `backend` spells it.
        folder: Where the records are kept.
    """

    plan: Plan
    model: Path
    backend: str
    folder: Path

    def record(self, name: str) -> Record:
        """The record of a measurement."""
        return Record(self.folder / f"{name}.json", self.plan, self.model, self.backend)

    def latency(self) -> None:
        """Latency and overhead of both nodes, with null backend and real model."""
        record = self.record("latency")
        pairs = [("ours", "null"), ("plain", "null"), ("plain_profile", "null")]
        pairs += [("ours", "real"), ("plain", "real")]
        judges: dict[tuple[int, int], Judge] = {}
        for turn in range(self.plan.rounds):
            for name, backend in pairs if turn % 2 == 0 else pairs[::-1]:
                contestant = self._contestant(name, backend)
                if backend == "real" and not judges:
                    for size in self.plan.sizes:
                        judges[size] = picture_judge(self.model, self.backend, size, self.folder)

                def measure(c: Contestant = contestant, turn: int = turn) -> Iterator[Row]:
                    for cameras in self.plan.cameras:  # idle cameras of a node cost, too
                        with World(c, cameras) as world:
                            world.listen(1, self.plan.sizes[0], IMAGES)
                            world.phase(1, self.plan.sizes[0], _WARM_UP[0], _WARM_UP[1])
                            for size in self.plan.sizes:
                                judge = judge_null if c.backend == "null" else judges[size]
                                yield self._latency(world, size, judge, turn)

                record.add(f"round {turn}, {name}, {backend}", measure)

    def _contestant(self, name: str, backend: str) -> Contestant:
        real = self.backend if name == "ours" else "onnxruntime"
        used = "null" if backend == "null" else real
        return Contestant(name, used, self.model, read_model_card(self.model))

    def _latency(self, world: World, size: tuple[int, int], judge: Judge, turn: int) -> Row:
        contestant, cameras = world.contestant, world.cameras
        is_null = contestant.backend == "null"
        row: Row = {
            "round": turn,
            "contestant": contestant.name,
            "backend": contestant.backend,
            "is_null": is_null,
            "cameras": cameras,
            "height": size[0],
        }
        try:
            world.listen(cameras, size, IMAGES)
            if is_null:
                rate, seconds = self.plan.null_rate, self.plan.seconds
                phase = world.phase(cameras, size, rate, max(2, round(rate * seconds)), _PATIENCE)
            else:
                capacity = _capacity(world.phase(1, size, 1.0, 3, _PATIENCE))
                phase = self._unhurried(world, cameras, size, capacity)
                rate = len(phase.sent[0]) / phase.seconds
        except MeasurementError as error:
            world.check_node()
            return {**row, "failure": str(error)}
        answers = match(phase.sent, phase.arrivals, phase.runs, IMAGES, judge)
        return {**row, "rate": round(rate, 2), **_figures(phase, answers)}

    def _unhurried(
        self, world: World, cameras: int, size: tuple[int, int], capacity: float
    ) -> Phase:
        """A phase in which the network runs half of the time; done again if it ran far more.

        What a network can take is known when it has run beside these cameras, and not before.
        """
        for _ in range(3):
            rate = min(_BUSY * capacity, _FASTEST) / cameras
            frames = max(2, round(rate * self.plan.real_seconds))
            phase = world.phase(cameras, size, rate, frames, _PATIENCE)
            capacity = _capacity(phase)
            if rate * cameras <= _TOO_BUSY * capacity:
                return phase
        raise MeasurementError(
            f"{cameras} cameras at {rate:.2f} Hz kept the network busy, thrice at a lower rate"
        )

    def ceiling(self) -> None:
        """Frames per second that the node answers with a null backend, whatever is offered."""
        record = self.record("ceiling")
        for turn in range(max(1, self.plan.rounds - 1)):
            for name in ("ours", "plain") if turn % 2 == 0 else ("plain", "ours"):
                contestant = self._contestant(name, "null")

                def measure(c: Contestant = contestant, turn: int = turn) -> Iterator[Row]:
                    for cameras in self.plan.cameras:
                        with World(c, cameras) as world:
                            yield from self._answered(world, turn)

                record.add(f"round {turn}, {name}", measure)

    def _answered(self, world: World, turn: int) -> Iterator[Row]:
        cameras = world.cameras
        head = {"round": turn, "contestant": world.contestant.name, "cameras": cameras}
        for offered in self.plan.ceiling:
            row: Row = {**head, "offered": offered}
            try:
                world.listen(cameras, VGA, IMAGES)
                rate = offered / cameras
                frames = max(3, round(rate * self.plan.ceiling_seconds))
                phase = world.phase(cameras, VGA, rate, frames)
            except MeasurementError as error:
                yield {**row, "failure": str(error)}
                world.check_node()
                continue
            answers = match(phase.sent, phase.arrivals, phase.runs, IMAGES, judge_null)
            stamps = [frame.stamp for all_ in phase.sent.values() for frame in all_]
            row |= {
                "sent_per_s": round(len(stamps) / ((max(stamps) - min(stamps)) * 1e-9), 1),
                "answered_per_s": round(answered_rate(answers, stamps), 1),
                "cpu_ms": round(phase.cpu_seconds * 1e3 / max(1, len(answers.answers)), 3),
            }
            if answers.problems:
                row["failure"] = answers.problems[0]
            yield row

    def outputs(self) -> None:
        """CPU time of the node per frame, for each output alone and for all."""
        record = self.record("outputs")
        choices = [(), *((output,) for output in OUTPUTS), IMAGES, OUTPUTS]
        for turn in range(self.plan.rounds):
            contestant = self._contestant("ours", "null")

            def measure(c: Contestant = contestant, turn: int = turn) -> Iterator[Row]:
                with World(c, 1) as world:
                    for outputs in choices if turn % 2 == 0 else choices[::-1]:
                        yield self._cost(world, outputs, turn)

            record.add(f"round {turn}", measure)

    def _cost(self, world: World, outputs: tuple[str, ...], turn: int) -> Row:
        row: Row = {"round": turn, "outputs": list(outputs)}
        try:
            world.listen(1, VGA, outputs)
            phase = world.phase(1, VGA, 20.0, self.plan.output_frames)
        except MeasurementError as error:
            world.check_node()
            return {**row, "failure": str(error)}
        if not outputs:
            cpu = phase.cpu_seconds * 1e3 / self.plan.output_frames
            return {**row, "cpu_ms": round(cpu, 3)}
        answers = match(phase.sent, phase.arrivals, phase.runs, outputs, judge_null)
        return {**row, **_figures(phase, answers)}


def answered_rate(answers: Answers, stamps: Sequence[int]) -> float:
    """Frames answered per second while frames came, but for the first fifth of the time.

    Args:
        answers: Of a phase.
        stamps: Of all its frames, in nanoseconds.
    """
    end = max(stamps)
    begin = min(stamps) + (end - min(stamps)) // 5
    within = [a for a in answers.answers if begin <= a.stamp + a.latency * 1e6 <= end]
    return len(within) / ((end - begin) * 1e-9) if end > begin else 0.0


def _capacity(phase: Phase) -> float:
    """Images per second that the network could have taken, had it run all the time."""
    images = sum(len(run.frames) for run in phase.runs)
    seconds = sum(run.ended - run.begun for run in phase.runs) * 1e-9
    if not images:
        raise MeasurementError("the network did not run")
    return images / max(seconds, 1e-3 * images)


def _figures(phase: Phase, answers: Answers) -> Row:
    """A row's figures, with `failure` if frames lack answers or answers are not theirs."""
    row: Row = {"sent": answers.sent, "missing": answers.missing}
    if answers.problems:
        row["failure"] = f"{len(answers.problems)} wrong answers, such as: {answers.problems[0]}"
    elif answers.missing > _TOLERATED * answers.sent:
        row["failure"] = f"{answers.missing} of {answers.sent} frames were not answered"
    if answers.answers:
        row["latency"] = percentiles([answer.latency for answer in answers.answers])
        row["overhead"] = percentiles([answer.overhead for answer in answers.answers])
        row["latency_p50"], row["overhead_p50"] = row["latency"]["p50"], row["overhead"]["p50"]
        row["cpu_ms"] = round(phase.cpu_seconds * 1e3 / answers.sent, 3)
    if phase.runs:
        times = [(run.ended - run.begun) * 1e-6 for run in phase.runs]
        row["inference_p50"] = percentiles(times)["p50"]
        row["images_per_run"] = round(sum(len(r.frames) for r in phase.runs) / len(phase.runs), 2)
    return row

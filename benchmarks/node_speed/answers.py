# SPDX-License-Identifier: Apache-2.0
"""Which answer belongs to which frame, how long each took, and whether it is that frame's."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.node_speed.null_backend import code_of

if TYPE_CHECKING:
    from benchmarks.node_speed.camera_process import Sent
    from benchmarks.node_speed.subscriber_process import Arrival

Samples = Mapping[str, "NDArray[Any] | None"]
# Says what is wrong with the samples (by output) of a camera's frame of that counter; or nothing.
Judge = Callable[[int, int, Samples], str]


@dataclass(frozen=True)
class Run:
    """A run of the backend: begin and end in nanoseconds, and the frames' (camera, counter)."""

    begun: int
    ended: int
    frames: tuple[tuple[int, int], ...]


def read_runs(path: Path) -> list[Run]:
    """The runs that a `TimedBackend` has written so far."""
    runs = []
    for line in path.read_text().splitlines():
        begun, ended, *marks = line.split()
        frames = tuple((int(n), int(c)) for n, c in (mark.split(":") for mark in marks))
        runs.append(Run(int(begun), int(ended), frames))
    return runs


@dataclass(frozen=True)
class Answer:
    """A frame that was answered in full.

    Attributes:
        camera: Number of its camera.
        stamp: In nanoseconds.
        latency: Milliseconds from the stamp to the last of the outputs.
        overhead: Those of them in which no run of the network was under way.
    """

    camera: int
    stamp: int
    latency: float
    overhead: float


@dataclass
class Answers:
    """The answers of a phase.

    Attributes:
        answers: Frames answered in full, in the order of their stamps.
        sent: How many frames were shown.
        problems: What must not happen, a sentence each: answers to nobody's frame, or another's.
    """

    answers: list[Answer]
    sent: int
    problems: list[str]

    @property
    def missing(self) -> int:
        """Frames without a full answer."""
        return self.sent - len(self.answers)


def match(
    sent: Mapping[int, Sequence[Sent]],
    arrivals: Sequence[Arrival],
    runs: Sequence[Run],
    outputs: Collection[str],
    judge: Judge,
) -> Answers:
    """Bring frames and answers together.

    Args:
        sent: Frames by camera.
        arrivals: Messages as they came.
        runs: Runs of the backend.
        outputs: What makes an answer full.
        judge: Tells whether pixels are those of the frame.
    """
    frames = {(camera, s.stamp): s for camera, all_ in sent.items() for s in all_}
    problems: list[str] = []
    got: dict[tuple[int, int], dict[str, Arrival]] = {}
    for arrival in arrivals:
        key = (arrival.camera, arrival.stamp)
        name = f"camera{arrival.camera}/{arrival.output}"
        if key not in frames:
            problems.append(f"{name} has the stamp {arrival.stamp}, of no frame of that camera")
        elif arrival.frame_id != f"camera{arrival.camera}_optical_frame":
            problems.append(f"{name} has the frame_id {arrival.frame_id!r}")
        elif arrival.output in got.setdefault(key, {}):
            problems.append(f"{name} answers the frame of {arrival.stamp} twice")
        else:
            got[key][arrival.output] = arrival
    answers = []
    begun = np.array([run.begun for run in runs], np.int64)
    ended = np.array([run.ended for run in runs], np.int64)
    for (camera, stamp), parts in sorted(got.items(), key=lambda item: item[0][1]):
        samples = {name: part.sample for name, part in parts.items()}
        problem = judge(camera, frames[camera, stamp].counter, samples)
        if problem:
            problems.append(f"camera{camera}, frame {frames[camera, stamp].counter}: {problem}")
        if set(outputs) <= set(parts):
            last = max(parts[name].time for name in outputs)
            busy = covered(begun, ended, stamp, last)
            answers.append(
                Answer(camera, stamp, (last - stamp) * 1e-6, (last - stamp - busy) * 1e-6)
            )
    return Answers(answers, len(frames), problems)


def covered(begun: NDArray[np.int64], ended: NDArray[np.int64], first: int, last: int) -> int:
    """How much of the time from first to last lies within intervals.

    Args:
        begun: Int64 [n], where each interval begins, in ascending order.
        ended: Int64 [n], where it ends; intervals may overlap.
        first: Begin of the time.
        last: Its end.

    Returns:
        The length in the unit of the arguments.
    """
    total, reached = 0, first
    some = slice(int(np.searchsorted(ended, first)), int(np.searchsorted(begun, last)))
    for begin, end in zip(begun[some].tolist(), ended[some].tolist(), strict=True):
        start, stop = max(begin, reached), min(end, last)
        if stop > start:
            total += stop - start
            reached = stop
    return total


def judge_null(camera: int, counter: int, samples: Samples) -> str:
    """Whether the outputs of a null backend are those of a frame."""
    code = code_of(camera, counter)
    expected = {
        "segmentation/image": (code, 0),
        "depth/image": (1.0 + code / 32.0, 1 / 100),
        "normals/image": (code / 128.0, 1 / 300),
    }
    for name, (value, tolerance) in expected.items():
        sample = samples.get(name)
        if sample is None:
            continue
        rows, columns = sample.shape[:2]
        shown = float(sample[rows // 2, columns // 2, 0])
        if not abs(shown - value) <= tolerance:
            return f"{name} shows {shown:.4g} where the frame has {value:.4g}"
    return ""


class PictureJudge:
    """Whether the outputs of a model are those of the picture a camera showed.

    They must be nearer to what the model says of that picture than of any other.
    """

    def __init__(self, expected: Mapping[tuple[int, int], Samples]) -> None:
        """Take samples of the outputs by (camera, picture)."""
        self._expected = expected
        self._pictures = max(picture for _, picture in expected) + 1

    def __call__(self, camera: int, counter: int, samples: Samples) -> str:
        """See `Judge`."""
        own = (camera, counter % self._pictures)
        given = {name: s for name, s in samples.items() if s is not None}
        distances = {key: _distance(given, other) for key, other in self._expected.items()}
        nearest = min(distances, key=distances.__getitem__)
        if not given or nearest == own:
            return ""
        return (
            f"what came is like picture {nearest[1]} of camera{nearest[0]}, and picture {own[1]} "
            f"of camera{own[0]} was shown"
        )


def _distance(samples: Samples, others: Samples) -> float:
    """How different two sets of outputs are: shares of labels, relative depth, normals."""
    total = 0.0
    for name, sample in samples.items():
        other = others.get(name)
        if sample is None or other is None or sample.shape != other.shape:
            continue
        if name.startswith("segmentation"):
            total += float((sample != other).mean())
        elif name.startswith("depth"):
            total += float(np.nanmean(np.minimum(np.abs(np.log(sample / other)), 1.0)))
        else:
            total += float(np.nanmean(np.abs(sample - other)))
    return total

# SPDX-License-Identifier: Apache-2.0
"""A recording of a simulated camera as a data set: pictures, and truth topics beside them."""

from __future__ import annotations

import json
import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from mtinet_ros.datasets.intrinsics import Intrinsics
from mtinet_ros.datasets.sample import Sample, Target
from mtinet_ros.errors import ConfigurationError, DataError, InputError
from mtinet_ros.perception.camera_model import CameraModel
from mtinet_ros.recordings.bag_topics import IMAGE
from mtinet_ros.recordings.frame import Interval, PassedMessage, RecordedFrame, Source
from mtinet_ros.training.class_map import ClassMap
from mtinet_ros.training.stamp_pairs import Pairs, pair_stamps
from mtinet_ros.training.truth_messages import (
    along_axis,
    check_type,
    decode_depth,
    decode_labels,
    decode_normals,
    facing_share,
    header_stamp,
)
from mtinet_ros.training.truth_notes import DepthSeen, no_messages

Deserialize = Callable[[PassedMessage], Any]
"""Makes a message with fields of the bytes that were recorded."""

_LEAST_FACING = 0.9
_SAME_ASPECT = 0.02


@dataclass(frozen=True)
class TruthOptions:
    """What the truth of a recording is.

    Attributes:
        topics: Topic by task: "semseg", "depth", "normals"; and "names" of a topic of what ids
            are called (std_msgs/String of JSON, as Isaac Sim sends it).
        channel: Of colored labels, the one that holds the id: "red", "green", "blue" or empty.
        tolerance: Longest time between the stamps of a picture and its truth, ns.
        is_distance: Whether depth is the distance from the camera, not along the optical axis.
        depth_limit: Metres; truth beyond is unknown.
    """

    topics: dict[str, str]
    channel: str = ""
    tolerance: int = 0
    is_distance: bool = False
    depth_limit: float = math.inf

    @property
    def tasks(self) -> dict[str, str]:
        """Topic by task that is measured."""
        return {task: topic for task, topic in self.topics.items() if task != "names"}


@dataclass
class _Names:
    """What a simulator calls its ids, which may change while it runs."""

    times: list[int] = field(default_factory=list)
    names: list[dict[int, str]] = field(default_factory=list)

    def add(self, text: str, time: int, topic: str) -> None:
        try:
            said = json.loads(text)
            stamp = said.pop("time_stamp", None)
            names = {
                int(key): str(value["class"] if isinstance(value, dict) else value)
                for key, value in said.items()
            }
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise DataError(
                f"{topic} is to say what ids are called, as Isaac Sim does in JSON, and says "
                f"{text[:60]!r} ({type(error).__name__})"
            ) from error
        if isinstance(stamp, dict):
            time = int(stamp.get("sec", 0)) * 1_000_000_000 + int(stamp.get("nanosec", 0))
        if not self.names or names != self.names[-1]:
            self.times.append(time)
            self.names.append(names)

    def at(self, time: int) -> dict[int, str]:
        if not self.names:
            return {}
        return self.names[max(0, bisect_right(self.times, time) - 1)]


class RecordingSamples:
    """A `SampleSource` over one camera of a recording; read from front to back.

    Attributes:
        class_names, palette: Of the model that is measured.
        attribution: None is known.
        names: Of the pictures that have truth.
    """

    attribution: tuple[str, ...] = ()

    def __init__(
        self,
        source: Source,
        deserialize: Deserialize,
        options: TruthOptions,
        class_map: ClassMap | None,
        class_names: tuple[str, ...],
        palette: tuple[tuple[int, int, int], ...],
        interval: Interval = Interval(),  # noqa: B008
    ) -> None:
        """Look through the recording for what belongs together.

        Args:
            source: Of one camera.
            deserialize: For messages of truth.
            options: What the truth is.
            class_map: From its classes to the model's; needed with labels.
            class_names, palette: Of the model.
            interval: Part of the recording to measure.

        Raises:
            ConfigurationError: A topic has no messages, or nothing belongs together.
            DataError: The recording is damaged.
        """
        self.class_names, self.palette = class_names, palette
        self._source, self._interval = source, interval
        self._damage, self._images = tuple(source.problems), set[str]()
        self._deserialize, self._options, self._class_map = deserialize, options, class_map
        self._simulator_names = _Names()
        self._resized: set[str] = set()
        self._depth = DepthSeen(options.is_distance)
        self._stretched = False
        self._repeated = 0
        frames, truths = self._look_through()
        self._pairs = {
            task: pair_stamps(list(frames), truths[task], options.tolerance)
            for task in options.tasks
        }
        self._check_pairs()
        paired = {stamp for pairs in self._pairs.values() for stamp in pairs.of}
        self._index = {s: i for i, s in enumerate(s for s in frames if s in paired)}
        self.names = [frames[stamp] for stamp in self._index]
        self._running: Iterator[Sample] = iter(())
        self._next = -1

    def __len__(self) -> int:
        """Pictures with truth."""
        return len(self.names)

    @property
    def tasks(self) -> tuple[str, ...]:
        """What there is truth for."""
        return tuple(self._pairs)

    def videos(self) -> list[list[int]]:
        """None: how the camera moved is not known."""
        return []

    def __getitem__(self, index: int, /) -> Sample:
        """See `SampleSource`; what lies before the last one is read anew from the front."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        if index < self._next or self._next < 0:
            self._running, self._next = self._samples(), 0
            self._begin_counting()
        for sample in self._running:
            self._next += 1
            if self._next > index:
                return sample
        raise DataError(
            f"{self._source.path} ended before picture {self.names[index]}; it was whole when it "
            "was first read"
        )

    def notes(self) -> list[str]:
        """What is to be minded of figures on what was read so far, a sentence each."""
        found = [self._about_pairs(task, pairs) for task, pairs in self._pairs.items()]
        if self._resized:
            found.append(
                f"truth on {', '.join(sorted(self._resized))} is of another size than the "
                "pictures and was brought to theirs by nearest pixel"
            )
        if self._repeated:
            found.append(
                f"{self._repeated} pictures on {self._camera} have the stamp of an earlier one, "
                "as of a simulation that began anew, and are left out"
            )
        if self._stretched:
            found.append("the lens has fx unlike fy; their geometric mean is taken for both")
        if "depth" in self._pairs:
            found += self._depth.notes(self._options.topics["depth"])
        if self._class_map is not None:
            if unknown := self._class_map.said_unknown():
                found.append(
                    f"{self._class_map.path} has no class for {unknown} of the true pixels: these "
                    "count as void"
                )
            if unmet := self._class_map.said_unmet():
                found.append(f"{self._class_map.path} names what never occurred: {unmet}")
        return [*found, *self._source.problems]

    def check(self) -> None:
        """Refuse truth of which nothing was usable, once all was read.

        Raises:
            DataError: All labels are void, or no pixel has depth.
        """
        mapped = self._class_map
        if mapped is not None and mapped.met and not mapped.classified:
            topic = self._options.topics["semseg"]
            raise DataError(
                f"all true labels on {topic} are void: {mapped.path} has no class for "
                f"{mapped.said_unknown() or 'any of them'}; add what they are"
            )
        if "depth" in self._pairs and self._depth.frames and not self._depth.pixels:
            raise DataError(
                f"no pixel on {self._options.topics['depth']} has a depth above 0"
                + (f" and up to {self._options.depth_limit:g} m"
                   if math.isfinite(self._options.depth_limit) else "")
                + "; is it a topic of depth?"
            )  # fmt: skip

    def _begin_counting(self) -> None:
        self._depth = DepthSeen(self._options.is_distance)
        self._resized.clear()
        if self._class_map is not None:
            self._class_map.forget()

    def _read(self) -> Iterator[RecordedFrame | PassedMessage]:
        try:
            yield from self._source.read(self._interval, with_other_messages=True)
        except InputError as error:
            raise DataError(str(error)) from error

    def _look_through(self) -> tuple[dict[int, str], dict[str, list[int]]]:
        """Names of pictures by stamp, in order, and stamps of truth by task."""
        tasks = {topic: task for task, topic in self._options.topics.items()}
        frames: dict[int, str] = {}
        truths: dict[str, list[int]] = {task: [] for task in self._options.tasks}
        for entry in self._read():
            if isinstance(entry, RecordedFrame):
                self._repeated += entry.header.stamp in frames
                frames.setdefault(entry.header.stamp, entry.name)
                continue
            self._images |= {entry.topic} if entry.type_name == IMAGE else set()
            if entry.topic in tasks:
                check_type(tasks[entry.topic], entry.topic, entry.type_name)
            if tasks.get(entry.topic) == "names":
                text = str(self._deserialize(entry).data)
                self._simulator_names.add(text, entry.time, entry.topic)
            elif entry.topic in tasks:
                truths[tasks[entry.topic]].append(header_stamp(entry.data))
        return frames, truths

    def _check_pairs(self) -> None:
        for task, pairs in self._pairs.items():
            topic, camera = self._options.topics[task], self._camera
            if not pairs.pictures:
                raise ConfigurationError(f"{self._source.path} has no pictures on {camera}")
            if not pairs.truths:
                said = no_messages(self._source.path, topic, self._images, self._damage)
                raise ConfigurationError(said)
            if not pairs.of:
                gap = "" if pairs.closest is None else f"; the closest are {_ms(pairs.closest)}"
                raise ConfigurationError(
                    f"none of {pairs.pictures} pictures on {camera} has the stamp of one of "
                    f"{pairs.truths} messages on {topic}{gap} apart: --tolerance allows for it"
                )

    @property
    def _camera(self) -> str:
        return ", ".join(camera.topic for camera in self._source.cameras)

    def _about_pairs(self, task: str, pairs: Pairs) -> str:
        how = (
            f"stamps at most {_ms(self._options.tolerance)} apart"
            if self._options.tolerance
            else "equal stamps"
        )
        pictures, messages = pairs.pictures - len(pairs.of), pairs.truths - len(pairs.of)
        return (
            f"{len(pairs.of)} pictures on {self._camera} and messages on "
            f"{self._options.topics[task]} are paired by {how}; {pictures} pictures and "
            f"{messages} messages are not"
        )

    def _samples(self) -> Iterator[Sample]:
        """Pictures in order, each as soon as its truth is there."""
        tasks = {topic: task for task, topic in self._options.tasks.items()}
        wanted = {
            (task, truth): self._index[stamp]
            for task, pairs in self._pairs.items()
            for stamp, truth in pairs.of.items()
        }
        frames: dict[int, RecordedFrame] = {}
        truths: dict[int, dict[str, PassedMessage]] = {i: {} for i in range(len(self))}
        missing = Counter(wanted.values())
        following = 0
        for entry in self._read():
            if isinstance(entry, RecordedFrame):
                index = self._index.get(entry.header.stamp, -1)
                if index >= following:
                    frames.setdefault(index, entry)
            elif entry.topic in tasks:
                key = (tasks[entry.topic], header_stamp(entry.data))
                index = wanted.get(key, -1)
                if index >= following and key[0] not in truths[index]:
                    truths[index][key[0]] = entry
                    missing[index] -= 1
            while following in frames and not missing[following]:
                yield self._sample(frames.pop(following), truths.pop(following))
                following += 1

    def _sample(self, frame: RecordedFrame, truths: dict[str, PassedMessage]) -> Sample:
        try:
            decoded = frame.decode()
        except InputError as error:
            raise DataError(f"{frame.name}: {error}") from error
        if decoded.valid_mask is not None:
            raise DataError(
                f"{frame.name}: the picture is distorted by its lens and was rectified, and truth "
                "is of the picture as it was; measure on a topic without distortion"
            )
        camera, size = decoded.camera, decoded.image.shape[1::-1]
        targets = {}
        for task, message in truths.items():
            try:
                target = self._target(task, message, camera)
                targets[task] = self._at_size(target, size, message.topic)
            except InputError as error:
                at = header_stamp(message.data) / 1e9
                raise DataError(f"{message.topic} at {at:.3f} s: {error}") from error
        intrinsics = None
        if camera is not None:
            self._stretched |= not camera.has_square_pixels
            focal = math.sqrt(math.prod(camera.focal_lengths))
            intrinsics = Intrinsics(focal, float(camera.K[0, 2]), float(camera.K[1, 2]))
        return Sample(decoded.image, targets, intrinsics)

    def _target(self, task: str, message: PassedMessage, camera: CameraModel | None) -> Target:
        content = self._deserialize(message)
        if task == "semseg":
            assert self._class_map is not None
            names = self._simulator_names.at(header_stamp(message.data))
            return self._class_map.apply(decode_labels(content, self._options.channel), names)
        if task == "normals":
            normals = decode_normals(content)
            if camera is not None:
                facing = facing_share(normals, _resized(camera, normals.shape))
                if facing < _LEAST_FACING:
                    raise InputError(
                        f"{1 - facing:.0%} of the normals do not face the camera; they are to be "
                        "in its optical frame (x right, y down, z forward)"
                    )
            return normals
        depth = decode_depth(content)
        if self._options.is_distance:
            if camera is None:
                raise InputError(
                    "distances become depth by the lens, which the recording does not tell; "
                    "record camera_info too"
                )
            depth = along_axis(depth, _resized(camera, depth.shape))
        depth[depth > self._options.depth_limit] = 0
        self._depth.add(depth)
        return depth

    def _at_size(self, target: Target, size: tuple[int, int], topic: str) -> Target:
        height, width = target.shape[:2]
        if (width, height) == size:
            return target
        if abs(width * size[1] / (height * size[0]) - 1) > _SAME_ASPECT:
            raise InputError(
                f"truth has {width}x{height} pixels and the picture {size[0]}x{size[1]}: they do "
                "not show the same"
            )
        self._resized.add(topic)
        resized = cv2.resize(target, size, interpolation=cv2.INTER_NEAREST_EXACT)
        if target.dtype == np.uint8:
            return np.asarray(resized, np.uint8)
        return np.asarray(resized, np.float32)


def _resized(camera: CameraModel, shape: tuple[int, ...]) -> CameraModel:
    scale = shape[1] / camera.width, shape[0] / camera.height
    return camera.resampled(scale, (0.0, 0.0), (shape[1], shape[0]))


def _ms(nanoseconds: int) -> str:
    return f"{nanoseconds / 1e6:.3g} ms"

# SPDX-License-Identifier: Apache-2.0
"""A rosbag2 that is written: the node's own topics, and what was recorded beside the images.

Every part is one complete file, which can be played alone or with the others.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtinet_ros.errors import ConfigurationError, InputError
from mtinet_ros.messages.output_topics import (
    ClassClouds,
    OutputTopic,
    legend_messages,
    output_topics,
)
from mtinet_ros.model_card import ModelCard
from mtinet_ros.output_files import make_folder
from mtinet_ros.perception.prediction import Prediction
from mtinet_ros.recordings.bag_definitions import TopicDescription, published_topic
from mtinet_ros.recordings.bag_parts import FileRecord, write_metadata
from mtinet_ros.recordings.bag_passing import passed_topic
from mtinet_ros.recordings.bag_types import BagMessages, open_typestore
from mtinet_ros.recordings.bag_writer import SUFFIXES, PartFile, can_be_time
from mtinet_ros.recordings.frame import PassedMessage, RecordedFrame

COMPRESSIONS = ("", "zstd")


@dataclass(frozen=True)
class _CameraTopics:
    """Topics of one camera.

    Attributes:
        below: What their names begin with.
        outputs: What is made from predictions, and how the bag describes it.
        legends: What is said once, serialized.
    """

    below: str
    outputs: list[tuple[OutputTopic, TopicDescription]]
    legends: list[tuple[TopicDescription, memoryview]]


@dataclass(frozen=True)
class _Encoded:
    """Messages of one frame, serialized, and whether its depth is in no known unit."""

    messages: list[tuple[TopicDescription, memoryview]]
    is_up_to_scale: bool


class BagSink:
    """Writes predictions as the node publishes them (`Sink`).

    Every message has the header of its image, and its record time; so the bag plays beside the one
    that it was made from. The legends, latched, come before the first frame of a camera in each
    part.

    Attributes:
        problems: What could not be kept as it was, a sentence each.
        finish_is_cheap: Whether `finish` may be called after every part.
    """

    finish_is_cheap = True

    def __init__(
        self,
        folder: Path,
        card: ModelCard,
        outputs: Collection[str],
        *,
        prefix: str = "/perception",
        points_stride: int = 1,
        depth_encoding: str = "32FC1",
        class_clouds: ClassClouds | None = None,
        storage: str = "mcap",
        compression: str = "",
    ) -> None:
        """Prepare a bag.

        Args:
            folder: The bag; made if it is not there.
            card: Card of the model: tasks, class names, palette.
            outputs: As the node's parameter `outputs`.
            prefix: Name of the node below which the topics are.
            points_stride: As the node's parameter.
            depth_encoding: As the node's parameter.
            class_clouds: For the outputs `obstacles` and `classes`; None: as the node has it.
            storage: `mcap` or `sqlite3`.
            compression: `zstd`, for the chunks of an mcap, or none.

        Raises:
            ConfigurationError: The folder cannot be written to, rosbags is not installed, or there
                is no such storage, compression or class of the ground.
        """
        if storage not in SUFFIXES:
            raise ConfigurationError(f"storage is {storage}; allowed: {', '.join(SUFFIXES)}")
        if compression not in COMPRESSIONS or (compression and storage != "mcap"):
            raise ConfigurationError(
                f"compression is {compression} in {storage}; allowed: zstd in mcap, or none"
            )
        make_folder(folder)
        self.problems: list[str] = []
        self._folder = folder
        name = folder.resolve()
        self._stem = name.stem if name.suffix in SUFFIXES.values() else name.name
        self._storage = storage
        self._is_compressed = bool(compression)
        self._prefix = f"/{prefix.strip('/')}" if prefix.strip("/") else ""
        self._types = open_typestore()
        self._messages = BagMessages(self._types)
        self._outputs = output_topics(
            card,
            outputs,
            points_stride,
            depth_encoding,
            self._messages,
            class_clouds or ClassClouds(),
        )
        self._legends = [
            (legend, self._types.serialize_cdr(legend.message, legend.type_name))
            for legend in legend_messages(card, outputs, self._messages)
        ]
        self._names = {output.name for output in self._outputs}
        self._names |= {legend.name for legend, _ in self._legends}
        self._model = {
            "mtinet_ros.model": (card.name,),
            "mtinet_ros.fingerprint": (card.fingerprint,),
        }
        self._cameras: dict[str, _CameraTopics] = {}
        self._adding = threading.Lock()
        self._passed: dict[tuple[str, str], TopicDescription | None] = {}
        self._part: PartFile | None = None
        self._introduced: set[str] = set()
        self._up_to_scale: set[str] = set()

    def begin_part(self, number: int) -> None:
        """Begin the file of this number; see `Sink`.

        Raises:
            InputError: It cannot be written.
        """
        self.discard_part()
        stem = f"{self._stem}_{number}"
        self._part = PartFile(self._folder, stem, self._storage, self._is_compressed)
        self._introduced = set()
        self._up_to_scale = set()

    def encode(self, frame: RecordedFrame, prediction: Prediction) -> _Encoded:
        """The messages that the node would publish, serialized; see `Sink`.

        Raises:
            InputError: Two cameras would have the same topics.
        """
        header = self._messages.header(frame.header)
        messages = []
        for output, topic in self._topics_of(frame.camera).outputs:
            if any(getattr(prediction, name) is None for name in output.needs):
                continue
            message = output.encode(prediction, header)
            if message is not None:
                messages.append((topic, self._types.serialize_cdr(message, output.type_name)))
        has_scale = prediction.depth is None or prediction.depth_is_metric
        return _Encoded(messages, is_up_to_scale=not has_scale)

    def write(self, frame: RecordedFrame, encoded: _Encoded) -> None:
        """Write the messages of a frame; see `Sink`.

        Raises:
            InputError: It cannot be written.
        """
        part = self._current_part()
        if frame.camera not in self._introduced:
            self._introduced.add(frame.camera)
            for topic, data in self._topics_of(frame.camera).legends:
                part.write(topic, frame.time, data)
        if encoded.is_up_to_scale:
            self._up_to_scale.add(frame.camera)
        for topic, data in encoded.messages:
            part.write(topic, frame.time, data)

    def pass_on(self, message: PassedMessage) -> None:
        """Write a message of the source as it was recorded; see `Sink`.

        Raises:
            InputError: It cannot be written.
        """
        part = self._current_part()
        key = (message.topic, message.type_name)
        if key not in self._passed:
            self._passed[key], problem = self._describe(message)
            if problem:
                self.problems.append(problem)
        topic = self._passed[key]
        if topic is not None and can_be_time(message.time):
            part.write(topic, message.time, message.data)

    def end_part(self) -> dict[str, Any]:
        """Put the part's file in its place; see `Sink`. An empty one has no file.

        Raises:
            InputError: It cannot be written.
        """
        part = self._current_part()
        notes = {**self._model, "mtinet_ros.depth_up_to_scale": tuple(sorted(self._up_to_scale))}
        record = part.end(notes)
        self._part = None
        return record.as_dict() if record is not None else {}

    def discard_part(self) -> None:
        """Leave nothing of the part that was begun; see `Sink`."""
        part, self._part = self._part, None
        if part is not None:
            part.discard()

    def finish(self, parts: Sequence[dict[str, Any]]) -> None:
        """Write `metadata.yaml` of just these parts; see `Sink`.

        Raises:
            InputError: It cannot be written, or a part is not there.
        """
        write_metadata(self._folder, [FileRecord.from_dict(part) for part in parts if part])

    def _current_part(self) -> PartFile:
        assert self._part is not None, "begin_part comes first"
        return self._part

    def _topics_of(self, camera: str) -> _CameraTopics:
        with self._adding:
            return self._cameras.get(camera) or self._add_camera(camera)

    def _add_camera(self, name: str) -> _CameraTopics:
        below = f"{self._prefix}/{topic_token(name)}"
        for other, topics in self._cameras.items():
            if topics.below == below:
                raise InputError(
                    f"the cameras {other} and {name} would both be {below}; give them names that "
                    "differ in letters, digits and _"
                )
        self._cameras[name] = camera = _CameraTopics(
            below,
            [
                (output, published_topic(self._types, f"{below}/{output.name}", output.type_name))
                for output in self._outputs
            ],
            [
                (
                    published_topic(self._types, f"{below}/{legend.name}", legend.type_name, True),
                    data,
                )
                for legend, data in self._legends
            ],
        )
        return camera

    def _describe(self, message: PassedMessage) -> tuple[TopicDescription | None, str]:
        _, _, name = message.topic.removeprefix(f"{self._prefix}/").partition("/")
        if message.topic.startswith(f"{self._prefix}/") and name in self._names:
            return None, (
                f"{message.topic} is not kept: what this run makes has the same name; choose "
                "another prefix to have both"
            )
        return passed_topic(self._types, message)


def topic_token(name: str) -> str:
    """A camera's name as one part of a topic's name: letters, digits and _, no digit first."""
    token = re.sub(r"[\W_]+", "_", name, flags=re.ASCII).strip("_") or "camera"
    return f"_{token}" if token[0].isdigit() else token

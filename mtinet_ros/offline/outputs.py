# SPDX-License-Identifier: Apache-2.0
"""What a run writes: a bag, a video of montages, or a folder, and what is in it."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from mtinet_ros.errors import ConfigurationError
from mtinet_ros.messages.output_topics import (
    OUTPUTS,
    ClassClouds,
    MessageFactory,
    output_topics,
)
from mtinet_ros.model_card import ModelCard
from mtinet_ros.offline.inputs import Input
from mtinet_ros.offline.state import state_folder
from mtinet_ros.recordings.frame import Sink
from mtinet_ros.recordings.open import Kind

FORMATS = ("bag", "video", "folder")
DEFAULT_OUTPUTS = ("segmentation", "overlay", "depth", "normals")
DEFAULT_NODE = "/perception"

# Clouds, which are messages and nothing else.
_OF_BAGS = ("points", "obstacles", "classes")
_VIDEO_SUFFIXES = (".mp4", ".mkv", ".mov", ".webm", ".avi", ".m4v")
_STORAGES = {".mcap": "mcap", ".db3": "sqlite3"}


@dataclass(frozen=True)
class OutputOptions:
    """How results are written.

    Attributes:
        format: One of `FORMATS`.
        outputs: Some of `OUTPUTS`.
        depth_encoding: `32FC1` or `16UC1`.
        points_stride: As the node's parameter.
        obstacles_stride: As the node's parameter.
        ground_classes: As the node's parameter.
        class_fields: As the node's parameter.
        node: Of a bag: name of the node below which the topics are.
        storage: Of a bag: `mcap` or `sqlite3`.
        compression: Of a bag in mcap: `zstd`, or none.
    """

    format: str
    outputs: tuple[str, ...] = DEFAULT_OUTPUTS
    depth_encoding: str = "32FC1"
    points_stride: int = 1
    obstacles_stride: int = ClassClouds.stride
    ground_classes: tuple[str, ...] = tuple(ClassClouds.ground_classes)
    class_fields: tuple[str, ...] = tuple(ClassClouds.class_fields)
    node: str = DEFAULT_NODE
    storage: str = "mcap"
    compression: str = ""

    @property
    def is_file(self) -> bool:
        """Whether the output is a file."""
        return self.format == "video"

    @property
    def class_clouds(self) -> ClassClouds:
        """For the outputs `obstacles` and `classes`."""
        return ClassClouds(self.obstacles_stride, self.ground_classes, self.class_fields)

    def describe(self, card: ModelCard) -> dict[str, Any]:
        """All that `open_sink_again` needs, for JSON."""
        return {"options": asdict(self), "card": card.to_json()}


def choose_format(output: Path, inputs: Sequence[Input], given: str = "") -> str:
    """The format of an output: the one given, what its suffix says, or what fits the inputs.

    Raises:
        ConfigurationError: Several recordings cannot become one file.
    """
    suffix = output.suffix.lower()
    named = "video" if suffix in _VIDEO_SUFFIXES else "bag" if suffix in _STORAGES else ""
    if named == "video" and len(inputs) > 1:
        raise ConfigurationError(
            f"{output} would be one video of {len(inputs)} recordings; name a folder, and add "
            "--format video to get a video of each"
        )
    if given == "video" and len(inputs) == 1 and named != "video":
        raise ConfigurationError(
            f"--format is video and the output {output}; give it the name of a video, e.g. "
            f"{output}.mp4"
        )
    if given and named and given != named:
        raise ConfigurationError(
            f"--format is {given} and the output {output}, the name of a {named}; choose one"
        )
    if given or named:
        return given or named
    return "bag" if all(item.kind is Kind.BAG for item in inputs) else "folder"


def choose_storage(output: Path, given: str = "") -> str:
    """Storage of a bag: the one given, or what the name of the output says; mcap else."""
    return given or _STORAGES.get(output.suffix.lower(), "mcap")


def output_paths(output: Path, inputs: Sequence[Input], format_: str) -> list[Path]:
    """Where the results of each input go: of a single one to the output itself."""
    if len(inputs) == 1:
        return [output]
    suffix = ".mp4" if format_ == "video" else ""
    return [output / f"{item.name}{suffix}" for item in inputs]


def wanted_of_model(card: ModelCard, options: OutputOptions) -> frozenset[str]:
    """Outputs of the model contract that the results are made from.

    Raises:
        ConfigurationError: The model gives nothing of what is asked for, or has no class of a
            name that is given.
    """
    topics = output_topics(
        card,
        options.outputs,
        options.points_stride,
        options.depth_encoding,
        cast(MessageFactory, None),  # no message is made
        options.class_clouds,
    )
    if not topics:
        raise ConfigurationError(
            f"--outputs is {','.join(options.outputs)}; {card.name} gives none of them, its tasks "
            f"are {', '.join(card.tasks)}"
        )
    return frozenset[str]().union(*(topic.needs for topic in topics))


def open_sink(path: Path, card: ModelCard, options: OutputOptions) -> Sink:
    """Open an output for writing.

    Raises:
        ConfigurationError: It cannot be written to, or a package is not installed.
    """
    if options.format == "bag":
        from mtinet_ros.recordings.bag_sink import BagSink

        return BagSink(
            path,
            card,
            options.outputs,
            prefix=options.node,
            points_stride=options.points_stride,
            depth_encoding=options.depth_encoding,
            class_clouds=options.class_clouds,
            storage=options.storage,
            compression=options.compression,
        )
    if options.format == "video":
        from mtinet_ros.recordings.video_sink import VideoSink

        return VideoSink(path, card, options.outputs)
    from mtinet_ros.recordings.folder_sink import FolderSink

    outputs = options.outputs
    if "segmentation" in outputs and card.has_confidence:  # as in a bag, and of the node
        outputs = (*outputs, "confidence")
    return FolderSink(path, card, outputs, depth_encoding=options.depth_encoding)


def open_sink_again(path: Path, description: dict[str, Any]) -> Sink:
    """Open an output by what `OutputOptions.describe` said of it."""
    options = dict(description["options"])
    for name in ("outputs", "ground_classes", "class_fields"):
        options[name] = tuple(options[name])
    return open_sink(path, ModelCard.from_json(description["card"]), OutputOptions(**options))


def check_outputs(outputs: Collection[str], format_: str) -> None:
    """Refuse names that are none of `OUTPUTS`, or that such an output does not hold.

    Raises:
        ConfigurationError: Naming them.
    """
    unknown = [name for name in outputs if name not in OUTPUTS]
    if unknown or not outputs:
        raise ConfigurationError(
            f"--outputs names {', '.join(unknown) or 'nothing'}; allowed: {', '.join(OUTPUTS)}, "
            "with commas between"
        )
    clouds = [name for name in outputs if name in _OF_BAGS]
    if clouds and format_ != "bag":
        raise ConfigurationError(
            f"--outputs names {', '.join(clouds)} and the output is a {format_}; only bags hold "
            "clouds, so leave it out, or add --format bag"
        )


def check_videos(output: Path, cameras: Sequence[str]) -> None:
    """Refuse the names of a video for each camera that somebody else's files have.

    `check_output` refuses the name of a single one.

    Raises:
        ConfigurationError: Naming one.
    """
    from mtinet_ros.recordings.video_sink import video_paths

    if len(cameras) < 2 or state_folder(output, is_file=True).exists():
        return
    for path in video_paths(output, cameras).values():
        if os.path.lexists(path):
            raise ConfigurationError(
                f"{path} is there and was not written by mtinet process; remove it or choose "
                "another output"
            )

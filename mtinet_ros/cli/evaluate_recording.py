# SPDX-License-Identifier: Apache-2.0
"""Recordings in `mtinet evaluate`: truth topics of a simulator, or no truth at all."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING

from mtinet_ros.cli.options import path_text
from mtinet_ros.errors import ConfigurationError, DataError, InputError

if TYPE_CHECKING:
    from mtinet_ros.model_card import ModelCard
    from mtinet_ros.recordings.frame import Interval, Source
    from mtinet_ros.training.evaluation_data import OpenedData
    from mtinet_ros.training.evaluation_recording import Deserialize, TruthOptions

# Words of --truth, and the tasks they are of.
_TASKS = {"labels": "semseg", "depth": "depth", "normals": "normals", "names": "names"}
_SAME = "same"


def add_recording_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments for recordings."""
    beside = parser.add_argument_group("truth beside the pictures in a bag, as of a simulator")
    beside.add_argument(
        "--truth",
        nargs="+",
        metavar="WHAT=TOPIC",
        help="topics of truth in the bag that --data names: labels=TOPIC (ids or colors; "
        "labels=TOPIC:red where one channel of a color is the id), depth=TOPIC, normals=TOPIC, "
        "names=TOPIC (what ids are called, as Isaac Sim says it)",
    )
    beside.add_argument(
        "--classes",
        type=path_text,
        metavar="FILE",
        help="YAML or JSON: the model's class, or void, by the truth's id, color or name; `same` "
        "where the truth has the model's own ids",
    )
    beside.add_argument(
        "--truth-depth",
        choices=("planar", "ray"),
        default="planar",
        help="whether true depth is along the optical axis, or the distance from the camera",
    )
    beside.add_argument(
        "--depth-limit", type=float, metavar="METRES", help="true depth beyond is not measured"
    )
    beside.add_argument(
        "--tolerance",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="between the stamps of a picture and its truth (default: they must be equal)",
    )
    steadiness = parser.add_argument_group("without truth: how steady the answers on a video are")
    steadiness.add_argument(
        "--steadiness",
        type=path_text,
        metavar="RECORDING",
        help="instead of --data: a bag, a video or a folder of consecutive pictures",
    )
    steadiness.add_argument(
        "--noise",
        type=float,
        metavar="STEPS",
        help="also see every tenth picture twice with noise of this standard deviation, in steps "
        "of 8 bits (default 0: do not)",
    )
    either = parser.add_argument_group("of a recording")
    either.add_argument(
        "--topic",
        metavar="TOPIC",
        help="of the pictures (default: the only camera there is; with --steadiness, each camera)",
    )
    either.add_argument("--start", type=float, metavar="SECONDS", help="from its beginning")
    either.add_argument("--end", type=float, metavar="SECONDS", help="from its beginning")


def check_recording_arguments(arguments: argparse.Namespace) -> None:
    """Refuse options that decide nothing, or nothing sensible.

    Raises:
        ConfigurationError: They do.
    """
    if arguments.truth and arguments.steadiness:
        raise ConfigurationError(
            "--truth and --steadiness stand beside each other; measure one at a time"
        )
    if arguments.truth and not arguments.data:
        raise ConfigurationError("--truth goes with --data BAG, which is missing")
    for option, needed in (
        ("classes", "truth"), ("depth_limit", "truth"), ("noise", "steadiness"),
    ):  # fmt: skip
        if getattr(arguments, option) is not None and not getattr(arguments, needed):
            name = f"--{option.replace('_', '-')} {getattr(arguments, option)}"
            raise ConfigurationError(f"{name} goes with --{needed}")
    if not arguments.truth and (arguments.tolerance or arguments.truth_depth != "planar"):
        raise ConfigurationError("--tolerance and --truth-depth go with --truth")
    if not (arguments.truth or arguments.steadiness):
        for option in ("topic", "start", "end"):
            if getattr(arguments, option) is not None:
                raise ConfigurationError(
                    f"--{option} {getattr(arguments, option)} goes with a recording: --truth or "
                    "--steadiness"
                )
    elif arguments.kind or arguments.whole_frame or arguments.as_published:
        raise ConfigurationError(
            "--kind, --whole-frame and --as-published go with a data set, not with a recording"
        )
    for option in ("tolerance", "depth_limit", "noise", "start", "end"):
        value = getattr(arguments, option)
        if value is not None and not 0 <= value < math.inf:
            raise ConfigurationError(
                f"--{option.replace('_', '-')} is {value:g}; 0 or more is allowed"
            )


def is_bag(path: Path) -> bool:
    """Whether a path looks like a bag, by the names in it."""
    if path.is_dir():
        return any(path.glob("metadata.yaml")) or any(path.glob("*.mcap"))
    return path.suffix.lower() in (".mcap", ".db3", ".bag")


def truth_options(arguments: argparse.Namespace) -> TruthOptions:
    """What --truth and its companions say.

    Raises:
        ConfigurationError: They make no sense.
    """
    from mtinet_ros.training.evaluation_recording import TruthOptions
    from mtinet_ros.training.truth_messages import COLOR_CHANNELS

    topics: dict[str, str] = {}
    channel = ""
    for word in arguments.truth:
        what, _, topic = word.partition("=")
        if what not in _TASKS or not topic:
            raise ConfigurationError(
                f"--truth {word} says no topic; allowed: {', '.join(f'{w}=TOPIC' for w in _TASKS)}"
            )
        if _TASKS[what] in topics:
            raise ConfigurationError(f"--truth names {what} twice; one topic can be measured")
        topic, colon, said = topic.partition(":")
        if colon and (what != "labels" or said not in COLOR_CHANNELS):
            raise ConfigurationError(
                f"--truth {word} names the channel {said!r}; of labels, "
                f"{', '.join(COLOR_CHANNELS)} can be named"
            )
        channel = said or channel
        topic = topic if topic.startswith("/") else f"/{topic}"
        if topic in topics.values():
            raise ConfigurationError(f"--truth names {topic} twice; each topic is of one thing")
        topics[_TASKS[what]] = topic
    if set(topics) <= {"names"}:
        raise ConfigurationError("--truth names no labels, depth or normals to measure against")
    if ("semseg" in topics) != (arguments.classes is not None):
        raise ConfigurationError(
            "--truth labels=TOPIC goes with --classes FILE, which says what its ids are"
            if "semseg" in topics
            else f"--classes {arguments.classes} goes with --truth labels=TOPIC"
        )
    return TruthOptions(
        topics,
        channel,
        round(arguments.tolerance * 1e9),
        arguments.truth_depth == "ray",
        math.inf if arguments.depth_limit is None else arguments.depth_limit,
    )


def open_recording_data(arguments: argparse.Namespace, card: ModelCard) -> OpenedData:
    """The bag of --data as a data set of the model's classes.

    Raises:
        ConfigurationError: Options make no sense, or nothing in the bag belongs together.
        DataError: The bag cannot be read.
    """
    from mtinet_ros.recordings.bag_source import BagSource
    from mtinet_ros.training.class_map import read_class_map, same_classes
    from mtinet_ros.training.evaluation_data import OpenedData
    from mtinet_ros.training.evaluation_recording import RecordingSamples
    from mtinet_ros.training.evaluation_report import EvaluatedData

    options = truth_options(arguments)
    if not set(options.tasks) & set(card.tasks):
        raise ConfigurationError(
            f"the model predicts {', '.join(card.tasks)} and --truth names "
            f"{', '.join(options.tasks)}: there is nothing to measure"
        )
    classes = None
    if "semseg" in options.topics:
        classes = (
            same_classes(card.class_names)
            if arguments.classes == _SAME
            else read_class_map(Path(arguments.classes), card.class_names)
        )
    root = Path(arguments.data)
    truth = tuple(options.topics.values())
    try:
        source = BagSource(root, [arguments.topic] if arguments.topic else [])
        # The name of a topic of labels may not tell that they are no pictures; --truth does.
        pictures = [camera.topic for camera in source.cameras if camera.topic not in truth]
        if len(source.cameras) > 1 and len(pictures) == 1:
            source.close()
            source = BagSource(root, pictures)
    except InputError as error:
        raise DataError(str(error)) from error
    _check_camera(source, truth)
    samples = RecordingSamples(
        source, _deserialize(), options, classes, card.class_names, card.palette,
        interval_of(source, arguments),
    )  # fmt: skip
    name = root.resolve().name
    description = EvaluatedData(
        "recording", name, source.cameras[0].topic, None, card.class_names, card.palette
    )
    return OpenedData(samples, description)


def _check_camera(source: Source, truth: tuple[str, ...]) -> None:
    """Refuse several cameras, and truth taken for pictures."""
    topics = [camera.topic for camera in source.cameras]
    others = [topic for topic in topics if topic not in truth]
    if len(topics) == 1 and not others:
        raise ConfigurationError(
            f"{topics[0]} is named as truth, and it is what the model is to see in {source.path}; "
            "name another topic"
        )
    if len(topics) != 1:
        raise ConfigurationError(
            f"{source.path} has pictures on {', '.join(others or topics)}; name one by --topic, "
            f"e.g. --topic {(others or ['/camera/image_raw'])[0]}"
        )


def interval_of(source: Source, arguments: argparse.Namespace) -> Interval:
    """What --start and --end leave of a recording.

    Raises:
        ConfigurationError: Nothing.
    """
    from mtinet_ros.recordings.frame import Interval

    whole = source.interval()
    begin = whole.start or 0
    start = whole.start if arguments.start is None else begin + round(arguments.start * 1e9)
    end = whole.end if arguments.end is None else begin + round(arguments.end * 1e9)
    last = whole.end if whole.end is not None and (end is None or whole.end < end) else end
    if start is not None and last is not None and start >= last:
        length = "" if whole.end is None else f", {(whole.end - begin) / 1e9:.1f} s long,"
        raise ConfigurationError(
            f"nothing of {source.path}{length} lies between --start {arguments.start or 0:g} and "
            + ("its end" if arguments.end is None else f"--end {arguments.end:g}")
        )
    return Interval(start, end)


def _deserialize() -> Deserialize:
    from mtinet_ros.recordings.bag_types import open_typestore
    from mtinet_ros.recordings.frame import PassedMessage

    store = open_typestore()

    def deserialize(message: PassedMessage) -> object:
        try:
            return store.deserialize_cdr(message.data, message.type_name)
        except Exception as error:  # bytes from outside in foreign code
            reason = str(error).rstrip(".").replace("\n", " ") or type(error).__name__
            raise InputError(
                f"{len(message.data)} bytes cannot be read as {message.type_name}: {reason}"
            ) from error

    return deserialize

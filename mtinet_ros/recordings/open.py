# SPDX-License-Identifier: Apache-2.0
"""What a recording is, told from its content, and the reader for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

import numpy as np

from mtinet_ros.errors import ConfigurationError, InputError
from mtinet_ros.file_kinds import mistaken_kind
from mtinet_ros.image_files import IMAGE_SUFFIXES, image_file_format
from mtinet_ros.output_files import file_errors
from mtinet_ros.recordings.frame import Source
from mtinet_ros.recordings.lens import LensOptions
from mtinet_ros.recordings.mcap_records import MCAP_MAGIC
from mtinet_ros.recordings.ros1_storage import ROS1_MAGIC
from mtinet_ros.recordings.sqlite_storage import SQLITE_MAGIC

_BAGS = (MCAP_MAGIC, SQLITE_MAGIC, ROS1_MAGIC)
_BAG_SUFFIXES = (".mcap", ".db3", ".bag", ".mcap.zstd", ".db3.zstd")
# First bytes of pictures that OpenCV reads beside JPEG and PNG, by where they are.
_PICTURES = (
    *((0, b"BM"), (0, b"II*\0"), (0, b"MM\0*"), (8, b"WEBP"), (0, b"P5"), (0, b"P6")),
    *((4, b"ftypavif"), (4, b"ftypheic"), (4, b"ftypmif1")),
)
_HEAD_BYTES = 64


class Kind(Enum):
    """Kinds of recordings."""

    BAG = "bag"
    VIDEO = "video"
    PICTURES = "pictures"


@dataclass(frozen=True)
class SourceOptions:
    """How a recording is read.

    Attributes:
        topics: Of a bag: topics of the images to process; none: those of all cameras.
        rectify: Whether distorted images are undistorted.
        lens: Of videos and pictures: what is known of the camera.
        frame_id: Of videos and pictures: for the headers; empty: `camera_optical_frame`.
        keeps_raw: Of a bag: whether raw images stay in their bytes, see `BagSource`.
        camera_info_topics: Of a bag: topic of the CameraInfo by camera, see `BagSource`.
        topics_option: What the option is called that `topics` come from.
    """

    topics: tuple[str, ...] = ()
    rectify: bool = True
    lens: LensOptions = field(default_factory=LensOptions)
    frame_id: str = ""
    keeps_raw: bool = False
    camera_info_topics: Mapping[str, str] = field(default_factory=dict)
    topics_option: str = "--topics"


def open_source(path: Path | Sequence[Path], options: SourceOptions | None = None) -> Source:
    """Open a bag, a video, or pictures: a file, a folder, a pattern, or several of these.

    Raises:
        InputError: It is none of these, or cannot be read; the message says what it is instead.
        ConfigurationError: A package is not installed, or an option is not for such recordings.
    """
    options = options or SourceOptions()
    paths = [path] if isinstance(path, Path) else list(path)
    kind = kind_of(paths[0])
    check_options(paths[0], kind, options)
    if kind is Kind.BAG:
        from mtinet_ros.recordings.bag_source import BagSource

        return BagSource(
            paths[0],
            options.topics,
            options.camera_info_topics,
            rectify=options.rectify,
            keeps_raw=options.keeps_raw,
        )
    frame_id = options.frame_id or "camera_optical_frame"
    if kind is Kind.VIDEO:
        from mtinet_ros.recordings.video_source import VideoSource

        return VideoSource(paths[0], options.lens, frame_id=frame_id)
    from mtinet_ros.recordings.pictures_source import PicturesSource

    return PicturesSource(paths if len(paths) > 1 else paths[0], options.lens, frame_id=frame_id)


def check_options(
    path: Path, kind: Kind, options: SourceOptions, advice: str = "leave it out"
) -> None:
    """Refuse options that say nothing of a recording.

    Args:
        path: The recording.
        kind: What it is.
        options: All that are given.
        advice: What to do about one that is not for it.

    Raises:
        ConfigurationError: Naming the first.
    """
    if kind is Kind.BAG:
        what = "a bag, which has its own CameraInfo and headers"
        given = {
            "--focal-length": options.lens.focal_length is not None,
            "--camera-info": options.lens.calibration is not None,
            "--frame-id": bool(options.frame_id),
        }
    else:
        what = "no bag"
        given = {
            options.topics_option: bool(options.topics),
            "--camera-info-topics": bool(options.camera_info_topics),
        }
    for option, is_given in given.items():
        if is_given:
            raise ConfigurationError(f"{option} is not for {path}, which is {what}; {advice}")


def kind_of(path: Path) -> Kind:
    """What a recording is, by its content.

    Raises:
        InputError: It is not there, cannot be read, or is nothing that could be one.
    """
    with file_errors(f"read {path}", InputError):
        if path.is_dir():
            return _kind_of_folder(path)
        if not path.exists() and _is_pattern(path):
            return Kind.PICTURES
        if not path.is_file() and path.exists():
            raise InputError(f"{path} is a device; give a bag, a video, a picture, or a folder")
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
        if head.startswith((MCAP_MAGIC, SQLITE_MAGIC, ROS1_MAGIC)) or path.name.endswith(
            _BAG_SUFFIXES
        ):
            return Kind.BAG
        pixels = np.frombuffer(head, np.uint8)
        if image_file_format(pixels) or any(head[at:].startswith(m) for at, m in _PICTURES):
            return Kind.PICTURES
        if path.suffix.lower() in IMAGE_SUFFIXES:
            return Kind.PICTURES  # whose reader says what it is instead
        if path.name == "metadata.yaml":
            raise InputError(f"{path} describes a bag; give its folder, {path.parent}")
        mistake = mistaken_kind(path)
        if mistake is not None:
            raise InputError(f"{path} is no bag, video or picture: it {mistake.partition(';')[0]}")
    return Kind.VIDEO


def _kind_of_folder(path: Path) -> Kind:
    names = sorted(entry.name for entry in path.iterdir() if not entry.name.startswith("."))
    if "metadata.yaml" in names or any(name.endswith(_BAG_SUFFIXES) for name in names):
        return Kind.BAG
    if any(name.lower().endswith(IMAGE_SUFFIXES) for name in names):
        return Kind.PICTURES
    from mtinet_ros.recordings.video_source import VIDEO_SUFFIXES

    inner = [name for name in names if (path / name / "metadata.yaml").exists()]
    if inner:
        raise InputError(
            f"the folder {path} is no bag but holds {len(inner)}, e.g. {inner[0]}; give them "
            f"each: {path}/*"
        )
    videos = [name for name in names if name.lower().endswith(VIDEO_SUFFIXES)]
    if videos:
        raise InputError(
            f"the folder {path} holds {len(videos)} videos, e.g. {videos[0]}; give them each: "
            f"{path}/*{Path(videos[0]).suffix}"
        )
    return Kind.PICTURES  # maybe in folders within; else its reader says so


def _is_pattern(path: Path) -> bool:
    return any(letter in str(path) for letter in "*?[")

# SPDX-License-Identifier: Apache-2.0
"""Which topics of a bag are pictures of cameras, and what the cameras are called."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from mtinet_ros.errors import InputError

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"

# Measurements, not pictures (REP 118; image_transport's compressed_depth), and label maps. A
# compressed image's `format` begins with the encoding.
_MEASUREMENTS = re.compile(
    r"\s*(8S|16[SU]|32[SF]|64F)C\d|\s*8UC1\b|.*compressedDepth", re.I | re.S
)

# What the last two parts of a topic's name say of pictures that no camera took; the node's own
# outputs lie under the first three. The words below are looked for within these parts.
_OUTPUTS = {"segmentation", "depth", "normals", "disparity"}
_MASKS = {"mask", "masks", "label", "labels", "segmentation"}

# Stands beside all that the node publishes of a camera, where its model has classes.
_OWN = "/segmentation/label_info_json"

# What drivers and image_proc call the pictures of one camera, best first: as it comes, before what
# was made of it.
_FORMS = ("image_raw", "image_color", "image", "image_rect_color", "image_rect", "image_mono")


@dataclass(frozen=True)
class CameraTopic:
    """A camera of a bag: its name, the topic of its pictures and that of its calibration."""

    name: str
    topic: str
    camera_info_topic: str


def choose_image_topics(
    types: Mapping[str, str], encodings: Mapping[str, str]
) -> tuple[list[str], list[str]]:
    """The topics that are pictures of cameras, one for each camera.

    Args:
        types: Type by topic, of all topics with messages.
        encodings: Encoding, or a compressed image's format, of the first message by topic.

    Returns:
        The topics, sorted, and sentences about what was left out.

    Raises:
        InputError: There are none.
    """
    images = sorted(t for t, kind in types.items() if kind in (IMAGE, COMPRESSED_IMAGE))
    if not images:
        raise InputError(
            f"it holds no images (sensor_msgs/Image, CompressedImage); its topics: {_some(types)}"
        )
    own = tuple(f"{t.removesuffix(_OWN)}/" for t in types if t.endswith(_OWN))
    left_out = {}
    for topic in images:
        why = "is an output of this package" if topic.startswith(own) else ""
        if why := why or _why_no_camera(topic, encodings.get(topic, "")):
            left_out[topic] = why
    groups: dict[str, list[str]] = {}
    for topic in images:
        if topic not in left_out:
            groups.setdefault(_camera_key(topic), []).append(topic)
    if not groups:
        raise InputError(
            "it holds no pictures of cameras: "
            + ", ".join(f"{topic} {why}" for topic, why in left_out.items())
            + "; name the topics to process if they are pictures all the same"
        )
    chosen, notes = [], []
    for topics in groups.values():
        best, *others = sorted(topics, key=_rank)
        chosen.append(best)
        if others:
            notes.append(f"{best} was taken, and left out as the same camera: {', '.join(others)}")
    if left_out:
        notes.append(
            "left out as no pictures of cameras: "
            + ", ".join(f"{topic} ({why})" for topic, why in left_out.items())
        )
    return sorted(chosen), notes


def check_topics(wanted: Sequence[str], types: Mapping[str, str]) -> list[str]:
    """The topics that a person named, each once.

    Raises:
        InputError: One is not in the bag, or has no images; the message says which there are.
    """
    images = sorted(t for t, kind in types.items() if kind in (IMAGE, COMPRESSED_IMAGE))
    topics = []
    for name in wanted:
        topic = name if name in types else f"/{name.strip('/')}"
        if topic not in types:
            there = f"images are on {_some(images)}" if images else f"there are {_some(types)}"
            raise InputError(f"it has no messages on {name}; {there}")
        if topic not in images:
            raise InputError(
                f"{topic} is of type {types[topic]}, no image; images are on "
                f"{_some(images) or 'no topic'}"
            )
        topics.append(topic)
    return list(dict.fromkeys(topics))


def name_cameras(
    topics: Sequence[str], camera_info_topics: Mapping[str, str] | None = None
) -> tuple[CameraTopic, ...]:
    """Names for the cameras of these topics: their namespaces, joined by `_`.

    `/camera/color/image_raw` is `camera_color`, `/front/image_raw/compressed` is `front`,
    `/image_raw` is `camera`. A name that two would have gets the end of the topic, or a number,
    in order of the topics' names.

    Args:
        topics: Topics of images, in the order in which the cameras are wanted.
        camera_info_topics: Topic of the calibration by topic or name of a camera, where it is not
            the sibling `camera_info`.

    Raises:
        InputError: A calibration is for no camera.
    """
    names: dict[str, str] = {}
    for topic in sorted(topics):
        base = re.sub(r"/compressed$", "", topic)
        name = _camera_name(base)
        if name in names.values():
            name = f"{name}_{_as_name(topic.removeprefix(base) or base.rpartition('/')[2])}"
        number, plain = 2, name
        while name in names.values():
            name, number = f"{plain}_{number}", number + 1
        names[topic] = name
    asked = dict(camera_info_topics or {})
    cameras = []
    for topic in topics:
        name = names[topic]
        info = asked.pop(topic, None) or asked.pop(name, None) or sibling_camera_info(topic)
        cameras.append(CameraTopic(name, topic, info))
    if asked:
        raise InputError(
            f"{next(iter(asked))} is no camera to process; there are "
            f"{', '.join(f'{camera.name} ({camera.topic})' for camera in cameras)}"
        )
    return tuple(cameras)


def sibling_camera_info(topic: str) -> str:
    """Where image_transport has the calibration of an image topic."""
    parent, slash, _ = re.sub(r"/compressed$", "", topic).rpartition("/")
    return f"{parent}{slash}camera_info"


def _why_no_camera(topic: str, encoding: str) -> str:
    if _MEASUREMENTS.match(encoding):
        return f"is {encoding[:40]}"
    ends = re.sub(r"/compressed$", "", topic.lower()).split("/")[-2:]
    words = [end for end in ends if end in _OUTPUTS]
    words += [word for end in ends for word in end.split("_") if word in _MASKS]
    return f"is called {words[0]}" if words else ""


def _camera_key(topic: str) -> str:
    """The same for all forms in which one camera's pictures are published."""
    base = re.sub(r"[/_]compressed$", "", topic)
    parent, _, leaf = base.rpartition("/")
    return parent + "/" if leaf in _FORMS else base


def _rank(topic: str) -> tuple[bool, int, str]:
    base = re.sub(r"[/_]compressed$", "", topic)
    leaf = base.rpartition("/")[2]
    form = _FORMS.index(leaf) if leaf in _FORMS else len(_FORMS)
    return base != topic, form, topic


def _camera_name(base: str) -> str:
    parts = [_as_name(part) for part in base.split("/") if part]
    if parts and re.fullmatch(r"image(_.*)?", parts[-1]):
        parts.pop()
    distinct = [part for at, part in enumerate(parts) if at == 0 or part != parts[at - 1]]
    name = "_".join(distinct) or "camera"
    return name if name[0].isalpha() else f"camera_{name.lstrip('_')}"


def _as_name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_]", "_", text.strip("/"))


def _some(topics: Collection[str], most: int = 8) -> str:
    names = sorted(topics)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more

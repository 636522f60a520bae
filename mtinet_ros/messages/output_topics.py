# SPDX-License-Identifier: Apache-2.0
"""The topics that are made of a camera's predictions: names, types, needs, content."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mtinet_ros.errors import ConfigurationError
from mtinet_ros.model_card import ModelCard
from mtinet_ros.model_contract import VOID_ID
from mtinet_ros.perception.camera_model import CameraModel
from mtinet_ros.perception.depth import to_millimeters
from mtinet_ros.perception.point_cloud import (
    class_field,
    point_cloud,
    points_of,
    points_with_classes,
)
from mtinet_ros.perception.prediction import Prediction
from mtinet_ros.visualization.colors import LabelColors, colorize_normals

IMAGE = "sensor_msgs/msg/Image"
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
POINT_CLOUD = "sensor_msgs/msg/PointCloud2"
STRING = "std_msgs/msg/String"
LABEL_INFO = "vision_msgs/msg/LabelInfo"

Encode = Callable[[Prediction, Any], Any]


class MessageFactory(Protocol):
    """Makes messages of the classes that a publisher, or a writer of bags, takes.

    Headers are std_msgs/Header of the same kind, and go into the messages as they are. A message
    holds until the next is asked for.
    """

    def image(self, pixels: NDArray[Any], encoding: str, header: Any) -> Any:
        """sensor_msgs/Image of pixels [h,w] or [h,w,channels] in an encoding of that dtype."""

    def camera_info(self, camera: CameraModel, header: Any) -> Any:
        """sensor_msgs/CameraInfo of an image that `camera` describes."""

    def point_cloud(self, points: NDArray[np.void], header: Any) -> Any:
        """sensor_msgs/PointCloud2 of `perception.point_cloud` [H,W]; [1,N]: not organised."""

    def string(self, text: str) -> Any:
        """std_msgs/String."""

    def label_info(self, class_names: Sequence[str]) -> Any:
        """vision_msgs/LabelInfo of classes by id; None where there is no such type."""


@dataclass(frozen=True)
class ClassClouds:
    """How clouds tell classes apart: those of `obstacles` and of `classes`.

    Attributes:
        stride: The clouds have every n-th pixel in both directions.
        ground_classes: Names of the classes to drive on. All others are obstacles.
        class_fields: Names of the classes that have a field of their own in `points/classes`.
    """

    stride: int = 4
    ground_classes: Sequence[str] = ("floor",)
    class_fields: Sequence[str] = ("floor",)


@dataclass(frozen=True)
class OutputTopic:
    """One topic of a camera.

    Attributes:
        name: Below <camera>/.
        type_name: E.g. `sensor_msgs/msg/Image`.
        needs: Outputs of the model it is made from, named as in `Prediction`.
        encode: Makes the message from a prediction and a header; None where it cannot (no
            CameraInfo).
    """

    name: str
    type_name: str
    needs: frozenset[str]
    encode: Encode


@dataclass(frozen=True)
class Legend:
    """A message that is said once, and latched: its topic below <camera>/, its type."""

    name: str
    type_name: str
    message: Any


def output_topics(
    card: ModelCard,
    outputs: Collection[str],
    points_stride: int,
    depth_encoding: str,
    factory: MessageFactory,
    class_clouds: ClassClouds = ClassClouds(),
) -> list[OutputTopic]:
    """What both the chosen outputs and the model's tasks allow.

    Args:
        card: Card of the model: tasks, palette.
        outputs: Of the node's parameter `outputs`: `rgb`, `segmentation`, `overlay`, `depth`,
            `normals`, `points`, `obstacles`, `classes`.
        points_stride: The cloud has every n-th pixel in both directions.
        depth_encoding: `32FC1` (metres, NaN: invalid) or `16UC1` (millimetres, 0: invalid).
        factory: Makes the messages.
        class_clouds: For the outputs `obstacles` and `classes`.

    Raises:
        ConfigurationError: A class that is named is none of the model's.
    """
    topics = _Topics(card, points_stride, depth_encoding, factory, class_clouds)
    return [topic for name in _TASKS if name in outputs for topic in topics.of(name)]


def legend_messages(
    card: ModelCard, outputs: Collection[str], factory: MessageFactory
) -> list[Legend]:
    """The names and colors of the classes, where a segmentation is among the outputs."""
    if "segmentation" not in outputs or "semseg" not in card.tasks:
        return []
    classes = [
        {"id": index, "name": name, "color": list(card.palette[index])}
        for index, name in enumerate(card.class_names)
    ]
    legend = {"model": card.name, "void_id": VOID_ID, "classes": classes}
    text = factory.string(json.dumps(legend, ensure_ascii=False))
    legends = [Legend("segmentation/label_info_json", STRING, text)]
    label_info = factory.label_info(card.class_names)
    if label_info is not None:
        legends.append(Legend("segmentation/label_info", LABEL_INFO, label_info))
    return legends


# The outputs, in the order of their topics, and the tasks that each needs of a model.
_TASKS: dict[str, frozenset[str]] = {
    "rgb": frozenset(),
    "segmentation": frozenset({"semseg"}),
    "overlay": frozenset({"semseg"}),
    "depth": frozenset({"depth"}),
    "normals": frozenset({"normals"}),
    "points": frozenset({"depth"}),
    "obstacles": frozenset({"semseg", "depth"}),
    "classes": frozenset({"semseg", "depth"}),
}

OUTPUTS = tuple(_TASKS)
"""Names of all outputs."""


def is_ground(card: ModelCard, ground_classes: Sequence[str]) -> NDArray[np.bool_]:
    """Which labels a robot may drive on: bool [256]; void is not among them.

    Raises:
        ConfigurationError: A class is none of the model's.
    """
    _check_classes("ground_classes", ground_classes, card)
    ground = np.zeros(256, np.bool_)
    ground[[card.class_names.index(name) for name in ground_classes]] = True
    return ground


def _check_class_fields(names: Sequence[str], card: ModelCard) -> None:
    _check_classes("class_fields", names, card)
    taken = {"x", "y", "z"}
    for name in names:
        field = class_field(name)
        if field in taken:
            raise ConfigurationError(
                f"class_fields: {name!r} would be the second field {field} of the cloud; leave "
                "out one"
            )
        taken.add(field)


def _check_classes(parameter: str, names: Sequence[str], card: ModelCard) -> None:
    for name in names:
        if name not in card.class_names:
            raise ConfigurationError(
                f"{parameter}: {card.name} has no class {name!r}; choose from "
                f"{', '.join(card.class_names)}"
            )


class _Topics:
    """The topics of each output."""

    def __init__(
        self,
        card: ModelCard,
        points_stride: int,
        depth_encoding: str,
        factory: MessageFactory,
        class_clouds: ClassClouds,
    ) -> None:
        self._card = card
        self._class_clouds = class_clouds
        self._points_stride = points_stride
        self._depth_encoding = depth_encoding
        self._factory = factory
        self._colors = LabelColors(card.palette)

    def of(self, output: str) -> list[OutputTopic]:
        labels, depth, normals = (frozenset({name}) for name in ("labels", "depth", "normals"))
        confidence = frozenset({"confidence"} if self._card.has_confidence else ())
        tasks = self._card.tasks
        if not _TASKS[output] <= set(tasks):
            return []
        if output == "rgb":
            nothing: frozenset[str] = frozenset()
            image = OutputTopic("rgb/image", IMAGE, nothing, self._rgb_image)
            return [image, self._camera_info_of(output)]
        if output == "segmentation":
            return [
                OutputTopic("segmentation/image", IMAGE, labels, self._label_image),
                OutputTopic("segmentation/color", IMAGE, labels, self._label_color),
                *(
                    [OutputTopic("segmentation/confidence", IMAGE, confidence, self._certainty)]
                    if confidence
                    else []
                ),
                self._camera_info_of(output),
            ]
        if output == "overlay":
            return [OutputTopic("segmentation/overlay", IMAGE, labels, self._overlay)]
        if output == "depth":
            return [
                OutputTopic("depth/image", IMAGE, depth, self._depth_image),
                self._camera_info_of(output),
            ]
        if output == "normals":
            return [
                OutputTopic("normals/image", IMAGE, normals, self._normals_image),
                OutputTopic("normals/color", IMAGE, normals, self._normals_color),
                self._camera_info_of(output),
            ]
        if output == "obstacles":
            ground = is_ground(self._card, self._class_clouds.ground_classes)
            needs = depth | labels | confidence
            return [
                OutputTopic(name, POINT_CLOUD, needs, partial(self._points_of, wanted))
                for name, wanted in (("points/obstacles", ~ground), ("points/ground", ground))
            ]
        if output == "classes":
            _check_class_fields(self._class_clouds.class_fields, self._card)
            needs = depth | labels | confidence
            return [OutputTopic("points/classes", POINT_CLOUD, needs, self._points_by_class)]
        fields = (("semseg", labels | confidence), ("normals", normals))
        needs = depth.union(*(field for task, field in fields if task in tasks))
        return [OutputTopic("points", POINT_CLOUD, needs, self._points)]

    def _camera_info_of(self, output: str) -> OutputTopic:
        return OutputTopic(f"{output}/camera_info", CAMERA_INFO, frozenset(), self._camera_info)

    def _camera_info(self, prediction: Prediction, header: Any) -> Any:
        return prediction.camera and self._factory.camera_info(prediction.camera, header)

    def _rgb_image(self, prediction: Prediction, header: Any) -> Any:
        return self._factory.image(prediction.image, "rgb8", header)

    def _label_image(self, prediction: Prediction, header: Any) -> Any:
        return self._factory.image(_required(prediction.labels), "mono8", header)

    def _label_color(self, prediction: Prediction, header: Any) -> Any:
        colors = self._colors.colorize(_required(prediction.labels))
        return self._factory.image(colors, "rgb8", header)

    def _certainty(self, prediction: Prediction, header: Any) -> Any:
        return self._factory.image(_required(prediction.confidence), "mono8", header)

    def _overlay(self, prediction: Prediction, header: Any) -> Any:
        overlay = self._colors.overlay(prediction.image, _required(prediction.labels))
        return self._factory.image(overlay, "rgb8", header)

    def _depth_image(self, prediction: Prediction, header: Any) -> Any:
        depth = _required(prediction.depth)
        if self._depth_encoding == "16UC1":
            return self._factory.image(to_millimeters(depth), "16UC1", header)
        return self._factory.image(depth, "32FC1", header)

    def _normals_image(self, prediction: Prediction, header: Any) -> Any:
        return self._factory.image(_required(prediction.normals), "32FC3", header)

    def _normals_color(self, prediction: Prediction, header: Any) -> Any:
        colors = colorize_normals(_required(prediction.normals))
        return self._factory.image(colors, "rgb8", header)

    def _points(self, prediction: Prediction, header: Any) -> Any:
        if prediction.camera is None:
            return None
        return self._factory.point_cloud(self._cloud(prediction, self._points_stride), header)

    def _points_of(self, is_wanted: NDArray[np.bool_], prediction: Prediction, header: Any) -> Any:
        if prediction.camera is None:
            return None
        points = points_of(self._cloud(prediction, self._class_clouds.stride), is_wanted)
        return self._factory.point_cloud(points[np.newaxis], header)

    def _points_by_class(self, prediction: Prediction, header: Any) -> Any:
        if prediction.camera is None:
            return None
        cloud = self._cloud(prediction, self._class_clouds.stride)
        points = points_with_classes(
            cloud, self._card.class_names, self._class_clouds.class_fields
        )
        return self._factory.point_cloud(points[np.newaxis], header)

    def _cloud(self, prediction: Prediction, stride: int) -> NDArray[np.void]:
        # The fields are the model's, whoever else listens to what.
        has_confidence = self._card.has_confidence
        return point_cloud(prediction, stride, with_confidence=has_confidence)


def _required(array: NDArray[Any] | None) -> NDArray[Any]:
    assert array is not None, "the topic's `needs` were not asked of the model"
    return array

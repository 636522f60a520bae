# SPDX-License-Identifier: Apache-2.0
"""What a camera publishes: the topics promised, only what is heard, all under one header."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.tiny_model import tiny_card

pytest.importorskip("rclpy")
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header

from mtinet_ros.errors import ConfigurationError
from mtinet_ros.model_card import ModelCard
from mtinet_ros.node.camera_outputs import CameraOutputs
from mtinet_ros.node.settings import OUTPUTS, CameraSettings
from mtinet_ros.perception.camera_model import CameraModel
from mtinet_ros.perception.point_cloud import (
    CONFIDENT_POINT_DTYPE,
    POINT_DTYPE,
    point_cloud,
)
from mtinet_ros.perception.prediction import Prediction

pytestmark = pytest.mark.ros

H, W = 8, 10
GROUND = ("class 1", "class 3")


class Publisher:
    """Stands in for rclpy's: counts listeners and keeps messages."""

    def __init__(self, message_type: type[Any], qos: Any) -> None:
        self.message_type, self.qos = message_type, qos
        self.subscribers = 0
        self.is_activated = True
        self.messages: list[Any] = []

    def get_subscription_count(self) -> int:
        return self.subscribers

    def publish(self, message: Any) -> None:
        assert isinstance(message, self.message_type)
        self.messages.append(message)


class Node:
    """Stands in for the lifecycle node: no middleware is needed to see what is sent."""

    def __init__(self) -> None:
        self.publishers: dict[str, Publisher] = {}

    def resolve_topic_name(self, topic: str) -> str:
        return topic

    def create_lifecycle_publisher(
        self, message_type: type[Any], topic: str, qos: Any, **_: Any
    ) -> Publisher:
        return self.publishers.setdefault(topic, Publisher(message_type, qos))

    def destroy_lifecycle_publisher(self, publisher: Publisher) -> None:
        self.publishers = {t: p for t, p in self.publishers.items() if p is not publisher}


def outputs(
    *names: str, card: ModelCard | None = None, depth_encoding: str = "32FC1"
) -> tuple[CameraOutputs, dict[str, Publisher]]:
    node: Any = Node()
    made = CameraOutputs(node, camera(*names), card or tiny_card(), depth_encoding)
    return made, node.publishers


def camera(
    *names: str,
    points_stride: int = 2,
    obstacles_stride: int = 4,
    class_fields: tuple[str, ...] = GROUND,
) -> CameraSettings:
    return CameraSettings(
        name="front",
        image_topic="i",
        camera_info_topic="",
        transport="raw",
        outputs=names or OUTPUTS,
        rectify="auto",
        max_rate=0.0,
        max_age_ms=0.0,
        points_stride=points_stride,
        ground_classes=GROUND,
        obstacles_stride=obstacles_stride,
        class_fields=class_fields,
    )


def prediction(camera: bool = True) -> Prediction:
    random = np.random.default_rng(0)
    depth = random.uniform(1, 4, (H, W)).astype(np.float32)
    depth[0, 0] = np.nan
    return Prediction(
        image=random.integers(0, 256, (H, W, 3), np.uint8),
        labels=random.integers(0, 5, (H, W)).astype(np.uint8),
        depth=depth,
        normals=np.tile(np.array([0, 0, -1], np.float32), (H, W, 1)),
        camera=CameraModel.pinhole(W, H, 9.0, 9.0, 4.5, 3.5) if camera else None,
    )


ALL_TOPICS = {
    "segmentation/image": ("Image", {"labels"}),
    "segmentation/color": ("Image", {"labels"}),
    "segmentation/overlay": ("Image", {"labels"}),
    "segmentation/camera_info": ("CameraInfo", set()),
    "depth/image": ("Image", {"depth"}),
    "depth/camera_info": ("CameraInfo", set()),
    "normals/image": ("Image", {"normals"}),
    "normals/color": ("Image", {"normals"}),
    "normals/camera_info": ("CameraInfo", set()),
    "points": ("PointCloud2", {"labels", "depth", "normals"}),
    "points/obstacles": ("PointCloud2", {"labels", "depth"}),
    "points/ground": ("PointCloud2", {"labels", "depth"}),
    "points/classes": ("PointCloud2", {"labels", "depth"}),
    "rgb/image": ("Image", set()),
    "rgb/camera_info": ("CameraInfo", set()),
}


def advertised(publishers: dict[str, Publisher]) -> set[str]:
    return {t.removeprefix("~/front/") for t in publishers if "label_info" not in t}


def test_the_topics_and_types_of_the_documentation() -> None:
    _, publishers = outputs()
    assert advertised(publishers) == set(ALL_TOPICS)
    for name, (message_type, _) in ALL_TOPICS.items():
        publisher = publishers[f"~/front/{name}"]
        assert publisher.message_type.__name__ == message_type
        assert publisher.qos.reliability == ReliabilityPolicy.RELIABLE
        assert publisher.qos.depth == 1


def test_only_what_was_chosen_and_what_the_model_can_do() -> None:
    _, publishers = outputs("depth", "overlay")
    assert advertised(publishers) == {"depth/image", "depth/camera_info", "segmentation/overlay"}
    depth_only = replace(tiny_card(), tasks=("depth",), class_names=(), palette=())
    _, publishers = outputs(card=depth_only)
    rgb = {"rgb/image", "rgb/camera_info"}
    assert advertised(publishers) == {"depth/image", "depth/camera_info", "points", *rgb}
    without_depth = replace(tiny_card(), tasks=("normals",), class_names=(), palette=())
    _, publishers = outputs(card=without_depth)
    normals = {"normals/image", "normals/color", "normals/camera_info"}
    assert advertised(publishers) == normals | rgb


@pytest.mark.parametrize("topic", ALL_TOPICS)
def test_an_output_nobody_hears_costs_nothing(topic: str) -> None:
    made, publishers = outputs()
    assert made.wanted_outputs() is None
    made.publish(prediction(), Header())
    assert not any(p.messages for p in publishers.values())
    publishers[f"~/front/{topic}"].subscribers = 1
    assert made.wanted_outputs() == ALL_TOPICS[topic][1]
    made.publish(prediction(), Header())
    assert {t for t, p in publishers.items() if p.messages} == {f"~/front/{topic}"}


def test_every_message_of_a_frame_has_the_header_of_its_image() -> None:
    made, publishers = outputs()
    for publisher in publishers.values():
        publisher.subscribers = 1
    header = Header(frame_id="front_optical_frame")
    header.stamp.sec = 7
    made.publish(prediction(), header)
    for name in ALL_TOPICS:
        (message,) = publishers[f"~/front/{name}"].messages
        assert message.header == header
        if not name.startswith("points"):
            assert (message.height, message.width) == (H, W)
    encodings = {
        name: publishers[f"~/front/{name}"].messages[0].encoding
        for name, (message_type, _) in ALL_TOPICS.items()
        if message_type == "Image"
    }
    assert encodings == {
        "segmentation/image": "mono8",
        "segmentation/color": "rgb8",
        "segmentation/overlay": "rgb8",
        "depth/image": "32FC1",
        "normals/image": "32FC3",
        "normals/color": "rgb8",
        "rgb/image": "rgb8",
    }


def test_a_frame_that_ends_on_an_inactive_node_was_not_published() -> None:
    made, publishers = outputs()
    assert made.publish(prediction(), Header()), "nobody listens any more, and nothing is missing"
    for publisher in publishers.values():
        publisher.subscribers, publisher.is_activated = 1, False
    assert not made.publish(prediction(), Header())
    assert not any(p.messages for name, p in publishers.items() if "label_info" not in name)


def test_a_listener_who_comes_in_mid_frame_hurts_nobody() -> None:
    made, publishers = outputs()
    for publisher in publishers.values():
        publisher.subscribers = 1
    whole = prediction()
    made.publish(Prediction(whole.image, depth=whole.depth, camera=whole.camera), Header())
    sent = {t.removeprefix("~/front/") for t, p in publishers.items() if p.messages}
    assert sent == {
        "depth/image",
        "depth/camera_info",
        "segmentation/camera_info",
        "normals/camera_info",
        "rgb/image",
        "rgb/camera_info",
    }


def test_without_a_lens_there_is_no_camera_info_and_no_cloud() -> None:
    made, publishers = outputs()
    for publisher in publishers.values():
        publisher.subscribers = 1
    made.publish(prediction(camera=False), Header())
    silent = {t.removeprefix("~/front/") for t, p in publishers.items() if not p.messages}
    assert {n for n in silent if "label_info" not in n} == {
        n for n in ALL_TOPICS if n.endswith("camera_info") or n.startswith("points")
    }


def test_depth_in_millimeters_on_request_and_at_any_time() -> None:
    made, publishers = outputs("depth")
    publishers["~/front/depth/image"].subscribers = 1
    made.apply(camera("depth"), depth_encoding="16UC1")
    made.publish(prediction(), Header())
    (message,) = publishers["~/front/depth/image"].messages
    assert message.encoding == "16UC1"
    data = np.frombuffer(message.data, np.uint16).reshape(H, W)
    depth = prediction().depth
    assert depth is not None
    assert data[0, 0] == 0
    assert np.abs(data[1:] / 1000.0 - depth[1:]).max() <= 0.0005001


def test_a_confidence_is_published_beside_the_labels_and_in_the_clouds() -> None:
    """Of a model that has one; the fields before it stay where they were."""
    card = replace(tiny_card(), confidence={"temperature": 1.4})
    made, publishers = outputs(card=card)
    assert advertised(publishers) == {*ALL_TOPICS, "segmentation/confidence"}
    made.apply(camera(points_stride=1, obstacles_stride=1), depth_encoding="32FC1")
    publishers["~/front/segmentation/confidence"].subscribers = 1
    assert made.wanted_outputs() == {"confidence"}
    for name in ("points", "points/ground"):
        publishers[f"~/front/{name}"].subscribers = 1
    assert made.wanted_outputs() == {"labels", "depth", "normals", "confidence"}
    confidence = np.arange(H * W, dtype=np.uint8).reshape(H, W)
    seen, header = replace(prediction(), confidence=confidence), Header(frame_id="optical")
    made.publish(seen, header)
    (image,) = publishers["~/front/segmentation/confidence"].messages
    assert (image.encoding, image.header) == ("mono8", header)
    np.testing.assert_array_equal(np.frombuffer(image.data, np.uint8), confidence.ravel())
    (cloud,) = publishers["~/front/points"].messages
    plain, names = point_cloud(seen), list(POINT_DTYPE.names or ())
    assert [field.name for field in cloud.fields] == [*names, "confidence"]
    assert [f.offset for f in cloud.fields[:-1]] == [v[1] for v in POINT_DTYPE.fields.values()]
    last = cloud.fields[-1]
    assert (last.offset, last.datatype, last.count) == (32, PointField.FLOAT32, 1)
    assert (cloud.point_step, cloud.row_step) == (36, 36 * W)
    points = np.frombuffer(cloud.data, CONFIDENT_POINT_DTYPE)
    assert points[names].astype(POINT_DTYPE).tobytes() == plain.tobytes()
    np.testing.assert_allclose(points["confidence"], confidence.ravel() / 255, rtol=1e-6)
    (ground,) = publishers["~/front/points/ground"].messages
    assert [field.name for field in ground.fields] == [*names, "confidence"]


def test_the_clouds_stride() -> None:
    made, publishers = outputs("points")
    publishers["~/front/points"].subscribers = 1
    made.publish(prediction(), Header())
    made.apply(camera("points", points_stride=3), depth_encoding="32FC1")
    made.publish(prediction(), Header())
    sizes = [(m.height, m.width) for m in publishers["~/front/points"].messages]
    assert sizes == [(4, 5), (3, 4)]


def points_in(message: PointCloud2) -> NDArray[np.void]:
    assert message.height == 1
    assert message.row_step == len(message.data) == message.width * message.point_step
    return np.frombuffer(message.data, POINT_DTYPE)


def test_a_costmap_gets_what_is_in_the_way_apart_from_the_ground() -> None:
    made, publishers = outputs("obstacles")
    for publisher in publishers.values():
        publisher.subscribers = 1
    made.apply(camera("obstacles", obstacles_stride=1), depth_encoding="32FC1")
    seen = prediction()
    made.publish(seen, Header(frame_id="front_optical"))
    obstacles, ground = (
        points_in(publishers[f"~/front/points/{name}"].messages[0])
        for name in ("obstacles", "ground")
    )
    assert seen.labels is not None
    assert seen.depth is not None
    is_ground = np.isin(seen.labels, [tiny_card().class_names.index(name) for name in GROUND])
    is_valid = np.isfinite(seen.depth)
    assert sorted(ground["z"]) == sorted(seen.depth[is_ground & is_valid])
    assert sorted(obstacles["z"]) == sorted(seen.depth[~is_ground & is_valid])
    assert 0 < len(ground) < len(obstacles)


def test_a_cloud_without_a_point_is_a_cloud() -> None:
    made, publishers = outputs("obstacles")
    publishers["~/front/points/ground"].subscribers = 1
    seen = prediction()
    made.publish(replace(seen, labels=np.full((H, W), 255, np.uint8)), Header())
    assert len(points_in(publishers["~/front/points/ground"].messages[0])) == 0


def test_a_ground_that_the_model_does_not_know_is_refused() -> None:
    card = replace(tiny_card(), class_names=("street", "wall"), palette=((0, 0, 0), (1, 1, 1)))
    with pytest.raises(ConfigurationError, match=r"no class 'class 1'; choose from street, wall"):
        outputs("obstacles", card=card)
    outputs("points", card=card)  # only who asks for obstacles has to say what the ground is


def test_a_map_of_classes_gets_a_field_for_each() -> None:
    made, publishers = outputs("classes")
    publishers["~/front/points/classes"].subscribers = 1
    made.apply(camera("classes", obstacles_stride=1), depth_encoding="32FC1")
    seen, header = prediction(), Header(frame_id="front_optical")
    made.publish(seen, header)
    (cloud,) = publishers["~/front/points/classes"].messages
    assert cloud.header == header
    kind, names = PointField.FLOAT32, ["x", "y", "z", *(n.replace(" ", "_") for n in GROUND)]
    assert [(f.name, f.offset, f.datatype, f.count) for f in cloud.fields] == [
        (name, 4 * index, kind, 1) for index, name in enumerate(names)
    ]
    points = np.frombuffer(cloud.data, np.float32).reshape(-1, len(names))
    assert seen.labels is not None
    labels = seen.labels.ravel()[1:]  # the first pixel has no depth
    for column, name in enumerate(GROUND, 3):
        is_of_class = labels == tiny_card().class_names.index(name)
        np.testing.assert_array_equal(points[:, column], is_of_class)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (("sea",), "class_fields: tiny has no class 'sea'; choose from class 0, class 1"),
        (("class 1", "class 1"), "class_fields: 'class 1' would be the second field class_1"),
    ],
)
def test_fields_that_cannot_be_are_refused(fields: tuple[str, ...], sentence: str) -> None:
    made, _ = outputs("classes")
    with pytest.raises(ConfigurationError, match=sentence):
        made.apply(camera("classes", class_fields=fields), depth_encoding="32FC1")


def test_the_picture_pairs_with_the_depth_image() -> None:
    made, publishers = outputs("rgb")
    assert made.wanted_outputs() is None
    publishers["~/front/rgb/image"].subscribers = 1
    assert made.wanted_outputs() == frozenset()  # the network is not asked for it
    seen = prediction()
    made.publish(seen, Header())
    (message,) = publishers["~/front/rgb/image"].messages
    assert message.encoding == "rgb8"
    assert bytes(message.data) == seen.image.tobytes()


def test_the_legend_is_latched_with_names_and_colors() -> None:
    made, publishers = outputs("segmentation")
    made.publish_legends()
    publisher = publishers["~/front/segmentation/label_info_json"]
    assert publisher.qos.durability == DurabilityPolicy.TRANSIENT_LOCAL
    legend = json.loads(publisher.messages[0].data)
    assert legend["void_id"] == 255
    assert [c["name"] for c in legend["classes"]] == list(tiny_card().class_names)
    assert [tuple(c["color"]) for c in legend["classes"]] == list(tiny_card().palette)
    assert [c["id"] for c in legend["classes"]] == list(range(5))


def test_destroyed_means_gone() -> None:
    made, publishers = outputs()
    assert publishers
    made.destroy()
    assert made.wanted_outputs() is None

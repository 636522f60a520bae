# SPDX-License-Identifier: Apache-2.0
"""Of a bag, the topics of one node that can be shown."""

from __future__ import annotations

from mtinet_ros.recordings.bag_storage import CDR, Channel
from mtinet_ros.viewer.channels import cameras_in


def channels(*topics: str, serialization: str = CDR) -> dict[Channel, int]:
    return {Channel(topic, "sensor_msgs/msg/Image", serialization): 1 for topic in topics}


def found(given: dict[Channel, int], prefix: str = "/perception/") -> set[tuple[str, str]]:
    return set(cameras_in(given, prefix).values())


def test_the_topics_of_every_camera_of_the_node_and_no_others() -> None:
    given = channels(
        "/perception/front/depth/image",
        "/perception/rear/segmentation/image",
        "/perception/rear/segmentation/color",
        "/other/front/depth/image",
        "/camera/image_raw",
    )
    assert found(given) == {("front", "depth/image"), ("rear", "segmentation/image")}
    assert found(given, "/other/") == {("front", "depth/image")}


def test_the_overlay_stands_in_for_a_picture_that_is_not_there() -> None:
    overlay, picture = "/perception/front/segmentation/overlay", "/perception/front/rgb/image"
    assert found(channels(overlay)) == {("front", "segmentation/overlay")}
    assert found(channels(overlay, picture)) == {("front", "rgb/image")}


def test_what_cannot_be_read_is_left_out() -> None:
    assert found(channels("/perception/front/depth/image", serialization="json")) == set()

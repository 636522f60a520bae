# SPDX-License-Identifier: Apache-2.0
"""Names of the topics a camera is received on, with remapping rules applied once each."""

from __future__ import annotations

from dataclasses import dataclass

from rclpy.node import Node

from mtinet_ros.node.settings import CameraSettings, image_and_info_topics


@dataclass(frozen=True)
class CameraTopics:
    """Names to subscribe with; rclpy applies the remapping rules to them.

    Attributes:
        image: Topic of the images, with the transport's suffix.
        camera_info: Topic of their calibration.
    """

    image: str
    camera_info: str


def camera_topics(node: Node, settings: CameraSettings) -> CameraTopics:
    """Topics of a camera as image_transport lays them out.

    What is not named follows the image topic as it is after remapping: with
    `-r camera/image_raw:=/usb/image_raw`, the calibration is `/usb/camera_info` and the compressed
    image `/usb/image_raw/compressed`. A rule for the topic itself comes first.

    Args:
        node: Node that will subscribe.
        settings: Parameters of the camera.
    """
    image, camera_info = image_and_info_topics(settings)
    followed = _resolved(node, image)
    if settings.transport != "raw":
        suffix = f"/{settings.transport}"
        base = image.removesuffix(suffix)
        image = _following(node, image, f"{_resolved(node, base)}{suffix}")
        followed = _resolved(node, image).removesuffix(suffix)
    if not settings.camera_info_topic:
        parent, slash, _ = followed.rpartition("/")
        camera_info = _following(node, camera_info, f"{parent}{slash}camera_info")
    return CameraTopics(image, camera_info)


def _following(node: Node, name: str, of_remapped_image: str) -> str:
    """`name` if a remapping rule is about it, else its counterpart of the remapped image topic."""
    if _resolved(node, name) != node.resolve_topic_name(name, only_expand=True):
        return name
    led_on = _resolved(node, of_remapped_image)
    if led_on != of_remapped_image:  # rclpy applies rules to whatever it is given
        node.get_logger().warning(
            f"{of_remapped_image} belongs to the remapped image, and a rule leads it on to "
            f"{led_on}: add a rule for {name}"
        )
    return of_remapped_image


def _resolved(node: Node, name: str) -> str:
    return str(node.resolve_topic_name(name))

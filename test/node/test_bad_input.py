# SPDX-License-Identifier: Apache-2.0
"""Bad frames: one clear line and a counter each, and the next good frame is answered."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy")

from node.test_perception_node import CAMERA, OUT, picture, started
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from support.node_harness import Robot, compressed

from mtinet_ros.node.message_factory import camera_info_message, encode_image

pytestmark = pytest.mark.ros


def bad_images(robot: Robot) -> dict[str, Image]:
    """Images that lie, and a word that the complaint about each must hold."""

    def image(**changes: object) -> Image:
        message = encode_image(picture(), "rgb8", robot.header())
        for name, value in changes.items():
            setattr(message, name, value)
        return message

    return {
        "encoding 'h264'": image(encoding="h264"),
        "step 7 is too short": image(step=7),
        "are too few": image(data=b"short"),
        "the image has 0x0 pixels": image(height=0, width=0, step=0, data=b""),
        "the image has 100000x90000": image(width=100_000, height=90_000, step=300_000),
        "600 bytes": image(encoding="rgb16"),
        "too long and thin": encode_image(
            np.zeros((1, 5000, 3), np.uint8), "rgb8", robot.header()
        ),
    }


def test_images_that_lie_are_named_counted_and_survived(robot: Robot, tiny_model: Path) -> None:
    robot.subscribe(OUT + "segmentation/image", Image)
    with started(robot, tiny_model) as node:
        robot.show_until(OUT + "segmentation/image", lambda: robot.show(picture(), CAMERA))
        for sentence, message in bad_images(robot).items():
            before = len(node.log)
            for _ in range(3):
                message.header = robot.header()
                robot.camera("/camera/image_raw").publish(message)
                robot.spin_for(0.15)
            robot.show_until(OUT + "segmentation/image", lambda: robot.show(picture(), CAMERA))
            said = node.text(before)
            assert said.count(sentence) == 1, f"{sentence!r} in {said}"
        assert robot.reports("camera", "dropped: unusable image", "")
        assert "Traceback" not in node.text()


@pytest.mark.parametrize("size", [(1, 1), (3650, 5480), (31, 33), (75, 100)])
def test_any_size_is_answered(robot: Robot, tiny_model: Path, size: tuple[int, int]) -> None:
    robot.subscribe(OUT + "segmentation/image", Image)
    image = np.full((*size, 3), 90, np.uint8)
    with started(robot, tiny_model):
        robot.show_until(OUT + "segmentation/image", lambda: robot.show(image))
        _, answer = robot.show_until(OUT + "segmentation/image", lambda: robot.show(picture()))
        assert (answer.height, answer.width) == (32, 43)


def test_a_jpeg_cut_short_is_dropped_and_the_next_one_answered(
    robot: Robot, tiny_model: Path
) -> None:
    robot.subscribe(OUT + "segmentation/image", Image)
    jpeg = cv2.imencode(".jpg", picture())[1].tobytes()
    publisher = robot.camera("/camera/image_raw/compressed", CompressedImage)

    def show():  # type: ignore[no-untyped-def]
        header = robot.header()
        publisher.publish(compressed(jpeg, header))
        return header

    with started(robot, tiny_model, "camera.transport:=compressed") as node:
        robot.show_until(OUT + "segmentation/image", show)
        publisher.publish(compressed(jpeg[: len(jpeg) // 2], robot.header()))
        robot.spin_for(0.5)
        robot.show_until(OUT + "segmentation/image", show)
        assert node.says("cut short")


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda i: setattr(i, "width", 640), "CameraInfo is for 640x75 pixels"),
        (lambda i: [m.__setitem__(slice(None), 0.0) for m in (i.k, i.p)], "not calibrated"),
        (lambda i: i.k.__setitem__(4, 1.0), "not calibrated"),
        (lambda i: i.k.__setitem__(0, float("nan")), "holds NaN"),
    ],
)
def test_a_useless_camera_info_costs_metric_depth_only(
    robot: Robot, tiny_model: Path, damage: object, sentence: str
) -> None:
    robot.subscribe(OUT + "depth/image", Image)
    info = camera_info_message(CAMERA, robot.header())
    damage(info)  # type: ignore[operator]

    def show():  # type: ignore[no-untyped-def]
        robot.camera("/camera/camera_info", CameraInfo).publish(info)
        return robot.show(picture())

    with started(robot, tiny_model) as node:
        robot.show_until(OUT + "depth/image", show)
        robot.show_until(OUT + "depth/image", show)
        assert node.text().count(sentence) == 1


def test_a_camera_that_vanishes_and_returns(robot: Robot, tiny_model: Path) -> None:
    robot.subscribe(OUT + "depth/image", Image)
    with started(robot, tiny_model, "silence_timeout:=0.5") as node:
        robot.show_until(OUT + "depth/image", lambda: robot.show(picture(), CAMERA))
        robot.destroy_publisher(robot._cameras.pop("/camera/image_raw"))
        assert robot.reports("camera", "state", "silent")
        robot.show_until(OUT + "depth/image", lambda: robot.show(picture(), CAMERA))
        assert node.text().count("nobody publishes it") == 1


@pytest.mark.slow
def test_ten_thousand_random_images_leave_the_node_alive_and_its_memory_flat(
    robot: Robot, tiny_model: Path
) -> None:
    robot.subscribe(OUT + "segmentation/image", Image)
    random = np.random.default_rng(5)
    encodings = ["rgb8", "bgr8", "mono8", "mono16", "nv21", "bayer_rggb8", "yuyv", "x", ""]
    publisher = robot.camera("/camera/image_raw")

    def flood(count: int) -> None:
        for i in range(count):
            height, width, step, length = (int(n) for n in random.integers(0, 60, 4))
            publisher.publish(
                Image(
                    header=robot.header(),
                    height=height,
                    width=width,
                    step=step * int(random.integers(1, 4)),
                    is_bigendian=int(random.integers(0, 2)),
                    encoding=encodings[int(random.integers(0, len(encodings)))],
                    data=random.integers(0, 256, length * step).astype(np.uint8).tobytes(),
                )
            )
            if i % 20 == 0:
                robot.spin_for(0.01)

    with started(robot, tiny_model) as node:
        flood(3000)
        before = node.resident_kib()
        flood(7000)
        robot.show_until(OUT + "segmentation/image", lambda: robot.show(picture(), CAMERA))
        assert node.resident_kib() - before < 8 * 1024
        assert "Traceback" not in node.text()
        assert len(node.log) < 150, "complaints about garbage at camera rate flood the log"

# SPDX-License-Identifier: Apache-2.0
"""Eight cameras on one node: each with its own size, rate, transport, outputs and accounts."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("rclpy")

from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from support.node_harness import ROOT, NodeProcess, Robot, compressed

from mtinet_ros.inference import load_backend
from mtinet_ros.perception.predictor import Predictor

pytestmark = pytest.mark.ros

CAMERAS = [f"camera_{number}" for number in range(8)]
PARAMETERS = (
    f"cameras:=[{', '.join(CAMERAS)}]",
    "camera_1.transport:=compressed",
    "camera_2.outputs:=[depth]",
    "camera_3.max_rate:=5.0",
    "camera_4.max_age_ms:=1000.0",
    "batch_window_ms:=2.0",
    "pipelined:=on",
)


def picture(number: int) -> NDArray[np.uint8]:
    """Each camera's has a size and a content of its own."""
    noise = np.random.default_rng(number).integers(0, 256, (5, 10, 3), np.uint8)
    size = (80, 40 + 4 * number)
    return np.asarray(cv2.resize(noise, size, interpolation=cv2.INTER_CUBIC), np.uint8)


def totals(robot: Robot, camera: str) -> dict[str, int]:
    """Of the newest report, whose sum must hold."""
    status = robot.status(camera)
    assert status is not None
    values = {pair.key: pair.value for pair in status.values}
    reasons = {key: int(value) for key, value in values.items() if key.startswith("dropped: ")}
    assert int(values["dropped"]) == sum(reasons.values())
    return {"received": int(values["received"]), "published": int(values["published"]), **reasons}


def test_each_of_eight_cameras_has_its_own_and_every_frame_is_accounted_for(
    robot: Robot, tiny_model: Path
) -> None:
    """The parameter file has no block of any of them, as with the launch file's `cameras:=`."""
    heard = {
        camera: f"/perception/{camera}/{'depth' if number == 2 else 'segmentation'}/image"
        for number, camera in enumerate(CAMERAS)
    }
    for topic in heard.values():
        robot.subscribe(topic, Image)
    sent: dict[str, list[Header]] = {camera: [] for camera in CAMERAS}

    def show(turn: int) -> None:
        for number, camera in enumerate(CAMERAS):
            if turn % (1 + number % 3):  # some are twice or thrice as fast as others
                continue
            image = picture(number)
            if number == 1:
                header = robot.header()
                data = cv2.imencode(".jpg", image)[1].tobytes()
                topic = f"/{camera}/image_raw/compressed"
                robot.camera(topic, CompressedImage).publish(compressed(data, header))
            else:
                header = robot.show(image, name=camera)
            sent[camera].append(header)

    file = ("--params-file", str(ROOT / "config" / "perception.yaml"))
    parameters = (f"model:={tiny_model}", "backend:=onnxruntime", *PARAMETERS)
    with NodeProcess(*parameters, arguments=file) as node:
        robot.start()
        assert robot.reports("engine", "pipelined", "yes")
        turn = 0

        def everybody_is_answered() -> bool:
            return all(robot.messages[topic] for topic in heard.values())

        while turn < 60 or not everybody_is_answered():
            show(turn)
            robot.spin_for(0.02)
            turn += 1
            assert turn < 1000, "a camera starves"
        for _ in range(2):
            show(0)
            assert robot.change_state("deactivate")
            for camera in CAMERAS:
                assert robot.reports(camera, "state", "inactive")
            robot.spin_for(1.1)  # until a report that was made after it
            for camera in CAMERAS:
                told = totals(robot, camera)
                assert told["received"] == sum(told.values()) - told["received"]
                assert told["published"] >= len(robot.messages[heard[camera]]) > 0
                assert told["received"] <= len(sent[camera])
            assert robot.change_state("activate")
        assert totals(robot, "camera_3")["dropped: max_rate"] > 0
        assert "is more than an hour, so that max_age_ms counts" in node.text()
    predictor = Predictor(load_backend(tiny_model, "onnxruntime", max_batch=1))
    for number, camera in enumerate(CAMERAS):
        answers = robot.messages[heard[camera]]
        stamps = [(answer.header.stamp.sec, answer.header.stamp.nanosec) for answer in answers]
        assert stamps == sorted(set(stamps)), "each frame once, the older ones first"
        assert set(stamps) <= {(header.stamp.sec, header.stamp.nanosec) for header in sent[camera]}
        expected = predictor.predict([picture(number)], [None])[0].labels
        assert expected is not None
        for answer in answers:
            assert (answer.height, answer.width) == expected.shape
            if number not in (1, 2):  # JPEG is not exact, and depth has no labels
                np.testing.assert_array_equal(np.asarray(answer.data), expected.ravel())

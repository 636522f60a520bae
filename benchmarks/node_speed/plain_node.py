# SPDX-License-Identifier: Apache-2.0
"""The same model in a node as most Python nodes are written: what ours is compared with.

    python -m benchmarks.node_speed.plain_node RUNS MODEL CAMERAS [--null MS]

It does what tutorials, and public nodes for segmentation and depth, do: `create_subscription(…,
10)` with a callback that does everything and returns when it is done; cv_bridge's way in
(`imgmsg_to_cv2` is a view of the data and `cvtColor`) and out (`tobytes` into `data`); one image
per run; ONNX Runtime with its defaults; all outputs for every frame, whoever listens; the
middleware as it comes. Outputs have the network's size, as ours have: most such nodes bring them
to the camera's size first, which would cost this one more.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from sensor_msgs.msg import Image

from benchmarks.node_speed.null_backend import NullBackend, TimedBackend
from mtinet_ros.model_card import read_model_card
from mtinet_ros.model_contract import INPUT_NAME

TOPICS = (
    "segmentation/image",
    "segmentation/overlay",
    "depth/image",
    "normals/image",
    "normals/color",
)


class OrtModel:
    """ONNX Runtime as its documentation shows it."""

    def __init__(self, path: Path) -> None:
        """Load the model."""
        import onnxruntime

        self._session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        self._names = [output.name for output in self._session.get_outputs()]

    def infer(self, images: np.ndarray, wanted: Any) -> dict[str, np.ndarray]:
        """Run all of it."""
        outputs = self._session.run(self._names, {INPUT_NAME: images})
        return dict(zip(self._names, outputs, strict=True))


class PlainNode(Node):
    """Cameras in, five images out."""

    def __init__(self, model: Any, path: Path, cameras: list[str]) -> None:
        """Subscribe and advertise."""
        super().__init__("plain")
        card = read_model_card(path)
        self.model = model
        self.height, self.width = card.input_size
        self.palette = np.zeros((256, 3), np.uint8)
        self.palette[: len(card.palette)] = card.palette
        self.outputs = {
            camera: {
                topic: self.create_publisher(Image, f"~/{camera}/{topic}", 10) for topic in TOPICS
            }
            for camera in cameras
        }
        for camera in cameras:
            self.create_subscription(
                Image, f"{camera}/image_raw", partial(self.on_image, camera), 10
            )

    def on_image(self, camera: str, message: Image) -> None:
        """Answer one image."""
        image = np.ndarray((message.height, message.width, 3), np.uint8, buffer=message.data)
        rgb = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        resized = cv2.resize(rgb, (self.width, self.height))
        outputs = self.model.infer(resized[np.newaxis], ("labels", "depth", "normals"))
        labels = outputs["labels"][0]
        depth = outputs["depth"][0].astype(np.float32)
        normals = outputs["normals"][0].astype(np.float32)
        color = self.palette[labels]
        overlay = cv2.addWeighted(resized, 0.5, color, 0.5, 0)
        normals_color = ((normals + 1) * 127.5).astype(np.uint8)
        self.publish(camera, "segmentation/image", labels, "mono8", message.header)
        self.publish(camera, "segmentation/overlay", overlay, "rgb8", message.header)
        self.publish(camera, "depth/image", depth, "32FC1", message.header)
        self.publish(camera, "normals/image", normals, "32FC3", message.header)
        self.publish(camera, "normals/color", normals_color, "rgb8", message.header)

    def publish(
        self, camera: str, topic: str, array: np.ndarray, encoding: str, header: Any
    ) -> None:
        """Publish an array as an image."""
        message = Image()
        message.header = header
        message.height, message.width = array.shape[:2]
        message.encoding = encoding
        message.step = array.nbytes // message.height
        message.data = array.tobytes()
        self.outputs[camera][topic].publish(message)


def main() -> None:
    """Run until a signal."""
    runs, path, cameras = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3].split(",")
    model: Any = OrtModel(path) if len(sys.argv) < 6 else None
    if model is None:
        model = NullBackend(read_model_card(path), 1, float(sys.argv[5]))
    rclpy.init(args=[])
    try:
        rclpy.spin(PlainNode(TimedBackend(model, runs), path, cameras))
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
"""Frames and predictions to write bags of, and readers that share no code with what writes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from rosbags.rosbag2 import Reader
from support.tiny_model import tiny_card

from mtinet_ros.perception.camera_model import CameraModel
from mtinet_ros.perception.decoded_image import DecodedImage
from mtinet_ros.perception.prediction import Prediction
from mtinet_ros.recordings.bag_sink import BagSink
from mtinet_ros.recordings.frame import Header, RecordedFrame

H, W = 6, 8
SECOND = 1_000_000_000
START = 1_600_000_000 * SECOND  # record time; stamps are 12 ms before
ALL = ("segmentation", "overlay", "depth", "normals", "points")


def frame(index: int, camera: str = "front", step: int = SECOND // 10) -> RecordedFrame:
    time = START + index * step
    stamp = Header(time - 12_000_000, f"{camera}_optical_frame")
    image = DecodedImage(np.zeros((H, W, 3), np.uint8), None)
    return RecordedFrame(camera, time, stamp, f"{camera}/{index:04}", lambda: image)


def prediction(seed: int, has_camera: bool = True) -> Prediction:
    random = np.random.default_rng(seed)
    depth = random.uniform(1, 4, (H, W)).astype(np.float32)
    depth[0, 0] = np.nan
    return Prediction(
        image=random.integers(0, 256, (H, W, 3), np.uint8),
        labels=random.integers(0, 5, (H, W)).astype(np.uint8),
        depth=depth,
        normals=random.normal(size=(H, W, 3)).astype(np.float32),
        camera=CameraModel.pinhole(W, H, 9.0, 9.5, 4.5, 3.5) if has_camera else None,
        depth_is_metric=has_camera,
    )


def write(sink: BagSink, *frames: RecordedFrame, has_camera: bool = True) -> None:
    for one in frames:
        seen = prediction(one.time // 1000 % 1000, has_camera)
        sink.write(one, sink.encode(one, seen))


def predicted(one: RecordedFrame) -> Prediction:
    return prediction(one.time // 1000 % 1000)


def write_bag(folder: Path, **options: Any) -> list[dict[str, Any]]:
    """Two parts: frames 0 to 2 and 3 to 4."""
    sink = BagSink(folder, tiny_card(), ALL, **options)
    records = []
    for number, indices in ((1, (0, 1, 2)), (2, (3, 4))):
        sink.begin_part(number)
        write(sink, *map(frame, indices))
        records.append(json.loads(json.dumps(sink.end_part())))
    sink.finish(records)
    return records


def metadata(folder: Path) -> dict[str, Any]:
    loaded = yaml.safe_load((folder / "metadata.yaml").read_text())
    return dict(loaded["rosbag2_bagfile_information"])


def foreign_messages(path: Path) -> Iterator[tuple[Any, Any, Any, Any]]:
    """(schema, channel, message, decoded) by another library than the writer's."""
    pytest.importorskip("mcap_ros2")
    from mcap.reader import make_reader
    from mcap_ros2.decoder import DecoderFactory

    with path.open("rb") as file:
        yield from make_reader(file, decoder_factories=[DecoderFactory()]).iter_decoded_messages()


def rosbags_messages(folder: Path) -> list[tuple[str, str, int, bytes]]:
    with Reader(folder) as reader:
        return [
            (connection.topic, connection.msgtype, time, bytes(data))
            for connection, time, data in reader.messages()
        ]

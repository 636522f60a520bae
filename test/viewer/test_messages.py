# SPDX-License-Identifier: Apache-2.0
"""What the node publishes reaches the viewer as it is: units, colors, places, times."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mtinet_ros.errors import InputError
from mtinet_ros.viewer.messages import LEGEND, show


class Scene:
    """Notes what it is asked to show."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: self.calls.append((name, *arguments))


def header(sec: int = 5, nanosec: int = 250_000_000) -> SimpleNamespace:
    return SimpleNamespace(stamp=SimpleNamespace(sec=sec, nanosec=nanosec), frame_id="optical")


def image(pixels: NDArray[Any], encoding: str, padding: int = 0, big: bool = False) -> Any:
    rows = pixels.astype(pixels.dtype.newbyteorder(">" if big else "<"))
    raw = np.ascontiguousarray(rows).view(np.uint8).reshape(pixels.shape[0], -1)
    raw = np.pad(raw, ((0, 0), (0, padding)), constant_values=99)
    return SimpleNamespace(
        header=header(),
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=encoding,
        is_bigendian=big,
        step=raw.shape[1],
        data=raw.tobytes(),
    )


def shown(topic: str, message: Any) -> tuple[Any, ...]:
    scene: Any = Scene()
    show(scene, "front", topic, message)
    assert scene.calls[0] == ("set_time", 5_250_000_000)
    call: tuple[Any, ...] = scene.calls[1]
    assert call[1] == "front"
    return (call[0], *call[2:])


@pytest.mark.parametrize(("padding", "big"), [(0, False), (4, False), (0, True)])
def test_depth_is_in_metres_with_holes_in_either_encoding(padding: int, big: bool) -> None:
    metres = np.array([[1.5, np.nan], [0.25, 8.0]], np.float32)
    name, found = shown("depth/image", image(metres, "32FC1", padding, big))
    assert name == "depth"
    np.testing.assert_array_equal(found, metres)
    millimetres = np.array([[1500, 0], [250, 8000]], np.uint16)
    _, found = shown("depth/image", image(millimetres, "16UC1", padding, big))
    np.testing.assert_array_equal(found, metres)


def test_labels_are_the_ids() -> None:
    labels = np.array([[0, 3, 255], [7, 7, 1]], np.uint8)
    name, found = shown("segmentation/image", image(labels, "mono8", 3))
    assert name == "labels"
    np.testing.assert_array_equal(found, labels)


def test_the_points_that_are_there_with_their_colors() -> None:
    layout = [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("rgb", "<u4"), ("label", "<u4")]
    points = np.zeros((2, 2), layout)
    points["z"] = [[1.0, np.nan], [2.0, 3.0]]
    points["x"] = [[0.5, 9.0], [0.0, -1.0]]
    points["rgb"] = 0x00_FF_80_01
    names = [name for name, _ in layout]
    message = SimpleNamespace(
        header=header(),
        fields=[SimpleNamespace(name=name, offset=4 * i) for i, name in enumerate(names)],
        is_bigendian=False,
        point_step=20,
        data=points.tobytes(),
    )
    name, positions, colors = shown("points", message)
    assert name == "points"
    np.testing.assert_array_equal(positions, [[0.5, 0, 1], [0, 0, 2], [-1, 0, 3]])
    np.testing.assert_array_equal(colors, [[255, 128, 1]] * 3)


def test_the_legend_has_no_time() -> None:
    scene: Any = Scene()
    classes = [{"id": 0, "name": "wall", "color": [1, 2, 3]}]
    show(scene, "front", LEGEND, SimpleNamespace(data=json.dumps({"classes": classes})))
    assert scene.calls == [("legend", "front", classes)]


@pytest.mark.parametrize(
    ("topic", "message"),
    [
        ("depth/image", image(np.zeros((2, 2), np.uint8), "mono8")),
        (LEGEND, SimpleNamespace(data="not JSON")),
        (LEGEND, SimpleNamespace(data="{}")),
        ("points", SimpleNamespace(header=header(), fields=[], is_bigendian=False, data=b"")),
    ],
)
def test_what_cannot_be_shown_is_named(topic: str, message: Any) -> None:
    scene: Any = Scene()
    with pytest.raises(InputError, match=f"front/{topic}: the message cannot be shown: "):
        show(scene, "front", topic, message)

# SPDX-License-Identifier: Apache-2.0
"""Truth as simulators publish it: bytes of messages to ids, metres and directions."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from mtinet_ros.errors import InputError
from mtinet_ros.perception.camera_model import CameraModel
from mtinet_ros.training.truth_messages import (
    along_axis,
    decode_depth,
    decode_labels,
    decode_normals,
    facing_share,
)


def image(encoding: str, pixels: Any, *, big: bool = False, padding: int = 0) -> SimpleNamespace:
    """A sensor_msgs/Image of rows with some bytes behind them, as drivers align them."""
    rows = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder(">" if big else "<"))
    data = rows.reshape(len(rows), -1).view(np.uint8)
    data = np.pad(data, ((0, 0), (0, padding)), constant_values=0xEE)
    return SimpleNamespace(
        height=len(rows), width=rows.shape[1], encoding=encoding, is_bigendian=int(big),
        step=data.shape[1], data=data.reshape(-1),
    )  # fmt: skip


def png(pixels: Any, said: str = "mono8; png compressed ") -> SimpleNamespace:
    return SimpleNamespace(format=said, data=cv2.imencode(".png", pixels)[1].reshape(-1))


@pytest.mark.parametrize(
    ("encoding", "kind"),
    [("mono8", "u1"), ("8UC1", "u1"), ("mono16", "u2"), ("16UC1", "u2"), ("16SC1", "i2"),
     ("32SC1", "i4")],
)  # fmt: skip
@pytest.mark.parametrize("big", [False, True])
def test_ids_of_every_integer_type(encoding: str, kind: str, big: bool) -> None:
    largest = np.iinfo(kind).max
    ids = np.array([[0, 1, 2], [3, largest, 5]], kind)
    found = decode_labels(image(encoding, ids, big=big, padding=3))
    assert found.tolist() == [[0, 1, 2], [3, largest, 5]]


def test_colors_come_as_red_green_blue_whatever_their_order() -> None:
    rgb = np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8)
    bgra = np.dstack([rgb[..., ::-1], np.full((1, 2), 255, np.uint8)])
    for message in (
        image("rgb8", rgb),
        image("bgr8", rgb[..., ::-1], padding=2),
        image("bgra8", bgra),
        image("rgba8", np.dstack([rgb, bgra[..., 3]])),
        png(rgb[..., ::-1], "rgb8; png compressed bgr8"),
        png(bgra, "bgra8; png compressed "),
    ):
        assert decode_labels(message).tolist() == rgb.tolist()
        # As CARLA's raw segmentation has it, the tag in red.
        assert decode_labels(message, "red").tolist() == [[1, 4]]
        assert decode_labels(message, "blue").tolist() == [[3, 6]]


def test_ids_in_a_png_stay_what_they_are() -> None:
    ids = np.array([[0, 1000, 65535]], np.uint16)
    assert decode_labels(png(ids, "16UC1; png compressed ")).tolist() == ids.tolist()


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (image("32FC1", np.zeros((2, 2), np.float32)), "labels come as '32FC1'"),
        (image("bayer_rggb8", np.zeros((2, 2), np.uint8)), "ids in mono8, 8UC1"),
        (SimpleNamespace(format="rgb8; jpeg compressed bgr8", data=b"\xff\xd8\xff\xe0"),
         "'rgb8; jpeg compressed bgr8', which changes ids"),
        (SimpleNamespace(format="png", data=b"\x89PNG\r\n"), "6 bytes of png cannot be read"),
    ],
)  # fmt: skip
def test_what_holds_no_ids_is_refused(message: Any, said: str) -> None:
    with pytest.raises(InputError) as refusal:
        decode_labels(message)
    assert said in str(refusal.value)


def test_a_message_cut_short_is_refused() -> None:
    message = image("32SC1", np.zeros((4, 4), np.int32))
    message.data = message.data[:-1]
    with pytest.raises(InputError, match="63 bytes with step 16 are not 4x4 pixels of 32SC1"):
        decode_labels(message)
    with pytest.raises(InputError, match="leave :red away"):
        decode_labels(image("mono8", np.zeros((2, 2), np.uint8)), "red")


def test_depth_is_in_metres_and_unknown_is_zero() -> None:
    meters = np.array([[1.5, np.nan, np.inf], [-np.inf, 0, -2]], np.float32)
    expected = np.array([[1.5, 0, 0], [0, 0, 0]], np.float32)
    np.testing.assert_array_equal(decode_depth(image("32FC1", meters, big=True)), expected)
    np.testing.assert_array_equal(decode_depth(image("64FC1", meters.astype("f8"))), expected)
    millimeters = np.array([[1500, 0, 65535]], np.uint16)
    found = decode_depth(image("16UC1", millimeters, padding=6))
    np.testing.assert_allclose(found, [[1.5, 0, 65.535]], rtol=1e-6)
    for message, said in (
        (image("rgb8", np.zeros((1, 1, 3), np.uint8)), "depth comes as 'rgb8'"),
        (png(millimeters, "16UC1; compressedDepth png"), "which is not read"),
    ):
        with pytest.raises(InputError, match=said):
            decode_depth(message)


def test_distance_along_the_ray_becomes_depth_by_the_lens() -> None:
    """A wall 2 m ahead, 3 pixels of 1 pixel's focal length: the outer ones are at 45 degrees."""
    camera = CameraModel.pinhole(3, 1, 1.0, 1.0, 1.0, 0.0)
    distance = np.array([[2 * np.sqrt(2), 2, 2 * np.sqrt(2)]], np.float32)
    np.testing.assert_allclose(along_axis(distance, camera), [[2, 2, 2]], rtol=1e-6)


def test_normals_are_unit_vectors_and_face_the_camera() -> None:
    camera = CameraModel.pinhole(4, 2, 3.0, 3.0, 1.5, 0.5)
    normals = np.zeros((2, 4, 3), np.float32)
    normals[..., 2] = -1
    normals[0, 0] = np.nan
    normals[1, 3] = 0
    found = decode_normals(image("32FC3", normals))
    assert found[0, 0].tolist() == [0, 0, 0]
    assert found[0, 1].tolist() == [0, 0, -1]
    assert facing_share(found, camera) == 1.0
    assert facing_share(-found, camera) == 0.0
    with pytest.raises(InputError, match=r"normals are 0\.5 long"):
        decode_normals(image("32FC3", normals / 2))
    with pytest.raises(InputError, match="normals come as 'rgb8'"):
        decode_normals(image("rgb8", np.zeros((1, 1, 3), np.uint8)))

# SPDX-License-Identifier: Apache-2.0
"""Which topics of a bag are cameras, and what these are called."""

from __future__ import annotations

import pytest

from mtinet_ros.errors import InputError
from mtinet_ros.recordings.bag_topics import (
    CAMERA_INFO,
    COMPRESSED_IMAGE,
    IMAGE,
    check_topics,
    choose_image_topics,
    name_cameras,
    sibling_camera_info,
)

PNG = "rgb8; png compressed bgr8"


@pytest.mark.parametrize(
    ("topics", "names"),
    [
        (["/image_raw"], ["camera"]),
        (["/camera/image_raw"], ["camera"]),
        (["/camera/color/image_raw"], ["camera_color"]),
        (["/camera/camera/color/image_raw"], ["camera_color"]),
        (["/front/image_raw/compressed"], ["front"]),
        (["/front/image"], ["front"]),
        (["/cam0/image_raw", "/cam1/image_raw"], ["cam0", "cam1"]),
        (["/stereo/right/image_rect", "/stereo/left/image_rect"], ["stereo_right", "stereo_left"]),
        (["/zed2i/zed_node/rgb/image_rect_color"], ["zed2i_zed_node_rgb"]),
        (["/CAM_FRONT/image_rect_compressed"], ["CAM_FRONT"]),
        (["/rig/7/image_raw"], ["rig_7"]),
        (["/7/image_raw"], ["camera_7"]),
        (["/_hidden/image_raw"], ["camera_hidden"]),
        (["/cameras/front"], ["cameras_front"]),
        (["/carla/ego_vehicle/rgb-front/image"], ["carla_ego_vehicle_rgb_front"]),
        # Named by hand, these would have one name.
        (["/front/image_rect", "/front/image_raw"], ["front_image_rect", "front"]),
        (["/front/image_raw/compressed", "/front/image_raw"], ["front_compressed", "front"]),
        (["/a_b/image", "/a/b/image"], ["a_b_image", "a_b"]),
        (["/a/b/image", "/a_b/image", "/a_b_/image"], ["a_b", "a_b_image", "a_b_"]),
        (["/x-y/image", "/x.y/image", "/x+y/image"], ["x_y_image", "x_y_image_2", "x_y"]),
    ],
)
def test_names_of_cameras(topics: list[str], names: list[str]) -> None:
    assert [camera.name for camera in name_cameras(topics)] == names


@pytest.mark.parametrize(
    ("topic", "info"),
    [
        ("/front/image_raw", "/front/camera_info"),
        ("/front/image_raw/compressed", "/front/camera_info"),
        ("/image", "/camera_info"),
        ("image_raw", "camera_info"),
    ],
)
def test_where_the_calibration_is(topic: str, info: str) -> None:
    assert sibling_camera_info(topic) == info
    assert name_cameras([topic])[0].camera_info_topic == info
    by_topic = name_cameras([topic], {topic: "/other"})
    by_name = name_cameras([topic], {by_topic[0].name: "/other"})
    assert by_topic == by_name
    assert by_topic[0].camera_info_topic == "/other"


def test_a_calibration_for_no_camera_is_refused() -> None:
    with pytest.raises(InputError, match=r"^/rear is no camera to process; there are front \("):
        name_cameras(["/front/image_raw"], {"/rear": "/rear/camera_info"})


# A bag's topics, with type and encoding (or format), and those that are taken.
CHOICES: dict[str, tuple[dict[str, tuple[str, str]], list[str]]] = {
    "a depth camera": (
        {
            "/camera/color/image_raw": (IMAGE, "rgb8"),
            "/camera/color/camera_info": (CAMERA_INFO, ""),
            "/camera/depth/image_rect_raw": (IMAGE, "16UC1"),
            "/camera/aligned_depth_to_color/image_raw": (IMAGE, "16UC1"),
            "/camera/infra1/image_rect_raw": (IMAGE, "mono8"),
            "/camera/depth/image_rect_raw/compressedDepth": (
                COMPRESSED_IMAGE,
                "16UC1; compressedDepth",
            ),
            "/camera/depth/image_rect_raw/compressed": (
                COMPRESSED_IMAGE,
                "16UC1; png compressed ",
            ),
        },
        ["/camera/color/image_raw", "/camera/infra1/image_rect_raw"],
    ),
    "what this node publishes": (
        {
            "/front/image_raw": (IMAGE, "bgr8"),
            "/perception/front/rgb/image": (IMAGE, "rgb8"),
            "/perception/front/segmentation/label_info_json": ("std_msgs/msg/String", ""),
            "/perception/front/segmentation/image": (IMAGE, "mono8"),
            "/perception/front/segmentation/color": (IMAGE, "rgb8"),
            "/perception/front/segmentation/overlay": (IMAGE, "rgb8"),
            "/perception/front/depth/image": (IMAGE, "32FC1"),
            "/perception/front/normals/color": (IMAGE, "rgb8"),
            "/perception/front/normals/color/compressed": (COMPRESSED_IMAGE, PNG),
        },
        ["/front/image_raw"],
    ),
    "what another node publishes beside": (
        {
            "/kinect/rgb/image": (IMAGE, "rgb8"),
            "/kinect/depth/image": (IMAGE, "32FC1"),
        },
        ["/kinect/rgb/image"],
    ),
    "raw beside compressed": (
        {
            "/front/image_raw": (IMAGE, "bgr8"),
            "/front/image_raw/compressed": (COMPRESSED_IMAGE, PNG),
            "/rear/image_raw/compressed": (COMPRESSED_IMAGE, PNG),
            "/rear/image_raw/theora": ("theora_image_transport/msg/Packet", ""),
        },
        ["/front/image_raw", "/rear/image_raw/compressed"],
    ),
    "all that image_proc makes of one camera": (
        {
            "/left/image_raw": (IMAGE, "bayer_rggb8"),
            "/left/image_mono": (IMAGE, "mono8"),
            "/left/image_color": (IMAGE, "bgr8"),
            "/left/image_rect": (IMAGE, "mono8"),
            "/left/image_rect_color": (IMAGE, "bgr8"),
            "/right/image_rect_color": (IMAGE, "bgr8"),
            "/right/image_rect": (IMAGE, "mono8"),
        },
        ["/left/image_raw", "/right/image_rect_color"],
    ),
    "masks of others": (
        {
            "/front/image": (IMAGE, "rgb8"),
            "/front/mask": (IMAGE, "mono8"),
            "/front/semantic_segmentation": (IMAGE, "32SC1"),
            "/front/instance_segmentation": (IMAGE, "mono16"),
            "/detector/masks/compressed": (COMPRESSED_IMAGE, "mono8; png compressed "),
            "/front/labels": (IMAGE, "8UC1"),
        },
        ["/front/image"],
    ),
    "words within others": (
        {
            "/depth_camera/image_raw": (IMAGE, "rgb8"),
            "/labelled_room/image_raw": (IMAGE, "rgb8"),
        },
        ["/depth_camera/image_raw", "/labelled_room/image_raw"],
    ),
    "topics that are cameras themselves": (
        {"/cameras/left": (IMAGE, "rgb8"), "/cameras/right": (IMAGE, "rgb8")},
        ["/cameras/left", "/cameras/right"],
    ),
    "an encoding that is not known": ({"/front/image": (IMAGE, "nv61")}, ["/front/image"]),
}


@pytest.mark.parametrize(("topics", "chosen"), list(CHOICES.values()), ids=list(CHOICES))
def test_which_topics_are_cameras(topics: dict[str, tuple[str, str]], chosen: list[str]) -> None:
    types = {topic: kind for topic, (kind, _) in topics.items()}
    encodings = {topic: encoding for topic, (_, encoding) in topics.items()}
    taken, notes = choose_image_topics(types, encodings)
    assert taken == chosen
    images = {t for t, kind in types.items() if kind in (IMAGE, COMPRESSED_IMAGE)}
    for topic in images - set(taken):  # nothing is left out in silence
        assert any(topic in note for note in notes)


def test_a_bag_without_pictures_says_what_it_has() -> None:
    with pytest.raises(InputError, match=r"holds no images .* its topics: /imu, /scan$"):
        choose_image_topics({"/scan": "sensor_msgs/msg/LaserScan", "/imu": "x/msg/Imu"}, {})
    with pytest.raises(InputError, match=r"/depth/image is 16UC1; name the topics"):
        choose_image_topics({"/depth/image": IMAGE}, {"/depth/image": "16UC1"})


TYPES = {"/front/image_raw": IMAGE, "/depth/image": IMAGE, "/imu": "sensor_msgs/msg/Imu"}


def test_topics_that_were_named_are_taken() -> None:
    wanted = ["depth/image", "/front/image_raw/", "/front/image_raw"]
    assert check_topics(wanted, TYPES) == ["/depth/image", "/front/image_raw"]


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ("/rear/image_raw", "no messages on /rear/image_raw; images are on /depth/image, /front"),
        ("/imu", "/imu is of type sensor_msgs/msg/Imu, no image; images are on /depth/image"),
    ],
)
def test_a_topic_that_is_not_there_is_told_with_those_that_are(wanted: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        check_topics([wanted], TYPES)

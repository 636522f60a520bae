# SPDX-License-Identifier: Apache-2.0
"""One camera, end to end: what a robot gets from the node is what the model says, and no more."""

from __future__ import annotations

import json
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy")

from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_msgs.msg import String
from support.node_harness import BEST_EFFORT, NodeProcess, Robot, compressed

from mtinet_ros.inference import load_backend
from mtinet_ros.node.message_factory import camera_info_message, encode_image
from mtinet_ros.perception.camera_model import CameraModel
from mtinet_ros.perception.prediction import Prediction
from mtinet_ros.perception.predictor import Predictor
from mtinet_ros.visualization.colors import LabelColors, colorize_normals

pytestmark = pytest.mark.ros

OUT = "/perception/camera/"
CAMERA = CameraModel.pinhole(100, 75, fx=80.0, fy=81.0, cx=48.0, cy=36.0)
LATCHED = QoSProfile(
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)


def picture(height: int = 75, width: int = 100, seed: int = 0) -> NDArray[np.uint8]:
    noise = np.random.default_rng(seed).integers(0, 256, (height // 8 + 1, width // 8 + 1, 3))
    return cv2.resize(noise.astype(np.uint8), (width, height), interpolation=cv2.INTER_CUBIC)


def predict(model: Path, image: NDArray[np.uint8], camera: CameraModel | None) -> Prediction:
    backend = load_backend(model, "onnxruntime", max_batch=1)
    return Predictor(backend).predict([image], [camera])[0]


def pixels(message: Image) -> NDArray[Any]:
    kinds = {"mono8": (np.uint8, 1), "rgb8": (np.uint8, 3), "32FC1": (np.float32, 1)}
    kinds |= {"32FC3": (np.float32, 3), "16UC1": (np.uint16, 1)}
    dtype, channels = kinds[message.encoding]
    assert message.step == message.width * channels * np.dtype(dtype).itemsize
    array = np.frombuffer(message.data, dtype)
    return array.reshape(message.height, message.width, channels).squeeze(
        -1 if channels == 1 else ()
    )


def started(robot: Robot, model: Path, *parameters: str) -> NodeProcess:
    node = NodeProcess(f"model:={model}", "backend:=onnxruntime", *parameters)
    try:
        robot.start()
        assert robot.reports("engine", "state", "ready")
    except BaseException as error:
        node.__exit__(type(error))
        raise
    return node


def test_every_output_is_what_predict_gives_under_the_header_of_the_image(
    robot: Robot, tiny_model: Path
) -> None:
    topics = {
        "segmentation/image": Image,
        "segmentation/color": Image,
        "segmentation/overlay": Image,
        "segmentation/camera_info": CameraInfo,
        "depth/image": Image,
        "depth/camera_info": CameraInfo,
        "normals/image": Image,
        "normals/color": Image,
        "normals/camera_info": CameraInfo,
    }
    for name, message_type in topics.items():
        robot.subscribe(OUT + name, message_type)
    image = picture()
    with started(robot, tiny_model):
        header, _ = robot.show_until(
            OUT + "normals/camera_info", lambda: robot.show(image, CAMERA)
        )
        answers = {}
        for name in topics:
            assert robot.spin_until(lambda name=name: bool(robot.messages[OUT + name]))
            matching = [m for m in robot.messages[OUT + name] if m.header == header]
            assert matching, f"{name} has another header than its image"
            answers[name] = matching[0]
    expected = predict(tiny_model, image, CAMERA)
    assert expected.labels is not None
    assert expected.depth is not None
    assert expected.normals is not None
    assert expected.camera is not None
    colors = LabelColors([(40 * i, 255 - 40 * i, 7 * i) for i in range(5)])
    arrays = {
        "segmentation/image": expected.labels,
        "segmentation/color": colors.colorize(expected.labels),
        "segmentation/overlay": colors.overlay(expected.image, expected.labels),
        "depth/image": expected.depth,
        "normals/image": expected.normals,
        "normals/color": colorize_normals(expected.normals),
    }
    for name, array in arrays.items():
        np.testing.assert_array_equal(pixels(answers[name]), array, err_msg=name)
    for name in ("segmentation", "depth", "normals"):
        info = answers[f"{name}/camera_info"]
        assert (info.height, info.width) == expected.size
        np.testing.assert_allclose(info.k, expected.camera.K.ravel())
        np.testing.assert_allclose(info.p, expected.camera.P.ravel())


def test_the_legend_reaches_who_comes_late(robot: Robot, tiny_model: Path) -> None:
    with started(robot, tiny_model):
        robot.subscribe(OUT + "segmentation/label_info_json", String, LATCHED)
        messages = robot.messages[OUT + "segmentation/label_info_json"]
        assert robot.spin_until(lambda: bool(messages))
    legend = json.loads(messages[0].data)
    assert legend["void_id"] == 255
    assert legend["classes"][2] == {"id": 2, "name": "class 2", "color": [80, 175, 14]}


def test_nobody_listening_costs_nothing_and_is_called_idle(robot: Robot, tiny_model: Path) -> None:
    with started(robot, tiny_model, "silence_timeout:=0.5"):
        for _ in range(30):
            robot.show(picture(), CAMERA)
            robot.spin_for(0.1)
        assert robot.reports("camera", "state", "idle")
        status = robot.status("camera")
        assert status is not None
        values = {v.key: v.value for v in status.values}
        assert int(values["dropped: nobody listens"]) > 0
        assert float(values["output rate [Hz]"]) == 0.0
        assert robot.reports("camera", "state", "silent"), "no image for longer than the timeout"


def test_silence_is_explained_once_and_ends(robot: Robot, tiny_model: Path) -> None:
    robot.subscribe(OUT + "depth/image", Image)
    with started(robot, tiny_model, "silence_timeout:=1.0") as node:
        assert robot.reports("camera", "message", "nobody publishes it")
        robot.show_until(OUT + "depth/image", lambda: robot.show(picture(), CAMERA))
        assert robot.reports("camera", "state", "running")
        assert node.says("images come in on /camera/image_raw")
        text = node.text()
        assert text.count("no image on /camera/image_raw for 1 s: nobody publishes it") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_the_node_within_a_second(
    robot: Robot, tiny_model: Path, number: signal.Signals
) -> None:
    robot.subscribe(OUT + "depth/image", Image)
    took = []
    while len(took) < 3:  # what else the machine does may cost one of them its second, not all
        with started(robot, tiny_model) as node:
            robot.show_until(OUT + "depth/image", lambda: robot.show(picture(), CAMERA))
            for _ in range(5):
                robot.show(picture(), CAMERA)
            status, seconds = node.end(number)
            assert status == 0, node.text()
            assert "Traceback" not in node.text()
            took.append(seconds)
        if seconds < 1.0:
            break
    assert min(took) < 1.0


def test_depth_is_up_to_scale_without_camera_info_and_says_so_once(
    robot: Robot, tiny_model: Path
) -> None:
    robot.subscribe(OUT + "depth/image", Image)
    with started(robot, tiny_model) as node:
        image = picture()
        _, answer = robot.show_until(OUT + "depth/image", lambda: robot.show(image))
        robot.show_until(OUT + "depth/image", lambda: robot.show(image))
        np.testing.assert_array_equal(pixels(answer), predict(tiny_model, image, None).depth)
        assert node.text().count("depth is up to scale") == 1


def test_a_best_effort_camera_is_heard(robot: Robot, tiny_model: Path) -> None:
    robot.subscribe(OUT + "depth/image", Image)
    with started(robot, tiny_model):
        show = lambda: robot.show(picture(), CAMERA, qos=BEST_EFFORT)  # noqa: E731
        robot.show_until(OUT + "depth/image", show)
        info = robot.get_subscriptions_info_by_topic("/camera/image_raw")
        assert info[0].qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT


def test_a_reliable_camera_is_heard_reliably_unless_overridden(
    robot: Robot, tiny_model: Path
) -> None:
    def reliability() -> ReliabilityPolicy:
        return robot.get_subscriptions_info_by_topic("/camera/image_raw")[
            0
        ].qos_profile.reliability

    robot.camera("/camera/image_raw")
    with started(robot, tiny_model):
        assert robot.spin_until(lambda: reliability() == ReliabilityPolicy.RELIABLE, 5.0)
    override = "qos_overrides./camera/image_raw.subscription.reliability:=best_effort"
    with started(robot, tiny_model, override):
        robot.spin_for(1.5)
        assert reliability() == ReliabilityPolicy.BEST_EFFORT


def test_a_calibration_latched_long_ago_is_heard(robot: Robot, tiny_model: Path) -> None:
    robot.subscribe(OUT + "depth/camera_info", CameraInfo)
    info = robot.camera("/camera/camera_info", CameraInfo, LATCHED)
    info.publish(camera_info_message(CAMERA, robot.header()))  # once, before anybody listens
    robot.spin_for(0.5)
    with started(robot, tiny_model):
        robot.show_until(OUT + "depth/camera_info", lambda: robot.show(picture()))
        assert robot.change_state("deactivate")
        assert robot.change_state("activate")
        robot.messages[OUT + "depth/camera_info"].clear()
        robot.show_until(OUT + "depth/camera_info", lambda: robot.show(picture()))


def test_a_calibration_sent_once_survives_a_pause(robot: Robot, tiny_model: Path) -> None:
    robot.subscribe(OUT + "depth/camera_info", CameraInfo)
    with started(robot, tiny_model):
        robot.show_until(OUT + "depth/camera_info", lambda: robot.show(picture(), CAMERA))
        assert robot.change_state("deactivate")
        assert robot.change_state("activate")
        robot.messages[OUT + "depth/camera_info"].clear()
        robot.show_until(OUT + "depth/camera_info", lambda: robot.show(picture()))


def test_a_single_image_waits_for_the_camera_info_that_comes_a_moment_later(
    robot: Robot, tiny_model: Path
) -> None:
    robot.subscribe(OUT + "depth/image", Image)
    robot.subscribe(OUT + "depth/camera_info", CameraInfo)
    images = robot.camera("/camera/image_raw")
    infos = robot.camera("/camera/camera_info", CameraInfo)
    with started(robot, tiny_model):
        assert robot.reports("engine", "state", "ready")
        everybody = (images, infos)
        assert robot.spin_until(lambda: all(p.get_subscription_count() for p in everybody))
        header = robot.show(picture())
        robot.spin_for(0.3)
        assert not robot.messages[OUT + "depth/image"]
        infos.publish(camera_info_message(CAMERA, header))
        assert robot.spin_until(lambda: bool(robot.messages[OUT + "depth/camera_info"]), 10.0)
        (answer,) = robot.messages[OUT + "depth/image"]
        assert answer.header == header
        np.testing.assert_array_equal(pixels(answer), predict(tiny_model, picture(), CAMERA).depth)


def test_a_single_image_without_any_camera_info_is_answered_all_the_same(
    robot: Robot, tiny_model: Path
) -> None:
    robot.subscribe(OUT + "segmentation/image", Image)
    images = robot.camera("/camera/image_raw")
    with started(robot, tiny_model):
        assert robot.reports("engine", "state", "ready")
        assert robot.spin_until(lambda: images.get_subscription_count() > 0)
        header = robot.show(picture())
        assert robot.spin_until(lambda: bool(robot.messages[OUT + "segmentation/image"]), 10.0)
        assert robot.messages[OUT + "segmentation/image"][0].header == header


def test_another_type_on_the_topic_is_named_as_that(robot: Robot, tiny_model: Path) -> None:
    """It was told as packets lost on the way, with advice about the middleware."""
    jpeg = robot.create_publisher(CompressedImage, "/camera/image_raw", 1)
    with started(robot, tiny_model, "silence_timeout:=1.0"):
        assert robot.reports("camera", "message", "sensor_msgs/msg/CompressedImage")
        status = robot.status("camera")
        assert status is not None
        assert "sensor_msgs/msg/Image" in status.message
        assert "Fast DDS" not in status.message
    robot.destroy_publisher(jpeg)


def test_depth_that_is_nan_everywhere_is_a_diagnostic(robot: Robot, tiny_model: Path) -> None:
    robot.subscribe(OUT + "depth/image", Image)
    telescope = CameraModel.pinhole(100, 75, 1e6, 1e6, 48.0, 36.0)
    with started(robot, tiny_model):
        _, answer = robot.show_until(OUT + "depth/image", lambda: robot.show(picture(), telescope))
        assert np.isnan(pixels(answer)).all()
        assert robot.reports("camera", "message", "depth: is NaN everywhere")
        robot.show_until(OUT + "depth/image", lambda: robot.show(picture(), CAMERA))
        assert robot.spin_until(
            lambda: "NaN" not in getattr(robot.status("camera"), "message", "NaN"), 10.0
        )


def test_a_rectified_image_has_the_lens_of_its_projection(robot: Robot, tiny_model: Path) -> None:
    """`image_rect` shares the raw image's CameraInfo: its own lens is P."""
    P = np.array([[50.0, 0.0, 47.0, 0.0], [0.0, 50.0, 35.0, 0.0], [0.0, 0.0, 1.0, 0.0]])
    bent = replace(CAMERA, D=np.array([-0.3, 0.1, 0.0, 0.0, 0.0]), P=P)
    expected = predict(tiny_model, picture(), bent.rectified())
    robot.subscribe(OUT + "depth/camera_info", CameraInfo)
    robot.subscribe(OUT + "depth/image", Image)
    with started(robot, tiny_model, "camera.rectify:=off"):
        show = lambda: robot.show(picture(), bent)  # noqa: E731
        _, info = robot.show_until(OUT + "depth/camera_info", show)
        _, depth = robot.show_until(OUT + "depth/image", show)
    assert expected.camera is not None
    assert np.allclose(np.reshape(info.k, (3, 3)), expected.camera.K)
    assert not np.any(info.d)
    assert np.allclose(pixels(depth), expected.depth, rtol=1e-4, equal_nan=True)


def test_compressed_images_are_decoded_in_the_node(robot: Robot, tiny_model: Path) -> None:
    robot.subscribe(OUT + "segmentation/image", Image)
    image = picture()
    encoded = cv2.imencode(".png", image[..., ::-1])[1].tobytes()

    def show() -> Any:
        header = robot.header()
        message = compressed(encoded, header, "png")
        robot.camera("/camera/image_raw/compressed", CompressedImage).publish(message)
        return header

    with started(robot, tiny_model, "camera.transport:=compressed"):
        _, answer = robot.show_until(OUT + "segmentation/image", show)
    np.testing.assert_array_equal(pixels(answer), predict(tiny_model, image, None).labels)


def test_outputs_come_back_at_camera_size_in_millimeters_when_asked_at_run_time(
    robot: Robot, tiny_model: Path
) -> None:
    robot.subscribe(OUT + "segmentation/image", Image)
    robot.subscribe(OUT + "depth/image", Image)
    image = picture(150, 200)
    camera = CameraModel.pinhole(200, 150, 160.0, 160.0, 99.5, 74.5)
    with started(robot, tiny_model):
        robot.show_until(OUT + "depth/image", lambda: robot.show(image, camera))
        assert robot.set_parameter("output_size", "camera") == (True, "")
        assert robot.set_parameter("depth_encoding", "16UC1") == (True, "")
        robot.spin_for(0.5)
        _, depth = robot.show_until(OUT + "depth/image", lambda: robot.show(image, camera))
        _, labels = robot.show_until(OUT + "segmentation/image", lambda: robot.show(image, camera))
    assert (depth.height, depth.width, depth.encoding) == (150, 200, "16UC1")
    assert (labels.height, labels.width) == (150, 200)
    expected = predict(tiny_model, image, camera)
    assert expected.depth is not None
    meters = np.nan_to_num(expected.depth)
    assert abs(np.median(pixels(depth)) / 1000 - np.median(meters)) < 0.05


def test_points_are_what_depth_and_camera_info_give(robot: Robot, tiny_model: Path) -> None:
    for name, message_type in (
        ("points", PointCloud2),
        ("depth/image", Image),
        ("depth/camera_info", CameraInfo),
    ):
        robot.subscribe(OUT + name, message_type)
    with started(robot, tiny_model, 'camera.outputs:=["depth","points"]'):
        header, cloud = robot.show_until(OUT + "points", lambda: robot.show(picture(), CAMERA))
        robot.spin_for(0.5)
    depth = pixels(next(m for m in robot.messages[OUT + "depth/image"] if m.header == header))
    info = next(m for m in robot.messages[OUT + "depth/camera_info"] if m.header == header)
    assert (cloud.height, cloud.width) == depth.shape
    assert not cloud.is_dense
    offsets = {f.name: f.offset for f in cloud.fields}
    raw = np.frombuffer(cloud.data, np.uint8).reshape(cloud.height, cloud.width, cloud.point_step)

    def field(name: str) -> NDArray[np.float32]:
        begin = offsets[name]
        return np.ascontiguousarray(raw[..., begin : begin + 4]).view(np.float32)[..., 0]

    v, u = np.mgrid[0 : cloud.height, 0 : cloud.width]
    np.testing.assert_allclose(field("z"), depth)
    np.testing.assert_allclose(
        field("x"), (u - info.k[2]) * depth / info.k[0], rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(
        field("y"), (v - info.k[5]) * depth / info.k[4], rtol=1e-5, atol=1e-6
    )


def test_max_rate_holds_from_the_next_frame(robot: Robot, tiny_model: Path) -> None:
    robot.subscribe(OUT + "segmentation/image", Image)
    with started(robot, tiny_model, "camera.max_rate:=2"):
        robot.show_until(OUT + "segmentation/image", lambda: robot.show(picture(), CAMERA))
        answered = len(robot.messages[OUT + "segmentation/image"])
        for _ in range(40):
            robot.show(picture(), CAMERA)
            robot.spin_for(0.05)
        answered = len(robot.messages[OUT + "segmentation/image"]) - answered
        assert 2 <= answered <= 7  # two seconds and a little at 2 Hz


def test_simulated_time_may_stand_still(robot: Robot, tiny_model: Path) -> None:
    robot.subscribe(OUT + "depth/image", Image)
    clock = robot.create_publisher(Clock, "/clock", 10)
    robot._stamp = 900

    def show() -> Any:
        clock.publish(Clock(clock=Time(sec=1_000)))
        return robot.show(picture(), CAMERA, qos=BEST_EFFORT)

    with started(robot, tiny_model, "use_sim_time:=true") as node:
        robot.show_until(OUT + "depth/image", lambda: robot.show(picture(), CAMERA))
        assert "no time has come on /clock yet" in node.text()
        assert robot.reports("camera", "message", "no time has come on /clock yet")
        robot.show_until(OUT + "depth/image", show)
        assert robot.reports("camera", "age of last stamp [s]", "."), "measured in simulated time"
        status = robot.status("camera")
        assert status is not None
        age = {v.key: v.value for v in status.values}["age of last stamp [s]"]
        assert 0.0 < float(age) < 100.0


def test_a_bag_that_loops_keeps_its_calibration(robot: Robot, tiny_model: Path) -> None:
    robot.subscribe(OUT + "depth/image", Image)
    infos = robot.messages[OUT + "depth/camera_info"]
    robot.subscribe(OUT + "depth/camera_info", CameraInfo)
    with started(robot, tiny_model) as node:
        robot.show_until(OUT + "depth/image", lambda: robot.show(picture(), CAMERA))
        robot._stamp = 10
        header, _ = robot.show_until(OUT + "depth/image", lambda: robot.show(picture()))
        assert robot.spin_until(lambda: any(i.header.stamp == header.stamp for i in infos), 5.0), (
            "the first image after the jump was taken for an uncalibrated camera's"
        )
        assert node.says("jumped back by")


def test_a_stamp_before_1970_is_told_and_survived(robot: Robot, tiny_model: Path) -> None:
    robot.subscribe(OUT + "segmentation/image", Image)
    with started(robot, tiny_model) as node:
        robot.show_until(OUT + "segmentation/image", lambda: robot.show(picture(), CAMERA))
        robot._stamp = -100
        robot.show_until(OUT + "segmentation/image", lambda: robot.show(picture(), CAMERA))
        assert node.says("stamp: is before 1970")
        assert "Traceback" not in node.text()


def test_what_is_no_parameter_is_told_at_start(robot: Robot, tiny_model: Path) -> None:
    """A misspelt parameter would leave its default in force unnoticed."""
    with NodeProcess(
        f"model:={tiny_model}", "max_rate:=10", "output_siz:=camera", "rear.max_rate:=2.0"
    ) as node:
        assert robot.state() == "unconfigured"
        assert node.says("max_rate: is no parameter of this node; did you mean camera.max_rate?")
        assert node.says("did you mean output_size?")
        assert node.says("parameters of rear are not used: cameras are camera")
        assert node.text().count("is no parameter") == 2


@pytest.mark.parametrize(
    ("empty", "status"), [("cameras", 1), ("camera.outputs", None)], ids=["cameras", "outputs"]
)
def test_an_empty_list_at_start_is_a_list(
    robot: Robot, tiny_model: Path, empty: str, status: int | None
) -> None:
    with NodeProcess(f"model:={tiny_model}", "backend:=onnxruntime", f"{empty}:=[]") as node:
        if status is None:
            assert robot.change_state("configure")
        else:
            assert node.wait(60.0) == status
            assert "0 names given" in node.text()
        assert "Traceback" not in node.text()


def test_images_from_the_future_are_a_clock_skew(robot: Robot, tiny_model: Path) -> None:
    robot.subscribe(OUT + "segmentation/image", Image)
    robot._stamp = 2_100_000_000
    with started(robot, tiny_model):
        robot.show_until(OUT + "segmentation/image", lambda: robot.show(picture(), CAMERA))
        assert robot.reports("camera", "state", "clock skew")


def test_frames_of_another_encoding_are_answered_alike(robot: Robot, tiny_model: Path) -> None:
    robot.subscribe(OUT + "segmentation/image", Image)
    image = picture()
    bgra = np.dstack([image[..., ::-1], np.full(image.shape[:2], 255, np.uint8)])

    def show() -> Any:
        header = robot.header()
        robot.camera("/camera/image_raw").publish(encode_image(bgra, "bgra8", header))
        return header

    with started(robot, tiny_model):
        _, answer = robot.show_until(OUT + "segmentation/image", show)
    np.testing.assert_array_equal(pixels(answer), predict(tiny_model, image, None).labels)

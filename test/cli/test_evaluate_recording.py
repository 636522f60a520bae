# SPDX-License-Identifier: Apache-2.0
"""`mtinet evaluate` on a bag of a simulator: what is printed and written, and what is refused."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tqdm")
pytest.importorskip("torchmetrics")
pytest.importorskip("rosbags")

from rosbags.rosbag2 import Writer
from rosbags.typesys import Stores, get_typestore
from support.tiny_model import CLASSES, HEIGHT, WIDTH, random_images, tiny_card, write_tiny_model

from mtinet_ros.cli.main import main
from mtinet_ros.inference import load_backend
from mtinet_ros.perception.camera_model import CameraModel
from mtinet_ros.perception.prediction import Prediction
from mtinet_ros.perception.predictor import Predictor

FOCAL = 50.0
FRAMES = 4
MS = 1_000_000
STORE = get_typestore(Stores.ROS2_HUMBLE)
NAMES = ("wall", "floor", "table", "chair", "lamp")
Said = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    card = replace(tiny_card(), class_names=NAMES, untrained=False)
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.onnx", card)


@pytest.fixture(scope="module")
def predictions(model: Path) -> list[Prediction]:
    """What the model sees in the pictures, so that truth can be made of it."""
    camera = CameraModel.pinhole(WIDTH, HEIGHT, FOCAL, FOCAL, (WIDTH - 1) / 2, (HEIGHT - 1) / 2)
    backend = load_backend(model, "onnxruntime", max_batch=1)
    predictor = Predictor(backend)
    found = []
    for image in random_images(FRAMES):
        one = predictor.predict([image], [camera])[0]
        assert one.labels is not None
        assert one.depth is not None
        found.append(replace(one, labels=one.labels.copy(), depth=one.depth.copy()))
    backend.close()
    return found


class SimulatorBag:
    """A bag as a simulator's bridge and `ros2 bag record` leave it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.writer = Writer(path, version=9)
        self.writer.open()
        self.connections: dict[str, Any] = {}
        self.number = 0

    def add(self, topic: str, type_name: str, message: Any, time: int) -> None:
        if topic not in self.connections:
            self.connections[topic] = self.writer.add_connection(topic, type_name, typestore=STORE)
        data = STORE.serialize_cdr(message, type_name)
        self.writer.write(self.connections[topic], time, data)

    def header(self, stamp: int) -> Any:
        kinds = STORE.types
        time = kinds["builtin_interfaces/msg/Time"](stamp // 10**9, stamp % 10**9)
        return kinds["std_msgs/msg/Header"](time, "camera_optical_frame")

    def image(self, topic: str, stamp: int, encoding: str, pixels: Any, late: int = 0) -> None:
        name = "sensor_msgs/msg/Image"
        data = np.ascontiguousarray(pixels)
        message = STORE.types[name](
            self.header(stamp), len(data), data.shape[1], encoding, 0, data[0].nbytes,
            data.view(np.uint8).reshape(-1),
        )  # fmt: skip
        self.add(topic, name, message, stamp + late)

    def lens(self, topic: str, stamp: int) -> None:
        name = "sensor_msgs/msg/CameraInfo"
        cx, cy = (WIDTH - 1) / 2, (HEIGHT - 1) / 2
        k = np.array([FOCAL, 0, cx, 0, FOCAL, cy, 0, 0, 1])
        p = np.array([FOCAL, 0, cx, 0, 0, FOCAL, cy, 0, 0, 0, 1, 0])
        roi = STORE.types["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
        message = STORE.types[name](
            self.header(stamp), HEIGHT, WIDTH, "plumb_bob", np.zeros(5), k,
            np.eye(3).reshape(-1), p, 0, 0, roi,
        )  # fmt: skip
        self.add(topic, name, message, stamp)

    def close(self) -> Path:
        self.writer.close()
        return self.path


def simulate(
    path: Path, predictions: list[Prediction], *, shift: int = 0, flip: int = 0, far: float = 1.1
) -> Path:
    """Truth is what the model sees, but for `flip` columns of labels, and depth `far` times it.

    Ids are the model's times ten; stamps of truth are `shift` after those of the pictures.
    """
    bag = SimulatorBag(path)
    for number, (image, seen) in enumerate(zip(random_images(FRAMES), predictions, strict=True)):
        assert seen.labels is not None
        assert seen.depth is not None
        stamp = 5 * 10**9 + number * 33 * MS
        labels = seen.labels.astype(np.int32) * 10
        labels[:, :flip] = (labels[:, :flip] + 10) % (10 * CLASSES)
        bag.lens("/camera/camera_info", stamp)
        bag.image("/camera/image_raw", stamp, "rgb8", image)
        bag.image("/sim/labels", stamp + shift, "32SC1", labels, late=2 * MS)
        bag.image("/sim/depth", stamp + shift, "32FC1", seen.depth * np.float32(far), late=MS)
    return bag.close()


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    file = tmp_path / "classes.yaml"
    file.write_text("\n".join(f"{10 * number}: {name}" for number, name in enumerate(NAMES)))
    return file


def evaluate(*words: object) -> int:
    return main(["evaluate", *(str(word) for word in words), "--backend=onnxruntime"])


def test_figures_are_those_that_the_bag_was_made_to_have(
    model: Path, predictions: list[Prediction], classes: Path, tmp_path: Path, capsys: Said
) -> None:
    bag = simulate(tmp_path / "sim", predictions, flip=WIDTH // 8)
    figures, page = tmp_path / "f.json", tmp_path / "f.html"
    truth = ("--truth", "labels=/sim/labels", "depth=sim/depth", "--classes", classes)
    command = (model, "--data", bag, "--topic", "/camera/image_raw", *truth)
    assert evaluate(*command, "--json", figures, "--html", page) == 0
    said = capsys.readouterr().out
    assert "on 4 frames of sim, /camera/image_raw" in said
    assert "4 pictures on /camera/image_raw and messages on /sim/labels are paired by" in said
    assert "/sim/depth is taken for depth along the optical axis" in said
    assert "classes.yaml" not in said  # nothing was unknown, nothing left over
    report = json.loads(figures.read_text())
    metrics = report["metrics"]
    assert metrics["semseg_accuracy"] == pytest.approx(7 / 8)
    assert metrics["depth_abs_rel"] == pytest.approx(0.1 / 1.1, rel=1e-4)
    assert metrics["depth_aligned_abs_rel"] == pytest.approx(0, abs=1e-5)
    assert report["depth_scale"]["median"] == pytest.approx(1.1, rel=1e-5)
    assert report["data"]["kind"] == "recording"
    assert report["data"]["folder"] == "sim"
    assert report["frame_figures"][0]["name"].startswith("camera/")
    assert page.read_text().count("data:image/jpeg;base64,") >= 2
    # A report is shown again, and compared with one on the same truth.
    capsys.readouterr()
    assert evaluate("--compare", figures, figures) == 0
    assert evaluate(figures) == 0
    assert "on 4 frames of sim, /camera/image_raw" in capsys.readouterr().out


def test_stamps_that_differ_need_a_tolerance_and_what_is_missing_is_told(
    model: Path, predictions: list[Prediction], classes: Path, tmp_path: Path, capsys: Said
) -> None:
    bag = simulate(tmp_path / "sim", predictions, shift=3 * MS)
    classes.write_text("0: wall\n10: floor\n20: void\n77: lamp\n")
    truth = ("--truth", "labels=/sim/labels", "--classes", classes, "--topic=/camera/image_raw")
    assert evaluate(model, "--data", bag, *truth) == 1
    assert "the closest are 3 ms apart: --tolerance allows for it" in capsys.readouterr().err
    assert evaluate(model, "--data", bag, *truth, "--tolerance=0.005", "--frames=2") == 0
    said = capsys.readouterr().out
    assert "by stamps at most 5 ms apart" in said
    assert "classes.yaml has no class for " in said
    assert re.search(r"names what never occurred: .*\b77\b", said)
    classes.write_text("77: lamp\n")
    assert evaluate(model, "--data", bag, *truth, "--tolerance=0.005") == 1
    assert "all true labels on /sim/labels are void" in capsys.readouterr().err


def test_what_truth_names_is_no_camera_whatever_it_is_called(
    model: Path, predictions: list[Prediction], tmp_path: Path, capsys: Said
) -> None:
    truth = ("--truth", "labels=/camera/semantic", "--classes=same")
    for name, topics in (("one", ["semantic"]), ("two", ["semantic", "second"])):
        bag = SimulatorBag(tmp_path / name)
        for at, (image, seen) in enumerate(zip(random_images(FRAMES), predictions, strict=True)):
            bag.image("/camera/image_raw", at * MS, "rgb8", image)
            for topic in topics:
                bag.image(f"/camera/{topic}", at * MS, "mono8", seen.labels)
        bag.close()
    assert evaluate(model, "--data", tmp_path / "one", *truth) == 0
    assert "on 4 frames of one, /camera/image_raw" in capsys.readouterr().out
    assert evaluate(model, "--data", tmp_path / "two", *truth) == 1
    said = capsys.readouterr().err
    assert "two has pictures on /camera/image_raw, /camera/second; name one by --topic" in said


def test_a_part_of_a_bag_is_measured(
    model: Path, predictions: list[Prediction], tmp_path: Path, capsys: Said
) -> None:
    bag = simulate(tmp_path / "sim", predictions)
    command = (model, "--data", bag, "--topic=/camera/image_raw", "--truth", "depth=/sim/depth")
    assert evaluate(*command, "--start=0.03", "--end=0.09", "--json", tmp_path / "f.json") == 0
    report = json.loads((tmp_path / "f.json").read_text())
    assert report["frames"] == 2
    assert set(report["truth_digests"]) == {"depth"}
    assert evaluate(*command, "--start=100") == 1
    assert "s long, lies between --start 100 and its end" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--truth", "labels=/sim/labels"), "goes with --classes FILE"),
        (("--truth", "colors=/x"), "--truth colors=/x says no topic; allowed: labels=TOPIC"),
        (("--truth", "depth="), "--truth depth= says no topic"),
        (("--truth", "depth=/a", "depth=/b"), "--truth names depth twice"),
        (("--truth", "labels=/a", "depth=a", "--classes=same"), "--truth names /a twice; each"),
        (("--truth", "depth=/camera/camera_info"), "is of type sensor_msgs/msg/CameraInfo; "),
        (("--truth", "depth=/a:red"), "names the channel 'red'; of labels, red, green, blue"),
        (("--truth", "names=/a"), "names no labels, depth or normals"),
        (("--truth", "depth=/a", "--classes=same"), "--classes same goes with --truth labels="),
        (("--truth", "depth=/sim/depth", "--kind=nyud"), "go with a data set, not with a record"),
        (("--truth", "depth=/sim/depth", "--tolerance=-1"), "--tolerance is -1; 0 or more"),
        (("--truth", "depth=/sim/none"), "has no messages on /sim/none"),
        (("--truth", "depth=/sim/labels"), "depth comes as '32SC1'"),
        (("--truth", "depth=/camera/image_raw"), "/camera/image_raw is named as truth, and it is"),
        (("--classes=same",), "--classes same goes with --truth"),
        (("--topic=/a",), "--topic /a goes with a recording"),
        (("--noise=2",), "--noise 2.0 goes with --steadiness"),
        (("--tolerance=2",), "--tolerance and --truth-depth go with --truth"),
        ((), "is a bag; name its topics of truth by --truth, e.g. --truth depth=TOPIC"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(
    model: Path, bag: Path, words: tuple[str, ...], said: str, capsys: Said
) -> None:
    camera = ("--topic=/camera/image_raw",) if "--truth" in words else ()
    assert evaluate(model, "--data", bag, *camera, *words) == 1
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory, predictions: list[Prediction]) -> Path:
    return simulate(tmp_path_factory.mktemp("bags") / "sim", predictions)


def test_several_cameras_need_a_choice(model: Path, bag: Path, capsys: Said) -> None:
    assert evaluate(model, "--data", bag, "--truth", "depth=/sim/depth", "--topic=/none") == 1
    assert "/none" in capsys.readouterr().err
    assert evaluate(model, "--data", bag / "nothing", "--truth", "depth=/sim/depth") == 1
    assert "nothing" in capsys.readouterr().err

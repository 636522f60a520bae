# SPDX-License-Identifier: Apache-2.0
"""A simulator's recording as a data set: what belongs together is measured, the rest is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from mtinet_ros.errors import ConfigurationError, DataError, InputError
from mtinet_ros.model_contract import VOID_ID
from mtinet_ros.perception.camera_model import CameraModel
from mtinet_ros.perception.decoded_image import DecodedImage
from mtinet_ros.recordings.frame import (
    CameraInput,
    Header,
    Interval,
    PassedMessage,
    RecordedFrame,
)
from mtinet_ros.training.class_map import ClassMap
from mtinet_ros.training.evaluation_recording import RecordingSamples, TruthOptions

HEIGHT, WIDTH = 4, 6
SECOND = 1_000_000_000
CLASSES = ("wall", "floor")
LENS = CameraModel.pinhole(WIDTH, HEIGHT, 3.0, 3.0, 2.5, 1.5)


class Bag:
    """A recording in memory, its messages in the order they were recorded."""

    def __init__(self) -> None:
        self.path = Path("room_bag")
        self.cameras = (CameraInput("camera", "/camera/image"),)
        self.problems: list[str] = []
        self.entries: list[RecordedFrame | PassedMessage] = []
        self.content: dict[bytes, Any] = {}
        self.read_count = 0

    def picture(self, stamp: int, camera: CameraModel | None = LENS, mask: Any = None) -> None:
        picture = np.full((HEIGHT, WIDTH, 3), stamp % 251, np.uint8)
        self.entries.append(
            RecordedFrame("camera", stamp, Header(stamp, "optical"), f"camera/{stamp}",
                          lambda: DecodedImage(picture, camera, mask))
        )  # fmt: skip

    def truth(self, topic: str, stamp: int, encoding: str, pixels: Any) -> None:
        message = SimpleNamespace(
            height=len(pixels), width=pixels.shape[1], encoding=encoding, is_bigendian=0,
            step=pixels[0].nbytes, data=pixels.tobytes(),
        )  # fmt: skip
        self.add(topic, stamp, message)

    def add(
        self, topic: str, stamp: int, message: Any, type_name: str = "sensor_msgs/msg/Image"
    ) -> None:
        seconds, rest = divmod(stamp, SECOND)
        number = len(self.content).to_bytes(4, "little")
        data = b"\0\1\0\0" + seconds.to_bytes(4, "little") + rest.to_bytes(4, "little") + number
        self.content[data] = message
        self.entries.append(PassedMessage(topic, type_name, stamp, data, None))

    def interval(self) -> Interval:
        return Interval()

    def read(
        self, interval: Interval, with_other_messages: bool = False
    ) -> Iterator[RecordedFrame | PassedMessage]:
        assert with_other_messages
        self.read_count += 1
        yield from (entry for entry in self.entries if entry.time in interval)

    def close(self) -> None:
        pass

    def samples(
        self, topics: dict[str, str], classes: dict[int, int] | None = None, **more: Any
    ) -> RecordingSamples:
        mapped = None if classes is None else ClassMap(Path("classes.yaml"), classes)
        names = more.pop("class_names", None)
        if mapped is not None and names:
            mapped.names.update(names)
        options = TruthOptions(topics, **more)
        return RecordingSamples(
            self, lambda m: self.content[m.data], options, mapped, CLASSES, ((0, 0, 0),) * 2
        )


def ids(value: int) -> Any:
    return np.full((HEIGHT, WIDTH), value, np.uint8)


def meters(value: float) -> Any:
    return np.full((HEIGHT, WIDTH), value, np.float32)


LABELS, DEPTH = {"semseg": "/sim/labels"}, {"depth": "/sim/depth"}


def test_each_picture_gets_the_truth_of_its_own_stamp_whenever_that_was_recorded() -> None:
    bag = Bag()
    for stamp in (10, 20, 30, 40):
        bag.picture(stamp)
    for stamp, value in ((40, 8), (15, 8), (20, 7), (10, 8)):  # late, and in another order
        bag.truth("/sim/labels", stamp, "mono8", ids(value))
    bag.truth("/sim/depth", 20, "32FC1", meters(2.5))
    bag.truth("/else", 10, "mono8", ids(1))
    samples = bag.samples(LABELS | DEPTH, {7: 0, 8: 1})
    assert samples.names == ["camera/10", "camera/20", "camera/40"]
    read = [samples[index] for index in range(3)]
    assert [int(sample.targets["semseg"][0, 0]) for sample in read] == [1, 0, 1]
    assert [int(sample.image[0, 0, 0]) for sample in read] == [10, 20, 40]
    assert [set(sample.targets) for sample in read][1] == {"semseg", "depth"}
    assert read[1].targets["depth"].tolist() == meters(2.5).tolist()
    assert "depth" not in read[0].targets
    assert read[0].intrinsics is not None
    assert read[0].intrinsics.focal_length == 3
    assert bag.read_count == 2  # to look through, and once for all samples
    assert samples[0].image[0, 0, 0] == 10  # again from the front
    labels, depth = samples.notes()[:2]
    assert labels == (
        "3 pictures on /camera/image and messages on /sim/labels are paired by equal stamps; "
        "1 pictures and 1 messages are not"
    )
    assert "3 pictures and 0 messages are not" in depth
    samples.check()


def test_counts_begin_anew_when_the_recording_is_read_again() -> None:
    bag = Bag()
    bag.picture(10)
    bag.truth("/sim/labels", 10, "mono8", ids(9))
    samples = bag.samples(LABELS, {7: 0})
    for _ in range(3):
        assert (samples[0].targets["semseg"] == VOID_ID).all()
    notes = " ".join(samples.notes())
    assert "classes.yaml has no class for 9 at 100.0% of the true pixels" in notes
    assert "names what never occurred: 7" in notes
    with pytest.raises(DataError, match=r"all true labels on /sim/labels are void: classes.yaml"):
        samples.check()


def test_a_tolerance_pairs_nearest_with_nearest_and_counts_no_truth_twice() -> None:
    bag = Bag()
    for stamp in (0, 30, 60, 90):
        bag.picture(stamp * 1_000_000)
    for stamp in (31, 62):
        bag.truth("/sim/depth", stamp * 1_000_000, "32FC1", meters(stamp))
    with pytest.raises(ConfigurationError) as refusal:
        bag.samples(DEPTH)
    assert str(refusal.value) == (
        "none of 4 pictures on /camera/image has the stamp of one of 2 messages on /sim/depth; "
        "the closest are 1 ms apart: --tolerance allows for it"
    )
    samples = bag.samples(DEPTH, tolerance=29_000_000)
    assert samples.names == ["camera/30000000", "camera/60000000"]
    assert [float(samples[i].targets["depth"][0, 0]) for i in range(2)] == [31, 62]
    assert "stamps at most 29 ms apart; 2 pictures and 0 messages are not" in samples.notes()[0]


def test_isaac_sims_names_may_change_while_it_runs() -> None:
    bag = Bag()
    said = [
        (10, {"0": {"class": "BACKGROUND"}, "1": {"class": "desk"}}),
        (20, {"0": {"class": "BACKGROUND"}, "1": {"class": "rug"}}),
    ]
    for stamp, _ in said:
        bag.picture(stamp)
        bag.truth("/labels", stamp, "32SC1", np.full((HEIGHT, WIDTH), 1, np.int32))
    for stamp, names in said:  # recorded at one moment, with the stamps they are for
        text = json.dumps({**names, "time_stamp": {"sec": 0, "nanosec": stamp}})
        bag.add("/names", 50, SimpleNamespace(data=text), "std_msgs/msg/String")
    topics = {"semseg": "/labels", "names": "/names"}
    samples = bag.samples(topics, {}, class_names={"rug": 1, "desk": VOID_ID})
    read = [int(samples[index].targets["semseg"][0, 0]) for index in range(2)]
    assert read == [VOID_ID, 1]
    bag.add("/names", 60, SimpleNamespace(data="no JSON"), "std_msgs/msg/String")
    with pytest.raises(DataError, match="/names is to say what ids are called"):
        bag.samples(topics, {})


def test_truth_of_another_size_is_brought_to_the_pictures_by_nearest_pixel() -> None:
    bag = Bag()
    bag.picture(10)
    small = np.array([[7, 7, 8], [8, 8, 8]], np.uint8)
    bag.truth("/sim/labels", 10, "mono8", small)
    samples = bag.samples(LABELS, {7: 0, 8: 1})
    expected = np.repeat(np.repeat(small - 7, 2, axis=0), 2, axis=1)
    assert samples[0].targets["semseg"].tolist() == expected.tolist()
    assert "truth on /sim/labels is of another size than the pictures" in " ".join(samples.notes())
    bag.picture(20)
    bag.truth("/sim/labels", 20, "mono8", np.zeros((4, 4), np.uint8))
    with pytest.raises(DataError, match=r"/sim/labels at 0\.000 s: truth has 4x4 pixels"):
        bag.samples(LABELS, {})[1]


def test_distance_along_the_ray_is_turned_into_depth_at_the_truths_own_size() -> None:
    bag = Bag()
    bag.picture(10)
    x, y = (np.arange(12) - 5.5) / 6, (np.arange(8) - 3.5) / 6  # a lens of twice the size
    distance = 2 * np.sqrt(1 + x**2 + (y**2)[:, np.newaxis])
    bag.truth("/sim/depth", 10, "32FC1", distance.astype(np.float32))
    found = bag.samples(DEPTH, is_distance=True)[0].targets["depth"]
    np.testing.assert_allclose(found, 2.0, rtol=1e-6)
    planar = bag.samples(DEPTH)[0].targets["depth"]
    assert planar[0, 0] > 2.5  # 30 % too far in the corner
    bag.entries.pop(0)
    bag.picture(10, camera=None)
    with pytest.raises(DataError, match="which the recording does not tell"):
        bag.samples(DEPTH, is_distance=True)[0]


def test_the_far_end_of_a_simulated_camera_is_noticed_and_can_be_left_out() -> None:
    bag = Bag()
    bag.picture(10)
    depth = meters(2.0)
    depth[0] = 1000.0
    bag.truth("/sim/depth", 10, "32FC1", depth)
    samples = bag.samples(DEPTH)
    assert samples[0].targets["depth"][0, 0] == 1000
    assert "25.0% of the true depth on /sim/depth is exactly 1000 m" in " ".join(samples.notes())
    assert "--truth-depth ray" in " ".join(samples.notes())
    near = bag.samples(DEPTH, depth_limit=50.0)
    assert near[0].targets["depth"][0].tolist() == [0] * WIDTH
    assert "1000 m" not in " ".join(near.notes())
    nothing = bag.samples(DEPTH, depth_limit=1.0)
    assert not nothing[0].targets["depth"].any()
    with pytest.raises(DataError, match="/sim/depth has a depth above 0 and up to 1 m"):
        nothing.check()


def test_depth_in_floats_that_are_millimetres_is_noticed() -> None:
    bag = Bag()
    bag.picture(10)
    bag.truth("/sim/depth", 10, "32FC1", meters(1800))
    samples = bag.samples(DEPTH)
    assert samples[0].targets["depth"].max() == 1800
    assert "a median of 1800 m; floats are taken for metres" in " ".join(samples.notes())


def test_normals_of_another_frame_are_refused() -> None:
    bag = Bag()
    bag.picture(10)
    normals = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    normals[..., 2] = 1  # up in the world, away from the camera in its own frame
    bag.truth("/sim/normals", 10, "32FC3", normals)
    with pytest.raises(DataError, match="100% of the normals do not face the camera"):
        bag.samples({"normals": "/sim/normals"})[0]


def test_pictures_that_were_rectified_are_not_compared_with_truth_that_was_not() -> None:
    bag = Bag()
    bag.picture(10, mask=np.ones((HEIGHT, WIDTH), np.bool_))
    bag.truth("/sim/labels", 10, "mono8", ids(7))
    with pytest.raises(DataError, match="was rectified, and truth is of the picture as it was"):
        bag.samples(LABELS, {7: 0})[0]


def test_stamps_that_come_again_are_told_and_count_once() -> None:
    bag = Bag()
    for value in (7, 8):  # a simulation that was begun twice
        bag.picture(10)
        bag.truth("/sim/labels", 10, "mono8", ids(value))
    samples = bag.samples(LABELS, {7: 0, 8: 1})
    assert len(samples) == 1
    assert (samples[0].targets["semseg"] == 0).all()
    assert "1 pictures on /camera/image have the stamp of an earlier one" in " ".join(
        samples.notes()
    )


def test_topics_without_messages_are_named() -> None:
    bag = Bag()
    bag.picture(10)
    with pytest.raises(ConfigurationError, match=r"room_bag has no messages on /sim/labels$"):
        bag.samples(LABELS, {})
    bag.truth("/sim/ids", 10, "mono8", ids(7))
    with pytest.raises(
        ConfigurationError, match=r"/sim/labels; images beside .* are on /sim/ids$"
    ):
        bag.samples(LABELS, {})
    bag.entries.clear()
    bag.truth("/sim/labels", 10, "mono8", ids(7))
    with pytest.raises(ConfigurationError, match="room_bag has no pictures on /camera/image"):
        bag.samples(LABELS, {})


def test_what_is_wrong_with_a_recording_is_told_where_it_has_no_truth() -> None:
    bag = Bag()
    bag.problems.append("room was cut off")
    bag.picture(10)
    with pytest.raises(ConfigurationError, match="on /sim/labels; room was cut off"):
        bag.samples(LABELS, {})


@pytest.mark.parametrize(
    ("topics", "type_name"),
    [
        (DEPTH, "sensor_msgs/msg/CameraInfo"),
        (DEPTH, "stereo_msgs/msg/DisparityImage"),
        (LABELS, "std_msgs/msg/String"),
        (LABELS | {"names": "/sim/depth"}, "sensor_msgs/msg/Image"),
    ],
)
def test_topics_that_cannot_hold_truth_are_refused_by_their_type(
    topics: dict[str, str], type_name: str
) -> None:
    bag = Bag()
    bag.picture(10)
    bag.add([*topics.values()][-1], 10, SimpleNamespace(data="{}"), type_name)
    with pytest.raises(
        ConfigurationError, match=rf"^/sim/.* is of type {type_name}; .* is needed"
    ):
        bag.samples(topics, {7: 0})


def test_a_damaged_picture_or_recording_is_an_error_that_names_it() -> None:
    def refuse() -> DecodedImage:
        raise InputError("the image is damaged")

    bag = Bag()
    bag.entries.append(RecordedFrame("camera", 10, Header(10, ""), "camera/10", refuse))
    bag.truth("/sim/labels", 10, "mono8", ids(7))
    with pytest.raises(DataError, match="camera/10: the image is damaged"):
        bag.samples(LABELS, {7: 0})[0]
    bag.content = {data: SimpleNamespace(encoding="yuv", height=1, width=1, step=1, data=b"")
                   for data in bag.content}  # fmt: skip
    bag.entries.pop(0)
    bag.picture(10)
    with pytest.raises(DataError, match=r"/sim/labels at 0\.000 s: labels come as 'yuv'"):
        bag.samples(LABELS, {7: 0})[0]

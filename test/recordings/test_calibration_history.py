# SPDX-License-Identifier: Apache-2.0
"""Every frame of a bag has the CameraInfo that a robot would have had, wherever reading begins."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("rosbags")
pytest.importorskip("mcap")
from support.bags import (
    CAMERA_INFO,
    COMPRESSED_IMAGE,
    IMAGE,
    SECOND,
    START,
    Recorded,
    compressed,
    image,
    info,
    picture,
    write_mcap,
    write_sqlite,
)

from mtinet_ros.recordings import bag_reading
from mtinet_ros.recordings.bag_reading import BagReading
from mtinet_ros.recordings.bag_source import BagSource
from mtinet_ros.recordings.frame import Interval, RecordedFrame

MS = 1_000_000
SIZES = ((16, 12), (32, 24), (10, 10))


def frame_at(time: int, stamp: int, size: tuple[int, int] = SIZES[0]) -> Recorded:
    return Recorded("/cam/image_raw", IMAGE, START + time, image(stamp, picture(0, *size)))


def info_at(time: int, stamp: int, focal: float, size: tuple[int, int] = SIZES[0]) -> Recorded:
    return Recorded("/cam/camera_info", CAMERA_INFO, START + time, info(stamp, focal, *size))


def focal_lengths(path: Path, interval: Interval | None = None) -> list[tuple[str, float | None]]:
    """Name and focal length of each frame; None: its lens is not known."""
    source = BagSource(path)
    found = []
    for frame in source.read(interval or Interval()):
        assert isinstance(frame, RecordedFrame)
        camera = frame.decode().camera
        found.append((frame.name, None if camera is None else camera.focal_lengths[0]))
    source.close()
    return found


# The records of a bag, and the focal length of each frame.
RULES: dict[str, tuple[list[Recorded], list[float | None]]] = {
    "its own, recorded after it": (
        [frame_at(0, 50), info_at(5 * MS, 50, 7.0), frame_at(99 * MS, 60),
         info_at(105 * MS, 60, 8.0)],
        [7.0, 8.0],
    ),
    "its own, recorded before it, though a newer one is there": (
        [info_at(0, 50, 7.0), info_at(1 * MS, 60, 8.0), frame_at(2 * MS, 50),
         frame_at(3 * MS, 60)],
        [7.0, 8.0],
    ),
    "its own, two seconds late: the one before": (
        [info_at(0, 40, 7.0), frame_at(1 * MS, 50), info_at(2001 * MS, 50, 8.0)],
        [7.0],
    ),
    "its own a second late to the nanosecond": (
        [info_at(0, 40, 7.0), frame_at(1 * MS, 50), info_at(1001 * MS, 50, 8.0)],
        [8.0],
    ),
    "its own behind one of a later stamp": (
        [info_at(0, 40, 7.0), frame_at(1 * MS, 50), info_at(2 * MS, 60, 9.0),
         info_at(3 * MS, 50, 8.0)],
        [7.0],
    ),
    "its own behind one without a stamp": (
        [info_at(0, 40, 7.0), frame_at(1 * MS, 50), info_at(2 * MS, 0, 9.0),
         info_at(3 * MS, 50, 8.0)],
        [7.0],
    ),
    "told once, long before": (
        [info_at(0, 0, 7.0), *(frame_at(hour * 3600 * SECOND, 50 + hour) for hour in range(3))],
        [7.0, 7.0, 7.0],
    ),
    "the first frames wait for the first": (
        [frame_at(0, 50), frame_at(400 * MS, 60), info_at(900 * MS, 0, 7.0)],
        [7.0, 7.0],
    ),
    "but not for longer than a second": (
        [frame_at(0, 50), frame_at(900 * MS, 60), info_at(1100 * MS, 0, 7.0),
         frame_at(1200 * MS, 70)],
        [None, None, 7.0],
    ),
    "a camera that begins later waits too": (
        [Recorded("/words", CAMERA_INFO, START, info(0)), frame_at(60 * SECOND, 50),
         info_at(60 * SECOND + 900 * MS, 0, 7.0)],
        [7.0],
    ),
    "the one of its size": (
        [info_at(0, 0, 7.0), info_at(1, 0, 8.0, SIZES[1]), frame_at(2, 50),
         frame_at(3, 60, SIZES[1])],
        [7.0, 8.0],
    ),
    "the first of its size": (
        [info_at(0, 0, 8.0, SIZES[1]), frame_at(1, 50), info_at(5 * MS, 0, 7.0)],
        [7.0],
    ),
    "of half the size: scaled, once a second has passed without another": (
        [frame_at(0, 50, SIZES[1]), info_at(5 * MS, 0, 7.0), frame_at(2 * SECOND, 60, SIZES[1])],
        [14.0, 14.0],
    ),
    "without a stamp: the one before": (
        [info_at(0, 0, 7.0), info_at(1, 0, 8.0), frame_at(2, 0), info_at(3, 0, 9.0)],
        [8.0],
    ),
    "of no size that fits": ([info_at(0, 0, 7.0, SIZES[2]), frame_at(1, 50)], [None]),
    "recorded at one time: those that lie before it in the file": (
        [info_at(0, 0, 7.0), info_at(5, 0, 8.0), frame_at(5, 50), info_at(5, 0, 9.0)],
        [8.0],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("recorded", "expected"), list(RULES.values()), ids=list(RULES))
def test_which_calibration_a_frame_has(
    tmp_path: Path, recorded: list[Recorded], expected: list[float | None]
) -> None:
    path = write_sqlite(tmp_path / "bag.db3", recorded)
    assert [focal for _, focal in focal_lengths(path)] == expected


def expected_focal_lengths(recorded: Sequence[Recorded]) -> list[float | None]:
    """The rule by brute force: every frame looks at the whole bag."""
    order = sorted(range(len(recorded)), key=lambda at: (recorded[at].time, at))
    messages = [recorded[at] for at in order]
    first = next(one.time for one in messages if one.type_name == IMAGE)

    def stamp(one: Recorded) -> int:
        return one.message.header.stamp.sec * SECOND + one.message.header.stamp.nanosec

    def chosen(known: list[Recorded], size: tuple[int, int]) -> float | None:
        for factor in (1, 2, 3, 4):
            for one in reversed(known):
                if (one.message.width * factor, one.message.height * factor) == size:
                    return float(one.message.k[0]) * factor
        return None

    focal_lengths = []
    for at, frame in enumerate(messages):
        if frame.type_name != IMAGE:
            continue
        size = (frame.message.width, frame.message.height)
        before = [one for one in messages[:at] if one.type_name == CAMERA_INFO]
        after = [one for one in messages[at:] if one.type_name == CAMERA_INFO]
        known = list(before)
        is_known = any((one.message.width, one.message.height) == size for one in before)
        if frame.time < first + SECOND and not is_known:
            for one in after:
                if one.time > first + SECOND:
                    break
                known.append(one)
                if (one.message.width, one.message.height) == size:
                    break
        if stamp(frame) > 0:
            near = [one for one in before if one.time >= frame.time - SECOND]
            own = [one for one in near if stamp(one) == stamp(frame)][-1:]
            soon = [one for one in after if one.time <= frame.time + SECOND]
            ending = (one for one in soon if stamp(one) >= stamp(frame) or stamp(one) == 0)
            following = next(ending, None)
            if not own and following and stamp(following) == stamp(frame):
                own = [following]
            known += own
        focal_lengths.append(chosen(known, size))
    return focal_lengths


def random_recording(seed: int) -> list[Recorded]:
    """Images and calibrations of changing sizes, late, early, twice and out of order."""
    chance = random.Random(seed)
    recorded = []
    time, focal, size = 0, 5.0, SIZES[0]
    for _ in range(40):
        time += chance.choice([0, 1 * MS, 80 * MS, 300 * MS, 700 * MS, 3 * SECOND, 40 * SECOND])
        if chance.random() < 0.2:
            size = chance.choice(SIZES)
        stamp = chance.choice([0, START + time - 2 * MS, START + time - 90 * MS])
        recorded.append(frame_at(time, stamp, size))
        if chance.random() < 0.5:
            focal += 1.0
            delay = chance.choice([-500 * MS, -1, 0, 1 * MS, 120 * MS, 990 * MS, 1500 * MS])
            its_stamp = chance.choice([0, stamp, stamp, START + time - 90 * MS])
            its_size = chance.choice([size, size, *SIZES])
            recorded.append(info_at(max(time + delay, 0), its_stamp, focal, its_size))
    return recorded


@pytest.mark.parametrize("seed", range(6))
def test_a_frame_has_the_same_calibration_wherever_reading_begins(
    tmp_path: Path, seed: int
) -> None:
    recorded = random_recording(seed)
    path = write_mcap(tmp_path / "bag.mcap", recorded, chunk_size=2000)
    whole = focal_lengths(path)
    assert [focal for _, focal in whole] == expected_focal_lengths(recorded)
    assert len({focal for _, focal in whole}) > 5
    times = sorted(one.time for one in recorded if one.type_name == IMAGE)
    chance = random.Random(seed)
    for _ in range(10):
        begin, end = sorted(chance.choices(range(len(times)), k=2))
        interval = Interval(times[begin], times[end])
        expected = [frame for frame, time in zip(whole, times, strict=True) if time in interval]
        assert focal_lengths(path, interval) == expected
    rest = [frame for frame, time in zip(whole, times, strict=True) if time >= times[20]]
    assert focal_lengths(path, Interval(times[20])) == rest


@pytest.mark.parametrize("limit", [0, 2000, 6000])  # bytes; a frame has some 700, 2500 or 400
def test_what_waits_in_too_many_bytes_has_the_same_calibration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    """Then what comes in the next second is looked up, and the frame goes on."""
    monkeypatch.setattr(bag_reading, "_WAITING_BYTES", limit)
    for number, (recorded, expected) in enumerate(RULES.values()):
        path = write_sqlite(tmp_path / f"{number}.db3", recorded)
        assert [focal for _, focal in focal_lengths(path)] == expected
    for seed in range(4):
        recorded = random_recording(seed)
        path = write_mcap(tmp_path / f"{seed}.mcap", recorded, chunk_size=2000)
        whole = [focal for _, focal in focal_lengths(path)]
        assert whole == expected_focal_lengths(recorded)
        times = sorted(one.time for one in recorded if one.type_name == IMAGE)
        rest = [focal for _, focal in focal_lengths(path, Interval(times[20]))]
        assert rest == [f for f, time in zip(whole, times, strict=True) if time >= times[20]]


@pytest.mark.parametrize("with_other_messages", [False, True])
def test_no_second_of_images_is_kept_while_a_calibration_may_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_other_messages: bool
) -> None:
    """Of four cameras that would be half a gigabyte. Every CameraInfo is read ahead once."""
    recorded = []
    for number in range(60):
        if number % 30 == 0:
            recorded.append(info_at(number * 33 * MS, 1 + number, 7.0 + number))
        recorded.append(frame_at(number * 33 * MS + 1, 1000 + number))
    path = write_mcap(tmp_path / "bag.mcap", recorded)
    bytes_of_frame = len(recorded[1].cdr()) * (2 if with_other_messages else 1)
    monkeypatch.setattr(bag_reading, "_WAITING_BYTES", 5 * bytes_of_frame)
    in_memory, most, read_ahead = 0, 0, 0
    make, read = BagReading._frame, BagReading._calibrations

    def counted(self: BagReading, *arguments: Any) -> Any:
        nonlocal in_memory, most
        in_memory += 1
        most = max(most, in_memory)
        return make(self, *arguments)

    def counted_ahead(self: BagReading, *arguments: Any) -> Any:
        nonlocal read_ahead
        for entry in read(self, *arguments):
            read_ahead += 1
            yield entry

    monkeypatch.setattr(BagReading, "_frame", counted)
    monkeypatch.setattr(BagReading, "_calibrations", counted_ahead)
    source = BagSource(path)
    found = []
    for item in source.read(Interval(), with_other_messages):
        if isinstance(item, RecordedFrame):
            in_memory -= 1
            assert item.nbytes == bytes_of_frame
            camera = item.decode().camera
            found.append(camera and camera.focal_lengths[0])
    source.close()
    assert found == [7.0] * 30 + [37.0] * 30
    assert most == 6
    assert read_ahead == 1


@pytest.mark.parametrize("which", ["calibrations", "pictures"])
def test_what_is_remembered_keeps_no_chunk_of_the_file(tmp_path: Path, which: str) -> None:
    """A second of small messages is kept, and not the large ones that lie beside them."""
    content = cv2.imencode(".jpg", np.zeros((24, 32, 3), np.uint8))[1].tobytes()
    large, recorded = np.zeros((100, 333, 3), np.uint8), []
    for number in range(40):
        time = START + number * 20 * MS
        if which == "calibrations":
            recorded += [
                info_at(time - START, time, 7.0, (333, 100)),
                Recorded("/cam/image_raw", IMAGE, time + 1, image(time, large)),
            ]
        else:
            topic = "/cam/image_raw/compressed"
            recorded += [
                Recorded(topic, COMPRESSED_IMAGE, time, compressed(time, content)),
                Recorded("/cam/depth", IMAGE, time + 1, image(time, large)),
            ]
    recorded.append(info_at(SECOND, 0, 7.0, SIZES[1]))
    source = BagSource(write_mcap(tmp_path / "bag.mcap", recorded, chunk_size=100_000))
    tracemalloc.start()
    try:
        number = sum(1 for _ in source.read(Interval()))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    source.close()
    assert number == 40
    assert peak < 2_000_000  # of the 4 MB that the file holds unpacked


def test_compressed_images_find_the_calibration_of_their_size_long_before(tmp_path: Path) -> None:
    content = cv2.imencode(".jpg", np.zeros((24, 32, 3), np.uint8))[1].tobytes()
    recorded = [
        info_at(0, 0, 8.0, SIZES[1]),
        *(info_at(second * SECOND, 0, 7.0) for second in range(1, 100)),
        *(
            Recorded(
                "/cam/image_raw/compressed",
                COMPRESSED_IMAGE,
                START + second * SECOND + 5,
                compressed(START + second, content, "bgr8; jpeg compressed bgr8"),
            )
            for second in (1, 98)
        ),
    ]
    path = write_mcap(tmp_path / "bag.mcap", recorded, chunk_size=2000)
    assert [focal for _, focal in focal_lengths(path)] == [8.0, 8.0]
    assert [f for _, f in focal_lengths(path, Interval(START + 97 * SECOND))] == [8.0]


def test_a_lens_is_undistorted_by_the_calibration_of_each_frame(tmp_path: Path) -> None:
    """In threads, in reverse, with two lenses in turn: no frame gets another's."""
    recorded = []
    for number in range(12):
        stamp, bend = START + number * 100 * MS, (-0.3, 0.2)[number % 2]
        pixels = picture(number)
        recorded += [
            Recorded("/cam/image_raw", IMAGE, stamp, image(stamp, pixels)),
            Recorded("/cam/camera_info", CAMERA_INFO, stamp + MS, info(stamp, 9.0, bend=bend)),
        ]
    source = BagSource(write_mcap(tmp_path / "bag.mcap", recorded))
    frames = [frame for frame in source.read(Interval()) if isinstance(frame, RecordedFrame)]
    with ThreadPoolExecutor(4) as pool:
        decoded = list(pool.map(lambda frame: frame.decode(), reversed(frames)))[::-1]
    for number, image_and_lens in enumerate(decoded):
        matrix = np.array([[9.0, 0, 7.5], [0, 9.0, 5.5], [0, 0, 1]])
        bend = np.array([(-0.3, 0.2)[number % 2], 0, 0, 0, 0])
        expected = cv2.undistort(picture(number), matrix, bend)
        seen = image_and_lens.valid_mask
        assert seen is not None
        # Coordinates are rounded to 1/32 of a pixel, in another order than in `undistort`.
        difference = np.abs(image_and_lens.image.astype(int) - expected)[seen]
        assert np.percentile(difference, 95) <= 8
    source.close()

# SPDX-License-Identifier: Apache-2.0
"""A few frames of a long recording: spread over its time and its cameras."""

from __future__ import annotations

from support.recording_doubles import ListSource

from mtinet_ros.recordings.sampling import spread_frames


def taken(events: list[tuple[int, str]], count: int) -> list[tuple[int, str]]:
    return [(frame.time, frame.camera) for frame in spread_frames(ListSource(events), count)]


def test_frames_are_spread_over_time_however_densely_they_come() -> None:
    """A thousand in the first tenth, ten in the rest: each tenth of the time gives one."""
    dense = [(time, "front") for time in range(1000)]
    sparse = [(time, "front") for time in range(1000, 10_000, 1000)]
    assert taken([*dense, *sparse, (9999, "front")], 10) == [(0, "front"), *sparse]


def test_a_short_recording_is_taken_whole_and_no_frame_twice() -> None:
    events = [(0, "front"), (7, "front"), (9, "front")]
    assert taken(events, 64) == events
    assert taken([(5, "front")], 64) == [(5, "front")]
    assert taken([], 8) == []


def test_cameras_take_turns_and_stand_in_for_each_other() -> None:
    both = [(time, name) for time in range(0, 80, 10) for name in ("front", "rear")]
    found = taken(both, 4)
    assert [camera for _, camera in found] == ["front", "rear", "front", "rear"]
    gone = [event for event in both if event[1] == "front" or event[0] < 20]
    assert [camera for _, camera in taken(gone, 4)] == ["front"] * 4
    assert [camera for _, camera in taken(gone, 8)][:2] == ["front", "rear"]


def test_only_the_beginning_of_each_part_is_read() -> None:
    source = ListSource([(time, "front") for time in range(100)])
    frames = list(spread_frames(source, 4))
    assert len(source.read_intervals) == 4
    assert [(i.start, i.end) for i in source.read_intervals][1] == (25, 50)
    assert len(frames) == 4

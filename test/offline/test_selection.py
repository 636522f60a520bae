# SPDX-License-Identifier: Apache-2.0
"""Which times of a recording are processed, by whom, and how far that is."""

from __future__ import annotations

import io
import time

import pytest

from mtinet_ros.errors import ConfigurationError
from mtinet_ros.offline.progress import Progress
from mtinet_ros.offline.shards import Shard
from mtinet_ros.offline.times import TimePoint, choose_interval, parse_time
from mtinet_ros.recordings.frame import Interval

SECOND = 10**9


@pytest.mark.parametrize("count", [1, 2, 3, 7, 100])
@pytest.mark.parametrize(
    ("chosen", "recorded"),
    [
        (Interval(), Interval(10, 60)),
        (Interval(20, 40), Interval(10, 60)),
        (Interval(None, 40), Interval(10, 60)),
        (Interval(20, None), Interval(10, 60)),
        (Interval(), Interval()),  # nothing is said
        (Interval(), Interval(10, 12)),  # more shards than times
        (Interval(5, 90), Interval(10, 60)),
        (Interval(), Interval(10, 30)),  # the recording goes on after what it says
    ],
)
def test_every_time_is_in_one_shard_and_no_other(
    count: int, chosen: Interval, recorded: Interval
) -> None:
    shards = [Shard(index, count).of(chosen, recorded) for index in range(1, count + 1)]
    for moment in range(100):
        assert sum(moment in shard for shard in shards) == (moment in chosen)


def test_shards_are_of_equal_length() -> None:
    shards = [Shard(i, 4).of(Interval(), Interval(1000, 2001)) for i in (1, 2, 3, 4)]
    assert shards == [
        *(Interval(None, 1250), Interval(1250, 1500)),
        *(Interval(1500, 1750), Interval(1750, None)),
    ]


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "1/0", "a/b", "1/4/2", "-1/4", "1/99999"])
def test_shards_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="--shard is"):
        Shard.parse(text)


@pytest.mark.parametrize(
    ("text", "nanoseconds", "is_absolute"),
    [
        ("0", 0, False),
        ("12.5", 12_500_000_000, False),
        ("1e3", 1000 * SECOND, False),
        ("1700000000.123456789", 1_700_000_000_123_456_789, True),
        ("2023-11-14T22:13:20Z", 1_700_000_000 * SECOND, True),
        ("2023-11-14T23:13:20.5+01:00", 1_700_000_000_500_000_000, True),
        ("2023-11-14 22:13:20", 1_700_000_000 * SECOND, True),
    ],
)
def test_times_are_distances_or_of_the_clock(
    text: str, nanoseconds: int, is_absolute: bool
) -> None:
    assert parse_time("--start", text) == TimePoint(nanoseconds, is_absolute)


@pytest.mark.parametrize("text", ["-1", "nan", "inf", "soon", "12:30"])
def test_times_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match=f"--end is {text}; "):
        parse_time("--end", text)


def test_distances_count_from_the_first_message() -> None:
    recorded = Interval(1_700_000_000 * SECOND, 1_700_000_060 * SECOND)
    chosen = choose_interval(
        parse_time("--start", "10"), parse_time("--end", "1700000020"), recorded, "bag"
    )
    assert chosen == Interval(1_700_000_010 * SECOND, 1_700_000_020 * SECOND)


@pytest.mark.parametrize(
    ("start", "end"), [("70", ""), ("30", "20"), ("", "1600000000"), ("1800000000", "")]
)
def test_times_that_a_recording_has_not_are_refused(start: str, end: str) -> None:
    recorded = Interval(1_700_000_000 * SECOND, 1_700_000_060 * SECOND)
    points = ((text and parse_time("--start", text)) or None for text in (start, end))
    with pytest.raises(ConfigurationError, match=r"bag: nothing is between .* to 60.000 s"):
        choose_interval(*points, recorded, "bag")


def test_progress_has_rate_share_and_time_left() -> None:
    state = [0, None]
    progress = Progress("kitchen", Interval(0, 1000), lambda: tuple(state), io.StringIO())
    with progress:
        begun = time.monotonic()
        state[:] = [50, 250]
        line = progress.line(begun + 10.0)
    # A quarter took ten seconds, so that the rest takes thirty.
    assert line == "kitchen: 50 frames, 5.0 frames/s, 25%, 0:30 left"

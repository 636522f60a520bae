# SPDX-License-Identifier: Apache-2.0
"""`--start` and `--end`: seconds from the beginning of a recording, or a time of the clock."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timezone

from mtinet_ros.errors import ConfigurationError
from mtinet_ros.recordings.frame import Interval

# Seconds from which on a number is a time of the clock (1973), and no distance from a beginning.
_CLOCK = 1e8


@dataclass(frozen=True)
class TimePoint:
    """A time as a person says it: ns since 1970, or since the beginning of the recording."""

    nanoseconds: int
    is_absolute: bool

    def on(self, recorded: Interval) -> int:
        """On the axis of a recording, in ns."""
        return self.nanoseconds + (0 if self.is_absolute else recorded.start or 0)


def parse_time(option: str, text: str) -> TimePoint:
    """From `12.5`, `1700000000.5` or `2026-11-27T21:30:00+01:00` (UTC where no zone is given).

    Args:
        option: For the message.
        text: What was given for it.

    Raises:
        ConfigurationError: It is neither a number nor a date with a time.
    """
    try:
        seconds = float(text)
    except ValueError:
        try:
            moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
        except ValueError as error:
            raise ConfigurationError(
                f"{option} is {text}; give seconds from the beginning, e.g. 12.5, or a time, e.g. "
                "2026-11-27T21:30:00Z"
            ) from error
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=timezone.utc)
        since = moment - datetime(1970, 1, 1, tzinfo=timezone.utc)
        whole = since.days * 86400 + since.seconds
        return TimePoint(whole * 10**9 + since.microseconds * 1000, is_absolute=True)
    if not math.isfinite(seconds) or seconds < 0.0:
        raise ConfigurationError(f"{option} is {text}; give a number of seconds, 0 or more")
    whole_text, _, fraction = text.strip().partition(".")
    if whole_text.isdigit() and (fraction.isdigit() or not fraction):  # to the nanosecond
        nanoseconds = int(whole_text) * 10**9 + int(fraction[:9].ljust(9, "0"))
    else:
        nanoseconds = round(seconds * 1e9)
    return TimePoint(nanoseconds, seconds >= _CLOCK)


def choose_interval(
    start: TimePoint | None, end: TimePoint | None, recorded: Interval, name: object
) -> Interval:
    """The times of a recording that were asked for.

    Raises:
        ConfigurationError: The recording has none of them.
    """
    chosen = Interval(
        None if start is None else start.on(recorded), None if end is None else end.on(recorded)
    )
    low = recorded.start if chosen.start is None else chosen.start
    high = recorded.end if chosen.end is None else chosen.end
    if low is not None and high is not None and low >= high and chosen != Interval():
        raise ConfigurationError(
            f"{name}: nothing is between {_shown(low, recorded)} and {_shown(high, recorded)}; it "
            f"goes from 0 to {_shown(recorded.end, recorded)}"
        )
    return chosen


def _shown(time: int | None, recorded: Interval) -> str:
    return "its end" if time is None else f"{(time - (recorded.start or 0)) / 1e9:.3f} s"

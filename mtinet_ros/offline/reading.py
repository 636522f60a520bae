# SPDX-License-Identifier: Apache-2.0
"""A recording read time by time, so that a run can end, and go on, between two times."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from mtinet_ros.errors import InputError
from mtinet_ros.recordings.frame import Interval, PassedMessage, RecordedFrame, Source

# Items of one time that wait for each other.
_SAME_TIME = 64


@dataclass(frozen=True)
class Ending:
    """How a run through a recording ended.

    Attributes:
        resume_at: Time from which on frames are missing; None: there are none left.
        problem: Why it ended before its end, a sentence; empty if nobody but a signal did that.
    """

    resume_at: int | None
    problem: str = ""


@dataclass(eq=False)
class SameTime:
    """Items of one time, which are given on together where they are few.

    Attributes:
        begins: Whether no items of that time have been given on before.
        items: Frames and messages.
    """

    begins: bool = True
    items: list[RecordedFrame | PassedMessage] = field(default_factory=list)

    @property
    def is_full(self) -> bool:
        """Whether they are many: where a recording has but one time, memory has an end."""
        return len(self.items) >= _SAME_TIME


def read_times(
    source: Source, interval: Interval, with_other_messages: bool
) -> Iterator[SameTime | Ending]:
    """What a recording holds, and last how it ended, if not as it should.

    What a disk fails to give may be there later: then the run ends before that time. What is
    damaged stays so: the run ends there, and is complete.
    """
    group = SameTime()
    try:
        for item in source.read(interval, with_other_messages):
            is_later = bool(group.items) and item.time > group.items[0].time
            if is_later or group.is_full:
                yield group
                group = SameTime(begins=is_later)
            group.items.append(item)
    except (InputError, OSError) as error:
        system = error if isinstance(error, OSError) else error.__cause__
        if isinstance(system, OSError):
            sentence = str(error)
            if error is system:
                sentence = f"cannot read {source.path}: {system.strerror or system}"
            yield Ending(group.items[0].time if group.items else 0, sentence)
            return
        if group.items:
            yield group
        yield Ending(None, str(error))
        return
    if group.items:
        yield group

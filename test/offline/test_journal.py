# SPDX-License-Identifier: Apache-2.0
"""What a journal says was done, was; however it was cut off."""

from __future__ import annotations

from pathlib import Path

import pytest

from mtinet_ros.errors import ConfigurationError
from mtinet_ros.offline.fingerprint import about_files
from mtinet_ros.offline.journal import Beginning, Journal, Part, Tally, differences


def part(number: int, end: int | None) -> Part:
    return Part(number, end, Tally(5, 1, ["a: is bad"]), {"front": 6}, {"file": f"p{number}"})


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    journal = Journal.begin(tmp_path, Beginning({"model": "a"}, {"format": "bag"}))
    for number, end in ((1, 100), (2, 200), (3, None)):
        journal.append(part(number, end))
    return journal


def test_cut_off_anywhere_it_says_no_more_than_was_written(
    journal: Journal, tmp_path: Path
) -> None:
    file = tmp_path / Journal.NAME
    content = file.read_bytes()
    ends = [index for index, byte in enumerate(content) if byte == ord("\n")]
    around = [end + offset for end in ends for offset in (-1, 0, 1, 2)]
    lengths = {*around, *range(ends[0] + 1, len(content), 9)}
    for length in sorted(n for n in lengths if ends[0] < n < len(content)):
        file.write_bytes(content[:length])
        read = Journal.read(tmp_path)
        assert read is not None
        whole = sum(length >= end for end in ends[1:])  # a line without its end is whole, too
        assert [p.number for p in read.parts] == [1, 2, 3][:whole]
        assert read.is_complete == (whole == 3)
        read.repair()
        if whole < 3:
            read.append(part(9, 300))
            again = Journal.read(tmp_path)
            assert again is not None
            assert [p.number for p in again.parts] == [*[1, 2, 3][:whole], 9]


def test_bytes_in_the_middle_that_are_lost_end_it_there(journal: Journal, tmp_path: Path) -> None:
    file = tmp_path / Journal.NAME
    lines = file.read_text().splitlines(keepends=True)
    file.write_text(lines[0] + lines[1] + "\0\0\0\n" + lines[3])
    read = Journal.read(tmp_path)
    assert read is not None
    assert [p.number for p in read.parts] == [1]


def test_it_gives_back_what_was_told(journal: Journal, tmp_path: Path) -> None:
    read = Journal.read(tmp_path)
    assert read is not None
    assert read.beginning == Beginning({"model": "a"}, {"format": "bag"})
    assert read.parts == journal.parts
    assert read.records == [{"file": "p1"}, {"file": "p2"}, {"file": "p3"}]
    assert (read.tally().frames, read.tally().failed) == (15, 3)


def test_of_another_version_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / Journal.NAME).write_text('{"mtinet_process": 99}\n')
    with pytest.raises(ConfigurationError, match="another version"):
        Journal.read(tmp_path)


def test_differences_are_named() -> None:
    there = {"model": "a", "--every": 1, "--topics": ["/x"]}
    now = {"model": "a", "--every": 2, "--fit": "stretch"}
    assert differences(there, now) == [
        "--every was 1, is 2",
        '--topics was ["/x"], is not given',
        "--fit was not given, is stretch",
    ]


def test_a_recording_is_known_by_what_is_in_it_not_by_where_it_lies(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other" / "disk"
    for folder in (one, other):
        (folder / "inner").mkdir(parents=True)
        (folder / "inner" / "a.mcap").write_bytes(bytes(300_000))
    assert about_files([one]) == about_files([other])
    assert about_files([one]).startswith("1 file, 0.300 MB, ")
    (other / ".hidden").write_text("x")
    (other / "results" / ".mtinet_process").mkdir(parents=True)
    (other / "results" / "frames.jsonl").write_text("x")
    assert about_files([one]) == about_files([other])
    content = bytearray(300_000)
    content[-1] = 1
    (other / "inner" / "a.mcap").write_bytes(content)
    assert about_files([one]) != about_files([other])

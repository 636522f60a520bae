# SPDX-License-Identifier: Apache-2.0
"""A file is replaced as a whole or left as it was, and nothing lies about beside it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mtinet_ros.errors import ExportError, InputError
from mtinet_ros.output_files import file_errors, replace_file, write_file


@pytest.mark.parametrize("flush", [False, True])
def test_bytes_and_text_replace_what_was_there(tmp_path: Path, flush: bool) -> None:
    target = tmp_path / "result"
    for content, expected in (
        (b"\x00\xff", b"\x00\xff"),
        (memoryview(b"view"), b"view"),
        ("Größe\r\n", b"Gr\xc3\xb6\xc3\x9fe\r\n"),
    ):
        replace_file(target, content, flush=flush)
        assert target.read_bytes() == expected
        assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("call", ["replace", "fsync"])
def test_an_interruption_leaves_the_old_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    target = tmp_path / "result"
    target.write_bytes(b"old")

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, call, interrupted)
    with pytest.raises(KeyboardInterrupt):
        replace_file(target, b"new", flush=True)
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_reader_never_sees_half_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "result"
    target.write_bytes(b"old")
    seen: list[bytes] = []
    flush = os.fsync

    def look(descriptor: int) -> None:
        flush(descriptor)  # everything is on the disk, but not yet in its place
        seen.append(target.read_bytes())

    monkeypatch.setattr(os, "fsync", look)
    replace_file(target, b"new", flush=True)
    assert seen == [b"old"]
    assert target.read_bytes() == b"new"


@pytest.mark.parametrize(
    ("place", "error"),
    [
        ("missing/file", FileNotFoundError),
        ("file/file", NotADirectoryError),
        ("folder", IsADirectoryError),
    ],
)
def test_a_place_that_cannot_be_written(tmp_path: Path, place: str, error: type[OSError]) -> None:
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(error):
        replace_file(tmp_path / place, b"new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_a_file_that_cannot_be_written_is_one_sentence_with_what_to_do(tmp_path: Path) -> None:
    place = tmp_path / "missing" / "file"
    with pytest.raises(InputError, match=r"^cannot write .*file: No such file or directory$"):
        write_file(place, b"new")
    with (
        pytest.raises(ExportError, match=r"^cannot store it: No such file or directory; make it$"),
        file_errors("store it", ExportError, "make it"),
    ):
        replace_file(place, b"new")

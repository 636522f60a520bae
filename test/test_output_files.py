# SPDX-License-Identifier: Apache-2.0
"""A file is replaced as a whole or left as it was, and nothing lies about beside it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mtinet_ros.errors import ConfigurationError, ExportError, InputError
from mtinet_ros.output_files import (
    ResultFolder,
    check_target,
    file_errors,
    replace_file,
    write_file,
)


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


def test_a_second_run_knows_its_own_files_and_no_others(tmp_path: Path) -> None:
    (tmp_path / "theirs.png").write_bytes(b"theirs")
    first = ResultFolder(tmp_path)
    first.write("ours.png", b"first")
    second = ResultFolder(tmp_path)
    second.check(["ours.png", "new.png"])
    second.write("ours.png", b"second")
    with pytest.raises(ConfigurationError, match=r"^theirs.png in .* would be overwritten"):
        second.write("theirs.png", b"lost")
    (tmp_path / "ours.png").write_bytes(b"corrected by hand")
    with pytest.raises(ConfigurationError, match=r"^ours.png in .* changed since"):
        ResultFolder(tmp_path).check(["ours.png", "new.png"])
    assert (tmp_path / "theirs.png").read_bytes() == b"theirs"
    assert (tmp_path / "ours.png").read_bytes() == b"corrected by hand"


def test_a_run_that_was_killed_leaves_no_file_that_the_next_does_not_know(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = ResultFolder(tmp_path)
    results.write("a", b"old")
    record = tmp_path / ResultFolder.RECORD
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            results.write("a", b"new")  # recorded, not written
    with record.open("a") as file:
        file.write('["cut o')  # by a power cut
    with pytest.raises(ConfigurationError):
        ResultFolder(tmp_path).check(["b", "a"])
    (tmp_path / "a").unlink()
    ResultFolder(tmp_path).write("a", b"new")
    ResultFolder(tmp_path).check(["a"])


@pytest.mark.parametrize("name", ["a b", "ä", "line\nbreak", os.fsdecode(b"caf\xe9"), '"'])
def test_a_result_of_any_name_is_known_again(tmp_path: Path, name: str) -> None:
    ResultFolder(tmp_path).write(name, b"x")
    ResultFolder(tmp_path).check([name])


def test_a_named_output_replaces_its_own_kind_only(tmp_path: Path) -> None:
    target = tmp_path / "new" / "report.json"
    check_target(target, lambda path: False)
    assert target.parent.is_dir()
    target.touch()  # as mktemp does
    check_target(target, lambda path: False)
    target.write_text("{}")
    check_target(target, lambda path: path == target)
    with pytest.raises(ConfigurationError, match=r"was not written by mtinet"):
        check_target(target, lambda path: False)
    with pytest.raises(ConfigurationError, match=r"was not written by mtinet"):
        check_target(target, lambda path: bool(path.read_text().index("absent")))


def test_a_named_output_that_cannot_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "folder").mkdir()
    for target in (tmp_path / "file" / "x", tmp_path / "folder", Path("/dev/null")):
        with pytest.raises(ConfigurationError, match=r"cannot (write|make)"):
            check_target(target, lambda path: True)


def test_text_of_another_encoding_is_written_as_an_escape(tmp_path: Path) -> None:
    replace_file(tmp_path / "x", os.fsdecode(b"caf\xe9"))
    assert (tmp_path / "x").read_bytes() == b"caf\\udce9"

# SPDX-License-Identifier: Apache-2.0
"""Bags that are cut off, damaged, incomplete or none: told in a sentence, the rest is read."""

from __future__ import annotations

import contextlib
import io
import os
import random
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.full_disk import full_disk

pytest.importorskip("rosbags")
pytest.importorskip("mcap")
from support.bags import (
    IMAGE,
    SECOND,
    START,
    Recorded,
    a_camera,
    image,
    picture,
    text,
    write_mcap,
    write_ros1,
    write_rosbags,
    write_sqlite,
)

from mtinet_ros.errors import InputError
from mtinet_ros.recordings.bag_source import BagSource
from mtinet_ros.recordings.frame import Interval, RecordedFrame

FRAMES = 8
_ROUNDS = 50  # of random damage
RECORDED = a_camera(FRAMES)


def read(path: Path) -> tuple[list[int], list[str]]:
    """Numbers of the pictures that a bag gives, each whole, and what is told of it.

    A frame that says that it cannot be decoded counts as -1.
    """
    source = BagSource(path)
    try:
        numbers = []
        for frame in source.read(Interval()):
            assert isinstance(frame, RecordedFrame)
            number = round((frame.time - START) / (SECOND // 10))
            try:
                pixels = frame.decode().image
                assert np.array_equal(pixels, picture(number, *pixels.shape[1::-1]))
            except InputError:
                number = -1
            numbers.append(number)
        assert all("\n" not in problem for problem in source.problems)
        return numbers, source.problems
    finally:
        source.close()


def truncated(path: Path, length: int) -> Path:
    cut = path.with_name(f"cut_{path.name}")
    cut.write_bytes(path.read_bytes()[:length])
    return cut


@pytest.mark.parametrize("compression", ["NONE", "ZSTD", "LZ4"])
def test_an_mcap_that_was_cut_off_gives_all_that_came_before(
    tmp_path: Path, compression: str
) -> None:
    from mcap.writer import CompressionType

    recorded = [  # large enough to be packed in several blocks
        Recorded(one.topic, IMAGE, one.time, image(START, picture(number, 160, 120)))
        for number, one in enumerate(RECORDED[::2])
    ]
    path = write_mcap(
        tmp_path / "bag.mcap",
        recorded,
        compression=CompressionType[compression],
        chunk_size=300_000,
    )
    counts = []
    for length in range(path.stat().st_size - 1, 0, -path.stat().st_size // 30):
        try:
            numbers, problems = read(truncated(path, length))
        except InputError as error:
            numbers, problems = [], [str(error)]
        assert numbers == list(range(len(numbers)))
        assert any("cut_bag.mcap" in problem for problem in problems)
        counts.append(len(numbers))
    assert counts[0] == FRAMES  # only the index was lost
    assert counts == sorted(counts, reverse=True)
    assert set(counts) == set(range(FRAMES + 1))  # in two chunks: one that is cut is of use too


def test_messages_outside_of_chunks_that_were_cut_off(tmp_path: Path) -> None:
    path = write_mcap(tmp_path / "bag.mcap", RECORDED, use_chunking=False)
    numbers, problems = read(truncated(path, path.stat().st_size * 2 // 3))
    assert 3 <= len(numbers) < FRAMES
    assert numbers == list(range(len(numbers)))
    assert any("breaks off" in problem for problem in problems)


@pytest.mark.parametrize("compression", ["NONE", "ZSTD", "LZ4"])
def test_a_damaged_chunk_costs_no_other(tmp_path: Path, compression: str) -> None:
    from mcap.writer import CompressionType

    path = write_mcap(
        tmp_path / "bag.mcap", RECORDED, chunk_size=600, compression=CompressionType[compression]
    )
    content = bytearray(path.read_bytes())
    assert read(path) == (list(range(FRAMES)), [])
    content[len(content) // 2 - 300] ^= 0x10
    path.write_bytes(content)
    numbers, problems = read(path)
    assert len(numbers) == FRAMES - 1
    assert sorted(numbers) == numbers
    (problem,) = problems
    assert "is damaged at byte" in problem
    assert "2 messages are left out" in problem or "1 messages are left out" in problem


WRITERS: dict[str, Callable[[Path], Path]] = {
    "mcap": lambda folder: write_mcap(folder / "bag.mcap", RECORDED, chunk_size=2500),
    "mcap without chunks": lambda folder: write_mcap(
        folder / "bag.mcap", RECORDED, use_chunking=False
    ),
    "sqlite": lambda folder: write_sqlite(folder / "bag.db3", RECORDED),
    "ros 1": lambda folder: write_ros1(folder / "bag.bag", RECORDED),
    "zstd": lambda folder: next(
        write_rosbags(folder / "bag", RECORDED, compression="file").glob("*.zstd")
    ),
}


@pytest.mark.parametrize("write", list(WRITERS.values()), ids=list(WRITERS))
def test_no_damage_is_more_than_a_sentence(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    """Bytes that changed, are zero, or are gone: frames, or a sentence, never a crash."""
    path = write(tmp_path)
    content = path.read_bytes()
    damaged = tmp_path / f"damaged{path.suffix}"
    chance = random.Random(5)
    whole = 0
    for _ in range(_ROUNDS):
        changed = bytearray(content)
        at, length = chance.randrange(len(content)), chance.choice([1, 1, 4, 64, 600])
        kind = chance.choice(["flip", "zero", "cut", "gone"])
        if kind == "flip":
            for place in range(at, min(at + length, len(content))):
                changed[place] ^= 1 << chance.randrange(8)
        elif kind == "zero":
            changed[at : at + length] = bytes(len(changed[at : at + length]))
        else:
            del changed[at : at + length if kind == "gone" else None]
        damaged.write_bytes(changed)
        source = None
        with contextlib.suppress(InputError):
            source = BagSource(damaged)
            for frame in source.read(Interval(), with_other_messages=True):
                if isinstance(frame, RecordedFrame):
                    whole += 1
                    with contextlib.suppress(InputError):
                        frame.decode()
        if source is not None:
            source.close()
    assert whole > _ROUNDS


def test_an_sqlite_file_that_was_cut_off_gives_what_is_left(tmp_path: Path) -> None:
    recorded = a_camera(60)
    path = write_sqlite(tmp_path / "bag.db3", recorded)
    numbers, problems = read(truncated(path, path.stat().st_size * 3 // 4))
    whole = [number for number in numbers if number >= 0]
    assert 20 < len(whole) < 60
    assert sorted(whole) == whole
    assert any("is damaged or was cut off" in problem for problem in problems)


def test_an_sqlite_file_whose_recorder_was_killed(tmp_path: Path) -> None:
    """What lies in the write-ahead log is read, and nothing beside the source is touched."""
    folder = tmp_path / "bag"
    folder.mkdir()
    path = folder / "bag_0.db3"
    recorder = sqlite3.connect(path)
    recorder.execute("PRAGMA journal_mode = WAL")
    recorder.execute("PRAGMA wal_autocheckpoint = 0")
    write_sqlite(path, RECORDED, connection=recorder)
    killed = tmp_path / "killed"
    shutil.copytree(folder, killed)
    recorder.close()
    before = {entry.name: entry.read_bytes() for entry in killed.iterdir()}
    assert before["bag_0.db3-wal"]
    numbers, problems = read(killed)
    assert numbers == list(range(FRAMES))
    assert any("was not closed by its recorder" in problem for problem in problems)
    assert any("has no metadata.yaml" in problem for problem in problems)
    assert {entry.name: entry.read_bytes() for entry in killed.iterdir()} == before


@pytest.mark.parametrize(
    ("limit", "sentence"),
    [
        (4000, r"was not closed by its recorder, and cannot be copied into {place} with what "
         r"belongs to it \(0\.0 MB\): File too large; choose a place with more room by .* TMPDIR"),
        # The files have room, what SQLite makes beside them has not.
        (30_000, r"cannot be read as a bag of rosbag2 from its copy in {place}/mtinet_bag_\w+: "
         r"SQLite says: .*; if there is no room, choose a place with more room by .* TMPDIR"),
    ],
)  # fmt: skip
def test_a_place_without_room_for_a_copy_is_a_sentence_and_left_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int, sentence: str
) -> None:
    path = tmp_path / "bag.db3"
    recorder = sqlite3.connect(path)
    recorder.execute("PRAGMA page_size = 512")
    recorder.execute("PRAGMA journal_mode = WAL")
    recorder.execute("PRAGMA wal_autocheckpoint = 0")
    write_sqlite(path, RECORDED[:2], connection=recorder)
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    assert 4000 < path.with_name("bag.db3-wal").stat().st_size < 30_000
    with full_disk(limit), pytest.raises(InputError) as caught:
        BagSource(path)
    assert re.search(sentence.format(place=place), str(caught.value))
    assert list(place.iterdir()) == []
    recorder.close()


@pytest.mark.parametrize("was_closed", [True, False])
def test_a_path_too_long_for_sqlite_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, was_closed: bool
) -> None:
    deep = tmp_path.joinpath(*["x" * 200] * 3)
    deep.mkdir(parents=True)
    path = write_sqlite(tmp_path / "drive.db3", a_camera())
    if was_closed:
        path = path.rename(deep / path.name)
    else:
        path.with_name("drive.db3-wal").write_bytes(b"not committed")
        monkeypatch.setattr(tempfile, "tempdir", str(deep))
    with pytest.raises(InputError, match="unable to open database file; it opens no path of more"):
        BagSource(path)
    assert os.listdir(deep) == (["drive.db3"] if was_closed else [])


def test_a_transaction_that_was_not_finished_is_no_part_of_the_bag(tmp_path: Path) -> None:
    path = write_sqlite(tmp_path / "bag.db3", RECORDED)
    recorder = sqlite3.connect(path)
    recorder.execute("PRAGMA cache_size = 1")  # so that pages are written before the end
    recorder.execute("BEGIN")
    recorder.execute("UPDATE messages SET data = zeroblob(4000)")
    killed = tmp_path / "killed"
    killed.mkdir()
    for name in ("bag.db3", "bag.db3-journal"):
        shutil.copy(tmp_path / name, killed / name)
    recorder.rollback()
    recorder.close()
    assert (killed / "bag.db3-journal").stat().st_size > 0
    numbers, problems = read(killed)
    assert numbers == list(range(FRAMES))
    assert any("bag.db3-journal" in problem for problem in problems)


def test_reading_writes_nothing_beside_the_source(tmp_path: Path) -> None:
    for name, storage, compression in (
        ("a", "mcap", "file"), ("b", "sqlite3", "file"), ("c", "sqlite3", "none"),
    ):  # fmt: skip
        write_rosbags(tmp_path / name, RECORDED, storage, 9, compression)
    closed_wal = sqlite3.connect(tmp_path / "c" / "c.db3")
    closed_wal.execute("PRAGMA journal_mode = WAL")  # its header keeps saying so
    closed_wal.close()

    def listing() -> dict[str, tuple[int, int]]:
        return {
            str(entry): (entry.stat().st_size, entry.stat().st_mtime_ns)
            for entry in tmp_path.rglob("*")
        }

    before = listing()
    for name in "abc":
        source = BagSource(tmp_path / name)
        assert len(list(source.read(Interval()))) == FRAMES
        assert listing() == before
        source.close()


def test_a_message_that_is_none_is_one_bad_frame(tmp_path: Path) -> None:
    recorded = list(RECORDED)
    recorded[4] = Recorded("/front/image_raw", IMAGE, recorded[4].time, b"\0\1\0\0no image")
    recorded[7] = Recorded(
        "/front/camera_info", recorded[7].type_name, recorded[7].time, b"\0\1\0\0no info"
    )
    numbers, problems = read(write_mcap(tmp_path / "bag.mcap", recorded))
    assert numbers == [0, 1, -1, 3, 4, 5, 6, 7]
    assert any("/front/camera_info: a message of" in problem for problem in problems)


def test_a_message_whose_compression_is_damaged_is_one_bad_frame(tmp_path: Path) -> None:
    path = write_rosbags(tmp_path / "bag", RECORDED, "sqlite3", 9, "message")
    database = sqlite3.connect(path / "bag.db3")
    (data,) = database.execute("SELECT data FROM messages WHERE id = 1").fetchone()
    database.execute("UPDATE messages SET data = ? WHERE id = 1", (data[:300],))
    database.commit()
    database.close()
    assert read(path)[0] == [-1, *range(1, FRAMES)]


def folder_with(path: Path, **files: bytes | str) -> Path:
    path.mkdir()
    for name, content in files.items():
        file = path / name.replace("__", ".")
        file.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def other_serialization(tmp_path: Path) -> Path:
    return write_mcap(tmp_path / "bag.mcap", RECORDED, message_encoding="protobuf")


def of_another_plugin(tmp_path: Path) -> Path:
    return folder_with(
        tmp_path / "bag",
        metadata__yaml="rosbag2_bagfile_information: {version: 9, storage_identifier: rocksdb, "
        "relative_file_paths: [bag_0.rdb]}",
    )


def without_its_files(tmp_path: Path) -> Path:
    path = write_rosbags(tmp_path / "bag", RECORDED)
    (path / "bag.mcap").unlink()
    return path


def of_bags(tmp_path: Path) -> Path:
    write_rosbags(tmp_path / "drives" / "monday", RECORDED)
    return tmp_path / "drives"


def database_of_something_else(tmp_path: Path) -> Path:
    with sqlite3.connect(tmp_path / "x.db3") as database:
        database.execute("CREATE TABLE addresses(id INTEGER)")
    return tmp_path / "x.db3"


def empty_database(tmp_path: Path) -> Path:
    return write_sqlite(tmp_path / "bag.db3", [])


def damaged_zstd(tmp_path: Path) -> Path:
    path = write_rosbags(tmp_path / "bag", RECORDED, compression="file")
    packed = path / "bag.mcap.zstd"
    packed.write_bytes(packed.read_bytes()[:4] + b"damage")
    return path


def a_file(name: str, content: bytes) -> Callable[[Path], Path]:
    def make(tmp_path: Path) -> Path:
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    return make


def a_folder(**files: bytes | str) -> Callable[[Path], Path]:
    return lambda tmp_path: folder_with(tmp_path / "bag", **files)


# What cannot be read at all, and what is said.
REFUSED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "nothing": (lambda tmp_path: tmp_path / "none", "none does not exist; give a bag's folder"),
    "an empty folder": (a_folder(), "is no bag: it has no metadata.yaml, and no files .mcap"),
    "a folder of pictures": (a_folder(a__jpg="x"), "is no bag: it has no metadata.yaml, and no"),
    "a folder of bags": (of_bags, "is no bag, it holds bags; give one of them: monday"),
    "an empty file": (a_file("x.mcap", b""), "x.mcap is empty"),
    "text": (a_file("x.mcap", b"hello"), "x.mcap is no bag: it is neither MCAP nor SQLite"),
    "git-lfs": (
        a_file("x.db3", b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n"),
        "x.db3 is a git-LFS pointer",
    ),
    "a web page": (a_file("x.mcap", b"<!doctype html><title>Sign in</title>"), "is a web page"),
    "mcap's first bytes alone": (a_file("x.mcap", b"\x89MCAP0\r\n"), "x.mcap is an empty bag"),
    "another database": (database_of_something_else, "is a database, but no bag of rosbag2"),
    "no messages": (empty_database, "bag.db3 is an empty bag: it holds no messages"),
    "half of an SQLite header": (a_file("x.db3", b"SQLite format 3\0xx"), "SQLite says: "),
    "a bag of ROS 1 cut off": (
        a_file("x.bag", b"#ROSBAG V2.0\n" + bytes(9)),
        "cannot be read as a bag of ROS 1: .*`rosbag reindex`",
    ),
    "protobuf": (other_serialization, "holds messages in 'protobuf'; only CDR"),
    "another storage plugin": (of_another_plugin, "with the storage 'rocksdb'; mcap and sqlite3"),
    "metadata alone": (without_its_files, "is a bag without its files: bag.mcap; copy them"),
    "metadata that are no YAML, alone": (a_folder(metadata__yaml="a: [b"), "yaml is no YAML"),
    "metadata of something else": (a_folder(metadata__yaml="a: 1"), "has no rosbag2_bagfile_inf"),
    "damaged zstd": (damaged_zstd, "bag.mcap.zstd holds nothing that could be unpacked"),
    "no images": (
        lambda tmp_path: write_sqlite(
            tmp_path / "bag.db3", [Recorded("/words", "std_msgs/msg/String", 1, text("a"))]
        ),
        "holds no images .*; its topics: /words",
    ),
}


@pytest.mark.parametrize(("make", "sentence"), list(REFUSED.values()), ids=list(REFUSED))
def test_what_is_no_bag_is_called_what_it_is(
    tmp_path: Path, make: Callable[[Path], Path], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence) as caught:
        BagSource(make(tmp_path))
    assert "\n" not in str(caught.value)


def edit(path: Path, old: str, new: str) -> None:
    metadata = path / "metadata.yaml"
    content = metadata.read_text()
    assert old in content
    metadata.write_text(content.replace(old, new))


def split(path: Path) -> None:
    """In two files, of which metadata.yaml tells."""
    (path / "bag.mcap").unlink()
    write_mcap(path / "bag_0.mcap", RECORDED[:8])
    write_mcap(path / "bag_1.mcap", RECORDED[8:])
    edit(path, "- bag.mcap\n", "- bag_0.mcap\n  - bag_1.mcap\n")


def without_the_second(path: Path) -> None:
    split(path)
    (path / "bag_1.mcap").unlink()


def with_an_empty_second(path: Path) -> None:
    split(path)
    (path / "bag_1.mcap").write_bytes(b"")


# What is done to a bag of rosbags, the frames that are left, and what is told.
TOLERATED: dict[str, tuple[Callable[[Path], object], int, list[str]]] = {
    "nothing": (lambda path: None, 8, []),
    "split": (split, 8, []),
    "no metadata": (lambda path: (path / "metadata.yaml").unlink(), 8, ["has no metadata.yaml"]),
    "metadata that are no YAML": (
        lambda path: edit(path, "compression_mode: ", "}{"),
        8,
        ["is no YAML (line "],
    ),
    "a version of the future": (
        lambda path: edit(path, "version: 9", "version: 12"),
        8,
        ["is of version 12, and up to 9 is known"],
    ),
    "a wrong number of messages": (
        lambda path: edit(path, "message_count: 16", "message_count: 21"),
        8,
        ["has 16 messages, and its metadata.yaml says 21"],
    ),
    "a wrong beginning": (
        lambda path: edit(path, "epoch: 1700000000001000000", "epoch: 1600000000001000000"),
        8,
        ["begins at 1700000000.001 s, and its metadata.yaml says 1600000000.001 s"],
    ),
    "unpacked by hand": (
        lambda path: edit(path, "- bag.mcap\n", "- bag.mcap.zstd\n"),
        8,
        [],
    ),
    "a wrong plugin": (
        lambda path: edit(path, "storage_identifier: mcap", "storage_identifier: sqlite3"),
        8,
        [],
    ),
    "a wrong compression": (
        lambda path: edit(path, "compression_mode: ''", "compression_mode: MESSAGE"),
        8,
        [],
    ),
    "a wrong serialization": (
        lambda path: edit(path, "serialization_format: cdr", "serialization_format: other"),
        8,
        [],
    ),
    "a missing file": (
        without_the_second,
        4,
        ["lacks bag_1.mcap, of 2 files that metadata.yaml lists"],
    ),
    "an empty file": (
        with_an_empty_second,
        4,
        [
            "bag_1.mcap is empty (0 bytes): its recorder never wrote to it, or it was cut off; "
            "the other files were read"
        ],
    ),
    "a file that is not listed": (
        lambda path: shutil.copy(path / "bag.mcap", path / "bag_1.mcap"),
        8,
        ["does not list, and they were left out: bag_1.mcap"],
    ),
}


@pytest.mark.parametrize(("change", "frames", "told"), list(TOLERATED.values()), ids=TOLERATED)
def test_what_is_wrong_with_a_bag_is_told_and_the_rest_read(
    tmp_path: Path, change: Callable[[Path], object], frames: int, told: list[str]
) -> None:
    path = write_rosbags(tmp_path / "bag", RECORDED)
    change(path)
    numbers, problems = read(path)
    assert numbers == list(range(frames))
    assert len(problems) == len(told), problems
    for part in told:
        assert any(part in problem for problem in problems)


def test_compressed_files_are_unpacked_few_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    folder = tmp_path / "bag"
    folder.mkdir()
    for number in range(FRAMES):
        packed = write_rosbags(
            tmp_path / f"bag_{number}", RECORDED[2 * number : 2 * number + 2], compression="file"
        )
        shutil.move(packed / f"bag_{number}.mcap.zstd", folder)
    source = BagSource(folder)
    numbers = []
    for frame in source.read(Interval()):
        assert len(list(temporary.iterdir())) <= 3
        numbers.append(round((frame.time - START) / (SECOND // 10)))
    assert numbers == list(range(FRAMES))
    source.close()
    assert list(temporary.iterdir()) == []


def test_a_disk_without_room_for_what_is_compressed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_rosbags(tmp_path / "bag", RECORDED, compression="file")

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(InputError, match="No space left on device; choose a place with more room"):
        BagSource(path)


@pytest.mark.parametrize("name", ["bag.mcap", "bag.bag"])
def test_a_disk_that_fails_is_not_taken_for_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """What it does not give now it may give later, unlike what is damaged."""
    write = write_mcap if name == "bag.mcap" else write_ros1
    source = BagSource(write(tmp_path / name, RECORDED))
    items = source.read(Interval())
    storage = source._files._storages[0]

    class FailingFile:
        def seek(self, place: int) -> None:
            raise OSError(5, "Input/output error")

    if name == "bag.mcap":
        monkeypatch.setattr(storage, "_file", FailingFile())
    else:
        reader = storage._reader  # type: ignore[attr-defined]
        monkeypatch.setattr(reader, "bio", FailingFile())
        monkeypatch.setattr(reader, "current_chunk", (-1, io.BytesIO()))
    with pytest.raises(InputError, match=r"cannot read .*: Input/output error") as caught:
        list(items)
    assert isinstance(caught.value.__cause__, OSError)


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_mcap(tmp_path / "bag.mcap", RECORDED)
    whole_open = Path.open

    def refuse(self: Path, *arguments: object, **options: object) -> object:
        if self == path:
            raise PermissionError(13, "Permission denied")
        return whole_open(self, *arguments, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InputError, match=r"cannot read .*bag.mcap: Permission denied"):
        BagSource(path)


def test_other_serializations_beside_are_told(tmp_path: Path) -> None:
    path = write_mcap(tmp_path / "a.mcap", RECORDED)
    folder = tmp_path / "bag"
    folder.mkdir()
    shutil.move(path, folder / "a.mcap")
    words = [Recorded("/words", "std_msgs/msg/String", START, text("a"))]
    write_mcap(folder / "b.mcap", words, message_encoding="json")
    numbers, problems = read(folder)
    assert numbers == list(range(FRAMES))
    assert any("in 'json', which cannot be read and were left out: /words" in p for p in problems)


@pytest.mark.parametrize("place", ["?x#y%20 z", "ü"])
def test_names_of_folders_that_mean_something_in_an_address(tmp_path: Path, place: str) -> None:
    (tmp_path / place).mkdir()
    assert read(write_sqlite(tmp_path / place / "b#.db3", RECORDED))[0] == list(range(FRAMES))

# SPDX-License-Identifier: Apache-2.0
"""MATLAB files are read as they were meant, and damaged ones cost no more than a sentence."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from support.mat_writer import write_mat

from mtinet_ros.datasets.mat_file import read_mat
from mtinet_ros.errors import DataError

PICTURE = np.arange(6, dtype=np.uint16).reshape(2, 3) * 70


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("packed", [True, False])
def test_numbers_text_and_structs_of_either_byte_order(
    tmp_path: Path, packed: bool, order: str
) -> None:
    people = [{"name": "Zoë", "age": np.float64(41)}, {"name": "", "age": np.int64(-7)}]
    path = tmp_path / "a.mat"
    write_mat(path, packed=packed, order=order, first=PICTURE, people=people, none=[])
    np.testing.assert_array_equal(read_mat(path, "first"), PICTURE)
    found = read_mat(path, "people")
    assert [person["name"] for person in found] == ["Zoë", ""]
    assert [person["age"].tolist() for person in found] == [[[41.0]], [[-7]]]
    assert read_mat(path, "none") == []


def test_a_file_by_the_letter_of_the_description(tmp_path: Path) -> None:
    """A 1x2 array of doubles `x`, stored as bytes in a small element, as MATLAB saves room."""
    matrix = bytes.fromhex(
        "0e000000 28000000"  # an array of 40 bytes
        "06000000 08000000 06000000 00000000"  # flags: of doubles
        "05000000 08000000 01000000 02000000"  # one row, two columns
        "01000100 78000000"  # its name, x
    ) + bytes.fromhex("02000200 03090000")  # 3 and 9
    matrix = matrix[:4] + (len(matrix) - 8).to_bytes(4, "little") + matrix[8:]
    header = b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM"
    (tmp_path / "x.mat").write_bytes(header + matrix)
    assert read_mat(tmp_path / "x.mat", "x").tolist() == [[3, 9]]


@pytest.mark.parametrize("packed", [True, False])
def test_scipy_reads_the_same(tmp_path: Path, packed: bool) -> None:
    io = pytest.importorskip("scipy.io")
    inside = np.zeros((1, 2), [("part_name", object), ("mask", object)])
    inside[0, 0], inside[0, 1] = ("lhand", PICTURE), ("torso", PICTURE > 100)
    cells = np.array(["a", np.eye(2)], object)
    path = tmp_path / "a.mat"
    io.savemat(path, {"anno": inside, "c": cells, "e": np.zeros((0, 0))}, do_compression=packed)
    found = read_mat(path, "anno")
    assert [part["part_name"] for part in found] == ["lhand", "torso"]
    np.testing.assert_array_equal(found[0]["mask"], PICTURE)
    np.testing.assert_array_equal(found[1]["mask"] != 0, PICTURE > 100)
    text, square = read_mat(path, "c")
    assert text == "a"
    np.testing.assert_array_equal(square, np.eye(2))
    assert read_mat(path, "e").shape == (0, 0)
    write_mat(path, packed=packed, anno=[{"name": "Zoe", "mask": PICTURE}])
    theirs = io.loadmat(path, simplify_cells=True)["anno"]
    assert theirs["name"] == "Zoe"
    np.testing.assert_array_equal(theirs["mask"], PICTURE)


def test_no_damage_ends_the_process(tmp_path: Path) -> None:
    """What SciPy 1.17 does on some of these: it crashes."""
    good = tmp_path / "good.mat"
    people = [{"parts": [{"name": "head", "mask": PICTURE}], "number": np.float64(15)}]
    write_mat(good, packed=False, anno=people)
    content = good.read_bytes()
    chance = random.Random(7)
    path = tmp_path / "bad.mat"
    messages = []
    for _ in range(400):
        bad = bytearray(content)
        for _ in range(chance.choice((1, 2, 5))):
            bad[chance.randrange(124, len(bad))] = chance.randrange(256)
        path.write_bytes(bad[: chance.choice((len(bad), chance.randrange(len(bad))))])
        try:
            read_mat(path, "anno")
        except DataError as error:
            messages.append(str(error))
    assert len(messages) > 200
    assert all(message.startswith(str(path)) for message in messages)
    assert not any("\n" in message for message in messages)


def endless(path: Path) -> None:
    """A struct in a struct, 40 deep."""
    value: object = PICTURE
    for _ in range(40):
        value = [{"inside": value}]
    write_mat(path, x=value)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda p: p.write_bytes(b""), r"is no MATLAB file of version 5 to 7 \(0 bytes\)"),
        (lambda p: p.write_bytes(b"\x89HDF\r\n" * 40), "is no MATLAB file of version 5 to 7"),
        (lambda p: p.write_bytes(p.read_bytes()[:-9]), "damaged MATLAB file .9 bytes are missing"),
        (lambda p: p.write_bytes(p.read_bytes()[:128]), "has no variable x"),
        (lambda p: write_mat(p, y=PICTURE), "has no variable x; copy the file again"),
        (endless, "structs in structs without end"),
        (lambda p: p.unlink(), "cannot be read"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file_is_said(tmp_path: Path, spoil: object, sentence: str) -> None:
    path = tmp_path / "a.mat"
    write_mat(path, x=PICTURE)
    spoil(path)  # type: ignore[operator]
    with pytest.raises(DataError, match=sentence):
        read_mat(path, "x")


def test_a_size_that_lies_takes_no_memory(tmp_path: Path) -> None:
    """Dimensions of 2^31 by 2^31 over six numbers."""
    path = tmp_path / "a.mat"
    write_mat(path, packed=False, x=PICTURE)
    shape = np.array(PICTURE.shape, "<i4").tobytes()
    assert path.read_bytes().count(shape) == 1
    path.write_bytes(path.read_bytes().replace(shape, b"\xff\xff\xff\x7f" * 2))
    with pytest.raises(DataError, match="6 numbers for dimensions"):
        read_mat(path, "x")

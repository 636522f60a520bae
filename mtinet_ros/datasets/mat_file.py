# SPDX-License-Identifier: Apache-2.0
"""MATLAB files of versions 5 to 7, as far as data sets need (MathWorks, "MAT-File Format").

SciPy reads them too, but ends the whole process on some damaged ones.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mtinet_ros.datasets.truth_files import read_content
from mtinet_ros.errors import DataError

_HEADER = 128
_BYTE_ORDERS = {b"IM": "<", b"MI": ">"}
_NUMBERS = {
    1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8",
}  # fmt: skip
"""Types of numbers in the file, table 1-1."""
_CHARACTERS = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
_MATRIX, _COMPRESSED = 14, 15
_CELL, _STRUCT, _TEXT = 1, 2, 4
_NUMERIC = range(6, 16)
"""Classes of arrays, table 1-3."""
_COMPLEX = 0x800
_DEEPEST = 16
_LARGEST = 2**28
"""Bytes of an unpacked variable; pictures have a few millions."""


def read_mat(path: Path, name: str) -> Any:
    """A variable of a MATLAB file.

    Args:
        path: The file.
        name: Of the variable.

    Returns:
        Numbers as an array of the variable's dimensions, text as str, an array of structs as a
        list of dictionaries, cells as a list; both lists column by column.

    Raises:
        DataError: The file is damaged, of another format, or lacks the variable.
    """
    content = read_content(path)
    order = _BYTE_ORDERS.get(content[_HEADER - 2 : _HEADER], "")
    if not order or content[:4] == b"\0\0\0\0":
        raise DataError(
            f"{path} is no MATLAB file of version 5 to 7 ({len(content)} bytes); copy the file "
            "again"
        )
    try:
        for kind, data in _elements(memoryview(content)[_HEADER:], order):
            if kind == _COMPRESSED:
                (kind, data), *_ = _elements(memoryview(_unpacked(data)), order)
            if kind == _MATRIX and _Matrix(data, order).name == name:
                return _Matrix(data, order).value()
    except (ValueError, struct.error, zlib.error, OverflowError) as error:
        raise DataError(
            f"{path} is a damaged MATLAB file ({error}); copy the file again"
        ) from error
    raise DataError(f"{path} has no variable {name}; copy the file again")


def _unpacked(data: memoryview) -> bytes:
    unpacker = zlib.decompressobj()
    unpacked = unpacker.decompress(data, _LARGEST)
    if not unpacker.eof:
        raise ValueError("a variable is cut short or huge")
    return unpacked


def _elements(data: memoryview, order: str) -> Iterator[tuple[int, memoryview]]:
    """Type and content of each data element."""
    at = 0
    while at < len(data):
        if at + 8 > len(data):
            raise ValueError(f"{len(data) - at} bytes are left over")
        kind, size = struct.unpack_from(order + "II", data, at)
        begin = at + 8
        if kind >> 16:  # small: size and type in four bytes, content in the next four
            kind, size, begin = kind & 0xFFFF, kind >> 16, at + 4
            if size > 4:
                raise ValueError(f"a small element has {size} bytes")
        if begin + size > len(data):
            raise ValueError(f"{begin + size - len(data)} bytes are missing")
        yield kind, data[begin : begin + size]
        at = begin + size if kind == _COMPRESSED else -(-(begin + size) // 8) * 8


class _Matrix:
    """An array element: its head, and its value on demand."""

    def __init__(self, data: memoryview, order: str, depth: int = 0) -> None:
        if depth > _DEEPEST:
            raise ValueError("structs in structs without end")
        self._order, self._depth = order, depth
        self._parts = _elements(data, order)
        self.name = ""
        self.is_empty = not len(data)
        if self.is_empty:
            return
        flags = int(self._head()[0])
        self._kind = flags & 0xFF
        if flags & _COMPLEX:
            raise ValueError("an array of complex numbers")
        self._dimensions = [int(n) for n in self._head()]
        if min(self._dimensions) < 0:
            raise ValueError(f"an array of dimensions {self._dimensions}")
        self._count = math.prod(self._dimensions)
        self.name = self._text()

    def value(self) -> Any:
        """See `read_mat`."""
        if self.is_empty:
            return np.zeros((0, 0))
        if self._kind in _NUMERIC:
            numbers = self._numbers()
            if len(numbers) != self._count:
                raise ValueError(f"{len(numbers)} numbers for dimensions {self._dimensions}")
            return numbers.reshape(self._dimensions, order="F")
        if self._kind == _TEXT:
            return self._text()
        if self._kind == _CELL:
            return [self._inner() for _ in range(self._count)]
        if self._kind != _STRUCT:
            raise ValueError(f"an array of class {self._kind}, which is not read here")
        names = self._field_names()
        if not names:
            return []
        return [{name: self._inner() for name in names} for _ in range(self._count)]

    def _field_names(self) -> list[str]:
        length = int(self._head()[0])
        kind, data = self._next()
        if length < 1 or len(data) % length or kind not in (1, 2):
            raise ValueError(f"names of fields of {length} bytes")
        joined = bytes(data)
        return [
            joined[at : at + length].split(b"\0")[0].decode("latin-1")
            for at in range(0, len(joined), length)
        ]

    def _inner(self) -> Any:
        kind, data = self._next()
        if kind != _MATRIX:
            raise ValueError(f"an element of type {kind} in place of an array")
        return _Matrix(data, self._order, self._depth + 1).value()

    def _numbers(self) -> Any:
        kind, data = self._next()
        if kind not in _NUMBERS:
            raise ValueError(f"an element of type {kind} in place of numbers")
        return np.frombuffer(data, self._order + _NUMBERS[kind])

    def _head(self) -> Any:
        numbers = self._numbers()
        if not numbers.size or numbers.dtype.kind == "f":
            raise ValueError("an array without flags, dimensions or lengths")
        return numbers

    def _text(self) -> str:
        kind, data = self._next()
        if kind not in _CHARACTERS:
            raise ValueError(f"an element of type {kind} in place of text")
        encoding = _CHARACTERS[kind]
        if encoding in ("utf-16", "utf-32"):
            encoding += "-le" if self._order == "<" else "-be"
        return bytes(data).decode(encoding)

    def _next(self) -> tuple[int, memoryview]:
        part = next(self._parts, None)
        if part is None:
            raise ValueError("an array is cut short")
        return part

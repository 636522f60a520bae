# SPDX-License-Identifier: Apache-2.0
"""Small MATLAB files of version 5, for tests; as MathWorks describes them."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np

# By dtype: the type of a data element, and the class of an array.
TYPES = {"int8": (1, 8), "uint8": (2, 9), "int16": (3, 10), "uint16": (4, 11), "int32": (5, 12),
         "int64": (12, 14), "float64": (9, 6)}  # fmt: skip


def element(kind: int, data: bytes, order: str = "<", *, small: bool = False) -> bytes:
    if small:
        assert len(data) <= 4
        return struct.pack(order + "I", len(data) << 16 | kind) + data.ljust(4, b"\0")
    return struct.pack(order + "II", kind, len(data)) + data + bytes(-len(data) % 8)


def array(name: str, value: object, order: str = "<") -> bytes:
    """A matrix element: numbers, text, or a row of structs."""
    if isinstance(value, str):
        kind, shape = 4, (1, len(value))
        content = element(4, value.encode("utf-16-le" if order == "<" else "utf-16-be"), order)
    elif isinstance(value, list):
        kind, shape = 2, (1, len(value))
        fields = list(value[0]) if value else ["parts"]
        content = element(5, struct.pack(order + "i", 32), order, small=True)
        content += element(1, b"".join(field.encode().ljust(32, b"\0") for field in fields), order)
        content += b"".join(array("", row[field], order) for row in value for field in fields)
    else:
        numbers = np.asarray(value)
        numbers = numbers.reshape(1, 1) if not numbers.ndim else numbers
        number, kind = TYPES[numbers.dtype.name]
        shape = numbers.shape
        data = numbers.astype(numbers.dtype.newbyteorder(order)).tobytes(order="F")
        content = element(number, data, order)
    head = element(6, struct.pack(order + "II", kind, 0), order)
    head += element(5, struct.pack(f"{order}{len(shape)}i", *shape), order)
    title = name.encode()
    head += element(1, title, order, small=0 < len(title) <= 4)
    return element(14, head + content, order)


def write_mat(path: Path, *, packed: bool = True, order: str = "<", **content: object) -> None:
    """Write variables; `packed`: as MATLAB 7 does, each compressed."""
    elements = [array(name, value, order) for name, value in content.items()]
    if packed:
        packages = map(zlib.compress, elements)
        elements = [struct.pack(order + "II", 15, len(data)) + data for data in packages]
    header = b"MATLAB 5.0 MAT-file, made by a test".ljust(124)
    header += struct.pack(order + "H", 0x0100) + (b"IM" if order == "<" else b"MI")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(header + b"".join(elements))

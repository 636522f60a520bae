# SPDX-License-Identifier: Apache-2.0
"""What an ONNX file says before it is loaded: metadata, operators, and a fingerprint of its graph.

Read from the bytes, without the onnx package, which a robot has not.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mtinet_ros.errors import ModelError
from mtinet_ros.file_kinds import mistaken_kind
from mtinet_ros.output_files import file_errors

# ONNX is protobuf; https://github.com/onnx/onnx/blob/main/onnx/onnx.proto numbers the fields.
_MODEL_GRAPH, _MODEL_OPSETS, _MODEL_METADATA, _MODEL_FUNCTIONS = 7, 8, 14, 25
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_SPARSE_INITIALIZER = 1, 5, 15
_FUNCTION_NAME, _FUNCTION_NODE, _FUNCTION_DOMAIN = 1, 7, 10
_NODE_OPERATOR, _NODE_ATTRIBUTE, _NODE_DOMAIN = 4, 5, 7
_ATTRIBUTE_TENSORS, _ATTRIBUTE_GRAPHS, _ATTRIBUTE_SPARSE_TENSORS = (5, 10), (6, 11), (22, 23)
_SPARSE_TENSOR_PARTS = (1, 2)  # values and indices
_TENSOR_EXTERNAL_DATA = 13
_KEY, _VALUE = 1, 2

# Both are names of ONNX's own operators.
STANDARD_DOMAINS = frozenset({"", "ai.onnx"})


@dataclass
class OnnxFile:
    """Content of an ONNX file, less its weights.

    Attributes:
        metadata: Entries that exporters leave for readers.
        fingerprint: sha256 over the graph with its weights, operator sets and functions, as
            hexadecimal digits; not over metadata.
        operators: (domain, operator) of every node, subgraphs and functions included.
        functions: (domain, name) of the functions that the model itself defines, for nodes to use
            as operators.
        external_files: Names of other files that hold weights.
    """

    metadata: dict[str, str] = field(default_factory=dict)
    fingerprint: str = ""
    operators: set[tuple[str, str]] = field(default_factory=set)
    functions: set[tuple[str, str]] = field(default_factory=set)
    external_files: set[str] = field(default_factory=set)

    def foreign_operators(self) -> dict[str, list[str]]:
        """Operators neither ONNX's own nor the model's, by the domain that defines them."""
        foreign: dict[str, list[str]] = {}
        for domain, operator in sorted(self.operators - self.functions):
            if domain not in STANDARD_DOMAINS:
                foreign.setdefault(domain, []).append(operator)
        return foreign

    def called_functions(self) -> list[str]:
        """Functions of the model that some node uses, as `domain.name`."""
        called = sorted(self.operators & self.functions)
        return [f"{domain}.{name}".lstrip(".") for domain, name in called]


def read_onnx_file(path: Path, advice: str = "") -> OnnxFile:
    """Read a file.

    Args:
        path: The file.
        advice: What to do if it cannot be opened, to end the message with.

    Raises:
        ModelError: No such file, not ONNX, or cut short.
    """
    with file_errors(f"read model {path}", ModelError, advice), path.open("rb") as file:
        status = os.fstat(file.fileno())
    return _read(path, status.st_ino, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=8)  # loading asks several times, and weights take a while to digest
def _read(path: Path, inode: int, size: int, modified_ns: int) -> OnnxFile:
    with file_errors(f"read model {path}", ModelError):
        content = path.read_bytes()
    try:
        return parse_onnx(content, str(path))
    except ModelError as error:
        kind = mistaken_kind(path)
        if kind:
            raise ModelError(f"{path} is not an ONNX file: it {kind}") from error
        raise


def parse_onnx(content: bytes | memoryview, name: str) -> OnnxFile:
    """Read the content of a file; `name` is what messages call it. See `read_onnx_file`."""
    view = memoryview(content)
    result = OnnxFile()
    digest = hashlib.sha256()
    has_graph = False
    try:
        for number, value in _fields(view):
            if number == _MODEL_METADATA:
                key, text = _string_entry(value)
                result.metadata[key] = text
            elif number in (_MODEL_GRAPH, _MODEL_OPSETS, _MODEL_FUNCTIONS):
                digest.update(f"{number}:{len(value)}:".encode())
                digest.update(value)
                if number == _MODEL_GRAPH:
                    has_graph = True
                    _read_graph(value, result)
                elif number == _MODEL_FUNCTIONS:
                    _read_function(value, result)
    except (EOFError, ValueError, RecursionError) as error:
        raise ModelError(
            f"{name} is not an ONNX file, or was cut short ({len(view)} bytes); "
            "copy it again or export it again"
        ) from error
    if not has_graph:
        raise ModelError(f"{name} is not an ONNX file (it holds no graph)")
    result.fingerprint = digest.hexdigest()
    return result


def _read_graph(graph: memoryview, result: OnnxFile) -> None:
    for number, value in _fields(graph):
        if number == _GRAPH_NODE:
            _read_node(value, result)
        elif number == _GRAPH_INITIALIZER:
            _read_tensor(value, result)
        elif number == _GRAPH_SPARSE_INITIALIZER:
            _read_sparse_tensor(value, result)


def _read_function(function: memoryview, result: OnnxFile) -> None:
    domain = name = ""
    for number, value in _fields(function):
        if number == _FUNCTION_NAME:
            name = _text(value)
        elif number == _FUNCTION_DOMAIN:
            domain = _text(value)
        elif number == _FUNCTION_NODE:
            _read_node(value, result)
    result.functions.add((domain, name))


def _read_node(node: memoryview, result: OnnxFile) -> None:
    domain = operator = ""
    for number, value in _fields(node):
        if number == _NODE_OPERATOR:
            operator = _text(value)
        elif number == _NODE_DOMAIN:
            domain = _text(value)
        elif number == _NODE_ATTRIBUTE:
            for part, inner in _fields(value):
                if part in _ATTRIBUTE_TENSORS:
                    _read_tensor(inner, result)
                elif part in _ATTRIBUTE_SPARSE_TENSORS:
                    _read_sparse_tensor(inner, result)
                elif part in _ATTRIBUTE_GRAPHS:
                    _read_graph(inner, result)
    result.operators.add((domain, operator))


def _read_sparse_tensor(sparse: memoryview, result: OnnxFile) -> None:
    for number, value in _fields(sparse):
        if number in _SPARSE_TENSOR_PARTS:
            _read_tensor(value, result)


def _read_tensor(tensor: memoryview, result: OnnxFile) -> None:
    for number, value in _fields(tensor):
        if number == _TENSOR_EXTERNAL_DATA:
            key, text = _string_entry(value)
            if key == "location":
                result.external_files.add(text)


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Number and content of the fields that have a length; numbers are passed over.

    Raises:
        EOFError: A field reaches beyond the message.
    """
    at, end = 0, len(message)
    while at < end:
        tag, at = _varint(message, at)
        number, wire_type = divmod(tag, 8)
        if wire_type == 0:
            _, at = _varint(message, at)
            continue
        if wire_type == 2:
            length, at = _varint(message, at)
        else:
            length = {1: 8, 5: 4}.get(wire_type, -1)
        if length < 0 or at + length > end:
            raise EOFError
        if wire_type == 2:
            yield number, message[at : at + length]
        at += length


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """A number, and where the next field begins."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            raise EOFError
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise EOFError


def _string_entry(entry: memoryview) -> tuple[str, str]:
    strings = {number: _text(value) for number, value in _fields(entry)}
    return strings.get(_KEY, ""), strings.get(_VALUE, "")


def _text(value: memoryview) -> str:
    return value.tobytes().decode("utf-8")

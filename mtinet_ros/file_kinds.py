# SPDX-License-Identifier: Apache-2.0
"""What a file is that should hold a model or weights and does not, told from its bytes."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from typing import Any

_HEAD_BYTES = 4096
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_COMPRESSED = (
    (b"\x1f\x8b", "gzip", "gunzip"),
    (b"BZh", "bzip2", "bunzip2"),
    (b"\xfd7zXZ\0", "xz", "unxz"),
    (b"\x28\xb5\x2f\xfd", "zstd", "unzstd"),
    (b"7z\xbc\xaf\x27\x1c", "7-Zip", "7z x"),
    (b"Rar!", "RAR", "unrar x"),
)
_TAR_MAGIC_AT = 257  # POSIX ustar


def mistaken_kind(path: Path) -> str | None:
    """What a file is that cannot be a model or weights, and what to do, as the end of a sentence.

    Args:
        path: A file that can be read.

    Returns:
        What can follow "it", e.g. "is a web page ('Sign in'), …"; None where the bytes are of no
        such kind, so that it is the reader's turn.

    Raises:
        OSError: The file cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if not head:
        return "is empty (0 bytes); download or copy it again"
    for magic, kind, command in _COMPRESSED:
        if head.startswith(magic):
            return (
                f"is compressed with {kind}; unpack it first (`{command}`) and give what is in it"
            )
    if head[_TAR_MAGIC_AT : _TAR_MAGIC_AT + 5] == b"ustar":
        return "is a tar archive; unpack it first (`tar -xf`) and give the weights file in it"
    if head.startswith(b"\x89HDF\r\n"):
        return "is an HDF5 file, as Keras writes them; only weights of PyTorch can be read"
    if head.startswith(b"PK\x03\x04"):
        return _kind_of_zip(path, size)
    return _kind_of_text(path, head, size)


def _kind_of_text(path: Path, head: bytes, size: int) -> str | None:
    text = _as_text(head)
    if text is None:
        return None
    if head.startswith(_LFS_POINTER):
        stands_for = re.search(r"^size (\d+)$", text, re.MULTILINE)
        much = f" in place of {int(stands_for[1]) / 1e6:.1f} MB" if stands_for else ""
        return (
            f"is a git-LFS pointer of {size} bytes{much}; fetch the file itself with "
            "`git lfs pull`, or download it from the repository's page"
        )
    start = text.lstrip().lower()
    if start.startswith(("<!doctype html", "<html", "<head", "<body", "<script")):
        title = re.search(r"<title[^>]*>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
        called = f" ({_quoted(title[1])})" if title and title[1].strip() else ""
        return (
            f"is a web page{called}, which came in place of the file; download it again with the "
            "link of the file itself, signed in where that is asked for"
        )
    if start.startswith("<"):
        return f"is an XML text ({_quoted(text)}); download the file itself again"
    if start.startswith(("{", "[")):
        return _kind_of_json(path, text)
    return f"is a text file ({_quoted(text)}); download the file itself again"


def _kind_of_json(path: Path, text: str) -> str:
    try:
        content: Any = json.loads(path.read_text("utf-8-sig"))
    except (ValueError, RecursionError, MemoryError):
        content = None
    if isinstance(content, dict) and isinstance(content.get("weight_map"), dict):
        shards = sorted({str(name) for name in content["weight_map"].values()})
        some = ", ".join(shards[:2]) + (", ..." if len(shards) > 2 else "")
        return (
            f"is the index of weights in {len(shards)} files ({some}), and holds none itself; "
            "load them where they came from and save the whole state dict to one file"
        )
    return f"is a JSON text ({_quoted(text)}); give the file of the weights themselves"


def _kind_of_zip(path: Path, size: int) -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError):
        return f"is an archive cut short ({size} bytes); copy it again"
    inner = {name.partition("/")[2] for name in names}
    if "constants.pkl" in inner or any(name.startswith("code/") for name in inner):
        return (
            "is a TorchScript archive, a program with its weights, and no program is run; save "
            "`model.state_dict()` where it came from (`torch.jit.load` gives that model)"
        )
    if "archive_format" in inner or "models/model.json" in inner:
        return (
            "is an archive of torch.export, a program with its weights; save "
            "`model.state_dict()` where it came from"
        )
    if not names or "data.pkl" not in {name.rpartition("/")[2] for name in names}:
        some = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        return (
            f"is a zip archive ({some or 'empty'}) that PyTorch did not write; unpack it first "
            "and give the weights file in it"
        )
    return None


def _as_text(head: bytes) -> str | None:
    """The start of a text file; None where the bytes are no text."""
    encoding = "utf-8-sig"
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "utf-16"
    elif head.lstrip().startswith(b"<"):  # markup, of whatever age
        return head.decode("utf-8-sig", errors="replace")
    text = head.decode(encoding, errors="ignore")
    strange = sum(1 for letter in text if not (letter.isprintable() or letter in "\r\n\t\f"))
    # Letters cut or undecodable at the end of the head are lost above; in binary data, most are.
    whole = len(text.encode(encoding)) >= len(head) - 8
    return text if text.strip() and not strange and whole else None


def _quoted(text: str, limit: int = 60) -> str:
    """The start of a text on one line, in quotes."""
    line = " ".join(text.split())
    return repr(line if len(line) <= limit else f"{line[:limit]}...")

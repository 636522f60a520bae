# SPDX-License-Identifier: Apache-2.0
"""A file that came in place of a model is called what it is, with what to do."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile
from pathlib import Path

import pytest

from mtinet_ros.errors import ModelError
from mtinet_ros.file_kinds import mistaken_kind
from mtinet_ros.model_card import read_model_card

LFS_POINTER = (
    b"version https://git-lfs.github.com/spec/v1\n"
    b"oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\n"
    b"size 59438520\n"
)
# The page that Google Drive answers with where a large file was asked for.
DRIVE_PAGE = (
    b"<!DOCTYPE html><html><head><title>Google Drive - Virus scan warning</title></head>"
    b"<body>Google Drive can't scan this file for viruses.</body></html>"
)
# As transformers and diffusers write it beside the shards.
SHARD_INDEX = json.dumps(
    {
        "metadata": {"total_size": 59438520},
        "weight_map": {
            "backbone.conv1.weight": "model-00001-of-00002.safetensors",
            "heads.depth.last_layer.3.weight": "model-00002-of-00002.safetensors",
        },
    }
).encode()


def tar_of(name: str) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        archive.addfile(tarfile.TarInfo(name))
    return content.getvalue()


def zip_of(*names: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "fragments"),
    [
        (LFS_POINTER, ("git-LFS pointer of 133 bytes in place of 59.4 MB", "git lfs pull")),
        (DRIVE_PAGE, ("web page ('Google Drive - Virus scan warning')",)),
        (b"\xef\xbb\xbf\r\n <HTML><p>Sign in", ("is a web page,",)),
        ("<html><title>Accès refusé</title>".encode("latin-1") * 9, ("web page ('Acc",)),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code>", ("XML", "AccessDenied")),
        (SHARD_INDEX, ("index of weights in 2 files (model-00001-of-00002.safetensors, ",)),
        (b'{"data":{"message":"Bad credentials"}}', ("JSON text", "Bad credentials")),
        (b"404: Not Found", ("text file ('404: Not Found')",)),
        ("Zugriff verweigert".encode("utf-16"), ("text file ('Zugriff verweigert')",)),
        (b"", ("is empty (0 bytes)",)),
        (gzip.compress(b"weights"), ("compressed with gzip", "`gunzip`")),
        (tar_of("weights.pth"), ("tar archive",)),
        (zip_of("run/weights.pth", "run/log.txt"), ("zip archive (run/weights.pth, ", "unpack")),
        (zip_of("w/data.pkl", "w/version", "w/constants.pkl", "w/code/a.py"), ("TorchScript",)),
        (zip_of("w/archive_format", "w/models/model.json"), ("torch.export",)),
        (zip_of("w/data.pkl", "w/version")[:40], ("archive cut short (40 bytes)",)),
    ],
    # Archives hold the time they were made at, and names of tests must not.
    ids=lambda value: value[0] if isinstance(value, tuple) else "file",
)
def test_what_came_instead_is_named(content, fragments, tmp_path):
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    kind = mistaken_kind(path)
    assert kind is not None
    for fragment in fragments:
        assert fragment in kind
    assert "\n" not in kind


@pytest.mark.parametrize(
    "content",
    [
        zip_of("w/data.pkl", "w/version", "w/data/0"),  # of torch.save
        b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.",  # of torch.save until 1.5
        b"\x08\x07\x12\x07pytorch",  # the head of an ONNX file
        b"\x10\0\0\0\0\0\0\0{}",
    ],
    ids=["torch.save", "torch.save until 1.5", "ONNX", "safetensors"],
)
def test_what_a_reader_knows_is_left_to_it(content, tmp_path):
    path = tmp_path / "weights"
    path.write_bytes(content)
    assert mistaken_kind(path) is None


@pytest.mark.parametrize(
    "content", [LFS_POINTER, DRIVE_PAGE, SHARD_INDEX], ids=["pointer", "page", "index"]
)
def test_a_model_that_is_none_is_refused_by_its_name(content, tmp_path: Path):
    path = tmp_path / "model.ONNX"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"is not an ONNX file: it is (a git-LFS|a web|the ind)"):
        read_model_card(path)

# SPDX-License-Identifier: Apache-2.0
"""A folder of results: what is in it, whatever happened while it was written."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.full_disk import full_disk

from mtinet_ros.errors import ConfigurationError, InputError
from mtinet_ros.recordings.folder_sink import FolderSink
from mtinet_ros.recordings.pictures_source import PicturesSource
from test.support.predictions import CARD, made_up_frame, made_up_prediction, write_frame

ALL = ("rgb", "segmentation", "overlay", "depth", "normals")


def write(sink: FolderSink, number: int, indices: range, **how: object) -> dict:
    sink.begin_part(number)
    for index in indices:
        frame = made_up_frame(index, index * 10**8)
        write_frame(sink, frame, made_up_prediction(index, **how))
    return sink.end_part()


def files_of(folder: Path) -> set[str]:
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and ".mtinet_process" not in path.parts
    }


def listed(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "frames.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("encoding", ["32FC1", "16UC1"])
def test_every_output_is_what_it_says(tmp_path: Path, encoding: str) -> None:
    sink = FolderSink(tmp_path / "out", CARD, ALL, depth_encoding=encoding)
    sink.finish([write(sink, 1, range(3), is_metric=False)])
    truth, out = made_up_prediction(2), tmp_path / "out"
    labels = cv2.imread(str(out / "segmentation/clip/000002.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(labels, truth.labels)
    image = cv2.imread(str(out / "rgb/clip/000002.png"))
    np.testing.assert_array_equal(image[..., ::-1], truth.image)
    np.testing.assert_array_equal(np.load(out / "normals/clip/000002.npy"), truth.normals)
    assert cv2.imread(str(out / "overlay/clip/000002.jpg")).shape == (64, 96, 3)
    if encoding == "32FC1":
        np.testing.assert_array_equal(np.load(out / "depth/clip/000002.npy"), truth.depth)
    else:
        depth = cv2.imread(str(out / "depth/clip/000002.png"), cv2.IMREAD_UNCHANGED)
        assert (depth.dtype, depth[0, 0], depth[0, 1]) == (np.uint16, 0, 2020)
    legend = json.loads((out / "legend.json").read_text())
    assert legend["classes"][2] == {"id": 2, "name": "chair", "color": [40, 90, 200]}
    assert legend["void_id"] == 255
    assert listed(out)[2] == {
        "name": "clip/000002",
        "camera": "camera",
        "time": 200_000_000,
        "stamp": 200_000_005,
        "frame_id": "camera_optical_frame",
        "width": 96,
        "height": 64,
        "k": [80.0, 0.0, 48.0, 0.0, 81.0, 32.0, 0.0, 0.0, 1.0],
        "depth_is_metric": False,
        "files": {
            kind: f"{kind}/clip/000002{suffix}"
            for kind, suffix in zip(
                ALL,
                (".png", ".png", ".jpg", ".npy" if encoding == "32FC1" else ".png", ".npy"),
                strict=True,
            )
        },
    }


def test_parts_in_any_order_become_one_list(tmp_path: Path) -> None:
    sink = FolderSink(tmp_path, CARD, ["segmentation"])
    late, early = write(sink, 2, range(3, 5)), write(sink, 1, range(3))
    other = FolderSink(tmp_path, CARD, ["segmentation"])  # another process, another shard
    last = write(other, 100_001, range(5, 6))
    other.finish(json.loads(json.dumps([last, late, early])))
    assert [entry["name"] for entry in listed(tmp_path)] == [f"clip/00000{i}" for i in range(6)]


def test_a_part_that_was_killed_is_gone_when_it_begins_anew(tmp_path: Path) -> None:
    sink = FolderSink(tmp_path, CARD, ["segmentation", "depth"])
    first = write(sink, 1, range(2))
    sink.begin_part(2)
    for index in range(2, 5):
        frame = made_up_frame(index, index * 10**8)
        write_frame(sink, frame, made_up_prediction(index))
    (tmp_path / "depth/clip/.000004.npy.77.part").write_bytes(b"half")
    (tmp_path / ".frames.jsonl.77.part").write_bytes(b"half")
    # Killed here; goes on with fewer frames, of which one fails.
    again = FolderSink(tmp_path, CARD, ["segmentation", "depth"])
    second = write(again, 2, range(2, 4))
    again.finish([first, second])
    assert len(listed(tmp_path)) == 4
    named = {file for entry in listed(tmp_path) for file in entry["files"].values()}
    assert files_of(tmp_path) == named | {"frames.jsonl", "legend.json"}


def test_a_part_that_is_whole_but_not_in_the_journal_is_made_again(tmp_path: Path) -> None:
    write(FolderSink(tmp_path, CARD, ["segmentation"]), 1, range(3))
    sink = FolderSink(tmp_path, CARD, ["segmentation"])
    sink.finish([write(sink, 1, range(2))])
    assert len(listed(tmp_path)) == 2
    assert not (tmp_path / "segmentation/clip/000002.png").exists()


def test_a_part_is_discarded_with_its_files(tmp_path: Path) -> None:
    sink = FolderSink(tmp_path, CARD, ["segmentation"])
    sink.begin_part(1)
    write_frame(sink, made_up_frame(0, 0), made_up_prediction(0))
    sink.discard_part()
    assert files_of(tmp_path) == set()


def test_files_of_others_stay(tmp_path: Path) -> None:
    theirs = tmp_path / "segmentation/clip/000001.png"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("mine")
    sink = FolderSink(tmp_path, CARD, ["segmentation"])
    with pytest.raises(InputError, match=r"000001\.png is there and was not written by this run"):
        write(sink, 1, range(3))
    sink.discard_part()
    assert theirs.read_text() == "mine"
    assert files_of(tmp_path) == {"segmentation/clip/000001.png"}


def test_no_name_leads_out_of_the_folder(tmp_path: Path) -> None:
    sink = FolderSink(tmp_path / "out", CARD, ["segmentation"])
    sink.begin_part(1)
    for index, name in enumerate(("../../up", "/tmp/root", "x" * 400, "caf\udce9")):
        frame = made_up_frame(index, index, name=name)
        write_frame(sink, frame, made_up_prediction(index))
    sink.finish([sink.end_part()])
    assert len(files_of(tmp_path)) == 6
    assert all((tmp_path / "out" / entry["files"]["segmentation"]).is_file()
               for entry in listed(tmp_path / "out"))  # fmt: skip


def test_a_full_disk_is_named_and_leaves_nothing_half(tmp_path: Path) -> None:
    sink = FolderSink(tmp_path, CARD, ["normals"])
    first = write(sink, 1, range(2))
    sink.begin_part(2)
    refusal = r"cannot write .*000002\.npy: File too large"
    with full_disk(20_000), pytest.raises(InputError, match=refusal):
        write_frame(sink, made_up_frame(2, 2 * 10**8), made_up_prediction(2))
    sink.discard_part()
    sink.finish([first])
    assert len(listed(tmp_path)) == 2
    assert len(files_of(tmp_path)) == 4


def test_what_cannot_be_written_is_refused_before(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="the output points cannot be written into a fol"):
        FolderSink(tmp_path, CARD, ["depth", "points"])
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot make the folder"):
        FolderSink(tmp_path / "file", CARD, ["depth"])


def test_results_among_the_pictures_are_not_processed_again(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "room.png"), np.zeros((4, 4, 3), np.uint8))
    write(FolderSink(tmp_path / "out", CARD, ["overlay"]), 1, range(1))
    assert PicturesSource(tmp_path).cameras[0].frames == 1

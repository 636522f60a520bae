# SPDX-License-Identifier: Apache-2.0
"""`mtinet data check` finds each fault, goes on behind it, and counts what is there."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from mtinet_ros.cli.data import add_arguments
from mtinet_ros.cli.main import main
from mtinet_ros.datasets.check import check, count_frames
from mtinet_ros.datasets.sources import KINDS
from mtinet_ros.errors import ConfigurationError, DataError
from mtinet_ros.image_files import read_image

SIZE = (480, 640)
TOY = Path(__file__).resolve().parents[3] / "shared/reference/paper/nyud_toy/NYUD_MT"


def test_what_is_there_is_counted(compact: Path) -> None:
    """By hand, within rows 45..470 and columns 41..600 of the folder's labels."""
    report = check(compact)
    assert report.failures == []
    assert count_frames(compact) == 5
    train = report.splits["train"]
    assert (train.frames, train.read, train.truth) == (4, 4, ("semseg", "depth"))
    every = 426 * 560
    wall, unknown = 255 * 560, 71 * 101
    floor = every - wall - unknown
    assert train.unlabelled == pytest.approx(unknown / every)
    assert train.share == {
        "wall": pytest.approx(wall / (wall + floor)),
        "floor": pytest.approx(floor / (wall + floor)),
    }
    assert train.shown == {"wall": 4, "floor": 4}
    assert train.depth == pytest.approx([2.0] * 9)
    assert train.depth_unknown == 0
    assert "train: 4 frames, 4 read; semseg, depth" in report.text()
    assert report.text().endswith("nothing wrong")


def test_normals_and_edges_are_counted(authors: Path) -> None:
    train = check(authors).splits["train"]
    every = 426 * 560
    assert train.normals_known == pytest.approx(1 - 100 / every)  # a hole of 10 x 10
    assert train.depth_unknown == pytest.approx(100 / every)
    assert train.normals_angle == pytest.approx(0, abs=0.1)
    assert train.edge == pytest.approx(560 / every)


def test_every_fault_is_named_and_the_rest_is_counted(compact: Path, tmp_path: Path) -> None:
    (compact / "depth" / "0003.png").unlink()
    (compact / "images" / "0004.jpg").write_bytes(b"")
    cv2.imwrite(str(compact / "segmentation" / "0007.png"), np.full(SIZE, 77, np.uint8))
    (compact / "test.txt").write_text("0005\n0008\n")
    (compact / "depth" / "0999.png").write_bytes(b"")
    report = check(compact, tmp_path / "report")
    text = "\n".join(report.failures)
    assert f"{compact}/depth/0003.png is missing" in text
    assert "0004.jpg is no picture" in text
    assert "0007.png has the label 77" in text
    assert "train.txt and test.txt both name 1 frames, such as 0008" in text
    assert "test 0008 is the same picture as train 0008" in text
    assert len(report.failures) == 5
    assert report.splits["train"].read == 1
    assert report.notes == ["depth/ has files that no list names: 0999.png"]
    written = json.loads((tmp_path / "report" / "report.json").read_text())
    assert written["failures"] == report.failures
    assert "WRONG: " in (tmp_path / "report" / "report.txt").read_text()


def test_a_list_that_cannot_be_read_does_not_hide_the_others(compact: Path) -> None:
    (compact / "test.txt").write_text("")
    report = check(compact)
    assert report.failures == [f"{compact}/test.txt lists no frames; copy the data set again"]
    assert report.splits["train"].read == 4
    assert count_frames(compact) == 4


def test_one_picture_under_two_names_is_a_leak(compact: Path) -> None:
    shutil.copy(compact / "images" / "0003.jpg", compact / "images" / "0005.jpg")
    assert check(compact).failures == [
        "test 0005 is the same picture as train 0003; take one off its list"
    ]


def test_the_sheet_shows_pictures_labels_and_depth(compact: Path, tmp_path: Path) -> None:
    check(compact, tmp_path / "report")
    sheet = read_image(tmp_path / "report" / "contact_train.png")
    assert sheet.shape == (2 * 122, 2 * 3 * 160, 3)  # 560x426 at a width of 160, two by two
    np.testing.assert_allclose(sheet[10, 10], [20, 20, 20], atol=3)
    assert sheet[10, 170].tolist() == [128, 0, 0]  # wall
    assert sheet[100, 170].tolist() == [0, 128, 0]  # floor


def fill(root: Path, labels: np.ndarray, frames: int = 20) -> None:
    """Many frames of the same truth, each with a picture of its own."""
    names = [f"{number:04d}" for number in range(100, 100 + frames)]
    for number, name in enumerate(names):
        image = np.full((*SIZE, 3), 5 * number, np.uint8)
        cv2.imwrite(str(root / "images" / f"{name}.jpg"), image)
        cv2.imwrite(str(root / "segmentation" / f"{name}.png"), labels)
        shutil.copy(root / "depth" / "0003.png", root / "depth" / f"{name}.png")
    (root / "train.txt").write_text("\n".join(names))


def test_labels_of_thirteen_classes_are_noticed(compact: Path) -> None:
    labels = np.full(SIZE, 12, np.uint8)
    fill(compact, labels)
    assert "no class after 'blinds', number 13 of 40, occurs" in check(compact).failures[0]


def test_labels_numbered_otherwise_are_noticed(compact: Path) -> None:
    """Ceiling (21) below and floor (1) above."""
    labels = np.full(SIZE, 21, np.uint8)
    labels[:240] = 1
    fill(compact, labels)
    text = "\n".join(check(compact).failures)
    assert "what is labelled floor is 23% down the pictures" in text
    assert "what is labelled ceiling is 73% down" in text


def test_normals_of_other_axes_are_noticed(authors: Path) -> None:
    """A floor 1 m below the camera, whose normals are stored with y upwards."""
    y = (np.arange(480) - 253.736166) / 519.164
    depth = np.where(y > 0.05, 1 / np.maximum(y, 1e-3), 20.0)[:, None] * np.ones((1, 640))
    normals = np.zeros((*SIZE, 3), np.float32)
    normals[y > 0.05] = (0.0, 1.0, 0.0)
    normals[y <= 0.05] = (0.0, 0.0, 1.0)
    labels = np.where(y > 0.05, 2, 1).astype(np.uint8)[:, None].repeat(640, axis=1)
    for path in (authors / "depth").iterdir():
        np.save(path, depth.astype(np.float32))
        np.save(authors / "normals" / path.name, normals)
        cv2.imwrite(str(authors / "segmentation" / f"{path.stem}.png"), labels)
    text = "\n".join(check(authors).failures)
    assert "the normals of floors point down" in text


def test_a_few_faults_of_a_kind_are_shown_and_the_others_counted(compact: Path) -> None:
    fill(compact, np.zeros(SIZE, np.uint8), 30)
    for path in (compact / "images").glob("01*"):
        path.unlink()
    text = check(compact).text()
    assert text.count("is missing") == 20
    assert "WRONG: and 10 more, see report.json" in text


def test_the_command_ends_with_what_it_found(
    compact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "check", str(compact), "-o", str(tmp_path / "report")]) == 0
    assert capsys.readouterr().out.endswith("nothing wrong\n")
    (compact / "depth" / "0003.png").unlink()
    assert main(["data", "check", str(compact), "-o", str(tmp_path / "report")]) == 1
    assert capsys.readouterr().out.endswith("1 wrong\n")


def test_rendered_rooms_are_checked_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "index.json").write_text("{}")
    with pytest.raises(DataError, match="`mtinet scenes --check` checks"):
        check(tmp_path)


def test_a_report_replaces_nothing_of_somebody_else(compact: Path, tmp_path: Path) -> None:
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "report.txt").write_text("mine")
    with pytest.raises(ConfigurationError, match="would be overwritten"):
        check(compact, tmp_path / "report")


@pytest.mark.skipif(not TOY.is_dir(), reason="no toy folder of the authors' layout")
def test_the_toy_folder_is_read_whole() -> None:
    """Pictures of 60x45 pixels have no border that is known."""
    report = check(TOY)
    assert [report.splits[split].read for split in ("train", "val")] == [3, 2]
    assert report.splits["train"].truth == ("semseg", "depth", "normals", "edge")
    assert not any("copy" in sentence for sentence in report.failures)
    assert "train: the pictures have 60x45 pixels, NYU Depth V2's 640x480" in report.notes[0]


def test_the_help_knows_every_kind() -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    for kind in KINDS:
        assert parser.parse_args(["check", "x", "--kind", kind]).kind == kind


def test_what_is_no_data_set_is_told_what_would_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "check", str(tmp_path)]) == 1
    assert "is no data set: neither index.json of rendered rooms" in capsys.readouterr().err


def test_a_report_of_rooms_is_written_beside_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "index.json").write_text("{}")
    assert main(["data", "check", str(tmp_path), "-o", str(tmp_path / "report")]) == 1
    assert "whose report is written there; leave out --output" in capsys.readouterr().err
    assert main(["data", "check", str(tmp_path)]) == 1
    assert "is not of rendered rooms" in capsys.readouterr().err


def test_a_folder_above_the_data_is_not_nothing_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "Syn/train/Image1").mkdir(parents=True)
    assert main(["data", "check", str(tmp_path), "--kind", "urbanlf"]) != 0
    assert f"name {tmp_path}/Syn" in capsys.readouterr().err

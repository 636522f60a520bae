# SPDX-License-Identifier: Apache-2.0
"""One layout of NYU Depth V2 from the other: nothing lost in silence, nothing overwritten."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from mtinet_ros.cli.main import main
from mtinet_ros.datasets.nyud import NyudSamples
from mtinet_ros.datasets.nyud_conversion import convert, plan_conversion, split_by_scene
from mtinet_ros.datasets.nyud_layout import MARKER, Meaning, read_names
from mtinet_ros.datasets.nyud_writer import prepare_nyud
from mtinet_ros.errors import ConfigurationError, DataError


def read_png(path: Path) -> np.ndarray:
    values = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert values is not None
    return values


def test_compact_becomes_nyud_mt_with_normals_and_edges(compact: Path, tmp_path: Path) -> None:
    target = tmp_path / "made"
    assert convert(plan_conversion(compact, target)) == {"train": 4, "test": 1}
    assert (target / "gt_sets" / "train.txt").read_text() == "0003\n0004\n0007\n0008\n"
    assert (target / "gt_sets" / "test.txt").read_text() == "0005\n"
    image = (target / "images" / "0003.jpg").read_bytes()
    assert image == (compact / "images" / "0003.jpg").read_bytes()
    labels = read_png(target / "segmentation" / "0003.png")
    assert [labels[100, 100], labels[350, 100], labels[450, 550]] == [1, 2, 0]
    depth = np.load(target / "depth" / "0003.npy")
    assert depth.dtype == np.float32
    assert depth[100, 100] == pytest.approx(2.0, abs=1e-6)
    normals = np.load(target / "normals" / "0003.npy")
    np.testing.assert_allclose(normals[200, 300], [0, 0, -1], atol=1e-3)  # it faces the camera
    assert not normals[20, 20].any()  # on the border, which has no truth
    edge = np.load(target / "edge" / "0003.npy")
    assert edge[[298, 299, 300], 100].tolist() == [0, 1, 0]  # wall to floor
    assert edge[400, 550] == edge[399, 550] == 255  # beside what has no label
    meaning = json.loads((target / MARKER).read_text())
    assert meaning["normals_axes"] == "camera_optical"
    assert meaning["depth_step"] == pytest.approx(10 / 255)


def test_there_and_back(compact: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    depth = random.integers(0, 255, (480, 640), np.uint8)
    labels = random.integers(0, 40, (480, 640), np.uint8)
    cv2.imwrite(str(compact / "depth" / "0003.png"), depth)
    cv2.imwrite(str(compact / "segmentation" / "0003.png"), labels)
    convert(plan_conversion(compact, tmp_path / "made"))
    convert(plan_conversion(tmp_path / "made", tmp_path / "back"))
    back = tmp_path / "back"
    np.testing.assert_array_equal(read_png(back / "depth" / "0003.png"), depth)
    np.testing.assert_array_equal(read_png(back / "segmentation" / "0003.png"), labels)
    for name in ("train.txt", "test.txt"):
        assert (back / name).read_text() == (compact / name).read_text()
    before, after = (NyudSamples(str(root), "train")[2] for root in (compact, back))
    np.testing.assert_array_equal(before.image, after.image)


def test_the_authors_folder_becomes_compact_within_half_a_step(
    authors: Path, tmp_path: Path
) -> None:
    depth = np.linspace(0.5, 12, 480 * 640, dtype=np.float32).reshape(480, 640)
    np.save(authors / "depth" / "0003.npy", depth)
    labels = np.full((480, 640), 40, np.uint8)
    cv2.imwrite(str(authors / "segmentation" / "0003.png"), labels)
    convert(plan_conversion(authors, tmp_path / "made"))
    assert {path.name for path in (tmp_path / "made").iterdir() if path.is_dir()} == {
        "images", "segmentation", "depth"
    }  # fmt: skip
    targets = NyudSamples(str(tmp_path / "made"), "train", crop=False)[0].targets
    known = depth < 9.95
    assert np.abs(targets["depth"] - depth)[known].max() <= 10 / 255 / 2 + 1e-6
    assert not targets["depth"][depth > 10].any()  # beyond the scale: unknown
    assert (targets["semseg"] == 255).all()  # "other prop" cannot be told from unlabelled there
    assert read_names(tmp_path / "made", "val") == ["0005"]


def test_whole_scenes_are_held_out(compact: Path, tmp_path: Path) -> None:
    counts = convert(plan_conversion(compact, tmp_path / "made", 0.5))
    assert counts == {"train": 2, "val": 2, "test": 1}
    # 0003 and 0004 are of one scene, 0007 and 0008 of another.
    assert read_names(tmp_path / "made", "val") == ["0003", "0004"]
    assert read_names(tmp_path / "made", "train") == ["0007", "0008"]
    with pytest.raises(DataError, match="has a list val"):
        plan_conversion(tmp_path / "made", tmp_path / "more", 0.5)


def test_no_scene_is_on_both_sides() -> None:
    """Scenes of 1 to 9 frames, borders at each missing number; about a fifth is held out."""
    names, number, scene_of = [], 1, {}
    for scene in range(60):
        for _ in range(1 + scene * 7 % 9):
            names.append(f"{number:04d}")
            scene_of[names[-1]] = scene
            number += 1
        number += 1
    kept, held = split_by_scene(names, 0.2)
    assert sorted(kept + held) == names
    assert not {scene_of[name] for name in kept} & {scene_of[name] for name in held}
    assert len(held) / len(names) == pytest.approx(0.2, abs=0.03)


@pytest.mark.parametrize(
    ("names", "share", "sentence"),
    [
        (["a", "b"], 0.5, "not called by its number"),
        (["²", "3"], 0.5, "not called by its number"),
        (["1", "3", "5", "7", "8"], 0.5, "have no neighbour in number"),
        (["1", "2", "3"], 0.1, "too few to hold out 0.1"),
    ],
)
def test_scenes_that_cannot_be_told_are_not_guessed(
    names: list[str], share: float, sentence: str
) -> None:
    with pytest.raises(DataError, match=sentence):
        split_by_scene(names, share)


def test_a_conversion_that_was_cut_off_goes_on(compact: Path, tmp_path: Path) -> None:
    target, done = tmp_path / "made", 0

    def stop() -> None:
        nonlocal done
        done += 1
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(plan_conversion(compact, target), stop)
    with pytest.raises(DataError, match="cannot be read"):
        NyudSamples(str(target), "train")  # the lists come last
    first = (target / "normals" / "0003.npy").stat().st_mtime_ns
    (target / "normals" / "0004.npy").unlink()
    convert(plan_conversion(compact, target))
    assert (target / "normals" / "0003.npy").stat().st_mtime_ns == first
    assert len(NyudSamples(str(target), "train")) == 4
    assert not list(target.rglob("*.part"))


def test_a_frame_whose_source_changed_is_made_again(compact: Path, tmp_path: Path) -> None:
    convert(plan_conversion(compact, tmp_path / "made"))
    changed = np.full((480, 640), 102, np.uint8)
    cv2.imwrite(str(compact / "depth" / "0003.png"), changed)
    convert(plan_conversion(compact, tmp_path / "made"))
    assert np.load(tmp_path / "made" / "depth" / "0003.npy")[0, 0] == pytest.approx(4.0)


def test_truth_that_is_not_there_is_not_promised(compact: Path, tmp_path: Path) -> None:
    for path in (compact / "segmentation").iterdir():
        path.unlink()
    (compact / "segmentation").rmdir()
    convert(plan_conversion(compact, tmp_path / "made"))
    assert NyudSamples(str(tmp_path / "made"), "train").tasks == ("depth", "normals")


def test_nothing_of_somebody_else_is_written_over(
    compact: Path, authors: Path, tmp_path: Path
) -> None:
    labels = (authors / "segmentation" / "0003.png").read_bytes()
    with pytest.raises(DataError, match="mtinet did not write"):
        convert(plan_conversion(compact, authors))
    # Not even where a person wrote a marker to say whose axes the normals have.
    (authors / MARKER).write_text(Meaning(normals_axes="x,y,-z").to_json())
    with pytest.raises(DataError, match="frames of another source"):
        convert(plan_conversion(compact, authors))
    assert (authors / "segmentation" / "0003.png").read_bytes() == labels
    assert len(NyudSamples(str(authors), "train")) == 4  # its lists are there too


def test_folders_of_two_kinds_are_not_mixed(compact: Path, tmp_path: Path) -> None:
    rooms = Meaning("rooms", "camera_optical", 0.0, None, None, ())
    prepare_nyud(tmp_path / "rooms", rooms)
    with pytest.raises(DataError, match="holds other data or another layout"):
        convert(plan_conversion(compact, tmp_path / "rooms"))
    convert(plan_conversion(compact, tmp_path / "made"))
    with pytest.raises(DataError, match="holds other data or another layout"):
        prepare_nyud(tmp_path / "made", rooms)


def test_what_cannot_be_converted_is_refused_before_the_work(
    compact: Path, authors: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match="is the folder to read"):
        plan_conversion(compact, compact / ".." / "compact")
    with pytest.raises(ConfigurationError, match="share to hold out is 12"):
        plan_conversion(compact, tmp_path / "made", 12)
    with pytest.raises(DataError, match="is not there"):
        plan_conversion(tmp_path / "nowhere", tmp_path / "made")
    (authors / MARKER).write_text(Meaning(lens=(300, 300, 320, 240)).to_json())
    with pytest.raises(DataError, match="another lens than NYUv2"):
        plan_conversion(authors, tmp_path / "made")
    (authors / MARKER).write_text(
        Meaning("rooms", "camera_optical", 0.0, None, None, ()).to_json()
    )
    with pytest.raises(DataError, match="has the classes rooms"):
        plan_conversion(authors, tmp_path / "made")
    assert not (tmp_path / "made").exists()


def test_the_command_converts(
    compact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = str(tmp_path / "made")
    assert main(["data", "convert", str(compact), "-o", target, "--hold-out", "0.5"]) == 0
    assert "NYUD_MT layout in" in (printed := capsys.readouterr().out)
    assert "2 train, 1 test, 2 val; truth: semseg, depth, normals, edge" in printed
    again = ["data", "convert", target, "-o", str(tmp_path / "again"), "--to", "nyud_mt"]
    assert main(again) == 1  # a recipe that needs normals must not lose them
    assert "made has the layout nyud_mt already" in capsys.readouterr().err
    assert not (tmp_path / "again").exists()
    assert main(["data", "convert", target, "-o", target]) == 1
    assert "mtinet data: " in capsys.readouterr().err

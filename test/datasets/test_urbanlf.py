# SPDX-License-Identifier: Apache-2.0
"""UrbanLF's central views are read as published, and what is wrong with a folder is said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from mtinet_ros.datasets.check import check
from mtinet_ros.datasets.sources import find_kind, open_samples
from mtinet_ros.errors import DataError
from mtinet_ros.image_files import read_image

SIZE = (48, 64)
VIEWS = ("4_5", "5_5")


def write_urbanlf(root: Path, edition: str) -> Path:
    """Train images 2 and 10, val image 7, test image 3: road below, sky above, a fence between."""
    labels = np.full(SIZE, 14, np.uint8)
    labels[20:] = 7
    labels[18:20] = 3
    depth = np.full(SIZE, 200.0, np.float32)
    depth[18:] = 12.5
    for split, numbers in {"train": (2, 10), "val": (7,), "test": (3,)}.items():
        for number in numbers:
            folder = root / edition / split / f"Image{number}"
            folder.mkdir(parents=True)
            for view in VIEWS:
                cv2.imwrite(str(folder / f"{view}.png"), np.full((*SIZE, 3), number, np.uint8))
            if split == "test":
                continue
            if edition == "Real":
                np.save(folder / "label.npy", labels)
                continue
            for view in VIEWS:
                np.save(folder / f"{view}_label.npy", labels)
                np.save(folder / f"{view}_depth.npy", depth)
                np.save(folder / f"{view}_disparity.npy", depth / 100)
    return root / edition


@pytest.fixture
def real(tmp_path: Path) -> Path:
    return write_urbanlf(tmp_path, "Real")


@pytest.fixture
def syn(tmp_path: Path) -> Path:
    return write_urbanlf(tmp_path, "Syn")


def test_labels_begin_with_bike_at_0_and_end_with_sky(real: Path) -> None:
    samples = open_samples("urbanlf", str(real), "train")
    assert len(samples) == 2
    assert (samples.class_names[0], samples.class_names[13]) == ("bike", "sky")
    assert samples.palette[6] == (52, 42, 198)  # road
    sample = samples[0]
    assert sample.image.shape == (*SIZE, 3)
    assert sample.image[0, 0].tolist() == [2, 2, 2]  # Image2 is before Image10
    assert samples[1].image[0, 0].tolist() == [10, 10, 10]
    assert set(sample.targets) == {"semseg"}
    assert sample.targets["semseg"][[0, 18, 20], 0].tolist() == [13, 2, 6]
    assert sample.intrinsics is None
    assert "UrbanLF" in samples.attribution[0]


def test_the_sky_has_no_depth(syn: Path) -> None:
    sample = open_samples("urbanlf", str(syn), "val")[0]
    assert sample.targets["semseg"][[0, 18, 20], 0].tolist() == [13, 2, 6]
    assert sample.targets["depth"][[0, 18, 20], 0].tolist() == [0, 12.5, 12.5]
    assert sample.targets["depth"].dtype == np.float32
    assert sample.intrinsics is not None  # 50 mm on 36 mm: 889 pixels at a width of 640
    assert sample.intrinsics.focal_length == pytest.approx(88.889, abs=1e-3)
    assert (sample.intrinsics.cx, sample.intrinsics.cy) == (31.5, 23.5)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float64])
def test_unlabelled_pixels_are_void(real: Path, dtype: type) -> None:
    labels = np.full(SIZE, 14, dtype)
    labels[0, :3] = (0, 255, 1)
    np.save(real / "val/Image7/label.npy", labels)
    found = open_samples("urbanlf", str(real), "val")[0].targets["semseg"]
    assert found.dtype == np.uint8
    assert found[0, :4].tolist() == [255, 255, 0, 13]


def save(path: Path, values: np.ndarray) -> None:
    np.save(path, values)


FAULTS: list[tuple[str, str, Callable[[Path], object], str]] = [
    ("view lost", "train", lambda r: (r / "train/Image2/5_5.png").unlink(),
     "lacks files of its 2 train frames: 1 in train/Image2/, such as train/Image2/5_5.png"),
    ("labels lost", "train", lambda r: (r / "train/Image10/5_5_label.npy").unlink(),
     "such as train/Image10/5_5_label.npy"),
    ("depth lost", "train", lambda r: (r / "train/Image10/5_5_depth.npy").unlink(),
     "such as train/Image10/5_5_depth.npy"),
    ("no labels", "val", lambda r: (r / "val/Image7/5_5_label.npy").unlink(),
     "val has neither label.npy nor 5_5_label.npy; copy it again"),
    ("withheld", "test", lambda r: None, "keep those of the test images .* measure on val"),
    ("two editions", "train", lambda r: save(r / "train/Image2/label.npy", np.ones(SIZE)),
     "keep them in two folders"),
    ("no images", "val", lambda r: (r / "val/Image7").rename(r / "Image7"), "holds no images"),
    ("no split", "val", lambda r: (r / "val").rename(r / "away"), "/val is not there; name Urb"),
    ("class 15", "val", lambda r: save(r / "val/Image7/5_5_label.npy", np.full(SIZE, 15)),
     "5_5_label.npy has the label 15; allowed is 1 to 14, 0 and 255 unlabelled"),
    ("half a class", "val", lambda r: save(r / "val/Image7/5_5_label.npy", np.full(SIZE, 1.5)),
     "has the label 1.5"),
    ("NaN label", "val", lambda r: save(r / "val/Image7/5_5_label.npy", np.full(SIZE, np.nan)),
     "has the label nan"),
    ("NaN depth", "val", lambda r: save(r / "val/Image7/5_5_depth.npy", np.full(SIZE, np.nan)),
     "5_5_depth.npy has 3072 depths that are no finite numbers, such as nan in row 0"),
    ("depth behind", "val", lambda r: save(r / "val/Image7/5_5_depth.npy", np.full(SIZE, -1.0)),
     "has depths from -1"),
    ("cut", "val", lambda r: (r / "val/Image7/5_5_depth.npy").write_bytes(b"\x93NUMPY"),
     "5_5_depth.npy cannot be read"),
    ("size", "val", lambda r: save(r / "val/Image7/5_5_label.npy", np.ones((48, 63))),
     "has the shape 48x63, its picture 48x64"),
    ("picture", "val", lambda r: (r / "val/Image7/5_5.png").write_bytes(b"\x89PNG\r\n\x1a\n"),
     "5_5.png is a png that was cut short"),
]  # fmt: skip


@pytest.mark.parametrize("case", range(len(FAULTS)), ids=[fault[0] for fault in FAULTS])
def test_what_is_wrong_with_a_folder_is_said(syn: Path, case: int) -> None:
    _, split, spoil, sentence = FAULTS[case]
    spoil(syn)
    with pytest.raises(DataError, match=sentence):
        open_samples("urbanlf", str(syn), split)[0]


def test_the_folder_above_is_told_which_to_name(real: Path) -> None:
    with pytest.raises(DataError, match=f"name {real}"):
        open_samples("urbanlf", str(real.parent), "train")


def test_a_check_counts_classes_and_depth_and_says_what_is_withheld(
    syn: Path, tmp_path: Path
) -> None:
    """18 rows of sky, 2 of fence, 28 of road; the sky has no depth."""
    report = check(syn, tmp_path / "report")
    assert report.failures == []
    train = report.splits["train"]
    assert (train.frames, train.read, train.truth) == (2, 2, ("semseg", "depth"))
    assert train.share == {
        "fence": pytest.approx(2 / 48),
        "road": pytest.approx(28 / 48),
        "sky": pytest.approx(18 / 48),
    }
    assert train.depth == pytest.approx([12.5] * 9)
    assert train.depth_unknown == pytest.approx(18 / 48)
    text = report.text()
    assert "test has no labels: UrbanLF's publishers keep those" in text
    assert f"{syn}/train has 2 images, UrbanLF-Syn has 172" in text
    assert "2 images of train do not have all 81 views, such as Image10" in text
    sheet = read_image(tmp_path / "report" / "contact_train.png")
    assert sheet.shape == (120, 2 * 3 * 160, 3)
    assert sheet[5, 165].tolist() == [158, 179, 202]  # sky


def test_a_check_goes_on_behind_a_fault(syn: Path) -> None:
    (syn / "train/Image2/5_5_depth.npy").unlink()
    save(syn / "val/Image7/5_5_label.npy", np.full(SIZE, 99))
    report = check(syn, kind="urbanlf")
    assert f"{syn}/train/Image2/5_5_depth.npy is missing; copy it again" in report.failures
    assert any("Image7/5_5_label.npy has the label 99" in fault for fault in report.failures)
    assert report.splits["train"].read == 1


def test_labels_numbered_from_0_are_noticed(real: Path) -> None:
    """Sky would be 13, so bridge and rider stand for rider and sky."""
    folder = real / "train"
    labels = np.full(SIZE, 13, np.uint8)
    labels[20:] = 6
    labels[40:] = 0
    for number in range(20, 42):
        (folder / f"Image{number}").mkdir()
        image = np.full((*SIZE, 3), 5 * number, np.uint8)
        cv2.imwrite(str(folder / f"Image{number}/5_5.png"), image)
    for image_folder in folder.iterdir():
        np.save(image_folder / "label.npy", labels)
    assert "train: no sky occurs, number 14 of the files" in "\n".join(check(real).failures)


def test_the_kind_is_found_out(real: Path, tmp_path: Path) -> None:
    assert find_kind(real) == "urbanlf"
    assert find_kind(real.parent) == "urbanlf"
    (real / "ImageSets").mkdir()
    with pytest.raises(DataError, match="say which with --kind pascal or --kind urbanlf"):
        find_kind(real)

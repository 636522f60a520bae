# SPDX-License-Identifier: Apache-2.0
"""Both layouts of NYU Depth V2 read alike, and what is wrong with a folder is said."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from mtinet_ros.datasets.class_sets import NYUD_CLASSES
from mtinet_ros.datasets.nyud import NyudSamples
from mtinet_ros.datasets.nyud_layout import MARKER, Meaning
from mtinet_ros.datasets.sources import open_samples
from mtinet_ros.errors import ConfigurationError, DataError
from mtinet_ros.scenes.classes import NAMES

SIZE = (480, 640)
SHARED = Path(__file__).resolve().parents[3] / "shared" / "nyud"
TOY = SHARED.parent / "reference" / "paper" / "nyud_toy" / "NYUD_MT"
WALL_AND_FLOOR = {(100, 100): 0, (350, 100): 1, (450, 550): 255}
"""Labels at rows and columns of the hand-written folders."""


@pytest.mark.parametrize("layout", ["compact", "authors"])
def test_both_layouts_mean_the_same(layout: str, request: pytest.FixtureRequest) -> None:
    root = request.getfixturevalue(layout)
    samples = NyudSamples(str(root), "train", crop=False)
    assert len(samples) == 4
    assert samples.class_names == NYUD_CLASSES
    sample = samples[0]
    assert sample.image.shape == (480, 640, 3)
    for place, label in WALL_AND_FLOOR.items():
        assert sample.targets["semseg"][place] == label
    assert sample.targets["depth"][100, 100] == pytest.approx(2.0, abs=1e-6)
    assert sample.intrinsics is not None
    # The toolbox's fx 518.858 and fy 519.470 have the geometric mean 519.164.
    assert sample.intrinsics.focal_length == pytest.approx(519.164, abs=1e-3)


@pytest.mark.parametrize("layout", ["compact", "authors"])
def test_the_crop_takes_the_principal_point_along(
    layout: str, request: pytest.FixtureRequest
) -> None:
    sample = NyudSamples(str(request.getfixturevalue(layout)), "train")[1]
    assert sample.image.shape == (426, 560, 3)  # [45:471, 41:601]
    assert sample.targets["semseg"].shape == (426, 560)
    # Row 300 of the whole picture, where the floor begins, is row 255.
    assert sample.targets["semseg"][254:256, 0].tolist() == [0, 1]
    assert sample.intrinsics is not None
    assert sample.intrinsics.cx == pytest.approx(325.582449 - 41)
    assert sample.intrinsics.cy == pytest.approx(253.736166 - 45)


def test_the_authors_normals_are_turned_into_the_optical_frame(authors: Path) -> None:
    targets = NyudSamples(str(authors), "train", crop=False)[0].targets
    assert targets["normals"][100, 100].tolist() == [0, 0, -1]  # their z is to the viewer
    assert targets["normals"][55, 55].tolist() == [0, 0, 0]
    assert targets["depth"][55, 55] == 0
    assert targets["edge"][299:302, 5].tolist() == [0, 1, 0]


def test_the_marker_says_whose_axes_normals_have(authors: Path) -> None:
    slanted = np.zeros((*SIZE, 3), np.float32)
    slanted[:] = (0.6, 0.0, -0.8)
    np.save(authors / "normals" / "0003.npy", slanted)
    (authors / MARKER).write_text(Meaning(normals_axes="camera_optical").to_json())
    assert NyudSamples(str(authors), "train")[0].targets["normals"][9, 9, 0] > 0
    (authors / MARKER).write_text(Meaning(normals_axes="-x,y,z").to_json())
    normals = NyudSamples(str(authors), "train")[0].targets["normals"]
    np.testing.assert_allclose(normals[9, 9], [-0.6, 0, -0.8], atol=1e-6)
    (authors / MARKER).write_text(Meaning(normals_axes="x,y,-z").to_json())
    with pytest.raises(DataError, match="facing away from the viewer"):
        NyudSamples(str(authors), "train")[0]


def test_rooms_that_version_0_1_wrote_are_still_read(authors: Path) -> None:
    """Its marker said nothing of classes, which were the rooms', nor of lenses."""
    (authors / MARKER).write_text(
        '{"normals_axes": "camera_optical", "depth": "metres along the optical axis"}'
    )
    for path in (authors / "normals").iterdir():
        np.save(path, -np.load(path))
    samples = NyudSamples(str(authors), "train")
    assert samples.class_names == NAMES
    sample = samples[0]
    assert sample.image.shape == (480, 640, 3)  # nothing to crop
    assert sample.intrinsics is None
    assert sample.targets["normals"][100, 100].tolist() == [0, 0, -1]


def test_merged_classes(compact: Path) -> None:
    """Wall, desk (13), night stand (31), pillow (17) and book (22), by the table of the rooms."""
    labels = np.zeros(SIZE, np.uint8)
    labels[100, 100:106] = (0, 13, 31, 17, 22, 39)
    cv2.imwrite(str(compact / "segmentation" / "0003.png"), labels)
    source = open_samples("nyud", str(compact), "train", classes="rooms", crop=False)
    found = source[0].targets["semseg"][100, 100:106].tolist()
    rooms = [NAMES.index(name) for name in ("wall", "table", "furniture")]
    assert found == [*rooms, 255, NAMES.index("object"), 255]
    assert source.class_names == NAMES
    with pytest.raises(ConfigurationError, match="is 'pascal'; allowed is nyu40, rooms, pas"):
        open_samples("nyud", str(compact), "train", classes="pascal")


def test_depth_at_the_end_of_the_scale_is_unknown(compact: Path) -> None:
    depth = np.full(SIZE, 51, np.uint8)
    depth[100, 100:103] = (0, 254, 255)
    cv2.imwrite(str(compact / "depth" / "0003.png"), depth)
    found = NyudSamples(str(compact), "train", crop=False)[0].targets["depth"][100, 100:103]
    np.testing.assert_allclose(found, [0, 9.96078, 0], atol=1e-4)


def test_pictures_of_half_the_size_keep_their_lens_and_are_not_cropped(authors: Path) -> None:
    for path in authors.glob("*/0003.*"):
        if path.suffix == ".npy":
            np.save(path, np.load(path)[::2, ::2])
        else:
            image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            assert image is not None
            cv2.imwrite(str(path), image[::2, ::2])
    lens = NyudSamples(str(authors), "train", crop=False)[0].intrinsics
    assert lens is not None
    assert lens.focal_length == pytest.approx(519.164 / 2, abs=1e-3)
    with pytest.raises(DataError, match="has 320x240 pixels"):
        NyudSamples(str(authors), "train")[0]


def test_lists_may_come_from_windows(compact: Path) -> None:
    (compact / "train.txt").write_bytes(b"\xef\xbb\xbf0003.jpg\r\n0004.png\r\n\r\n0007\r\n")
    assert NyudSamples(str(compact), "train").names == ["0003", "0004", "0007"]


def gray_png(values: np.ndarray, bits: int, kind: int = 0) -> bytes:
    """A PNG with one-byte pixels of fewer bits, or of a palette, which OpenCV does not write."""

    def chunk(name: bytes, data: bytes) -> bytes:
        crc = zlib.crc32(name + data)
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", crc)

    height, width = values.shape
    packed = values if bits == 8 else (values[:, ::2] << 4 | values[:, 1::2]).astype(np.uint8)
    rows = b"".join(b"\0" + row.tobytes() for row in packed)
    palette = chunk(b"PLTE", bytes(range(256)) * 3) if kind == 3 else b""
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0))
        + palette + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )  # fmt: skip


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-60])


def with_orientation(path: Path, value: int) -> None:
    """Put EXIF data that says how to turn a JPEG behind its first marker."""
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0" + bytes([value, 0, 0, 0])
    exif += b"\0\0\0\0"
    content = path.read_bytes()
    app1 = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    path.write_bytes(content[:2] + app1 + content[2:])


def png(root: Path, folder: str, values: np.ndarray) -> None:
    assert cv2.imwrite(str(root / folder / "0003.png"), values)


LABELS = np.zeros(SIZE, np.uint8)
COMPACT_FAULTS: list[tuple[str, Callable[[Path], object], str]] = [
    ("picture missing", lambda r: (r / "images/0003.jpg").unlink(), "1 in images/, such as"),
    ("picture empty", lambda r: (r / "images/0003.jpg").write_bytes(b""), "copy the file again"),
    ("picture cut", lambda r: cut(r / "images/0003.jpg"), "0003.jpg is a"),
    ("picture mirrored", lambda r: with_orientation(r / "images/0003.jpg", 2), "EXIF orientation"),
    ("picture upside down", lambda r: with_orientation(r / "images/0003.jpg", 3), "EXIF orient"),
    ("picture on its side", lambda r: with_orientation(r / "images/0003.jpg", 6), "EXIF orient"),
    ("labels empty", lambda r: (r / "segmentation/0003.png").write_bytes(b""), "is no png"),
    ("labels cut", lambda r: cut(r / "segmentation/0003.png"), "cut short"),
    ("depth cut", lambda r: cut(r / "depth/0003.png"), "cut short"),
    ("labels in color", lambda r: png(r, "segmentation", np.zeros((*SIZE, 3), np.uint8)), "color"),
    (
        "labels with a palette",
        lambda r: (r / "segmentation/0003.png").write_bytes(gray_png(LABELS, 8, 3)),
        "has a palette",
    ),
    (
        "labels of 4 bits",
        lambda r: (r / "segmentation/0003.png").write_bytes(gray_png(LABELS, 4)),
        "has 4 bits a pixel",
    ),
    (
        "labels of 894 classes",
        lambda r: png(r, "segmentation", np.full(SIZE, 893, np.uint16)),
        "16 bits a pixel, labels of nyu40 have 8",
    ),
    (
        "labels from 1",
        lambda r: png(r, "segmentation", np.full(SIZE, 40, np.uint8)),
        "has the label 40; allowed is 0 to 39 and 255",
    ),
    (
        "depth in millimetres",
        lambda r: png(r, "depth", np.full(SIZE, 2000, np.uint16)),
        "has 16 bits a pixel; the compact layout has 8",
    ),
    (
        "depth ten times too small",
        lambda r: png(r, "depth", np.full(SIZE, 5, np.uint8)),
        "no depth beyond 0.20 m; the compact layout has metres",
    ),
    (
        "depth of another size",
        lambda r: png(r, "depth", np.full((240, 320), 51, np.uint8)),
        "has the shape 240x320, its picture 480x640",
    ),
    (
        "a frame that is not there",
        lambda r: (r / "train.txt").write_text("0003\n1500\n"),
        r"1 in images/, 1 in segmentation/, 1 in depth/, such as images/1500.jpg",
    ),
    ("a name twice", lambda r: (r / "train.txt").write_text("3\n4\n3\n"), "names 3 more than onc"),
    (
        "a frame in two lists",
        lambda r: (r / "test.txt").write_text("0004\n0005\n"),
        "both name 1 frames, such as 0004; what is trained on must not be measured on",
    ),
    ("a path", lambda r: (r / "train.txt").write_text("images/0003.jpg\n"), "without folders"),
    ("no names", lambda r: (r / "train.txt").write_text("\n"), "lists no frames"),
    ("UTF-16", lambda r: (r / "train.txt").write_text("0003\n", "utf-16"), "no UTF-8 text"),
    ("no list", lambda r: (r / "train.txt").unlink(), "there is test; `mtinet data convert"),
    (
        "gt_sets lost",
        lambda r: (r / MARKER).write_text(Meaning().to_json()),
        "says that the layout is NYUD_MT, yet the lists of frames are in the folder itself",
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", range(len(COMPACT_FAULTS)), ids=[c[0] for c in COMPACT_FAULTS])
def test_what_is_wrong_with_a_compact_folder_is_said(compact: Path, case: int) -> None:
    _, spoil, sentence = COMPACT_FAULTS[case]
    spoil(compact)
    with pytest.raises(DataError, match=sentence):
        NyudSamples(str(compact), "train")[0]


def npy(root: Path, folder: str, values: np.ndarray) -> None:
    np.save(root / folder / "0003.npy", values)


def marker(root: Path, **entries: object) -> None:
    (root / MARKER).write_text(json.dumps({**json.loads(Meaning().to_json()), **entries}))


def zipped(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, depth=np.zeros(SIZE))


def empty(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


NORMALS = np.zeros((*SIZE, 3), np.float32) + np.array([0, 0, 1], np.float32)
AUTHORS_FAULTS: list[tuple[str, Callable[[Path], object], str]] = [
    ("depth empty", lambda r: (r / "depth/0003.npy").write_bytes(b""), "depth/0003.npy cannot be"),
    ("depth cut", lambda r: cut(r / "depth/0003.npy"), "depth/0003.npy cannot be read"),
    ("depth is a zip", lambda r: zipped(r / "depth/0003.npy"), "several arrays"),
    ("depth is words", lambda r: npy(r, "depth", np.array(["far"])), "no numbers"),
    (
        "depth in millimetres",
        lambda r: npy(r, "depth", np.full(SIZE, 2000, np.float32)),
        "depths from 2000 to 2000; depth is in metres",
    ),
    (
        "depth in kilometres",
        lambda r: npy(r, "depth", np.full(SIZE, 0.002, np.float32)),
        "another unit",
    ),
    ("depth in steps", lambda r: npy(r, "depth", np.full(SIZE, 51, np.uint8)), "holds uint8"),
    (
        "depth behind the camera",
        lambda r: npy(r, "depth", np.full(SIZE, -2, np.float32)),
        "depths from -2 to -2",
    ),
    (
        "depth of another size",
        lambda r: npy(r, "depth", np.full((427, 561), 2, np.float32)),
        "has the shape 427x561, its picture 480x640",
    ),
    ("depths none", lambda r: empty(r / "depth"), "4 in depth/, such as depth/0003.npy"),
    ("normals of two components", lambda r: npy(r, "normals", NORMALS[..., 1:]), "480x640x2"),
    ("normals, channels first", lambda r: npy(r, "normals", NORMALS.transpose(2, 0, 1)), "3x480"),
    ("normals of 8 bits", lambda r: npy(r, "normals", np.uint8(127 + 127 * NORMALS)), "unit vec"),
    ("normals from 0 to 1", lambda r: npy(r, "normals", (NORMALS + 1) / 2), "of length 1.22"),
    ("normals of the other side", lambda r: npy(r, "normals", -NORMALS), "100% of its normals"),
    ("edges of 8 bits", lambda r: npy(r, "edge", np.full(SIZE, 255, np.uint8)), "holds 255; edge"),
    (
        "labels of ids from 0",
        lambda r: png(r, "segmentation", np.full(SIZE, 255, np.uint8)),
        "has the label 255; allowed is 1 to 40, 0 unlabelled",
    ),
    ("no picture", lambda r: empty(r / "images"), "4 in images/"),
    ("marker is no JSON", lambda r: (r / MARKER).write_text("{"), "cannot be understood"),
    ("marker is a list", lambda r: (r / MARKER).write_text("[1]"), "no table of entries"),
    ("marker of a later version", lambda r: marker(r, units="inch"), "not know the entry units"),
    ("marker of other classes", lambda r: marker(r, classes="nyu13"), "classes is 'nyu13'"),
    ("marker of odd axes", lambda r: marker(r, normals_axes="x,y"), "normals_axes is 'x,y'"),
    ("marker of an odd lens", lambda r: marker(r, lens=[519]), "must be 4 numbers"),
    ("marker of an odd crop", lambda r: marker(r, crop=[471, 45, 41, 601]), "in order"),
    ("marker of the other layout", lambda r: marker(r, layout="compact"), "layout is compact"),
    ("marker without lens", lambda r: (r / MARKER).write_text(
        '{"layout": "NYUD_MT", "classes": "nyu40", "normals_axes": "x,y,-z", "depth_step": 0, '
        '"attribution": []}'), "lacks the entry 'lens'"),
    ("lens of a frame lost", lambda r: (marker(r, lens=None, crop=None, classes="rooms"), (
        r / "lenses.json").write_text('{"0003": [519, 320, 240]}')), "it lacks 3 train frames"),
]  # fmt: skip


@pytest.mark.parametrize("case", range(len(AUTHORS_FAULTS)), ids=[c[0] for c in AUTHORS_FAULTS])
def test_what_is_wrong_with_the_authors_folder_is_said(authors: Path, case: int) -> None:
    _, spoil, sentence = AUTHORS_FAULTS[case]
    spoil(authors)
    with pytest.raises(DataError, match=sentence):
        NyudSamples(str(authors), "train")[0]


def test_depth_with_a_channel_of_its_own_is_depth(authors: Path) -> None:
    npy(authors, "depth", np.full((*SIZE, 1), 2.0))
    found = NyudSamples(str(authors), "train", crop=False)[0].targets["depth"]
    assert found.dtype == np.float32
    assert found.shape == SIZE


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_depth_without_end_never_reaches_the_loss(authors: Path, value: float) -> None:
    depth = np.full(SIZE, 2.0)
    depth[100, 101:103] = value
    npy(authors, "depth", depth)
    sentence = f"0003.npy has 2 depths that are no finite numbers, such as {value} in row 100, col"
    with pytest.raises(DataError, match=sentence):
        NyudSamples(str(authors), "train", crop=False)[0]


@pytest.mark.parametrize("what", ["nothing", "a file", "an empty folder", "rooms", "pictures"])
def test_a_folder_of_something_else_is_called_so(what: str, compact: Path, tmp_path: Path) -> None:
    root, sentence = tmp_path / "other", "is not there"
    if what == "a file":
        root.write_text("")
        sentence = "is a file"
    elif what != "nothing":
        root.mkdir()
        sentence = "neither NYUD_MT"
    if what == "rooms":
        (root / "index.json").write_text("{}")
        sentence = "`mtinet scenes --check` checks"
    if what == "pictures":
        (root / "train.txt").write_text("0003\n")
        (compact / "images").rename(root / "images")
        sentence = "pictures without truth"
    with pytest.raises(DataError, match=sentence):
        NyudSamples(str(root), "train")


def test_truth_of_some_kinds_is_enough(authors: Path) -> None:
    for folder in ("normals", "edge", "depth"):
        empty(authors / folder)
        (authors / folder).rmdir()
    samples = NyudSamples(str(authors), "train")
    assert samples.tasks == ("semseg",)
    assert set(samples[0].targets) == {"semseg"}


@pytest.mark.skipif(not TOY.is_dir(), reason="no toy folder of the authors' layout")
def test_the_authors_folder_is_read_as_their_loader_reads_it() -> None:
    """Their labels less one with 0 as 255, their depth, their normals but for z."""
    samples = NyudSamples(str(TOY), "train", crop=False)
    assert samples.tasks == ("semseg", "depth", "normals", "edge")
    for index, name in enumerate(samples.names):
        targets = samples[index].targets
        labels = cv2.imread(str(TOY / "segmentation" / f"{name}.png"), cv2.IMREAD_UNCHANGED)
        assert labels is not None
        known = labels > 0
        np.testing.assert_array_equal(targets["semseg"][known], labels[known] - 1)
        assert (targets["semseg"][~known] == 255).all()
        np.testing.assert_array_equal(targets["depth"], np.load(TOY / f"depth/{name}.npy"))
        np.testing.assert_array_equal(targets["edge"], np.load(TOY / f"edge/{name}.npy"))
        normals = np.load(TOY / f"normals/{name}.npy") * np.float32([1, 1, -1])
        np.testing.assert_allclose(targets["normals"], normals, atol=1e-5)


@pytest.mark.skipif(not SHARED.is_dir(), reason="NYU Depth V2 is not at ../shared/nyud")
def test_the_real_data_set() -> None:
    train, test = (NyudSamples(str(SHARED), split) for split in ("train", "test"))
    assert (len(train), len(test)) == (795, 327)
    assert not set(train.names) & set(test.names)
    sample = train[0]
    assert sample.image.shape == (426, 560, 3)
    labels = sample.targets["semseg"]
    assert 39 not in labels
    assert (labels == 255).any()
    assert sample.targets["depth"][sample.targets["depth"] > 0].min() > 0.7

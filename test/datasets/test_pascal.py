# SPDX-License-Identifier: Apache-2.0
"""PASCAL_MT is read as its authors read it, and what is wrong with a folder is said."""

from __future__ import annotations

import json
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.mat_writer import write_mat

from mtinet_ros.cli.main import main
from mtinet_ros.datasets.check import check
from mtinet_ros.datasets.pascal import PascalSamples
from mtinet_ros.datasets.pascal_truth import HAS_NORMALS
from mtinet_ros.datasets.sources import find_kind, open_samples
from mtinet_ros.datasets.thinning import thinned
from mtinet_ros.datasets.truth_files import read_id_png
from mtinet_ros.errors import DataError
from mtinet_ros.image_files import read_image

SIZE = (30, 40)
TRAIN, VAL = ("2008_000008", "2008_000015"), ("2008_000023",)
FLOOR, AEROPLANE, DOG = 158, 2, 113


def palette_png(path: Path, ids: np.ndarray, bits: int = 8) -> None:
    """As PASCAL's own labels: numbers of palette colors, here all of the same color."""

    def chunk(name: bytes, data: bytes) -> bytes:
        crc = zlib.crc32(name + data)
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", crc)

    height, width = ids.shape
    packed = ids if bits == 8 else (ids[:, ::2] << 4 | ids[:, 1::2]).astype(np.uint8)
    rows = b"".join(b"\0" + row.tobytes() for row in packed)
    header = struct.pack(">IIBBBBB", width, height, bits, 3, 0, 0, 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"PLTE", b"\x80\0\0" * 2**bits)
        + chunk(b"tRNS", b"\x80")
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def png(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), values)


def box(top: int, bottom: int, left: int, right: int) -> np.ndarray:
    mask = np.zeros(SIZE, np.uint8)
    mask[top:bottom, left:right] = 1
    return mask


Structs = list[dict[str, object]]


def parts(*named: tuple[str, np.ndarray]) -> Structs:
    return [{"part_name": name, "mask": mask} for name, mask in named]


def annotation(*objects: dict[str, object]) -> Structs:
    """PASCAL-Part's variable `anno`."""
    return [{"imname": "name", "objects": list(objects)}]


def thing(name: str, number: float, found: object) -> dict[str, object]:
    mask = box(0, 30, 0, 20)
    return {"class": name, "class_ind": np.float64(number), "mask": mask, "parts": found}


def person(*named: tuple[str, np.ndarray]) -> dict[str, object]:
    """Without parts, MATLAB has numbers of no rows and columns in their place."""
    return thing("person", 15, parts(*named) if named else np.zeros((0, 0)))


def dog() -> dict[str, object]:
    return thing("dog", 12, parts(("head", box(0, 5, 0, 5))))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Floor to the left, an aeroplane to the right of column 20; a person in the first picture."""
    root = tmp_path / "PASCAL_MT"
    segments = np.full(SIZE, FLOOR, np.uint16)
    segments[:, 20:] = AEROPLANE
    labels = np.zeros(SIZE, np.uint8)
    labels[:, 20:] = 1
    labels[0] = 255
    sal = np.full(SIZE, 127, np.uint8)
    sal[:, 20:] = 128
    # Blue, green, red of OpenCV: z towards the camera 0.6, y 0, x 0.8.
    normals = np.zeros((*SIZE, 3), np.uint8) + np.uint8([204, 128, 229])
    for number, name in enumerate(TRAIN + VAL):
        image = np.full((*SIZE, 3), 40 * number, np.uint8)
        png(root / "JPEGImages" / f"{name}.jpg", image)
        write_mat(root / "pascal-context/trainval" / f"{name}.mat", LabelMap=segments)
        write_mat(root / "human_parts" / f"{name}.mat", anno=annotation(dog()))
        png(root / "sal_distill" / f"{name}.png", sal)
        png(root / "normals_distill" / f"{name}.png", normals)
    palette_png(root / "semseg/VOC12" / f"{TRAIN[0]}.png", labels)
    for name in (TRAIN[1], *VAL):
        png(root / "semseg/pascal-context" / f"{name}.png", labels)
    png(root / "semseg/pascal-context" / f"{TRAIN[0]}.png", np.full(SIZE, 20, np.uint8))
    write_mat(
        root / "human_parts" / f"{TRAIN[0]}.mat",
        anno=annotation(
            dog(),
            person(("torso", box(10, 20, 0, 9)), ("hair", box(8, 12, 0, 9))),
            person(),
            person(
                ("lhand", box(20, 22, 0, 9)),
                ("ruarm", box(22, 24, 0, 9)),
                ("rfoot", box(24, 26, 0, 9)),
                ("luleg", box(26, 28, 0, 9)),
            ),
        ),
    )
    for split, names in {"train": TRAIN, "val": VAL}.items():
        path = root / "ImageSets/Context" / f"{split}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{name}\n" for name in names))
    return root


def test_all_five_tasks_are_there(root: Path) -> None:
    samples = open_samples("pascal", str(root), "train")
    assert len(samples) == 2
    assert samples.class_names[15] == "person"
    assert samples.palette[15] == (192, 128, 128)  # VOC's color of people
    sample = samples[0]
    assert sample.image.shape == (*SIZE, 3)
    assert {task: (t.dtype.name, t.shape) for task, t in sample.targets.items()} == {
        "semseg": ("uint8", SIZE),
        "human_parts": ("uint8", SIZE),
        "sal": ("uint8", SIZE),
        "normals": ("float32", (*SIZE, 3)),
        "edge": ("uint8", SIZE),
    }


@pytest.mark.parametrize("index", [0, 1])
def test_labels_are_vocs_where_there_are_any_with_or_without_a_palette(
    root: Path, index: int
) -> None:
    """The first picture's of PASCAL-Context, all 20, are not what is read."""
    labels = PascalSamples(str(root), "train")[index].targets["semseg"]
    assert labels[1, [0, 19, 20, 39]].tolist() == [0, 0, 1, 1]
    assert (labels[0] == 255).all()


def test_palettes_of_few_colors_are_ids_too(tmp_path: Path) -> None:
    ids = np.arange(16, dtype=np.uint8)[None].repeat(2, axis=0)
    palette_png(tmp_path / "ids.png", ids, bits=4)
    np.testing.assert_array_equal(read_id_png(tmp_path / "ids.png"), ids)


def test_parts_merge_into_six_and_the_last_one_covers_the_others(root: Path) -> None:
    """Rows 8 to 11 are hair over torso; a dog's head is no part, a person without parts none."""
    found = PascalSamples(str(root), "train")[0].targets["human_parts"][:, 0]
    expected = [0] * 8 + [1] * 4 + [2] * 8 + [4] * 2 + [3] * 2 + [6] * 2 + [5] * 2 + [0] * 2
    assert found.tolist() == expected


def test_pictures_without_people_tell_nothing_of_parts(root: Path) -> None:
    assert (PascalSamples(str(root), "train")[1].targets["human_parts"] == 255).all()
    write_mat(root / "human_parts" / f"{TRAIN[1]}.mat", anno=annotation(person()))
    assert (PascalSamples(str(root), "train")[1].targets["human_parts"] == 255).all()


@pytest.mark.parametrize("is_listed", [False, True])
def test_human_parts_alone_are_trained_on_pictures_of_people(root: Path, is_listed: bool) -> None:
    """The authors' list, where there is one, is what counts: here it turns the two around."""
    tasks = ["human_parts"]
    if is_listed:
        listed = root / "ImageSets/Parts/train.txt"
        listed.parent.mkdir()
        listed.write_text(json.dumps({TRAIN[0]: [12], TRAIN[1]: [15, -1]}))
    samples = open_samples("pascal", str(root), "train", tasks=tasks)
    assert len(samples) == 1
    people = (samples[0].targets["human_parts"] != 255).any()
    assert people == (not is_listed)
    assert len(open_samples("pascal", str(root), "train", tasks=["semseg", *tasks])) == 2
    with pytest.raises(DataError, match="has no val pictures of people"):
        open_samples("pascal", str(root), "val", tasks=tasks)
    if is_listed:
        listed.write_text("2008_000008\n")
        with pytest.raises(DataError, match=r"Parts/train.txt is no list of objects in JSON"):
            open_samples("pascal", str(root), "train", tasks=tasks)


def test_what_is_more_than_half_salient_is(root: Path) -> None:
    sal = PascalSamples(str(root), "train")[0].targets["sal"]
    assert sal[5, [0, 19, 20, 39]].tolist() == [0, 0, 1, 1]


def test_normals_are_known_on_what_rooms_have_and_face_the_camera(root: Path) -> None:
    """A floor's (0.8, 0, 0.6 towards the viewer) is (0.8, 0, -0.6); an aeroplane has none."""
    normals = PascalSamples(str(root), "train")[0].targets["normals"]
    np.testing.assert_allclose(normals[3, 3], [0.8, 0, -0.6], atol=0.004)
    np.testing.assert_allclose(np.linalg.norm(normals[:, :20], axis=-1), 1, atol=1e-6)
    assert not normals[:, 20:].any()
    assert HAS_NORMALS.sum() == 170
    assert HAS_NORMALS[[FLOOR, DOG]].all()
    assert not HAS_NORMALS[[0, AEROPLANE]].any()


def test_edges_are_one_pixel_wide_along_segments(root: Path) -> None:
    edge = PascalSamples(str(root), "train")[0].targets["edge"]
    assert edge[2:-2].sum(axis=1).tolist() == [1] * 26
    assert set(np.nonzero(edge)[1]) <= {19, 20}


THICK = (
    "........................",
    ".....#.....###########..",
    "...#####...###########..",
    "...#####...###########..",
    "..#######......##.......",
    "...#####.......##.......",
    "...#####.......##...#...",
    ".....#.........##.......",
    "........................",
)
THIN = (
    "........................",
    "........................",
    "............###.#####...",
    "...............#........",
    "....###........#........",
    "...............#........",
    "...............#....#...",
    "...............#........",
    "........................",
)
"""What scikit-image 0.26 makes of it (`skimage.morphology.thin`), with which the authors thin."""


def test_edges_are_thinned_as_the_authors_thin_them() -> None:
    mask = np.array([[pixel == "#" for pixel in row] for row in THICK])
    found = ["".join(".#"[pixel] for pixel in row) for row in thinned(mask)]
    assert found == list(THIN)


def test_truth_of_another_size_is_stretched_as_the_authors_do(root: Path) -> None:
    sal = np.zeros((60, 80), np.uint8)
    sal[:, 40:] = 255
    png(root / "sal_distill" / f"{TRAIN[0]}.png", sal)
    found = PascalSamples(str(root), "train")[0].targets["sal"]
    assert found.shape == SIZE
    assert found[5, [0, 19, 20, 39]].tolist() == [0, 0, 1, 1]


def test_kinds_of_truth_may_lack_as_a_whole(root: Path) -> None:
    for folder in ("human_parts", "pascal-context", "normals_distill"):
        shutil.rmtree(root / folder)
    assert set(PascalSamples(str(root), "train")[0].targets) == {"semseg", "sal"}


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


N = TRAIN[0]
VOC = f"semseg/VOC12/{N}.png"
SEGMENTS = f"pascal-context/trainval/{N}.mat"
PARTS = f"human_parts/{N}.mat"
FAULTS: list[tuple[str, Callable[[Path], object], str]] = [
    ("picture lost", lambda r: (r / f"JPEGImages/{N}.jpg").unlink(),
     f"lacks files of its 2 train frames: 1 in JPEGImages/, such as JPEGImages/{N}.jpg"),
    ("labels lost", lambda r: (r / f"semseg/pascal-context/{TRAIN[1]}.png").unlink(),
     "such as semseg/pascal-context/2008_000015.png"),
    ("parts lost", lambda r: (r / PARTS).unlink(), "1 in human_parts/"),
    ("segments lost", lambda r: (r / SEGMENTS).unlink(),
     "1 in pascal-context/trainval/"),
    ("all segments lost", lambda r: shutil.rmtree(r / "pascal-context"),
     "2 in pascal-context/trainval/"),
    ("a name too many", lambda r: (r / "ImageSets/Context/train.txt").write_text("x\n"),
     "such as JPEGImages/x.jpg"),
    ("no list", lambda r: (r / "ImageSets/Context/train.txt").unlink(), "there is val"),
    ("a picture in both", lambda r: (r / "ImageSets/Context/val.txt").write_text(N),
     f"train.txt and val.txt both name 1 frames, such as {N}"),
    ("class 21", lambda r: png(r / VOC, np.full(SIZE, 21, np.uint8)),
     f"VOC12/{N}.png has the label 21; allowed is 0 to 20 and 255"),
    ("labels in color", lambda r: png(r / VOC, np.zeros((*SIZE, 3), np.uint8)),
     "is a color picture; ids are"),
    ("labels of 16 bits", lambda r: png(r / VOC, np.zeros(SIZE, np.uint16)),
     "has 16 bits a pixel; ids are"),
    ("labels cut", lambda r: cut(r / VOC), "cut short"),
    ("labels of another picture", lambda r: png(r / VOC, np.zeros((40, 30), np.uint8)),
     "has the shape 40x30, its picture 30x40"),
    ("parts cut", lambda r: cut(r / PARTS),
     f"human_parts/{N}.mat is a damaged MATLAB file"),
    ("parts empty", lambda r: (r / PARTS).write_bytes(b""), f"{N}.mat is no MATLAB"),
    ("segments are text", lambda r: (r / SEGMENTS).write_text("x" * 300),
     f"trainval/{N}.mat is no MATLAB file"),
    ("segments lack", lambda r: write_mat(r / SEGMENTS, other=np.ones((1, 1))),
     "has no variable LabelMap"),
    ("segment 460", lambda r: write_mat(r / SEGMENTS, LabelMap=np.full(SIZE, 460)),
     "has the label 460; PASCAL-Context has 1 to 459, 0 unlabelled"),
    ("segment NaN", lambda r: write_mat(r / SEGMENTS, LabelMap=np.full(SIZE, np.nan)),
     "has the label nan"),
    ("an unknown part",
     lambda r: write_mat(r / PARTS, anno=annotation(person(("wing", box(0, 9, 0, 9))))),
     "has a part of a person called 'wing'; known are hair, head"),
    ("parts without objects", lambda r: write_mat(r / PARTS, anno=np.zeros((2, 2))),
     f"human_parts/{N}.mat is no annotation of PASCAL-Part"),
    ("saliency of 0 and 1", lambda r: png(r / f"sal_distill/{N}.png", np.ones(SIZE, np.uint8)),
     "holds 0 and 1; saliency is 0 to 255"),
    ("normals of another size",
     lambda r: png(r / f"normals_distill/{N}.png", np.zeros((60, 80, 3), np.uint8)),
     "have the shapes 60x80, 30x40, the picture 30x40"),
    ("no truth", lambda r: [shutil.rmtree(r / f) for f in (
        "semseg", "human_parts", "sal_distill", "normals_distill", "pascal-context")],
     "has pictures without truth"),
]  # fmt: skip


@pytest.mark.parametrize("case", range(len(FAULTS)), ids=[fault[0] for fault in FAULTS])
def test_what_is_wrong_with_a_folder_is_said(root: Path, case: int) -> None:
    _, spoil, sentence = FAULTS[case]
    spoil(root)
    with pytest.raises(DataError, match=sentence):
        PascalSamples(str(root), "train")[0]


def test_the_folder_above_is_told_which_to_name(root: Path) -> None:
    with pytest.raises(DataError, match=f"name {root}"):
        PascalSamples(str(root.parent), "train")


def test_a_check_counts_all_five_tasks(root: Path, tmp_path: Path) -> None:
    """By hand: half floor and half aeroplane, the first row unlabelled."""
    report = check(root, tmp_path / "report")
    assert report.failures == []
    train = report.splits["train"]
    assert (train.frames, train.read) == (2, 2)
    assert train.truth == ("semseg", "human_parts", "sal", "normals", "edge")
    assert train.share == {"background": 0.5, "aeroplane": 0.5}
    assert train.unlabelled == pytest.approx(1 / 30)
    assert train.with_parts == 1
    assert train.part_share["head"] == pytest.approx(4 * 9 / (30 * 40))
    assert train.part_shown["lower leg"] == 1
    assert train.salient == 0.5
    assert train.normals_known == 0.5
    assert train.edge == pytest.approx(1 / 40, rel=0.1)
    assert "train has 2 pictures, PASCAL_MT has 4998" in report.notes
    text = report.text()
    assert "frames with parts of people: 1" in text
    assert f"semseg/pascal-context/{TRAIN[0]}.png" not in text
    sheet = read_image(tmp_path / "report" / "contact_train.png")
    assert sheet.shape == (120, 2 * 6 * 160, 3)  # picture, labels, normals, parts, sal, edge


def test_a_check_names_every_fault_and_reads_the_rest(root: Path) -> None:
    (root / f"sal_distill/{TRAIN[0]}.png").unlink()
    cut(root / f"human_parts/{VAL[0]}.mat")
    (root / "ImageSets/Context/val.txt").write_text(f"{VAL[0]}\n{TRAIN[1]}\n")
    (root / "sal_distill/stray.png").write_bytes(b"")
    report = check(root)
    faults = "\n".join(report.failures)
    assert f"sal_distill/{TRAIN[0]}.png is missing; copy it again" in faults
    assert f"human_parts/{VAL[0]}.mat is a damaged MATLAB file" in faults
    assert f"train.txt and val.txt both name 1 frames, such as {TRAIN[1]}" in faults
    assert f"val {TRAIN[1]} is the same picture as train {TRAIN[1]}" in faults
    assert "sal_distill/ has files that no list names: stray.png" in report.notes
    assert report.splits["train"].read == 1


def test_the_command_finds_the_kind_out(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert find_kind(root) == "pascal"
    assert main(["data", "check", str(root)]) == 0
    assert capsys.readouterr().out.endswith("nothing wrong\n")

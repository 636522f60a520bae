# SPDX-License-Identifier: Apache-2.0
"""Frames must be those that the paper's results were trained on, or a comparison says nothing.

What the authors' loader gives for a toy data set is in the shared reference; where that is not
there, its cases are left out. All other tests work out by hand what they expect.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from mtinet_ros.datasets.intrinsics import Intrinsics
from mtinet_ros.datasets.sample import Sample, Target
from mtinet_ros.errors import ConfigurationError, DataError
from mtinet_ros.training.config import AugmentationConfig, DataConfig
from mtinet_ros.training.config_file import load_config
from mtinet_ros.training.loader import (
    FixedSamples,
    StepSampler,
    TrainingSamples,
    to_tensors,
    training_loader,
)
from mtinet_ros.training.mixture import Mixture, TrainingSource, open_sources
from mtinet_ros.training.paper_views import (
    PaperView,
    random_paper_view,
    resize_as_authors,
    warp_as_authors,
)

REFERENCE = Path(__file__).resolve().parents[3] / "shared" / "reference" / "paper"
VOID = 255


# What the authors' loader gives.


def cases(kind: str) -> list[str]:
    path = REFERENCE / "transforms.json"
    return list(json.loads(path.read_text())[kind]["cases"]) if path.exists() else []


def described(kind: str, case: str) -> dict:
    return json.loads((REFERENCE / "transforms.json").read_text())[kind]["cases"][case]


def toy_frame(name: str) -> Sample:
    """A frame of the toy data set, read without our reader."""
    folder = REFERENCE / "nyud_toy" / "NYUD_MT"
    labels = cv2.imread(str(folder / "segmentation" / f"{name}.png"), cv2.IMREAD_UNCHANGED)
    normals = np.load(folder / "normals" / f"{name}.npy") * np.float32([1, 1, -1])  # optical frame
    targets = {
        "semseg": np.where(labels == 0, VOID, labels.astype(int) - 1).astype(np.uint8),
        "depth": np.load(folder / "depth" / f"{name}.npy"),
        "normals": normals,
        "edge": np.load(folder / "edge" / f"{name}.npy").astype(np.uint8),
    }
    image = cv2.imread(str(folder / "images" / f"{name}.jpg"))[..., ::-1]
    return Sample(np.ascontiguousarray(image), targets, None)


def assert_is_the_authors(sample: Sample, case: str, normals_signs: list[int]) -> None:
    with np.load(REFERENCE / "transforms.npz") as arrays:
        truth = {key.rpartition("/")[2]: arrays[key] for key in arrays if key.startswith(case)}
    gray_levels = truth["image_clipped"].transpose(1, 2, 0) * [0.229, 0.224, 0.225]
    gray_levels = (gray_levels + np.array([0.485, 0.456, 0.406])) * 255
    np.testing.assert_array_equal(sample.image, np.rint(gray_levels))
    for task, values in sample.targets.items():
        theirs = truth[task]
        if task == "depth":
            np.testing.assert_array_equal(values, np.where(theirs[0] == VOID, 0, theirs[0]))
        elif task == "normals":
            unknown = (theirs == VOID).all(0)
            expected = np.where(unknown, 0, theirs).transpose(1, 2, 0) * normals_signs
            np.testing.assert_array_equal((values == 0).all(-1), unknown)
            # Farther than 1e-6 only where what was interpolated nearly vanishes.
            np.testing.assert_allclose(values, expected, atol=1e-5)
            assert (np.abs(values - expected) > 1e-6).mean() < 1e-3
        else:
            np.testing.assert_array_equal(values, theirs[0])


same_opencv = pytest.mark.skipif(
    int(cv2.__version__.split(".")[0]) < 5,
    reason="the reference is of OpenCV 5; 4 rounds places in a warped picture to 1/32 pixel",
)


@same_opencv
@pytest.mark.parametrize("case", cases("nyud"))
def test_nyud_frames_are_the_authors(case):
    what = described("nyud", case)
    frame, (height, width) = toy_frame(what["name"]), what["size"]
    if "zoom" in what:
        view = PaperView(bool(what["flip"]), 0.0, what["zoom"])
        made = warp_as_authors(frame, view, height, width)
    else:
        made = resize_as_authors(frame, height, width)
    assert_is_the_authors(made, case, [1, 1, -1])


@same_opencv
@pytest.mark.parametrize("case", cases("pascal"))
def test_pascal_frames_are_the_authors(case):
    what = described("pascal", case)
    with np.load(REFERENCE / "transforms.npz") as arrays:
        tasks = ("image", "semseg", "human_parts", "sal", "edge", "normals")
        given = {task: arrays[f"{what['input']}/{task}"] for task in tasks}
    frame = Sample(given.pop("image"), given, None)
    view = PaperView(bool(what["flip"]), what["rotation_degrees"], what["scale"])
    made = warp_as_authors(frame, view, *what["size"], background=True)
    assert_is_the_authors(made, case, [1, 1, 1])


# What follows from its description.


def cubic(values: np.ndarray, places: np.ndarray, axis: int, *, outside_is_zero: bool):
    """Cubic convolution (a = -3/4) at places along an axis."""
    values = np.moveaxis(values.astype(np.float64), axis, 0)
    first = np.floor(places).astype(int) - 1
    result = np.zeros((len(places), *values.shape[1:]))
    for tap in range(4):
        t = np.abs(places - (first + tap))
        weight = np.where(
            t <= 1,
            1.25 * t**3 - 2.25 * t**2 + 1,
            -0.75 * (t**3 - 5 * t**2 + 8 * t - 4),
        )
        index = first + tap
        if outside_is_zero:
            weight = weight * ((index >= 0) & (index < len(values)))
        taken = values[np.clip(index, 0, len(values) - 1)]
        result += weight.reshape(-1, *[1] * (values.ndim - 1)) * taken
    return np.moveaxis(result, 0, axis)


def random_frame(rows: int, columns: int) -> Sample:
    random = np.random.default_rng(7)
    normals = random.normal(size=(rows, columns, 3))
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    targets: dict[str, Target] = {
        "semseg": random.integers(0, 40, (rows, columns), np.uint8),
        "depth": random.uniform(1, 9, (rows, columns)).astype(np.float32),
        "normals": normals.astype(np.float32),
        "edge": random.integers(0, 2, (rows, columns), np.uint8),
    }
    image = random.integers(0, 256, (rows, columns, 3), np.uint8)
    return Sample(image, targets, Intrinsics.centered(50.0, rows, columns))


def test_a_zoom_is_about_the_middle_and_before_the_resize():
    """Zoom 4/3 about (6.5, 4.5) samples at 3/4 x + 6.5/4, 3/4 y + 4.5/4; then twice as large."""
    frame = random_frame(9, 13)
    made = warp_as_authors(frame, PaperView(True, 0.0, 4 / 3), 18, 26)
    x, y = np.arange(13) * 0.75 + 1.625, np.arange(9) * 0.75 + 1.125
    nearest = np.ix_(np.rint(y).astype(int), np.rint(x).astype(int))
    for task, factor in (("semseg", 1), ("edge", 1), ("depth", 4 / 3)):
        expected = frame.targets[task][:, ::-1][nearest] / factor
        expected = expected.repeat(2, 0).repeat(2, 1)
        np.testing.assert_allclose(made.targets[task], expected, rtol=1e-6)
        assert made.targets[task].dtype == frame.targets[task].dtype

    def moved(array):
        array = cubic(cubic(array, x, 1, outside_is_zero=True), y, 0, outside_is_zero=True)
        x2, y2 = (np.arange(26) + 0.5) / 2 - 0.5, (np.arange(18) + 0.5) / 2 - 0.5
        return cubic(cubic(array, x2, 1, outside_is_zero=False), y2, 0, outside_is_zero=False)

    expected = np.clip(moved(frame.image[:, ::-1]), 0, 255)
    assert np.abs(made.image - np.floor(expected)).max() <= 1
    assert (made.image == np.floor(expected)).mean() > 0.99
    expected = moved(frame.targets["normals"][:, ::-1] * np.float32([-1, 1, 1]))
    length = np.linalg.norm(expected, axis=-1, keepdims=True)
    error = np.abs(made.targets["normals"] - expected / length)
    # The last row before the resize touches what lies outside: it is unknown, see below.
    assert error[:12][length[:12, :, 0] > 0.1].max() < 1e-5
    assert made.intrinsics is None


def test_a_turned_picture_is_surrounded_by_what_the_authors_train():
    """A quarter turn about (4.5, 4.5) puts column x into row 9 - x: row 0 shows nothing."""
    frame = random_frame(9, 9)
    targets = dict(frame.targets)
    targets["human_parts"] = targets["semseg"] % np.uint8(7)
    targets["sal"] = 1 - targets["edge"]
    frame = Sample(frame.image, targets, frame.intrinsics)
    made = warp_as_authors(frame, PaperView(False, 90.0, 1.0), 9, 9, background=True)

    def turned(array, outside):
        return np.concatenate([np.full_like(array[:1], outside), np.rot90(array)[:-1]])

    np.testing.assert_array_equal(made.image, turned(frame.image, 0))
    for task in ("semseg", "human_parts", "sal", "edge", "depth"):
        np.testing.assert_array_equal(made.targets[task], turned(targets[task], 0), err_msg=task)
    # What pointed to the right points up, what pointed down to the right.
    x, y, z = np.moveaxis(targets["normals"], -1, 0)
    expected = turned(np.stack([y, -x, z], -1), 0)
    np.testing.assert_allclose(made.targets["normals"], expected, atol=1e-6)
    # Where class 0 is a wall, say, nothing is known out there.
    made = warp_as_authors(frame, PaperView(False, 90.0, 1.0), 9, 9)
    np.testing.assert_array_equal(made.targets["semseg"], turned(targets["semseg"], VOID))


def test_normals_beside_the_border_of_a_turned_picture_are_unknown():
    """Interpolated with what is not there they would point anywhere."""
    up = np.zeros((40, 40, 3), np.float32)
    up[..., 1] = -1
    frame = Sample(np.zeros((40, 40, 3), np.uint8), {"normals": up}, None)
    normals = warp_as_authors(frame, PaperView(False, 20.0, 0.8), 40, 40).targets["normals"]
    known = (normals != 0).any(-1)
    # Up, turned counterclockwise by 20 degrees, leans to the left.
    angle = np.radians(20)
    leaning = (normals @ np.array([-np.sin(angle), -np.cos(angle), 0]))[known]
    # The stretch to the network's size is cubic too: it leaves a rim that points away.
    assert (leaning > 1 - 1e-5).mean() > 0.9
    np.testing.assert_allclose(np.abs(leaning), 1, atol=1e-5)
    assert not known[[0, 0, -1, -1], [0, -1, 0, -1]].any()


@pytest.mark.parametrize("made_by", ["training", "validation"])
def test_pictures_without_people_teach_no_human_parts(made_by):
    def made(parts: np.ndarray) -> np.ndarray:
        frame = Sample(np.zeros((16, 16, 3), np.uint8), {"human_parts": parts}, None)
        if made_by == "validation":
            return resize_as_authors(frame, 16, 16).targets["human_parts"]
        return warp_as_authors(frame, PaperView(False, 15.0, 0.8), 16, 16).targets["human_parts"]

    nobody = np.zeros((16, 16), np.uint8)
    assert (made(nobody) == VOID).all()
    assert (made(np.full_like(nobody, VOID)) == VOID).all()
    somebody = nobody.copy()
    somebody[6:10, 6:10] = 3
    assert set(np.unique(made(somebody))) == {0, 3}


def test_an_overshoot_is_clipped_and_does_not_wrap_around():
    """A step from black to white stays one; the authors' has bright seams on its dark side."""
    step = np.zeros((24, 24, 3), np.uint8)
    step[:, 12:] = 255
    frame = Sample(step, {}, None)
    for made in (
        resize_as_authors(frame, 48, 48),
        warp_as_authors(frame, PaperView(False, 0.0, 1.2), 48, 48),
    ):
        assert (np.diff(made.image.astype(int), axis=1) >= -1).all()  # 254.99 is cut to 254
        assert made.image[:, 0].max() == 0
        assert made.image[:, -1].min() >= 254


def test_truth_that_is_no_number_is_unknown_and_does_not_spread():
    frame = random_frame(12, 12)
    frame.targets["normals"][4, 4] = np.nan
    frame.targets["depth"][2, 2:5] = np.inf, np.nan, -1
    made = resize_as_authors(frame, 12, 12)
    assert np.isfinite(made.targets["normals"]).all()
    assert (made.targets["normals"] == 0).all(-1).sum() == 1
    for sample in (made, frame):
        tensors = to_tensors(sample, 50.0)
        assert (tensors["depth"] == 0).nonzero().tolist() == [[0, 2, 2], [0, 2, 3], [0, 2, 4]]
        assert tensors["normals"].isfinite().all()
        assert (tensors["normals"] == 0).all(0).nonzero().tolist() == [[4, 4]]


# What a run makes of it.


@dataclass
class Frames:
    """A data set of given frames."""

    frames: list[Sample]
    class_names: tuple[str, ...] = ("wall", "floor")
    palette: tuple[tuple[int, int, int], ...] = ((0, 0, 0), (1, 1, 1))
    attribution: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int, /) -> Sample:
        return self.frames[index]

    def videos(self) -> list[list[int]]:
        return []


def flat_frame(label: int = 1, metres: float = 3.0, focal_length: float = 50.0) -> Sample:
    targets: dict[str, Target] = {
        "semseg": np.full((24, 32), label, np.uint8),
        "depth": np.full((24, 32), metres, np.float32),
    }
    image = np.tile(np.arange(32, dtype=np.uint8)[:, None] * 8, (24, 1, 3))
    return Sample(image, targets, Intrinsics.centered(focal_length, 24, 32))


def as_source(frames: Frames, augmentation: AugmentationConfig) -> TrainingSource:
    tasks = tuple(frames[0].targets)
    return TrainingSource("real", "nyud", frames, frames, 1.0, tasks, augmentation)


NYUD = AugmentationConfig(kind="nyud")
PASCAL = AugmentationConfig(kind="pascal")
SMALL = DataConfig(height=48, width=64, workers=0)


def test_depth_stays_in_the_metres_of_the_data_but_for_the_zoom():
    """Not scaled to a canonical focal length (210 pixels here): the authors know no lens."""
    samples = TrainingSamples([as_source(Frames([flat_frame()]), NYUD)], ("depth",), SMALL, 0)
    seen = {round(float(samples[0, 0, number]["depth"][0, 20, 20]), 5) for number in range(40)}
    assert seen == {3.0, 2.5, 2.0}  # zoom 1, 1.2, 1.5
    fixed = FixedSamples(Frames([flat_frame()]), [0], ("depth",), SMALL, "nyud")
    assert set(fixed[0]["depth"].unique().tolist()) == {3.0}


def test_zooms_are_drawn_equally_often_and_so_is_the_mirror():
    random = np.random.default_rng(0)
    views = [random_paper_view(NYUD, random) for _ in range(3000)]
    for zoom in (1.0, 1.2, 1.5):
        assert abs(sum(view.scale == zoom for view in views) - 1000) < 100
    assert abs(sum(view.mirrored for view in views) - 1500) < 120
    assert {view.rotation for view in views} == {0.0}
    never = [random_paper_view(replace(NYUD, flip=0.0), random) for _ in range(50)]
    assert not any(view.mirrored for view in never)


def test_pascal_views_fill_their_ranges():
    random = np.random.default_rng(0)
    views = [random_paper_view(PASCAL, random) for _ in range(2000)]
    rotations, scales = [v.rotation for v in views], [v.scale for v in views]
    assert (round(min(rotations)), round(max(rotations))) == (-20, 20)
    assert (round(min(scales), 2), round(max(scales), 2)) == (0.75, 1.25)
    assert abs(np.mean(rotations)) < 1
    assert abs(np.mean(scales) - 1) < 0.02


@pytest.mark.parametrize("augmentation", [NYUD, PASCAL])
def test_a_frame_follows_from_its_number_whoever_loads_it(augmentation):
    frames = Frames([flat_frame(label) for label in (0, 1, 1)])

    def samples(seed: int) -> TrainingSamples:
        return TrainingSamples([as_source(frames, augmentation)], ("semseg", "depth"), SMALL, seed)

    one, other = samples(3), samples(3)
    numbers = range(6)
    forward = [one[0, 1, number] for number in numbers]
    backward = [other[0, 1, number] for number in reversed(numbers)][::-1]
    for a, b in zip(forward, backward, strict=True):
        assert all(torch.equal(a[name], b[name]) for name in a)
    images = [batch["image"] for batch in forward]
    images += [samples(4)[0, 1, number]["image"] for number in numbers]
    assert sum(not torch.equal(images[0], image) for image in images[1:]) >= 6
    mixture = Mixture([3], (1.0,), 3)
    whole = next(iter(training_loader(one, StepSampler(mixture, 4, lambda: 5))))
    halves = [
        next(iter(training_loader(one, StepSampler(mixture, 2, lambda: 5, rank, 2))))
        for rank in range(2)
    ]
    for name, values in whole.items():
        torch.testing.assert_close(torch.cat([half[name] for half in halves]), values)


def test_outside_is_background_only_where_there_is_such_a_class():
    turned = AugmentationConfig(kind="pascal", scale=(0.75, 0.75), rotation=0.0)
    for names, outside in ((("background", "person"), 0), (("wall", "floor"), VOID)):
        frames = Frames([flat_frame()], names)
        samples = TrainingSamples([as_source(frames, turned)], ("semseg",), SMALL, 0)
        assert samples[0, 0, 0]["semseg"][0, 0] == outside


@pytest.mark.parametrize("augmentation", [AugmentationConfig(), NYUD, PASCAL])
@pytest.mark.parametrize(
    ("task", "value", "sentence"),
    [
        ("semseg", 2, "has the semseg label 2; allowed is 0 to 1, and 255 where"),
        ("human_parts", 7, "has the human_parts label 7; allowed is 0 to 6"),
        ("edge", 3, "has the edge label 3; allowed is 0 to 1"),
        ("sal", 254, "has the sal label 254; allowed is 0 to 1"),
    ],
)
def test_a_label_that_no_class_has_is_refused_with_its_frame(augmentation, task, value, sentence):
    good, bad = flat_frame(), flat_frame()
    for frame, label in ((good, 1), (bad, value)):
        frame.targets[task] = np.full((24, 32), VOID, np.uint8)
        frame.targets[task][3, 3] = label
    frames = Frames([good, bad])
    samples = TrainingSamples([as_source(frames, augmentation)], (task,), SMALL, 0)
    samples[0, 0, 0]
    with pytest.raises(DataError, match=f"^training frame 1 of real {sentence}"):
        next(iter(training_loader(samples, StepSampler(Mixture([2], (1.0,), 0), 4, lambda: 0))))
    fixed = FixedSamples(frames, [0, 1], (task,), SMALL, augmentation.kind)
    fixed[0]
    with pytest.raises(DataError, match=f"^validation frame 1 {sentence}"):
        fixed[1]


def test_truth_of_another_size_than_its_picture_is_refused():
    """Sampled at the picture's places it would lie elsewhere, and nobody would see."""
    frame = flat_frame()
    frame.targets["depth"] = np.ones((12, 16), np.float32)
    samples = TrainingSamples(
        [as_source(Frames([frame]), AugmentationConfig())], ("depth",), SMALL, 0
    )
    with pytest.raises(DataError, match="0 of real has depth of 12x16 pixels, its picture"):
        samples[0, 0, 0]


def write_folder(root: Path, size: tuple[int, int] = (48, 64)) -> None:
    """Three frames in the authors' layout, whose truth is said to end before the border."""
    for folder in ("images", "segmentation", "depth", "gt_sets"):
        (root / folder).mkdir(parents=True)
    for number in range(3):
        name = f"{number:04d}"
        cv2.imwrite(str(root / "images" / f"{name}.jpg"), np.full((*size, 3), 90, np.uint8))
        cv2.imwrite(str(root / "segmentation" / f"{name}.png"), np.full(size, 3, np.uint8))
        np.save(root / "depth" / f"{name}.npy", np.full(size, 2.0, np.float32))
    (root / "gt_sets" / "train.txt").write_text("0000\n0001\n")
    (root / "gt_sets" / "val.txt").write_text("0002\n")
    meaning = {
        "layout": "NYUD_MT", "classes": "nyu40", "normals_axes": "x,y,-z", "depth_step": 0.0,
        "lens": [518.857901, 519.469611, 325.582449, 253.736166], "crop": [4, 44, 4, 60],
        "attribution": [],
    }  # fmt: skip
    (root / "mtinet_ros.json").write_text(json.dumps(meaning))


def described_run(tmp_path: Path, *lines: str, kind: str = "nyud"):
    root = tmp_path / "NYUD_MT"
    if not root.exists():
        write_folder(root)
    path = tmp_path / "run.yaml"
    path.write_text(
        f"data: {{kind: nyud, root: '{root}', height: 48, width: 64, focal_length: 0}}\n"
        f"augmentation: {{kind: {kind}}}\n"
    )
    return load_config(path, lines)


def test_whole_pictures_are_trained_on(tmp_path):
    """The authors cut no borders off; `camera` does, whose truth must be exact."""
    config = described_run(tmp_path)
    assert open_sources(config, ("depth",))[0].training[0].image.shape == (48, 64, 3)
    config = described_run(tmp_path, "data.focal_length=60", kind="camera")
    assert open_sources(config, ("depth",))[0].training[0].image.shape == (40, 56, 3)


def test_a_damaged_file_is_named_in_one_sentence_by_loader_processes_too(tmp_path):
    config = described_run(tmp_path, "data.workers=1")
    sources = open_sources(config, ("depth",))
    damaged = tmp_path / "NYUD_MT" / "depth" / "0001.npy"
    damaged.write_bytes(b"nothing")
    samples = TrainingSamples(sources, ("depth",), config.data, 0)
    loader = training_loader(samples, StepSampler(Mixture([2], (1.0,), 0), 2, lambda: 0))
    with pytest.raises(DataError) as raised:
        next(iter(loader))
    assert str(raised.value).startswith(f"{damaged} cannot be read")
    assert "\n" not in str(raised.value)


# What a description may say.


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("augmentation: {kind: paper}", "augmentation.kind is 'paper'; allowed is camera, nyud"),
        (
            "augmentation: {kind: nyud, zoom: [1, 2]}",
            "augmentation.zoom means nothing to the kind nyud; that takes flip, zooms",
        ),
        ("augmentation: {kind: pascal, photometric: 0}", "photometric means nothing to the kind"),
        ("augmentation: {zooms: [1]}", "zooms means nothing to the kind camera; that takes flip"),
        ("augmentation: {kind: nyud, rotation: 10}", "rotation means nothing to the kind nyud"),
        ("augmentation: {kind: nyud, zooms: []}", "augmentation.zooms is empty; name factors"),
        ("augmentation: {kind: nyud, zooms: [0.9, 1]}", "zooms is .* allowed is 1 to 10"),
        ("augmentation: {kind: pascal, scale: [1.2, 0.8]}", "scale is .* the lesser first"),
        ("augmentation: {kind: pascal, rotation: -1}", "rotation is -1.0; allowed is 0 to 180"),
        (
            "data: {sources: {a: {root: b, augmentation: {kind: nyud, roll: 1}}}}",
            "data.sources.a.augmentation.roll means nothing to the kind nyud",
        ),
        ("data: {focal_length: 0}", "data.focal_length is 0, and the augmentation of rooms is of"),
        ("data: {focal_length: 0.5}", "data.focal_length is 0.5; allowed is 1 to 1e.06, or 0 for"),
    ],
)
def test_settings_that_a_kind_would_ignore_are_refused(text, fragment, tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=fragment):
        load_config(path)


def test_sources_of_another_kind_share_what_both_kinds_know(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(
        "augmentation: {flip: 0.2, zoom: [1, 1.2], roll: 3}\n"
        "data: {sources: {real: {kind: nyud, root: a, augmentation: {kind: nyud, zooms: [1]}},\n"
        "                 rendered: {root: b}}}\n"
    )
    real = load_config(path).data.sources["real"].augmentation
    assert real == AugmentationConfig(kind="nyud", flip=0.2, zooms=(1.0,))

# SPDX-License-Identifier: Apache-2.0
"""`mtinet evaluate`: real rooms and rendered ones, whole or cropped, and two models compared."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("tqdm")
pytest.importorskip("torchmetrics")

from support.tiny_model import HEIGHT, WIDTH, random_images, tiny_card, write_tiny_model

from mtinet_ros.cli.main import main
from mtinet_ros.datasets.class_sets import CLASS_SETS
from mtinet_ros.datasets.nyud_layout import Meaning

ROOMS, NYU40 = CLASS_SETS["rooms"], CLASS_SETS["nyu40"]
CROP = (2, 30, 4, 60)  # rows 2 to 29, columns 4 to 59: 28 x 56 pixels
FRAMES = 3
Said = pytest.CaptureFixture[str]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """It tells the 13 classes of rooms, of which it only ever says the first five."""
    card = replace(tiny_card(), class_names=ROOMS.names, palette=ROOMS.palette, untrained=False)
    return write_tiny_model(tmp_path / "tiny.onnx", card)


@pytest.fixture
def real_rooms(tmp_path: Path) -> Path:
    """The layout NYUD_MT: upper half desk, lower half pillow, unknown around the crop."""
    root = tmp_path / "real"
    for folder in ("images", "segmentation", "depth", "gt_sets"):
        (root / folder).mkdir(parents=True)
    (root / "mtinet_ros.json").write_text(
        Meaning("nyu40", "camera_optical", 0.0, None, CROP).to_json()
    )
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    top, bottom, left, right = CROP
    labels[top : HEIGHT // 2, left:right] = 14  # desk, counted from 1
    labels[HEIGHT // 2 : bottom, left:right] = 18  # pillow
    labels[0, 0] = 1  # a pixel of wall outside the crop
    names = [f"{number:04}" for number in range(FRAMES)]
    (root / "lenses.json").write_text(json.dumps({name: [50.0, 31.5, 15.5] for name in names}))
    for name, image in zip(names, random_images(FRAMES), strict=True):
        cv2.imwrite(str(root / "images" / f"{name}.jpg"), image)
        cv2.imwrite(str(root / "segmentation" / f"{name}.png"), labels)
        np.save(root / "depth" / f"{name}.npy", np.where(labels > 0, 2, 0).astype(np.float32))
    (root / "gt_sets" / "test.txt").write_text("\n".join(names))
    return root


def evaluate(*words: object) -> int:
    return main(["evaluate", *(str(word) for word in words), "--backend=onnxruntime"])


def report_of(path: Path) -> dict:
    return json.loads(path.read_text())


def test_real_rooms_are_measured_in_the_classes_of_the_model(
    model: Path, real_rooms: Path, tmp_path: Path, capsys: Said
) -> None:
    figures, page = tmp_path / "new" / "f.json", tmp_path / "new" / "f.html"
    assert evaluate(model, "--data", real_rooms, "--json", figures, "--html", page) == 0
    said = capsys.readouterr().out
    assert "the data's 40 classes are merged into the model's 13" in said
    assert "rows 2 to 29 and columns 4 to 59 are measured" in said
    report = report_of(figures)
    # Desks are tables here; pillows are in none of the 13, the wall lies outside.
    pixels = dict(zip(ROOMS.names, report["class_pixels"], strict=True))
    assert {name: count for name, count in pixels.items() if count} == {"table": FRAMES * 14 * 56}
    assert report["frames"] == FRAMES
    assert report["data"]["merged_from"] == 40
    assert report["data"]["crop"] == list(CROP)
    assert (report["data"]["kind"], report["data"]["folder"]) == ("nyud", "real")
    assert report["model"]["name"] == "tiny"
    assert len(report["model"]["fingerprint"]) == 64
    assert [frame["name"] for frame in report["frame_figures"]] == ["0000", "0001", "0002"]
    # All truth is 2 m.
    assert [r["share"] for r in report["depth_by_distance"]] == [0, 1, 0, 0, 0, 0]
    text = page.read_text()
    assert text.count("data:image/jpeg;base64,") >= 2 * FRAMES
    assert len(text) < 1_000_000


def test_whole_frames_are_what_published_figures_are_of(
    model: Path, real_rooms: Path, tmp_path: Path, capsys: Said
) -> None:
    figures = tmp_path / "f.json"
    command = (model, "--data", real_rooms, "--json", figures)
    assert evaluate(*command, "--whole-frame", "--frames=1") == 0
    assert "the border" not in capsys.readouterr().out
    report = report_of(figures)
    assert report["class_pixels"][ROOMS.names.index("wall")] == 1
    assert report["class_pixels"][ROOMS.names.index("table")] == 14 * 56
    assert report["data"]["crop"] is None
    assert report["frames"] == 1
    assert evaluate(*command, "--as-published", "--frames=1") == 0
    assert "note: resized as the paper's authors do" in capsys.readouterr().out
    assert report_of(figures)["class_pixels"] == report["class_pixels"]
    assert report_of(figures)["data"] == report["data"]


def test_without_a_lens_nobody_knows_metres(
    model: Path, real_rooms: Path, tmp_path: Path, capsys: Said
) -> None:
    (real_rooms / "lenses.json").unlink()
    assert evaluate(model, "--data", real_rooms, "--json", tmp_path / "f.json") == 0
    assert "3 of 3 frames have no known lens" in capsys.readouterr().out
    metrics = report_of(tmp_path / "f.json")["metrics"]
    assert "depth_aligned_abs_rel" in metrics
    assert not any("rmse" in key for key in metrics)


def test_forty_classes_stay_forty_for_a_model_that_tells_them(
    real_rooms: Path, tmp_path: Path
) -> None:
    card = replace(tiny_card(), class_names=NYU40.names, palette=NYU40.palette)
    model = write_tiny_model(tmp_path / "forty.onnx", card)
    assert evaluate(model, "--data", real_rooms, "--json", tmp_path / "f.json") == 0
    report = report_of(tmp_path / "f.json")
    pixels = dict(zip(NYU40.names, report["class_pixels"], strict=True))
    found = {name: count for name, count in pixels.items() if count}
    assert found == {"desk": FRAMES * 14 * 56, "pillow": FRAMES * 14 * 56}


def test_the_compact_layout_is_known_and_its_gaps_are_told(
    model: Path, tmp_path: Path, capsys: Said
) -> None:
    root = tmp_path / "compact"
    for folder in ("images", "segmentation", "depth"):
        (root / folder).mkdir(parents=True)
    labels = np.full((480, 640), 39, np.uint8)
    labels[100:110, 100:120] = 13  # desk
    cv2.imwrite(str(root / "images" / "0001.jpg"), np.full((480, 640, 3), 90, np.uint8))
    cv2.imwrite(str(root / "segmentation" / "0001.png"), labels)
    cv2.imwrite(str(root / "depth" / "0001.png"), np.full((480, 640), 51, np.uint8))
    (root / "test.txt").write_text("0001\n")
    assert evaluate(model, "--data", root, "--json", tmp_path / "f.json") == 0
    assert "does not tell the class 'other prop' from unlabelled" in capsys.readouterr().out
    report = report_of(tmp_path / "f.json")
    assert sum(report["class_pixels"]) == 200
    assert [r["share"] for r in report["depth_by_distance"]][1] == 1  # 51 steps are 2 m


def test_two_models_are_compared_on_the_same_frames(
    model: Path, real_rooms: Path, tmp_path: Path, capsys: Said
) -> None:
    card = tiny_card("fp16", name="half")
    card = replace(card, class_names=ROOMS.names, palette=ROOMS.palette)
    half = write_tiny_model(tmp_path / "half.onnx", card)
    both, page = tmp_path / "both.json", tmp_path / "both.html"
    command = ("--compare", model, half, "--data", real_rooms, "--json", both, "--html", page)
    assert evaluate(*command) == 0
    said = capsys.readouterr().out
    assert "A: tiny (tiny.onnx), fp32, on 3 frames of real, split test" in said
    assert (
        "B: half (half.onnx), fp16 model, computed in fp32, on 3 frames of real, split test"
        in said
    )
    record = report_of(both)
    a, b = record["reports"]
    rmse = record["differences"]["depth_rmse"]
    assert (rmse["a"], rmse["b"]) == (a["metrics"]["depth_rmse"], b["metrics"]["depth_rmse"])
    assert rmse["difference"] == rmse["b"] - rmse["a"]
    assert page.read_text().count("<h1>") == 3
    assert evaluate(*command) == 0  # our own files may be written again


def test_reports_written_earlier_are_compared_without_models_and_data(
    model: Path, real_rooms: Path, tmp_path: Path, capsys: Said
) -> None:
    one, whole = tmp_path / "one.json", tmp_path / "whole.json"
    assert evaluate(model, "--data", real_rooms, "--json", one) == 0
    assert evaluate(model, "--data", real_rooms, "--json", whole, "--whole-frame") == 0
    capsys.readouterr()
    assert evaluate("--compare", one, one, "--html", tmp_path / "c.html") == 0
    assert "A is better in 0, B in 0 of" in capsys.readouterr().out
    assert evaluate("--compare", one, model, "--data", real_rooms) == 0
    assert "A is better in 0, B in 0 of" in capsys.readouterr().out

    before = one.read_bytes()
    for words, fragment in (
        (("--compare", one, whole), "reports are of different parts of the frames"),
        (("--compare", one, model, "--data", real_rooms, "--frames=1"), "numbers of frames"),
        (("--compare", one, one, "--data", real_rooms), "goes with a model"),
        (("--compare", one, one, "--json", one), "is read and cannot be written to as well"),
        (("--compare", one, tmp_path / "none.json"), "none.json: No such file"),
    ):
        assert evaluate(*words) == 1
        assert fragment in capsys.readouterr().err
    assert one.read_bytes() == before


def test_what_cannot_be_measured_is_said_in_a_sentence(
    model: Path, real_rooms: Path, tmp_path: Path, capsys: Said
) -> None:
    (tmp_path / "empty").mkdir()
    both = tmp_path / "both"
    (both / "gt_sets").mkdir(parents=True)
    (both / "index.json").write_text("{}")
    other = write_tiny_model(tmp_path / "five.onnx")
    own = tmp_path / "own.html"
    own.write_text("<html>mine</html>")
    new = tmp_path / "new"
    for words, fragment in (
        ((model, "--data", tmp_path / "empty"), "empty is no data set: neither index.json"),
        ((model, "--data", tmp_path / "gone"), "there is no folder"),
        ((model, "--data", both), "say which with --kind rooms or --kind nyud"),
        ((model, "--data", real_rooms, "--kind=rooms"), "holds no rendered rooms"),
        ((model, "--data", real_rooms, "--split=val"), "the list of val frames"),
        ((other, "--data", real_rooms), "the model tells 5 classes"),
        ((model, "--data", real_rooms, "--html", own), "was not written by mtinet"),
        ((model, "--data", real_rooms, "--html", new, "--json", new), "both name"),
        ((model,), "no data are named"),
        ((), "no model is named"),
        ((model, "--compare", model, model), "stands beside --compare"),
        (("--compare", model, other, "--data", real_rooms), "the model tells 5 classes"),
    ):
        assert evaluate(*words) == 1
        said = capsys.readouterr().err
        assert said.startswith("mtinet evaluate: ")
        assert said.count("\n") == 1
        assert fragment in said
    assert own.read_text() == "<html>mine</html>"
    assert not new.exists()


def test_edges_of_a_checkpoint_are_measured_though_no_exported_model_has_them(
    real_rooms: Path, tmp_path: Path, capsys: Said
) -> None:
    torch = pytest.importorskip("torch")
    from mtinet_ros.network import MTINet, save_checkpoint
    from mtinet_ros.network.backbones.base import IMAGENET_MEAN, IMAGENET_STD
    from mtinet_ros.training.metrics_edges import EdgeMetric

    (real_rooms / "edge").mkdir()
    edges = np.zeros((HEIGHT, WIDTH), np.uint8)
    edges[HEIGHT // 2, 4:60] = 1
    for number in range(FRAMES):
        np.save(real_rooms / "edge" / f"{number:04}.npy", edges)
    torch.manual_seed(0)
    network = MTINet("efficientnet_lite0", {"edge": 1}).eval()

    def raw_edges(number: int) -> torch.Tensor:
        image = cv2.imread(str(real_rooms / "images" / f"{number:04}.jpg"))[..., ::-1]
        pixels = torch.tensor((image / 255.0 - IMAGENET_MEAN) / IMAGENET_STD)
        with torch.no_grad():
            return network(pixels.permute(2, 0, 1)[None].float()).predictions["edge"]

    # At random weights all pixels are nearly alike; spread them.
    last, some = network.heads["edge"].last_layer[-1], raw_edges(0)
    last.bias.data = (last.bias.data - some.mean()) / some.std()
    last.weight.data /= some.std()
    checkpoint, figures = tmp_path / "edges.safetensors", tmp_path / "f.json"
    size = {"height": str(HEIGHT), "width": str(WIDTH), "focal_length": "50"}
    save_checkpoint(checkpoint, network, depth_output="metres", **size)
    command = (checkpoint, "--data", real_rooms, "--whole-frame", "--json", figures)
    assert evaluate(*command) == 0
    assert "Edges" in capsys.readouterr().out
    expected = EdgeMetric()
    for number in range(FRAMES):
        raw = raw_edges(number)
        expected.update(1 / (1 + (-raw).exp()), torch.from_numpy(edges))
    metrics = report_of(figures)["metrics"]
    assert set(metrics) == {"edge_odsf", "edge_precision", "edge_recall", "edge_threshold"}
    assert metrics["edge_odsf"] == pytest.approx(expected.compute()["odsf"], abs=1e-3)
    # Nothing in common with a model of labels and depth, but the same data.
    multi, alone = tmp_path / "multi.json", tmp_path / "alone.json"
    record = report_of(figures)
    multi.write_text(json.dumps({**record, "metrics": {"edge_odsf": 0.73}}))
    alone.write_text(json.dumps({**record, "metrics": {"edge_odsf": 0.692}}))
    assert evaluate(*command[:-2], "--single-task", alone) == 0
    assert "gain, %" in capsys.readouterr().out
    assert evaluate(multi, "--single-task", alone, "--json", figures) == 0
    assert "+5.49" in capsys.readouterr().out  # 0.73 / 0.692 - 1
    assert report_of(figures)["multi_task_performance"] == pytest.approx(5.491329)
    for words, fragment in (
        ((multi, "--single-task", alone, "--json", alone), "is read and cannot be written to"),
        (("--compare", multi, alone, "--single-task", alone), "stands beside --compare"),
        ((multi, "--single-task", tmp_path / "none.json"), "cannot read"),
        ((multi, "--data", real_rooms), "holds figures already"),
    ):
        assert evaluate(*words) == 1
        said = capsys.readouterr().err
        assert fragment in said
        assert said.count("\n") == 1

# SPDX-License-Identifier: Apache-2.0
"""`mtinet predict`: a picture in, labels, depth, normals and a sheet out, without ROS."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.tiny_model import HEIGHT, WIDTH, random_images, tiny_card, write_tiny_model

from mtinet_ros.cli.main import main
from mtinet_ros.image_files import write_png
from mtinet_ros.inference import load_backend


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "tiny.onnx")


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    write_png(tmp_path / "room.png", random_images(1)[0])
    return tmp_path / "room.png"


def predict(model: Path, *arguments: object) -> int:
    command = ["predict", "-m", model, "--backend", "onnxruntime", *arguments]
    return main([str(word) for word in command])


def visible(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


def test_from_picture_to_results(
    model: Path, picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "a" / "b"
    assert predict(model, picture, "-o", out) == 0
    assert visible(out) == {
        "room_labels.png",
        "room_depth.npy",
        "room_normals.npy",
        "room_montage.png",
    }
    backend = load_backend(model, "onnxruntime")
    raw = backend.infer(random_images(1), backend.output_names)
    labels = cv2.imread(str(out / "room_labels.png"), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(labels, raw["labels"][0])  # type: ignore[arg-type]
    assert np.array_equal(np.load(out / "room_depth.npy"), raw["depth"][0])
    assert np.array_equal(np.load(out / "room_normals.npy"), raw["normals"][0])
    backend.close()
    said = capsys.readouterr().out
    assert "depth up to scale (no --focal-length)" in said
    assert "weights of tiny are random" in said


def test_a_confidence_is_written_and_shown(picture: Path, tmp_path: Path) -> None:
    outputs = ("labels", "depth", "normals", "confidence")
    model = write_tiny_model(tmp_path / "sure.onnx", outputs=outputs)
    out = tmp_path / "out"
    assert predict(model, picture, "-o", out) == 0
    backend = load_backend(model, "onnxruntime")
    expected = backend.infer(random_images(1), ("confidence",))["confidence"][0]
    backend.close()
    written = cv2.imread(str(out / "room_confidence.png"), cv2.IMREAD_UNCHANGED)
    assert written is not None
    assert np.array_equal(written, expected)
    sheet = cv2.imread(str(out / "room_montage.png"))
    assert sheet is not None
    assert sheet.shape[1] == 3 * 320  # five panels, three abreast


def test_a_known_lens_makes_meters(
    model: Path, picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    focal_length = tiny_card().focal_length
    assert focal_length is not None
    assert predict(model, picture, "-o", tmp_path / "plain") == 0
    assert predict(model, picture, "-o", tmp_path / "m", "--focal-length", 2 * focal_length) == 0
    assert "depth in metres" in capsys.readouterr().out
    plain = np.load(tmp_path / "plain/room_depth.npy")
    assert np.load(tmp_path / "m/room_depth.npy") == pytest.approx(2 * plain)


def test_a_folder_of_any_sizes(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    write_png(folder / "wide.png", np.zeros((20, 200, 3), np.uint8))
    write_png(folder / "tall.png", np.zeros((200, 20, 3), np.uint8))
    assert predict(model, folder, "-o", tmp_path / "out") == 0
    assert np.load(tmp_path / "out/wide_depth.npy").shape == (6, WIDTH)
    assert np.load(tmp_path / "out/tall_depth.npy").shape == (HEIGHT, 3)
    assert predict(model, folder, "-o", tmp_path / "full", "--fit", "stretch") == 0
    assert np.load(tmp_path / "full/wide_depth.npy").shape == (HEIGHT, WIDTH)


def test_a_model_of_one_task_writes_just_that(tmp_path: Path, picture: Path) -> None:
    model = write_tiny_model(tmp_path / "labels.onnx", outputs=("labels",))
    assert predict(model, picture, "-o", tmp_path / "out") == 0
    assert visible(tmp_path / "out") == {"room_labels.png", "room_montage.png"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["missing.png", "-o", "out"], "cannot read picture missing.png"),
        (["room.png", "-o", "tiny.onnx"], "cannot make the folder tiny.onnx"),
        (["room.png", "-o", "out", "--focal-length", "0"], "--focal-length 0 is not allowed"),
        (["room.png", "-o", "out", "--focal-length", "nan"], "--focal-length nan is not"),
        (["room.png", "-o", "out", "-m", "missing.onnx"], "missing.onnx"),
        (["room.png", "-o", "out", "-m", "room.png"], "not an ONNX file"),
        (["room.png", "room.png", "-o", "out"], "several pictures are called room"),
        (["empty", "-o", "out"], "holds no pictures"),
    ],
)
def test_mistakes_end_with_one_sentence_and_status_1(
    arguments: list[str],
    sentence: str,
    model: Path,
    picture: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    assert predict(model, *arguments) == 1
    assert not (tmp_path / "out").exists()
    said = capsys.readouterr().err
    assert said.startswith("mtinet predict: ")
    assert sentence in said
    assert said.count("\n") == 1
    assert "Traceback" not in said


def test_pictures_and_results_in_one_folder_stay_apart(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    write_png(folder / "room.png", random_images(1)[0])
    assert predict(model, folder, "-o", folder) == 0
    first = {name: (folder / name).read_bytes() for name in visible(folder)}
    assert len(first) == 5
    assert predict(model, folder, "-o", folder) == 0
    assert {name: (folder / name).read_bytes() for name in visible(folder)} == first
    assert predict(model, folder, "-o", tmp_path / "elsewhere") == 0
    assert visible(tmp_path / "elsewhere") == set(first) - {"room.png"}


def test_labels_that_somebody_drew_or_corrected_are_not_overwritten(
    model: Path, picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn = tmp_path / "out" / "room_labels.png"
    drawn.parent.mkdir()
    drawn.write_bytes(b"hours of work")
    assert predict(model, picture, "-o", drawn.parent) == 1
    assert "room_labels.png" in capsys.readouterr().err
    assert visible(drawn.parent) == {"room_labels.png"}
    drawn.unlink()
    assert predict(model, picture, "-o", drawn.parent) == 0
    drawn.write_bytes(b"hours of work")  # on what the command gave
    assert predict(model, picture, "-o", drawn.parent) == 1
    assert drawn.read_bytes() == b"hours of work"


def test_a_folder_is_done_but_for_what_cannot_be_read(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "pictures"
    (folder / "x.jpg").mkdir(parents=True)
    (folder / "._a.png").write_bytes(b"\0\x05\x16\x07")
    (folder / "b.jpg").write_bytes(b"no picture")
    for name in ("a.png", "c.png"):
        write_png(folder / name, random_images(1)[0])
    assert predict(model, folder, "-o", tmp_path / "out") == 1
    assert {name[0] for name in visible(tmp_path / "out")} == {"a", "c"}
    said = capsys.readouterr()
    assert said.err.splitlines() == [
        f"mtinet predict: {folder}/b.jpg is no picture that OpenCV can read (jpeg, png) "
        "(10 bytes)",
        "mtinet predict: 1 of 3 pictures cannot be read, as said above",
    ]
    assert "a_*" in said.out
    assert "c_*" in said.out


def test_a_folder_that_cannot_be_is_said_before_the_model_is_loaded(
    model: Path, picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mtinet_ros.cli.predict.load_backend", None)
    assert predict(model, picture, "-o", picture / "out") == 1


def test_a_home_folder_is_found_without_the_help_of_a_shell(
    model: Path, picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert predict(Path("~") / model.name, "~/room.png", "--output=~/out") == 0
    assert "room_labels.png" in visible(tmp_path / "out")


def test_it_runs_without_torch_and_without_ros(model: Path, picture: Path, tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = sys.modules['rclpy'] = None;"
        "from mtinet_ros.cli.main import main; sys.exit(main())"
    )
    command = [sys.executable, "-c", code, "predict", "-m", str(model), str(picture)]
    done = subprocess.run(
        [*command, "--backend", "onnxruntime", "-o", str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/room_montage.png").is_file()

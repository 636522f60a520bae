# SPDX-License-Identifier: Apache-2.0
"""`mtinet process`: recordings in, results out, with what a person types."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.gpu_double import gpu_double
from support.kernel_on_cpu import needs_compiler
from support.tiny_model import random_images, write_tiny_model

from mtinet_ros.cli.main import main
from mtinet_ros.image_files import write_png
from mtinet_ros.inference import load_backend

PICTURES = 7


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.onnx")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recorded") / "rooms"
    folder.mkdir()
    for number in range(PICTURES):
        write_png(folder / f"img{number}.png", random_images(1, number)[0])
    return folder


def words(model: Path, *arguments: object) -> list[str]:
    command = ["process", "-m", model, "--backend", "onnxruntime", *arguments]
    return [str(word) for word in command]


def visible(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and not str(file.relative_to(folder)).startswith(".")
    }


def test_from_a_folder_of_pictures_to_a_folder_of_results(
    model: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(words(model, pictures, "-o", out, "--focal-length", 50)) == 0
    backend = load_backend(model, "onnxruntime")
    for number in range(PICTURES):
        raw = backend.infer(random_images(1, number), backend.output_names)
        labels = cv2.imread(str(out / f"segmentation/img{number}.png"), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(labels, raw["labels"][0])  # type: ignore[arg-type]
        # The tiny model's own focal length is 50 pixels, so that its depth is in metres as it is.
        assert np.array_equal(np.load(out / f"depth/img{number}.npy"), raw["depth"][0])
    backend.close()
    frames = [json.loads(line) for line in (out / "frames.jsonl").read_text().splitlines()]
    assert [frame["name"] for frame in frames] == [f"img{number}" for number in range(PICTURES)]
    said = capsys.readouterr().out
    assert f"{out}: {PICTURES} frames\n" in said
    assert "weights of tiny are random" in said


def test_what_cannot_be_read_is_named_and_the_rest_is_done(
    model: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.png").write_text("no picture")
    given = [tmp_path / "text.png", *sorted(pictures.iterdir())[:2]]
    assert main(words(model, *given, "-o", tmp_path / "out", "--outputs", "segmentation")) == 1
    assert len(list((tmp_path / "out" / "segmentation").rglob("*.png"))) == 2
    said = capsys.readouterr().err
    assert "text.png is no picture that OpenCV can read" in said
    assert "1 of 3 frames could not be read, as said above" in said


def test_several_recordings_become_a_folder_of_results_each(
    model: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.mcap").write_bytes(b"\x89MCAP0\r\n")
    pytest.importorskip("rosbags")
    out = tmp_path / "out"
    given = [pictures, tmp_path / "broken.mcap", pictures / "img0.png"]
    assert main(words(model, *given, "-o", out, "--outputs", "depth", "--every", 3)) == 1
    assert {name.rpartition("/")[0] for name in visible(out) if name.endswith("npy")} == {
        "rooms/depth",
        "img0/depth",
    }
    assert len(list((out / "rooms" / "depth").iterdir())) == 3  # 0, 3, 6
    assert "broken.mcap" in capsys.readouterr().err


def test_an_option_for_one_of_two_inputs_is_refused_before_the_first_is_done(
    model: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag, out = tmp_path / "bag.mcap", tmp_path / "out"
    bag.write_bytes(b"\x89MCAP0\r\n")
    for option, value, refused in (
        ("--topics", "/front/image_raw", pictures), ("--focal-length", "50", bag),
    ):  # fmt: skip
        assert main(words(model, bag, pictures, "-o", out, option, value)) == 1
        said = capsys.readouterr().err
        assert f"{option} is not for {refused}, which is " in said
        assert said.endswith("; leave one of the two out\n")
        assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["-o", "new", "--outputs", "colors"], "--outputs names colors; allowed: rgb, segm"),
        (["-o", "new", "--outputs", ""], "--outputs names nothing"),
        (["-o", "new", "--every", "0"], "--every is 0; allowed: 1 or more"),
        (["-o", "new", "--shard", "3/2"], "--shard is 3/2; give i/n"),
        (["-o", "new", "--start", "soon"], "--start is soon; give seconds"),
        (["-o", "new", "--start", "100"], "nothing is between 100.000 s and 7.000 s"),
        (["-o", "new", "--keep-input"], "--keep-input is for bags"),
        (["-o", "new", "--storage", "sqlite3"], "--storage is sqlite3 and the output a folder"),
        (["-o", "new", "--compress", "zstd"], "--compress is zstd and the output a folder"),
        (["-o", "new.db3", "--compress", "zstd"], "the output a bag in sqlite3; it is for bags"),
        (["-o", "new", "--topics", "/a"], "--topics is not for"),
        (["-o", "new", "--format", "video"], "give it the name of a video"),
        (["-o", "new.mp4", "--format", "bag"], "new.mp4, the name of a video; choose one"),
        (["-o", "foreign"], "foreign is there and was not written by mtinet process"),
        (["-o", "foreign/file.mp4"], "file.mp4 is there and was not written by mtinet process"),
        (["-o", "foreign/file.mp4/x"], "cannot make the folder"),
        (["-o", "foreign", "--merge"], "--merge takes no IN"),
        (["-o", "new", "--outputs", "depth,points"], "names points and the output is a folder"),
        (["-o", "new.mp4", "--outputs", "obstacles"], "obstacles and the output is a video"),
        (["-o", "new", "--node", "/seen"], "--node is /seen and the output a folder"),
        (["-o", "new.mcap", "--node", "seen"], "--node is seen; give the full name"),
        (["-o", "new", "--obstacles-stride", "0"], "--obstacles-stride is 0; allowed: 1"),
        (["-o", "new", "--camera-info-topics", "a=/b"], "--camera-info-topics is not for"),
        (["-o", "new", "--camera-info-topics", "/b"], "has /b; give CAMERA=TOPIC"),
        (
            ["-o", "new.mcap", "--outputs", "obstacles", "--ground-classes", "sea"],
            "has no class 'sea'",
        ),
        (["-o", "new", "--part-seconds", "0"], "--part-seconds is 0; allowed"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_sentence(
    model: Path,
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    sentence: str,
) -> None:
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "file.mp4").write_text("mine")
    monkeypatch.chdir(tmp_path)
    assert main(words(model, pictures, *arguments)) == 1
    said = capsys.readouterr().err
    assert sentence in said
    assert "Traceback" not in said
    assert (tmp_path / "foreign" / "file.mp4").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["foreign"]  # nothing was begun
    if "new" in arguments:  # and is in nobody's way
        assert main(words(model, pictures, "-o", "new", "--outputs", "depth")) == 0


def test_an_output_is_gone_on_with_only_if_asked_and_only_with_the_same_options(
    model: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    command = words(model, pictures, "-o", out, "--outputs", "depth")
    assert main(command) == 0
    before = visible(out)
    assert main(command) == 1
    assert "go on with it by --resume, or choose another output" in capsys.readouterr().err
    assert main([*command, "--resume"]) == 0
    assert f"{out}: {PICTURES} frames already" in capsys.readouterr().out
    assert main([*command, "--resume", "--every", "2"]) == 1
    assert "was begun otherwise: --every was 1, is 2; " in capsys.readouterr().err
    assert main([*command, "--shard", "1/2"]) == 1
    assert "was begun as a whole" in capsys.readouterr().err
    assert visible(out) == before


def test_shards_of_several_processes_merge_to_the_whole(
    model: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, whole = tmp_path / "out", tmp_path / "whole"
    options = ["--every", "2"]
    assert main(words(model, pictures, "-o", whole, *options)) == 0
    program = [sys.executable, "-m", "mtinet_ros.cli.main"]
    command = words(model, pictures, "-o", out, *options)
    at_once = [
        subprocess.Popen([*program, *command, "--shard", f"{index}/3"], stderr=subprocess.PIPE)
        for index in (1, 3)
    ]
    assert [process.wait(60) for process in at_once] == [0, 0]
    assert main(["process", "--merge", "-o", str(out)]) == 1
    assert "shards of" in (said := capsys.readouterr().err)
    assert "2/3 was not begun" in said
    assert main([*command, "--shard", "2/3"]) == 0
    for _ in range(2):
        assert main(["process", "--merge", "-o", str(out)]) == 0
        assert visible(out) == visible(whole)


def test_a_bag_becomes_a_bag_beside_it(model: Path, tmp_path: Path) -> None:
    pytest.importorskip("rosbags")
    from rosbags.rosbag2 import Reader
    from support.bags import SECOND, START, Recorded, a_camera, text, write_rosbags

    recorded = a_camera(6, period=SECOND // 10)
    recorded += [
        Recorded("/chatter", "std_msgs/msg/String", START + number * 7_000_000, text(str(number)))
        for number in range(40)
    ]
    bag = write_rosbags(tmp_path / "bag", sorted(recorded, key=lambda one: one.time))
    out = tmp_path / "seen"
    assert main(words(model, bag, "-o", out, "--keep-input", "--end", "0.45")) == 0
    with Reader(bag) as reader:
        source = [(c.topic, time, bytes(data)) for c, time, data in reader.messages()]
    with Reader(out) as reader:
        found = [(c.topic, time, bytes(data)) for c, time, data in reader.messages()]
    begin = min(time for _, time, _ in source)
    kept = [one for one in source if one[1] < begin + 450_000_000]
    assert sorted(one for one in found if not one[0].startswith("/perception")) == sorted(kept)
    images = [time for topic, time, _ in kept if topic == "/front/image_raw"]
    for topic in ("segmentation/image", "segmentation/overlay", "depth/image", "normals/image"):
        times = [time for name, time, _ in found if name == f"/perception/front/{topic}"]
        assert times == images
    assert len(images) == 5


def test_clouds_of_a_chosen_lens_below_a_chosen_node(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("rosbags")
    from dataclasses import replace

    from rosbags.rosbag2 import Reader
    from support.bags import a_camera, write_rosbags

    elsewhere = [
        replace(one, topic="/lens/front") if one.topic.endswith("camera_info") else one
        for one in a_camera(3)
    ]
    bag = write_rosbags(tmp_path / "bag", elsewhere)
    command = words(model, bag, "--node", "/seen/again", "--outputs", "obstacles")
    command += ["--ground-classes", "class 1", "--obstacles-stride", "2"]
    points = []
    for name, options in (("a", ["--camera-info-topics", "front=/lens/front"]), ("b", [])):
        assert main([*command, "-o", str(tmp_path / name), *options]) == 0
        with Reader(tmp_path / name) as reader:
            points.append({c.topic: c.msgcount for c in reader.connections})
    assert points[0] == {f"/seen/again/front/points/{name}": 3 for name in ("obstacles", "ground")}
    assert sum(points[1].values()) == 0
    assert "CameraInfo is on /lens/front" in capsys.readouterr().err


@pytest.mark.parametrize(("share", "status"), [(0.6, 1), (1.0, 0)])
def test_what_is_missing_from_a_bag_decides_the_status(
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    share: float,
    status: int,
) -> None:
    pytest.importorskip("rosbags")
    from rosbags.rosbag2 import Reader
    from support.bags import a_camera, write_rosbags

    bag = write_rosbags(tmp_path / "bag", a_camera(8))
    file = next(bag.glob("*.mcap"))
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])
    (bag / "metadata.yaml").unlink()  # which is told, and is no loss
    out = tmp_path / "out"
    assert main(words(model, bag, "-o", out, "--outputs", "depth")) == status
    said = capsys.readouterr().err
    assert "has no metadata.yaml" in said
    assert ("breaks off" in said) == bool(status)
    with Reader(out) as reader:
        assert (reader.message_count < 16) == bool(status)


def test_videos_of_cameras_replace_nobodys_files(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("rosbags")
    pytest.importorskip("av")
    from support.bags import a_camera, write_rosbags

    bag = write_rosbags(tmp_path / "bag", a_camera(2) + a_camera(2, "/rear"))
    mine = tmp_path / "drive_front.mp4"
    mine.write_text("mine")
    command = words(model, bag, "-o", tmp_path / "drive.mp4", "--outputs", "depth")
    for _ in range(2):
        assert main(command) == 1
        assert "drive_front.mp4 is there and was not written by" in capsys.readouterr().err
        assert mine.read_text() == "mine"
    mine.unlink()
    assert main(command) == 0
    assert mine.exists()
    assert (tmp_path / "drive_rear.mp4").exists()


@needs_compiler
def test_raw_images_of_a_bag_are_fitted_on_the_gpu_and_look_the_same(
    model: Path, tmp_path: Path
) -> None:
    pytest.importorskip("rosbags")
    from support.bags import a_camera, write_rosbags

    bag = write_rosbags(tmp_path / "bag", a_camera(frames=5))
    seen = []
    for options in ([], ["--fit-on-gpu"]):
        out = tmp_path / f"out{len(options)}"
        with gpu_double(tmp_path / "cache" / "mtinet_ros", "cuda-bindings") as machine:
            command = ["process", "-m", model, "--backend", "tensorrt", bag, "-o", out, *options]
            command += ["--format", "folder", "--outputs", "overlay"]
            assert main([str(word) for word in command]) == 0
            assert bool(machine.calls["cuLaunchKernel"]) == bool(options)
        files = sorted(out.rglob("*.jpg"))
        assert len(files) == 5
        seen.append(np.array([cv2.imread(str(file)) for file in files]).astype(int))
    assert np.abs(seen[1] - seen[0]).max() <= 4  # JPEG
    assert seen[1].std() > 10

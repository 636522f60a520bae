# SPDX-License-Identifier: Apache-2.0
"""What goes wrong with the files of `newcomer`: a function for each such thing in a folder."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import torch
from support import bags, newcomer
from support.tiny_model import write_tiny_model
from support.videos import write_video

from mtinet_ros.network import MTINet
from mtinet_ros.network.build import build_network
from mtinet_ros.scenes.storage.production import RenderSettings, prepare_folder


def cut_short(folder: Path) -> None:
    newcomer.pictures(folder / "my_pictures")
    content = (folder / "my_pictures/room1.jpg").read_bytes()
    (folder / "my_pictures/room1.jpg").write_bytes(content[: len(content) // 2])


def hidden(folder: Path) -> None:
    newcomer.pictures(folder / "my_pictures")
    (folder / "my_pictures/.room9.jpg").write_bytes(b"no picture")


def changed(folder: Path) -> None:
    newcomer.model(folder / "model.onnx")
    graph = onnx.load(folder / "model.onnx")
    graph.graph.node[0].name = "renamed"
    graph.graph.initializer[0].raw_data = bytes(len(graph.graph.initializer[0].raw_data))
    onnx.save(graph, folder / "model.onnx")


def outside(folder: Path) -> None:
    newcomer.model(folder / "model.onnx")
    graph = onnx.load(folder / "model.onnx")
    onnx.save(
        graph, folder / "model.onnx", save_as_external_data=True, location="weights.bin",
        size_threshold=0,
    )  # fmt: skip


def foreign(folder: Path) -> None:
    newcomer.model(folder / "model.onnx")
    graph = onnx.load(folder / "model.onnx")
    del graph.metadata_props[:]
    onnx.save(graph, folder / "model.onnx")


def one_channel(folder: Path) -> None:
    network = build_network(
        architecture="single_task", backbone="efficientnet_lite0", tasks={"depth": 1}
    )
    torch.save(network.state_dict(), folder / "weights.pth")


def text(content: str, name: str = "weights.pth") -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_text(content) and None


def torn(folder: Path) -> None:
    newcomer.nyud(folder / "NYUD_MT")
    (folder / "NYUD_MT/depth/0003.npy").unlink()


def strange_labels(folder: Path) -> None:
    newcomer.nyud(folder / "NYUD_MT")
    labels = np.full((48, 64), 77, np.uint8)
    cv2.imwrite(str(folder / "NYUD_MT/segmentation/0003.png"), labels)


def broken_video(folder: Path) -> None:
    newcomer.video(folder / "whole.mp4")
    content = (folder / "whole.mp4").read_bytes()
    (folder / "broken.mp4").write_bytes(content[: len(content) // 3])


def old_report(folder: Path) -> None:
    newcomer.report(folder / "new.json")
    old = json.loads((folder / "new.json").read_text())
    del old["data"]
    (folder / "old.json").write_text(json.dumps(old))


def another_lens(folder: Path) -> None:
    (folder / "lens.yaml").write_text(
        "image_width: 1920\nimage_height: 1080\ncamera_name: c\n"
        "camera_matrix: {rows: 3, cols: 3, data: [900, 0, 960, 0, 900, 540, 0, 0, 1]}\n"
        "distortion_model: plumb_bob\n"
        "distortion_coefficients: {rows: 1, cols: 5, data: [0, 0, 0, 0, 0]}\n"
        "rectification_matrix: {rows: 3, cols: 3, data: [1, 0, 0, 0, 1, 0, 0, 0, 1]}\n"
        "projection_matrix: {rows: 3, cols: 4, "
        "data: [900, 0, 960, 0, 0, 900, 540, 0, 0, 0, 1, 0]}\n"
    )


def own_files(folder: Path) -> None:
    (folder / "seen").mkdir()
    (folder / "seen/notes.txt").write_text("mine")


def longer(folder: Path) -> None:
    newcomer.pictures(folder / "my_pictures")
    with (folder / "my_pictures/room1.jpg").open("ab") as file:
        file.write(b"what a telephone appends")


def numbered(folder: Path) -> None:
    newcomer.pictures(folder / "numbered")
    for name in ("img10.jpg", "img2.jpg"):
        shutil.copy(folder / "numbered/room0.jpg", folder / "numbered" / name)
    for path in (folder / "numbered").glob("room*"):
        path.unlink()


def empty_bag(folder: Path) -> None:
    (folder / "empty.mcap").write_bytes(b"\x89MCAP0\r\n")


def without_metadata(folder: Path) -> None:
    newcomer.drive(folder / "drive")
    (folder / "drive/metadata.yaml").unlink()


def cut_bag(folder: Path) -> None:
    newcomer.drive(folder / "drive")
    (file,) = (folder / "drive").glob("*.mcap")
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def _state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return MTINet("efficientnet_lite0", {"depth": 1}).state_dict()


def whole_module(folder: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), folder / "weights.pth")


def script(folder: Path) -> None:
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), folder / "weights.pth")


def averaged(folder: Path) -> None:
    state = _state()
    torch.save({"state_dict": state, "state_dict_ema": state}, folder / "weights.pth")


def two_networks(folder: Path) -> None:
    state = _state()
    both = {f"student.{key}": value for key, value in state.items()}
    both |= {f"teacher.{key}": value + 1 for key, value in state.items()}
    torch.save(both, folder / "weights.pth")


def incomplete(folder: Path) -> None:
    state = _state()
    torch.save(dict(list(state.items())[:-1]), folder / "weights.pth")


def five_classes(folder: Path) -> None:
    write_tiny_model(folder / "five.onnx")


def taken(folder: Path) -> None:
    newcomer.nyud(folder / "NYUD_MT")
    (folder / "COMPACT/segmentation").mkdir(parents=True)
    (folder / "COMPACT/segmentation/0000.png").write_bytes(b"somebody's")


def turned_away(folder: Path) -> None:
    newcomer.nyud(folder / "NYUD_MT")
    path = folder / "NYUD_MT/normals/0008.npy"
    np.save(path, -np.load(path))


def in_two_lists(folder: Path) -> None:
    newcomer.nyud(folder / "NYUD_MT")
    with (folder / "NYUD_MT/gt_sets/val.txt").open("a") as file:
        file.write("0000\n")


def begun_rooms(folder: Path) -> None:
    settings = RenderSettings(
        seed=0, height=48, width=64, furniture=os.environ["MTINET_FURNITURE"],
        licenses=("CC-BY-3.0", "CC-BY-3.0-US", "CC0-1.0"), stills=12, path=15,
    )  # fmt: skip
    prepare_folder(folder / "few", 2, settings)


def without_fingerprint(folder: Path) -> None:
    write_tiny_model(folder / "model.onnx")


def interlaced(folder: Path) -> None:
    write_video(folder / "tape.mp4", count=3, options={"x264-params": "tff=1"})


def bent(folder: Path) -> None:
    newcomer.model(folder / "model.onnx")
    recorded = bags.a_camera(2, "/camera")
    for message in list(recorded):
        stamp = message.time - 1_000_000
        if message.type_name == bags.CAMERA_INFO:
            bend = bags.info(message.time - 1_100_000, bend=0.1)
            recorded.append(replace(message, message=bend))
            recorded.remove(message)
        else:
            labels = bags.image(stamp, np.full((12, 16), 7, np.uint8), "mono8")
            recorded.append(bags.Recorded("/sim/labels", bags.IMAGE, message.time, labels))
    bags.write_rosbags(folder / "sim_bag", recorded)

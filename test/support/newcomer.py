# SPDX-License-Identifier: Apache-2.0
"""What the pages' commands name and do not bring: models, weights, data sets, recordings.

All of it is tiny, and made once; a command gets copies of what it names.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from support import bags
from support.box_furniture import BOXES, write_library
from support.pages import ROOT
from support.tiny_model import random_images, tiny_card, write_tiny_model
from support.tiny_run import write_rooms
from support.toy_nyud import write_toy_nyud
from support.videos import write_video

from mtinet_ros.cli.main import main
from mtinet_ros.datasets.class_sets import CLASS_SETS, NYUD_CLASSES, voc_palette
from mtinet_ros.datasets.nyud_layout import MARKER, Meaning
from mtinet_ros.export.onnx_graph import attach_card
from mtinet_ros.model_card import METADATA_KEY, ModelCard
from mtinet_ros.model_contract import TASK_OUTPUTS
from mtinet_ros.network import MTINet, save_checkpoint

ROOMS = CLASS_SETS["rooms"]


def model(
    path: Path, outputs: tuple[str, ...] = ("labels", "depth", "normals"), name: str = "tiny"
) -> None:
    """A model of the 13 classes of rooms, whose answers mean nothing."""
    tasks = tuple(task for task in tiny_card().tasks if TASK_OUTPUTS[task] in outputs)
    card = replace(
        tiny_card(name=name), class_names=ROOMS.names, palette=ROOMS.palette, tasks=tasks,
        untrained=False, confidence={"temperature": 1.0} if "confidence" in outputs else {},
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("support.tiny_model.CLASSES", len(ROOMS.names))
        write_tiny_model(path, card, outputs)
    graph = onnx.load(path)
    attach_card(graph, card)
    onnx.save(graph, path)


def weights(path: Path, tasks: dict[str, int]) -> None:
    """Random weights of a small network, as `mtinet train` or a script stores them."""
    torch.manual_seed(0)
    network = MTINet("efficientnet_lite0", tasks)
    if path.suffix == ".pth" or path.name.endswith(".pth.tar"):
        torch.save({"state_dict": network.state_dict()}, path)
        return
    has_rooms = tasks.get("semseg") == len(ROOMS.names)
    card = ModelCard(
        path.stem, tuple(task for task in tasks if task in TASK_OUTPUTS), (64, 96),
        class_names=ROOMS.names if has_rooms else NYUD_CLASSES if "semseg" in tasks else (),
        palette=ROOMS.palette if has_rooms else voc_palette(tasks.get("semseg", 0)),
        focal_length=100.0,
    )  # fmt: skip
    header = {METADATA_KEY: card.to_json(), "depth_output": "metres"}
    save_checkpoint(path, network, **header)


def room_weights(path: Path) -> None:
    """Weights of a network for labels and depth of rooms."""
    weights(path, {"semseg": 13, "depth": 1})


def pictures(path: Path) -> None:
    """Three pictures."""
    path.mkdir()
    for number, image in enumerate(random_images(3)):
        _write(path / f"room{number}.jpg", image)


def rooms(path: Path) -> None:
    """Rooms of `mtinet scenes` of three splits."""
    path.mkdir(parents=True)
    write_rooms(path)
    shutil.copytree(path / "val", path / "test")


def nyud(path: Path) -> None:
    """NYU Depth V2 as the authors have it, in small."""
    write_toy_nyud(path, training=10, validation=0)
    lists = {"train": "0000 0001 0003 0004 0006", "val": "0008", "test": "0009"}
    for split, names in lists.items():
        (path / f"gt_sets/{split}.txt").write_text("\n".join(names.split()) + "\n")


def measurable(path: Path) -> None:
    """The same with a marker: its pictures are small, so that no border is to be cut off."""
    nyud(path)
    (path / MARKER).write_text(Meaning("nyu40", "x,y,-z", 0.0, None, None).to_json())


def compact(path: Path) -> None:
    """The same in the other layout, without a list of its own to choose models by."""
    with tempfile.TemporaryDirectory() as folder:
        nyud(Path(folder) / "authors")
        (Path(folder) / "authors/gt_sets/val.txt").unlink()
        assert main(["data", "convert", f"{folder}/authors", "-o", str(path)]) == 0


def video(path: Path) -> None:
    """Six pictures of a wall that the camera moves along."""
    noise = np.random.default_rng(0).normal(0, 1, (64, 192, 3))
    wall = np.clip(128 + 500 * cv2.GaussianBlur(noise, (0, 0), 4.0), 0, 255).astype(np.uint8)
    moved = [np.ascontiguousarray(wall[:, 4 * number :][:, :128]) for number in range(6)]
    write_video(path, moved)


def videos(path: Path) -> None:
    """Two videos."""
    path.mkdir(exist_ok=True)
    for name in ("day.mp4", "night.mp4"):
        video(path / name)


def drive(path: Path) -> None:
    """A bag of two cameras, an image of each in ten seconds."""
    recorded = [
        message
        for camera in ("/front", "/rear", "/camera")
        for message in bags.a_camera(9, camera, 10 * bags.SECOND)
    ]
    bags.write_rosbags(path, sorted(recorded, key=lambda one: one.time))


def simulated(path: Path) -> None:
    """A bag of a simulator that calls the upper half 7, the rest 8, two metres away."""
    recorded = bags.a_camera(3, "/camera")
    labels = np.full((12, 16), 7, np.int32)
    labels[6:] = 8
    truth = {"labels": labels, "semantic": labels, "depth": np.full((12, 16), 2, np.float32)}
    for message in [one for one in recorded if one.type_name == bags.IMAGE]:
        stamp = message.time - 1_000_000
        for name, pixels in truth.items():
            image = bags.image(stamp, pixels, "32FC1" if name == "depth" else "32SC1")
            for topic in (f"/sim/{name}", f"/camera/{name}"):
                recorded.append(bags.Recorded(topic, bags.IMAGE, message.time, image))
    bags.write_rosbags(path, recorded)


def classes(path: Path) -> None:
    """What a simulator's ids are."""
    path.write_text("0: void\n7: wall\n")


def report(path: Path) -> None:
    """A report on the rooms; of the tasks in the file's name, or of all."""
    outputs = {"semseg": ("labels",), "depth": ("depth",)}.get(
        path.stem, ("labels", "depth", "normals")
    )
    with tempfile.TemporaryDirectory() as folder:
        measured, data = Path(folder) / "measured.onnx", Path(folder) / "rooms"
        model(measured, outputs)
        rooms(data)
        assert main(["evaluate", str(measured), "--data", str(data), "--json", str(path)]) == 0


ROOM_TASKS = {"semseg": 13, "depth": 1, "normals": 3}
NYUD_TASKS = {"semseg": 40, "depth": 1}
MAKERS: dict[str, Callable[[Path], None]] = {
    **dict.fromkeys(["model.onnx", "MODEL", "old.onnx", "new.onnx"], model),
    **dict.fromkeys(
        ["weights.pth.tar", "CHECKPOINT", "multi.safetensors"],
        lambda path: weights(path, NYUD_TASKS),
    ),
    "semseg.safetensors": lambda path: weights(path, {"semseg": 40}),
    "depth.safetensors": lambda path: weights(path, {"depth": 1}),
    **dict.fromkeys(
        [
            "weights.safetensors", "latest.safetensors",
            "build/train/rooms/latest.safetensors", "build/train/indoor/latest.safetensors",
        ],
        lambda path: weights(path, ROOM_TASKS),
    ),
    "picture.jpg": lambda path: _write(path, random_images(1)[0]),
    **dict.fromkeys(["my_pictures/", "pictures"], pictures),
    **dict.fromkeys(["rooms", "build/rooms"], rooms),
    "NYUD_MT": nyud,
    **dict.fromkeys(["nyud", "NYUD", "build/nyud"], measurable),
    "COMPACT": compact,
    **dict.fromkeys(["drive/", "drive_bag"], drive),
    "sim_bag": simulated,
    "sim.yaml": classes,
    **dict.fromkeys(["kitchen.mp4", "kitchen.mov"], video),
    "videos/*.mp4": lambda path: videos(path.parent),
    **dict.fromkeys(["old.json", "new.json", "multi.json", "semseg.json", "depth.json"], report),
}  # fmt: skip
_WRITTEN_AFTER = ("-o", "--html", "--json", "--save")


class Newcomer:
    """A folder in which commands of the pages are typed, and what was made for such folders."""

    def __init__(self, made: Path) -> None:
        self._made = made

    def provide(
        self, folder: Path, words: Sequence[str], makers: Mapping[str, Callable[[Path], None]] = {}
    ) -> None:
        """Put what a command reads into a folder, and nothing of what it writes.

        Args:
            folder: Where the command will be run.
            words: The command.
            makers: What makes words that mean something else than in `MAKERS`.
        """
        for before, word in zip(("", *words), words, strict=False):
            make = {**MAKERS, **makers}.get(word)
            if make and before not in _WRITTEN_AFTER and not (folder / word).exists():
                self._copy(word, make, folder / word)

    def _copy(self, word: str, make: Callable[[Path], None], target: Path) -> None:
        name = "".join(letter if letter.isalnum() else "_" for letter in word)
        master = self._made / f"{make.__name__}_{name}" / word
        if not master.exists():
            master.parent.mkdir(parents=True, exist_ok=True)
            make(master)
        if "*" in word:
            master, target = master.parent, target.parent
        target.parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if master.is_dir() else shutil.copy
        copy(master, target)


def installation(folder: Path) -> None:
    """What is beside the package, but a bundled model that takes a millisecond; furniture."""
    folder.mkdir()
    for path in ROOT.iterdir():
        if path.name not in ("models", "build", ".git"):
            (folder / path.name).symlink_to(path)
    (folder / "models").mkdir()
    (folder / "furniture").mkdir()
    for name, boxes in BOXES.items():
        write_library(folder / "furniture", name, boxes)
    outputs = ("labels", "confidence", "depth", "normals")
    model(folder / "models/mtinet_indoor.onnx", outputs, "mtinet_indoor")


def _write(path: Path, image: NDArray[np.uint8]) -> None:
    assert cv2.imwrite(str(path), image)

# SPDX-License-Identifier: Apache-2.0
"""A training run on a handful of tiny frames."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from mtinet_ros.training.config import TrainConfig
from mtinet_ros.training.config_file import load_config

ROOT = Path(__file__).parents[2]
ROWS, COLUMNS = 48, 64


def write_rooms(root: Path) -> None:
    """Rooms in the layout of `mtinet scenes`: a coloured wall at a random distance."""
    (root / "index.json").write_text(json.dumps({"format": "mtinet_ros.scenes"}))
    rows = ["a | Bob | CC-BY-3.0", "b | Ann | CC-BY-3.0", "c | Cy | CC0-1.0"]
    (root / "CREDITS.md").write_text("# Furniture\n" + "".join(f"| {row} |\n" for row in rows))
    random = np.random.default_rng(0)
    for split, frames in (("train", 6), ("val", 3)):
        folder = root / split / "scene_00000"
        folder.mkdir(parents=True)
        # Validation frames are alike: a camera that stands still.
        labels = (
            random.integers(0, 13, (frames, 2, 2)).repeat(24, 1).repeat(32, 2).astype(np.uint8)
        )
        if split == "val":
            labels[:] = labels[0]
        image = np.stack([labels * 19, 255 - labels * 17, labels * 7], -1)
        normals = np.zeros((frames, ROWS, COLUMNS, 3), np.int8)
        normals[..., 2] = -127
        path = np.full((frames, 2), -1, np.int32)
        path[:, 0], path[:, 1] = 0, np.arange(frames)
        arrays = {
            "rgb": image,
            "classes": labels,
            "instance": labels.astype(np.uint16),
            "depth": (1 + labels * 0.3).astype(np.float32),
            "normals": normals,
            "intrinsics": np.tile([50.0, 50.0, 31.5, 23.5], (frames, 1)),
            "pose": np.tile(np.eye(4), (frames, 1, 1)),
            "path": path,
        }
        for name, array in arrays.items():
            np.save(folder / f"{name}.npy", array)
        (folder / "scene.json").write_text("{}")


SHIPPED = ROOT / "config" / "train" / "rooms.yaml"


def settings(rooms: Path, output: Path, steps: int, overrides: Sequence[str] = ()) -> list[str]:
    """What makes the shipped configuration small, for `mtinet train --set`."""
    return [
        f"data.root={rooms}",
        f"run.output={output}",
        f"optimizer.max_steps={steps}",
        "optimizer.decay_steps=1",
        "network.initial=random",
        "data.height=32",
        "data.width=64",
        "data.batch_size=2",
        "data.workers=0",
        "data.validation_frames=2",
        "run.validate_steps=2",
        "run.image_minutes=1000",
        "run.log_steps=1",
        "run.accelerator=cpu",
        "run.precision=32-true",
        *overrides,
    ]


def configuration(
    rooms: Path, output: Path, steps: int, overrides: Sequence[str] = ()
) -> TrainConfig:
    """A run of the shipped configuration in small."""
    return load_config(SHIPPED, settings(rooms, output, steps, overrides))


def same_state(one: Path, two: Path) -> bool:
    """Weights, averaged weights and optimiser of two runs agree bit by bit."""
    states = [torch.load(folder / "last.ckpt", weights_only=True) for folder in (one, two)]
    weights = [
        {**s["state_dict"], **{f"current.{k}": v for k, v in s["current_model_state"].items()}}
        for s in states
    ]
    moments = [s["optimizer_states"][0]["state"] for s in states]
    return (
        states[0]["global_step"] == states[1]["global_step"]
        and all(torch.equal(v, weights[1][k]) for k, v in weights[0].items())
        and all(
            torch.equal(v, moments[1][parameter][k])
            for parameter, values in moments[0].items()
            for k, v in values.items()
        )
    )

# SPDX-License-Identifier: Apache-2.0
"""The same as `test_claims.py`, of the pages on data, training and measuring."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.pages import ROOT

pytest.importorskip("torch")
pytest.importorskip("torchmetrics")
pytest.importorskip("tqdm")
pytest.importorskip("rosbags")
pytest.importorskip("av")

from support import newcomer, spoiled
from support.claims import Claim, hold
from support.newcomer import Newcomer

Said = pytest.CaptureFixture[str]


TRUTH = "evaluate model.onnx --data sim_bag --truth labels=/sim/labels --classes sim.yaml"
CLAIMS = [
    Claim(
        "docs/evaluation.md",
        "A report (`.json`) of one model is shown again",
        "evaluate new.json",
        0,
        ("on 3 frames of rooms, split test", "pixel accuracy"),
        lambda folder: newcomer.report(folder / "new.json"),
    ),
    Claim(
        "docs/evaluation.md",
        "where `mtinet inspect` shows them",
        "inspect model.onnx",
        0,
        ("real-rooms (1 frames)",),
        "evaluate model.onnx --data nyud --record real-rooms",
    ),
    Claim(
        "docs/evaluation.md",
        "A report of version 0.1 does not say what it is of; measure again",
        "evaluate --compare old.json new.json",
        1,
        ("measure",),
        spoiled.old_report,
    ),
    Claim(
        "docs/evaluation.md",
        "A class that the model does not have",
        TRUTH,
        1,
        ("porch",),
        spoiled.text("7: porch\n", "sim.yaml"),
    ),
    Claim(
        "docs/evaluation.md",
        "a line that is there twice, is\nrefused",
        TRUTH,
        1,
        ("7",),
        spoiled.text("7: wall\n7: floor\n", "sim.yaml"),
    ),
    Claim(
        "docs/evaluation.md",
        "so is truth that is void throughout",
        TRUTH,
        1,
        ("are void",),
        spoiled.text("99: wall\n", "sim.yaml"),
    ),
    Claim(
        "docs/data.md",
        "The exit status is 1 where something is wrong",
        "data check NYUD_MT -o report",
        1,
        ("0003",),
        spoiled.torn,
    ),
    Claim(
        "docs/data.md",
        "labels that the classes do not have",
        "data check NYUD_MT -o report",
        1,
        ("0003.png has the label 77",),
        spoiled.strange_labels,
    ),
    Claim(
        "docs/data.md",
        "a half copied folder\ntrains nothing",
        "evaluate model.onnx --data NYUD_MT --split train",
        1,
        ("0003",),
        spoiled.torn,
    ),
    Claim(
        "models/README.md",
        "`mtinet inspect` says which data made a model and what was measured of it",
        "inspect models/mtinet_indoor.onnx",
        0,
        ("NYU Depth", "accuracy of the graph"),
    ),
    Claim(
        "docs/evaluation.md",
        "Any other difference of classes is refused",
        "evaluate five.onnx --data build/rooms",
        1,
        ("5 classes",),
        spoiled.five_classes,
    ),
    Claim(
        "docs/evaluation.md",
        "the same kind of data, split, number of frames",
        "evaluate --compare a.json b.json",
        1,
        ("different",),
        "evaluate model.onnx --data build/rooms --json a.json"
        " && evaluate model.onnx --data build/rooms --frames 1 --json b.json",
    ),
    Claim(
        "docs/evaluation.md",
        "Models need not have the same tasks: what both have is compared",
        "evaluate --compare multi.json semseg.json",
        0,
        ("pixel accuracy",),
    ),
    Claim(
        "docs/evaluation.md",
        "`--frames N` takes the first so many",
        "evaluate model.onnx --data build/rooms --frames 1",
        0,
        ("on 1 frames of rooms",),
    ),
    Claim(
        "docs/data.md",
        "nothing that it did not write is written over",
        "data convert NYUD_MT -o COMPACT",
        1,
        ("COMPACT",),
        spoiled.taken,
    ),
    Claim(
        "docs/data.md",
        "A frame of which nine in ten normals face\naway from the camera is refused",
        "evaluate model.onnx --data NYUD_MT --split val",
        1,
        ("0008",),
        spoiled.turned_away,
    ),
    Claim(
        "docs/data.md",
        "frames in two lists",
        "data check NYUD_MT -o report",
        1,
        ("0000",),
        spoiled.in_two_lists,
    ),
    Claim(
        "docs/training.md",
        "An unknown entry is refused with the list of those there are",
        "train config/train/rooms.yaml --set data.colour=1",
        1,
        ("colour", "batch_size"),
    ),
    Claim(
        "docs/training.md",
        "A setting that the kind would\nignore is refused",
        "train config/train/rooms.yaml --set augmentation.kind=nyud",
        1,
        ("augmentation.zoom means nothing to the kind nyud; that takes flip, zooms",),
    ),
    Claim(
        "docs/scenes.md",
        "A folder continues only with the settings it was begun with",
        "scenes -n 2 -o few --size 96x64",
        1,
        ("few was begun with height 48, width 64", "not height 64, width 96"),
        spoiled.begun_rooms,
    ),
    Claim(
        "docs/data.md",
        "in their own folder, without `-o`",
        "data check build/rooms -o report",
        1,
        ("leave out --output",),
    ),
    Claim(
        "docs/evaluation.md",
        "each report of one task",
        "evaluate multi.json --single-task multi.json depth.json",
        1,
        ("multi.json",),
    ),
    Claim(
        "docs/evaluation.md",
        "Where a task\nof the model is in no report, Δm is over the others",
        "evaluate multi.json --single-task semseg.json",
        0,
        ("Multi-task … labels: mIoU", "Δm"),
    ),
    Claim(
        "docs/export.md",
        "say that its figures cannot be verified",
        "inspect model.onnx",
        0,
        ("cannot be verified",),
        spoiled.without_fingerprint,
    ),
    Claim(
        "docs/evaluation.md",
        "Pictures that are distorted by their lens, which the node rectifies, are refused",
        TRUTH,
        1,
        ("is distorted by its lens",),
        spoiled.bent,
    ),
]


@pytest.mark.parametrize("claim", CLAIMS, ids=str)
def test_what_a_page_claims_is_so(
    claim: Claim, reader: Newcomer, folder: Path, capsys: Said
) -> None:
    (folder / "models").symlink_to(ROOT / "models")
    hold(claim, reader, folder, lambda: "".join(capsys.readouterr()))

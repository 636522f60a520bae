# SPDX-License-Identifier: Apache-2.0
"""What sentences of the pages say that a command answers, refuses or ends with, it does.

Each case has the words of a page, which must be there, what a reader has done, what is typed then,
the status, and what is said. What `test_runs.py` and the commands' own tests hold is not repeated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.pages import ROOT

pytest.importorskip("torch")
pytest.importorskip("torchmetrics")
pytest.importorskip("tqdm")
pytest.importorskip("rosbags")
pytest.importorskip("av")

from support import newcomer, spoiled
from support.newcomer import Newcomer

from mtinet_ros.cli.main import main

Said = pytest.CaptureFixture[str]


@dataclass(frozen=True)
class Claim:
    """Words of a page; what was done before (commands, or to the files); a command and its end."""

    page: str
    words: str
    command: str
    status: int
    says: tuple[str, ...]
    before: str | Callable[[Path], None] = ""


SHARD = "process my_pictures/ -o seen --shard"
TRUTH = "evaluate model.onnx --data sim_bag --truth labels=/sim/labels --classes sim.yaml"
CLAIMS = [
    Claim(
        "README.md",
        "pictures that cannot be read are named and left out, and the status is then 1",
        "predict my_pictures/ -m model.onnx -o seen",
        1,
        ("room1.jpg", "room2.jpg: seen/room2_*"),
        spoiled.cut_short,
    ),
    Claim(
        "README.md",
        "hidden files are no\npictures",
        "predict my_pictures/ -m model.onnx -o seen",
        0,
        ("room2.jpg: seen/room2_*",),
        spoiled.hidden,
    ),
    Claim(
        "README.md",
        "pictures and results together",
        "predict my_pictures/ -m model.onnx -o my_pictures",
        0,
        ("room2.jpg: my_pictures/room2_*",),
        "predict my_pictures/ -m model.onnx -o my_pictures",
    ),
    Claim(
        "docs/process.md",
        "or of videos, is refused with the pattern to name them",
        "process videos -o seen",
        1,
        ("give them each: videos/*.mp4",),
        lambda folder: newcomer.videos(folder / "videos"),
    ),
    Claim(
        "docs/process.md",
        "an output of which anything is done is refused without `--resume`",
        "process my_pictures/ -o seen",
        1,
        ("--resume",),
        "process my_pictures/ -o seen",
    ),
    Claim(
        "docs/process.md",
        "and one that mtinet did not write always is",
        "process my_pictures/ -o seen --resume",
        1,
        ("was not written by mtinet process",),
        spoiled.own_files,
    ),
    Claim(
        "docs/process.md",
        "If something differs, it says what",
        "process my_pictures/ -o seen --resume --every 2",
        1,
        ("--every",),
        "process my_pictures/ -o seen",
    ),
    Claim(
        "docs/process.md",
        "`--resume` on an output that was not begun begins it",
        "process my_pictures/ -o seen --resume",
        0,
        ("seen: 3 frames",),
    ),
    Claim(
        "docs/process.md",
        "the first five are named at the end, with how many there are",
        "process my_pictures/ -o seen",
        1,
        ("room1", "1 of 3 frames could not be read"),
        spoiled.cut_short,
    ),
    Claim(
        "docs/process.md",
        "A calibration for another size is refused",
        "process my_pictures/ -o seen --camera-info lens.yaml",
        1,
        ("1920x1080",),
        spoiled.another_lens,
    ),
    Claim(
        "docs/process.md",
        "go into bags only",
        "process my_pictures/ -o seen --outputs points",
        1,
        ("names points and the output is a folder",),
    ),
    Claim(
        "docs/process.md",
        "one that cannot be read at all is told, and the others are done",
        "process broken.mp4 my_pictures/ -o seen",
        1,
        ("broken.mp4", "seen/my_pictures: 3 frames"),
        spoiled.broken_video,
    ),
    Claim(
        "docs/process.md",
        "what is no recording is refused before anything is done",
        "process notes.txt my_pictures/ -o seen",
        1,
        ("notes.txt is no bag, video or picture",),
        spoiled.text("mine", "notes.txt"),
    ),
    Claim(
        "docs/process.md",
        "that a job which may be started again can always have it",
        "process my_pictures/ -o seen --resume",
        0,
        ("3 frames already",),
        "process my_pictures/ -o seen --resume",
    ),
    Claim(
        "docs/scaling.md",
        "A shard that is missing or not complete is named",
        "process --merge -o seen",
        1,
        ("2/2",),
        SHARD + " 1/2",
    ),
    Claim(
        "docs/scaling.md",
        "`--merge` says what differs",
        "process --merge -o seen",
        1,
        ("--every",),
        SHARD + " 1/2 && " + SHARD + " 2/2 --every 2",
    ),
    Claim(
        "docs/scaling.md",
        "merging may be\nrepeated",
        "process --merge -o seen",
        0,
        ("seen: 3 frames",),
        SHARD + " 1/2 && " + SHARD + " 2/2 && process --merge -o seen",
    ),
    Claim(
        "docs/weights.md",
        "of one channel it is refused unless a header tells",
        "export weights.pth -o model.onnx",
        1,
        ("may be depth, edge or sal",),
        spoiled.one_channel,
    ),
    Claim(
        "docs/weights.md",
        "a git-LFS pointer",
        "export weights.pth -o model.onnx",
        1,
        ("git", "LFS"),
        spoiled.text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"),
    ),
    Claim(
        "docs/weights.md",
        "a web page",
        "export weights.pth -o model.onnx",
        1,
        ("web page",),
        spoiled.text("<!DOCTYPE html><html><body>404</body></html>"),
    ),
    Claim(
        "docs/weights.md",
        "the index of sharded weights",
        "export weights.pth -o model.onnx",
        1,
        ("index",),
        spoiled.text('{"metadata": {}, "weight_map": {"a": "model-00001-of-00002.safetensors"}}'),
    ),
    Claim(
        "docs/weights.md",
        "an ONNX file of another network | not taken",
        "predict my_pictures/ -m model.onnx -o seen",
        1,
        ("mtinet export",),
        spoiled.foreign,
    ),
    Claim(
        "docs/export.md",
        "every command and the node say so",
        "inspect model.onnx",
        0,
        ("another tool has changed the graph",),
        spoiled.changed,
    ),
    Claim(
        "docs/export.md",
        "A model is one file: one that keeps its weights in others is refused",
        "inspect model.onnx",
        1,
        ("model.onnx",),
        spoiled.outside,
    ),
    Claim(
        "docs/export.md",
        "`--calibration bag\\|video\\|folder`, 20 pictures or more",
        "export weights.safetensors -o model.onnx --precision int8",
        1,
        ("--calibration",),
    ),
    Claim(
        "docs/evaluation.md",
        "A report (`.json`) is shown again",
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
]


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: f"{claim.page}-{claim.words[:40]}")
def test_what_a_page_claims_is_so(
    claim: Claim, reader: Newcomer, folder: Path, capsys: Said
) -> None:
    assert " ".join(claim.words.split()) in " ".join((ROOT / claim.page).read_text().split())
    (folder / "models").symlink_to(ROOT / "models")
    if callable(claim.before):
        claim.before(folder)
    else:
        for command in filter(None, claim.before.split(" && ")):
            reader.provide(folder, command.split())
            assert main(command.split()) == 0
    words = claim.command.split()
    reader.provide(folder, words)
    capsys.readouterr()
    status = main(words)
    printed = "".join(capsys.readouterr())
    assert status == claim.status, printed
    assert [said for said in claim.says if said not in printed] == [], printed
    assert "Traceback" not in printed

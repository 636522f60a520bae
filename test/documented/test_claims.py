# SPDX-License-Identifier: Apache-2.0
"""What sentences of the pages say that a command answers, refuses or ends with, it does.

Each case has the words of a page, which must be there, what a reader has done, what is typed then,
the status, and what is said. What `test_runs.py` and the commands' own tests hold is not repeated.
"""

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


SHARD = "process my_pictures/ -o seen --shard"
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
        "what is no recording, and an option that is not for one of them, is refused before",
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
        "README.md",
        "whatever lies behind their end is ignored",
        "predict my_pictures/ -m model.onnx -o seen",
        0,
        ("room1.jpg: seen/room1_*",),
        spoiled.longer,
    ),
    Claim(
        "docs/process.md",
        "a pattern in quotes",
        "process my_pictures/*.jpg -o seen",
        0,
        ("seen: 3 frames",),
        lambda folder: newcomer.pictures(folder / "my_pictures"),
    ),
    Claim(
        "docs/process.md",
        "`img2` comes before `img10`",
        "process numbered -o seen",
        0,
        ("seen: 2 frames",),
        spoiled.numbered,
    ),
    Claim(
        "docs/process.md",
        "results of mtinet left out",
        "process my_pictures/ -o again",
        0,
        ("again: 3 frames",),
        "process my_pictures/ -o my_pictures/seen",
    ),
    Claim(
        "docs/process.md",
        "OUT is called `….mcap` or `….db3`",
        "process drive/ -o seen.db3 --topics /front/image_raw",
        0,
        ("seen.db3: 9 frames",),
    ),
    Claim(
        "docs/process.md",
        "or times of\nthe clock",
        "process drive/ -o seen --start 2023-11-14T22:14:30Z --topics /front/image_raw",
        0,
        ("seen: 2 frames",),
    ),
    Claim(
        "docs/process.md",
        "START belongs to it, END does not",
        "process my_pictures/ -o seen --start 1 --end 2",
        0,
        ("seen: 1 frames",),
    ),
    Claim(
        "docs/bags.md",
        "a bag refused, with a sentence that says why",
        "process empty.mcap -o seen",
        1,
        ("empty.mcap",),
        spoiled.empty_bag,
    ),
    Claim(
        "docs/bags.md",
        "no metadata.yaml",
        "process drive/ -o seen --topics /front/image_raw",
        0,
        ("metadata.yaml", "seen: 9 frames"),
        spoiled.without_metadata,
    ),
    Claim(
        "docs/bags.md",
        "the status 1 then if messages are missing",
        "process drive/ -o seen --topics /front/image_raw",
        1,
        ("cut off",),
        spoiled.cut_bag,
    ),
    Claim(
        "docs/bags.md",
        "What is left out is told",
        "process sim_bag -o seen",
        0,
        ("left out as no pictures of cameras: /camera/depth (is 32FC1)",),
    ),
    Claim(
        "docs/weights.md",
        "so are pickles of whole modules",
        "export weights.pth -o model.onnx",
        1,
        ("module",),
        spoiled.whole_module,
    ),
    Claim(
        "docs/weights.md",
        "a TorchScript archive",
        "export weights.pth -o model.onnx",
        1,
        ("TorchScript",),
        spoiled.script,
    ),
    Claim(
        "docs/weights.md",
        "the command says which it took",
        "export weights.pth -o copy.safetensors",
        0,
        ("averaged",),
        spoiled.averaged,
    ),
    Claim(
        "docs/weights.md",
        "Several networks of equal right (`student.`, `teacher.`) are refused",
        "export weights.pth -o copy.safetensors",
        1,
        ("student", "teacher"),
        spoiled.two_networks,
    ),
    Claim(
        "docs/weights.md",
        "Weights that do not fit are refused with what is missing, unexpected or of another shape",
        "export weights.pth -o copy.safetensors",
        1,
        ("missing",),
        spoiled.incomplete,
    ),
    Claim(
        "docs/process.md",
        "Both are told, as are interlaced frames",
        "process tape.mp4 -o seen",
        0,
        ("is interlaced",),
        spoiled.interlaced,
    ),
]


@pytest.mark.parametrize("claim", CLAIMS, ids=str)
def test_what_a_page_claims_is_so(
    claim: Claim, reader: Newcomer, folder: Path, capsys: Said
) -> None:
    (folder / "models").symlink_to(ROOT / "models")
    hold(claim, reader, folder, lambda: "".join(capsys.readouterr()))

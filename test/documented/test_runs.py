# SPDX-License-Identifier: Apache-2.0
"""The commands that the pages tell do what the pages say they do.

A block of commands of `mtinet` (with `ls FOLDER` and `echo $?`) which a block of the kind `text`
follows is run, and held to that text. Any other whole command is run for its status, for what
`RUN` says that it prints and for the files that it writes, with small models, data and recordings
in place of the reader's; those for which that takes a GPU, the network or minutes are in
`ELSEWHERE`, with the test that has them.
"""

from __future__ import annotations

import itertools
import re
import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.pages import CODE, ROOT, Code, is_understood, lines, whole_commands, with_output

pytest.importorskip("torch")
pytest.importorskip("torchmetrics")
pytest.importorskip("tqdm")
pytest.importorskip("rosbags")
pytest.importorskip("av")

from support import newcomer
from support.newcomer import Newcomer

from mtinet_ros.cli.main import main

Said = pytest.CaptureFixture[str]


@dataclass(frozen=True)
class Run:
    """What a page says of a command: `says` it prints, `leaves` it writes (patterns of files).

    `but` are options that make it cheap, `given` says what words of it stand for.
    """

    says: tuple[str, ...] = ()
    leaves: tuple[str, ...] = ()
    status: int = 0
    but: tuple[str, ...] = ()
    given: Mapping[str, Callable[[Path], None]] = field(default_factory=dict)


CHEAPLY = {"export": ("--input-size", "64x96", "--max-batch", "1")}
"""Options by which a command whose output is shown takes seconds instead of more."""
SLOW = {"export", "scenes"}  # pages whose output takes a traced network, a rendered room
RUN: dict[str, Run] = {
    # README.md
    "predict picture.jpg -o results/": Run(
        ("picture.jpg: results/picture_*, depth up to scale (no --focal-length)",),
        tuple(
            f"results/picture_{what}"
            for what in ("labels.png", "confidence.png", "depth.npy", "normals.npy", "montage.png")
        ),
    ),
    "process drive/ -o seen": Run(("seen: 27 frames",), ("seen/metadata.yaml",)),
    "benchmark model.onnx": Run(("preprocess", "compute", "images/s"), but=("--frames", "3")),
    "bf16 model.onnx": Run(("bf16",)),
    # export.md, weights.md
    "inspect model.onnx": Run(("classes", "accuracy of the graph")),
    "predict my_pictures/ -m model.onnx -o seen --focal-length 535": Run(
        ("my_pictures/room0.jpg: seen/room0_*, depth in metres",), ("seen/room2_montage.png",)
    ),
    "bf16 model.onnx --pictures FOLDER": Run(
        ("too much, so `cpu_precision: auto` stays with f32",),
        (),
        1,
        given={"FOLDER": newcomer.pictures},
    ),
    "confidence model.onnx --data FOLDER": Run(
        ("temperature …, fitted on 3 frames",), given={"FOLDER": newcomer.rooms}
    ),
    "export latest.safetensors -o small.safetensors --precision fp16": Run(("weights in fp16",)),
    # data.md
    "data convert COMPACT -o NYUD_MT --hold-out 0.12": Run(leaves=("NYUD_MT/gt_sets/val.txt",)),
    "data convert NYUD_MT -o COMPACT": Run(leaves=("COMPACT/train.txt",)),
    "data convert FOLDER -o build/nyud --hold-out 0.12": Run(
        leaves=("build/nyud/gt_sets/val.txt",), given={"FOLDER": newcomer.compact}
    ),
    # evaluation.md
    "evaluate model.onnx --data nyud --html report.html --json report.json": Run(("merged",)),
    "evaluate --compare old.onnx new.onnx --data nyud --html both.html": Run(("better",)),
    "evaluate --compare old.json new.json": Run(("A is better in 0, B in 0 of",)),
    "evaluate model.onnx --data nyud --record real rooms": Run(
        ("recorded in the card of model.onnx as real rooms",)
    ),
    "evaluate multi.json --single-task semseg.json depth.json": Run(("Δm",)),
    "evaluate model.onnx --data sim_bag --truth labels=/sim/labels depth=/sim/depth "
    "--classes sim.yaml": Run(("sim.yaml has no class for 8 at 50.0% of the true pixels",)),
    "evaluate model.onnx --data sim_bag --topic /camera/image_raw "
    "--truth labels=/camera/semantic depth=/camera/depth --classes sim.yaml": Run(),
    "evaluate model.onnx --steadiness kitchen.mp4": Run(("labels that change along the flow",)),
    "evaluate model.onnx --steadiness kitchen.mp4 --noise 3": Run(("by noise alone",)),
    "evaluate --compare old.onnx new.onnx --steadiness drive_bag --topic /camera/image_raw "
    "--json both.json": Run(("old.onnx  new.onnx",)),
    "evaluate semseg.safetensors --data nyud --json semseg.json": Run(),
    "evaluate depth.safetensors --data nyud --json depth.json": Run(),
    "evaluate multi.safetensors --data nyud --single-task semseg.json depth.json": Run(
        ("Δm",), given={"nyud": newcomer.rooms, "multi.safetensors": newcomer.room_weights}
    ),
    "evaluate CHECKPOINT --data NYUD_MT --split val --as-published": Run(but=("--preset", "nyud")),
    # models/README.md
    "evaluate mtinet_indoor --data NYUD --html report.html": Run(),
    "evaluate mtinet_indoor --data build/rooms": Run(("Frames",)),
    # process.md
    "process drive/ -o drive_seen": Run(leaves=("drive_seen/metadata.yaml",)),
    "process kitchen.mov -o kitchen.mp4 --focal-length 1450": Run(("kitchen.mp4: 6 frames",)),
    "process drive/ -o frames/ --format folder --topics /front/image_raw /rear/image_raw "
    "--every 10 --start 60 --end 360": Run(("frames: 2 frames",), ("frames/frames.jsonl",)),
    "process videos/*.mp4 -o seen": Run(
        leaves=("seen/day/frames.jsonl", "seen/night/frames.jsonl")
    ),
    # training.md
    "evaluate build/train/rooms/latest.safetensors --data build/rooms --split test": Run(),
    "evaluate build/train/indoor/latest.safetensors --data build/nyud": Run(),
}
HOURS = "hours of training: in small in test/training/test_run.py, and in make model-smoke"
ROOMS = "renders for hours: in small in test/scenes/test_reproducible.py, and -n 2 in scenes.md"
SHARDS = "several processes: with two shards in scaling.md, killed in test/offline/test_kill.py"
REPRODUCE = "trains for days: in small in test/cli/test_reproduce.py"
EXPORT = "seconds to minutes: one in export.md, others in "
ENGINE = "compiles an engine: test/cli/test_build.py"
PLACEHOLDERS = "the same with other words in the place of these"
VIEWER = "opens a viewer: test/viewer/ and make view-check"
ELSEWHERE: dict[str, str] = {
    **dict.fromkeys(
        [
            "train config/train/rooms.yaml",
            "train config/train/indoor.yaml",
            "train my_rooms.yaml",
            "train my_rooms.yaml --dry-run",
            "train config/train/indoor.yaml --set run.devices=4 --set data.batch_size=4",
            "train config/train/indoor.yaml --set run.nodes=2 --set run.devices=4 "
            "--set data.batch_size=2",
        ],
        HOURS,
    ),
    **dict.fromkeys(
        [
            "scenes -n 6000 -o rooms",
            "scenes -n 600 -o rooms --layout nyud",
            "scenes -n 11500 -o build/rooms",
        ],
        ROOMS,
    ),
    **dict.fromkeys(
        [
            "process --merge -o OUT",
            "process drive/ -o seen --shard $i/4 --resume",
            "process $IN -o $OUT --shard $SLURM_ARRAY_TASK_ID/16 --backend tensorrt --resume",
        ],
        SHARDS,
    ),
    **dict.fromkeys(
        [
            "reproduce nyud_w18",
            "reproduce nyud_w18 --data NYUD_MT --backbone-weights FILE",
            "reproduce nyud_w18 --data NYUD_MT "
            "--backbone-weights hrnet_w18_small_model_v2.pth --dry-run",
            "reproduce nyud_w18 --data NYUD_MT --backbone-weights hrnet_w18_small_model_v2.pth",
        ],
        REPRODUCE,
    ),
    **dict.fromkeys(
        ["build model.onnx", "build MODEL", "build MODEL --hardware-compatible"], ENGINE
    ),
    **dict.fromkeys(
        [
            "benchmark MODEL",
            "data check my_rooms",
            "evaluate build/train/my_rooms/latest.safetensors --data my_rooms --split val",
            "evaluate models/mtinet_indoor.onnx --data my_rooms --split val",
        ],
        PLACEHOLDERS,
    ),
    **dict.fromkeys(["view", "view run_processed/", "view --save run.rrd"], VIEWER),
    "scenes --check rooms": "of rooms that take hours; of two scenes in the same page",
    "export build/train/rooms/latest.safetensors -o model.onnx": EXPORT + "test/training/",
    "export build/train/my_rooms/latest.safetensors -o my_rooms.onnx": EXPORT + "test/training/",
    "export w18.pt -o w18.onnx": EXPORT + "test/export/test_export.py",
    "export w18.pt -o w18_int8.onnx --precision int8 --calibration pictures --force": EXPORT
    + "test/export/test_precision.py",
    "export weights.safetensors -o model.onnx --precision int8 --calibration pictures "
    "--judge nyud --split val --frames 93": EXPORT + "test/cli/test_export_judge.py",
    "evaluate CHECKPOINT --data PASCAL_MT --split val --as-published": "seconds a picture for "
    "edges: test/cli/test_evaluate.py, test/datasets/test_pascal.py",
}

WHOLE = {" ".join(words): words for words in whole_commands()}


def test_every_command_is_run_or_said_not_to_be() -> None:
    assert set(WHOLE) - set(RUN) - set(ELSEWHERE) == set()
    assert (set(RUN) | set(ELSEWHERE)) - set(WHOLE) == set()
    assert set(RUN) & set(ELSEWHERE) == set()


def test_the_tests_that_have_the_others_exist() -> None:
    named = [path for why in ELSEWHERE.values() for path in re.findall(r"test/[\w/.]+", why)]
    assert [path for path in named if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("command", RUN)
def test_a_command_does_what_the_page_says(
    command: str, reader: Newcomer, folder: Path, capsys: Said
) -> None:
    words, run = list(WHOLE[command]), RUN[command]
    reader.provide(folder, words, run.given)
    before = set(folder.rglob("*"))
    capsys.readouterr()
    status = main([*words, *run.but])
    printed = "".join(capsys.readouterr())
    assert status == run.status, printed
    for said in run.says:
        assert is_said(said, printed), printed
    written = [str(p.relative_to(folder)) for p in folder.rglob("*") if p not in before]
    for pattern in (*run.leaves, *outputs(words)):
        assert any(Path(name).match(pattern) for name in written), written


def outputs(words: list[str]) -> list[str]:
    """What the command line itself says that it writes."""
    return [
        word.rstrip("/")
        for option, word in itertools.pairwise(words)
        if option in ("-o", "--html", "--json")
    ]


def is_said(said: str, printed: str) -> bool:
    pattern = ".*".join(re.escape(part) for part in said.split("…"))
    return re.search(pattern, printed, re.DOTALL) is not None


@pytest.mark.parametrize(
    ("command", "said"),
    [
        pytest.param(command, said, marks=[pytest.mark.slow] * (command.page.stem in SLOW))
        for command, said in with_output()
    ],
    ids=lambda code: code.page.stem,
)
def test_a_command_says_what_the_page_says(
    command: Code, said: Code, reader: Newcomer, request: pytest.FixtureRequest,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Said,
) -> None:  # fmt: skip
    if command.page.stem == "quickstart":  # what a reader tries first is run with the real model
        (tmp_path / "demo").symlink_to(ROOT / "demo")
        monkeypatch.chdir(tmp_path)
    else:
        request.getfixturevalue("folder")
    (tmp_path / "models").symlink_to(ROOT / "models")
    printed, status = "", 0
    for program, *words in (shlex.split(line, comments=True) for line in lines(command)):
        if program == "ls":
            names = (path.name for path in (tmp_path / words[0]).iterdir())
            printed += "".join(f"{name}\n" for name in sorted(names) if name[0] != ".")
        elif program == "echo":
            assert words == ["$?"]
            printed += f"{status}\n"
        else:
            assert program == "mtinet"
            reader.provide(tmp_path, words)
            capsys.readouterr()
            status = main([*words, *CHEAPLY.get(words[0], ())])
            printed += capsys.readouterr().out
    assert status == 0 or "echo $?" in command.text
    pattern = ".*".join(re.escape(part) for part in said.text.split("…"))
    assert re.fullmatch(pattern, printed, re.DOTALL), printed


def test_what_is_shown_is_what_is_run() -> None:
    shown = with_output()
    assert [said for _, said in shown] == [code for code in CODE if code.kind == "text"]
    assert {code.page.stem for code, _ in shown} >= {"quickstart", "weights", "process", "scaling"}


def test_rooms_are_read_as_the_page_reads_them(folder: Path) -> None:
    newcomer.rooms(folder / "rooms")
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/scenes.md").read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    (told,) = re.findall(r"# (frame\..*)", code)
    for member in re.findall(r"\.(\w+)", told):
        assert hasattr(names["frame"], member), member
    assert names["videos"] == [[0, 1, 2]]


def test_the_task_for_ray_calls_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Ray: what it would call on other machines is called here, and not run."""
    page = (ROOT / "docs/scaling.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)

    def remote(function: Any) -> Any:
        function.remote = function
        return function

    calls: list[list[str]] = []
    monkeypatch.setitem(
        sys.modules, "ray",
        SimpleNamespace(init=lambda: None, get=list, remote=lambda **_: remote),
    )  # fmt: skip
    monkeypatch.setattr(
        "subprocess.run", lambda words, **_: calls.append(words) or SimpleNamespace(returncode=0)
    )
    exec(code, {})
    assert [call[-2] for call in calls[:-1]] == [f"{i}/16" for i in range(1, 17)]
    assert "--merge" in calls[-1]
    assert all(call[0] == "mtinet" and is_understood(call[1:]) for call in calls)

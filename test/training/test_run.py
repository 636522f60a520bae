# SPDX-License-Identifier: Apache-2.0
"""A whole run on a handful of frames: it learns, and a cut-off run continues as if nothing was."""

from __future__ import annotations

import csv
import dataclasses
import functools
import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml
from support.tiny_model import write_tiny_model
from support.tiny_run import configuration, same_state, write_rooms

from mtinet_ros.cli.main import main
from mtinet_ros.datasets.nyud_layout import Meaning
from mtinet_ros.errors import ConfigurationError, DataError, ModelError
from mtinet_ros.export.checkpoint_card import load_described
from mtinet_ros.model_card import METADATA_KEY, ModelCard
from mtinet_ros.network import MTINet, build_network, load_checkpoint
from mtinet_ros.network.weights_file import HEADER_KEY, read_metadata
from mtinet_ros.output_files import folder_lock
from mtinet_ros.training import callbacks
from mtinet_ros.training.config import LossConfig, NetworkConfig, TrainConfig
from mtinet_ros.training.config_file import load_config
from mtinet_ros.training.initial_weights import initial_network
from mtinet_ros.training.module import TrainingModule
from mtinet_ros.training.run import choose_precision, train

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def rooms(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("rooms")
    write_rooms(root)
    return root


def write_real_rooms(root: Path) -> None:
    """A folder of the layout NYUD_MT: pictures, labels of 40 classes and depth, no normals."""
    random = np.random.default_rng(1)
    for folder in ("images", "segmentation", "depth", "gt_sets"):
        (root / folder).mkdir(parents=True)
    meaning = Meaning("nyu40", "camera_optical", 0.0, None, None, ("Pictures by a test",))
    (root / "mtinet_ros.json").write_text(meaning.to_json())
    names = {"train": ["1", "2", "3"], "val": ["4", "5"]}
    for split, listed in names.items():
        (root / "gt_sets" / f"{split}.txt").write_text("\n".join(listed))
        for name in listed:
            labels = random.integers(0, 41, (2, 2)).repeat(24, 0).repeat(32, 1).astype(np.uint8)
            cv2.imwrite(str(root / f"images/{name}.jpg"), np.stack([labels * 6] * 3, -1))
            cv2.imwrite(str(root / f"segmentation/{name}.png"), labels)
            np.save(root / f"depth/{name}.npy", (1 + labels * 0.05).astype(np.float32))
    lenses = {name: [50.0, 31.5, 23.5] for listed in names.values() for name in listed}
    (root / "lenses.json").write_text(json.dumps(lenses))


@pytest.fixture(scope="module")
def real_rooms(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("real")
    write_real_rooms(root)
    return root


def both(real: Path, rendered: Path) -> list[str]:
    """Overrides that train on real and rendered rooms."""
    return [
        "data.kind=''",
        "data.root=''",
        f"data.sources={{real: {{kind: nyud, root: {real}, share: 3, classes: rooms}}, "
        f"rendered: {{kind: rooms, root: {rendered}, share: 2}}}}",
    ]


@pytest.mark.slow
def test_a_paused_run_continues_as_if_it_had_not_been(rooms, tmp_path, caplog):
    caplog.set_level(logging.INFO, "mtinet_ros.training.run")
    whole = train(configuration(rooms, tmp_path / "whole", 2))
    paused = configuration(rooms, tmp_path / "paused", 2)
    folder = train(paused, max_minutes=1e-6)
    assert torch.load(folder / "last.ckpt", weights_only=True)["global_step"] == 1
    assert not same_state(whole, folder)
    assert "Paused after step 1 of 2: the same command goes on from there" in caplog.text
    caplog.clear()
    train(paused)
    assert same_state(whole, folder)
    assert "Complete: 2 steps of 2" in caplog.text


@pytest.mark.slow
def test_two_runs_never_share_a_folder(rooms, tmp_path):
    """Both ended with status 0, and the work of one was gone."""
    run = configuration(rooms, tmp_path / "run", 1)
    (tmp_path / "run").mkdir()
    message = "another run is training into"
    with folder_lock(tmp_path / "run", ConfigurationError, "held by this test"):
        with pytest.raises(ConfigurationError, match=message):
            train(run)
        assert [path.name for path in (tmp_path / "run").iterdir()] == [".lock"]
    train(run)
    train(run)  # one after the other is how a run is continued


@pytest.mark.slow
def test_a_run_that_has_more_steps_already_is_left_as_it_is(rooms, tmp_path):
    """`make model` trains in two parts; run again, the first has nothing to do."""
    whole = train(configuration(rooms, tmp_path / "whole", 2))
    again = train(configuration(rooms, tmp_path / "again", 2))
    train(configuration(rooms, tmp_path / "again", 1, ["data.height=64"]))
    assert same_state(whole, again)


@pytest.mark.slow
def test_a_continued_run_takes_its_rates_from_the_configuration(rooms, tmp_path):
    def weights_of(folder: Path) -> dict[str, torch.Tensor]:
        return torch.load(folder / "last.ckpt", weights_only=True)["current_model_state"]

    folder = train(configuration(rooms, tmp_path / "run", 1, ["optimizer.warmup_steps=0"]))
    before = weights_of(folder)
    still = ["optimizer.learning_rate=0", "optimiser.weight_decay=0.5"]
    train(configuration(rooms, folder, 2, still))
    after = weights_of(folder)
    trained = [name for name, value in before.items() if "running" not in name]
    assert all(torch.equal(before[name], after[name]) for name in trained if "num_" not in name)
    (group, *_) = torch.load(folder / "last.ckpt", weights_only=True)["optimizer_states"][0][
        "param_groups"
    ]
    assert (group["initial_lr"], group["weight_decay"]) == (0, 0.5)


@pytest.mark.slow
def test_a_state_that_cannot_be_continued_is_left_and_named(rooms, tmp_path):
    folder = train(configuration(rooms, tmp_path / "run", 1))
    state = (folder / "last.ckpt").read_bytes()
    with pytest.raises(ConfigurationError, match=r"another folder in run\.output"):
        train(configuration(rooms, folder, 2, ["optimizer.frozen=[scale_0.]"]))
    smaller = ["network.tasks={depth: 1}", "losses.terms={depth: {log_l1: 1}}"]
    with pytest.raises(ConfigurationError, match=r"another folder in run\.output"):
        train(configuration(rooms, folder, 2, smaller))
    assert (folder / "last.ckpt").read_bytes() == state
    (folder / "last.ckpt").write_bytes(state[: len(state) // 2])
    with pytest.raises(ModelError, match=r"last\.ckpt cannot be read .* to begin anew"):
        train(configuration(rooms, folder, 2))


@pytest.mark.slow
def test_the_state_is_never_half_written(rooms, tmp_path, monkeypatch):
    """Not even where the temporary folder is on another file system, as Lightning's way would."""
    replaced = []
    monkeypatch.setattr(
        callbacks, "replace_file", lambda path, content, flush: replaced.append((path, flush))
    )
    folder = train(configuration(rooms, tmp_path / "run", 2), max_minutes=1e-6)
    # At once when the pause was asked for, before anything else is done, and once more at the end.
    assert replaced == [(folder / "last.ckpt", True)] * 2
    assert not (folder / "last.ckpt").exists()


@pytest.mark.slow
def test_signals_are_as_they_were_after_a_run(rooms, tmp_path):
    watched = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in watched]
    train(configuration(rooms, tmp_path / "run", 1))
    assert [signal.getsignal(number) for number in watched] == before


def test_ctrl_c_that_is_ignored_stays_so(tmp_path):
    """As a shell starts what runs in the background."""
    pause = callbacks.Pause(tmp_path / "last.ckpt", 0.0, [])
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        pause.on_train_start(None, None)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) == pause._on_signal
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@pytest.mark.parametrize(
    ("overrides", "error", "fragment"),
    [
        (["run.accelerator=warp"], ConfigurationError, "run.accelerator warp"),
        (["run.precision=fp7"], ConfigurationError, "run.precision fp7"),
        (["run.precision=16-mixed"], ConfigurationError, "16-mixed, and the run is on the CPU"),
        (["optimizer.kind=lion"], ConfigurationError, "must be one of adamw, adam, sgd"),
        (["optimizer.max_epochs=1", "data.batch_size=7"], ConfigurationError, "no batch of 7"),
        (["card.depth_range=[10, 0.1]"], ModelError, "depth_range"),
        (["run.output=/proc/nothing"], ConfigurationError, "cannot make the folder"),
    ],
)
def test_what_cannot_work_is_refused_before_the_first_step(
    overrides, error, fragment, rooms, tmp_path
):
    with pytest.raises(error, match=fragment):
        train(configuration(rooms, tmp_path / "run", 1, overrides))


def test_without_deep_supervision_its_decoders_are_not_trained(rooms):
    """Processes of a run would wait for gradients that never come."""
    for weight, trained in ((0, False), (1, True)):
        config = configuration(rooms, Path("unused"), 1, [f"losses.deep_supervision={weight}"])
        module = TrainingModule(initial_network(config.network), config)
        parameters = dict(module.network.named_parameters())
        decoders = [name for name in parameters if re.match(r"scale_\d\.decoders\.", name)]
        assert len(decoders) > 10
        assert all(parameters[name].requires_grad == trained for name in decoders)


def test_without_deep_supervision_auxiliary_tasks_that_help_no_other_are_not_trained():
    """Left out distillation, normals reach depth through feature propagation alone."""
    tasks = {"depth": 1}
    network = build_network(
        backbone="efficientnet_lite0", tasks=tasks, auxiliary_tasks={**tasks, "normals": 3},
        distillation=False,
    )  # fmt: skip
    terms = {task: {loss: 1.0} for task, loss in (("depth", "l1"), ("normals", "cosine"))}
    config = TrainConfig(
        NetworkConfig(depth_output="metres"), losses=LossConfig(terms, deep_supervision=0)
    )
    module = TrainingModule(network, config)
    image, depth = torch.randn(2, 3, 32, 32), torch.ones(2, 1, 32, 32)
    module.loss(network(image), {"depth": depth})["total"].backward()
    reached = {name: p.grad is not None for name, p in network.named_parameters()}
    assert reached == {name: p.requires_grad for name, p in network.named_parameters()}
    assert not reached["scale_0.refinement.normals.0.conv1.weight"]
    assert reached["scale_3.refinement.normals.0.conv1.weight"]


STEPS = 12
TRAIN = [sys.executable, "-m", "mtinet_ros.cli.main", "train"]


def description(
    sources: Sequence[str], output: Path, processes: int, save_minutes: float, workers: int
) -> Path:
    """The configuration file of a run of STEPS steps on real and rendered rooms."""
    overrides = [*sources, f"run.devices={processes}", f"data.workers={workers}"]
    config = configuration(Path("unused"), output, STEPS, overrides)
    entries = dataclasses.asdict(config)
    entries["run"] |= {"save_minutes": save_minutes, "threads": 1}
    path = output.with_suffix(".yaml")
    path.write_text(yaml.safe_dump(json.loads(json.dumps(entries))))
    return path


@pytest.fixture(scope="module")
def whole_runs(rooms, real_rooms, tmp_path_factory) -> Callable[[int], Path]:
    """Folder of a run that was never killed, by the number of its processes; each made once."""

    @functools.cache
    def whole(processes: int) -> Path:
        folder = tmp_path_factory.mktemp("whole") / "whole"
        run = description(both(real_rooms, rooms), folder, processes, 60, 0)
        subprocess.run([*TRAIN, str(run)], cwd=ROOT, check=True)
        return folder

    return whole


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "processes", "workers"),
    [
        (signal.SIGKILL, 1, 1),
        (signal.SIGINT, 1, 2),
        (signal.SIGTERM, 1, 0),
        (signal.SIGTERM, 2, 1),
    ],
)
def test_a_killed_run_continues_as_if_it_had_not_been(
    how, processes, workers, rooms, real_rooms, whole_runs, tmp_path
):
    """Whoever loads the frames, the steps are the same: the whole run has no workers."""
    whole, folder = whole_runs(processes), tmp_path / "killed"
    # Saved after every step if it is to be killed outright, else only for the signal.
    save_minutes = 1e-6 if how == signal.SIGKILL else 60
    killed = description(both(real_rooms, rooms), folder, processes, save_minutes, workers)
    log = (tmp_path / "log").open("w")
    with subprocess.Popen(
        [*TRAIN, str(killed)], stdout=log, stderr=log, cwd=ROOT, start_new_session=True
    ) as process:
        # The first picture is drawn after the first step.
        while process.poll() is None and not list((folder / "pictures").glob("*.png")):
            time.sleep(0.05)
        while how == signal.SIGKILL and process.poll() is None:
            if (folder / "last.ckpt").exists():
                break
            time.sleep(0.05)
        # To the whole group, loaders too, as systemd, timeout and a terminal's Ctrl-C send it.
        os.killpg(process.pid, how)
        status = process.wait(120)
    assert status == (-9 if how == signal.SIGKILL else 128 + how), (tmp_path / "log").read_text()
    assert 1 <= torch.load(folder / "last.ckpt", weights_only=True)["global_step"] < STEPS
    subprocess.run([*TRAIN, str(killed)], cwd=ROOT, check=True)
    assert torch.load(folder / "last.ckpt", weights_only=True)["global_step"] == STEPS
    assert same_state(whole, folder)


@pytest.mark.slow
def test_a_run_leaves_weights_logs_and_pictures(rooms, tmp_path):
    folder = train(configuration(rooms, tmp_path / "run", 2, ["card.depth_range=[1e-6, 1e6]"]))
    network = load_checkpoint(folder / "latest.safetensors")
    assert network.tasks == {"semseg": 13, "normals": 3, "depth": 1}
    header = read_metadata(folder / "latest.safetensors")
    card = ModelCard.from_json(header[METADATA_KEY])
    assert (card.name, card.input_size) == ("mtinet_indoor_rendered", (32, 64))
    assert card.focal_length == 210
    assert card.class_names[:2] == ("wall", "floor")
    assert card.training["steps"] == 2
    assert any("by Ann, Bob (CC-BY-3.0)" in credit for credit in card.attribution)
    assert str(tmp_path) not in header[METADATA_KEY]
    assert str(rooms) not in header[METADATA_KEY]
    assert (header["depth_output"], header["focal_length"]) == ("log_metres", "210.0")
    page = (ROOT / "docs" / "training.md").read_text().partition("## What a run leaves")[2]
    rows = re.findall(r"^\| (`.*?) \|", page.partition("\n## ")[0], re.MULTILINE)
    told = {name.rstrip("/") for row in rows for name in re.findall(r"`(.*?)`", row)}
    assert {path.name for path in folder.iterdir() if path.name[0] != "."} == told
    assert list((folder / "pictures").glob("*.png"))
    assert list((folder / "tensorboard").glob("events*"))
    with next((folder / "csv").glob("*/metrics.csv")).open() as file:
        columns = set(next(csv.reader(file)))
    figures = tmp_path / "figures.json"
    command = ["evaluate", str(folder / "latest.safetensors"), f"--data={rooms}", "--split=val"]
    assert main([*command, f"--json={figures}"]) == 0
    measured = json.loads(figures.read_text())
    assert measured["frames"] == 3
    assert {"semseg_miou", "depth_rmse", "normals_mean", "flicker", "depth_jitter"} <= set(
        measured["metrics"]
    )
    assert {"train/total", "val/semseg_miou", "val/depth_rmse", "val/normals_mean"} <= columns


@pytest.mark.slow
def test_the_state_of_a_run_is_exported_as_its_deployable_file_would_be(rooms, tmp_path, capsys):
    folder = train(configuration(rooms, tmp_path / "run", 2))
    ours, state = (load_described(folder / name) for name in ("latest.safetensors", "last.ckpt"))
    assert (state.card, state.convention) == (ours.card, ours.convention)
    assert state.convention.depth_output == "log_metres"
    averaged = ours.network.state_dict()
    assert all(torch.equal(v, averaged[k]) for k, v in state.network.state_dict().items())

    content = torch.load(folder / "last.ckpt", weights_only=True)
    in_training = content["current_model_state"]
    # Without its description, as in versions before, nobody knows that depth is a logarithm.
    torch.save({k: v for k, v in content.items() if k != HEADER_KEY}, tmp_path / "old.ckpt")
    with pytest.raises(ModelError, match=r"give the latest\.safetensors beside it"):
        load_described(tmp_path / "old.ckpt")
    copy = tmp_path / "copy.SAFETENSORS"
    command = ["export", str(folder / "last.ckpt"), "-o", str(copy), "--weights", "model"]
    assert main(command) == 0
    assert "weights in training are taken (current_model_state: network.)" in (
        capsys.readouterr().out
    )
    copied = load_described(copy)
    assert (copied.card, copied.convention) == (ours.card, ours.convention)
    assert all(
        torch.equal(value, in_training[f"network.{name}"])
        for name, value in copied.network.state_dict().items()
    )
    command = ["evaluate", str(folder / "last.ckpt"), f"--data={rooms}", "--split=val"]
    assert main([*command, "--frames=1"]) == 0
    assert "averaged weights over 2 steps are taken" in capsys.readouterr().out
    assert initial_network(
        configuration(rooms, tmp_path, 1, [f"network.initial={folder / 'last.ckpt'}"]).network
    ).tasks == {"semseg": 13, "normals": 3, "depth": 1}


@pytest.mark.slow
def test_depth_that_is_not_metric_is_not_measured_in_metres(rooms, tmp_path, capsys):
    """Nobody said in which unit a foreign network's depth is, nor how its normals point."""
    network = MTINet("efficientnet_lite0", {"semseg": 13, "normals": 3, "depth": 1})
    # All depth is 7 of some unit; the rooms' is around 2.8 metres.
    with torch.no_grad():
        network.heads["depth"].last_layer[3].weight.zero_()
        network.heads["depth"].last_layer[3].bias.fill_(7)
    torch.save({"state_dict": network.state_dict()}, tmp_path / "foreign.pth")
    figures = tmp_path / "figures.json"
    command = ["evaluate", str(tmp_path / "foreign.pth"), f"--data={rooms}", "--split=val"]
    assert main([*command, f"--json={figures}"]) == 0
    page = capsys.readouterr().out
    assert "depth is measured up to scale: the model's depth is as_trained" in page
    assert "normals are not measured: their axes are as_trained" in page
    metrics = json.loads(figures.read_text())["metrics"]
    depth = {name for name in metrics if name.startswith(("depth", "normals"))}
    assert depth == {
        f"depth_aligned_{name}" for name in ("abs_rel", "delta1", "delta2", "delta3", "coverage")
    }
    assert metrics["depth_aligned_coverage"] == 1
    # A constant brought to the median of each frame's four equal patches of known depth.
    patches = np.load(rooms / "val" / "scene_00000" / "depth.npy")[0, ::24, ::32].astype(float)
    expected = np.mean(np.abs(np.median(patches) - patches) / patches)
    assert metrics["depth_aligned_abs_rel"] == pytest.approx(expected, rel=1e-5)
    assert main([*command, "--weights=ema"]) == 1
    assert "names no averaged weights" in capsys.readouterr().err


def test_a_model_of_other_classes_is_not_measured(rooms, tmp_path, capsys):
    model = write_tiny_model(tmp_path / "tiny.onnx")
    assert main(["evaluate", str(model), f"--data={rooms}", "--split=val"]) == 1
    assert "and the data have 13 (wall, floor, ceiling, ...)" in capsys.readouterr().err
    upper_case = model.rename(tmp_path / "TINY.ONNX")
    command = ["evaluate", str(upper_case), f"--data={rooms}", "--split=val"]
    assert main([*command, "--weights=ema"]) == 1
    assert "--weights ema goes with a checkpoint" in capsys.readouterr().err
    assert main(command) == 1
    assert "and the data have 13" in capsys.readouterr().err
    assert main(["evaluate", str(upper_case), f"--data={rooms}", "--frames=-1"]) == 1
    assert "--frames is -1; 0 (all) or more" in capsys.readouterr().err


@pytest.mark.slow
def test_a_run_on_two_data_sets_is_measured_on_each(rooms, real_rooms, tmp_path):
    folder = train(configuration(rooms, tmp_path / "run", 2, both(real_rooms, rooms)))
    with next((folder / "csv").glob("*/metrics.csv")).open() as file:
        rows = list(csv.DictReader(file))
    measured = {k: float(v) for row in rows for k, v in row.items() if k[:4] == "val/" and v}
    assert 0 <= measured["val/real/semseg_miou"] <= 1
    assert measured["val/real/depth_rmse"] > 0
    assert "val/real/normals_mean" not in measured  # nobody knows any; 0 would be perfect
    assert measured["val/rendered/normals_mean"] > 0
    card = ModelCard.from_json(read_metadata(folder / "latest.safetensors")[METADATA_KEY])
    assert card.training["data"] == {
        "real": {"kind": "nyud", "frames": 3, "share": 0.6, "truth": ["semseg", "depth"]},
        "rendered": {
            "kind": "rooms", "frames": 6, "share": 0.4, "truth": ["semseg", "normals", "depth"],
        },
    }  # fmt: skip
    assert "Pictures by a test" in card.attribution
    assert any("Ann, Bob" in credit for credit in card.attribution)
    assert str(real_rooms) not in card.to_json()
    sheet = cv2.imread(str(next((folder / "pictures").glob("*.png"))))
    assert sheet.shape[0] == 10 * 32  # predictions and truth of 2 real and 3 rendered frames


@pytest.mark.slow
def test_workers_load_where_the_parent_has_used_opencv(rooms, tmp_path):
    """Forked, they waited for ever in cv2.setNumThreads: the run hung at its first validation."""
    run = configuration(rooms, tmp_path / "run", 2, ["data.workers=2"])
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(json.loads(json.dumps(dataclasses.asdict(run)))))
    program = f"""
import cv2, numpy as np
from mtinet_ros.cli.main import main

if __name__ == "__main__":
    cv2.setNumThreads(4)
    cv2.GaussianBlur(np.zeros((2000, 2000, 3), np.float32), (0, 0), 5)
    raise SystemExit(main(["train", {str(path)!r}]))
"""
    script = tmp_path / "script.py"
    script.write_text(program)
    done = subprocess.run([sys.executable, str(script)], cwd=ROOT, timeout=500, check=False)
    assert done.returncode == 0
    assert torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)["global_step"] == 2


def test_missing_data_are_named(tmp_path):
    config = configuration(tmp_path / "nothing", tmp_path / "run", 1)
    with pytest.raises(DataError, match="nothing"):
        train(config)


@pytest.mark.parametrize(
    ("overrides", "fragment"),
    [
        (["network.tasks={semseg: 40}"], r"40 channels, .* 13 classes; .*tasks\.semseg to 13"),
        (
            ["network.tasks={sal: 1}", "losses.terms={sal: {balanced_bce: 1}}"],
            "no ground truth for sal; they have semseg, depth, normals",
        ),
    ],
)
def test_tasks_that_the_data_do_not_have_are_refused(overrides, fragment, rooms, tmp_path):
    with pytest.raises(ConfigurationError, match=fragment):
        train(configuration(rooms, tmp_path, 1, overrides))


@pytest.mark.parametrize(
    ("override", "fragment"),
    [
        ("network.depth_output=inverse", "one of metres, log_metres"),
        ("network.backbone=hrnet_w18", "no package brings ImageNet weights for hrnet_w18"),
    ],
)
def test_impossible_starts_are_refused(override, fragment):
    shipped = ROOT / "config" / "train" / "rooms.yaml"
    with pytest.raises(ConfigurationError, match=fragment):
        initial_network(load_config(shipped, [override]).network)


@pytest.mark.parametrize("cpu_has_it", [True, False])
@pytest.mark.parametrize("gpu_has_it", [True, False, None])
def test_precision_is_chosen_by_what_the_run_is_on(monkeypatch, gpu_has_it, cpu_has_it):
    """A run on the CPU of a machine with a GPU took what the GPU multiplies, and emulated it."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu_has_it is not None)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: gpu_has_it)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: cpu_has_it)
    names = {True: "bf16-mixed", False: "32-true"}
    assert choose_precision("auto", "cpu") == names[cpu_has_it]
    on_gpu = names[cpu_has_it if gpu_has_it is None else gpu_has_it]
    assert choose_precision("auto", "auto") == on_gpu
    assert choose_precision("auto", "gpu") == on_gpu


def test_precision_is_left_alone_when_named():
    assert choose_precision("16-mixed") == "16-mixed"
    assert choose_precision("auto") in ("32-true", "bf16-mixed")

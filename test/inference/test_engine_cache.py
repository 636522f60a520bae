# SPDX-License-Identifier: Apache-2.0
"""Engines on disk, built by the real TensorRT-RTX: found, rebuilt, never half-written."""

from __future__ import annotations

import json
import logging
import os
import platform
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnx
import pytest
from onnx import helper
from support.full_disk import full_disk
from support.tiny_model import tiny_card, write_tiny_model

from mtinet_ros.errors import BackendError, ConfigurationError, ModelError
from mtinet_ros.inference import (
    CachedEngine,
    EngineSettings,
    build_engine,
    engine_cache,
    engine_target,
)
from mtinet_ros.inference import build_process as build_process_module
from mtinet_ros.inference.cuda import GpuIdentity
from mtinet_ros.inference.engine_target import target_includes

pytest.importorskip("tensorrt_rtx")


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model and a cache that holds its engine."""
    folder = tmp_path_factory.mktemp("stock")
    model = write_tiny_model(folder / "m.onnx")
    build(model, folder / "cache")
    return model, folder / "cache"


@pytest.fixture
def model(stock: tuple[Path, Path]) -> Path:
    """The model of the stock; not to be changed."""
    return stock[0]


@pytest.fixture
def stocked(stock: tuple[Path, Path], folder: Path) -> Path:
    """A cache that holds the model's engine."""
    shutil.copytree(stock[1], folder)
    return folder


@pytest.fixture
def folder(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Path]:
    """The cache; whatever a test does, nothing half-written may stay in it."""
    caplog.set_level(logging.INFO, "mtinet_ros")
    cache = tmp_path / "cache"
    yield cache
    if cache.is_dir():
        assert list(cache.glob(".*.part")) == []


def build(model: Path, folder: Path, **options: Any) -> CachedEngine:
    names = ("max_batch", "progress", "cancelled")
    settings = EngineSettings(
        cache_dir=str(folder), **{k: v for k, v in options.items() if k not in names}
    )
    others = {k: v for k, v in options.items() if k in names}
    return build_engine(model, "tensorrt_rtx", engine=settings, **others)


def builder_pids(parent: int) -> list[int]:
    """Running builders started by a process."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [
        int(pid)
        for pid in children
        if "engine_builder" in Path(f"/proc/{pid}/cmdline").read_text()
    ]


def at_first_progress(action: Callable[[], None]) -> Callable[[str, float], None]:
    done = threading.Event()

    def progress(phase: str, share: float) -> None:
        if not done.is_set():
            done.set()
            action()

    return progress


def test_the_sidecar_tells_all_about_an_engine(model: Path, folder: Path) -> None:
    engine = build(model, folder, max_batch=3, optimal_batch=2, workspace_mb=64)
    assert engine.was_built
    assert engine.path.read_bytes() == engine.content
    sidecar = json.loads(engine.path.with_suffix(".json").read_text())
    assert sidecar == engine.sidecar
    identity = sidecar["identity"]
    assert identity["edition"] == "tensorrt_rtx"
    assert identity["tensorrt_version"].startswith("1.")
    assert identity["batch_profile"] == [1, 2, 3]
    assert identity["workspace_mb"] == 64
    assert identity["target"]["compute_capabilities"] == "all"
    assert sidecar["strongly_typed"] is True
    assert sidecar["network"]["inputs"] == {"image": ["uint8", [-1, 32, 64, 3]]}
    assert sidecar["network"]["outputs"] == {
        "labels": ["uint8", [-1, 32, 64]],
        "depth": ["float32", [-1, 32, 64]],
        "normals": ["float32", [-1, 32, 64, 3]],
    }
    assert sidecar["network"]["layers"] > 10
    assert sidecar["engine_bytes"] == len(engine.content) > 10_000
    assert sidecar["model_card"] == json.loads(tiny_card().to_json())


def test_an_engine_that_fits_is_not_built_again(model: Path, stocked: Path) -> None:
    (path,) = stocked.glob("*.engine")
    found = build(model, stocked)
    assert not found.was_built
    assert found.content == path.read_bytes()
    assert found.sidecar == json.loads(path.with_suffix(".json").read_text())


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"workspace_mb": 32}, "the last one was for workspace_mb 0, now it is 32"),
        ({"second_batch": 3}, "for the second batch profile none, now it is [3, 3, 3]"),
        ({"optimization_level": 1}, "for the optimization level none, now it is 1"),
        ({"optimal_batch": 2}, "for the batch profile (min, optimal, max) [1, 1, 4], now it is"),
    ],
)
def test_a_changed_setting_builds_again_and_says_which(
    model: Path,
    stocked: Path,
    caplog: pytest.LogCaptureFixture,
    options: dict[str, int],
    reason: str,
) -> None:
    assert build(model, stocked, **options).was_built
    assert reason in caplog.text


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("tensorrt_version", "1.0.0", "the last one was for TensorRT 1.0.0, now it is 1."),
        ("target", {"gpu": "GTX 9"}, "the last one was for the GPU GTX 9, now it is"),
        ("model_sha256", "ab" * 32, "the last one was for the model file abababab…, now it is"),
    ],
)
def test_an_engine_from_elsewhere_is_built_again_and_says_why(
    model: Path,
    stocked: Path,
    caplog: pytest.LogCaptureFixture,
    key: str,
    value: Any,
    reason: str,
) -> None:
    (path,) = stocked.glob("*.json")
    sidecar = json.loads(path.read_text())
    sidecar["identity"][key] = value
    path.write_text(json.dumps(sidecar))
    assert build(model, stocked).was_built
    assert reason in caplog.text


def test_a_model_exported_again_is_built_again(
    tmp_path: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = write_tiny_model(tmp_path / "m.onnx")
    build(model, folder)
    write_tiny_model(model, replace(tiny_card(), name="better"))
    engine = build(model, folder)
    assert engine.was_built
    assert engine.sidecar["model_card"]["name"] == "better"
    assert "the last one was for the model file" in caplog.text


@pytest.mark.parametrize("victim", [".engine", ".json"])
@pytest.mark.parametrize("damage", ["flipped", "short", "empty", "absent"])
def test_a_damaged_engine_or_sidecar_is_set_aside_and_built_again(
    model: Path, stocked: Path, victim: str, damage: str
) -> None:
    (path,) = stocked.glob(f"*{victim}")
    content = path.read_bytes()
    if damage == "absent":
        path.unlink()
    else:
        middle = len(content) // 2
        flipped = content[:middle] + bytes([content[middle] ^ 0xFF]) + content[middle + 1 :]
        path.write_bytes({"flipped": flipped, "short": content[:middle], "empty": b""}[damage])
    again = build(model, stocked)
    assert again.was_built
    assert not build(model, stocked).was_built
    if damage != "absent":
        assert path.with_name(path.name + ".broken").exists()


def test_two_that_start_at_once_build_once(model: Path, folder: Path) -> None:
    code = (
        "import sys; from mtinet_ros.inference import *; "
        "print(build_engine(sys.argv[1], 'tensorrt_rtx', "
        "engine=EngineSettings(cache_dir=sys.argv[2])).was_built)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    both = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(model), str(folder)],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for _ in range(2)
    ]
    assert sorted(process.communicate()[0].strip() for process in both) == ["False", "True"]


def test_a_cancelled_build_stops_and_leaves_nothing(model: Path, folder: Path) -> None:
    cancelled = threading.Event()
    with pytest.raises(BackendError, match="was cancelled"):
        build(model, folder, cancelled=cancelled, progress=at_first_progress(cancelled.set))
    assert builder_pids(os.getpid()) == []
    assert build(model, folder).was_built


def test_waiting_for_another_builder_can_be_cancelled(model: Path, stocked: Path) -> None:
    import fcntl

    (lock,) = stocked.glob("*.lock")
    cancelled = threading.Event()
    told: list[str] = []

    def progress(phase: str, share: float) -> None:
        told.append(phase)
        cancelled.set()

    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(BackendError, match="waiting for the engine was cancelled"):
            build(model, stocked, workspace_mb=9, progress=progress, cancelled=cancelled)
    assert told == ["waiting for another process that builds this engine"]


def test_what_killed_builders_left_is_taken_away(model: Path, folder: Path) -> None:
    engine = build(model, folder).path
    engine.unlink()
    for leftover in (f".{engine.name}.7.part", f"..{engine.name}.7.part.8.part"):
        (folder / leftover).write_bytes(b"half")
    another = folder / ".another.engine.9.part"  # perhaps being built at this moment
    another.write_bytes(b"half")
    assert build(model, folder).was_built
    assert list(folder.glob(".*.part")) == [another]
    another.unlink()


def test_a_builder_that_hangs_is_killed_when_cancelled(
    model: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build_process_module, "_STOP_SECONDS", 0.3)
    cancelled = threading.Event()

    def hang() -> None:
        (pid,) = builder_pids(os.getpid())
        os.kill(pid, signal.SIGSTOP)
        cancelled.set()

    with pytest.raises(BackendError, match="was cancelled"):
        build(model, folder, cancelled=cancelled, progress=at_first_progress(hang))
    assert builder_pids(os.getpid()) == []


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (signal.SIGKILL, "died of SIGKILL; most often the system ran out of memory"),
        (signal.SIGSEGV, "died of SIGSEGV; that is a fault inside TensorRT"),
    ],
)
def test_a_builder_that_dies_is_a_sentence_and_the_next_build_works(
    model: Path, folder: Path, number: signal.Signals, words: str
) -> None:
    def kill() -> None:
        (pid,) = builder_pids(os.getpid())
        os.kill(pid, number)

    with pytest.raises(BackendError, match=words):
        build(model, folder, progress=at_first_progress(kill))
    assert build(model, folder).was_built


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0.0, 0.4, 0.6, 0.8, 0.9, 1.0])
def test_killing_everything_at_any_moment_leaves_a_cache_that_works(
    model: Path, folder: Path, delay: float
) -> None:
    code = (
        "import sys; from mtinet_ros.inference import *; "
        "build_engine(sys.argv[1], 'tensorrt_rtx', engine=EngineSettings(cache_dir=sys.argv[2]))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(model), str(folder)], env=environment
    )
    deadline = time.monotonic() + 10
    while not (builders := builder_pids(parent.pid)) and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(delay)
    parent.kill()
    parent.wait()
    # The orphan sees its input close and ends by itself.
    while any(Path(f"/proc/{pid}").exists() for pid in builders):
        assert time.monotonic() < deadline + 20
        time.sleep(0.02)
    engine = build(model, folder)
    assert engine.path.read_bytes() == engine.content
    assert not build(model, folder).was_built


def test_a_full_disk_is_a_sentence_and_nothing_is_left(model: Path, folder: Path) -> None:
    refusal = r"cannot write .* MB\): .*; make room"
    with full_disk(100_000), pytest.raises(BackendError, match=refusal):  # the builder inherits it
        build(model, folder)
    assert list(folder.glob("*.engine")) == []
    assert build(model, folder).was_built


def test_a_cache_that_cannot_be_made_is_a_sentence(model: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(
        BackendError, match=r"cannot make or read the engine cache .*; set engine_cache_dir"
    ):
        build(model, tmp_path / "file" / "cache")


def test_a_cache_of_another_user_is_refused(
    model: Path, stocked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = stocked.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    if owner == 0:  # root's own folders are trusted by everybody
        os.chown(stocked, 12345, -1)
    with pytest.raises(BackendError, match=r"belongs to user \d+, not to you .*your own"):
        build(model, stocked)


def test_a_cache_that_everybody_can_write_is_refused(model: Path, folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(BackendError, match="chmod o-w"):
        build(model, folder)


def test_the_cache_is_made_for_its_owner_alone(model: Path, folder: Path) -> None:
    build(model, folder)
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_cache_without_write_permission_still_serves_what_it_has(
    model: Path, stocked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert not build(model, stocked).was_built
    with pytest.raises(BackendError, match=r"must be built \(.*workspace_mb.*cannot be written"):
        build(model, stocked, workspace_mb=7)


def test_a_file_that_may_not_be_read_is_a_sentence(
    model: Path, stocked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, *arguments: Any) -> str:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(BackendError, match=r"may not be read \(Permission denied\)"):
        build(model, stocked)


def test_onnx_that_the_parser_refuses_is_told_in_its_words(
    model: Path, tmp_path: Path, folder: Path
) -> None:
    proto = onnx.load(model)
    proto.graph.node.insert(0, helper.make_node("Det", ["image"], ["unused"], name="odd_one"))
    onnx.save(proto, tmp_path / "odd.onnx")
    with pytest.raises(ModelError, match=r"cannot parse .*Det odd_one.*mtinet export"):
        build(tmp_path / "odd.onnx", folder)


def test_a_model_that_breaks_the_contract_is_refused_before_the_build(
    tmp_path: Path, folder: Path
) -> None:
    model = write_tiny_model(tmp_path / "m.onnx", depth_rank=4)
    phases: list[str] = []
    with pytest.raises(ModelError, match="the model contract asks for"):
        build(model, folder, progress=lambda phase, share: phases.append(phase))
    assert phases == []


def test_chosen_gpu_generations_are_part_of_the_target(model: Path, folder: Path) -> None:
    engine = build(model, folder, compute_capabilities=("8.6", "8.9"))
    assert engine.sidecar["identity"]["target"]["compute_capabilities"] == "8.6, 8.9"
    with pytest.raises(ConfigurationError, match=r"'3\.5' is unknown .* allowed: 7\.5, 8\.0"):
        build(model, folder, compute_capabilities=("3.5",))


def test_options_of_the_other_edition_are_refused(model: Path, folder: Path) -> None:
    for option in ("hardware_compatible", "version_compatible"):
        with pytest.raises(ConfigurationError, match="options of tensorrt"):
            build(model, folder, **{option: True})


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("workspace_mb", -1),
        ("workspace_mb", 1 << 30),
        ("optimal_batch", -1),
        ("second_batch", -1),
        ("optimization_level", 6),
    ],
)
def test_a_setting_out_of_range_is_refused(setting: str, value: int) -> None:
    with pytest.raises(ConfigurationError, match=f"{setting} is {value}; allowed"):
        EngineSettings(**{setting: value})


def test_the_cache_follows_xdg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert EngineSettings().folder == tmp_path / "mtinet_ros"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/is/ignored")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert EngineSettings().folder == tmp_path / ".cache" / "mtinet_ros"


def node_cache(
    model: Path, folder: Path, version: str, **options: Any
) -> engine_cache.EngineCache:
    """The cache as a node sees it, which has no wishes about how engines are built."""
    return engine_cache.EngineCache(
        model,
        tiny_card(),
        edition=options.pop("edition", "tensorrt_rtx"),
        version=version,
        target={"machine": platform.machine(), "compute_capabilities": "all"},
        max_batch=4,
        device_id=0,
        settings=EngineSettings(cache_dir=str(folder)),
        **options,
    )


def test_an_engine_for_newer_versions_is_kept_within_the_major(model: Path, folder: Path) -> None:
    def found(built_with: str, running: str, compatible: bool = True) -> bool:
        cache = node_cache(model, folder, running)
        stored = {
            **cache._identity, "tensorrt_version": built_with, "version_compatible": compatible,
        }  # fmt: skip
        return cache._first_difference(stored) is None

    assert found("10.3.0", "10.13.2")
    assert not found("10.3.0", "10.13.2", compatible=False)
    assert not found("10.13.2", "10.3.0")
    assert not found("10.13.2", "11.0.0")


def test_an_engine_tuned_for_a_batch_serves_who_has_no_wish(model: Path, folder: Path) -> None:
    tuned = build(model, folder, optimal_batch=3, second_batch=2, optimization_level=1)
    assert tuned.sidecar["identity"]["second_profile"] == [2, 2, 2]
    found = build(model, folder)
    assert not found.was_built
    assert found.content == tuned.content


def test_an_engine_for_several_gpus_serves_one_of_them(model: Path, folder: Path) -> None:
    wide = build(model, folder, compute_capabilities=("8.6", "8.9"))
    version = str(wide.sidecar["identity"]["tensorrt_version"])

    def serves(gpu: str) -> Any:
        identity = GpuIdentity("Some RTX", gpu, 46, False, 2**33)
        return lambda target: target_includes(target, identity)

    def get(cache: engine_cache.EngineCache, **options: Any) -> CachedEngine:
        return cache.get_or_build(lambda phase, share: None, threading.Event(), **options)

    found = get(node_cache(model, folder, version, serves=serves("8.9")))
    assert not found.was_built
    assert found.content == wide.content
    assert found.path == wide.path
    # Not if TensorRT refused it, nor on another GPU; then the node's own is built, and preferred.
    own = get(node_cache(model, folder, version, serves=serves("8.9")), refused=found)
    assert own.was_built
    assert wide.path.exists()
    again = get(node_cache(model, folder, version, serves=serves("8.9")))
    assert again.content == own.content
    own.path.unlink()
    assert get(node_cache(model, folder, version, serves=serves("12.0"))).was_built


@pytest.mark.parametrize(
    ("target", "fits"),
    [
        ({"gpu": "Ampere or newer"}, True),
        ({"gpu": "Ampere or newer", "machine": "riscv64"}, False),
        ({"gpu": "GTX 9", "compute_capability": "8.6"}, False),
        ({"compute_capabilities": "8.9, 8.6"}, True),
        ({"compute_capabilities": "8.9"}, False),
        ({}, False),
    ],
)
def test_which_engines_run_on_a_gpu(target: dict[str, str], fits: bool) -> None:
    target = {"machine": platform.machine(), **target}
    assert target_includes(target, GpuIdentity("RTX 3060", "8.6", 28, False, 2**33)) == fits
    if "gpu" in target:
        assert not target_includes(target, GpuIdentity("RTX 2060", "7.5", 30, False, 2**33))


def test_modules_of_one_name_have_engines_of_their_own(
    model: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """All Orin modules are called "Orin"; an engine of before that was known is built anew."""
    edition: Any = SimpleNamespace(name="tensorrt", version="10.3.0", is_rtx=False)

    def cache(multiprocessors: int) -> engine_cache.EngineCache:
        gpu = GpuIdentity("Orin", "8.7", multiprocessors, True, 2**33)
        settings = EngineSettings(cache_dir=str(folder))
        return engine_target.engine_cache(model, tiny_card(), edition, 4, 0, settings, gpu)

    assert cache(8).engine != cache(16).engine
    folder.mkdir()
    old = dict(cache(16)._identity)
    old["target"] = {k: v for k, v in old["target"].items() if k != "multiprocessors"}
    sidecar = folder / cache(16).engine.name.replace("-16.b4.engine", ".b4.json")
    sidecar.write_text(json.dumps({"identity": old, "engine_sha256": "ab"}))
    found = cache(16)._find(None)
    assert isinstance(found, engine_cache.Rejection)
    machine = platform.machine()
    assert found.sentence == (
        f"the last one was for the GPU {machine}, Orin, 8.7, "
        f"now it is {machine}, Orin, 8.7, 16 multiprocessors"
    )


def test_a_backend_without_engines_is_refused(model: Path) -> None:
    with pytest.raises(ConfigurationError, match="'openvino' has no engines to build; allowed"):
        build_engine(model, "openvino")

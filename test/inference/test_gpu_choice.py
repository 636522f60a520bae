# SPDX-License-Identifier: Apache-2.0
"""Which TensorRT runs on which GPU, what is tried before it is chosen, and what is said if not."""

from __future__ import annotations

import gc
import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from inference.test_selection import lose
from support.gpu_double import gpu_double

from mtinet_ros.errors import BackendError, BackendUnavailableError
from mtinet_ros.inference import load_backend, tensorrt_edition, tensorrt_trial
from mtinet_ros.inference.cuda import GpuIdentity
from mtinet_ros.inference.gpu_support import capabilities_to_build_for, check_gpu
from mtinet_ros.inference.selection import check_available
from mtinet_ros.inference.tensorrt_edition import Edition, FailureCause, load_edition

pytest.importorskip("tensorrt_rtx")


@pytest.fixture
def gpu(cache: Path) -> Iterator[Any]:
    with gpu_double(cache) as machine:
        yield machine


def use(machine: Any, name: str, capability: tuple[int, int]) -> None:
    """Put another GPU into the doubled machine."""
    import cuda_machine

    machine.gpus[:] = [cuda_machine.Gpu(name, capability, 40, False, 2**33)]


def named(capability: str) -> GpuIdentity:
    return GpuIdentity("Some GPU", capability, 40, False, 2**33)


@pytest.mark.parametrize("capability", ["8.6", "8.9", "12.0", "12.1"])
def test_rtx_is_taken_by_itself_on_the_gpus_of_its_documents(capability: str) -> None:
    check_gpu("tensorrt_rtx", named(capability), asked=False)


@pytest.mark.parametrize("capability", ["8.0", "9.0", "8.7", "7.0", "10.0", "11.0"])
def test_rtx_is_not_taken_by_itself_elsewhere(
    capability: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(BackendUnavailableError, match=rf"{capability}; .* documented for"):
        check_gpu("tensorrt_rtx", named(capability), asked=False)
    check_gpu("tensorrt", named(capability), asked=False)
    check_gpu("tensorrt_rtx", named(capability), asked=True)
    assert "it is tried all the same" in caplog.text


def test_turing_gets_rtx_on_request_with_an_engine_of_its_own(
    gpu: Any, model: Path, cache: Path
) -> None:
    use(gpu, "Tesla T4", (7, 5))
    with pytest.raises(BackendUnavailableError, match="only on request; set backend tensorrt_rtx"):
        check_available("tensorrt_rtx", 0)
    load_backend(model, "tensorrt_rtx").close()
    assert list(cache.glob("*.tensorrt_rtx.*-7-5.b4.engine"))
    assert capabilities_to_build_for(named("8.9")) == ()


def test_auto_passes_over_rtx_on_an_orin_and_says_why(
    gpu: Any, model: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import cuda_machine

    gpu.gpus[:] = [cuda_machine.ORIN]
    lose(monkeypatch, "tensorrt")
    with caplog.at_level(logging.INFO, "mtinet_ros.inference"):
        assert not load_backend(model).name.startswith("tensorrt")
    assert "not tensorrt_rtx: Orin has compute capability 8.7; TensorRT for RTX is" in caplog.text


def test_rtx_that_was_asked_for_on_a_gpu_it_cannot_build_for_is_refused(
    gpu: Any, model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    use(gpu, "NVIDIA H100", (9, 0))
    with pytest.raises(
        BackendUnavailableError, match=r"H100 has compute capability 9\.0.* builds for 7\.5, 8\.0"
    ):
        load_backend(model, "tensorrt_rtx")
    assert "tried all the same" not in caplog.text


def test_a_gpu_that_rtx_does_not_run_on_sets_no_engine_aside(
    gpu: Any, model: Path, cache: Path
) -> None:
    use(gpu, "NVIDIA A100", (8, 0))
    for _ in range(2):  # a fresh engine, and one that was there
        with pytest.raises(BackendError, match="does not run on this GPU: use backend tensorrt"):
            load_backend(model, "tensorrt_rtx")
    assert list(cache.glob("*.broken")) == []
    assert list(cache.glob("*-8-0.b4.engine"))


@pytest.mark.parametrize(("value", "hint"), [("", "every"), ("-1", "every"), ("1", "all other")])
def test_hidden_gpus_are_told_as_that(
    gpu: Any, monkeypatch: pytest.MonkeyPatch, value: str, hint: str
) -> None:
    gpu.gpus.clear()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    words = f"; CUDA_VISIBLE_DEVICES is '{value}', which hides {hint} GPU"
    with pytest.raises(BackendUnavailableError, match=words):
        check_available("tensorrt", 0)


class _Logger:
    def __init__(self) -> None: ...


def edition_that_says(*lines: tuple[int, str]) -> Edition:
    """One whose factory logs these lines and returns null."""

    def refuse(log: Any) -> None:
        for severity, line in lines:
            log.log(severity, line)
        raise TypeError("pybind11::init(): factory function returned nullptr")

    trt = SimpleNamespace(__version__="10.13.0", ILogger=_Logger, Runtime=refuse)
    return Edition("tensorrt", trt)


def test_a_driver_too_old_is_told_though_tensorrt_only_warns(
    gpu: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    edition = edition_that_says((2, "CUDA initialization failure with error: 35"))
    edition.log.log(2, "an older warning")
    monkeypatch.setattr(tensorrt_trial, "load_edition", lambda name: edition)
    with pytest.raises(
        BackendUnavailableError,
        match=r"10\.13\.0 does not start: CUDA initialization failure with error: 35; "
        r".*driver 580.*tensorrt-cu12",
    ):
        tensorrt_trial.try_here("tensorrt", 0)
    assert gpu.leftovers() == []


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ("CUDA initialization failure with error: 35", FailureCause.DRIVER),
        ("CUDA initialization failure with error: 100", FailureCause.NO_GPU),
        ("CUDA initialization failure with error: 2", FailureCause.OUT_OF_MEMORY),
        ("CUDA initialization failure with error: 350", FailureCause.UNKNOWN),
        ("Rebuild the engine for compute capability 7.5 with", FailureCause.UNKNOWN),
        ("TensorRT-RTX does not support this compute capability", FailureCause.UNSUPPORTED_GPU),
    ],
)
def test_the_log_tells_the_cause(line: str, cause: FailureCause) -> None:
    edition = edition_that_says((2, line))
    assert edition.create("Runtime") is None
    assert edition.take_errors().cause is cause


def test_a_library_that_crashes_is_a_sentence(
    gpu: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tensorrt.py").write_text("import os\nos.kill(os.getpid(), 11)\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with pytest.raises(BackendUnavailableError, match="tensorrt died of SIGSEGV while it was"):
        tensorrt_trial.try_apart("tensorrt", 0)


def test_a_driver_too_old_for_rtx_is_told_in_the_words_of_the_real_library(
    gpu: Any, model: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its runtime starts anywhere, an engine does not; the child has only the double's driver."""
    with pytest.raises(
        BackendUnavailableError,
        match=r"does not start: .*version is insufficient.*; .*driver 580.*tensorrt-rtx-cu12",
    ):
        tensorrt_trial.try_apart("tensorrt_rtx", 0)
    lose(monkeypatch, "tensorrt")
    with caplog.at_level(logging.INFO, "mtinet_ros.inference"):
        assert not load_backend(model).name.startswith("tensorrt")
    assert "not tensorrt_rtx: tensorrt_rtx 1." in caplog.text


@pytest.mark.parametrize("call", ["cuDevicePrimaryCtxRetain", "cuCtxPushCurrent"])
def test_a_fault_of_the_driver_during_a_trial_is_told_and_leaves_nothing(
    gpu: Any, capsys: pytest.CaptureFixture[str], call: str
) -> None:
    gpu.fail(call)
    assert tensorrt_trial.main("tensorrt", 0) == 0
    assert f"{call} failed: launch failed" in json.loads(capsys.readouterr().out)["problem"]
    gc.collect()
    assert gpu.leftovers() == []
    assert tensorrt_trial.main("tensorrt", 0) == 0
    assert json.loads(capsys.readouterr().out) == {}


def test_what_fails_apart_is_told_here(
    gpu: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tensorrt.py").write_text("__version__ = '10.2.0'\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with pytest.raises(BackendUnavailableError, match=r"10\.2\.0 is too old; 10\.3"):
        tensorrt_trial.try_apart("tensorrt", 0)


@pytest.mark.parametrize(
    ("present", "wanted"),
    [
        ("tensorrt_bindings.tensorrt", "tensorrt_rtx"),
        ("tensorrt.tensorrt", "tensorrt_rtx"),
        ("tensorrt_rtx_bindings.tensorrt_rtx", "tensorrt"),
    ],
)
def test_two_editions_never_share_a_process(
    monkeypatch: pytest.MonkeyPatch, present: str, wanted: str
) -> None:
    for modules in tensorrt_edition._NATIVE_MODULES.values():
        for name in modules:
            monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, present, ModuleType(present))
    with pytest.raises(BackendUnavailableError, match=f"start the program again with .*{wanted}"):
        load_edition.__wrapped__(wanted)

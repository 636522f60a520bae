# SPDX-License-Identifier: Apache-2.0
"""Compiling, loading and launching the kernel, on the double of the driver and of NVRTC."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.gpu_double import driver_double
from support.kernel_on_cpu import needs_compiler, run_on_cpu

from mtinet_ros.errors import BackendError, BackendUnavailableError
from mtinet_ros.inference import cuda, nvrtc
from mtinet_ros.inference.cuda import DeviceBuffer, DeviceContext, HostBuffer
from mtinet_ros.inference.fit_kernel import BLOCK, LAYOUTS, FitJob, kernel_source
from mtinet_ros.inference.gpu_fit import GpuFit
from mtinet_ros.inference.nvrtc import compile_kernel

SIZE, NETWORK = (45, 60), (24, 40)
JOB = FitJob(
    LAYOUTS["bgr8"], False, 190, SIZE, 0, (24, 32), (0, 4), NETWORK, (1, 2, 3)
)  # fmt: skip
CONTENT = np.random.default_rng(0).integers(0, 256, JOB.source_size, np.uint8)

pytestmark = needs_compiler


@pytest.fixture(params=["pycuda", "cuda-bindings"])
def gpu(request: pytest.FixtureRequest) -> Iterator[Any]:
    with driver_double(request.param) as machine:
        yield machine


def expected() -> Any:
    """By the kernel itself, in the memory of this process."""
    result = np.zeros((*NETWORK, 3), np.uint8)
    run_on_cpu(kernel_source(), JOB.argument(CONTENT.ctypes.data, result.ctypes.data))
    return result


class Memory:
    """What a kernel reads and writes, on both sides, with a stream and an event."""

    def __init__(self) -> None:
        self.there = HostBuffer((1, JOB.source_size), "uint8")
        self.back = HostBuffer((1, *NETWORK, 3), "uint8")
        self.source = DeviceBuffer(JOB.source_size)
        self.out = DeviceBuffer(self.back.rows[0].nbytes)
        self.stream, self.event = cuda.make_stream(), cuda.make_event()
        self.there.rows[0][...] = CONTENT

    def queue(self, fit: GpuFit) -> None:
        self.stream.upload(self.source.address, self.there.rows[0])
        fit.queue(JOB, self.source.address, self.out.address, self.stream)
        self.stream.download(self.back.rows[0], self.out.address)

    def wait(self) -> None:
        self.event.record(self.stream)
        self.event.wait()

    def free(self) -> None:
        for each in (self.event, self.stream, self.source, self.out, self.there, self.back):
            each.free()


def test_an_image_is_fitted_in_the_order_of_the_stream(context: DeviceContext) -> None:
    fit, memory = GpuFit(context.identity), Memory()
    memory.queue(fit)
    memory.wait()
    np.testing.assert_array_equal(memory.back.rows[0][0], expected())
    assert memory.back.rows[0][0].any()
    memory.free()
    fit.free()


def test_a_kernel_in_a_graph_runs_at_each_launch() -> None:
    with driver_double("cuda-bindings"):
        context = DeviceContext(0)
        with context:
            fit, memory = GpuFit(context.identity), Memory()
            memory.stream.begin_capture()
            memory.queue(fit)
            graph = memory.stream.end_capture()
            for _ in range(2):
                memory.back.rows[0][...] = 0
                graph.launch()
                memory.wait()
                np.testing.assert_array_equal(memory.back.rows[0][0], expected())
            graph.free()
            memory.free()
            fit.free()
        context.release()


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        ("cuDriverGetVersion", BackendError, "tell its version"),
        ("nvrtcVersion", BackendError, "nvrtcVersion failed: NVRTC_ERROR_INTERNAL"),
        ("nvrtcGetNumSupportedArchs", BackendError, "nvrtcGetNumSupportedArchs failed"),
        ("nvrtcGetSupportedArchs", BackendError, "nvrtcGetSupportedArchs failed"),
        ("nvrtcCreateProgram", BackendError, "nvrtcCreateProgram failed"),
        ("nvrtcCompileProgram", BackendError, "nvrtcCompileProgram failed"),
        ("nvrtcGetCUBINSize", BackendError, "nvrtcGetCUBINSize failed"),
        ("nvrtcGetCUBIN", BackendError, "nvrtcGetCUBIN failed"),
        ("nvrtcDestroyProgram", BackendError, "nvrtcDestroyProgram failed"),
        ("cuModuleLoadData", BackendError, "CUDA failed to load a module: .*launch failed"),
        ("cuModuleGetFunction", BackendError, "CUDA failed to find the kernel"),
    ],
)
def test_a_kernel_that_cannot_be_made_is_a_sentence_and_leaves_nothing(
    gpu: Any, context: DeviceContext, call: str, kind: type[Exception], words: str
) -> None:
    gpu.fail(call)
    if call == "nvrtcVersion":  # which is asked for the message alone
        gpu.gpus[0] = sys.modules["cuda_machine"].Gpu("Old", (5, 3), 1, False, 2**30)
        with pytest.raises(kind, match=words):
            GpuFit(cuda.identify_gpu(0))
        return
    with pytest.raises(kind, match=words):
        GpuFit(context.identity)


def test_a_launch_that_fails_is_a_sentence(gpu: Any, context: DeviceContext) -> None:
    fit, memory = GpuFit(context.identity), Memory()
    gpu.fail("cuLaunchKernel", "INVALID_VALUE")
    with pytest.raises(BackendError, match=r"CUDA failed to fit an image: .*invalid value"):
        memory.queue(fit)
    memory.queue(fit)  # and goes on
    memory.wait()
    memory.free()
    fit.free()


def test_the_double_finds_a_kernel_that_outlives_its_module(
    gpu: Any, context: DeviceContext
) -> None:
    """So that its silence proves something."""
    fit, memory = GpuFit(context.identity), Memory()
    memory.queue(fit)
    fit.free()
    memory.wait()
    assert gpu.violations == ["a kernel outlived its module (rule 16)"]
    gpu.violations.clear()
    memory.free()


def test_the_double_finds_that_a_kernel_leaves_its_memory(
    gpu: Any, context: DeviceContext
) -> None:
    fit, memory = GpuFit(context.identity), Memory()
    small = DeviceBuffer(JOB.source_size - 1)
    fit.queue(JOB, small.address, memory.out.address, memory.stream)
    with pytest.raises(cuda.cuda_driver().error, match="illegal address"):
        memory.wait()
    gpu.broken = None
    for each in (small, memory, fit):
        each.free()


def test_machine_code_for_another_gpu_is_refused(gpu: Any, context: DeviceContext) -> None:
    image = compile_kernel(kernel_source(), "8.7", 13000)
    with pytest.raises(BackendError, match="no binary for gpu"):
        cuda.load_module(image)
    with pytest.raises(BackendError, match="invalid image"):
        cuda.load_module(b"what is no machine code at all")


def test_a_gpu_that_the_compiler_does_not_know_is_told(gpu: Any) -> None:
    with pytest.raises(BackendUnavailableError, match=r"5\.3 is not known to NVRTC 13\.0"):
        compile_kernel(kernel_source(), "5.3", 13000)


def test_what_does_not_compile_is_told_in_the_compilers_words(gpu: Any) -> None:
    with pytest.raises(BackendError, match=r"COMPILATION: kernel.cu\(1\): error: as the C"):
        compile_kernel("this is no program", "8.9", 13000)


def test_a_library_that_is_not_nvrtc_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvrtc, "open_library", lambda name: ctypes.CDLL(None))
    with pytest.raises(BackendError, match=r"NVRTC is too old, or none at all: .*nvrtcGetNum"):
        compile_kernel("", "8.9", 13000)


@pytest.mark.parametrize(
    ("driver", "expected_name", "wheel"),
    [
        (13000, "libnvrtc.so.13", "nvidia-cuda-nvrtc`"),
        (12040, "libnvrtc.so.12", "nvidia-cuda-nvrtc-cu12"),
        (11080, "libnvrtc.so.11.2", "nvidia-cuda-nvrtc-cu11"),
    ],
)
def test_no_newer_compiler_than_the_driver_is_taken(
    monkeypatch: pytest.MonkeyPatch, driver: int, expected_name: str, wheel: str
) -> None:
    """A driver refuses machine code of the next major version of CUDA."""
    asked: list[str] = []

    def absent(name: str) -> None:
        asked.append(Path(name).name)
        raise OSError

    monkeypatch.setattr(nvrtc, "open_library", absent)
    with pytest.raises(BackendUnavailableError, match="no NVRTC for a driver") as caught:
        compile_kernel("", "8.9", driver)
    assert asked[0] == expected_name
    assert wheel in caught.value.advice


def test_a_block_and_a_grid_reach_every_pixel() -> None:
    for height, width in ((1, 1), (8, 32), (9, 33), (480, 641)):
        x, y, z = replace(JOB, network_size=(height, width)).grid
        assert (width - 1) // BLOCK[0] + 1 == x
        assert (height - 1) // BLOCK[1] + 1 == y
        assert z == BLOCK[2] == 1


@pytest.mark.parametrize("capability", ["7.5", "8.0", "8.6", "8.7", "8.9", "9.0", "10.0", "12.0"])
def test_the_real_compiler_takes_the_kernel_for_every_gpu(capability: str) -> None:
    """NVIDIA's own, which needs no GPU: `pip install nvidia-cuda-nvrtc`."""
    try:
        image = compile_kernel(kernel_source(), capability, 13000)
    except BackendUnavailableError as error:
        pytest.skip(error.problem)
    assert image.startswith(b"\x7fELF")
    assert b"fit_image" in image

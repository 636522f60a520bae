# SPDX-License-Identifier: Apache-2.0
"""The kernel that fits images: on the GPU itself under `make verify-gpu`, elsewhere on the double.

It needs CUDA and NVRTC, and no TensorRT.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import ExitStack

import numpy as np
import pytest
from gpu import fitting
from gpu.device_fit import PAD, DeviceFit
from perception.test_fit_kernel import FITS, image_of
from support.gpu_double import driver_double
from support.kernel_on_cpu import COMPILER, run_on_cpu

from mtinet_ros.errors import BackendUnavailableError
from mtinet_ros.inference.cuda import DeviceContext, device_memory_used, driver_version
from mtinet_ros.inference.fit_kernel import LAYOUTS, kernel_source
from mtinet_ros.inference.nvrtc import compile_kernel
from mtinet_ros.perception.fit import Fit
from mtinet_ros.perception.raw_image import RawImage

ON_GPU = "MTINET_GPU_MODEL" in os.environ
pytestmark = pytest.mark.skipif(not ON_GPU and COMPILER is None, reason="needs a C compiler")
MEBIBYTE = 2**20


@pytest.fixture
def context() -> Iterator[DeviceContext]:
    with ExitStack() as stack:
        if not ON_GPU:
            stack.enter_context(driver_double("cuda-bindings"))
        made = DeviceContext(0)
        with made:
            yield made
            gc.collect()
        made.release()


def test_the_kernel_compiles_for_this_gpu(context: DeviceContext) -> None:
    capability = context.identity.compute_capability
    assert compile_kernel(kernel_source(), capability, driver_version())


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("encoding", LAYOUTS if ON_GPU else ["bgr8", "nv21"])
def test_the_gpu_sees_what_the_cpu_sees(
    context: DeviceContext, encoding: str, mapped: bool
) -> None:
    """To one gray level; and byte by byte what a CPU makes of the very same source."""
    random = np.random.default_rng(sum(encoding.encode()))
    for size, network, mode in FITS if ON_GPU else FITS[::5]:
        raw = image_of(encoding, size, 2 * int(random.integers(4)), random)
        if raw is None:
            continue
        fit = Fit.plan(raw.size, network, mode)
        with ExitStack() as stack:
            device = DeviceFit(stack, context, network, mapped=mapped)
            device.on_gpu(raw, fit)
            seen = device.result()
        expected = np.empty_like(seen)
        fit.apply(raw.pixels, expected, PAD)
        assert np.abs(seen.astype(int) - expected).max() <= 1, (size, network, mode)
        if COMPILER:
            np.testing.assert_array_equal(seen, by_source(raw, fit), err_msg=f"{size} {network}")


def by_source(raw: RawImage, fit: Fit) -> np.ndarray:
    job = raw.job(fit, PAD)
    assert job is not None
    result = np.empty((*fit.network_size, 3), np.uint8)
    data = np.ascontiguousarray(raw.data)
    run_on_cpu(kernel_source(), job.argument(data.ctypes.data, result.ctypes.data))
    return result


def test_all_memory_and_the_module_are_given_back(context: DeviceContext) -> None:
    used = []
    raw = fitting.noise("bgr8", (480, 640) if ON_GPU else (48, 64))
    fit = Fit.plan(raw.size, (96, 128), "letterbox")
    for _ in range(10):
        with ExitStack() as stack:
            DeviceFit(stack, context, (96, 128)).on_gpu(raw, fit)
        used.append(device_memory_used())
    assert used[-1] - used[1] < 8 * MEBIBYTE


@pytest.mark.skipif(ON_GPU, reason="a step of its own")
def test_the_gain_is_measured(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting, "PICTURES", [("bgr8", (48, 64))])
    with driver_double("cuda-bindings") as machine:
        assert fitting.main(["--frames", "1", "--rounds", "1"]) == 0
        assert "bgr8" in capsys.readouterr().out
        machine.fail("cuModuleLoadData")
        assert fitting.main(["--frames", "1", "--rounds", "1"]) == 1
        assert "CUDA failed to load a module" in capsys.readouterr().out


@pytest.mark.skipif(not ON_GPU, reason="there is no real compiler")
def test_a_gpu_of_the_past_is_refused() -> None:
    with pytest.raises(BackendUnavailableError, match="compute capability"):
        compile_kernel(kernel_source(), "1.0", driver_version())

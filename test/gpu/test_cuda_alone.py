# SPDX-License-Identifier: Apache-2.0
"""CUDA without TensorRT, through each Python package that brings it.

On the GPU itself under `make verify-gpu`, which sets MTINET_GPU_MODEL; elsewhere on the double,
so that these tests are known to work before they meet a GPU.
"""

from __future__ import annotations

import gc
import importlib.util
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest
from support.gpu_double import PACKAGES, driver_double

from mtinet_ros.inference import cuda
from mtinet_ros.inference.cuda import DeviceBuffer, DeviceContext, HostBuffer

ON_GPU = "MTINET_GPU_MODEL" in os.environ
MEBIBYTE = 2**20
# Of one copy. Small enough for the memory that a Jetson shares with its host.
SIZE = 32 * MEBIBYTE if ON_GPU else 4096


def is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


@pytest.fixture(params=sorted(PACKAGES))
def package(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each package in turn, the other one as if it were absent."""
    name: str = request.param
    if not ON_GPU:
        with driver_double(name):
            yield name
        return
    module = PACKAGES[name]
    if not is_installed(module):
        pytest.skip(f"{name} is not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cuda, "_is_installed", lambda each: each == module)
        cuda.cuda_driver.cache_clear()
        yield name
    cuda.cuda_driver.cache_clear()


@pytest.fixture
def context(package: str) -> Iterator[DeviceContext]:
    made = DeviceContext(0)
    with made:
        yield made
        gc.collect()
    made.release()


class Copies:
    """Two page-locked buffers, one of the device, a stream and an event."""

    def __init__(self, stack: ExitStack, size: int) -> None:
        self.there, self.back = (HostBuffer((1, size), "uint8") for _ in range(2))
        self.device = DeviceBuffer(size)
        self.stream, self.event = cuda.make_stream(), cuda.make_event()
        for each in (self.stream, self.event, self.device, self.there, self.back):
            stack.callback(each.free)

    def queue(self) -> None:
        self.stream.upload(self.device.address, self.there.rows[0])
        self.stream.download(self.back.rows[0], self.device.address)

    def wait(self) -> None:
        self.event.record(self.stream)
        self.event.wait()


def test_the_package_that_was_meant_is_used(package: str, context: DeviceContext) -> None:
    assert cuda.cuda_driver().name == package
    assert context.identity.multiprocessor_count > 0


def test_bytes_go_to_the_gpu_and_back(context: DeviceContext) -> None:
    with ExitStack() as stack:
        copies = Copies(stack, SIZE)
        copies.there.rows[0][...] = np.random.default_rng(0).integers(0, 256, SIZE, np.uint8)
        begun = time.perf_counter()
        copies.queue()
        copies.wait()
        rate = 2 * SIZE / (time.perf_counter() - begun) / 1e9
        np.testing.assert_array_equal(copies.back.rows[0], copies.there.rows[0])
        print(f"{rate:.1f} GB/s, both ways in turn")


def test_a_stream_waits_for_what_another_has_marked(context: DeviceContext) -> None:
    with ExitStack() as stack:
        copies = Copies(stack, SIZE)
        reading, filled = cuda.make_stream(), cuda.make_event()
        for each in (reading, filled):
            stack.callback(each.free)
        for value in (1, 2, 3):
            copies.there.rows[0][...] = value
            for _ in range(4):  # so that it takes a while
                copies.stream.upload(copies.device.address, copies.there.rows[0])
            filled.record(copies.stream)
            reading.wait_for(filled)
            reading.download(copies.back.rows[0], copies.device.address)
            copies.event.record(reading)
            copies.event.wait()
            assert int(copies.back.rows[0].min()) == int(copies.back.rows[0].max()) == value


def test_a_graph_does_what_was_captured_as_often_as_it_is_launched(
    package: str, context: DeviceContext
) -> None:
    if not cuda.cuda_driver().can_capture:
        pytest.skip(f"{package} cannot capture")
    with ExitStack() as stack:
        copies = Copies(stack, SIZE)
        copies.stream.begin_capture()
        copies.queue()
        graph = copies.stream.end_capture()
        stack.callback(graph.free)
        for value in (1, 2, 3):
            copies.there.rows[0][...] = value
            copies.back.rows[0][...] = 0
            graph.launch()
            copies.wait()
            assert int(copies.back.rows[0].min()) == int(copies.back.rows[0].max()) == value


def test_mapped_memory_has_an_address_on_the_gpu(context: DeviceContext) -> None:
    with ExitStack() as stack:
        mapped = HostBuffer((1, SIZE), "uint8", mapped=True)
        stack.callback(mapped.free)
        copies = Copies(stack, SIZE)
        mapped.rows[0][...] = 7
        copies.stream.download(copies.back.rows[0], mapped.address)
        copies.wait()
        assert int(copies.back.rows[0].min()) == 7


def test_what_is_freed_is_given_back(context: DeviceContext) -> None:
    used = []
    for _ in range(20):
        with ExitStack() as stack:
            copies = Copies(stack, SIZE)
            copies.queue()
            copies.wait()
        used.append(cuda.device_memory_used())
    assert used[-1] - used[1] < 8 * MEBIBYTE


def test_contexts_come_and_go(package: str) -> None:
    for _ in range(5):
        held: Any = DeviceContext(0)
        with held:
            cuda.device_memory_used()
        held.release()


@pytest.mark.skipif(not ON_GPU, reason="the double takes no time")
def test_the_thread_sleeps_while_the_gpu_copies(context: DeviceContext) -> None:
    with ExitStack() as stack:
        copies = Copies(stack, SIZE)
        copies.queue()
        copies.wait()
        wall, cpu = time.perf_counter(), time.thread_time()
        for _ in range(50):
            for _ in range(4):
                copies.queue()
            copies.wait()
        assert time.thread_time() - cpu < 0.5 * (time.perf_counter() - wall)

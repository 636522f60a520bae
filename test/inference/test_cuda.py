# SPDX-License-Identifier: Apache-2.0
"""The promises of `CudaDriver`, kept by PyCUDA and cuda-bindings over one double of the driver."""

from __future__ import annotations

import inspect
import json
import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.gpu_double import driver_double

from mtinet_ros.errors import BackendError, BackendUnavailableError
from mtinet_ros.inference import cuda, cuda_bindings, cuda_pycuda
from mtinet_ros.inference.cuda import DeviceBuffer, DeviceContext, HostBuffer
from mtinet_ros.inference.cuda_driver import GpuIdentity

SHAPE = (2, 3, 5)


@pytest.fixture(params=["pycuda", "cuda-bindings"])
def gpu(request: pytest.FixtureRequest) -> Iterator[Any]:
    with driver_double(request.param) as machine:
        assert cuda.cuda_driver().name == request.param
        yield machine


def machine_module() -> Any:
    return sys.modules["cuda_machine"]


def test_a_gpu_is_told_by_all_that_an_engine_depends_on(gpu: Any) -> None:
    gpu.gpus.append(machine_module().ORIN)
    assert cuda.identify_gpu(1) == GpuIdentity("Orin", "8.7", 16, True, 64 * 2**30)
    assert not cuda.identify_gpu(0).is_integrated
    assert gpu.retained.total() == 0
    with pytest.raises(BackendUnavailableError, match=r"device_id 2 .* this machine has 0 to 1"):
        cuda.check_device(2)


@pytest.mark.parametrize("neighbour", [0, 1], ids=["the same GPU", "another GPU"])
def test_another_library_of_the_thread_finds_its_context_as_it_was(
    gpu: Any, neighbour: int
) -> None:
    """E.g. torch on cuda:1, before, during, between and after."""
    gpu.cuInit()
    gpu.gpus.append(machine_module().RTX)
    theirs = gpu.cuDevicePrimaryCtxRetain(neighbour)
    gpu.cuCtxPushCurrent(theirs)
    for _ in range(2):
        context = DeviceContext(0)
        assert gpu.stack() == [theirs]
        with context:
            assert len(gpu.stack()) == 2
        assert gpu.stack() == [theirs]
        context.release()
        assert gpu.stack() == [theirs]
        gpu.cuMemGetInfo()  # theirs can be used
    gpu.cuCtxPopCurrent()
    gpu.cuDevicePrimaryCtxRelease(neighbour)


def test_another_user_of_pycuda_in_the_thread_finds_its_context_as_it_was() -> None:
    with driver_double("pycuda") as gpu:
        from pycuda import driver

        driver.init()
        gpu.gpus.append(machine_module().RTX)
        theirs = driver.Device(1).retain_primary_context()
        theirs.push()
        context = DeviceContext(0)
        with context:
            assert gpu.stack() != [theirs.handle]
        assert gpu.stack() == [theirs.handle]
        context.release()
        assert gpu.stack() == [theirs.handle]
        driver.mem_get_info()
        driver.Context.pop()
        gpu.cuDevicePrimaryCtxRelease(1)


def test_the_double_keeps_a_released_context_on_the_stack_as_the_driver_does(gpu: Any) -> None:
    """So that the tests above prove something."""
    cuda.cuda_driver()
    gpu.cuCtxPushCurrent(gpu.cuDevicePrimaryCtxRetain(0))
    gpu.cuDevicePrimaryCtxRelease(0)
    with pytest.raises(Exception, match="context is destroyed"):
        gpu.cuMemGetInfo()
    gpu.cuCtxPopCurrent()


def test_bytes_go_there_and_back_in_the_order_of_the_stream(
    gpu: Any, context: DeviceContext
) -> None:
    there, back = HostBuffer(SHAPE, "float32"), HostBuffer(SHAPE, "float32")
    device = DeviceBuffer(there.rows[1].nbytes)
    stream, event = cuda.make_stream(), cuda.make_event()
    there.rows[1][...] = np.arange(30).reshape(SHAPE)
    back.rows[1][...] = 0
    stream.upload(device.address, there.rows[1])
    stream.download(back.rows[0], device.address)
    event.record(stream)
    assert not back.rows[1].any()
    event.wait()
    np.testing.assert_array_equal(back.rows[0], there.rows[0])
    assert not back.rows[1][1].any()
    for thing in (event, stream, device, back, there):
        thing.free()


class TwoStreams:
    """A buffer on the device that one stream fills and another one reads."""

    def __init__(self) -> None:
        self.there, self.back = HostBuffer(SHAPE, "uint8"), HostBuffer(SHAPE, "uint8")
        self.device = DeviceBuffer(30)
        self.filling, self.reading = cuda.make_stream(), cuda.make_stream()
        self.filled, self.read = cuda.make_event(), cuda.make_event()

    def fill(self) -> None:
        self.filling.upload(self.device.address, self.there.rows[1])
        self.filled.record(self.filling)

    def bring_back(self) -> None:
        self.reading.download(self.back.rows[1], self.device.address)
        self.read.record(self.reading)

    def free(self) -> None:
        for name in ("filled", "read", "filling", "reading", "device", "there", "back"):
            getattr(self, name).free()


def test_a_stream_that_waits_for_an_event_goes_on_when_the_other_got_there(
    gpu: Any, context: DeviceContext
) -> None:
    streams = TwoStreams()
    for value in (7, 9):
        streams.there.rows[1][...] = value
        streams.fill()
        streams.reading.wait_for(streams.filled)
        streams.filled.record(streams.reading)  # a later mark changes nothing
        streams.bring_back()
        streams.read.wait()
        assert (streams.back.rows[1] == value).all()
    assert gpu.violations == []
    streams.free()


def test_streams_that_touch_the_same_memory_without_an_order_are_recorded(
    gpu: Any, context: DeviceContext
) -> None:
    """Whether it shows or not: so that tests of what uses two streams prove something."""
    streams = TwoStreams()
    streams.reading.wait_for(streams.filled)  # never recorded: no wait
    streams.fill()
    streams.bring_back()
    assert gpu.violations == ["a race: a download does not wait for an upload"]
    streams.fill()  # into what is being read
    assert gpu.violations[1:] == ["a race: an upload does not wait for a download"]
    gpu.violations.clear()
    streams.filled.wait()
    streams.read.wait()  # the host's wait orders what it queues afterwards
    streams.bring_back()
    streams.filling.wait_for(streams.read)
    streams.fill()
    assert gpu.violations == []
    streams.free()


def test_mapped_memory_is_seen_from_both_sides(gpu: Any, context: DeviceContext) -> None:
    mapped, plain = (HostBuffer(SHAPE, "uint8", mapped=mapped) for mapped in (True, False))
    mapped.rows[1][...] = np.arange(30).reshape(SHAPE)
    assert plain.address == 0
    assert bytes(gpu.at(mapped.address, 30)) == bytes(range(30))
    mapped.free()
    plain.free()


def test_memory_that_is_used_is_told(gpu: Any, context: DeviceContext) -> None:
    before = cuda.device_memory_used()
    buffer = DeviceBuffer(2**20)
    assert cuda.device_memory_used() - before == 2**20
    buffer.free()


FAULTS = {
    "cuMemAlloc": lambda: DeviceBuffer(1),
    "cuMemHostAlloc": lambda: HostBuffer(SHAPE, "uint8"),
    "cuMemHostGetDevicePointer": lambda: HostBuffer(SHAPE, "uint8", mapped=True),
    "cuStreamCreate": cuda.make_stream,
    "cuEventCreate": cuda.make_event,
    "cuMemGetInfo": cuda.device_memory_used,
}


@pytest.mark.parametrize("call", FAULTS)
def test_a_call_that_fails_is_a_sentence_and_leaves_nothing(
    gpu: Any, context: DeviceContext, call: str
) -> None:
    for result, words in (("UNKNOWN", "unknown$"), ("OUT_OF_MEMORY", "lower max_batch")):
        gpu.fail(call, result)
        with pytest.raises(BackendError, match=f"CUDA failed to .*{call} failed: .*{words}"):
            FAULTS[call]()


@pytest.mark.parametrize("call", ["cuDevicePrimaryCtxRetain", "cuCtxPushCurrent"])
def test_a_context_that_is_not_made_is_a_sentence(gpu: Any, call: str) -> None:
    context = DeviceContext(0)
    gpu.fail(call)
    enter = context.__enter__ if call == "cuCtxPushCurrent" else lambda: DeviceContext(0)
    with pytest.raises(BackendError, match=f"{call} failed: launch failed"):
        enter()
    context.release()


@pytest.fixture
def capturing() -> Iterator[Any]:
    """The package that can capture, a stream, and what it copies."""
    with driver_double("cuda-bindings") as gpu:
        context = DeviceContext(0)
        with context:
            yield gpu
        context.release()


def test_a_graph_does_its_work_at_each_launch_and_not_before(capturing: Any) -> None:
    host, device = HostBuffer(SHAPE, "uint8"), DeviceBuffer(30)
    stream, event = cuda.make_stream(), cuda.make_event()
    stream.begin_capture()
    stream.upload(device.address, host.rows[1])
    graph = stream.end_capture()
    event.record(stream)
    event.wait()
    for value in (7, 9):
        host.rows[1][...] = value
        assert bytes(capturing.at(device.address, 30)) != bytes([value] * 30)
        graph.launch()
        event.record(stream)
        event.wait()
        assert bytes(capturing.at(device.address, 30)) == bytes([value] * 30)
    for thing in (graph, event, stream, device, host):
        thing.free()


def test_what_a_capture_forbids_spoils_it_and_the_stream_goes_on(capturing: Any) -> None:
    host, device = HostBuffer(SHAPE, "uint8"), DeviceBuffer(30)
    stream = cuda.make_stream()
    stream.begin_capture()
    with pytest.raises(BackendError, match="stream capture unsupported"):
        DeviceBuffer(1)
    with pytest.raises(cuda_bindings.CudaError, match="stream capture invalidated"):
        stream.end_capture()
    # Another thread may allocate meanwhile: that is what thread-local means.
    stream.begin_capture()
    stream.upload(device.address, host.rows[0])
    elsewhere = threading.Thread(target=allocate_elsewhere)
    elsewhere.start()
    elsewhere.join()
    stream.end_capture().free()
    for thing in (stream, device, host):
        thing.free()


def test_a_capture_forbids_to_load_a_module(capturing: Any) -> None:
    stream = cuda.make_stream()
    stream.begin_capture()
    with pytest.raises(BackendError, match="stream capture unsupported"):
        cuda.load_module(b"")
    with pytest.raises(cuda_bindings.CudaError, match="stream capture invalidated"):
        stream.end_capture()
    stream.free()


def allocate_elsewhere() -> None:
    context = DeviceContext(0)
    with context:
        DeviceBuffer(1).free()
    context.release()


def test_a_capture_waits_for_nothing_outside_of_it(capturing: Any) -> None:
    stream, other, event = cuda.make_stream(), cuda.make_stream(), cuda.make_event()
    event.record(other)
    stream.begin_capture()
    with pytest.raises(cuda_bindings.CudaError, match="stream capture isolation"):
        stream.wait_for(event)
    with pytest.raises(cuda_bindings.CudaError, match="stream capture invalidated"):
        stream.end_capture()
    for thing in (event, stream, other):
        thing.free()


@pytest.mark.parametrize("call", ["cuStreamEndCapture", "cuGraphInstantiate", "cuGraphDestroy"])
def test_a_capture_that_fails_leaves_nothing(capturing: Any, call: str) -> None:
    stream = cuda.make_stream()
    stream.begin_capture()
    capturing.fail(call, "UNKNOWN")
    with pytest.raises(cuda_bindings.CudaError, match=f"{call} failed: unknown"):
        stream.end_capture()
    stream.free()


def test_pycuda_refuses_to_capture() -> None:
    assert not cuda_pycuda.PyCudaDriver.can_capture


# Which package is taken, and what is said where none serves.


def write_module(folder: Path, name: str, content: str) -> None:
    path = folder.joinpath(*name.split(".")).with_suffix(".py")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    (folder / name.partition(".")[0] / "__init__.py").touch()


@pytest.fixture
def packages(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A folder before all others on Python's path; neither package is installed elsewhere."""
    # Undone before the double is, whose path it found.
    with driver_double(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(tmp_path), *sys.path])
        installed = getattr(request, "param", ())
        patch.setattr(cuda, "_is_installed", lambda module: module in installed)
        patch.setattr(cuda_pycuda, "driver_library_loads", lambda: True)
        yield tmp_path


BOTH = ("pycuda", "cuda.bindings")


@pytest.mark.parametrize("packages", [BOTH], indirect=True)
def test_pycuda_is_taken_where_both_are(packages: Path) -> None:
    assert cuda.cuda_driver().name == "pycuda"
    first, second = cuda.cuda_packages()
    assert first == cuda.CudaPackage("pycuda", True, is_used=True)
    assert second == cuda.CudaPackage("cuda-bindings", True)


@pytest.mark.parametrize("packages", [BOTH], indirect=True)
def test_a_pycuda_that_does_not_load_is_told_and_cuda_bindings_serve(
    packages: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_module(packages, "pycuda.driver", "raise ImportError('libcurand.so.10: no such file')")
    assert cuda.cuda_driver().name == "cuda-bindings"
    assert "pycuda is installed but does not load: libcurand.so.10" in caplog.text
    assert "cuda-bindings is used instead" in caplog.text
    pycuda, bindings = cuda.cuda_packages()
    assert "libcurand" in pycuda.problem
    assert "cuda-bindings" in pycuda.advice
    assert bindings.is_used


@pytest.mark.parametrize("packages", [("pycuda",)], indirect=True)
def test_a_pycuda_that_does_not_load_is_not_called_absent(
    packages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_module(packages, "pycuda.driver", "raise ImportError('undefined symbol: cuCtxX')")
    with pytest.raises(BackendUnavailableError, match="does not load: undefined") as caught:
        cuda.check_device(0)
    assert "cuda-bindings" in caught.value.advice
    monkeypatch.setattr(cuda_pycuda, "driver_library_loads", lambda: False)
    with pytest.raises(BackendUnavailableError, match=r"no NVIDIA driver here .*undefined"):
        cuda.check_device(0)


@pytest.mark.parametrize("packages", [("cuda.bindings",)], indirect=True)
def test_cuda_bindings_without_a_driver_say_so(packages: Path) -> None:
    write_module(
        packages, "cuda.bindings.driver", "def cuInit(n): raise RuntimeError('no libcuda')"
    )
    (packages / "cuda" / "bindings" / "__init__.py").touch()
    with pytest.raises(BackendUnavailableError, match=r"no NVIDIA driver here \(no libcuda\)"):
        cuda.check_device(0)


def test_with_neither_package_both_are_named(packages: Path) -> None:
    with pytest.raises(
        BackendUnavailableError, match="neither pycuda nor cuda-bindings"
    ) as caught:
        cuda.check_device(0)
    assert "pip install cuda-bindings" in caught.value.advice
    assert [package.is_installed for package in cuda.cuda_packages()] == [False, False]


def test_a_gpu_that_does_not_start_is_a_sentence(gpu: Any) -> None:
    cuda.cuda_driver.cache_clear()
    gpu.fail("cuInit", "NO_DEVICE")
    with pytest.raises(BackendUnavailableError, match=r"CUDA does not start .*no device"):
        cuda.check_device(0)


def test_cuda_bindings_have_every_function_that_is_called_with_the_doubles_parameters() -> None:
    """Against those of the wheels 12.8.0 and 13.5.0, which agree."""
    data = Path(__file__).parents[1] / "data" / "cuda_bindings_parameters.json"
    real: dict[str, list[str]] = json.loads(data.read_text())
    source = Path(cuda_bindings.__file__).read_text()
    assert set(re.findall(r'"(cu[A-Z]\w+)"', source)) | {"cuGetErrorString"} == set(real)
    with driver_double("cuda-bindings"):
        from cuda.bindings import driver

        for name, parameters in real.items():
            assert list(inspect.signature(getattr(driver, name)).parameters) == parameters, name

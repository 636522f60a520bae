# SPDX-License-Identifier: Apache-2.0
"""TensorRT's backend on the double of a GPU: memory, threads, faults. Engines are real."""

from __future__ import annotations

import gc
import logging
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from support.gpu_double import gpu_double
from support.tiny_model import HEIGHT, WIDTH, random_images, tiny_card, write_tiny_model

from mtinet_ros.errors import BackendError, BackendLostError, BackendUnavailableError
from mtinet_ros.inference import Backend, cuda, load_backend, runtime_cache
from mtinet_ros.inference.selection import check_available
from mtinet_ros.inference.tensorrt_backend import TensorRtBackend

OUTPUTS = ("labels", "depth", "normals")
BUFFERS = 4  # one for the image, one for each output


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache") / "mtinet_ros"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model") / "m.onnx")


@pytest.fixture
def gpu(cache: Path) -> Iterator[Any]:
    with gpu_double(cache) as machine:
        yield machine


@pytest.fixture(params=["tensorrt", "tensorrt_rtx"])
def backend(request: pytest.FixtureRequest, gpu: Any, model: Path) -> Iterator[Backend]:
    loaded = load_backend(model, request.param, max_batch=4)
    yield loaded
    forget_errors()
    loaded.close()


def forget_errors() -> None:
    """Caught errors hold frames of the double, which hold streams; real PyCUDA has no frames."""
    gc.collect()


def test_everything_is_freed_in_the_documented_order(gpu: Any, model: Path) -> None:
    backend = load_backend(model, "tensorrt")
    backend.infer(random_images(2), OUTPUTS)
    gpu.order.clear()
    backend.close()
    assert gpu.order == [
        *["device memory", "pinned memory"] * BUFFERS,
        "event",
        "stream",
        "execution context",
        "engine",
        "runtime",
        "primary context",
    ]


def test_a_frame_allocates_nothing(gpu: Any, backend: Backend) -> None:
    images = [random_images(n) for n in (1, 2, 4)]
    for batch in images:
        backend.infer(batch, OUTPUTS)
    before = {call: gpu.calls[call] for call in gpu.calls}
    for _ in range(20):
        for batch in images:
            backend.infer(batch, OUTPUTS)
    made = ("mem_alloc", "pagelocked_empty", "Stream", "Event", "set_tensor_address")
    assert {call: gpu.calls[call] - before[call] for call in made} == dict.fromkeys(made, 0)


def test_a_frame_keeps_no_python_memory(backend: Backend) -> None:
    images = random_images(4)
    for _ in range(3):
        backend.infer(images, OUTPUTS)
    tracemalloc.start()
    try:
        for _ in range(2):  # the outputs of two runs are kept
            backend.infer(images, OUTPUTS)
        gc.collect()
        before = tracemalloc.take_snapshot()
        for _ in range(50):
            backend.infer(images, OUTPUTS)
        gc.collect()
        after = tracemalloc.take_snapshot()
    finally:
        tracemalloc.stop()
    ours = [tracemalloc.Filter(True, "*/mtinet_ros/*")]
    growth = after.filter_traces(ours).compare_to(before.filter_traces(ours), "lineno")
    assert sum(statistic.size_diff for statistic in growth) < 500, growth[:3]


def test_only_wanted_outputs_are_copied_and_the_thread_sleeps_once(
    gpu: Any, backend: Backend
) -> None:
    backend.infer(random_images(1), OUTPUTS)
    gpu.calls.clear()
    backend.infer(random_images(1), ["depth"])
    assert gpu.calls["memcpy_htod_async"] == 1
    assert gpu.calls["execute_async_v3"] == 1
    assert gpu.calls["memcpy_dtoh_async"] == 1
    assert gpu.calls["Event.synchronize"] == 1
    assert gpu.calls["set_input_shape"] == 0  # the batch is the one before


def test_another_thread_is_refused_and_the_owner_goes_on(backend: Backend) -> None:
    caught: list[BaseException] = []

    def misuse() -> None:
        for call in (lambda: backend.infer(random_images(1), OUTPUTS), backend.close):
            try:
                call()
            except BaseException as error:
                caught.append(error)

    thread = threading.Thread(target=misuse)
    thread.start()
    thread.join()
    assert [type(error) for error in caught] == [BackendError, BackendError]
    assert "another thread" in str(caught[0])
    assert backend.infer(random_images(1), ["depth"])["depth"].shape == (1, HEIGHT, WIDTH)


def test_another_user_of_cuda_in_the_thread_keeps_its_context(gpu: Any, model: Path) -> None:
    from pycuda import driver

    driver.init()
    other = driver.Device(0).retain_primary_context()
    other.push()
    backend = load_backend(model, "tensorrt")
    assert gpu.stack() == [other]
    backend.infer(random_images(1), OUTPUTS)
    assert gpu.stack() == [other]
    backend.close()
    assert gpu.stack() == [other]
    other.detach()


def test_a_model_of_fixed_batch_runs(gpu: Any, tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "fixed.onnx", tiny_card(max_batch=2))
    proto = onnx.load(path)
    for value in (*proto.graph.input, *proto.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 2
    onnx.save(proto, path)
    backend = load_backend(path, "tensorrt_rtx", max_batch=8)
    assert backend.max_batch == 2
    images = random_images(2)
    both = backend.infer(images, ["depth"])["depth"].copy()
    one = backend.infer(images[:1], ["depth"])["depth"]
    assert one.shape == (1, HEIGHT, WIDTH)
    np.testing.assert_array_equal(one[0], both[0])
    backend.close()


def test_stages_are_timed_apart_and_memory_is_told(backend: Any) -> None:
    seconds = backend.measure_stages(random_images(2))
    assert list(seconds) == ["h2d", "compute", "d2h"]
    assert all(value > 0 for value in seconds.values())
    assert backend.device_memory_used() > 0


def driver_error(kind: str, text: str) -> Exception:
    from pycuda import driver

    error: Exception = getattr(driver, kind)(text)
    return error


# Every kind of call of the driver while loading. nth: which of several is hit.
AT_LOAD = [
    ("Device.count", 1),
    ("Device.retain_primary_context", 1),
    ("Context.push", 1),
    ("Event", 1),
    ("Stream", 1),
    *[("pagelocked_empty", nth + 1) for nth in range(BUFFERS)],
    *[("mem_alloc", nth + 1) for nth in range(BUFFERS)],
    ("memcpy_htod_async", 1),
    *[("memcpy_dtoh_async", nth + 1) for nth in range(BUFFERS - 1)],
    ("Event.record", 1),
    ("Event.synchronize", 1),
]


@pytest.mark.parametrize(("call", "nth"), AT_LOAD)
def test_a_fault_while_loading_is_a_sentence_and_leaves_nothing(
    gpu: Any, model: Path, call: str, nth: int
) -> None:
    gpu.fail(call, driver_error("LogicError", f"{call} failed: injected"), nth)
    with pytest.raises(BackendError, match="injected"):
        load_backend(model, "tensorrt")
    assert gpu.leftovers() == []
    load_backend(model, "tensorrt").close()  # the next try works


# TensorRT does not raise: it says None or False.
REFUSALS = [
    ("Runtime", 1),
    ("create_execution_context", 1),
    *[("set_tensor_address", nth + 1) for nth in range(BUFFERS)],
    ("set_input_shape", 1),
    ("execute_async_v3", 1),
]


@pytest.mark.parametrize(("call", "nth"), REFUSALS)
def test_a_no_of_tensorrt_while_loading_is_a_sentence_and_leaves_nothing(
    gpu: Any, model: Path, call: str, nth: int
) -> None:
    gpu.fail(call, None, nth)
    with pytest.raises(BackendError, match=r"tensorrt (10\.13\.0 does not load|could not )"):
        load_backend(model, "tensorrt")
    assert gpu.leftovers() == []


def test_too_little_gpu_memory_says_what_to_do(gpu: Any, model: Path) -> None:
    gpu.fail("mem_alloc", driver_error("MemoryError", "cuMemAlloc failed: out of memory"), nth=2)
    with pytest.raises(BackendError, match=r"MB on the GPU.*out of memory.*lower max_batch"):
        load_backend(model, "tensorrt")


@pytest.mark.parametrize(
    "call",
    [
        "memcpy_htod_async",
        "memcpy_dtoh_async",
        "Event.record",
        "Event.synchronize",
        "Context.push",
    ],
)
def test_a_failed_frame_does_not_stop_the_next(gpu: Any, backend: Backend, call: str) -> None:
    images = random_images(2, seed=3)
    expected = backend.infer(images, ["depth"])["depth"].copy()
    gpu.fail(call, driver_error("LogicError", f"{call} failed: injected"))
    with pytest.raises(BackendError, match="injected") as caught:
        backend.infer(random_images(2), OUTPUTS)
    assert not isinstance(caught.value, BackendLostError)
    np.testing.assert_array_equal(backend.infer(images, ["depth"])["depth"], expected)


@pytest.mark.parametrize(
    ("call", "message"),
    [("set_input_shape", "take a batch of 3"), ("execute_async_v3", "run the network: enqueueV3")],
)
def test_a_refused_frame_does_not_stop_the_next(
    gpu: Any, backend: Backend, call: str, message: str
) -> None:
    gpu.fail(call, None)
    with pytest.raises(BackendError, match=f"could not {message}"):
        backend.infer(random_images(3), OUTPUTS)
    assert len(backend.infer(random_images(3), ["depth"])["depth"]) == 3


@pytest.mark.parametrize("call", ["memcpy_htod_async", "Event.synchronize"])
def test_a_lost_context_is_said_and_said_again_and_closing_still_works(
    gpu: Any, backend: Backend, call: str
) -> None:
    gpu.fail(call, driver_error("LaunchError", "illegal memory access"), lose=True)
    with pytest.raises(BackendLostError, match=r"illegal memory access.*restart the program"):
        backend.infer(random_images(1), OUTPUTS)
    with pytest.raises(BackendLostError, match="the GPU's context is lost"):
        backend.infer(random_images(1), OUTPUTS)
    backend.close()
    forget_errors()
    # On a broken context nothing can be freed; the driver does it when the process ends.
    kept = {left.partition(" ")[2] for left in gpu.leftovers() if left[0].isdigit()}
    assert kept <= {"device allocations", "pinned allocations"}
    gpu.memory.clear()
    gpu.pinned.clear()
    gpu.violations.clear()


def test_an_engine_that_does_not_load_is_set_aside_and_built_again(
    gpu: Any, model: Path, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    load_backend(model, "tensorrt", max_batch=2).close()
    gpu.fail("deserialize_cuda_engine", None)
    with caplog.at_level(logging.INFO, "mtinet_ros"):
        load_backend(model, "tensorrt", max_batch=2).close()
    assert "the last one does not load" in caplog.text
    assert "Serialization" in caplog.text
    assert list(cache.glob("*.engine.broken"))


def test_an_engine_that_never_loads_ends_with_tensorrts_words(gpu: Any, tmp_path: Path) -> None:
    gpu.fail("deserialize_cuda_engine", None)  # of a fresh engine: no second try
    with pytest.raises(BackendError, match=r"does not load .*: IRuntime::deserializeCudaEngine"):
        load_backend(write_tiny_model(tmp_path / "m.onnx"), "tensorrt")


def test_kernels_that_rtx_compiled_are_kept_and_foreign_ones_replaced(
    gpu: Any, model: Path, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    load_backend(model, "tensorrt_rtx").close()
    (kept,) = cache.glob("*.tensorrt_rtx.*.b4.runtime_cache")
    assert kept.read_bytes() == b"kernels double"
    kept.write_bytes(b"of another driver")
    with caplog.at_level(logging.INFO, "mtinet_ros"):
        load_backend(model, "tensorrt_rtx").close()
    assert "does not fit this GPU, driver or TensorRT, or is damaged" in caplog.text
    assert kept.read_bytes() == b"kernels double"


def test_kernels_that_cannot_be_read_or_kept_are_a_sentence_and_compiled_anew(
    gpu: Any, model: Path, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    load_backend(model, "tensorrt_rtx", max_batch=3).close()
    (kept,) = cache.glob("*.tensorrt_rtx.*.b3.runtime_cache")
    kept.unlink()
    kept.mkdir()
    with caplog.at_level(logging.INFO, "mtinet_ros"):
        load_backend(model, "tensorrt_rtx", max_batch=3).close()
    assert "runtime_cache cannot be read (Is a directory); its kernels are" in caplog.text
    assert "runtime_cache is not kept" in caplog.text


def test_rtx_compiles_every_batch_size_before_the_first_frame(
    gpu: Any, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    backend = load_backend(
        model, "tensorrt_rtx", max_batch=4, progress=lambda phase, share: told.append(phase)
    )
    assert told[-4:] == [f"compiling kernels for batch {n} of 4" for n in (1, 2, 3, 4)]
    assert gpu.runtime_config.dynamic_shapes_kernel_specialization_strategy.name == "EAGER"
    assert gpu.runtime_config.cuda_graph_strategy.name == "WHOLE_GRAPH_CAPTURE"
    saved: list[bytes] = []
    monkeypatch.setattr(runtime_cache.RuntimeCache, "save", lambda self: saved.append(b""))
    backend.infer(random_images(1), OUTPUTS)
    assert saved == []  # it is not due
    monkeypatch.setattr(runtime_cache.time, "monotonic", lambda: 1e12)
    backend.infer(random_images(1), OUTPUTS)
    assert saved == [b""]
    backend.close()


def test_a_device_that_is_not_there_is_refused_with_those_that_are(gpu: Any, model: Path) -> None:
    with pytest.raises(BackendError, match=r"device_id 3 does not exist: .* only device 0"):
        load_backend(model, "tensorrt", device_id=3)


def test_a_gpu_is_told_from_another_of_its_name(gpu: Any) -> None:
    from pycuda import driver

    gpu.gpus[:] = [driver.ORIN]
    assert cuda.identify_gpu(0) == cuda.GpuIdentity("Orin", "8.7", 16, True, 64 * 2**30)


def test_auto_takes_tensorrt_and_says_why_when_it_cannot(
    gpu: Any, model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "mtinet_ros"):
        backend = load_backend(model)
        assert backend.name == "tensorrt"
        backend.close()
        gpu.gpus.clear()
        assert not load_backend(model).name.startswith("tensorrt")
    assert "backend auto chose tensorrt" in caplog.text
    assert "not tensorrt: device_id 0 does not exist: this machine has no CUDA" in caplog.text
    assert "not tensorrt_rtx: device_id 0" in caplog.text


def test_no_driver_is_a_sentence(
    gpu: Any, model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    package = tmp_path / "pycuda"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "driver.py").write_text(
        "raise ImportError('libcuda.so.1: cannot open shared object file')"
    )
    for name in ("pycuda", "pycuda.driver"):
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setattr(cuda, "_driver_library_loads", lambda: False)
    with pytest.raises(BackendError, match=r"no NVIDIA driver here .*libcuda.*install it"):
        load_backend(model, "tensorrt")
    # With the driver there, another library is what PyCUDA lacks.
    monkeypatch.setattr(cuda, "_driver_library_loads", lambda: True)
    with pytest.raises(BackendError, match=r"pycuda is installed but does not load: libcuda"):
        load_backend(model, "tensorrt")


def test_a_gpu_that_does_not_start_is_a_sentence(gpu: Any, model: Path) -> None:
    gpu.fail("init", driver_error("LogicError", "cuInit failed: no CUDA-capable device"))
    with pytest.raises(BackendError, match=r"CUDA does not start .*nvidia-smi"):
        load_backend(model, "tensorrt")


def test_tensorrt_too_old_is_a_sentence(
    gpu: Any, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tensorrt

    monkeypatch.setattr(tensorrt, "__version__", "10.2.0")
    with pytest.raises(BackendError, match=r"TensorRT 10\.2\.0 is too old; 10\.3"):
        load_backend(model, "tensorrt")
    with pytest.raises(BackendUnavailableError, match=r"10\.2\.0 is too old"):
        check_available("tensorrt", 0, asked=True)


def test_progress_is_told_in_the_loading_thread_and_rises(gpu: Any, tmp_path: Path) -> None:
    told: list[tuple[str, float, int]] = []
    backend = load_backend(
        write_tiny_model(tmp_path / "m.onnx"),
        "tensorrt_rtx",
        progress=lambda phase, share: told.append((phase, share, threading.get_ident())),
    )
    assert isinstance(backend, TensorRtBackend)
    backend.close()
    shares = [share for _, share, _ in told]
    assert len(told) > 3
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert {thread for _, _, thread in told} == {threading.get_ident()}

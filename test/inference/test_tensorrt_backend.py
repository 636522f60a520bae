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

import mtinet_ros
from mtinet_ros.errors import BackendError, BackendLostError, BackendUnavailableError
from mtinet_ros.inference import cuda, load_backend, runtime_cache
from mtinet_ros.inference.engine_cache import EngineCache
from mtinet_ros.inference.engine_settings import EngineSettings
from mtinet_ros.inference.gpu_settings import GpuSettings
from mtinet_ros.inference.selection import check_available
from mtinet_ros.inference.tensorrt_backend import TensorRtBackend
from mtinet_ros.inference.tensorrt_streams import RunStreams

# For what does not depend on the package that brings the driver.
ONE_PACKAGE = pytest.mark.parametrize("gpu", ["pycuda"], indirect=True)
OUTPUTS = ("labels", "depth", "normals")
TENSORS = 1 + len(OUTPUTS)
PINNED = 2 * TENSORS  # two sets
ON_DEVICE = 2 * TENSORS
EVENTS, STREAMS = 5, 3


@pytest.fixture(params=["pycuda", "cuda-bindings"])
def gpu(request: pytest.FixtureRequest, cache: Path) -> Iterator[Any]:
    """Each way to the driver in turn."""
    with gpu_double(cache, request.param) as machine:
        yield machine


@pytest.fixture
def graph_gpu(cache: Path) -> Iterator[Any]:
    """With the package that can capture graphs."""
    with gpu_double(cache, "cuda-bindings") as machine:
        yield machine


# Not every edition with every package: what differs between the one does not depend on the other.
@pytest.fixture(params=[("tensorrt", "cuda-bindings"), ("tensorrt_rtx", "pycuda")])
def way(request: pytest.FixtureRequest, cache: Path) -> Iterator[tuple[str, Any]]:
    edition, package = request.param
    with gpu_double(cache, package) as machine:
        yield edition, machine


@pytest.fixture
def backend(way: tuple[str, Any], model: Path) -> Iterator[Any]:
    """An edition, loaded; `backend.gpu` is its double."""
    edition, machine = way
    loaded: Any = load_backend(model, edition, max_batch=4)
    loaded.gpu = machine
    yield loaded
    forget_errors()
    loaded.close()


def forget_errors() -> None:
    """Caught errors hold frames of the double, which hold streams; real PyCUDA has no frames."""
    gc.collect()


def cuda_machine() -> Any:
    return sys.modules["cuda_machine"]


def test_everything_is_freed_in_the_documented_order(gpu: Any, model: Path) -> None:
    backend = load_backend(model, "tensorrt")
    for _ in range(3):
        backend.infer(random_images(2), OUTPUTS)
    gpu.order.clear()
    backend.close()
    graphs = ["graph"] * gpu.order.count("graph")
    contexts = ["execution context"] * (gpu.order.count("execution context"))
    assert gpu.order == [
        *["pinned memory"] * PINNED,
        *["device memory"] * ON_DEVICE,
        *graphs,
        *contexts,
        "device memory",  # the contexts' scratch memory
        *["event"] * EVENTS,
        *["stream"] * STREAMS,
        "engine",
        "runtime",
        "primary context",
    ]


def test_a_frame_allocates_nothing(backend: Any) -> None:
    gpu = backend.gpu
    images = [random_images(n) for n in (1, 2, 4)]
    before = {call: gpu.calls[call] for call in gpu.calls}
    for _ in range(20):
        for batch in images:
            backend.infer(batch, OUTPUTS)
    made = ("cuMemAlloc", "cuMemHostAlloc", "cuStreamCreate", "cuEventCreate")
    made += ("set_tensor_address", "create_execution_context", "cuGraphInstantiate")
    assert {call: gpu.calls[call] - before.get(call, 0) for call in made} == dict.fromkeys(made, 0)


def test_a_frame_keeps_no_python_memory(backend: Any) -> None:
    images = random_images(4)
    for _ in range(6):
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
    # Not "*/mtinet_ros/*": a clone is called so as well, and with it all that lies in its .venv.
    ours = [tracemalloc.Filter(True, f"{Path(mtinet_ros.__file__).parent}/*")]
    growth = after.filter_traces(ours).compare_to(before.filter_traces(ours), "lineno")
    assert sum(statistic.size_diff for statistic in growth) < 500, growth[0]


def test_only_wanted_outputs_are_copied_and_the_thread_sleeps_once(gpu: Any, model: Path) -> None:
    backend = load_backend(model, "tensorrt", gpu=GpuSettings(cuda_graphs=False))
    for _ in range(2):
        backend.infer(random_images(1), OUTPUTS)
    gpu.calls.clear()
    backend.infer(random_images(1), ["depth"])
    assert gpu.calls["cuMemcpyHtoDAsync"] == 1
    assert gpu.calls["execute_async_v3"] == 1
    assert gpu.calls["cuMemcpyDtoHAsync"] == 1
    assert gpu.calls["cuEventSynchronize"] == 1
    assert gpu.calls["set_input_shape"] == 0  # the batch is the one before in each set
    backend.close()


def test_two_runs_are_under_way_and_keep_their_images_and_answers_apart(
    backend: Any,
) -> None:
    """Images from elsewhere may be overwritten as soon as the second run has begun."""
    first, second, third = (random_images(2, seed=seed) for seed in (1, 2, 3))
    expected = [backend.infer(i, OUTPUTS)["depth"].copy() for i in (first, second, third)]
    for _ in range(3):  # plainly, then captured, then as graphs
        runs = [backend.begin(images, OUTPUTS) for images in (first, second)]
        answers = [runs[0].outputs()["depth"].copy()]
        runs.append(backend.begin(third, OUTPUTS))
        answers += [run.outputs()["depth"].copy() for run in runs[1:]]
        np.testing.assert_array_equal(answers, expected)


def test_a_run_is_begun_without_waiting_unless_two_runs_are_off(gpu: Any, model: Path) -> None:
    for two_runs in (True, False):
        backend = load_backend(model, "tensorrt", gpu=GpuSettings(two_runs=two_runs))
        gpu.calls.clear()
        run = backend.begin(random_images(1), OUTPUTS)
        assert gpu.calls["cuEventSynchronize"] == (0 if two_runs else 1)
        assert set(run.outputs()) == set(OUTPUTS)
        assert gpu.calls["cuEventSynchronize"] == 1
        backend.close()


def test_images_in_the_backends_own_memory_are_not_copied(backend: Any) -> None:
    given = random_images(3, seed=4)
    expected = backend.infer(given, ["depth"])["depth"].copy()
    images = backend.new_images()
    assert images.shape == (4, HEIGHT, WIDTH, 3)
    images[:3] = given
    for _ in range(3):
        run = backend.begin(images[:3], ["depth"])
        images[:3] = 0  # the copy to the device has not been made yet: the proof that it is direct
        shown = run.outputs()["depth"].copy()
        assert not np.array_equal(shown, expected)
        images[:3] = given
        np.testing.assert_array_equal(backend.infer(images[:3], ["depth"])["depth"], expected)
    # A view that does not begin where the memory does is like any other array.
    np.testing.assert_array_equal(backend.infer(images[1:3], ["depth"])["depth"], expected[1:])


@ONE_PACKAGE
def test_the_memory_for_images_may_be_plain(gpu: Any, model: Path) -> None:
    backend = load_backend(model, "tensorrt", gpu=GpuSettings(pinned_images=False))
    images = backend.new_images()
    assert images.ctypes.data not in gpu.pinned
    backend.infer(images[:1], OUTPUTS)
    backend.close()


def test_every_batch_size_is_run_before_the_first_frame_on_each_set(backend: Any) -> None:
    captures = backend.name == "tensorrt"  # with cuda-bindings: once before it, and once captured
    assert backend.gpu.calls["execute_async_v3"] == 4 * 2 * (2 if captures else 1)
    calls = dict(backend.gpu.calls)
    for batch in (4, 1, 3, 2, 4, 1):
        backend.infer(random_images(batch), OUTPUTS)
    for call in ("create_execution_context", "cuStreamBeginCapture"):
        assert backend.gpu.calls[call] == calls.get(call, 0)
    if captures:
        assert backend.gpu.calls["cuGraphLaunch"] == calls["cuGraphLaunch"] + 6


def test_no_more_batches_are_made_ready_than_there_are_cameras_for(
    graph_gpu: Any, model: Path, cache: Path
) -> None:
    """The engine is the one that others use, whatever their number of cameras."""
    load_backend(model, "tensorrt", 4).close()
    engines = set(cache.glob("*.engine"))
    graph_gpu.calls.clear()
    backend = load_backend(model, "tensorrt", 2, engine=EngineSettings(largest_batch=4))
    assert set(cache.glob("*.engine")) == engines
    assert backend.max_batch == 2
    assert graph_gpu.calls["cuGraphLaunch"] == 2 * 2
    backend.close()


def test_capturing_takes_a_bounded_time_and_the_rest_comes_with_its_frames(
    graph_gpu: Any, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mtinet_ros.inference.tensorrt_queue._CAPTURE_SECONDS", 0.0)
    backend = load_backend(model, "tensorrt")
    assert graph_gpu.calls["cuGraphLaunch"] == 0
    expected = backend.infer(random_images(2), OUTPUTS)["depth"].copy()
    for _ in range(4):
        answer = backend.infer(random_images(2), OUTPUTS)["depth"]
        np.testing.assert_array_equal(answer, expected)
    assert graph_gpu.calls["cuGraphLaunch"] == 3
    backend.close()


@pytest.mark.parametrize("uploads", [True, False])
@pytest.mark.parametrize("downloads", [True, False])
def test_copies_beside_the_network_have_streams_and_memory_of_their_own(
    gpu: Any, model: Path, uploads: bool, downloads: bool
) -> None:
    """The double records every copy that is not ordered against what uses its memory."""
    settings = GpuSettings(overlapped_uploads=uploads, overlapped_downloads=downloads)
    backend = load_backend(model, "tensorrt", gpu=settings)
    assert len(gpu.streams) == 1 + uploads + downloads
    sets = (2 if uploads else 1) + len(OUTPUTS) * (2 if downloads else 1)
    assert len(gpu.memory) == sets + 1  # and scratch
    pictures = [random_images(1 + seed % 3, seed=seed) for seed in range(7)]
    alone = [backend.infer(images, ["depth"])["depth"].copy() for images in pictures]
    run = backend.begin(pictures[0], ["depth"])
    for images, expected in zip([*pictures[1:], pictures[0]], alone, strict=True):
        following = backend.begin(images, ["depth"])
        np.testing.assert_array_equal(run.outputs()["depth"], expected)
        run = following
    run.outputs()
    assert gpu.violations == []
    backend.close()


# What each of the two waits of a run is for, and what goes wrong without it.
@ONE_PACKAGE
@pytest.mark.parametrize(
    ("forgotten", "race"),
    [
        ("uploaded", "the network does not wait for an upload"),
        ("computed", "a download does not wait for the network"),
        ("wait", "an upload does not wait for the network"),
    ],
)
def test_the_double_finds_a_wait_that_is_forgotten(
    gpu: Any, model: Path, monkeypatch: pytest.MonkeyPatch, forgotten: str, race: str
) -> None:
    backend = load_backend(model, "tensorrt")
    monkeypatch.setattr(RunStreams, forgotten, lambda *_: None)
    for _ in range(3):
        backend.infer(random_images(1), OUTPUTS)
    assert f"a race: {race}" in gpu.violations
    gpu.violations.clear()
    backend.close()
    gpu.violations.clear()


def test_a_gpu_that_shares_the_hosts_memory_has_graphs_for_each_place_of_images(
    graph_gpu: Any, model: Path
) -> None:
    graph_gpu.gpus[:] = [cuda_machine().ORIN]
    backend = load_backend(model, "tensorrt", 2)
    places = [backend.new_images() for _ in range(3)]
    calls = dict(graph_gpu.calls)
    runs = 0
    for images in (*places, *places):
        for batch in (1, 2):
            backend.infer(images[:batch], OUTPUTS)
            runs += 1
    assert graph_gpu.calls["cuGraphLaunch"] == calls["cuGraphLaunch"] + runs
    assert graph_gpu.calls["execute_async_v3"] == calls["execute_async_v3"]
    # Once outputs may be held, nothing is run beside them.
    answer = backend.infer(places[0][:1], ["depth"])["depth"]
    copy = answer.copy()
    backend.new_images()
    np.testing.assert_array_equal(answer, copy)
    backend.close()


@pytest.mark.parametrize("cameras", [6, 8])
def test_every_batch_of_many_cameras_has_its_graph_where_memory_is_shared(
    graph_gpu: Any, tmp_path: Path, cameras: int
) -> None:
    """In each of the three places that the node prepares in, and for either set of outputs."""
    graph_gpu.gpus[:] = [cuda_machine().ORIN]
    model = write_tiny_model(tmp_path / "many.onnx", tiny_card(max_batch=8))
    backend = load_backend(model, "tensorrt", cameras)
    places = [backend.new_images() for _ in range(3)]
    assert graph_gpu.calls["cuGraphInstantiate"] == 3 * 2 * cameras
    calls = dict(graph_gpu.calls)
    runs = 0
    for batch in range(1, cameras + 1):
        for _ in range(6):  # three places and two sets of outputs in turn
            backend.infer(places[runs % 3][:batch], ["depth"])
            runs += 1
    assert graph_gpu.calls["cuGraphLaunch"] == calls["cuGraphLaunch"] + runs
    assert graph_gpu.calls["execute_async_v3"] == calls["execute_async_v3"]
    assert graph_gpu.calls["cuGraphInstantiate"] == calls["cuGraphInstantiate"]
    backend.close()


def test_sizes_of_batches_beyond_sixteen_run_call_by_call(graph_gpu: Any, tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "large.onnx", tiny_card(max_batch=18))
    backend = load_backend(model, "tensorrt", 18)
    assert graph_gpu.calls["cuGraphInstantiate"] == 2 * 16
    images = random_images(18)
    for batch, launches in ((16, 1), (17, 0), (18, 0)):
        before = graph_gpu.calls["cuGraphLaunch"]
        backend.infer(images[:batch], ["depth"])
        assert graph_gpu.calls["cuGraphLaunch"] == before + launches
    backend.close()


def test_a_gpu_that_shares_the_hosts_memory_copies_nothing(gpu: Any, model: Path) -> None:
    images = random_images(3, seed=6)
    with_copies = load_backend(model, "tensorrt")
    expected = {k: v.copy() for k, v in with_copies.infer(images, OUTPUTS).items()}
    with_copies.close()
    gpu.gpus[:] = [cuda_machine().ORIN]
    backend = load_backend(model, "tensorrt")
    gpu.calls.clear()
    own = backend.new_images()
    own[:3] = images
    for given in (images, own[:3]):
        for _ in range(5):
            for name, array in backend.infer(given, OUTPUTS).items():
                np.testing.assert_array_equal(array, expected[name])
    assert gpu.calls["cuMemcpyHtoDAsync"] == gpu.calls["cuMemcpyDtoHAsync"] == 0
    backend.close()
    copying = load_backend(model, "tensorrt", gpu=GpuSettings(mapped_memory=False))
    assert gpu.calls["cuMemcpyHtoDAsync"] > 0
    copying.close()


def test_the_network_is_launched_as_a_graph(graph_gpu: Any, model: Path) -> None:
    backend = load_backend(model, "tensorrt", max_batch=4)
    answers = {}
    for batch in (1, 3):
        answers[batch] = backend.infer(random_images(batch), OUTPUTS)["normals"].copy()
    for _ in range(6):
        for batch in (3, 1):
            answer = backend.infer(random_images(batch), OUTPUTS)["normals"]
            np.testing.assert_array_equal(answer, answers[batch])
            backend.infer(random_images(batch), ["depth"])
    calls = dict(graph_gpu.calls)
    backend.infer(random_images(3), OUTPUTS)
    assert graph_gpu.calls["cuGraphLaunch"] == calls["cuGraphLaunch"] + 1
    assert graph_gpu.calls["execute_async_v3"] == calls["execute_async_v3"]
    backend.close()


@ONE_PACKAGE
def test_a_batch_with_a_profile_of_its_own_runs_in_it(
    gpu: Any, model: Path, tmp_path: Path
) -> None:
    gpu.engine_folder = str(tmp_path / "engines")  # the others' engines have no such profile
    settings = EngineSettings(gpu.engine_folder, second_batch=3)
    backend = load_backend(model, "tensorrt", engine=settings)
    assert gpu.order == ["profile 1"] * 2  # in a context of each set
    calls = gpu.calls["set_input_shape"]
    for batch in (3, 3, 3):  # its context has that shape since it was prepared
        assert len(backend.infer(random_images(batch), ["depth"])["depth"]) == batch
    assert gpu.calls["set_input_shape"] == calls
    backend.infer(random_images(2), OUTPUTS)
    backend.close()
    gpu.fail("set_optimization_profile_async", None)
    with pytest.raises(BackendError, match="could not take the optimization profile 1"):
        load_backend(model, "tensorrt", engine=settings)


# The contexts of both sets are made first; then those of graphs, which run before a capture.
CAPTURE_FAULTS = [
    ("cuStreamBeginCapture", 1),
    ("cuStreamEndCapture", 1),
    ("cuGraphInstantiate", 1),
    ("cuGraphDestroy", 1),
    ("create_execution_context", 3),
    ("set_input_shape", 1),
    ("execute_async_v3", 1),
    ("execute_async_v3", 2),
]


@pytest.mark.parametrize("at_load", [True, False])
@pytest.mark.parametrize(("call", "nth"), CAPTURE_FAULTS)
def test_a_network_that_cannot_be_captured_runs_call_by_call_and_says_so_once(
    graph_gpu: Any,
    model: Path,
    call: str,
    nth: int,
    at_load: bool,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = load_backend(model, "tensorrt", gpu=GpuSettings(cuda_graphs=False))
    images = random_images(2)
    expected = plain.infer(images, ["depth"])["depth"].copy()
    plain.close()
    if not at_load:
        monkeypatch.setattr("mtinet_ros.inference.tensorrt_queue._CAPTURE_SECONDS", 0.0)
        backend = load_backend(model, "tensorrt")
        nth -= 2 if call == "create_execution_context" else 0
    graph_gpu.fail(call, None if "cu" not in call[:2] else "UNKNOWN", nth)
    if at_load:
        backend = load_backend(model, "tensorrt")
    for _ in range(4):
        np.testing.assert_array_equal(backend.infer(images, ["depth"])["depth"], expected)
    assert caplog.text.count("no more CUDA graphs from here on") == 1
    assert graph_gpu.calls["cuGraphLaunch"] == 0
    forget_errors()
    backend.close()


def test_pycuda_says_that_it_cannot_capture(
    model: Path, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with gpu_double(cache, "pycuda"), caplog.at_level(logging.INFO, "mtinet_ros"):
        load_backend(model, "tensorrt", gpu=GpuSettings(cuda_graphs=False)).close()
        assert "cannot capture" not in caplog.text
        load_backend(model, "tensorrt", gpu=GpuSettings(cuda_graphs=True)).close()
    assert "pycuda cannot capture CUDA graphs" in caplog.text


@ONE_PACKAGE
def test_no_context_is_held_while_an_engine_is_built(
    gpu: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small GPU is all the builder's, also when an engine that was there is refused."""
    held: list[int] = []
    get_or_build = EngineCache.get_or_build

    def look(self: EngineCache, *arguments: Any, **options: Any) -> Any:
        held.append(gpu.retained.total())
        return get_or_build(self, *arguments, **options)

    monkeypatch.setattr(EngineCache, "get_or_build", look)
    path = write_tiny_model(tmp_path / "m.onnx")
    load_backend(path, "tensorrt", max_batch=1).close()
    gpu.fail("deserialize_cuda_engine", None)
    load_backend(path, "tensorrt", max_batch=1).close()
    assert held == [0, 0, 0]


def test_another_thread_is_refused_and_the_owner_goes_on(backend: Any) -> None:
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


@ONE_PACKAGE
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


# Every kind of call of the driver while loading. nth: which of several is hit.
AT_LOAD = [
    ("cuDeviceGetCount", 1),
    ("cuDeviceGetName", 1),
    ("cuDevicePrimaryCtxRetain", 1),
    ("cuCtxPushCurrent", 1),
    *[("cuEventCreate", nth) for nth in (1, EVENTS)],
    *[("cuStreamCreate", nth) for nth in (1, STREAMS)],
    *[("cuMemHostAlloc", nth + 1) for nth in range(PINNED)],
    *[("cuMemAlloc", nth) for nth in (1, 2, 3, 1 + ON_DEVICE)],
    ("cuMemcpyHtoDAsync", 1),
    *[("cuMemcpyDtoHAsync", nth) for nth in (1, len(OUTPUTS))],
    *[("cuEventRecord", nth) for nth in (1, 2, 3, 4)],
    *[("cuStreamWaitEvent", nth) for nth in (1, 2)],
    ("cuEventSynchronize", 1),
]


@pytest.mark.parametrize(("call", "nth"), AT_LOAD)
def test_a_fault_while_loading_is_a_sentence_and_leaves_nothing(
    gpu: Any, model: Path, call: str, nth: int
) -> None:
    gpu.fail(call, nth=nth)
    with pytest.raises(BackendError, match=f"{call} failed: launch failed"):
        load_backend(model, "tensorrt")
    forget_errors()
    assert gpu.leftovers() == []
    load_backend(model, "tensorrt").close()  # the next try works


@pytest.mark.parametrize("nth", range(1, PINNED + 1))
def test_a_fault_of_mapped_memory_is_a_sentence_and_leaves_nothing(
    gpu: Any, model: Path, nth: int
) -> None:
    gpu.fail("cuMemHostGetDevicePointer", nth=nth)
    with pytest.raises(BackendError, match="cuMemHostGetDevicePointer failed: launch failed"):
        load_backend(model, "tensorrt", gpu=GpuSettings(mapped_memory=True))
    assert gpu.leftovers() == []


# TensorRT does not raise: it says None or False.
REFUSALS = [
    ("Runtime", 1),
    ("create_execution_context", 1),
    *[("set_tensor_address", nth + 1) for nth in range(TENSORS)],
    ("set_input_shape", 1),
    ("execute_async_v3", 1),
]


@pytest.mark.parametrize(("call", "nth"), REFUSALS)
def test_a_no_of_tensorrt_while_loading_is_a_sentence_and_leaves_nothing(
    gpu: Any, model: Path, call: str, nth: int
) -> None:
    gpu.fail(call, None, nth)
    with pytest.raises(BackendError, match=r"tensorrt (10\.13\.0 does not load|could not )"):
        load_backend(model, "tensorrt", gpu=GpuSettings(cuda_graphs=False))
    assert gpu.leftovers() == []


def test_too_little_gpu_memory_says_what_to_do(gpu: Any, model: Path) -> None:
    gpu.fail("cuMemAlloc", "OUT_OF_MEMORY", nth=2)
    with pytest.raises(BackendError, match=r"MB on the GPU.*out of memory.*lower max_batch"):
        load_backend(model, "tensorrt")


@pytest.mark.parametrize(
    "call",
    [
        "cuMemcpyHtoDAsync",
        "cuMemcpyDtoHAsync",
        "cuEventRecord",
        "cuEventSynchronize",
        "cuStreamWaitEvent",
        "cuCtxPushCurrent",
    ],
)
def test_a_failed_frame_does_not_stop_the_next(gpu: Any, model: Path, call: str) -> None:
    backend = load_backend(model, "tensorrt")
    images = random_images(2, seed=3)
    expected = backend.infer(images, ["depth"])["depth"].copy()
    gpu.fail(call)
    with pytest.raises(BackendError, match=f"{call} failed: launch failed") as caught:
        backend.infer(random_images(2), OUTPUTS)
    assert not isinstance(caught.value, BackendLostError)
    np.testing.assert_array_equal(backend.infer(images, ["depth"])["depth"], expected)
    del caught
    forget_errors()
    backend.close()


def test_a_run_that_fails_takes_no_other_with_it(backend: Any) -> None:
    images = random_images(2, seed=3)
    expected = backend.infer(images, ["depth"])["depth"].copy()
    first, second = (backend.begin(images, ["depth"]) for _ in range(2))
    backend.gpu.fail("cuEventSynchronize")
    with pytest.raises(BackendError, match="launch failed"):
        first.outputs()
    np.testing.assert_array_equal(second.outputs()["depth"], expected)


def test_memory_of_a_run_that_nobody_could_wait_for_is_not_used_before_it_is_over(
    gpu: Any, model: Path
) -> None:
    """The double records a race if the third run does not wait for the first."""
    backend = load_backend(model, "tensorrt")
    images = random_images(2, seed=3)
    expected = backend.infer(images, ["depth"])["depth"].copy()
    first, second = (backend.begin(random_images(2), ["depth"]) for _ in range(2))
    gpu.fail("cuCtxPushCurrent")
    with pytest.raises(BackendError, match="make its context current"):
        first.outputs()
    third = backend.begin(images, ["depth"])
    second.outputs()
    np.testing.assert_array_equal(third.outputs()["depth"], expected)
    assert gpu.violations == []
    forget_errors()
    backend.close()


def test_a_graph_that_is_not_launched_fails_its_frame_alone(graph_gpu: Any, model: Path) -> None:
    backend = load_backend(model, "tensorrt")
    for _ in range(6):
        backend.infer(random_images(1), OUTPUTS)
    graph_gpu.fail("cuGraphLaunch")
    with pytest.raises(BackendError, match="cuGraphLaunch failed"):
        backend.infer(random_images(1), OUTPUTS)
    assert set(backend.infer(random_images(1), OUTPUTS)) == set(OUTPUTS)
    forget_errors()
    backend.close()


@pytest.mark.parametrize(
    ("call", "message"),
    [("set_input_shape", "take a batch of 3"), ("execute_async_v3", "run the network: enqueueV3")],
)
def test_a_refused_frame_does_not_stop_the_next(
    gpu: Any, model: Path, call: str, message: str
) -> None:
    backend = load_backend(model, "tensorrt", gpu=GpuSettings(cuda_graphs=False))
    gpu.fail(call, None)
    with pytest.raises(BackendError, match=f"could not {message}"):
        backend.infer(random_images(3), OUTPUTS)
    assert len(backend.infer(random_images(3), ["depth"])["depth"]) == 3
    forget_errors()
    backend.close()


@pytest.mark.parametrize("call", ["cuMemcpyHtoDAsync", "cuEventSynchronize"])
def test_a_lost_context_is_said_and_said_again_and_closing_still_works(
    backend: Any, call: str
) -> None:
    gpu = backend.gpu
    gpu.fail(call, "ILLEGAL_ADDRESS", lose=True)
    with pytest.raises(BackendLostError, match=r"illegal address.*restart the program"):
        backend.infer(random_images(1), OUTPUTS)
    with pytest.raises(BackendLostError, match="the GPU's context is lost"):
        backend.infer(random_images(1), OUTPUTS)
    backend.close()
    forget_errors()
    # On a broken context nothing can be freed; the driver does it when the process ends.
    gpu.abandon()


@ONE_PACKAGE
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


@ONE_PACKAGE
def test_an_engine_that_never_loads_ends_with_tensorrts_words(gpu: Any, tmp_path: Path) -> None:
    gpu.fail("deserialize_cuda_engine", None)  # of a fresh engine: no second try
    with pytest.raises(BackendError, match=r"does not load .*: IRuntime::deserializeCudaEngine"):
        load_backend(write_tiny_model(tmp_path / "m.onnx"), "tensorrt")


@ONE_PACKAGE
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


@ONE_PACKAGE
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


@ONE_PACKAGE
@pytest.mark.parametrize(
    ("call", "word"),
    [
        ("create_runtime_cache", "every start compiles its kernels"),
        ("set_runtime_cache", "every start compiles its kernels"),
        ("deserialize", "compiled anew"),
        ("serialize", ""),
    ],
)
def test_without_a_runtime_cache_rtx_runs_all_the_same(
    gpu: Any, model: Path, caplog: pytest.LogCaptureFixture, call: str, word: str
) -> None:
    load_backend(model, "tensorrt_rtx").close()
    gpu.fail(call, None)
    with caplog.at_level(logging.INFO, "mtinet_ros"):
        backend = load_backend(model, "tensorrt_rtx")
    assert word in caplog.text
    assert len(backend.infer(random_images(2), ["depth"])["depth"]) == 2
    backend.close()


@ONE_PACKAGE
def test_no_runtime_configuration_is_a_sentence_and_leaves_nothing(gpu: Any, model: Path) -> None:
    gpu.fail("create_runtime_config", None)
    with pytest.raises(BackendError, match="gives no runtime configuration"):
        load_backend(model, "tensorrt_rtx")
    assert gpu.leftovers() == []
    load_backend(model, "tensorrt_rtx").close()


@ONE_PACKAGE
def test_rtx_compiles_every_batch_size_before_the_first_frame(
    gpu: Any, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    backend = load_backend(
        model, "tensorrt_rtx", max_batch=4, progress=lambda phase, share: told.append(phase)
    )
    assert told[-4:] == [f"preparing batch {n} of 4" for n in (1, 2, 3, 4)]
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


@ONE_PACKAGE
def test_a_device_that_is_not_there_is_refused_with_those_that_are(gpu: Any, model: Path) -> None:
    with pytest.raises(BackendError, match=r"device_id 3 does not exist: .* only device 0"):
        load_backend(model, "tensorrt", device_id=3)


@ONE_PACKAGE
def test_a_gpu_is_told_from_another_of_its_name(gpu: Any) -> None:
    gpu.gpus[:] = [cuda_machine().ORIN]
    assert cuda.identify_gpu(0) == cuda.GpuIdentity("Orin", "8.7", 16, True, 64 * 2**30)


@ONE_PACKAGE
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


@ONE_PACKAGE
def test_tensorrt_too_old_is_a_sentence(
    gpu: Any, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tensorrt

    monkeypatch.setattr(tensorrt, "__version__", "10.2.0")
    with pytest.raises(BackendError, match=r"TensorRT 10\.2\.0 is too old; 10\.3"):
        load_backend(model, "tensorrt")
    with pytest.raises(BackendUnavailableError, match=r"10\.2\.0 is too old"):
        check_available("tensorrt", 0, asked=True)


@ONE_PACKAGE
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

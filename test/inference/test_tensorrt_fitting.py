# SPDX-License-Identifier: Apache-2.0
"""TensorRT's backend fits images itself, on the double of a GPU, whose kernel the CPU runs."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support.gpu_double import gpu_double
from support.kernel_on_cpu import needs_compiler
from support.tiny_model import random_images

from mtinet_ros.errors import BackendError, BackendLostError
from mtinet_ros.inference import load_backend, nvrtc
from mtinet_ros.inference.gpu_settings import GpuSettings
from mtinet_ros.messages.image_message import raw_image
from mtinet_ros.perception.predictor import Batch, Predictor
from mtinet_ros.perception.raw_image import RawImage

pytestmark = needs_compiler
OUTPUTS = ("labels", "depth", "normals")
Load = Callable[..., Any]


@pytest.fixture
def gpu(request: pytest.FixtureRequest, cache: Path) -> Iterator[Any]:
    with gpu_double(cache, getattr(request, "param", "cuda-bindings")) as machine:
        yield machine


@pytest.fixture
def load(gpu: Any, model: Path) -> Iterator[Load]:
    """Makes predictors, and closes their backends."""
    backends = []

    def make(edition: str = "tensorrt", **settings: Any) -> Predictor:
        given = GpuSettings(**{"fits_images": True, **settings})
        backends.append(load_backend(model, edition, max_batch=3, gpu=given))
        return Predictor(backends[-1])

    yield make
    gc.collect()  # errors of the double keep what real ones do not
    for backend in backends:
        backend.close()


def picture(seed: int, size: tuple[int, int] = (90, 120)) -> RawImage:
    data = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    message = SimpleNamespace(
        encoding="bgr8",
        height=size[0],
        width=size[1],
        step=3 * size[1],
        is_bigendian=0,
        data=data.tobytes(),
    )
    raw = raw_image(message)
    assert raw is not None
    return raw


def fill(predictor: Predictor, *images: Any) -> Batch:
    batch = predictor.new_batch()
    for image in images:
        predictor.preprocess(batch, image, None)
    return batch


def on_cpu(predictor: Predictor, *images: Any) -> Batch:
    pictures = (image.pixels if isinstance(image, RawImage) else image for image in images)
    return fill(predictor, *pictures)


def assert_same(predictor: Predictor, batch: Batch, outputs: Any, *images: Any) -> None:
    """The network saw, and a prediction shows, what the CPU would have made."""
    other = on_cpu(predictor, *images)
    assert np.abs(batch.images.astype(int) - other.images).max() <= 1
    # Of the very images that the batch now shows, so that the network must have seen these.
    again = Predictor(predictor.backend)
    seen = again.backend.infer(np.ascontiguousarray(batch.images), OUTPUTS)
    for name in OUTPUTS:
        np.testing.assert_array_equal(outputs[name], seen[name], err_msg=name)


WAYS = [
    {},
    {"two_runs": False, "overlapped_uploads": False, "overlapped_downloads": False},
    {"overlapped_uploads": False},
    {"pinned_images": False},
    {"mapped_memory": True},
    {"mapped_memory": True, "pinned_images": False},
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: " ".join(way) or "default")
def test_the_network_sees_what_the_cpu_would_have_made(load: Load, way: dict[str, Any]) -> None:
    predictor = load(**way)
    for seed in range(4):  # call by call, captured, as graphs, in either turn
        images = picture(seed), picture(9).pixels, picture(seed + 20, (50, 200))
        batch = fill(predictor, *images)
        assert set(batch.raw) == {0, 2}
        outputs = {name: array.copy() for name, array in predictor.infer(batch, OUTPUTS).items()}
        assert_same(predictor, batch, outputs, *images)


@pytest.mark.parametrize("gpu", ["pycuda"], indirect=True)
def test_pycuda_can_do_it_as_well(load: Load) -> None:
    predictor = load()
    batch = fill(predictor, picture(1))
    assert_same(predictor, batch, predictor.infer(batch, OUTPUTS), picture(1))


@pytest.mark.parametrize("way", WAYS[:4], ids=lambda way: " ".join(way) or "default")
def test_two_runs_under_way_keep_their_bytes_apart(load: Load, way: dict[str, Any]) -> None:
    predictor = load(**way)
    predictor.infer(fill(predictor, picture(0)), OUTPUTS)  # past the check
    images = [(picture(1), picture(2)), (picture(3), picture(4)), (picture(5, (200, 300)),)]
    batches = [fill(predictor, *each) for each in images]
    runs = [predictor.begin(batch, OUTPUTS) for batch in batches[:2]]
    outputs = [{n: a.copy() for n, a in runs[0].outputs().items()}]
    runs.append(predictor.begin(batches[2], OUTPUTS))  # larger: memory has to grow meanwhile
    outputs += [{n: a.copy() for n, a in run.outputs().items()} for run in runs[1:]]
    for batch, said, each in zip(batches, outputs, images, strict=True):
        assert_same(predictor, batch, said, *each)


def test_a_frame_copies_its_bytes_once_and_allocates_nothing(gpu: Any, load: Load) -> None:
    predictor = load()
    batch = predictor.new_batch()
    made = ("cuMemAlloc", "cuMemHostAlloc", "cuStreamCreate", "cuModuleLoadData")

    def frame() -> None:
        batch.clear()
        for seed in range(2):
            predictor.preprocess(batch, picture(seed), None)
        predictor.infer(batch, ["depth"])

    for _ in range(4):
        frame()
    gpu.calls.clear()
    frame()
    assert {call: gpu.calls[call] for call in made} == dict.fromkeys(made, 0)
    assert gpu.calls["cuLaunchKernel"] == 2
    assert gpu.calls["cuMemcpyHtoDAsync"] == 1  # the bytes of both; of images, none
    assert gpu.calls["cuEventSynchronize"] == 1


def test_without_the_switch_nothing_is_compiled(gpu: Any, load: Load) -> None:
    predictor = load(fits_images=False)
    assert not predictor.backend.fits_images
    predictor.infer(fill(predictor, picture(1)), OUTPUTS)
    assert gpu.calls["nvrtcCompileProgram"] == gpu.calls["cuModuleLoadData"] == 0
    with pytest.raises(BackendError, match="images are fitted by the CPU alone"):
        predictor.backend.fit_image(None)


def test_without_a_compiler_the_cpu_fits_and_the_log_says_why(
    load: Load, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(name: str) -> Any:
        raise OSError(name)

    monkeypatch.setattr(nvrtc, "open_library", absent)
    predictor = load()
    assert not predictor.backend.fits_images
    assert (
        "the CPU fits images to the network's size, not the GPU: there is no NVRTC" in caplog.text
    )
    batch = fill(predictor, picture(1))
    assert_same(predictor, batch, predictor.infer(batch, OUTPUTS), picture(1))


@pytest.mark.parametrize("call", ["nvrtcCompileProgram", "cuModuleGetFunction"])
def test_a_kernel_that_cannot_be_loaded_leaves_it_to_the_cpu(
    gpu: Any, load: Load, caplog: pytest.LogCaptureFixture, call: str
) -> None:
    gpu.fail(call)
    predictor = load()
    assert not predictor.backend.fits_images
    assert "the CPU fits images" in caplog.text
    predictor.infer(fill(predictor, picture(1)), OUTPUTS)


@pytest.mark.parametrize("call", ["cuLaunchKernel", "cuMemAlloc", "cuMemHostAlloc"])
@pytest.mark.parametrize("when", ["at the check", "later"])
def test_a_failure_is_a_sentence_and_the_cpu_goes_on(
    gpu: Any,
    load: Load,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    when: str,
) -> None:
    """And the GPU again a while later: memory is short for a moment."""
    now = [100.0]
    clock = SimpleNamespace(monotonic=lambda: now[0])
    monkeypatch.setattr("mtinet_ros.perception.backend_fitting.time", clock)
    predictor = load()
    if when == "at the check":
        batch = fill(predictor, picture(1))
        gpu.fail(call, "OUT_OF_MEMORY")
        assert_same(predictor, batch, predictor.infer(batch, OUTPUTS), picture(1))
        assert "CPU, because the GPU fails to: CUDA failed to" in caplog.text
    else:
        predictor.infer(fill(predictor, picture(1)), OUTPUTS)
        batch = fill(predictor, picture(1), picture(2))  # more bytes than before
        gpu.fail(call, "OUT_OF_MEMORY")
        with pytest.raises(BackendError, match="out of memory"):
            predictor.infer(batch, OUTPUTS)
    assert caplog.messages[-1].endswith("; it is tried again in 5 s")
    batch = fill(predictor, picture(2))
    assert not batch.raw
    assert_same(predictor, batch, predictor.infer(batch, OUTPUTS), picture(2))
    now[0] += 5.0
    batch = fill(predictor, picture(1), picture(2))
    assert set(batch.raw) == {0, 1}
    outputs = {n: a.copy() for n, a in predictor.infer(batch, OUTPUTS).items()}
    assert_same(predictor, batch, outputs, picture(1), picture(2))


def test_a_picture_that_nobody_could_wait_for_is_not_written_over_a_later_one(
    gpu: Any, load: Load
) -> None:
    predictor = load(pinned_images=False)
    predictor.infer(fill(predictor, picture(1)), OUTPUTS)
    batch = fill(predictor, picture(2))
    run = predictor.begin(batch, OUTPUTS)
    gpu.fail("cuEventSynchronize")
    with pytest.raises(BackendError, match="launch failed"):
        run.outputs()
    shown = on_cpu(predictor, picture(3)).images
    batch.images[...] = shown
    for _ in range(2):  # in either turn
        predictor.backend.infer(random_images(1), OUTPUTS)
    np.testing.assert_array_equal(batch.images, shown)


def test_a_context_that_is_lost_in_the_kernel_is_told(gpu: Any, load: Load) -> None:
    predictor = load()
    predictor.infer(fill(predictor, picture(1)), OUTPUTS)
    batch = fill(predictor, picture(1))
    gpu.fail("cuLaunchKernel", "ILLEGAL_ADDRESS", lose=True)
    with pytest.raises(BackendLostError, match="restart the program"):
        predictor.infer(batch, OUTPUTS)
    gc.collect()
    gpu.broken = None


def test_rtx_fits_images_as_well(load: Load, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    predictor = load("tensorrt_rtx")
    for seed in range(3):
        batch = fill(predictor, picture(seed))
        outputs = {n: a.copy() for n, a in predictor.infer(batch, OUTPUTS).items()}
        assert_same(predictor, batch, outputs, picture(seed))
    assert "tensorrt_rtx: images in bgr8 of 120x90 pixels are fitted by the GPU" in caplog.text

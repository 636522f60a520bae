# SPDX-License-Identifier: Apache-2.0
"""What only a real GPU can show. Runs with `make verify-gpu`; skipped elsewhere."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gpu.fitting import noise
from support.tensorrt_editions import require_edition

from mtinet_ros.errors import BackendError
from mtinet_ros.inference import load_backend
from mtinet_ros.inference.cuda import DeviceBuffer, DeviceContext, cuda_driver, identify_gpu
from mtinet_ros.inference.gpu_settings import GpuSettings
from mtinet_ros.perception.predictor import Predictor

MODEL = Path(os.environ.get("MTINET_GPU_MODEL", ""))
MEBIBYTE = 2**20

pytestmark = pytest.mark.skipif(
    not MODEL.name, reason="needs an NVIDIA GPU: `make verify-gpu` sets MTINET_GPU_MODEL"
)


@pytest.fixture(params=["tensorrt", "tensorrt_rtx"])
def name(request: pytest.FixtureRequest) -> str:
    value: str = request.param
    require_edition(value)
    return value


@pytest.fixture
def backend(name: str) -> Iterator[Any]:
    loaded = load_backend(MODEL, name)
    yield loaded
    loaded.close()


def images(backend: Any, batch: int) -> np.ndarray:
    height, width = backend.card.input_size
    return np.random.default_rng(1).integers(0, 256, (batch, height, width, 3), np.uint8)


def test_answers_as_onnx_runtime_does(backend: Any) -> None:
    batch = images(backend, min(2, backend.max_batch))
    yardstick = load_backend(MODEL, "onnxruntime")
    expected = yardstick.infer(batch, yardstick.output_names)
    outputs = backend.infer(batch, backend.output_names)
    # TensorRT computes fp32 in TF32 where the GPU has it: 10 bits of mantissa.
    if "labels" in outputs:
        assert np.mean(outputs["labels"] == expected["labels"]) > 0.98
    if "depth" in outputs:
        error = np.abs(outputs["depth"] - expected["depth"]) / np.abs(expected["depth"])
        assert np.median(error) < 0.01
    if "normals" in outputs:
        cosine = np.sum(outputs["normals"] * expected["normals"], axis=-1).clip(-1, 1)
        assert np.degrees(np.median(np.arccos(cosine))) < 1.0


def test_a_thousand_frames_take_no_more_gpu_memory(backend: Any) -> None:
    batch = images(backend, 1)
    for _ in range(10):
        backend.infer(batch, backend.output_names)
    before = backend.device_memory_used()
    for _ in range(1000):
        backend.infer(batch, backend.output_names)
    assert abs(backend.device_memory_used() - before) < MEBIBYTE


def test_the_first_frames_of_every_batch_size_are_like_all_others(backend: Any) -> None:
    """Contexts and graphs, which take memory, are there before. The times are for people."""
    before = backend.device_memory_used()
    milliseconds: dict[int, list[float]] = {}
    for batch in range(1, backend.max_batch + 1):
        given = images(backend, batch)
        for _ in range(12):
            begun = time.perf_counter()
            backend.infer(given, backend.output_names)
            milliseconds.setdefault(batch, []).append(1e3 * (time.perf_counter() - begun))
    for batch, took in milliseconds.items():
        first, later = max(took[:2]), np.median(took[2:])  # one on each set of memory
        print(f"batch {batch}: first {first:.2f} ms, later {later:.2f} ms")
    assert abs(backend.device_memory_used() - before) < MEBIBYTE


def test_loading_and_closing_gives_all_memory_back(name: str) -> None:
    used = []
    for _ in range(6):
        backend: Any = load_backend(MODEL, name)
        used.append(backend.device_memory_used())
        backend.close()
    assert used[-1] - used[1] < 8 * MEBIBYTE


def test_the_thread_sleeps_while_the_gpu_works(backend: Any) -> None:
    batch = images(backend, backend.max_batch)
    backend.infer(batch, backend.output_names)
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(50):
        backend.infer(batch, backend.output_names)
    assert time.process_time() - cpu < 0.8 * (time.perf_counter() - wall)


def test_torch_beside_it_goes_on_working(backend: Any) -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("this torch has no CUDA")
    ones = torch.ones(1000, device="cuda")
    backend.infer(images(backend, 1), backend.output_names)
    assert float(ones.sum()) == 1000.0
    backend.close()
    assert float((ones * 2).sum()) == 2000.0


def test_a_full_gpu_is_a_sentence_and_the_next_try_works(name: str) -> None:
    if identify_gpu(0).is_integrated:
        pytest.skip("this GPU shares the host's memory: filling it would take the machine down")
    load_backend(MODEL, name).close()  # so that its engine is there
    held = DeviceContext(0)
    with held:
        free, _ = cuda_driver().memory_info()
        hog = DeviceBuffer(free - 16 * MEBIBYTE)
    try:
        with pytest.raises(BackendError, match="out of memory"):
            load_backend(MODEL, name)
    finally:
        with held:
            hog.free()
        held.release()
    load_backend(MODEL, name).close()


def test_raw_images_are_fitted_on_the_gpu_as_on_the_cpu(name: str) -> None:
    loaded = load_backend(MODEL, name, gpu=GpuSettings(fits_images=True))
    try:
        if not loaded.fits_images:
            pytest.skip("there is no NVRTC for this driver")
        predictor = Predictor(loaded)
        raw = noise("bgr8", (480, 640))
        for _ in range(3):  # in either set of memory, call by call or as a graph
            here, there = predictor.new_batch(), predictor.new_batch()
            predictor.preprocess(here, raw.pixels, None)
            predictor.preprocess(there, raw, None)
            said = predictor.infer(there, ["depth"])["depth"].copy()
            assert there.raw, "the GPU was not trusted: see the log"
            assert np.abs(there.images.astype(int) - here.images).max() <= 1
            # What it says of the very picture that the GPU has made.
            expected = loaded.infer(np.ascontiguousarray(there.images), ["depth"])["depth"]
            np.testing.assert_allclose(said, expected, rtol=1e-3)
    finally:
        loaded.close()

# SPDX-License-Identifier: Apache-2.0
"""Images that a backend fits itself: the way there, and what happens if it does so wrongly."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Collection, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.kernel_on_cpu import needs_compiler, run_on_cpu
from support.tiny_model import HEIGHT, WIDTH, tiny_card

from mtinet_ros.errors import BackendError, BackendLostError
from mtinet_ros.inference.backend import Run, UnfittedImage
from mtinet_ros.inference.fit_kernel import kernel_source
from mtinet_ros.messages.image_message import raw_image
from mtinet_ros.perception.fit import Fit
from mtinet_ros.perception.predictor import Batch, Predictor
from mtinet_ros.perception.raw_image import RawImage

pytestmark = needs_compiler


class FittingBackend:
    """Fits by the kernel on the CPU; `error` gray levels off, or failing."""

    name, device, fits_images, max_batch, gains_by_batching = "gpu", "gpu", True, 3, True
    output_names = ("depth",)

    def __init__(self) -> None:
        self.card = tiny_card()
        self.error = 0
        self.failure: Exception | None = None
        self.fails_at = ""  # a run that fits images: `begin` or `wait`
        self.checks = 0
        self.begun: list[tuple[NDArray[np.uint8], list[int]]] = []

    def new_images(self) -> NDArray[np.uint8]:
        return np.zeros((self.max_batch, HEIGHT, WIDTH, 3), np.uint8)

    def begin(self, images: NDArray[np.uint8], wanted: Collection[str]) -> Run:
        return self.begin_unfitted(images, {}, wanted)

    def begin_unfitted(
        self,
        images: NDArray[np.uint8],
        unfitted: Mapping[int, UnfittedImage],
        wanted: Collection[str],
    ) -> Run:
        for slot, image in unfitted.items():
            images[slot] = self._fit(image)
        self.begun.append((images.copy(), list(unfitted)))
        fails_at = self.fails_at if unfitted else ""

        def step(name: str) -> None:
            if fails_at == name:
                raise BackendError("CUDA failed to run the network: out of memory")

        def wait() -> dict[str, NDArray[np.float32]]:
            step("wait")
            return {"depth": np.ones((len(images), HEIGHT, WIDTH), np.float32)}

        step("begin")
        return Run(wait)

    def fit_image(self, unfitted: UnfittedImage) -> NDArray[np.uint8]:
        self.checks += 1
        if self.failure:
            raise self.failure
        return self._fit(unfitted) ^ np.uint8(self.error)

    def _fit(self, unfitted: UnfittedImage) -> NDArray[np.uint8]:
        out = np.empty((HEIGHT, WIDTH, 3), np.uint8)
        data = np.ascontiguousarray(unfitted.data)
        run_on_cpu(kernel_source(), unfitted.job.argument(data.ctypes.data, out.ctypes.data))
        return out


def picture(seed: int, size: tuple[int, int] = (90, 120), encoding: str = "bgr8") -> RawImage:
    channels = 3 if encoding.endswith("r8") else 1
    data = np.random.default_rng(seed).integers(0, 256, (*size, channels), np.uint8)
    message = SimpleNamespace(
        encoding=encoding,
        height=size[0],
        width=size[1],
        step=size[1] * channels,
        is_bigendian=0,
        data=data.tobytes(),
    )
    raw = raw_image(message)
    assert raw is not None
    return raw


@pytest.fixture
def backend() -> FittingBackend:
    return FittingBackend()


@pytest.fixture
def predictor(backend: Any) -> Predictor:
    return Predictor(backend)


def fill(predictor: Predictor, *images: Any) -> Batch:
    batch = predictor.new_batch()
    for image in images:
        predictor.preprocess(batch, image, None)
    return batch


def expected(predictor: Predictor, raw: RawImage) -> NDArray[np.uint8]:
    out = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    Fit.plan(raw.size, (HEIGHT, WIDTH), "letterbox").apply(
        raw.pixels, out, predictor.card.pad_color
    )
    return out


def assert_seen(predictor: Predictor, seen: NDArray[np.uint8], raws: list[RawImage]) -> None:
    for image, raw in zip(seen, raws, strict=True):
        assert np.abs(image.astype(int) - expected(predictor, raw)).max() <= 1


def test_bytes_reach_the_network_beside_pictures_and_the_prediction_shows_them(
    predictor: Predictor, backend: FittingBackend
) -> None:
    raws = [picture(1), picture(2), picture(3)]
    batch = fill(predictor, raws[0], raws[1].pixels, raws[2])
    outputs = predictor.infer(batch, ["depth"])
    seen, unfitted = backend.begun[-1]
    assert unfitted == [0, 2]
    assert_seen(predictor, seen, raws)
    shown = [prediction.image for prediction in predictor.postprocess(batch, outputs)]
    for image, prediction in zip(seen, shown, strict=True):
        np.testing.assert_array_equal(batch.fits[0].crop(image), prediction)


def test_what_is_taken_out_of_a_batch_leaves_the_others_where_they_belong(
    predictor: Predictor, backend: FittingBackend
) -> None:
    raws = [picture(1), picture(2), picture(3)]
    batch = fill(predictor, raws[0], raws[1].pixels, raws[2])
    batch.remove(0)
    predictor.infer(batch, ["depth"])
    assert_seen(predictor, backend.begun[-1][0], raws[1:])
    batch.clear()
    predictor.preprocess(batch, raws[1].pixels, None)
    predictor.infer(batch, ["depth"])
    assert backend.begun[-1][1] == []


def test_each_form_of_image_is_checked_once(
    predictor: Predictor, backend: FittingBackend, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for _ in range(3):
        predictor.infer(fill(predictor, picture(1), picture(2, (60, 80), "mono8")), ["depth"])
    assert backend.checks == 2
    assert caplog.messages == [
        "gpu: images in bgr8 of 120x90 pixels are fitted by the GPU",
        "gpu: images in mono8 of 80x60 pixels are fitted by the GPU",
    ]


@pytest.mark.parametrize(
    ("error", "failure", "words"),
    [
        (2, None, r"CPU, because the GPU's result differs by \d+ gray levels"),
        (0, BackendError("CUDA failed to fit an image: no"), "CPU, because the GPU fails to: CUD"),
    ],
)
def test_a_backend_that_fits_otherwise_is_not_trusted_and_said_so_once(
    predictor: Predictor,
    backend: FittingBackend,
    caplog: pytest.LogCaptureFixture,
    error: int,
    failure: Exception | None,
    words: str,
) -> None:
    """A silent wrong number is the worst fault: the CPU fits these images, from the first on."""
    backend.error, backend.failure = error, failure
    raws = [picture(1), picture(2)]
    for _ in range(2):
        predictor.infer(fill(predictor, *raws), ["depth"])
        seen, unfitted = backend.begun[-1]
        assert unfitted == []
        for image, raw in zip(seen, raws, strict=True):
            np.testing.assert_array_equal(image, expected(predictor, raw))
    (message,) = caplog.messages
    assert re.search(words, message)
    assert backend.checks == 1


class Clock:
    """The steady clock of what counts failures."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("mtinet_ros.perception.backend_fitting.time", clock)
    return clock


def fits_now(predictor: Predictor, backend: FittingBackend) -> bool:
    """Whether the backend was asked to fit a raw image; a run that fails is none to die of."""
    with contextlib.suppress(BackendError):
        predictor.infer(fill(predictor, picture(1)), ["depth"])
    return backend.begun[-1][1] == [0]


@pytest.mark.parametrize("where", ["begin", "wait"])
def test_a_run_that_fails_costs_the_gpu_five_seconds_and_a_check(
    predictor: Predictor,
    backend: FittingBackend,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
    where: str,
) -> None:
    caplog.set_level(logging.INFO)
    assert fits_now(predictor, backend)
    backend.fails_at = where
    with pytest.raises(BackendError, match="out of memory"):
        predictor.infer(fill(predictor, picture(1)), ["depth"])
    assert caplog.messages[-1] == (
        "gpu: the CPU fits images, because the GPU fails to: CUDA failed to run the network: out "
        "of memory; it is tried again in 5 s"
    )
    backend.fails_at = ""
    clock.now += 4.9
    assert not fits_now(predictor, backend)
    assert backend.checks == 1
    clock.now += 0.1
    assert fits_now(predictor, backend)
    assert backend.checks == 2
    assert caplog.messages[-1] == "gpu: images in bgr8 of 120x90 pixels are fitted by the GPU"
    assert len(caplog.messages) == 3


@pytest.mark.parametrize("is_in_the_check", [True, False])
def test_what_fails_again_and_again_is_left_to_the_cpu(
    predictor: Predictor,
    backend: FittingBackend,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
    is_in_the_check: bool,
) -> None:
    if is_in_the_check:
        backend.failure = BackendError("CUDA failed to fit an image: no")
    else:
        backend.fails_at = "begin"
    for pause in (5, 10, 20, 40):
        fits_now(predictor, backend)
        assert caplog.messages[-1].endswith(f"; it is tried again in {pause} s")
        clock.now += pause - 0.5
        assert not fits_now(predictor, backend)
        clock.now += 0.5
    fits_now(predictor, backend)
    assert caplog.messages[-1].endswith("; it has failed 5 times, and is not tried again")
    clock.now += 1e6
    backend.fails_at, backend.failure = "", None
    assert not fits_now(predictor, backend)
    assert (backend.checks, len(caplog.messages)) == (5, 5)


def test_a_check_that_fails_leaves_the_whole_batch_to_the_cpu(
    predictor: Predictor, backend: FittingBackend, clock: Clock
) -> None:
    """A run that would fail as the check did costs the frames of the other cameras, too."""
    assert fits_now(predictor, backend)
    backend.failure = BackendError("CUDA failed to fit an image: no")
    raws = [picture(1), picture(2, (60, 80))]
    predictor.infer(fill(predictor, *raws), ["depth"])
    seen, fitted = backend.begun[-1]
    assert fitted == []
    assert_seen(predictor, seen, raws)


def test_a_failure_an_hour_counts_for_itself(
    predictor: Predictor, backend: FittingBackend, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(7):
        backend.fails_at = "wait"
        fits_now(predictor, backend)
        assert caplog.messages[-1].endswith("; it is tried again in 5 s")
        backend.fails_at = ""
        clock.now += 3600.0
        assert fits_now(predictor, backend)


def test_two_runs_that_fail_together_are_one_failure(
    predictor: Predictor, backend: FittingBackend, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    backend.fails_at = "wait"
    runs = [predictor.begin(fill(predictor, picture(seed)), ["depth"]) for seed in range(2)]
    for run in runs:
        with pytest.raises(BackendError):
            run.outputs()
    assert [message.rpartition("; ")[2] for message in caplog.messages] == [
        "it is tried again in 5 s"
    ] * 2


def test_a_backend_that_is_lost_in_the_check_is_lost(
    predictor: Predictor, backend: FittingBackend
) -> None:
    backend.failure = BackendLostError("gone")
    with pytest.raises(BackendLostError):
        predictor.infer(fill(predictor, picture(1)), ["depth"])


def test_a_backend_that_stops_fitting_leaves_it_to_the_cpu(
    predictor: Predictor, backend: FittingBackend
) -> None:
    """Also for a batch that was filled before."""
    batch = fill(predictor, picture(1))
    backend.fits_images = False
    predictor.infer(batch, ["depth"])
    np.testing.assert_array_equal(backend.begun[-1][0][0], expected(predictor, picture(1)))
    assert not fill(predictor, picture(1)).raw


def test_without_a_run_the_picture_is_there_all_the_same(predictor: Predictor) -> None:
    """Somebody looks at the picture alone."""
    batch = fill(predictor, picture(1))
    predictions = predictor.postprocess(batch, predictor.infer(batch, []))
    np.testing.assert_array_equal(
        predictions[0].image, batch.fits[0].crop(expected(predictor, picture(1)))
    )


def test_a_camera_that_changes_its_size_all_the_time_is_not_checked_for_ever(
    predictor: Predictor, backend: FittingBackend
) -> None:
    for height in range(40, 140):
        predictor.infer(fill(predictor, picture(1, (height, 50))), ["depth"])
    assert backend.checks == 64
    assert backend.begun[-1][1] == []

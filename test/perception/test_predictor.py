# SPDX-License-Identifier: Apache-2.0
"""One way from a camera's image to a prediction: sizes, lens, batch and what was asked for."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.tiny_model import HEIGHT, WIDTH, random_images, tiny_card, write_tiny_model

from mtinet_ros.errors import InputError
from mtinet_ros.inference import Backend, Run, load_backend
from mtinet_ros.perception.camera_model import CameraModel
from mtinet_ros.perception.predictor import Predictor


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[Backend]:
    loaded = load_backend(write_tiny_model(tmp_path / "tiny.onnx"), "onnxruntime", max_batch=4)
    yield loaded
    loaded.close()


def camera(width: int, height: int, focal_length: float) -> CameraModel:
    center = ((width - 1) / 2, (height - 1) / 2)
    return CameraModel.pinhole(width, height, focal_length, focal_length, *center)


def test_a_picture_of_the_networks_size_gets_the_networks_own_answer(backend: Backend) -> None:
    images = random_images(3)
    raw = backend.infer(images, backend.output_names)
    predictions = Predictor(backend).predict(list(images), [None] * 3)
    for slot, prediction in enumerate(predictions):
        assert np.array_equal(prediction.labels, raw["labels"][slot])  # type: ignore[arg-type]
        assert np.array_equal(prediction.depth, raw["depth"][slot])  # type: ignore[arg-type]
        assert np.array_equal(prediction.normals, raw["normals"][slot])  # type: ignore[arg-type]
        assert not prediction.depth_is_metric
        assert prediction.camera is None


def test_depth_is_scaled_by_the_lens(backend: Backend) -> None:
    image = random_images(1)[0]
    predictor = Predictor(backend)
    f0 = backend.card.focal_length
    assert f0 is not None
    plain = predictor.predict([image], [None])[0].depth
    near = predictor.predict([image], [camera(WIDTH, HEIGHT, f0 / 2)])[0]
    assert near.depth_is_metric
    assert plain is not None
    assert near.depth is not None
    assert near.depth == pytest.approx(plain / 2)


def test_pictures_of_different_sizes_share_a_batch_and_keep_apart(backend: Backend) -> None:
    random = np.random.default_rng(5)
    sizes = [(HEIGHT, WIDTH), (100, 64), (40, 200)]
    images = [random.integers(0, 256, (*size, 3), np.uint8) for size in sizes]
    lenses = [camera(width, height, 80.0) for height, width in sizes]
    predictor = Predictor(backend)
    together = [
        {name: np.copy(getattr(p, name)) for name in ("image", "labels", "depth", "normals")}
        for p in predictor.predict(images, lenses)
    ]
    for image, lens, expected in zip(images, lenses, together, strict=True):
        alone = predictor.predict([image], [lens])[0]
        fit = predictor.preprocess(predictor.new_batch(), image, lens)
        assert alone.size == fit.content_size
        assert alone.camera is not None
        assert (alone.camera.height, alone.camera.width) == alone.size
        for name, array in expected.items():
            assert array.shape[:2] == alone.size
            # ONNX Runtime may add up in another order for another batch size.
            close = np.isclose(getattr(alone, name), array, atol=1e-4, equal_nan=True)
            assert close.mean() > 0.999, name


def test_only_what_was_asked_for_is_computed(backend: Backend) -> None:
    asked: list[Collection[str]] = []

    class Spy(Backend):
        """The real backend, with an ear on what is asked of it."""

        card, max_batch, output_names = backend.card, backend.max_batch, backend.output_names
        name, device, close = backend.name, backend.device, backend.close
        precision = backend.precision

        def begin(self, images: NDArray[np.uint8], wanted: Collection[str]) -> Run:
            asked.append(wanted)
            return backend.begin(images, wanted)

    predictor = Predictor(Spy())
    image = random_images(1)[0]
    prediction = predictor.predict([image], [None], {"depth"})[0]
    assert prediction.depth is not None
    assert prediction.labels is prediction.normals is None
    nothing = predictor.predict([image], [camera(WIDTH, HEIGHT, 50.0)], frozenset())[0]
    assert nothing.depth is None
    assert nothing.camera is not None
    assert asked == [{"depth"}]


def test_the_fit_comes_from_the_card_unless_it_is_given(tmp_path: Path, backend: Backend) -> None:
    def content_size(predictor: Predictor) -> tuple[int, int]:
        image = np.zeros((10, 100, 3), np.uint8)
        return predictor.preprocess(predictor.new_batch(), image, None).content_size

    assert content_size(Predictor(backend)) == (6, WIDTH)
    assert content_size(Predictor(backend, "stretch")) == (HEIGHT, WIDTH)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((10, 10), np.uint8),
        np.zeros((10, 10, 4), np.uint8),
        np.zeros((10, 10, 3), np.float32),
        np.zeros((0, 10, 3), np.uint8),
    ],
)
def test_another_kind_of_picture_is_refused(backend: Backend, image: NDArray[Any]) -> None:
    with pytest.raises(InputError):
        Predictor(backend).predict([image], [None])


def test_a_camera_of_another_size_is_refused(backend: Backend) -> None:
    with pytest.raises(InputError, match=r"11x10 pixels.*64x32"):
        Predictor(backend).predict([random_images(1)[0]], [camera(11, 10, 50.0)])


def test_a_refused_picture_leaves_the_others_of_its_batch_alone(backend: Backend) -> None:
    images = random_images(2)
    predictor = Predictor(backend)
    batch = predictor.new_batch()
    predictor.preprocess(batch, images[0], None)
    with pytest.raises(InputError):
        predictor.preprocess(batch, images[1], camera(11, 10, 50.0))
    predictor.preprocess(batch, images[1], None)
    assert np.array_equal(batch.images, images)
    found = predictor.postprocess(batch, predictor.infer(batch, ("labels",)))
    expected = predictor.predict(list(images), [None] * 2)
    for one, other in zip(found, expected, strict=True):
        assert np.array_equal(one.labels, other.labels)  # type: ignore[arg-type]
    batch.clear()
    assert len(batch) == 0


def test_the_card_is_the_tiny_models(backend: Backend) -> None:
    assert backend.card == tiny_card()

# SPDX-License-Identifier: Apache-2.0
"""The promises of `Backend`, held against every backend that can run on this machine."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto
from support.gpu_double import gpu_double
from support.tensorrt_editions import require_edition
from support.tiny_model import HEIGHT, WIDTH, random_images, tiny_card, write_tiny_model

from mtinet_ros.errors import BackendError, InputError, ModelError
from mtinet_ros.inference import Backend, load_backend
from mtinet_ros.model_contract import OUTPUTS

BACKENDS = ("onnxruntime", "openvino", "tensorrt", "tensorrt_rtx")
PRECISIONS = ("fp32", "fp16", "int8")

# What may differ from ONNX Runtime, by the card's precision: share of pixels with another label,
# and the 99.9th percentile of the absolute difference of depth [m] and normals. A value on the
# edge of two int8 codes may fall either way and moves a pixel by a whole code.
# On a GPU TensorRT computes fp32 in TF32 (10 bits of mantissa) where the GPU has it.
ON_GPU = "MTINET_GPU_MODEL" in os.environ
FP32 = (0.002, 5e-3) if ON_GPU else (0.0, 1e-4)
TOLERANCE = {"fp32": FP32, "fp16": (0.002, 5e-3), "int8": (0.01, 0.15)}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {
        precision: write_tiny_model(folder / f"{precision}.onnx", tiny_card(precision))
        for precision in PRECISIONS
    }


@pytest.fixture(scope="module")
def confident(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("confident")
    return write_tiny_model(folder / "tiny.onnx", outputs=tuple(OUTPUTS))


@pytest.fixture(params=BACKENDS)
def name(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each backend in turn; those of TensorRT on the double of a GPU, with real engines.

    `make verify-gpu` sets MTINET_GPU_MODEL: then they run on the GPU itself.
    """
    value: str = request.param
    if not value.startswith("tensorrt"):
        pytest.importorskip(value)
        yield value
        return
    if ON_GPU:
        require_edition(value)
        yield value
        return
    cache: Path = request.getfixturevalue("shared_cache")
    with gpu_double(cache):
        yield value


@pytest.fixture(scope="module")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Engines of the module's models are built once."""
    return tmp_path_factory.mktemp("cache") / "mtinet_ros"


@pytest.fixture
def backend(name: str, models: dict[str, Path]) -> Iterator[Backend]:
    loaded = load_backend(models["fp32"], name, max_batch=4)
    yield loaded
    loaded.close()


def reference(model: Path, images: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"image": images}), strict=True))


def test_says_what_it_is_and_what_the_model_has(name: str, backend: Backend) -> None:
    assert backend.name == name
    assert backend.device
    assert backend.card == tiny_card()
    assert set(backend.output_names) == {"labels", "depth", "normals"}
    assert backend.max_batch == 4
    assert backend.gains_by_batching == name.startswith("tensorrt"), "a CPU does not"


@pytest.mark.parametrize("batch", [1, 2, 3, 4])
def test_every_batch_size_gives_the_contracts_types_and_shapes(
    backend: Backend, batch: int
) -> None:
    outputs = backend.infer(random_images(batch), backend.output_names)
    assert set(outputs) == set(backend.output_names)
    for name, array in outputs.items():
        assert array.dtype == OUTPUTS[name].dtype
        assert array.shape == (batch, *OUTPUTS[name].shape(HEIGHT, WIDTH)[1:])


@pytest.mark.parametrize("precision", PRECISIONS)
def test_answers_as_onnx_runtime_does(name: str, models: dict[str, Path], precision: str) -> None:
    backend = load_backend(models[precision], name)
    images = random_images(3, seed=5)
    outputs = backend.infer(images, backend.output_names)
    expected = reference(models[precision], images)
    other_labels, difference = TOLERANCE[precision]
    assert np.mean(outputs["labels"] != expected["labels"]) <= other_labels
    for output in ("depth", "normals"):
        error = np.abs(outputs[output] - expected[output])
        assert np.quantile(error, 0.999) <= difference, output
    assert len(np.unique(expected["labels"])) > 1
    assert np.ptp(expected["depth"]) > 0.1
    backend.close()


def test_a_confidence_comes_with_the_others_or_alone(name: str, confident: Path) -> None:
    backend = load_backend(confident, name)
    images = random_images(2, seed=5)
    expected = reference(confident, images)["confidence"].astype(int)
    everything = backend.infer(images, backend.output_names)["confidence"].copy()
    alone = backend.infer(images, ("confidence",))
    assert set(alone) == {"confidence"}
    np.testing.assert_array_equal(alone["confidence"], everything)
    assert everything.dtype == OUTPUTS["confidence"].dtype
    assert np.abs(everything - expected).max() <= (4 if ON_GPU else 1)
    assert np.ptp(expected) > 50
    backend.close()


def test_batches_of_changing_size_do_not_mix(backend: Backend) -> None:
    images = random_images(4, seed=2)
    alone = [
        {k: v.copy() for k, v in backend.infer(images[i : i + 1], backend.output_names).items()}
        for i in range(4)
    ]
    for rows in (slice(0, 4), slice(1, 3), slice(3, 4), slice(0, 3)):
        outputs = backend.infer(images[rows], backend.output_names)
        for row, expected in zip(range(4)[rows], range(rows.stop - rows.start), strict=True):
            for name, array in outputs.items():
                np.testing.assert_allclose(array[expected], alone[row][name][0], atol=FP32[1])


@pytest.mark.parametrize(
    "wanted", [(), ("depth",), ("labels", "normals"), ["normals"], {"labels"}]
)
def test_brings_back_just_what_is_wanted(backend: Backend, wanted: Any) -> None:
    outputs = backend.infer(random_images(1), wanted)
    assert set(outputs) == set(wanted)


def test_wanted_outputs_may_change_from_frame_to_frame(backend: Backend) -> None:
    images = random_images(2)
    everything = {k: v.copy() for k, v in backend.infer(images, backend.output_names).items()}
    for name in backend.output_names:
        backend.infer(random_images(2, seed=9), [name])
        np.testing.assert_allclose(
            backend.infer(images, [name])[name], everything[name], atol=FP32[1]
        )


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((1, HEIGHT, WIDTH, 3), np.float32),
        np.zeros((1, HEIGHT, WIDTH, 3), np.int8),
        np.zeros((1, HEIGHT, WIDTH, 4), np.uint8),
        np.zeros((1, WIDTH, HEIGHT, 3), np.uint8),
        np.zeros((1, 3, HEIGHT, WIDTH), np.uint8),
        np.zeros((HEIGHT, WIDTH, 3), np.uint8),
        np.zeros((0, HEIGHT, WIDTH, 3), np.uint8),
        np.zeros((5, HEIGHT, WIDTH, 3), np.uint8),
    ],
    ids=lambda images: f"{images.dtype}{list(images.shape)}",
)
def test_a_wrong_image_is_refused_and_the_next_one_works(
    backend: Backend, images: NDArray[Any]
) -> None:
    with pytest.raises(InputError, match=r"takes uint8 \[N,32,64,3\] with N from 1 to 4"):
        backend.infer(images, backend.output_names)
    assert backend.infer(random_images(1), ["depth"])["depth"].shape == (1, HEIGHT, WIDTH)


def test_an_output_the_model_lacks_is_refused_by_name(backend: Backend) -> None:
    with pytest.raises(InputError, match="no output confidence; it has"):
        backend.infer(random_images(1), ["confidence"])


def test_images_are_not_written_to(backend: Backend) -> None:
    images = random_images(2)
    before = images.copy()
    images.flags.writeable = False
    backend.infer(images, backend.output_names)
    np.testing.assert_array_equal(images, before)


def test_rows_that_do_not_lie_together_are_read_right(backend: Backend) -> None:
    images = random_images(2)
    wide = np.zeros((2, HEIGHT, 2 * WIDTH, 3), np.uint8)
    view = wide[:, :, ::2]
    view[...] = images
    expected = backend.infer(images, ["depth"])["depth"].copy()
    np.testing.assert_allclose(backend.infer(view, ["depth"])["depth"], expected, atol=FP32[1])


def test_two_runs_go_side_by_side_and_each_keeps_its_arrays_until_the_second_after_it(
    backend: Backend,
) -> None:
    pictures = [random_images(rows, seed=rows) for rows in (2, 1, 3, 2)]
    alone = [
        {name: array.copy() for name, array in backend.infer(images, ["depth", "labels"]).items()}
        for images in pictures
    ]
    first = backend.begin(pictures[0], ["depth", "labels"])
    for images, expected, following in zip(pictures, alone, [*pictures[1:], None], strict=True):
        second = None if following is None else backend.begin(following, ["depth", "labels"])
        found = first.outputs()
        if second is not None:
            second.outputs()
        for name, array in found.items():
            assert len(array) == len(images)
            np.testing.assert_allclose(array, expected[name], atol=FP32[1])
        assert first.outputs() is found
        first = second or first


def test_a_third_run_is_refused_while_two_are_under_way(backend: Backend) -> None:
    images = random_images(1)
    expected = backend.infer(images, ["depth"])["depth"].copy()
    first, second = (backend.begin(images, ["depth"]) for _ in range(2))
    with pytest.raises(BackendError, match=f"{backend.name}: two runs are under way; take"):
        backend.begin(random_images(1, seed=9), ["depth"])
    for run in (first, second):
        np.testing.assert_allclose(run.outputs()["depth"], expected, atol=FP32[1])
    backend.infer(images, ["depth"])
    with pytest.raises(BackendError, match="gone: the second run after it has begun"):
        first.outputs()
    assert second.outputs()


def test_outputs_that_nobody_took_end_with_the_backend(backend: Backend) -> None:
    run = backend.begin(random_images(1), ["depth"])
    backend.close()
    with pytest.raises(BackendError, match="gone: the backend is closed"):
        run.outputs()


def test_memory_for_images_is_of_their_shape_and_each_time_its_own(backend: Backend) -> None:
    first, second = backend.new_images(), backend.new_images()
    assert first.shape == second.shape == (4, HEIGHT, WIDTH, 3)
    assert first.dtype == np.uint8
    images = random_images(4)
    first[:], second[:] = images, 0
    expected = backend.infer(images[:3], ["depth"])["depth"].copy()
    backend.infer(second[:2], ["depth"])
    found = backend.infer(first[:3], ["depth"])["depth"]
    np.testing.assert_allclose(found, expected, atol=FP32[1])


def test_closing_twice_is_fine_and_a_closed_backend_says_so(backend: Backend) -> None:
    backend.infer(random_images(1), ["depth"])
    backend.close()
    backend.close()
    with pytest.raises(BackendError, match="closed"):
        backend.infer(random_images(1), ["depth"])


def test_lives_and_dies_in_one_thread_that_is_not_the_main_one(
    name: str, models: dict[str, Path]
) -> None:
    results: list[Any] = []

    def live() -> None:
        try:
            backend = load_backend(models["fp32"], name)
            results.append(backend.infer(random_images(2), ["depth"])["depth"].copy())
            backend.close()
        except BaseException as error:
            results.append(error)

    thread = threading.Thread(target=live)
    thread.start()
    thread.join()
    expected = reference(models["fp32"], random_images(2))["depth"]
    assert not isinstance(results[0], BaseException), results[0]
    np.testing.assert_allclose(results[0], expected, atol=FP32[1])


def test_the_batch_limit_is_the_smaller_of_cards_and_callers(name: str, tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "m.onnx", tiny_card(max_batch=3))
    for asked, granted in ((2, 2), (8, 3)):
        backend = load_backend(model, name, max_batch=asked)
        assert backend.max_batch == granted
        backend.close()


def test_a_graph_of_a_fixed_batch_answers_fewer_images_and_says_what_they_cost(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """OpenVINO frees the graph of it, where nothing in its middle counts images."""
    plain = write_tiny_model(tmp_path / "plain.onnx")
    counts = ("nothing", "labels") if name == "openvino" else ("nothing",)
    for counted in counts:
        fixed = onnx.load(plain)
        for tensor in (*fixed.graph.input, *fixed.graph.output):
            tensor.type.tensor_type.shape.dim[0].dim_value = 3
        for node in fixed.graph.node:
            if counted in node.output:
                node.output[:] = ["any"]
        if counted != "nothing":
            shape = onnx.numpy_helper.from_array(np.array([3, HEIGHT, WIDTH]), "three")
            fixed.graph.initializer.append(shape)
            fixed.graph.node.append(onnx.helper.make_node("Reshape", ["any", "three"], [counted]))
        path = tmp_path / f"{counted}.onnx"
        onnx.save(fixed, path)
        caplog.clear()
        backend = load_backend(path, name, max_batch=4)
        try:
            says = [r for r in caplog.records if "always takes 3 images" in r.getMessage()]
            is_freed = name == "openvino" and counted == "nothing"
            assert len(says) == (0 if is_freed else 1)
            assert backend.max_batch == (4 if is_freed else 3)
            assert backend.gains_by_batching != is_freed
            for rows in (3, 1, 2):
                images = random_images(rows, seed=rows)
                outputs = backend.infer(images, backend.output_names)
                for output, expected in reference(plain, images).items():
                    assert outputs[output].shape == expected.shape
                    np.testing.assert_allclose(outputs[output], expected, atol=FP32[1])
        finally:
            backend.close()


@pytest.mark.parametrize("outputs", [("labels",), ("depth",), ("normals", "depth")])
def test_a_model_may_have_any_subset_of_tasks(
    name: str, tmp_path: Path, outputs: tuple[str, ...]
) -> None:
    backend = load_backend(write_tiny_model(tmp_path / "m.onnx", outputs=outputs), name)
    assert set(backend.output_names) == set(outputs)
    assert set(backend.infer(random_images(1), backend.output_names)) == set(outputs)
    backend.close()


def test_labels_of_a_wrong_type_fail_at_load(name: str, tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "m.onnx", labels_type=TensorProto.INT64)
    with pytest.raises(ModelError, match=r"labels is int64 .* the model contract asks for uint8"):
        load_backend(model, name)


def test_depth_of_a_wrong_shape_fails_at_load(name: str, tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "m.onnx", depth_rank=4)
    with pytest.raises(ModelError, match=r"depth is float32 .* asks for float32 \[None, 32, 64\]"):
        load_backend(model, name)


def test_a_model_cut_short_fails_at_load_with_its_name(
    name: str, models: dict[str, Path], tmp_path: Path
) -> None:
    model = tmp_path / "short.onnx"
    model.write_bytes(models["fp32"].read_bytes()[:-500])
    with pytest.raises(ModelError, match=r"short\.onnx"):
        load_backend(model, name)


def test_an_output_that_is_also_an_inner_tensor_keeps_its_name(name: str, tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "model.onnx")
    model = onnx.load(path)
    for node in model.graph.node:
        node.output[:] = ["/inner" if o == "depth" else o for o in node.output]
    model.graph.node.append(onnx.helper.make_node("Identity", ["/inner"], ["depth"]))
    onnx.save(model, path)
    backend = load_backend(path, name, max_batch=1)
    try:
        assert backend.infer(random_images(1), ["depth"])["depth"].shape == (1, HEIGHT, WIDTH)
    finally:
        backend.close()

# SPDX-License-Identifier: Apache-2.0
"""The protocol of a backend, which runs a model, and the checks that all backends share."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mtinet_ros.errors import BackendError, InputError, ModelError
from mtinet_ros.inference.fit_kernel import FitJob
from mtinet_ros.model_card import ModelCard
from mtinet_ros.model_contract import INPUTS, OUTPUTS, TASK_OUTPUTS, Shape

logger = logging.getLogger("mtinet_ros.inference")

Outputs = Mapping[str, NDArray[Any]]


class Run:
    """One run of a model, begun by `Backend.begin`."""

    def __init__(self, wait: Callable[[], Outputs]) -> None:
        """Prepare; `wait` waits for the end of the run and gives its outputs, or raises."""
        self._wait: Callable[[], Outputs] | None = wait
        self._outputs: Outputs | None = None
        self._why_not = ""

    @property
    def is_under_way(self) -> bool:
        """Whether nobody has asked for the outputs yet."""
        return self._wait is not None

    def outputs(self) -> Outputs:
        """Wait for the run to end; belongs to the thread of the backend.

        Returns:
            Each wanted output, [N,H,W(,3)] in the dtype of the model contract; see
            `Backend.begin` for how long the arrays hold. Asked again, the same.

        Raises:
            BackendError: The run failed, or its outputs hold no longer.
        """
        wait, self._wait = self._wait, None
        if wait is not None:
            self._why_not = "the run failed"
            self._outputs = wait()
            self._why_not = ""
        if self._outputs is None:
            raise BackendError(f"the outputs of a run are gone: {self._why_not}")
        return self._outputs

    def within(self, context: Callable[[], AbstractContextManager[None]]) -> None:
        """Have the waiting happen in a context, which sees whether the run fails.

        A run that is over already has not failed.
        """
        wait = self._wait
        if wait is None:
            with context():
                return

        def wait_within() -> Outputs:
            with context():
                return wait()

        self._wait = wait_within

    def end(self, why: str) -> None:
        """Give out no outputs from now on; `why` is for whoever asks for them."""
        self._wait = self._outputs = None
        self._why_not = why


class Runs:
    """The runs of one backend, held to what `Backend.begin` promises and asks for."""

    def __init__(self, backend_name: str) -> None:
        """Begin without any; `backend_name` is for messages."""
        self._name = backend_name
        self._last: list[Run] = []  # two at most
        self._begun = 0

    def next_turn(self) -> int:
        """Make room for one more run: its turn with what a backend has two of, 0 or 1.

        Raises:
            BackendError: Nobody has asked for the outputs of the run before the last.
        """
        if len(self._last) == 2:
            if self._last[0].is_under_way:
                raise BackendError(
                    f"{self._name}: two runs are under way; take the outputs of the first before "
                    "a third one begins"
                )
            self._last[0].end("the second run after it has begun")
        return self._begun % 2

    @property
    def have_begun(self) -> bool:
        """Whether there has been any."""
        return self._begun > 0

    def begun(self, wait: Callable[[], Outputs]) -> Run:
        """A run that has begun in the last turn; `wait` as for `Run`."""
        run = Run(wait)
        self._last = [*self._last[-1:], run]
        self._begun += 1
        return run

    def close(self) -> None:
        """End them all, with the backend."""
        for run in self._last:
            run.end("the backend is closed")
        self._last = []


@dataclass(frozen=True, eq=False)
class UnfittedImage:
    """An image in the bytes of its camera, for a backend that fits images itself.

    Attributes:
        job: How it becomes an image of the network's.
        data: uint8 [job.source_size or more].
    """

    job: FitJob
    data: NDArray[np.uint8]


class Backend(Protocol):
    """Runs one model. Created, used and closed in one and the same thread.

    Attributes:
        name: The backend's name as a parameter spells it, e.g. `onnxruntime`.
        device: Name of the device for people, e.g. `CPU` or `cuda:0 Orin`.
        precision: What truly runs, for people: e.g. `fp16`, or `fp16 model, computed in bf16`;
            empty where nothing is computed.
        card: The model's card.
        output_names: The graph's outputs, a subset of the contract's.
        max_batch: Largest N that `begin` takes.
        gains_by_batching: Whether images together take much less time than one after another.
            Where they do not, an image should not wait for others.
        leaves_cpu_free: Whether the CPU has nothing to do while the network runs: `begin` then
            returns before the run is over, and `Run.outputs` sleeps until it is.
        fits_images: Whether it takes images in the bytes of their cameras, too.
    """

    name: str
    device: str
    precision: str = ""
    card: ModelCard
    output_names: tuple[str, ...]
    max_batch: int
    gains_by_batching: bool = True
    leaves_cpu_free: bool = False
    fits_images: bool = False

    def new_images(self) -> NDArray[np.uint8]:
        """Memory to write images into, which the backend reads fastest; any other is fine, too.

        Returns:
            uint8 [max_batch,H,W,3], not initialized, its own at each call. It may be written to
            in any thread and holds until `close`.
        """
        return np.empty((self.max_batch, *self.card.input_size, 3), np.uint8)

    def begin(self, images: NDArray[np.uint8], wanted: Collection[str]) -> Run:
        """Run the model once; returns at once where the device works by itself.

        Two runs at most may be under way, and are over in their order: the outputs of a run must
        be asked for before the second `begin` after its own. They hold until that one, and may be
        read in any thread; then the arrays, which may be the backend's own buffers, are written
        to again. So whoever keeps two runs under way has two lots of `images` at least, and has
        done with the outputs of a run, or copied them, when the second run after it begins. A CPU
        backend has computed when `begin` returns; the same rules hold.

        Args:
            images: uint8 [N,H,W,3] RGB, C-contiguous, 1 <= N <= max_batch, H×W as the card says;
                not to be changed until the run's outputs are there.
            wanted: Names of the outputs to bring back; others are not copied.

        Returns:
            The run, which hands out the outputs.

        Raises:
            InputError: `images` has another shape or dtype, or a wanted output does not exist.
            BackendError: The run failed; the message tells whether to go on. Or two runs are
                under way already, or the backend is closed.
        """
        ...

    def begin_unfitted(
        self,
        images: NDArray[np.uint8],
        unfitted: Mapping[int, UnfittedImage],
        wanted: Collection[str],
    ) -> Run:
        """As `begin`, but the device brings some images to the network's size first.

        Only if `fits_images`. After a failure the next run may fit images again.

        Args:
            images: As for `begin`; where an image is unfitted, the result is written.
            unfitted: By their place in `images`; not to be changed until the outputs are there.
            wanted: As for `begin`, and not empty.
        """
        raise BackendError(f"{self.name}: images are fitted by the CPU alone")

    def fit_image(self, unfitted: UnfittedImage) -> NDArray[np.uint8]:
        """Bring one image to the network's size and wait for it, and for the runs under way.

        Only if `fits_images`.

        Returns:
            uint8 [H,W,3].

        Raises:
            BackendError: It failed.
        """
        raise BackendError(f"{self.name}: images are fitted by the CPU alone")

    def infer(self, images: NDArray[np.uint8], wanted: Collection[str]) -> Outputs:
        """Run the model once and wait: `begin` and `Run.outputs` in one, with their errors."""
        return self.begin(images, wanted).outputs()

    def close(self) -> None:
        """Free all resources. Safe to call twice; `begin` afterwards raises `BackendError`."""
        ...


def check_images(backend: Backend, images: NDArray[np.uint8], wanted: Collection[str]) -> None:
    """Refuse a batch that does not keep the contract (see `Backend.begin`).

    Args:
        backend: Backend that is to run it.
        images: The batch.
        wanted: Names of the outputs to bring back.

    Raises:
        InputError: Naming what is wrong and what is allowed.
    """
    height, width = backend.card.input_size
    if (
        images.dtype != np.uint8
        or images.ndim != 4
        or images.shape[1:] != (height, width, 3)
        or not 1 <= images.shape[0] <= backend.max_batch
    ):
        raise InputError(
            f"images are {images.dtype} {list(images.shape)}; {backend.name} takes uint8 "
            f"[N,{height},{width},3] with N from 1 to {backend.max_batch}"
        )
    unknown = set(wanted) - set(backend.output_names)
    if unknown:
        raise InputError(
            f"the model has no output {', '.join(sorted(unknown))}; "
            f"it has {', '.join(backend.output_names)}"
        )


def check_graph(
    path: object,
    card: ModelCard,
    inputs: Mapping[str, tuple[str, Shape]],
    outputs: Mapping[str, tuple[str, Shape]],
) -> None:
    """Hold a loaded graph against the model contract, so that a wrong one fails at load.

    Args:
        path: File of the model, for the message.
        card: The model's card.
        inputs: Name -> (NumPy dtype name, shape with None for a dynamic axis).
        outputs: The same for outputs.

    Raises:
        ModelError: Naming the tensor, what it is and what the contract asks for.
    """
    if set(inputs) != set(INPUTS):
        raise ModelError(
            f"{path}: inputs are {sorted(inputs)}; the model contract has just {', '.join(INPUTS)}"
        )
    if not outputs or not set(outputs) <= set(OUTPUTS):
        raise ModelError(
            f"{path}: outputs are {sorted(outputs)}; the model contract knows {', '.join(OUTPUTS)}"
        )
    specs = {**INPUTS, **OUTPUTS}
    for name, (dtype, shape) in {**inputs, **outputs}.items():
        expected = specs[name].shape(*card.input_size)
        if dtype != specs[name].dtype.name or not _fits(shape, expected):
            raise ModelError(
                f"{path}: {name} is {dtype} {list(shape)}; the model contract asks for "
                f"{specs[name].dtype.name} {list(expected)} (None: any)"
            )
    for task, output in TASK_OUTPUTS.items():
        if (task in card.tasks) != (output in outputs):
            raise ModelError(
                f"{path}: its card and its graph disagree: tasks are {', '.join(card.tasks)}, "
                f"outputs are {', '.join(outputs)}; {task} is the output {output}"
            )
    if card.has_confidence and "confidence" not in outputs:
        raise ModelError(f"{path}: its card tells of the output confidence; its graph has none")
    if "labels" in outputs and not card.class_names:
        raise ModelError(f"{path} has the output labels; its card names no classes")


class FixedBatch:
    """Fills up batches for a graph that takes one number of images and no other.

    Attributes:
        size: That number; None for a graph that takes any.
    """

    def __init__(self, backend_name: str, model: object, shape: Shape) -> None:
        """Prepare, and say once what an incomplete batch costs.

        Args:
            backend_name: For the message.
            model: File of the model, for the message.
            shape: Of the graph's input, with None for a dynamic axis.
        """
        self.size = shape[0]
        self._buffer: NDArray[np.uint8] | None = None
        if self.size is not None and self.size > 1:
            logger.warning(
                "%s: its graph always takes %d images, and fewer cost %s as much; `mtinet export` "
                "writes one that takes any number",
                *(model, self.size, backend_name),
            )

    @property
    def gains_by_batching(self) -> bool:
        """See `Backend`, for one that computes image after image: whether places go empty."""
        return self.size is not None and self.size > 1

    def limit(self, max_batch: int) -> int:
        """The largest batch of the graph, if it has one below `max_batch`."""
        return max_batch if self.size is None else min(max_batch, self.size)

    def filled(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The images, with others behind them if need be: the next call overwrites those."""
        if self.size is None or len(images) == self.size:
            return images
        if self._buffer is None:
            self._buffer = np.zeros((self.size, *images.shape[1:]), np.uint8)
        self._buffer[: len(images)] = images
        return self._buffer


def _fits(shape: Shape, expected: Shape) -> bool:
    """Whether two shapes have the same number of axes, equal where neither is dynamic."""
    return len(shape) == len(expected) and all(
        a is None or b is None or a == b for a, b in zip(shape, expected, strict=True)
    )

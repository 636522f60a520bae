# SPDX-License-Identifier: Apache-2.0
"""Samples as batches of tensors, in an order that depends on the step alone.

Frame j of step s and its random augmentation follow from the seed and the running number of the
frame. A run that is cut off and resumed therefore trains on the frames that an uninterrupted one
would have had, with nothing to save but its step.
"""

from __future__ import annotations

import atexit
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any
from weakref import WeakSet

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate

from mtinet_ros.datasets.intrinsics import Intrinsics
from mtinet_ros.datasets.sample import Sample, SampleSource, Target, unknown_target
from mtinet_ros.errors import MtinetError
from mtinet_ros.network.backbones.base import IMAGENET_MEAN, IMAGENET_STD
from mtinet_ros.training.augmentation_kinds import CAMERA
from mtinet_ros.training.config import DataConfig
from mtinet_ros.training.frame_check import check_frame
from mtinet_ros.training.mixture import Mixture, TrainingSource
from mtinet_ros.training.paper_views import (
    random_paper_view,
    resize_as_authors,
    warp_as_authors,
)
from mtinet_ros.training.photometric import photometric
from mtinet_ros.training.view import random_view, resize_sample, warp_to_view

Batch = dict[str, Tensor]
"""`image` N×3×H×W normalised; per task its ground truth (see `to_tensors`)."""


def to_tensors(sample: Sample, focal_length: float) -> Batch:
    """A sample as the network and the losses take it.

    Args:
        sample: At the network's size.
        focal_length: Canonical focal length f0, pixels; the depth of a frame of focal length f is
            multiplied by f0/f. A sample without intrinsics is taken to have f0.

    Returns:
        image: float32 3×H×W, normalised. semseg, human_parts: int64 H×W. depth: float32 1×H×W.
        normals: float32 3×H×W. edge, sal: float32 1×H×W, 255 where unknown. Depth and normals are
        0 where unknown, which is what they are where they are not finite, and depth below 0.
    """
    tensors = {"image": normalize(sample.image)}
    for task, target in sample.targets.items():
        if task in ("semseg", "human_parts"):
            tensors[task] = torch.from_numpy(target.astype(np.int64))
        elif task == "normals":
            normals = target.astype(np.float32)
            normals[~np.isfinite(normals).all(-1)] = 0
            tensors[task] = torch.from_numpy(_channels_first(normals))
        else:
            values = target.astype(np.float32)
            if task == "depth":
                if sample.intrinsics is not None:
                    values = values * np.float32(focal_length / sample.intrinsics.focal_length)
                values[~(np.isfinite(values) & (values > 0))] = 0
            tensors[task] = torch.from_numpy(values[None])
    return tensors


def normalize(image: NDArray[np.uint8]) -> Tensor:
    """uint8 [H, W, 3] RGB to float32 3×H×W with ImageNet's mean and deviation."""
    mean, std = np.array(IMAGENET_MEAN, np.float32), np.array(IMAGENET_STD, np.float32)
    return torch.from_numpy(
        _channels_first((image.astype(np.float32) / np.float32(255) - mean) / std)
    )


def _channels_first(array: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.ascontiguousarray(array.transpose(2, 0, 1))


Key = tuple[int, int, int]
"""Number of the source, index of the sample in it, running number of the frame."""


class TrainingSamples(Dataset[Batch]):
    """Augmented samples of several sources, addressed by `Key`."""

    def __init__(
        self, sources: Sequence[TrainingSource], tasks: Sequence[str], data: DataConfig, seed: int
    ) -> None:
        """Describe the samples; each is read when it is indexed.

        Args:
            sources: To take them from.
            tasks: Of which every batch has ground truth; unknown where a source has none.
            data: Size and focal length to bring them to.
            seed: Of the augmentation.
        """
        self.sources = tuple(sources)
        self.tasks = tuple(tasks)
        self.data = data
        self.seed = seed

    def __getitem__(self, key: Key) -> Batch:
        """The augmented sample; the same key gives the same tensors."""
        number_of_source, index, number = key
        source = self.sources[number_of_source]
        random = np.random.default_rng((self.seed, number))
        data = self.data
        sample = source.training[index]
        targets = {task: sample.targets[task] for task in source.tasks if task in sample.targets}
        sample = Sample(sample.image, targets, sample.intrinsics)
        class_names = source.training.class_names
        check_frame(sample, len(class_names), f"training frame {index} of {source.name}")
        if source.augmentation.kind == CAMERA:
            sample = self._seen_by_another_camera(sample, source, random)
        else:
            background = class_names[:1] == ("background",)
            paper_view = random_paper_view(source.augmentation, random)
            sample = warp_as_authors(
                sample, paper_view, data.height, data.width, background=background
            )
        complete = _completed(sample.targets, self.tasks, data)
        return to_tensors(Sample(sample.image, complete, sample.intrinsics), data.focal_length)

    def _seen_by_another_camera(
        self, sample: Sample, source: TrainingSource, random: np.random.Generator
    ) -> Sample:
        data, intrinsics = self.data, sample.intrinsics
        if intrinsics is None:
            rows, columns = sample.image.shape[:2]
            # As `warp_to_view` fills the new image.
            scale = min(rows / data.height, columns / data.width)
            intrinsics = Intrinsics.centered(data.focal_length * scale, rows, columns)
        sample = Sample(sample.image, sample.targets, intrinsics)
        red, green, blue = (int(value) for value in random.integers(0, 256, 3))
        view = random_view(source.augmentation, random)
        sample = warp_to_view(sample, view, data.height, data.width, (red, green, blue))
        image = photometric(sample.image, random, source.augmentation.photometric)
        return Sample(image, sample.targets, sample.intrinsics)


def _completed(
    targets: Mapping[str, Target], tasks: Sequence[str], data: DataConfig
) -> dict[str, Target]:
    """Ground truth of exactly the given tasks, unknown where there is none."""
    return {
        task: targets[task] if task in targets else unknown_target(task, data.height, data.width)
        for task in tasks
    }


class FixedSamples(Dataset[Batch]):
    """Samples without augmentation, resized to the network's size."""

    def __init__(
        self,
        source: SampleSource,
        indices: list[int],
        tasks: Sequence[str],
        data: DataConfig,
        kind: str = CAMERA,
    ) -> None:
        """Describe the samples at `indices` of the source; each is read when it is indexed.

        Args:
            source: To take them from.
            indices: Of those that are wanted.
            tasks: Of which every batch has ground truth; unknown where the source has none.
            data: Size and focal length to bring them to.
            kind: Of the augmentation that training frames get: of two ways to resize, its own.
        """
        self.source = source
        self.indices = indices
        self.tasks = tuple(tasks)
        self.data = data
        self.kind = kind

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.indices)

    def resized(self, position: int) -> Sample:
        """The sample at a position in `indices`, at the network's size."""
        index = self.indices[position]
        sample = self.source[index]
        check_frame(sample, len(self.source.class_names), f"validation frame {index}")
        resize = resize_sample if self.kind == CAMERA else resize_as_authors
        return resize(sample, self.data.height, self.data.width)

    def __getitem__(self, position: int) -> Batch:
        """The same as tensors, see `to_tensors`."""
        sample = self.resized(position)
        complete = _completed(sample.targets, self.tasks, self.data)
        return to_tensors(
            Sample(sample.image, complete, sample.intrinsics), self.data.focal_length
        )


class StepSampler(Sampler[list[Key]]):
    """Batches of keys for `TrainingSamples`, from any step on, without end.

    Processes of one run take neighbouring parts of each step's frames.
    """

    def __init__(
        self,
        mixture: Mixture,
        batch_size: int,
        step: Callable[[], int],
        rank: int = 0,
        world_size: int = 1,
        first_frame: Callable[[int], int] | None = None,
    ) -> None:
        """Describe the batches.

        Args:
            mixture: Tells the frame of every number.
            batch_size: Frames of a batch.
            step: Called when iteration begins; gives the step to begin with.
            rank: Number of this process among those of the run.
            world_size: Number of processes of the run.
            first_frame: Number of the first frame of a step; None: they follow without a gap.
        """
        self.mixture = mixture
        self.batch_size = batch_size
        self.step = step
        self.rank = rank
        self.first_frame = first_frame or (lambda step: step * world_size * batch_size)

    def __iter__(self) -> Iterator[list[Key]]:
        """One list of keys per step."""
        step = self.step()
        while True:
            first = self.first_frame(step) + self.rank * self.batch_size
            yield [
                (*self.mixture(number), number) for number in range(first, first + self.batch_size)
            ]
            step += 1


def training_loader(samples: TrainingSamples, sampler: StepSampler) -> DataLoader[Batch]:
    """Endless batches of augmented samples; a bad frame raises what reading it raised."""
    return _TrainingLoader(
        _Answers(samples),  # type: ignore[arg-type]
        batch_sampler=sampler,
        collate_fn=_collated,
        pin_memory=torch.cuda.is_available(),
        **_processes(samples.data.workers),
    )


class _Answers(Dataset[Batch | MtinetError]):
    """Samples, or the error that one raises, as a value.

    An error that a worker raises comes out as one of another text, with a traceback in it.
    """

    def __init__(self, samples: TrainingSamples) -> None:
        self.samples = samples

    def __getitem__(self, key: Key) -> Batch | MtinetError:
        try:
            return self.samples[key]
        except MtinetError as error:
            return error


def _collated(answers: list[Batch | MtinetError]) -> Batch | MtinetError:
    errors = (answer for answer in answers if isinstance(answer, MtinetError))
    batch: Batch | MtinetError = next(errors, None) or default_collate(answers)
    return batch


class _TrainingLoader(DataLoader[Batch]):
    """Batches of `_Answers`; an error among them is raised."""

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        for answer in super().__iter__():
            if isinstance(answer, MtinetError):
                raise answer
            yield answer


def validation_loader(samples: FixedSamples) -> DataLoader[Batch]:
    """Batches of fixed samples, in order, loaded by the process itself.

    Workers of each data set would wait idly from one validation to the next, or take longer to
    start than they save.
    """
    return DataLoader(samples, batch_size=samples.data.batch_size)


def _processes(workers: int) -> dict[str, Any]:
    """How a loader runs its workers.

    They are spawned, not forked: OpenCV's and PyTorch's threads do not come along into a fork, and
    what waits for them there (`cv2.setNumThreads` for one) waits for ever.
    """
    if not workers:
        return {"num_workers": 0}
    return {
        "num_workers": workers,
        "multiprocessing_context": _DeafSpawn(),
        "persistent_workers": True,
        "worker_init_fn": _initialize_worker,
    }


_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class _DeafSpawn(SpawnContext):
    """Spawned processes that are deaf to signals until `_initialize_worker` decides for itself.

    Importing takes seconds, in which a SIGTERM to the whole group would end them. Blocked signals
    are inherited, handlers are not.
    """

    class Process(SpawnProcess):
        """A process that begins with the signals of the end blocked."""

        def start(self) -> None:
            """Start it; the starting thread hears the signals again afterwards."""
            before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
            try:
                super().start()
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
            _workers.add(self)


_workers: WeakSet[_DeafSpawn.Process] = WeakSet()


@atexit.register
def _end_workers() -> None:
    """At exit Python sends workers that are left a SIGTERM, and waits for the deaf for ever."""
    for worker in list(_workers):
        if worker.is_alive():
            worker.kill()


def _initialize_worker(_worker: int) -> None:
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    # Ctrl-C and a SIGTERM to the whole group are the trainer's to handle: it needs the frames of
    # the step that it finishes. Workers end when it ends them, or is gone.
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)

# SPDX-License-Identifier: Apache-2.0
"""Finding out which data set a folder is, and opening it with the classes of a model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mtinet_ros.datasets.class_sets import CLASS_SETS, merging
from mtinet_ros.datasets.merged import MergedClasses
from mtinet_ros.datasets.nyud import NyudSamples
from mtinet_ros.datasets.pascal import PascalSamples
from mtinet_ros.datasets.rooms import RoomSamples
from mtinet_ros.datasets.sample import SampleSource
from mtinet_ros.datasets.sources import find_kind, open_samples
from mtinet_ros.datasets.urbanlf import UrbanlfSamples
from mtinet_ros.errors import ConfigurationError
from mtinet_ros.training.evaluation_recording import RecordingSamples
from mtinet_ros.training.evaluation_report import EvaluatedData


@dataclass(frozen=True)
class OpenedData:
    """A data set as a model is measured on it.

    Attributes:
        source: Its samples.
        description: What it is, for the report.
        notes: What is to be minded of figures on it, a sentence each.
    """

    source: SampleSource
    description: EvaluatedData
    notes: tuple[str, ...] = ()

    @property
    def tasks(self) -> tuple[str, ...]:
        """For which of them there is truth; of a data set, for the first frame."""
        if isinstance(self.source, RecordingSamples):
            return self.source.tasks
        return tuple(self.source[0].targets) if len(self.source) else ()

    def all_notes(self) -> tuple[str, ...]:
        """The notes, and what only reading the data could tell."""
        if isinstance(self.source, RecordingSamples):
            return (*self.notes, *self.source.notes())
        return self.notes

    def check(self) -> None:
        """Refuse data of which nothing could be measured, once all were read.

        Raises:
            DataError: They are such.
        """
        if isinstance(self.source, RecordingSamples):
            self.source.check()

    def frame_name(self, index: int) -> str:
        """What the data set calls a frame."""
        return _frame_name(self.source, index)


def open_data(
    root: Path, split: str, model_classes: tuple[str, ...], *, kind: str = "", crop: bool = True
) -> OpenedData:
    """Open a data set; labels finer than a model's classes are merged into these.

    Args:
        root: Its folder.
        split: "train", "val" or "test".
        model_classes: Names of the classes that the model tells; empty: no segmentation.
        kind: Of data set; empty: found out.
        crop: Leave out borders without truth.

    Raises:
        ConfigurationError: The model's classes are neither those of the data nor merged from them.
        DataError: The data are missing or damaged.
    """
    kind = kind or find_kind(root)
    source = open_samples(kind, str(root), split, crop=crop)
    merged_from = 0
    cut = source.meaning.crop if crop and isinstance(source, NyudSamples) else None
    notes = _layout_notes(source)
    wanted = _class_set(model_classes)
    is_other = bool(wanted) and model_classes != source.class_names
    if is_other and merging(source.class_names, wanted) is not None:
        merged_from = len(source.class_names)
        source = MergedClasses(source, wanted)
    _check_classes(model_classes, source.class_names)
    name = root.resolve().name
    description = EvaluatedData(
        kind, name, split, cut, source.class_names, tuple(source.palette), merged_from
    )
    return OpenedData(source, description, (*_description_notes(description), *notes))


def _layout_notes(source: SampleSource) -> list[str]:
    if isinstance(source, NyudSamples) and source.compact:
        return [
            f"this layout does not tell the class {source.class_names[-1]!r} from unlabelled "
            "pixels, so neither is measured; depth comes in steps of "
            f"{100 * source.meaning.depth_step:.1f} cm"
        ]
    return []


def _description_notes(data: EvaluatedData) -> list[str]:
    notes = []
    if data.merged_from:
        notes.append(
            f"the data's {data.merged_from} classes are merged into the model's "
            f"{len(data.class_names)}; a figure over {data.merged_from} classes is another one"
        )
    if data.crop is not None:
        top, bottom, left, right = data.crop
        notes.append(
            f"the border without truth is cut off (rows {top} to {bottom - 1} and columns {left} "
            f"to {right - 1} are measured); the literature measures whole frames, as "
            "--whole-frame does"
        )
    return notes


def _class_set(names: tuple[str, ...]) -> str:
    """The set of classes that has these names; empty: none."""
    return next((key for key, known in CLASS_SETS.items() if known.names == names), "")


def _check_classes(names: tuple[str, ...], wanted: tuple[str, ...]) -> None:
    """Refuse a model of other classes; one whose classes nobody named is taken at its word."""
    known = names != tuple(f"class {number}" for number in range(len(names)))
    if names and (len(names) != len(wanted) or (known and names != wanted)):
        raise ConfigurationError(
            f"the model tells {len(names)} classes ({', '.join(names[:3])}, ...) and the data "
            f"have {len(wanted)} ({', '.join(wanted[:3])}, ...): only the same can be measured"
        )


def _frame_name(source: SampleSource, index: int) -> str:
    if isinstance(source, MergedClasses):
        return _frame_name(source.source, index)
    if isinstance(source, NyudSamples | PascalSamples | UrbanlfSamples | RecordingSamples):
        return source.names[index]
    if isinstance(source, RoomSamples):
        return f"{source.rooms[index].scene} (no. {index})"
    return str(index)

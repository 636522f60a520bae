# SPDX-License-Identifier: Apache-2.0
"""The results of one evaluation, and the JSON file in which they are kept."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from mtinet_ros.errors import ConfigurationError

LEAST_FIELDS = frozenset({"frames", "metrics", "class_iou"})
"""Fields that every report has, that of version 0.1 included."""


@dataclass(frozen=True)
class EvaluatedModel:
    """Which model was measured.

    Attributes:
        name: From its card.
        file: Name of its file, without folders.
        fingerprint: sha256 of the graph; empty for a checkpoint, or where the card has none.
        precision: That the graph computes in.
    """

    name: str
    file: str = ""
    fingerprint: str = ""
    precision: str = ""


@dataclass(frozen=True)
class EvaluatedData:
    """Which data a model was measured on.

    Attributes:
        kind: Of data set, as `open_samples` calls it.
        folder: Name of the folder, without those above it.
        split: "train", "val" or "test".
        crop: First and one past the last row, then column, of the part that was measured; None:
            whole frames.
        class_names: Names of the classes that were measured, by id.
        palette: RGB color of each class.
        merged_from: Number of classes that the data have themselves; 0: not merged.
    """

    kind: str
    folder: str
    split: str
    crop: tuple[int, int, int, int] | None
    class_names: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...] = ()
    merged_from: int = 0


@dataclass(frozen=True)
class FrameFigures:
    """Figures of one frame; None: not measured.

    Attributes:
        name: As the data set calls it.
        miou: Over the classes in this frame's truth.
        depth_rmse: Metres.
        depth_abs_rel: As predicted; of depth up to scale after scaling.
        depth_delta1: Likewise.
        depth_scale: Factor that brings the predicted median to the true one.
        normals_mean: Degrees.
        human_parts_miou: Over the parts in this frame's truth.
        sal_iou: Of what is salient with a probability above 0.5.
        edge_f: F-measure at the threshold that is best for this frame.
    """

    name: str
    miou: float | None = None
    depth_rmse: float | None = None
    depth_abs_rel: float | None = None
    depth_delta1: float | None = None
    depth_scale: float | None = None
    normals_mean: float | None = None
    human_parts_miou: float | None = None
    sal_iou: float | None = None
    edge_f: float | None = None


@dataclass(frozen=True)
class SingleTask:
    """A multi-task network's figure beside that of a network for the one task.

    Attributes:
        task: The task.
        figure: A key of `Report.metrics`.
        multi: Of the multi-task network.
        single: Of the single-task network.
        less_is_better: Whether the figure is an error.
        model: Name of the single-task network.
    """

    task: str
    figure: str
    multi: float
    single: float
    less_is_better: bool
    model: str = ""

    @property
    def gain(self) -> float:
        """How much better the multi-task network is, in percent; NaN against zero."""
        if not self.single:
            return math.nan
        relative = 100 * (self.multi - self.single) / self.single
        return -relative if self.less_is_better else relative


@dataclass(frozen=True)
class Report:
    """Results of one evaluation.

    Attributes:
        frames: Number of frames.
        metrics: Value by "task_name", e.g. "semseg_miou"; "flicker" and "depth_jitter" where the
            data hold camera paths. "depth_aligned_abs_rel" and so on are after scaling each frame
            to the median of its truth. Depth up to scale has these alone, nothing in metres, and
            no jitter, which needs the true motion.
        class_iou: IoU by class id; empty without segmentation.
        confusion: Pixels by true (row) and predicted (column) class; empty without segmentation.
        depth_scale: "median", "p16" and "p84" (percentiles) of the frames' `depth_scale`; empty
            without depth.
        depth_by_distance: See `metrics.depth_by_distance`; of depth up to scale after scaling, and
            then without rmse.
        frame_figures: By frame, in the data's order.
        truth_digest: sha256 over the true labels and depth of all frames, in order: equal truth,
            equal digest.
        model: What was measured, where known.
        data: What it was measured on, where known.
        notes: What the figures do not say by themselves, a sentence each.
        truth_digests: The same as `truth_digest` by task, of labels, depth, human parts and
            saliency.
        part_iou: IoU by id of `class_sets.HUMAN_PARTS`; empty without such.
        single_tasks: Figures of single-task networks on the same data; empty where none was named.
        reliability: See `reliability.reliability_by_bin`; empty without confidence.
    """

    frames: int
    metrics: dict[str, float]
    class_iou: list[float] = field(default_factory=list)
    confusion: list[list[int]] = field(default_factory=list)
    depth_scale: dict[str, float] = field(default_factory=dict)
    depth_by_distance: list[dict[str, float]] = field(default_factory=list)
    frame_figures: list[FrameFigures] = field(default_factory=list)
    truth_digest: str = ""
    model: EvaluatedModel | None = None
    data: EvaluatedData | None = None
    notes: tuple[str, ...] = ()
    truth_digests: dict[str, str] = field(default_factory=dict)
    part_iou: list[float] = field(default_factory=list)
    single_tasks: tuple[SingleTask, ...] = ()
    reliability: list[dict[str, float]] = field(default_factory=list)

    @property
    def multi_task_performance(self) -> float | None:
        """Δm: mean gain over single-task networks, in percent; None where none was named."""
        if not self.single_tasks:
            return None
        return sum(entry.gain for entry in self.single_tasks) / len(self.single_tasks)

    @property
    def class_pixels(self) -> list[int]:
        """Pixels of truth by class id."""
        return [sum(row) for row in self.confusion]

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names by class id, made up where nobody said."""
        if self.data is not None:
            return self.data.class_names
        return tuple(f"class {number}" for number in range(len(self.confusion)))

    @property
    def absent_classes(self) -> list[str]:
        """Names of the classes that never occur in the truth."""
        pixels = zip(self.class_names, self.class_pixels, strict=False)
        return [name for name, count in pixels if count == 0]


def to_record(report: Report) -> dict[str, Any]:
    """The report as JSON has it: derived fields too, and null for numbers that are none."""
    record = asdict(report)
    record["class_pixels"] = report.class_pixels
    record["absent_classes"] = report.absent_classes
    record["multi_task_performance"] = report.multi_task_performance
    finite: dict[str, Any] = _finite(record)
    return finite


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def to_json(record: Mapping[str, Any]) -> str:
    """A record as text: one line per field, so that long lists stay readable."""
    lines = [
        f" {json.dumps(key)}: {json.dumps(value, ensure_ascii=False, allow_nan=False)}"
        for key, value in record.items()
    ]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def is_report(path: Path) -> bool:
    """Whether a file is a report.

    Raises:
        OSError, ValueError: It cannot be read, or is no JSON.
    """
    record = json.loads(path.read_text(encoding="utf-8"))
    return isinstance(record, dict) and set(record) >= LEAST_FIELDS


def read_report(path: Path) -> Report:
    """Read a report that says what it is of.

    Raises:
        ConfigurationError: It cannot be read, is none, or is of a version that wrote less.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise ConfigurationError(
            f"{path} is no report of `mtinet evaluate --json` ({error})"
        ) from error
    if not isinstance(record, dict) or not set(record) >= LEAST_FIELDS:
        raise ConfigurationError(
            f"{path} is no report that can be read again{_other_kind(record)}; name one that "
            "`mtinet evaluate MODEL --json` wrote"
        )
    if not record.get("data"):
        raise ConfigurationError(
            f"{path} does not say what data it is of; measure the model again with this version"
        )
    try:
        return _report(record)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise ConfigurationError(
            f"{path} is damaged ({type(error).__name__}: {error}); measure the model again"
        ) from error


def _other_kind(record: Any) -> str:
    """What else `mtinet evaluate` writes, where a record is that."""
    fields = set(record) if isinstance(record, dict) else set()
    if "steadiness" in fields:
        return ": it is of --steadiness, which is not shown again"
    return ": it is of --compare" if "differences" in fields else ""


def _report(record: dict[str, Any]) -> Report:
    data, model = record["data"], record["model"]
    names = tuple(str(name) for name in data["class_names"])
    confusion = [[int(count) for count in row] for row in record["confusion"]]
    if confusion and {len(confusion), *(len(row) for row in confusion)} != {len(names)}:
        raise ValueError(f"the confusion matrix is not of {len(names)} classes")
    return Report(
        int(record["frames"]),
        _numbers(record["metrics"]),
        [float(value) for value in record["class_iou"]],
        confusion,
        _numbers(record["depth_scale"]),
        [_range(entry) for entry in record["depth_by_distance"]],
        [_frame(figures) for figures in record["frame_figures"]],
        str(record["truth_digest"]),
        model and EvaluatedModel(**{key: str(value) for key, value in model.items()}),
        replace(
            EvaluatedData(**data),
            crop=None if data["crop"] is None else _four(data["crop"]),
            class_names=names,
            palette=tuple((int(r), int(g), int(b)) for r, g, b in data["palette"]),
        ),
        tuple(str(note) for note in record["notes"]),
        # What earlier versions did not write.
        {str(task): str(digest) for task, digest in record.get("truth_digests", {}).items()},
        [float(value) for value in record.get("part_iou", [])],
        tuple(SingleTask(**entry) for entry in record.get("single_tasks", [])),
        [_numbers(entry) for entry in record.get("reliability", [])],
    )


def _numbers(record: dict[str, Any]) -> dict[str, float]:
    return {str(name): float(value) for name, value in record.items()}


def _range(entry: dict[str, float | None]) -> dict[str, float]:
    to = entry["to"]  # the last range has no end
    return {
        **_numbers({key: entry[key] for key in {"from", "share", *entry} - {"to"}}),
        "to": math.inf if to is None else float(to),
    }


def _frame(figures: dict[str, Any]) -> FrameFigures:
    values = {k: None if v is None else float(v) for k, v in figures.items() if k != "name"}
    return FrameFigures(str(figures["name"]), **values)


def _four(numbers: list[int]) -> tuple[int, int, int, int]:
    top, bottom, left, right = (int(number) for number in numbers)
    return top, bottom, left, right

# SPDX-License-Identifier: Apache-2.0
"""Two reports of the same data side by side."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from mtinet_ros.errors import ConfigurationError
from mtinet_ros.training.evaluation_figures import figure_name, is_error, is_ranked, number
from mtinet_ros.training.evaluation_report import Report, to_record
from mtinet_ros.training.evaluation_tables import Table, distance_range


@dataclass(frozen=True)
class Row:
    """A figure that both reports have.

    Attributes:
        key: A key of `Report.metrics`, or "class_iou/NAME" or "depth_by_distance/FROM/FIGURE".
        name: For people.
        a: Of the first report.
        b: Of the second one.
        less_is_better: Whether the figure is an error.
    """

    key: str
    name: str
    a: float
    b: float
    less_is_better: bool

    @property
    def difference(self) -> float:
        """Second less first."""
        return self.b - self.a

    @property
    def better(self) -> str:
        """`a` or `b`; empty if they print alike."""
        if number(self.a) == number(self.b):
            return ""
        return "b" if (self.b < self.a) == self.less_is_better else "a"


@dataclass(frozen=True)
class Comparison:
    """Two reports of the same data.

    Attributes:
        a: The first one.
        b: The second one.
        figures: Figures over all pixels.
        classes: IoU of the classes that occur in the truth.
        distances: Depth by distance.
    """

    a: Report
    b: Report
    figures: tuple[Row, ...]
    classes: tuple[Row, ...]
    distances: tuple[Row, ...]


def check_same_data(a: Report, b: Report) -> None:
    """Refuse reports whose figures must not be compared.

    Args:
        a: A report that knows its data. One without a digest is about to be measured.
        b: Another one.

    Raises:
        ConfigurationError: They are of different frames, parts of frames, truth or classes.
    """
    assert a.data is not None
    assert b.data is not None
    both_tell_classes = _tells_classes(a) and _tells_classes(b)
    if both_tell_classes and a.data.class_names != b.data.class_names:
        one, other = (f"{len(d.class_names)} ({', '.join(d.class_names[:3])}, ...)"
                      for d in (a.data, b.data))  # fmt: skip
        raise ConfigurationError(
            f"the reports are of different classes, {one} and {other}; figures over other classes "
            "are not comparable"
        )
    for what, one, other in (
        ("kinds of data", a.data.kind, b.data.kind),
        ("splits", a.data.split, b.data.split),
        ("numbers of frames", str(a.frames), str(b.frames)),
        ("parts of the frames", _part(a), _part(b)),
    ):
        if one != other:
            raise ConfigurationError(
                f"the reports are of different {what}, {one} and {other}; measure both models on "
                "the same"
            )
    if _is_other_truth(a, b, both_tell_classes):
        raise ConfigurationError(
            f"the reports are of different data: the truth in {a.data.folder} and in "
            f"{b.data.folder} is not the same; measure both models on the same"
        )


def _tells_classes(report: Report) -> bool:
    """Whether there are figures of classes, or may be once it is measured."""
    return bool(report.class_iou) or not report.truth_digest


def _is_other_truth(a: Report, b: Report, both_tell_classes: bool) -> bool:
    if a.truth_digests and b.truth_digests:
        # Labels may be merged for the one and not for the other, if not both are measured on them.
        tasks = (a.truth_digests.keys() & b.truth_digests.keys()) - (
            set() if both_tell_classes else {"semseg"}
        )
        return any(a.truth_digests[task] != b.truth_digests[task] for task in tasks)
    if not (a.truth_digest and b.truth_digest):  # of edges and normals alone there is none
        names = [[frame.name for frame in report.frame_figures] for report in (a, b)]
        return bool(names[0] and names[1]) and names[0] != names[1]
    return a.truth_digest != b.truth_digest


def _part(report: Report) -> str:
    assert report.data is not None
    crop = report.data.crop
    if crop is None:
        return "whole frames"
    return f"rows {crop[0]} to {crop[1] - 1} and columns {crop[2]} to {crop[3] - 1}"


def compare(a: Report, b: Report) -> Comparison:
    """Pair the figures that both have.

    Raises:
        ConfigurationError: See `check_same_data`.
    """
    check_same_data(a, b)
    figures = tuple(
        Row(key, figure_name(key), value, b.metrics[key], is_error(key))
        for key, value in a.metrics.items()
        if key in b.metrics and is_ranked(key)
    )
    classes = tuple(
        Row(f"class_iou/{name}", name, one, other, False)
        for name, one, other, pixels in zip(
            a.class_names, a.class_iou, b.class_iou, a.class_pixels, strict=False
        )
        if pixels
    )
    return Comparison(a, b, figures, classes, tuple(_distances(a, b)))


def _distances(a: Report, b: Report) -> Iterable[Row]:
    if ("depth_rmse" in a.metrics) != ("depth_rmse" in b.metrics):
        return  # one as predicted, the other after scaling
    for one, other in zip(a.depth_by_distance, b.depth_by_distance, strict=False):
        for key in ("rmse", "abs_rel", "delta1"):
            if key in one and key in other:
                name = f"{distance_range(one)}: {key}"
                path = f"depth_by_distance/{one['from']:g}/{key}"
                yield Row(path, name, one[key], other[key], key != "delta1")


def comparison_tables(comparison: Comparison) -> list[Table]:
    """The comparison as tables; the last column says which one is better."""
    tables = (
        ("Figures", comparison.figures),
        ("IoU", comparison.classes),
        ("Depth by true distance", comparison.distances),
    )
    header = ("", "A", "B", "B - A", "better")
    return [
        Table(title, header, tuple(_cells(row) for row in rows), _score(rows))
        for title, rows in tables
        if rows
    ]


def _cells(row: Row) -> tuple[str, ...]:
    sign = "+" if row.better and row.difference > 0 else ""
    difference = sign + number(row.difference) if row.better else "0"
    return row.name, number(row.a), number(row.b), difference, row.better.upper()


def _score(rows: tuple[Row, ...]) -> str:
    a, b = (sum(row.better == side for row in rows) for side in "ab")
    return f"A is better in {a}, B in {b} of {len(rows)}"


def to_comparison_record(comparison: Comparison) -> dict[str, Any]:
    """The comparison as JSON has it: both reports, and the differences by key."""
    rows = (*comparison.figures, *comparison.classes, *comparison.distances)
    return {
        "reports": [to_record(comparison.a), to_record(comparison.b)],
        "differences": {
            row.key: {"a": row.a, "b": row.b, "difference": row.difference, "better": row.better}
            for row in rows
        },
    }

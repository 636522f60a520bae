# SPDX-License-Identifier: Apache-2.0
"""A report as tables of text, for the terminal and for the page alike."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mtinet_ros.datasets.class_sets import HUMAN_PARTS
from mtinet_ros.training.evaluation_figures import figure_name, number, percent, short_name, unit
from mtinet_ros.training.evaluation_report import FrameFigures, Report

_FRAME_FIGURES: tuple[tuple[str, Callable[[FrameFigures], float | None]], ...] = (
    ("mIoU", lambda f: f.miou),
    ("depth rmse", lambda f: f.depth_rmse),
    ("delta1", lambda f: f.depth_delta1),
    ("scale", lambda f: f.depth_scale),
    ("normals mean", lambda f: f.normals_mean),
    ("parts mIoU", lambda f: f.human_parts_miou),
    ("sal IoU", lambda f: f.sal_iou),
    ("edge F", lambda f: f.edge_f),
)
_NAMED_FRAMES = 3
_WIDEST_MATRIX = 20
_MIX_UPS = 10


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        title: What is in it.
        header: Names of the columns; the first names the rows.
        rows: As many cells each as the header has.
        note: What is to be said of it; empty: nothing.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def as_text(table: Table) -> str:
    """A table in aligned columns, the first to the left and the others to the right.

    >>> print(as_text(Table("Depth", ("", "m"), (("rmse", "0.51"), ("all", "-")))))
    Depth      m
      rmse  0.51
      all      -
    """
    rows = [(table.title, *table.header[1:]), *((f"  {row[0]}", *row[1:]) for row in table.rows)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(table.header))]
    lines = [
        "  ".join(
            (
                row[0].ljust(widths[0]),
                *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)),
            )
        ).rstrip()
        for row in rows
    ]
    return "\n".join([*lines, *([f"  {table.note}"] if table.note else [])])


def headline(report: Report) -> str:
    """Which model was measured on which data, in a line."""
    model = report.model
    who = f"{model.name} ({model.file})" if model and model.file else "the model"
    if model and model.precision:
        who += f", {model.precision},"
    data = report.data
    split = "" if data is None or data.kind == "recording" else "split "
    what = f"{data.folder}, {split}{data.split}" if data else "the data"
    return f"{who} on {report.frames} frames of {what}"


def figure_tables(report: Report) -> list[Table]:
    """Figures by task; a task that was not measured has no table."""
    tables = (
        _labels(report),
        _reliability(report),
        Table("Human parts", ("", ""), _figures(report, "human_parts")),
        Table("Saliency", ("", ""), _figures(report, "sal")),
        _depth(report),
        _by_distance(report),
        Table("Normals", ("", ""), _figures(report, "normals")),
        Table("Edges", ("", ""), _figures(report, "edge")),
        _paths(report),
        _single_tasks(report),
    )
    return [table for table in tables if table.rows]


def class_table(report: Report) -> Table | None:
    """IoU and truth by class; None without segmentation."""
    if not report.class_iou:
        return None
    pixels = report.class_pixels
    total = max(sum(pixels), 1)
    rows = tuple(
        (name, number(iou), percent(count / total), f"{count:,}")
        for name, iou, count in zip(report.class_names, report.class_iou, pixels, strict=False)
    )
    absent = report.absent_classes
    note = f"never in the truth: {', '.join(absent)}" if absent else ""
    return Table("Classes", ("", "IoU", "of the truth", "pixels"), rows, note)


def part_table(report: Report) -> Table | None:
    """IoU by part of people; None without."""
    if not report.part_iou:
        return None
    rows = tuple((n, number(iou)) for n, iou in zip(HUMAN_PARTS, report.part_iou, strict=False))
    return Table("Parts", ("", "IoU"), rows)


def confusion_table(report: Report) -> Table | None:
    """The confusion matrix in percent of each row, or its largest entries if it is too wide."""
    if not report.confusion:
        return None
    names, shares = report.class_names, confusion_shares(report)
    if len(shares) > _WIDEST_MATRIX:
        return _mix_ups(report)
    header = ("", *(str(column) for column in range(len(shares))))
    rows = tuple(
        (f"{index} {name}", *("." if round(100 * s) == 0 else f"{100 * s:.0f}" for s in row))
        for index, (name, row) in enumerate(zip(names, shares, strict=False))
    )
    return Table("Confusion, % of the true class", header, rows, "columns: what the model said")


def confusion_shares(report: Report) -> list[list[float]]:
    """The confusion matrix, each row divided by its sum; an absent class has zeros."""
    return [[count / max(sum(row), 1) for count in row] for row in report.confusion]


def _mix_ups(report: Report) -> Table:
    names = report.class_names
    shares = confusion_shares(report)
    entries = sorted(
        (
            (count, row, column)
            for row, counts in enumerate(report.confusion)
            for column, count in enumerate(counts)
            if row != column and count
        ),
        reverse=True,
    )
    rows = tuple(
        (f"{names[row]} taken for {names[column]}", percent(shares[row][column]), f"{count:,}")
        for count, row, column in entries[:_MIX_UPS]
    )
    return Table(
        "Mix-ups", ("", "of the class", "pixels"), rows, "the most frequent; --html has all"
    )


def frame_table(report: Report) -> Table:
    """Names and figures of the worst and best frames."""
    rankings: tuple[tuple[str, Callable[[FrameFigures], float | None], int], ...] = (
        ("mIoU", lambda f: f.miou, 1),
        ("depth rmse", lambda f: f.depth_rmse, -1),
        ("parts mIoU", lambda f: f.human_parts_miou, 1),
        ("saliency IoU", lambda f: f.sal_iou, 1),
        ("edge F", lambda f: f.edge_f, 1),
    )
    rows: list[tuple[str, ...]] = []
    for name, key, sign in rankings:
        frames = [frame for frame in report.frame_figures if key(frame) is not None]
        frames.sort(key=lambda frame: sign * (key(frame) or 0.0))
        count = min(_NAMED_FRAMES, len(frames) // 2)
        for which, some in (("worst", frames[:count]), ("best", frames[::-1][:count])):
            rows += [(f"{name}, {which}", frame.name, *frame_cells(frame)) for frame in some]
    has_labels = any(frame.miou is not None for frame in report.frame_figures)
    header = ("", "frame", *(name for name, _ in _FRAME_FIGURES))
    kept = [
        column
        for column in range(len(header))
        if not rows or any(row[column] != number(None) for row in rows)
    ]
    return Table(
        "Frames",
        tuple(header[column] for column in kept),
        tuple(tuple(row[column] for column in kept) for row in rows),
        "mIoU here is over the classes in the frame" if has_labels else "",
    )


def frame_cells(frame: FrameFigures) -> tuple[str, ...]:
    """Figures of a frame as text, a dash for what was not measured."""
    return tuple(number(figure(frame)) for _, figure in _FRAME_FIGURES)


def frame_facts(frame: FrameFigures) -> str:
    """What was measured of a frame, in a line."""
    cells = zip((name for name, _ in _FRAME_FIGURES), frame_cells(frame), strict=True)
    return ", ".join(f"{name} {cell}" for name, cell in cells if cell != number(None))


def _labels(report: Report) -> Table:
    return Table("Labels", ("", ""), _figures(report, "semseg"), _absent_note(report))


def _absent_note(report: Report) -> str:
    absent = len(report.absent_classes)
    return (
        f"{absent} of {len(report.confusion)} classes never occur in the truth" if absent else ""
    )


def _reliability(report: Report) -> Table:
    rows = tuple(
        (
            f"{entry['from']:.2f} to {entry['to']:.2f}",
            percent(entry["share"]),
            number(entry["confidence"]),
            number(entry["accuracy"]),
        )
        for entry in report.reliability
        if entry["share"] > 0
    )
    header = ("", "pixels", "mean confidence", "right")
    return Table("Reliability, by confidence", header, rows)


def _paths(report: Report) -> Table:
    rows = tuple(
        (short_name(key), number(report.metrics[key]))
        for key in ("flicker", "depth_jitter")
        if key in report.metrics
    )
    return Table("Camera paths", ("", ""), rows)


def _single_tasks(report: Report) -> Table:
    rows = tuple(
        (figure_name(e.figure), number(e.multi), number(e.single), f"{e.gain:+.2f}")
        for e in report.single_tasks
    )
    mean = report.multi_task_performance
    if mean is not None:
        rows = (*rows, ("Δm", "", "", f"{mean:+.2f}"))
    return Table("Multi-task", ("", "this model", "single task", "gain, %"), rows)


def _figures(report: Report, task: str) -> tuple[tuple[str, ...], ...]:
    names = [key.removeprefix(f"{task}_") for key in report.metrics if key.startswith(f"{task}_")]
    return tuple(
        (short_name(name, task) + unit(task, name), number(report.metrics[f"{task}_{name}"]))
        for name in names
    )


_DEPTH = (
    "rmse",
    "rmse_per_image",
    "abs_rel",
    "log_rmse",
    "delta1",
    "delta2",
    "delta3",
    "coverage",
)


def _depth(report: Report) -> Table:
    columns = [t for t in ("depth", "depth_aligned") if f"{t}_abs_rel" in report.metrics]
    titles = {"depth": "as predicted", "depth_aligned": "scaled per frame"}
    rows = tuple(
        (
            short_name(name) + unit("depth", name),
            *(number(report.metrics.get(f"{column}_{name}")) for column in columns),
        )
        for name in _DEPTH
        if any(f"{column}_{name}" in report.metrics for column in columns)
    )
    return Table("Depth", ("", *(titles[c] for c in columns)), rows, scale_note(report))


def scale_note(report: Report) -> str:
    """How depth was scaled and what the scales were; empty without depth."""
    if not report.depth_scale:
        return ""
    median, low, high = (report.depth_scale[key] for key in ("median", "p16", "p84"))
    return (
        "scale of a frame: median of its true depth / median of the predicted; over the frames "
        f"median {median:.4g}, 16 to 84 % within {low:.4g} to {high:.4g}"
    )


def _by_distance(report: Report) -> Table:
    entries = [entry for entry in report.depth_by_distance if entry["share"] > 0]
    columns = [key for key in ("rmse", "abs_rel", "delta1") if any(key in e for e in entries)]
    rows = tuple(
        (
            distance_range(entry),
            percent(entry["share"]),
            *(number(entry.get(column)) for column in columns),
        )
        for entry in entries
    )
    header = ("", "pixels", *(short_name(c) + unit("depth", c) for c in columns))
    is_scaled = "depth_abs_rel" not in report.metrics
    return Table("Depth by true distance" + (", scaled" if is_scaled else ""), header, rows)


def distance_range(entry: dict[str, float]) -> str:
    """The range of an entry of `Report.depth_by_distance` for people.

    >>> distance_range({"from": 3.0, "to": 5.0}), distance_range({"from": 10.0, "to": np.inf})
    ('3 to 5 m', 'beyond 10 m')
    """
    if math.isinf(entry["to"]):
        return f"beyond {entry['from']:g} m"
    return f"{entry['from']:g} to {entry['to']:g} m"


def report_tables(report: Report) -> Sequence[Table]:
    """All tables of a report for the terminal."""
    more = (
        class_table(report),
        confusion_table(report),
        part_table(report),
        frame_table(report),
    )
    return [*figure_tables(report), *(table for table in more if table is not None and table.rows)]

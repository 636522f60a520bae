# SPDX-License-Identifier: Apache-2.0
"""What is in a folder of the layouts of `nyud_layout`, and what is wrong with it, file by file."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mtinet_ros.datasets.depth_normals import normals_from_depth
from mtinet_ros.datasets.name_lists import shared_names
from mtinet_ros.datasets.nyud import NyudSamples
from mtinet_ros.datasets.nyud_layout import (
    SPLITS,
    TRUTH,
    is_compact,
    list_file,
    read_list,
    read_meaning,
)
from mtinet_ros.datasets.sample import Sample
from mtinet_ros.errors import DataError
from mtinet_ros.image_files import png_bytes
from mtinet_ros.model_contract import VOID_ID
from mtinet_ros.output_files import ResultFolder
from mtinet_ros.visualization.contact_sheet import SheetFrame, contact_sheet

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
FEW_FRAMES = 20
"""Frames below which no more is judged than each for itself."""
UNLABELLED_LIMIT = 0.6
DEPTH_UNKNOWN_LIMIT = 0.5
DEPTH_MEDIANS = (0.5, 20.0)
"""Metres; the median depth of rooms is between."""
ANGLE_LIMIT = 15.0
"""Median angle between normals and planes fitted to the depth, degrees."""
FLOOR_LIMIT, CEILING_LIMIT = 0.6, 0.4
"""Mean row of floors and of ceilings, as a share of the height: below and above, in a room."""
FITTED_FRAMES, SHEET_FRAMES, SHEET_COLUMNS = 8, 24, 2
MOST_SHOWN = 20
"""Sentences of a kind that the text shows; report.json has all."""


@dataclass
class SplitReport:
    """Statistics of one split, of the part that has truth.

    Attributes:
        frames: Frames that the list names.
        read: Frames that could be read.
        truth: Kinds of truth.
        share: Share of the labelled pixels, by class that occurs.
        shown: Number of frames that show it, by class that occurs.
        unlabelled: Share of pixels without label.
        depth: Least known depth, the `QUANTILES`, and the greatest, metres; empty: no depth.
        depth_unknown: Share of pixels without depth.
        normals_known: Share of pixels with normals.
        normals_angle: Median angle between normals and planes fitted to depth, degrees; NaN where
            either is missing.
        edge: Share of edges among the pixels where that is known.
        edge_unknown: Share of the others.
    """

    frames: int
    read: int = 0
    truth: tuple[str, ...] = ()
    share: dict[str, float] = field(default_factory=dict)
    shown: dict[str, int] = field(default_factory=dict)
    unlabelled: float = 0.0
    depth: list[float] = field(default_factory=list)
    depth_unknown: float = 0.0
    normals_known: float = 0.0
    normals_angle: float = float("nan")
    edge: float = 0.0
    edge_unknown: float = 0.0

    def lines(self, split: str) -> list[str]:
        """The statistics as lines of text."""
        lines = [f"{split}: {self.frames} frames, {self.read} read; {', '.join(self.truth)}"]
        if "semseg" in self.truth:
            lines.append("  class             pixels   frames")
            order = sorted(self.share, key=lambda name: -self.share[name])
            lines += [
                f"  {name:<16} {100 * self.share[name]:6.2f} % {self.shown[name]:6}"
                for name in order
            ]
            lines.append(f"  unlabelled       {100 * self.unlabelled:6.2f} % of all")
        if self.depth:
            row = " ".join(f"{value:.2f}" for value in self.depth)
            lines.append(f"  depth (min 1 5 25 50 75 95 99 % max): {row} m")
            lines.append(f"  depth unknown: {100 * self.depth_unknown:.2f} %")
        if "normals" in self.truth:
            lines.append(f"  normals known: {100 * self.normals_known:.1f} %")
            if np.isfinite(self.normals_angle):
                lines.append(
                    f"  normals against planes fitted to depth: median {self.normals_angle:.1f} "
                    "degrees"
                )
        if "edge" in self.truth:
            lines.append(
                f"  edges: {100 * self.edge:.2f} %, unknown {100 * self.edge_unknown:.1f} %"
            )
        return lines


@dataclass
class DataReport:
    """Result of a check.

    Attributes:
        about: What the folder is said to hold, a line each.
        splits: Statistics by split.
        failures: What is wrong, a sentence each.
        notes: What is odd, and harms nothing.
    """

    about: list[str] = field(default_factory=list)
    splits: dict[str, SplitReport] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def text(self) -> str:
        """The report as lines of text."""
        lines = list(self.about)
        for split, part in self.splits.items():
            lines += part.lines(split)
        for title, sentences in (("note", self.notes), ("WRONG", self.failures)):
            lines += [f"{title}: {sentence}" for sentence in sentences[:MOST_SHOWN]]
            if len(sentences) > MOST_SHOWN:
                lines.append(f"{title}: and {len(sentences) - MOST_SHOWN} more, see report.json")
        wrong = len(self.failures)
        lines.append(f"{wrong} wrong" if wrong else "nothing wrong")
        return "\n".join(lines)


def count_frames(root: Path) -> int:
    """Number of frames that the lists of a folder name; a list that cannot be read has none.

    Raises:
        DataError: There is no list.
    """
    total = 0
    for split in _lists(root):
        with contextlib.suppress(DataError):  # `check` says it
            total += len(read_list(root, split))
    return total


def check(
    root: Path, output: Path | None = None, progress: Callable[[], object] = lambda: None
) -> DataReport:
    """Read every frame of every split.

    Args:
        root: Folder in either layout.
        output: Folder for report.txt, report.json (all sentences) and contact_SPLIT.png; None:
            nothing is written.
        progress: Called after every frame.

    Returns:
        The report; `failures` is empty where nothing is wrong. A file that is missing or damaged
        is a failure among others, and so is a list.

    Raises:
        ConfigurationError: `output` cannot be written to, or holds other people's files.
        DataError: The folder is of no known layout, or its marker cannot be read.
    """
    splits = _lists(root)
    results = None
    if output is not None:
        results = ResultFolder(output)
        results.check(["report.txt", "report.json", *(f"contact_{s}.png" for s in splits)])
    meaning = read_meaning(root)
    lens = "of NYU Depth V2" if meaning.lens else "of its own for every frame, or not known"
    layout = "compact" if is_compact(root) else "NYUD_MT"
    report = DataReport(
        [
            f"{root}: layout {layout}, classes {meaning.classes}, depth in "
            + (f"steps of {100 * meaning.depth_step:.1f} cm" if meaning.depth_step else "metres"),
            f"lens {lens}" + ("" if is_compact(root) else f"; normals {meaning.normals_axes}"),
        ]
    )
    opened = {}
    for split in splits:
        try:
            opened[split] = NyudSamples(str(root), split, complete=False)
        except DataError as error:
            report.failures.append(str(error))
    for one, two in combinations(opened, 2):
        lists = list_file(root, one), list_file(root, two)
        both = shared_names(*lists, opened[one].names, opened[two].names)
        report.failures += [both] if both else []
    pictures: dict[str, str] = {}
    for split, samples in opened.items():
        part, sheet = _check_split(samples, report, pictures, progress)
        report.splits[split] = part
        if results is not None and sheet is not None:
            results.write(f"contact_{split}.png", png_bytes(sheet))
    if opened:
        report.notes += _odd_files(root, list(opened.values()))
    if results is not None:
        results.write("report.json", (json.dumps(asdict(report), indent=1) + "\n").encode())
        results.write("report.txt", (report.text() + "\n").encode("utf-8", "backslashreplace"))
    return report


def _lists(root: Path) -> list[str]:
    splits = [split for split in SPLITS if list_file(root, split).is_file()]
    if not splits:
        read_list(root, SPLITS[0])  # says what is missing
    return splits


def _check_split(
    samples: NyudSamples,
    report: DataReport,
    pictures: dict[str, str],
    progress: Callable[[], object],
) -> tuple[SplitReport, NDArray[np.uint8] | None]:
    """Read all frames; returns statistics and a contact sheet, and adds to the report."""
    missing = samples.missing_files()
    report.failures += [f"{path} is missing; copy it again" for path in missing]
    report.failures += _without_truth(samples)
    lost = {path.stem for path in missing}
    statistics = _Statistics(samples)
    shown: list[SheetFrame] = []
    every = max(1, len(samples) // SHEET_FRAMES)
    for index, name in enumerate(samples.names):
        if name not in lost:
            try:
                sample = samples[index]
                digest = hashlib.sha256(samples.path("images", name).read_bytes()).hexdigest()
            except (DataError, OSError) as error:
                report.failures.append(str(error))
            else:
                statistics.add(sample)
                frame = f"{samples.split} {name}"
                twin = pictures.setdefault(digest, frame)
                if twin != frame:
                    is_leak = not twin.startswith(f"{samples.split} ")
                    (report.failures if is_leak else report.notes).append(
                        f"{frame} is the same picture as {twin}; take one off its list"
                    )
                if index % every == 0 and len(shown) < SHEET_FRAMES:
                    shown.append(_sheet_frame(sample))
        progress()
    report.failures += statistics.failures()
    sheet = contact_sheet(shown, samples.palette, columns=SHEET_COLUMNS) if shown else None
    return statistics.report(), sheet


def _without_truth(samples: NyudSamples) -> list[str]:
    if samples.tasks:
        return []
    return [f"{samples.root} has no truth: none of {', '.join(TRUTH.values())} is there"]


def _sheet_frame(sample: Sample) -> SheetFrame:
    labels, depth = sample.targets.get("semseg"), sample.targets.get("depth")
    normals = sample.targets.get("normals")
    return SheetFrame(
        sample.image,
        None if labels is None else np.asarray(labels, np.uint8),
        None if depth is None else np.asarray(depth, np.float32),
        None if normals is None else np.asarray(normals, np.float32),
    )


def _odd_files(root: Path, splits: list[NyudSamples]) -> list[str]:
    """A sentence per folder with files that no list names."""
    names = {name for samples in splits for name in samples.names}
    notes = []
    for folder in ("images", *TRUTH.values()):
        if not (root / folder).is_dir():
            continue
        named = {splits[0].path(folder, name).name for name in names}
        odd = sorted(path.name for path in (root / folder).iterdir() if path.name not in named)
        if odd:
            more = f" and {len(odd) - MOST_SHOWN} more" if len(odd) > MOST_SHOWN else ""
            notes.append(
                f"{folder}/ has files that no list names: {', '.join(odd[:MOST_SHOWN])}{more}"
            )
    return notes


class _Statistics:
    """Sums over the frames of a split."""

    def __init__(self, samples: NyudSamples) -> None:
        self._samples = samples
        self._read = 0
        self._pixels = np.zeros(256, np.int64)
        self._rows = np.zeros(256)
        self._shown = np.zeros(256, np.int64)
        self._depths: list[NDArray[np.float32]] = []
        self._extremes: list[tuple[float, float]] = []
        self._counts = dict.fromkeys(("all", "depth", "normals", "edge", "edge_known"), 0)
        self._angles: list[float] = []
        self._floors: list[float] = []

    def add(self, sample: Sample) -> None:
        """Count a frame."""
        self._read += 1
        counts, targets = self._counts, sample.targets
        rows, columns = sample.image.shape[:2]
        counts["all"] += rows * columns
        if "semseg" in targets:
            labels = np.asarray(targets["semseg"], np.uint8)
            found = np.bincount(labels.ravel(), minlength=256)
            self._pixels += found
            self._shown += found > 0
            heights = np.repeat((np.arange(rows) + 0.5) / rows, columns)
            self._rows += np.bincount(labels.ravel(), heights, minlength=256)
        if "depth" in targets:
            depth = np.asarray(targets["depth"], np.float32)
            known = depth[depth > 0]
            counts["depth"] += known.size
            if known.size:
                self._extremes.append((float(known.min()), float(known.max())))
            self._depths.append(known[::49])
        if "normals" in targets:
            counts["normals"] += int((targets["normals"] != 0).any(axis=-1).sum())
            self._compare_normals(sample)
        if "edge" in targets:
            counts["edge"] += int((targets["edge"] == 1).sum())
            counts["edge_known"] += int((targets["edge"] != VOID_ID).sum())

    def _compare_normals(self, sample: Sample) -> None:
        """With planes fitted to the depth, in some frames; those of floors in all."""
        normals = np.asarray(sample.targets["normals"], np.float32)
        known = (normals != 0).any(axis=-1)
        names = self._samples.class_names
        if "semseg" in sample.targets and "floor" in names:
            floor = known & (sample.targets["semseg"] == names.index("floor"))
            if floor.any():
                self._floors.append(float(np.median(normals[floor][:, 1])))
        every = max(1, len(self._samples) // FITTED_FRAMES)
        if "depth" not in sample.targets or sample.intrinsics is None or self._read % every:
            return
        depth = np.asarray(sample.targets["depth"], np.float32)
        fitted = normals_from_depth(depth, sample.intrinsics, self._samples.meaning.depth_step)
        both = known & (fitted != 0).any(axis=-1)
        if both.any():
            cosine = (normals[both] * fitted[both]).sum(axis=-1).clip(-1, 1)
            self._angles.append(float(np.degrees(np.median(np.arccos(cosine)))))

    def report(self) -> SplitReport:
        """The statistics."""
        samples, counts = self._samples, self._counts
        names = samples.class_names
        labelled = int(self._pixels[: len(names)].sum())
        every = max(counts["all"], 1)
        there = [number for number in range(len(names)) if self._pixels[number]]
        report = SplitReport(len(samples), self._read, samples.tasks)
        report.share = {names[n]: float(self._pixels[n] / labelled) for n in there}
        report.shown = {names[n]: int(self._shown[n]) for n in there}
        report.unlabelled = float(self._pixels[VOID_ID] / every)
        report.depth_unknown = 1 - counts["depth"] / every
        if self._extremes:
            near, far = min(n for n, _ in self._extremes), max(f for _, f in self._extremes)
            middle = np.quantile(np.concatenate(self._depths), QUANTILES)
            report.depth = [near, *(float(value) for value in middle), far]
        report.normals_known = counts["normals"] / every
        report.normals_angle = float(np.median(self._angles)) if self._angles else float("nan")
        report.edge = counts["edge"] / max(counts["edge_known"], 1)
        report.edge_unknown = 1 - counts["edge_known"] / every
        return report

    def failures(self) -> list[str]:
        """What no frame shows for itself: truth that is there and means something else."""
        report, split = self.report(), self._samples.split
        failures = []
        if self._read and "semseg" in report.truth:
            failures += self._label_failures(report)
        if self._read and "depth" in report.truth:
            if report.depth_unknown > DEPTH_UNKNOWN_LIMIT:
                failures.append(f"{split}: {report.depth_unknown:.0%} of the depth is unknown")
            least, most = DEPTH_MEDIANS
            if report.depth and not least <= report.depth[4] <= most:
                failures.append(
                    f"{split}: the median depth is {report.depth[4]:.3g} m, of rooms it is "
                    f"{least:g} to {most:g}; it may be in another unit"
                )
        axes = self._samples.meaning.normals_axes
        if report.normals_angle > ANGLE_LIMIT:
            failures.append(
                f"{split}: normals and depth disagree by {report.normals_angle:.0f} degrees "
                f"(median); the axes of normals may be others than {axes}"
            )
        if self._floors and np.median(self._floors) > 0:
            failures.append(
                f"{split}: the normals of floors point down; the axes of normals may be others "
                f"than {axes}"
            )
        return failures

    def _label_failures(self, report: SplitReport) -> list[str]:
        split, names = self._samples.split, self._samples.class_names
        classes = self._samples.meaning.classes
        if report.unlabelled > UNLABELLED_LIMIT:
            return [f"{split}: {report.unlabelled:.0%} of the pixels have no label"]
        if self._read < FEW_FRAMES:
            return []
        highest = int(np.flatnonzero(self._pixels[: len(names)]).max())
        if highest < len(names) / 2:
            return [
                f"{split}: no class after {names[highest]!r}, number {highest + 1} of "
                f"{len(names)}, occurs; the labels may be of another class set than {classes}"
            ]
        failures = []
        for name in ("floor", "ceiling"):
            number = names.index(name)
            if not self._pixels[number]:
                continue
            height = self._rows[number] / self._pixels[number]
            if (height < FLOOR_LIMIT) if name == "floor" else (height > CEILING_LIMIT):
                failures.append(
                    f"{split}: what is labelled {name} is {height:.0%} down the pictures, on "
                    f"average; the labels may be of another class set than {classes}"
                )
        return failures

# SPDX-License-Identifier: Apache-2.0
"""What is in a folder of a data set, and what is wrong with it, file by file."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mtinet_ros.datasets.check_folders import CheckedFolder, checked_folder
from mtinet_ros.datasets.check_report import DataReport, SplitReport
from mtinet_ros.datasets.check_statistics import CheckedSamples, Statistics
from mtinet_ros.datasets.class_sets import HUMAN_PARTS, voc_palette
from mtinet_ros.datasets.sample import Sample
from mtinet_ros.datasets.sources import find_kind
from mtinet_ros.datasets.urbanlf import LabelsWithheldError
from mtinet_ros.errors import DataError
from mtinet_ros.image_files import png_bytes
from mtinet_ros.output_files import ResultFolder
from mtinet_ros.visualization.colors import LabelColors
from mtinet_ros.visualization.contact_sheet import SheetFrame, contact_sheet

SHEET_FRAMES, SHEET_COLUMNS = 24, 2


def count_frames(root: Path, kind: str = "") -> int:
    """Number of frames of a folder; a list that cannot be read has none.

    Raises:
        DataError: It is no data set.
    """
    folder = checked_folder(root, kind or find_kind(root))
    total = 0
    for split in folder.splits():
        with contextlib.suppress(DataError):  # `check` says it
            total += len(folder.open(split))
    return total


def check(
    root: Path,
    output: Path | None = None,
    progress: Callable[[], object] = lambda: None,
    *,
    kind: str = "",
) -> DataReport:
    """Read every frame of every split.

    Args:
        root: Folder of a data set.
        output: Folder for report.txt, report.json (all sentences) and contact_SPLIT.png; None:
            nothing is written.
        progress: Called after every frame.
        kind: Of data set; empty: found out.

    Returns:
        The report; `failures` is empty where nothing is wrong. A file that is missing or damaged
        is a failure among others, and so is a list.

    Raises:
        ConfigurationError: `output` cannot be written to, or holds other people's files; or a
            package is missing that reads the data.
        DataError: The folder is of no known layout, or its marker cannot be read.
    """
    folder = checked_folder(root, kind or find_kind(root))
    splits = folder.splits()
    results = None
    if output is not None:
        results = ResultFolder(output)
        results.check(["report.txt", "report.json", *(f"contact_{s}.png" for s in splits)])
    report = DataReport(folder.about())
    opened: list[CheckedSamples] = []
    for split in splits:
        try:
            opened.append(folder.open(split))
        except LabelsWithheldError as error:
            report.notes.append(str(error))
        except DataError as error:
            report.failures.append(str(error))
    for one, two in combinations(opened, 2):
        report.failures += folder.faults_between(one, two)
    pictures: dict[str, str] = {}
    for samples in opened:
        part, sheet = _check_split(folder, samples, report, pictures, progress)
        report.splits[samples.split] = part
        if results is not None and sheet is not None:
            results.write(f"contact_{samples.split}.png", png_bytes(sheet))
    if opened:
        report.notes += folder.odd_files(opened)
    if results is not None:
        results.write("report.json", (json.dumps(asdict(report), indent=1) + "\n").encode())
        results.write("report.txt", (report.text() + "\n").encode("utf-8", "backslashreplace"))
    return report


def _check_split(
    folder: CheckedFolder,
    samples: CheckedSamples,
    report: DataReport,
    pictures: dict[str, str],
    progress: Callable[[], object],
) -> tuple[SplitReport, NDArray[np.uint8] | None]:
    """Read all frames; returns statistics and a contact sheet, and adds to the report."""
    missing = samples.missing_files()
    report.failures += [f"{path} is missing; copy it again" for path in missing]
    if not samples.tasks:
        report.failures.append(f"{samples.split} has no truth: no folder of any is there")
    lost = set(missing)
    sums = Statistics(samples, folder.depth_step)
    shown: list[SheetFrame] = []
    every = max(1, len(samples) // SHEET_FRAMES)
    for index, name in enumerate(samples.names):
        files = samples.files(name)
        if lost.isdisjoint(files):
            try:
                sample = samples[index]
                digest = hashlib.sha256(files[0].read_bytes()).hexdigest()
            except (DataError, OSError) as error:
                report.failures.append(str(error))
            else:
                sums.add(sample)
                _note_twin(report, pictures, digest, f"{samples.split} {name}")
                if index % every == 0 and len(shown) < SHEET_FRAMES:
                    shown.append(_sheet_frame(sample))
        progress()
    part = sums.report()
    if part.read:
        report.failures += folder.faults_of(samples, part, sums)
    sheet = contact_sheet(shown, samples.palette, columns=SHEET_COLUMNS) if shown else None
    return part, sheet


def _note_twin(report: DataReport, pictures: dict[str, str], digest: str, frame: str) -> None:
    """Say that a picture was there before, under another name."""
    twin = pictures.setdefault(digest, frame)
    if twin != frame:
        is_leak = twin.split(" ", 1)[0] != frame.split(" ", 1)[0]
        (report.failures if is_leak else report.notes).append(
            f"{frame} is the same picture as {twin}; take one off its list"
        )


_PARTS = LabelColors(voc_palette(len(HUMAN_PARTS), first=0))


def _sheet_frame(sample: Sample) -> SheetFrame:
    labels, depth = sample.targets.get("semseg"), sample.targets.get("depth")
    normals = sample.targets.get("normals")
    others = {}
    if "human_parts" in sample.targets:
        parts = np.asarray(sample.targets["human_parts"], np.uint8)
        others["human_parts"] = _PARTS.colorize(parts)
    for task in ("sal", "edge"):
        if task in sample.targets:
            mask = (sample.targets[task] == 1).astype(np.uint8) * np.uint8(255)
            others[task] = np.asarray(cv2.cvtColor(mask, cv2.COLOR_GRAY2RGB), np.uint8)
    return SheetFrame(
        sample.image,
        None if labels is None else np.asarray(labels, np.uint8),
        None if depth is None else np.asarray(depth, np.float32),
        None if normals is None else np.asarray(normals, np.float32),
        others,
    )

# SPDX-License-Identifier: Apache-2.0
"""What is to be checked of a folder of each kind, beyond its frames one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol

from mtinet_ros.datasets.check_report import MOST_SHOWN, SplitReport
from mtinet_ros.datasets.check_statistics import CheckedSamples, Statistics
from mtinet_ros.datasets.name_lists import SPLITS, shared_names
from mtinet_ros.datasets.nyud import NyudSamples
from mtinet_ros.datasets.nyud_layout import (
    TRUTH,
    is_compact,
    list_file,
    read_list,
    read_meaning,
)
from mtinet_ros.datasets.pascal import PASCAL_FOLDERS, PUBLISHED_FRAMES, PascalSamples
from mtinet_ros.datasets.urbanlf import UrbanlfSamples, urbanlf_splits
from mtinet_ros.errors import DataError

FEW_FRAMES = 20
"""Frames below which no more is judged than each for itself."""
UNLABELLED_LIMIT = 0.6
DEPTH_UNKNOWN_LIMIT = 0.5
ROOM_DEPTHS, STREET_DEPTHS = (0.5, 20.0), (1.0, 100.0)
"""Metres; the median depth of rooms, and of streets, is between."""
ANGLE_LIMIT = 15.0
"""Median angle between normals and planes fitted to the depth, degrees."""
AWAY_LIMIT = 0.5
"""Share of normals that face away from the camera."""
FLOOR_LIMIT, CEILING_LIMIT = 0.6, 0.4
"""Mean row of floors and of ceilings, as a share of the height: below and above, in a room."""


class CheckedFolder(Protocol):
    """A folder of a known kind.

    Attributes:
        depth_step: Distance of two depths that its files can tell apart, metres; 0: exact.
    """

    depth_step: float

    def splits(self) -> list[str]:
        """The splits that are there. Raises `DataError` if there is none."""
        ...

    def about(self) -> list[str]:
        """What the folder is said to hold, a line each."""
        ...

    def open(self, split: str) -> CheckedSamples:
        """A split, whether or not all files are there."""
        ...

    def faults_between(self, one: CheckedSamples, two: CheckedSamples) -> list[str]:
        """What is wrong with two splits beside each other, a sentence each."""
        ...

    def odd_files(self, opened: Sequence[CheckedSamples]) -> list[str]:
        """What is odd and harms nothing, a sentence each."""
        ...

    def faults_of(
        self, samples: CheckedSamples, report: SplitReport, sums: Statistics
    ) -> list[str]:
        """What no frame shows for itself: truth that is there and means something else."""
        ...


class NyudFolder:
    """NYU Depth V2, in either layout."""

    def __init__(self, root: Path) -> None:
        """Read what its files mean.

        Raises:
            DataError: The marker cannot be read.
        """
        self.root = root
        self._splits = [split for split in SPLITS if list_file(root, split).is_file()]
        if not self._splits:
            read_list(root, SPLITS[0])  # says what is missing
        self.meaning = read_meaning(root)
        self.depth_step = self.meaning.depth_step

    def splits(self) -> list[str]:
        """Those that have a list."""
        return self._splits

    def about(self) -> list[str]:
        """Layout, classes, depth, lens and axes."""
        root, meaning = self.root, self.meaning
        lens = "of NYU Depth V2" if meaning.lens else "of its own for every frame, or not known"
        layout = "compact" if is_compact(root) else "NYUD_MT"
        return [
            f"{root}: layout {layout}, classes {meaning.classes}, depth in "
            + (f"steps of {100 * meaning.depth_step:.1f} cm" if meaning.depth_step else "metres"),
            f"lens {lens}" + ("" if is_compact(root) else f"; normals {meaning.normals_axes}"),
        ]

    def open(self, split: str) -> NyudSamples:
        """A split, whether or not all files are there; whole pictures if not of NYUv2's size."""
        samples = NyudSamples(str(self.root), split, complete=False)
        if samples.of_another_size() is not None:
            return NyudSamples(str(self.root), split, complete=False, crop=False)
        return samples

    def faults_between(self, one: CheckedSamples, two: CheckedSamples) -> list[str]:
        """Frames in two lists."""
        lists = list_file(self.root, one.split), list_file(self.root, two.split)
        both = shared_names(*lists, one.names, two.names)
        return [both] if both else []

    def odd_files(self, opened: Sequence[CheckedSamples]) -> list[str]:
        """Files that no list names, and pictures of another size."""
        notes = _unnamed(self.root, ("images", *TRUTH.values()), opened)
        for samples in opened:
            size = NyudSamples(str(self.root), samples.split, complete=False).of_another_size()
            if size is not None:
                notes.append(
                    f"{samples.split}: the pictures have {size[1]}x{size[0]} pixels, NYU Depth "
                    "V2's 640x480; where the border without truth is, is not known, so they are "
                    "read whole"
                )
        return notes

    def faults_of(
        self, samples: CheckedSamples, report: SplitReport, sums: Statistics
    ) -> list[str]:
        """Labels of fewer classes, depth of another unit, normals of other axes."""
        split = samples.split
        faults = _unlabelled(split, report)
        if "semseg" in report.truth and not faults and report.read >= FEW_FRAMES:
            faults = self._labels_of_others(samples, report, sums)
        if "depth" in report.truth:
            faults += _depth_of_others(split, report, ROOM_DEPTHS, "rooms")
        axes = self.meaning.normals_axes
        if report.normals_angle > ANGLE_LIMIT:
            faults.append(
                f"{split}: normals and depth disagree by {report.normals_angle:.0f} degrees "
                f"(median); the axes of normals may be others than {axes}"
            )
        if sums.floors and sorted(sums.floors)[len(sums.floors) // 2] > 0:
            faults.append(
                f"{split}: the normals of floors point down; the axes of normals may be others "
                f"than {axes}"
            )
        return faults

    def _labels_of_others(
        self, samples: CheckedSamples, report: SplitReport, sums: Statistics
    ) -> list[str]:
        split, names, classes = samples.split, samples.class_names, self.meaning.classes
        highest = max(names.index(name) for name in report.share)
        if highest < len(names) / 2:
            return [
                f"{split}: no class after {names[highest]!r}, number {highest + 1} of "
                f"{len(names)}, occurs; the labels may be of another class set than {classes}"
            ]
        faults = []
        for name in ("floor", "ceiling"):
            height = sums.height(names.index(name))
            if (height < FLOOR_LIMIT) if name == "floor" else (height > CEILING_LIMIT):
                faults.append(
                    f"{split}: what is labelled {name} is {height:.0%} down the pictures, on "
                    f"average; the labels may be of another class set than {classes}"
                )
        return faults


class PascalFolder:
    """PASCAL_MT."""

    depth_step = 0.0

    def __init__(self, root: Path) -> None:
        """Name the folder."""
        self.root = root

    def splits(self) -> list[str]:
        """Those that have a list."""
        folder = self.root / "ImageSets" / "Context"
        splits = [split for split in PUBLISHED_FRAMES if (folder / f"{split}.txt").is_file()]
        if not splits:
            PascalSamples(str(self.root), "train")  # says what is missing
        return splits

    def about(self) -> list[str]:
        """What it is."""
        return [f"{self.root}: layout PASCAL_MT, classes pascal21"]

    def open(self, split: str) -> PascalSamples:
        """A split, whether or not all files are there."""
        return PascalSamples(str(self.root), split, complete=False)

    def faults_between(self, one: CheckedSamples, two: CheckedSamples) -> list[str]:
        """Pictures in both lists."""
        folder = self.root / "ImageSets" / "Context"
        lists = folder / f"{one.split}.txt", folder / f"{two.split}.txt"
        both = shared_names(*lists, one.names, two.names)
        return [both] if both else []

    def odd_files(self, opened: Sequence[CheckedSamples]) -> list[str]:
        """Files that no list names, and lists of another length than published."""
        notes = [
            f"{samples.split} has {len(samples.names)} pictures, PASCAL_MT has "
            f"{PUBLISHED_FRAMES[samples.split]}"
            for samples in opened
            if len(samples.names) != PUBLISHED_FRAMES[samples.split]
        ]
        return notes + _unnamed(self.root, ("JPEGImages", *PASCAL_FOLDERS.values()), opened)

    def faults_of(
        self, samples: CheckedSamples, report: SplitReport, sums: Statistics
    ) -> list[str]:
        """Kinds of truth that say the same of every pixel; normals of other axes."""
        split = samples.split
        faults = _unlabelled(split, report)
        if report.read < FEW_FRAMES:
            return faults
        if "semseg" in report.truth and len(report.share) < 3:
            faults.append(f"{split}: no class but {', '.join(report.share)} occurs")
        if "human_parts" in report.truth and not report.with_parts:
            faults.append(f"{split}: no picture has parts of people")
        if "sal" in report.truth and not 0 < report.salient < 1:
            faults.append(f"{split}: {report.salient:.0%} of the pixels are salient")
        if "edge" in report.truth and not report.edge:
            faults.append(f"{split}: there are no edges")
        if report.normals_away > AWAY_LIMIT:
            faults.append(
                f"{split}: {report.normals_away:.0%} of the normals face away from the camera; "
                "their axes may be others than x,y,-z"
            )
        return faults


class UrbanlfFolder:
    """UrbanLF-Real or UrbanLF-Syn."""

    depth_step = 0.0

    def __init__(self, root: Path) -> None:
        """Name the folder."""
        self.root = root

    def splits(self) -> list[str]:
        """Those that have a folder."""
        splits = urbanlf_splits(self.root)
        if not splits:
            UrbanlfSamples(str(self.root), "train")  # says what is missing
        return splits

    def about(self) -> list[str]:
        """What it is."""
        return [f"{self.root}: layout UrbanLF, central views, classes urbanlf14"]

    def open(self, split: str) -> UrbanlfSamples:
        """A split, whether or not all files are there."""
        return UrbanlfSamples(str(self.root), split, complete=False)

    def faults_between(self, one: CheckedSamples, two: CheckedSamples) -> list[str]:
        """None: numbers may come again in another split."""
        return []

    def odd_files(self, opened: Sequence[CheckedSamples]) -> list[str]:
        """Other numbers of images and of views than published."""
        return [note for samples in opened for note in self.open(samples.split).odd_files()]

    def faults_of(
        self, samples: CheckedSamples, report: SplitReport, sums: Statistics
    ) -> list[str]:
        """Labels numbered from 0; depth of another unit."""
        split = samples.split
        faults = _unlabelled(split, report)
        if report.read >= FEW_FRAMES and report.unlabelled and "sky" not in report.share:
            faults.append(
                f"{split}: no sky occurs, number 14 of the files, yet unlabelled pixels; the "
                "labels may be numbered from 0"
            )
        if "depth" in report.truth:
            faults += _depth_of_others(split, report, STREET_DEPTHS, "streets")
        return faults


FOLDERS: dict[str, Callable[[Path], CheckedFolder]] = {
    "nyud": NyudFolder,
    "pascal": PascalFolder,
    "urbanlf": UrbanlfFolder,
}
"""By kind of data set; rendered rooms have a check of their own."""


def _unlabelled(split: str, report: SplitReport) -> list[str]:
    if "semseg" in report.truth and report.unlabelled > UNLABELLED_LIMIT:
        return [f"{split}: {report.unlabelled:.0%} of the pixels have no label"]
    return []


def _depth_of_others(
    split: str, report: SplitReport, medians: tuple[float, float], what: str
) -> list[str]:
    faults = []
    if report.depth_unknown > DEPTH_UNKNOWN_LIMIT:
        faults.append(f"{split}: {report.depth_unknown:.0%} of the depth is unknown")
    least, most = medians
    if report.depth and not least <= report.depth[4] <= most:
        faults.append(
            f"{split}: the median depth is {report.depth[4]:.3g} m, of {what} it is "
            f"{least:g} to {most:g}; it may be in another unit"
        )
    return faults


def _unnamed(root: Path, folders: Iterable[str], opened: Sequence[CheckedSamples]) -> list[str]:
    """A sentence per folder with files that no list names."""
    named = {path for samples in opened for name in samples.names for path in samples.files(name)}
    notes = []
    for folder in folders:
        if not (root / folder).is_dir():
            continue
        odd = sorted(
            path.name
            for path in (root / folder).iterdir()
            if path not in named and not path.is_dir()
        )
        if odd:
            more = f" and {len(odd) - MOST_SHOWN} more" if len(odd) > MOST_SHOWN else ""
            notes.append(
                f"{folder}/ has files that no list names: {', '.join(odd[:MOST_SHOWN])}{more}"
            )
    return notes


def checked_folder(root: Path, kind: str) -> CheckedFolder:
    """A folder of a kind of data set.

    Raises:
        DataError: It is none of that kind, or of rendered rooms.
    """
    if kind not in FOLDERS:
        raise DataError(
            f"{root}: these seem to be rendered rooms, which `mtinet scenes --check` checks"
        )
    return FOLDERS[kind](root)

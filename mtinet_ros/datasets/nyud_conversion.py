# SPDX-License-Identifier: Apache-2.0
"""A folder of one layout of `nyud_layout` written in the other."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from mtinet_ros import __version__
from mtinet_ros.datasets import depth_normals
from mtinet_ros.datasets.depth_normals import normals_from_depth
from mtinet_ros.datasets.nyud import NyudSamples
from mtinet_ros.datasets.nyud_layout import (
    MARKER,
    NYU_CROP,
    NYU_LENS,
    SPLITS,
    TRUTH,
    Meaning,
    is_compact,
    list_file,
    read_names,
)
from mtinet_ros.datasets.nyud_writer import (
    outlines,
    prepare,
    prepare_nyud,
    remove_lists,
    write_compact_truth,
    write_list,
    write_truth,
)
from mtinet_ros.datasets.sample import Sample, Target
from mtinet_ros.errors import ConfigurationError, DataError
from mtinet_ros.model_contract import VOID_ID
from mtinet_ros.output_files import file_errors, folder_lock, replace_file

RECORD = ".mtinet_conversion.json"
"""File in a folder being written: what it is made of, and how."""


@dataclass(frozen=True)
class Conversion:
    """What is to be done.

    Attributes:
        root: Folder to read.
        target: Folder to make or to complete.
        to_compact: Whether it gets the compact layout.
        splits: The frames of `root` by split.
        lists: Names by split that `target` gets.
    """

    root: Path
    target: Path
    to_compact: bool
    splits: Mapping[str, NyudSamples]
    lists: Mapping[str, list[str]]

    @property
    def frames(self) -> int:
        """Number of frames."""
        return sum(len(samples) for samples in self.splits.values())

    @property
    def meaning(self) -> Meaning:
        """Of the folder to read."""
        return next(iter(self.splits.values())).meaning

    @property
    def tasks(self) -> tuple[str, ...]:
        """Truth that the folder to write gets."""
        there = next(iter(self.splits.values())).tasks
        if self.to_compact:
            return tuple(task for task in ("semseg", "depth") if task in there)
        made = {"normals": "depth", "edge": "semseg"}
        return tuple(task for task in TRUTH if made.get(task, task) in there)


def plan_conversion(root: Path, target: Path, hold_out: float = 0.0) -> Conversion:
    """See what a folder has, and whether it can be written in the other layout.

    Args:
        root: Folder to read; its layout tells the one to write.
        target: Folder to make or to complete.
        hold_out: Share of the training frames to list as "val" instead, whole scenes each; then
            `root` must have no list of that name.

    Raises:
        ConfigurationError: The share or the place is not possible.
        DataError: `root` cannot be read, or not be written so.
    """
    if not 0 <= hold_out < 1:
        raise ConfigurationError(f"the share to hold out is {hold_out:g}; 0 to below 1")
    if target.resolve() == root.resolve():
        raise ConfigurationError(f"{target} is the folder to read; name another to write")
    lists_there = [s for s in SPLITS if list_file(root, s).is_file()]
    if not lists_there:
        read_names(root, "train")  # says what is missing
    splits = {s: NyudSamples(str(root), s, crop=False) for s in lists_there}
    lists = {split: list(samples.names) for split, samples in splits.items()}
    if hold_out:
        if "val" in lists or "train" not in lists:
            raise DataError(
                f"{root} has {'a list val' if 'val' in lists else 'no list train'}; frames are "
                "held out of train to make val"
            )
        lists["train"], lists["val"] = split_by_scene(lists["train"], hold_out)
    plan = Conversion(root, target, not is_compact(root), splits, lists)
    meaning = plan.meaning
    if plan.to_compact and meaning.classes != "nyu40":
        raise DataError(
            f"{root} has the classes {meaning.classes}; the compact layout is for NYUv2's 40"
        )
    if plan.to_compact and (meaning.lens, meaning.crop) != (NYU_LENS, NYU_CROP):
        raise DataError(
            f"{root} was taken through another lens than NYUv2, says its marker; the compact "
            "layout is for NYUv2"
        )
    if not plan.tasks:
        raise DataError(f"{root} has neither labels nor depth; there is nothing to convert")
    return plan


def convert(plan: Conversion, progress: Callable[[], object] = lambda: None) -> dict[str, int]:
    """Write a folder of one layout in the other.

    To NYUD_MT: what is unlabelled is 0, and depth is metres; truth that the compact layout does
    not have is made: normals of planes fitted to depth (`normals_from_depth`), edges where labels
    change (unknown beside unlabelled pixels; not the data set's own, which follow things). To the
    compact one: "other prop" becomes unknown, depth is rounded to 3.9 cm (10 m and more: unknown),
    normals and edges are left out.

    Every file appears as a whole, and the lists of names last. A run that was cut off goes on:
    frames are left out whose files are all there, made from the same folder in the same way, and
    no older than what they are made from.

    Args:
        plan: What to do.
        progress: Called after every frame.

    Returns:
        Number of frames by split.

    Raises:
        DataError: A file of the folder is damaged, or `target` cannot be written, holds something
            else, or is being written by another run.
    """
    target = plan.target
    record = _record(plan)
    there = target / RECORD
    with file_errors(f"write {target}", DataError, "choose another place"):
        is_continued = there.is_file() and there.read_text("utf-8", "replace") == record
        is_ours = (target / MARKER).exists()  # if not, `prepare` says so
        if is_ours and not is_continued and any((target / "images").glob("*")):
            raise DataError(
                f"{target} holds frames of another source, or made by another version; choose "
                "another folder"
            )
    if plan.to_compact:
        marker = json.dumps({"layout": "compact", "classes": "nyu40"}) + "\n"
        prepare(target, marker, ("images", *(TRUTH[task] for task in plan.tasks)))
    else:
        meaning = replace(plan.meaning, normals_axes="camera_optical")
        prepare_nyud(target, meaning, plan.tasks)
    busy = f"{target} is being written by another run; wait for it"
    with (
        folder_lock(target, DataError, busy),
        file_errors(f"write {target}", DataError, "free some space and run again"),
    ):
        replace_file(there, record)
        lists = target if plan.to_compact else target / "gt_sets"
        remove_lists(lists)
        for samples in plan.splits.values():
            for index, name in enumerate(samples.names):
                if not _is_done(plan, samples, name):
                    _convert_frame(plan, samples, index)
                progress()
        for split, names in plan.lists.items():
            write_list(lists / f"{split}.txt", names)
    return {split: len(names) for split, names in plan.lists.items()}


def _record(plan: Conversion) -> str:
    """What makes frames that are there the same as those that would be written."""
    fit = depth_normals
    how = (__version__, fit.WINDOWS, fit.TOLERANCE, fit.SENSOR_NOISE, fit.STEEPEST_ERROR,
           fit.AGREEING_RADIUS, fit.MOST_SPREAD)  # fmt: skip
    return json.dumps({"source": str(plan.root.resolve()), "how": how}) + "\n"


def _is_done(plan: Conversion, samples: NyudSamples, name: str) -> bool:
    sources = [samples.path(f, name) for f in ("images", *(TRUTH[t] for t in samples.tasks))]
    made = [plan.target / "images" / f"{name}.jpg"]
    for task in plan.tasks:
        is_png = task == "semseg" or plan.to_compact
        made.append(plan.target / TRUTH[task] / f"{name}.{'png' if is_png else 'npy'}")
    try:
        newest = max(path.stat().st_mtime_ns for path in sources)
        return all(path.stat().st_mtime_ns >= newest for path in made)
    except OSError:
        return False


def _convert_frame(plan: Conversion, samples: NyudSamples, index: int) -> None:
    name = samples.names[index]
    sample = samples[index]
    if plan.to_compact:
        write_compact_truth(plan.target, name, sample.targets)
    else:
        write_truth(plan.target, name, _completed(sample, samples.meaning))
    image = samples.path("images", name).read_bytes()
    replace_file(plan.target / "images" / f"{name}.jpg", image)


def _completed(sample: Sample, meaning: Meaning) -> dict[str, Target]:
    """The truth of a sample, with normals and edges made of depth and labels."""
    targets = dict(sample.targets)
    depth, labels = targets.get("depth"), targets.get("semseg")
    if depth is not None and sample.intrinsics is not None:
        inside = np.asarray(depth, np.float32).copy()
        if meaning.crop is not None:
            top, bottom, left, right = meaning.crop
            inside[:top], inside[bottom:], inside[:, :left], inside[:, right:] = 0, 0, 0, 0
        targets["normals"] = normals_from_depth(inside, sample.intrinsics, meaning.depth_step)
    elif depth is not None:
        targets["normals"] = np.zeros((*depth.shape, 3), np.float32)  # the lens is not known
    if labels is not None:
        unknown = (labels == VOID_ID).astype(np.uint8)
        beside = cv2.dilate(unknown, np.ones((3, 3), np.uint8)).astype(bool)
        edge = outlines(labels.astype(np.uint8))
        targets["edge"] = np.where(beside, VOID_ID, edge).astype(np.uint8)
    return targets


def split_by_scene(names: list[str], share: float) -> tuple[list[str], list[str]]:
    """Hold about a share of the frames out, whole scenes each.

    NYUv2's frames are numbered scene by scene, and no scene is in two of its lists: a gap in the
    numbers is a border between scenes. (Between two scenes of one list there may be none; they
    stay together.)

    Returns:
        The frames that stay, and those held out, in order of their numbers.

    Raises:
        DataError: The names are no numbers, or most frames have no neighbour, as in a list that
            was thinned out: so scenes cannot be told. Or no scene is left on one side.

    >>> split_by_scene(["1", "2", "4", "5", "7", "8", "10", "11"], 0.25)
    (['1', '2', '7', '8', '10', '11'], ['4', '5'])
    """
    strange = [name for name in names if not (name.isascii() and name.isdecimal())]
    if strange:
        raise DataError(
            f"the frame {strange[0]} is not called by its number, so scenes cannot be told apart; "
            "write the list val.txt by hand"
        )
    runs: list[list[str]] = []
    for name in sorted(names, key=int):
        if runs and int(name) == int(runs[-1][-1]) + 1:
            runs[-1].append(name)
        else:
            runs.append([name])
    if sum(len(run) == 1 for run in runs) > len(runs) / 2:
        raise DataError(
            f"most of the {len(names)} training frames have no neighbour in number, so a gap is "
            "no border between scenes; write the list val.txt by hand, whole scenes"
        )
    kept: list[str] = []
    held: list[str] = []
    owed = 0.0
    for run in runs:
        owed += share * len(run)
        if owed >= len(run) / 2:
            held += run
            owed -= len(run)
        else:
            kept += run
    if not kept or not held:
        raise DataError(
            f"the {len(names)} training frames are of {len(runs)} groups of scenes, too few to "
            f"hold out {share:g}; take another share, or write the list val.txt by hand"
        )
    return kept, held

# SPDX-License-Identifier: Apache-2.0
"""Writing the layouts of `nyud_layout`: rendered rooms, and one layout as the other."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mtinet_ros.datasets.depth_normals import normals_from_depth
from mtinet_ros.datasets.nyud import NyudSamples
from mtinet_ros.datasets.nyud_layout import (
    COMPACT_STEP,
    LENSES,
    MARKER,
    SPLITS,
    TRUTH,
    Meaning,
    is_compact,
    list_file,
    read_names,
)
from mtinet_ros.datasets.sample import Sample, Target
from mtinet_ros.errors import DataError
from mtinet_ros.model_contract import VOID_ID
from mtinet_ros.output_files import file_errors, npy_bytes, replace_file
from mtinet_ros.scenes.storage.dataset import Frame, SceneDataset, complete_scenes

FOLDERS = ("images", *TRUTH.values(), "gt_sets")
JPEG_QUALITY = 95


def prepare_nyud(target: Path, meaning: Meaning) -> None:
    """Make a folder for the layout NYUD_MT, or take up one that was made here.

    Raises:
        DataError: It holds files that were not written here, or cannot be made.
    """
    with file_errors(f"write {target}", DataError, "choose another place"):
        _prepare(target)
        replace_file(target / MARKER, meaning.to_json())
        for name in FOLDERS:
            (target / name).mkdir(exist_ok=True)


def _prepare(target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    if not (target / MARKER).exists() and any(target.iterdir()):
        raise DataError(f"{target} holds files that mtinet did not write; move them away")


def prepare_rooms(target: Path) -> None:
    """`prepare_nyud` for rendered rooms."""
    prepare_nyud(target, Meaning("rooms", "camera_optical", 0.0, None, None, ()))


def write_rooms(root: Path, target: Path) -> int:
    """Write rendered rooms in the layout NYUD_MT.

    Args:
        root: Folder written by `mtinet scenes`.
        target: Folder to make or to complete; the lists of names are written last.

    Returns:
        Number of frames.

    Raises:
        DataError: `root` cannot be read, or `target` cannot be written or is somebody else's.
    """
    prepare_rooms(target)
    total = 0
    lenses: dict[str, list[float]] = {}
    with file_errors(f"write {target}", DataError, "free some space and run again"):
        for split in SPLITS:
            names = _write_split(root, split, target, lenses)
            replace_file(target / LENSES, json.dumps(lenses) + "\n")
            _write_list(list_file(target, split), names)
            total += len(names)
    return total


def _write_split(
    root: Path, split: str, target: Path, lenses: dict[str, list[float]]
) -> list[str]:
    """Write the frames of a split, none if it has no scene yet; returns their names."""
    if not complete_scenes(root, split):
        return []
    data = SceneDataset(root, split)
    names = []
    for index in range(len(data)):
        frame = data[index]
        names.append(f"{frame.scene}_{index:05d}")
        fx, _, cx, cy = (float(value) for value in frame.intrinsics)
        lenses[names[-1]] = [fx, cx, cy]
        _write_frame(target, names[-1], frame)
    return names


def _write_frame(target: Path, name: str, frame: Frame) -> None:
    image = np.ascontiguousarray(frame.rgb[..., ::-1])
    replace_file(target / "images" / f"{name}.jpg", _encode(".jpg", image))
    targets: dict[str, Target] = {
        "semseg": frame.classes,
        "depth": frame.depth,
        "normals": frame.unit_normals(),
        "edge": outlines(frame.instance),
    }
    _write_truth(target, name, targets)


def _write_truth(target: Path, name: str, targets: dict[str, Target]) -> None:
    for task, values in targets.items():
        folder = target / TRUTH[task]
        if task == "semseg":
            labels = np.where(values == VOID_ID, 0, values + 1).astype(np.uint8)
            replace_file(folder / f"{name}.png", _encode(".png", labels))
        else:
            replace_file(folder / f"{name}.npy", npy_bytes(values))


def _write_list(path: Path, names: list[str]) -> None:
    replace_file(path, "".join(f"{name}\n" for name in names))


def _encode(suffix: str, image: NDArray[np.uint8]) -> bytes:
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if suffix == ".jpg" else []
    done, data = cv2.imencode(suffix, image, options)
    if not done:
        raise OSError(f"a {suffix} image could not be encoded")
    return bytes(data)


def outlines(regions: NDArray[np.integer]) -> NDArray[np.uint8]:
    """1 where the right or lower neighbour is of another region, uint8 [H, W]."""
    edge = np.zeros(regions.shape, np.uint8)
    edge[:, :-1] |= regions[:, :-1] != regions[:, 1:]
    edge[:-1] |= regions[:-1] != regions[1:]
    return edge


def convert(
    root: Path, target: Path, hold_out: float = 0.0, progress: Callable[[], object] = lambda: None
) -> dict[str, int]:
    """Write a folder of one layout in the other.

    To NYUD_MT: what is unlabelled is 0, and depth is metres; truth that the compact layout does
    not have is made: normals of planes fitted to depth (`normals_from_depth`), edges where labels
    change (unknown beside unlabelled pixels; not the data set's own, which follow things). To the
    compact one: "other prop" becomes unknown, depth is rounded to 3.9 cm, normals and edges are
    left out.

    Args:
        root: Folder to read.
        target: Folder to make or to complete; the lists of names are written last.
        hold_out: Share of the training frames to list as "val" instead, whole scenes each; then
            `root` must have no list of that name.
        progress: Called after every frame.

    Returns:
        Number of frames by split.

    Raises:
        DataError: `root` cannot be read, or `target` cannot be written or is somebody else's.
    """
    compact = is_compact(root)
    splits = {
        s: NyudSamples(str(root), s, crop=False) for s in SPLITS if list_file(root, s).exists()
    }
    if not splits:
        read_names(root, "train")  # says what is missing
    lists = {split: list(samples.names) for split, samples in splits.items()}
    if hold_out:
        if "val" in lists or "train" not in lists:
            raise DataError(
                f"{root} has {'a list val' if 'val' in lists else 'no list train'}; frames are "
                "held out of train to make val"
            )
        lists["train"], lists["val"] = split_by_scene(lists["train"], hold_out)
    first = next(iter(splits.values()))
    if first.meaning.classes != "nyu40" and not compact:
        raise DataError(
            f"{root} has the classes {first.meaning.classes}; the compact layout is for NYUv2's 40"
        )
    if target.resolve() == root.resolve():
        raise DataError(f"{target} is the folder to read; name another to write")
    if compact:
        prepare_nyud(target, replace(first.meaning, normals_axes="camera_optical"))
    else:
        with file_errors(f"write {target}", DataError, "choose another place"):
            _prepare(target)
            replace_file(target / MARKER, json.dumps({"layout": "compact"}) + "\n")
            for folder in ("images", "segmentation", "depth"):
                (target / folder).mkdir(exist_ok=True)
    with file_errors(f"write {target}", DataError, "free some space and run again"):
        for samples in splits.values():
            for index, name in enumerate(samples.names):
                image = samples.path("images", name).read_bytes()
                replace_file(target / "images" / f"{name}.jpg", image)
                sample = samples[index]
                if compact:
                    _write_truth(target, name, _completed(sample, samples.meaning))
                else:
                    _write_compact(target, name, sample)
                progress()
        for split, names in lists.items():
            _write_list((target if not compact else target / "gt_sets") / f"{split}.txt", names)
    return {split: len(names) for split, names in lists.items()}


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
    if labels is not None:
        unknown = (labels == VOID_ID).astype(np.uint8)
        beside = cv2.dilate(unknown, np.ones((3, 3), np.uint8)).astype(bool)
        targets["edge"] = np.where(beside, VOID_ID, outlines(labels.astype(np.uint8))).astype(
            np.uint8
        )
    return targets


def _write_compact(target: Path, name: str, sample: Sample) -> None:
    unknown = 39
    if "semseg" in sample.targets:
        labels = np.minimum(sample.targets["semseg"], unknown).astype(np.uint8)
        replace_file(target / "segmentation" / f"{name}.png", _encode(".png", labels))
    if "depth" in sample.targets:
        steps = np.clip(np.rint(sample.targets["depth"] / COMPACT_STEP), 0, 255).astype(np.uint8)
        replace_file(target / "depth" / f"{name}.png", _encode(".png", steps))


def split_by_scene(names: list[str], share: float) -> tuple[list[str], list[str]]:
    """Hold about a share of the frames out, whole scenes each.

    NYUv2's frames are numbered scene by scene, and no scene is in two of its lists: a gap in the
    numbers is a border between scenes.

    Returns:
        The frames that stay, and those held out, in order of their numbers.

    Raises:
        DataError: The names are no numbers, so scenes cannot be told.

    >>> split_by_scene(["1", "2", "4", "5", "7", "8", "10", "11"], 0.25)
    (['1', '2', '5', '7', '8', '10', '11'], ['4'])
    """
    if not all(name.isdigit() for name in names):
        raise DataError(
            f"the frame {next(n for n in names if not n.isdigit())} is not called by its number, "
            "so scenes cannot be told apart; write the list val.txt by hand"
        )
    ordered = sorted(names, key=int)
    runs: list[list[str]] = []
    for name in ordered:
        if runs and int(name) == int(runs[-1][-1]) + 1:
            runs[-1].append(name)
        else:
            runs.append([name])
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
    return kept, held

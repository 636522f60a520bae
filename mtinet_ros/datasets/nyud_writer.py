# SPDX-License-Identifier: Apache-2.0
"""Writing files of the layouts of `nyud_layout`, and rendered rooms as NYUD_MT."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mtinet_ros.datasets.nyud_layout import (
    COMPACT_SATURATED,
    COMPACT_STEP,
    LENSES,
    MARKER,
    SPLITS,
    TRUTH,
    Meaning,
)
from mtinet_ros.datasets.sample import Target
from mtinet_ros.errors import DataError
from mtinet_ros.model_contract import VOID_ID
from mtinet_ros.output_files import file_errors, npy_bytes, replace_file
from mtinet_ros.scenes.storage.dataset import Frame, SceneDataset, complete_scenes

JPEG_QUALITY = 95
COMPACT_UNKNOWN = 39
"""Label of what is unknown in the compact layout of NYUv2's 40 classes."""


def prepare(target: Path, marker: str, folders: Iterable[str]) -> None:
    """Make a folder for one of the layouts, or take up one that was made here for the same data.

    Args:
        target: The folder.
        marker: Text of its `MARKER`.
        folders: Names of its folders.

    Raises:
        DataError: It holds something else, or cannot be made.
    """
    with file_errors(f"write {target}", DataError, "choose another place"):
        target.mkdir(parents=True, exist_ok=True)
        there = target / MARKER
        if not there.exists() and any(target.iterdir()):
            raise DataError(
                f"{target} holds files that mtinet did not write; choose another folder"
            )
        if there.exists() and _identity(there.read_text("utf-8", "replace")) != _identity(marker):
            raise DataError(
                f"{target} holds other data or another layout, says its {MARKER}; choose another "
                "folder, or remove that one"
            )
        replace_file(there, marker)
        for name in folders:
            (target / name).mkdir(exist_ok=True)


def remove_lists(folder: Path) -> None:
    """Take the lists of frames away before files change, so that nobody reads a mixture.

    Raises:
        OSError: One cannot be removed.
    """
    for split in SPLITS:
        (folder / f"{split}.txt").unlink(missing_ok=True)


def _identity(marker: str) -> tuple[object, ...]:
    """What tells folders apart that must not be written over each other."""
    try:
        entries = json.loads(marker)
        # Version 0.1 said neither, and wrote rendered rooms only.
        return entries.get("layout", "NYUD_MT"), entries.get("classes", "rooms")
    except (ValueError, AttributeError):
        return ()


def prepare_nyud(target: Path, meaning: Meaning, tasks: Iterable[str] = tuple(TRUTH)) -> None:
    """`prepare` for the layout NYUD_MT with truth of some tasks."""
    prepare(target, meaning.to_json(), ("images", "gt_sets", *(TRUTH[task] for task in tasks)))


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
    lists: dict[str, list[str]] = {}
    lenses: dict[str, list[float]] = {}
    with file_errors(f"write {target}", DataError, "free some space and run again"):
        remove_lists(target / "gt_sets")
        for split in SPLITS:
            names = _write_split(root, split, target, lenses)
            lists[split] = names
        replace_file(target / LENSES, json.dumps(lenses) + "\n")
        for split, names in lists.items():
            write_list(target / "gt_sets" / f"{split}.txt", names)
    return sum(len(names) for names in lists.values())


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
    write_truth(target, name, targets)


def write_truth(target: Path, name: str, targets: dict[str, Target]) -> None:
    """Write the truth of a frame, as `Sample.targets` has it, in the layout NYUD_MT.

    Raises:
        OSError: A file cannot be written.
    """
    for task, values in targets.items():
        folder = target / TRUTH[task]
        if task == "semseg":
            labels = np.where(values == VOID_ID, 0, values + 1).astype(np.uint8)
            replace_file(folder / f"{name}.png", _encode(".png", labels))
        else:
            replace_file(folder / f"{name}.npy", npy_bytes(values))


def write_compact_truth(target: Path, name: str, targets: dict[str, Target]) -> None:
    """Write labels and depth of a frame, as `Sample.targets` has them, in the compact layout.

    Raises:
        OSError: A file cannot be written.
    """
    if "semseg" in targets:
        labels = np.minimum(targets["semseg"], COMPACT_UNKNOWN).astype(np.uint8)
        replace_file(target / "segmentation" / f"{name}.png", _encode(".png", labels))
    if "depth" in targets:
        steps = np.rint(targets["depth"] / COMPACT_STEP).clip(0, COMPACT_SATURATED)
        replace_file(
            target / "depth" / f"{name}.png", _encode(".png", np.asarray(steps, np.uint8))
        )


def write_list(path: Path, names: list[str]) -> None:
    """Write the list of a split.

    Raises:
        OSError: It cannot be written.
    """
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

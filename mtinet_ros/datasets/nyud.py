# SPDX-License-Identifier: Apache-2.0
"""The layout NYUD_MT, which the authors' tools and ours read: rendered rooms written in it.

images/*.jpg, segmentation/*.png (0 unlabelled, class id + 1), depth/*.npy (float32, metres, 0
unknown), normals/*.npy (float32, camera optical frame, zero unknown), edge/*.npy (uint8, 1 on
outlines of things), gt_sets/{train,val,test}.txt with one name per line; beside them `MARKER`.
"""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mtinet_ros.errors import DataError
from mtinet_ros.model_contract import VOID_ID
from mtinet_ros.output_files import file_errors, npy_bytes, replace_file
from mtinet_ros.scenes.storage.dataset import SPLITS, Frame, SceneDataset, complete_scenes

MARKER = "mtinet_ros.json"
"""File by which a folder that was written here is known; it tells what the files mean."""
FOLDERS = ("images", "segmentation", "depth", "normals", "edge", "gt_sets")
JPEG_QUALITY = 95


def prepare_nyud(target: Path) -> None:
    """Make the folder, or take up one that was made here.

    Raises:
        DataError: It holds files that were not written here, or cannot be made.
    """
    with file_errors(f"write {target}", DataError, "choose another place"):
        target.mkdir(parents=True, exist_ok=True)
        if not (target / MARKER).exists() and any(target.iterdir()):
            raise DataError(
                f"{target} holds files that `mtinet scenes` did not write; move them away"
            )
        meaning = {"normals_axes": "camera_optical", "depth": "metres along the optical axis"}
        replace_file(target / MARKER, json.dumps(meaning, indent=1) + "\n")


def write_nyud(root: Path, target: Path) -> int:
    """Write rendered rooms in the layout NYUD_MT.

    Args:
        root: Folder written by `mtinet scenes`.
        target: Folder to make or to complete; the lists of names are written last.

    Returns:
        Number of frames.

    Raises:
        DataError: `root` cannot be read, or `target` cannot be written or is somebody else's.
    """
    prepare_nyud(target)
    total = 0
    with file_errors(f"write {target}", DataError, "free some space and run again"):
        for name in FOLDERS:
            (target / name).mkdir(parents=True, exist_ok=True)
        for split in SPLITS:
            names = _write_split(root, split, target)
            listing = "".join(f"{name}\n" for name in names)
            replace_file(target / "gt_sets" / f"{split}.txt", listing)
            total += len(names)
    return total


def _write_split(root: Path, split: str, target: Path) -> list[str]:
    """Write the frames of a split, none if it has no scene yet; returns their names."""
    if not complete_scenes(root, split):
        return []
    data = SceneDataset(root, split)
    names = []
    for index in range(len(data)):
        frame = data[index]
        names.append(f"{frame.scene}_{index:05d}")
        _write_frame(target, names[-1], frame)
    return names


def _write_frame(target: Path, name: str, frame: Frame) -> None:
    labels = np.where(frame.classes == VOID_ID, 0, frame.classes + 1).astype(np.uint8)
    _write_image(target / "images" / f"{name}.jpg", np.ascontiguousarray(frame.rgb[..., ::-1]))
    _write_image(target / "segmentation" / f"{name}.png", labels)
    for folder, array in (
        ("depth", frame.depth),
        ("normals", frame.unit_normals()),
        ("edge", outlines(frame.instance)),
    ):
        replace_file(target / folder / f"{name}.npy", npy_bytes(array))


def _write_image(path: Path, image: NDArray[np.uint8]) -> None:
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if path.suffix == ".jpg" else []
    done, data = cv2.imencode(path.suffix, image, options)
    if not done:
        raise OSError(f"{path.name} could not be encoded")
    replace_file(path, data.tobytes())


def outlines(instance: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """1 where the right or lower neighbour is another thing, uint8 [H, W]."""
    edge = np.zeros(instance.shape, np.uint8)
    edge[:, :-1] |= instance[:, :-1] != instance[:, 1:]
    edge[:-1] |= instance[:-1] != instance[1:]
    return edge

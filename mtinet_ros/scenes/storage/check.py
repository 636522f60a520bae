# SPDX-License-Identifier: Apache-2.0
"""Checks of rendered rooms before a network is trained on them, and statistics of them."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mtinet_ros.model_contract import VOID_ID
from mtinet_ros.output_files import make_folder, write_file
from mtinet_ros.scenes.classes import NAMES, PALETTE
from mtinet_ros.scenes.storage.dataset import (
    SPLITS,
    Frame,
    SceneDataset,
    complete_scenes,
    damaged,
    read_index,
)
from mtinet_ros.visualization.contact_sheet import SheetFrame, contact_sheet

MIN_SHARE = 0.002
"""Least share of the pixels of a split that a class must have, …"""
MIN_CLASS_SHARES = {
    "bed": 0.01,
    "tv": 0.004,
    "door": 0.01,
    "sofa": 0.005,
    "chair": 0.01,
    "table": 0.01,
}
"""… and of the classes that networks failed on when they were rare."""
VOID_LIMIT = 0.02
EMPTY_LIMIT = 0.05
"""Share of a frame without depth above which it counts as empty."""
ANGLE_LIMIT = 2.0
"""Median angle between stored normals and those of the stored depth, degrees."""
AWAY_LIMIT = 0.015
"""n·r of normals that face away: half a step of 8-bit normals is 0.007 in two components."""
ANGLE_EVERY = 5
"""Stride of the frames whose normals are compared with their depth."""
SHEET_FRAMES, SHEET_COLUMNS = 36, 3
MANY_FRAMES = 400
"""Number of frames among which head-on beds and glass doors must be."""
SMOOTH_COSINE = np.cos(np.radians(10.0))
HEAD_ON_COSINE = np.cos(np.radians(25.0))


@dataclass
class SplitReport:
    """Statistics of one split.

    Attributes:
        scenes: Number of scenes.
        frames: Number of frames.
        videos: Number of camera paths.
        share: Share of the labelled pixels, by class.
        seen: Share of the frames in which a class covers more than half a percent, by class.
        thin: Share of the chair and table pixels that are thinner than 5 pixels.
        void: Share of void pixels.
        depth: Quantiles 1, 5, 25, 50, 75, 95, 99 % of depth, metres.
        view_angle: Horizontal field of view: least, quartiles, greatest, degrees.
        camera_height: The same of the camera's height above the floor, metres.
        angle: Median over frames of the median angle between normals and depth, degrees.
        kinds: Scenes by kind of room.
        head_on_beds: Frames that look along a bed from its foot.
        glass_doors: Frames that show a glazed door.
    """

    scenes: int
    frames: int
    videos: int
    share: dict[str, float]
    seen: dict[str, float]
    thin: float
    void: float
    depth: list[float]
    view_angle: list[float]
    camera_height: list[float]
    angle: float
    kinds: dict[str, int]
    head_on_beds: int
    glass_doors: int


@dataclass
class Report:
    """Result of a check: statistics by split, and a sentence per failure."""

    splits: dict[str, SplitReport] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def text(self) -> str:
        """The report as lines of text."""
        lines = []
        for name, part in self.splits.items():
            lines.append(
                f"{name}: {part.frames} frames of {part.scenes} scenes, {part.videos} videos"
            )
            lines.append("  class         pixels   frames that show it")
            lines += [
                f"  {c:<12} {100 * part.share[c]:6.2f} % {100 * part.seen[c]:6.1f} %"
                for c in NAMES
            ]
            lines.append(
                f"  void {100 * part.void:.2f} %, thin parts of chairs and tables "
                f"{100 * part.thin:.0f} %"
            )
            lines.append(
                f"  beds seen head-on in {part.head_on_beds} frames, "
                f"glass doors in {part.glass_doors}"
            )
            lines.append("  depth (1 5 25 50 75 95 99 %): " + _row(part.depth) + " m")
            lines.append(
                "  field of view (min, quartiles, max): " + _row(part.view_angle) + " degrees"
            )
            lines.append("  camera height: " + _row(part.camera_height) + " m")
            lines.append(f"  normals against depth: median {part.angle:.2f} degrees")
            lines.append(
                "  rooms: " + ", ".join(f"{k} {v}" for k, v in sorted(part.kinds.items()))
            )
        lines += [f"FAILED: {failure}" for failure in self.failures] or ["all checks passed"]
        return "\n".join(lines)


def _row(values: list[float]) -> str:
    return " ".join(f"{value:.2f}" for value in values)


def check(root: Path, *, write: bool = True) -> Report:
    """Check a data set folder, also one that is still being rendered.

    Args:
        root: Written by `mtinet scenes`.
        write: Put report.json, report.txt and a contact sheet per split into `root/report`.

    Returns:
        The report; `failures` is empty when all is well.

    Raises:
        DataError: The folder cannot be read.
        InputError: The report cannot be written.
    """
    report = Report()
    read_index(root)
    if write:
        make_folder(root / "report")
    for split in SPLITS:
        if not complete_scenes(root, split):
            report.failures.append(f"{split}: no complete scene")
            continue
        data = SceneDataset(root, split)
        report.splits[split] = _check_split(data, report.failures)
        if write:
            some = np.linspace(0, len(data) - 1, min(SHEET_FRAMES, len(data))).astype(int)
            sheet = contact_sheet(
                [_sheet_frame(data[int(index)]) for index in some], PALETTE, columns=SHEET_COLUMNS
            )
            jpeg = cv2.imencode(".jpg", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))[1]
            write_file(root / "report" / f"contact_{split}.jpg", jpeg.tobytes())
    if write:
        write_file(root / "report" / "report.json", json.dumps(asdict(report), indent=1))
        write_file(root / "report" / "report.txt", report.text() + "\n")
    return report


def _sheet_frame(frame: Frame) -> SheetFrame:
    return SheetFrame(frame.rgb, frame.classes, frame.depth, frame.unit_normals())


def _check_split(data: SceneDataset, failures: list[str]) -> SplitReport:
    pixels = np.zeros(256, np.int64)
    seen = np.zeros(len(NAMES), np.int64)
    depths, angles, widths, heights = [], [], [], []
    thin = np.zeros(2, np.int64)
    descriptions = {folder.name: _description(folder) for folder in data.scenes}
    head_on = glass = 0
    for index in range(len(data)):
        frame = data[index]
        where = f"{data.split}/{frame.scene}, frame {index}"
        count = np.bincount(frame.classes.ravel(), minlength=256)
        pixels += count
        seen += count[: len(NAMES)] > 0.005 * frame.classes.size
        empty = float((~(frame.depth > 0)).mean())
        if empty > EMPTY_LIMIT or not np.isfinite(frame.depth).all():
            failures.append(f"{where}: {100 * empty:.0f} % of the depth is empty or not finite")
        if count[len(NAMES) : VOID_ID].any():
            failures.append(f"{where}: labels that are no class")
        depths.append(frame.depth[::7, ::7].ravel())
        widths.append(np.degrees(2 * np.arctan(frame.depth.shape[1] / 2 / frame.intrinsics[0])))
        heights.append(frame.world_from_camera[2, 3])
        instances = descriptions[frame.scene]["instances"]
        head_on += shows_bed_head_on(frame, instances)
        glass += _shows(frame, [key for key, t in instances.items() if t["name"] == "glass door"])
        if index % ANGLE_EVERY == 0:
            angle, away = compare_normals(frame)
            angles.append(angle)
            thin += _thin_pixels(frame.classes)
            if angle > ANGLE_LIMIT:
                failures.append(
                    f"{where}: normals disagree with depth by {angle:.1f} degrees (median)"
                )
            if away > 0:
                failures.append(
                    f"{where}: {100 * away:.2f} % of the normals face away from the viewer"
                )
    share = pixels[: len(NAMES)] / max(pixels[: len(NAMES)].sum(), 1)
    void = float(pixels[VOID_ID] / pixels.sum())
    for name, value in zip(NAMES, share, strict=True):
        floor = MIN_CLASS_SHARES.get(name, MIN_SHARE)
        if value == 0:
            failures.append(f"{data.split}: no {name} at all")
        elif value < floor:
            failures.append(
                f"{data.split}: {name} fills {100 * value:.2f} % of the pixels, "
                f"below {100 * floor:.1f} %"
            )
    if void > VOID_LIMIT:
        failures.append(f"{data.split}: {100 * void:.1f} % of the pixels are void")
    valid = np.concatenate(depths)
    if len(data) >= MANY_FRAMES and not (head_on and glass):
        failures.append(
            f"{data.split}: no bed seen head-on or no glass door in {len(data)} frames"
        )
    kinds = Counter(str(scene["kind"]) for scene in descriptions.values())
    return SplitReport(
        scenes=len(data.scenes),
        frames=len(data),
        videos=len(data.videos()),
        share={name: float(value) for name, value in zip(NAMES, share, strict=True)},
        seen={name: float(value / len(data)) for name, value in zip(NAMES, seen, strict=True)},
        thin=float(thin[0] / max(thin[1], 1)),
        void=void,
        depth=_quantiles(valid[valid > 0], [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99]),
        view_angle=_quantiles(np.array(widths), [0, 0.25, 0.5, 0.75, 1]),
        camera_height=_quantiles(np.array(heights), [0, 0.25, 0.5, 0.75, 1]),
        angle=float(np.median(angles)),
        kinds=dict(kinds),
        head_on_beds=head_on,
        glass_doors=glass,
    )


def _description(folder: Path) -> dict[str, Any]:
    """scene.json of a scene folder.

    Raises:
        DataError: It cannot be read, or lacks what the check looks at.
    """
    try:
        description: dict[str, Any] = json.loads((folder / "scene.json").read_text())
        str(description["kind"])
        for key, entry in description["instances"].items():
            ends = np.array([entry["low"], entry["high"]], np.float64)
            if ends.shape != (2, 3) or not np.isfinite([int(key), entry["yaw"], *ends.flat]).all():
                raise ValueError(f"instance {key} has no place")
            str(entry["class"] + entry["name"])
    except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise damaged(folder, "scene.json", reason) from error
    return description


def _shows(frame: Frame, instances: list[str]) -> bool:
    """Whether some instances together cover one percent of the frame."""
    wanted = [int(key) for key in instances]
    return bool(wanted) and bool(np.isin(frame.instance, wanted).mean() > 0.01)


def shows_bed_head_on(frame: Frame, instances: dict[str, Any]) -> bool:
    """Whether a bed of some size is seen along its length, within 25 degrees, from its foot."""
    for key, entry in instances.items():
        if entry["class"] == "bed" and (frame.instance == int(key)).mean() > 0.02:
            out = np.array([np.sin(entry["yaw"]), -np.cos(entry["yaw"])])  # from head to foot
            center = (np.array(entry["low"][:2]) + np.array(entry["high"][:2])) / 2
            gap = frame.world_from_camera[:2, 3] - center
            if gap @ out > HEAD_ON_COSINE * np.linalg.norm(gap):
                return True
    return False


def _quantiles(values: NDArray[np.floating], at: list[float]) -> list[float]:
    if not values.size:
        return [float("nan")] * len(at)
    return [float(value) for value in np.quantile(values, at)]


def _thin_pixels(classes: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Chair and table pixels that a 5 × 5 opening removes, and all of them."""
    mask = np.isin(classes, [NAMES.index("chair"), NAMES.index("table")]).astype(np.uint8)
    opened = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    return np.array([int(mask.sum()) - int(opened.sum()), int(mask.sum())])


def compare_normals(frame: Frame) -> tuple[float, float]:
    """Compare stored normals with those of the stored depth.

    Only pixels whose four neighbours belong to the same instance and do not bend away count:
    across edges, and across folds finer than the pixels, depth has no normal.

    Returns:
        The median angle in degrees, and the share of normals with n·r > 0 for the viewing ray r.
    """
    fx, fy, cx, cy = frame.intrinsics
    height, width = frame.depth.shape
    y, x = np.mgrid[0:height, 0:width]
    rays = np.stack([(x - cx) / fx, (y - cy) / fy, np.ones_like(x, float)], axis=-1)
    points = rays * frame.depth[..., None]
    down = points[2:, 1:-1] - points[:-2, 1:-1]
    right = points[1:-1, 2:] - points[1:-1, :-2]
    measured = np.cross(down, right)
    measured /= np.maximum(np.linalg.norm(measured, axis=-1, keepdims=True), 1e-12)
    stored, instance = frame.unit_normals(), frame.instance
    center = (slice(1, -1), slice(1, -1))
    smooth = instance[center] > 0
    for there in ((slice(2, None), center[1]), (slice(-2), center[1])):
        for other in (there, there[::-1]):
            smooth &= instance[other] == instance[center]
            bend = np.einsum("hwc,hwc->hw", stored[other], stored[center])
            smooth &= bend > SMOOTH_COSINE
    cosine = np.einsum("hwc,hwc->hw", measured, stored[center])[smooth]
    angle = float(np.degrees(np.median(np.arccos(np.clip(cosine, -1, 1))))) if cosine.size else 0.0
    facing = np.einsum("hwc,hwc->hw", stored, rays) / np.linalg.norm(rays, axis=-1)
    return angle, float((facing > AWAY_LIMIT).mean())

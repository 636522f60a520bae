# SPDX-License-Identifier: Apache-2.0
"""Measures normals of planes fitted to depth against exact ones, of rendered rooms.

    python evaluation/depth_normals.py build/rooms

Depth is fitted as it was rendered, and rounded to steps of 3.9 cm as in the compact layout of NYU
Depth V2, whose normals `mtinet data convert` makes so. Render at that data set's size, or the same
window has fewer pixels: `mtinet scenes -n 40 --size 640x480 -o build/rooms`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mtinet_ros.datasets.depth_normals import normals_from_depth
from mtinet_ros.datasets.nyud_layout import COMPACT_STEP
from mtinet_ros.datasets.rooms import RoomSamples
from mtinet_ros.datasets.sample import Sample, evenly_spaced
from mtinet_ros.errors import MtinetError

LIMITS = (11.25, 22.5, 30.0)  # degrees


def fitted_angles(sample: Sample, step: float) -> tuple[NDArray[np.float32], int]:
    """Angles in degrees where normals were fitted to depth, and how many pixels have exact ones.

    Args:
        sample: With depth, normals and intrinsics.
        step: What depth is rounded to, metres; 0: not at all.
    """
    assert sample.intrinsics is not None
    depth = np.asarray(sample.targets["depth"], np.float32)
    exact = np.asarray(sample.targets["normals"], np.float32)
    if step:
        depth = (np.rint(depth / step) * step).astype(np.float32)
    fitted = normals_from_depth(depth, sample.intrinsics, step)
    known = (exact != 0).any(axis=-1)
    both = known & (fitted != 0).any(axis=-1)
    cosine = (exact[both] * fitted[both]).sum(axis=-1).clip(-1, 1)
    return np.degrees(np.arccos(cosine)).astype(np.float32), int(known.sum())


def main() -> None:
    """Fit, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rooms", type=Path, help="folder written by `mtinet scenes`")
    parser.add_argument("--split", default="val", choices=("train", "val", "test"))
    parser.add_argument("--frames", type=int, default=100, help="at most so many, evenly spaced")
    arguments = parser.parse_args()
    try:
        source = RoomSamples(str(arguments.rooms), arguments.split)
        samples = [source[index] for index in evenly_spaced(source, arguments.frames)]
        for title, step in (("exact depth", 0.0), ("depth in steps of 3.9 cm", COMPACT_STEP)):
            found = [fitted_angles(sample, step) for sample in samples]
            angles = np.concatenate([angle for angle, _ in found])
            covered = angles.size / max(sum(count for _, count in found), 1)
            print(f"{title}: {len(samples)} frames, {covered:.1%} of the pixels have a normal")
            if angles.size:
                shares = ", ".join(f"{np.mean(angles < x):.1%} below {x:g}" for x in LIMITS)
                print(f"  mean {angles.mean():.2f}, median {np.median(angles):.2f} deg; {shares}")
    except MtinetError as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()

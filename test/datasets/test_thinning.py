# SPDX-License-Identifier: Apache-2.0
"""Thinning leaves lines where they are and areas with their middle."""

from __future__ import annotations

import cv2
import numpy as np

from mtinet_ros.datasets.thinning import thinned


def drawn(*rows: str) -> np.ndarray:
    return np.array([[cell == "#" for cell in row] for row in rows])


def test_a_line_of_one_pixel_is_thin_already():
    for line in (
        drawn("......", ".####.", "......"),
        drawn("#....", ".#...", "..##.", "....#"),
        drawn("..#..", "..#..", "#####", "..#..", "..#.."),
    ):
        assert (thinned(line) == line).all()


def test_a_broad_stroke_becomes_its_middle():
    broad = drawn(".......", ".#####.", ".#####.", ".#####.", ".......")
    assert (thinned(broad) == drawn(".......", ".......", "..###..", ".......", ".......")).all()
    # Of two rows one stays; which one follows from the passes: the first takes south and east.
    assert thinned(drawn("######", "######")).sum(0).max() == 1


def test_thinning_neither_cuts_nor_joins_nor_fills():
    random = np.random.default_rng(0)
    for _ in range(20):
        noise = cv2.GaussianBlur(random.random((40, 50)), (0, 0), 2)
        blobs = noise > np.median(noise)
        lines = thinned(blobs)
        assert not (lines[~blobs]).any()
        for image, connectivity in ((1, 8), (0, 4)):  # parts, then holes
            counts = [
                cv2.connectedComponents(
                    np.pad((m == image).astype(np.uint8), 1, constant_values=1 - image),
                    connectivity=connectivity,
                )[0]
                for m in (blobs, lines)
            ]
            assert counts[0] == counts[1]

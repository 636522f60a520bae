# SPDX-License-Identifier: Apache-2.0
"""What a check of a data set found, as text and as numbers."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
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
        normals_away: Share of those that face away from a camera at infinity.
        normals_angle: Median angle between normals and planes fitted to depth, degrees; NaN where
            either is missing.
        edge: Share of edges among the pixels where that is known.
        edge_unknown: Share of the others.
        part_share: Share of the pixels of frames that have parts of people, by part that occurs.
        part_shown: Number of frames that show it, by part that occurs.
        with_parts: Frames that have parts of people.
        salient: Share of salient pixels.
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
    normals_away: float = 0.0
    normals_angle: float = float("nan")
    edge: float = 0.0
    edge_unknown: float = 0.0
    part_share: dict[str, float] = field(default_factory=dict)
    part_shown: dict[str, int] = field(default_factory=dict)
    with_parts: int = 0
    salient: float = 0.0

    def lines(self, split: str) -> list[str]:
        """The statistics as lines of text."""
        lines = [f"{split}: {self.frames} frames, {self.read} read; {', '.join(self.truth)}"]
        if "semseg" in self.truth:
            lines += _histogram("class", self.share, self.shown)
            lines.append(f"  unlabelled       {100 * self.unlabelled:6.2f} % of all")
        if self.depth:
            row = " ".join(f"{value:.2f}" for value in self.depth)
            lines.append(f"  depth (min 1 5 25 50 75 95 99 % max): {row} m")
            lines.append(f"  depth unknown: {100 * self.depth_unknown:.2f} %")
        if "human_parts" in self.truth:
            lines += _histogram("part", self.part_share, self.part_shown)
            lines.append(f"  frames with parts of people: {self.with_parts}")
        if "sal" in self.truth:
            lines.append(f"  salient: {100 * self.salient:.2f} %")
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


def _histogram(title: str, share: dict[str, float], shown: dict[str, int]) -> list[str]:
    order = sorted(share, key=lambda name: -share[name])
    return [
        f"  {title:<16}  pixels   frames",
        *(f"  {name:<16} {100 * share[name]:6.2f} % {shown[name]:6}" for name in order),
    ]


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

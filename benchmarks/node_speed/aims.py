# SPDX-License-Identifier: Apache-2.0
"""What the node is meant to reach, held against what was measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from benchmarks.node_speed.summary import Row, median, ratio, select

_OVERHEAD_MS, _TIMES_LESS, _CEILING, _LINEAR = 6.0, 5.0, 100.0, 1.2


def aims(rows: Mapping[str, Sequence[Row]], ceilings: Mapping[int, float]) -> list[list[str]]:
    """Each aim, the range that was measured, and whether all of it is reached.

    Args:
        rows: By measurement.
        ceilings: Most frames per second of our node, by number of cameras.
    """
    null = [row for row in rows.get("latency", ()) if row.get("is_null")]
    lines = []
    for height, size in ((480, "640×480"), (720, "1280×720")):
        here = select(null, height=height)
        counts = sorted({row["cameras"] for row in here})
        by_count = [select(here, cameras=cameras) for cameras in counts]
        ours = [select(some, contestant="ours") for some in by_count]
        plain = [select(some, contestant="plain") for some in by_count]
        overheads = _known(median(some, "overhead_p50") for some in ours)
        ratios = _known(
            ratio(theirs, some, "overhead_p50") for theirs, some in zip(plain, ours, strict=True)
        )
        if overheads:
            ok = max(overheads) <= _OVERHEAD_MS
            lines.append(_line(f"{size}: overhead p50 ≤ {_OVERHEAD_MS:g} ms", overheads, ok))
        if ratios:
            ok = min(ratios) >= _TIMES_LESS
            lines.append(
                _line(f"{size}: ≥ {_TIMES_LESS:g} × less than the plain node", ratios, ok)
            )
    lines += _growth(rows.get("ceiling", ()))
    if ceilings:
        best = list(ceilings.values())
        lines.append(_line(f"ceiling ≥ {_CEILING:g} frames/s", best, min(best) >= _CEILING))
    return lines


def _growth(rows: Sequence[Row]) -> list[list[str]]:
    """Cost per frame of many cameras beside one's, at the same number of frames per second.

    At the same rate of each camera, what a node costs by the second would count for one the most.
    """
    ours = [row for row in rows if row.get("contestant") == "ours" and "cpu_ms" in row]
    offered = min((row["offered"] for row in ours), default=0.0)
    here = select(ours, offered=offered)
    counts = sorted({row["cameras"] for row in here})
    costs = _known(median(select(here, cameras=cameras), "cpu_ms") for cameras in counts)
    if len(costs) < 2 or len(costs) != len(counts):
        return []
    growth = costs[-1] / costs[0]
    text = f"{offered:g} frames/s: CPU time of one with {counts[-1]} cameras ≤ {_LINEAR:g} × one's"
    return [_line(text, [growth], growth <= _LINEAR)]


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _line(aim: str, values: Sequence[float], is_reached: bool) -> list[str]:
    low, high = min(values), max(values)
    text = f"{low:.1f}" if low == high else f"{low:.1f} to {high:.1f}"
    return [aim, text, "yes" if is_reached else "no"]

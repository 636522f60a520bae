# SPDX-License-Identifier: Apache-2.0
"""The arithmetic of the reports: percentiles, medians over rounds, ratios, slopes."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

Row = Mapping[str, Any]


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """The 50th, 90th and 99th percentile, as `p50` and so on.

    >>> percentiles([1.0, 2.0, 3.0])["p50"]
    2.0
    """
    levels = np.percentile(np.asarray(values, float), (50, 90, 99))
    names = ("p50", "p90", "p99")
    return {name: round(float(level), 3) for name, level in zip(names, levels, strict=True)}


def select(rows: Iterable[Row], **values: Any) -> list[Row]:
    """Rows with these values.

    >>> select([{"a": 1, "b": 2}, {"a": 2, "b": 2}], a=2, b=2)
    [{'a': 2, 'b': 2}]
    """
    return [row for row in rows if all(row[name] == value for name, value in values.items())]


def median(rows: Sequence[Row], key: str) -> float | None:
    """Median over the rounds that did not fail; None if all failed, or there is none.

    >>> median([{"x": 1.0}, {"x": 5.0}, {"failure": "died"}, {"x": 3.0}], "x")
    3.0
    """
    values = [float(row[key]) for row in rows if key in row and not row.get("failure")]
    return statistics.median(values) if values else None


def ratio(rows: Sequence[Row], others: Sequence[Row], key: str) -> float | None:
    """Median of the ratios in the same round; None where no round has both.

    >>> ratio([{"round": 0, "x": 6.0}], [{"round": 0, "x": 2.0}, {"round": 1, "x": 1.0}], "x")
    3.0
    """
    by_round = {row["round"]: row[key] for row in others if key in row and not row.get("failure")}
    ratios = [
        row[key] / by_round[row["round"]]
        for row in rows
        if key in row and not row.get("failure") and by_round.get(row["round"])
    ]
    return statistics.median(ratios) if ratios else None


def failures(rows: Iterable[Row]) -> list[str]:
    """What failed, a sentence each, without repeating one."""
    return list(dict.fromkeys(str(row["failure"]) for row in rows if row.get("failure")))


def slope(times: Sequence[float], values: Sequence[float]) -> float:
    """Slope of a series that no outlier bends (Theil and Sen): the median of all pairs' slopes.

    Args:
        times: In any unit.
        values: As many.

    Returns:
        Change of value per unit of time; NaN with less than two moments.

    >>> slope([0, 1, 2, 3, 4], [5, 7, 90, 11, 13])
    2.0
    """
    x, y = np.asarray(times, float), np.asarray(values, float)
    # A few hundred points tell it as well as thousands, whose pairs would be millions.
    step = max(1, len(x) // 300)
    x, y = x[::step], y[::step]
    first, second = np.triu_indices(len(x), 1)
    apart = x[second] != x[first]
    if not apart.any():
        return float("nan")
    slopes = (y[second] - y[first])[apart] / (x[second] - x[first])[apart]
    return float(np.median(slopes))

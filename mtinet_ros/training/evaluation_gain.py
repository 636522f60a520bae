# SPDX-License-Identifier: Apache-2.0
"""Whether one network for all tasks is better than one each: Δm, from reports."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mtinet_ros.errors import ConfigurationError
from mtinet_ros.training.evaluation_comparison import check_same_data
from mtinet_ros.training.evaluation_figures import is_error
from mtinet_ros.training.evaluation_report import Report, SingleTask

TASK_FIGURES = {
    "semseg": "semseg_miou",
    "human_parts": "human_parts_miou",
    "sal": "sal_miou",
    "normals": "normals_mean",
    "edge": "edge_odsf",
    "depth": "depth_rmse",
}
"""The figure of each task that Δm is made of (authors' evaluation)."""


def measured_tasks(report: Report) -> list[str]:
    """Tasks of which a report has the figure that counts.

    >>> measured_tasks(Report(1, {"depth_rmse": 0.6, "normals_rmse": 30.0}))
    ['depth']
    """
    return [task for task, key in TASK_FIGURES.items() if key in report.metrics]


def check_single(report: Report, file: Path) -> str:
    """The task of a single-task network's report.

    Raises:
        ConfigurationError: It has none, or several.
    """
    tasks = measured_tasks(report)
    if len(tasks) != 1:
        has = ", ".join(tasks) or "none of the figures that are compared"
        raise ConfigurationError(
            f"{file} is no report of a single-task network: it has {has}; name one with one of "
            f"{', '.join(TASK_FIGURES.values())}"
        )
    return tasks[0]


def against_single_tasks(
    multi: Report, singles: Sequence[tuple[Path, Report]]
) -> tuple[SingleTask, ...]:
    """Set a multi-task network's figures against those of single-task networks.

    Args:
        multi: Its report.
        singles: Reports of the single-task networks, with their files.

    Returns:
        An entry for each task that both have, in the tasks' order.

    Raises:
        ConfigurationError: A report is of other data, or of no single task, or there are two of
            one task, or none of any task that the multi-task network has.
    """
    by_task: dict[str, tuple[Path, Report]] = {}
    for file, report in singles:
        check_same_data(multi, report)
        task = check_single(report, file)
        if task in by_task:
            raise ConfigurationError(
                f"{by_task[task][0]} and {file} are both of {task}; name one of each task"
            )
        by_task[task] = file, report
    found = []
    for task in measured_tasks(multi):
        if task in by_task:
            key = TASK_FIGURES[task]
            model = by_task[task][1].model
            found.append(
                SingleTask(
                    task,
                    key,
                    multi.metrics[key],
                    by_task[task][1].metrics[key],
                    is_error(key),
                    model.name if model else "",
                )
            )
    if not found:
        raise ConfigurationError(
            f"no task is in both: the model has {', '.join(measured_tasks(multi)) or 'none'}, the "
            f"single-task reports have {', '.join(by_task) or 'none'}; name reports of its tasks"
        )
    return tuple(found)

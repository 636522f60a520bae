# SPDX-License-Identifier: Apache-2.0
"""Checked task sets of MTI-Net, in the one order in which it computes them.

The order is part of the model: features of all tasks are concatenated in it, and no name or shape
of a weight shows it. A configuration may list tasks in any order; the network never does.
"""

from __future__ import annotations

from collections.abc import Mapping

from mtinet_ros.errors import ConfigurationError
from mtinet_ros.model_contract import TASK_ORDER

_FIXED_CHANNELS = {"normals": 3, "depth": 1}


def canonical_tasks(tasks: Mapping[str, int], what: str = "tasks") -> dict[str, int]:
    """Check a task set and bring it into `TASK_ORDER`.

    Args:
        tasks: Output channels by task, in any order, e.g. `{"depth": 1, "semseg": 40}`.
        what: Name of the set in messages: that of the caller's option.

    Raises:
        ConfigurationError: The set is empty, or a task is unknown or its channels impossible.
    """
    if not tasks:
        raise ConfigurationError(
            f"{what} is empty; name at least one of {', '.join(TASK_ORDER)} with its channels"
        )
    for task, channels in tasks.items():
        if task not in TASK_ORDER:
            raise ConfigurationError(
                f"{what} names the unknown task {task!r}; MTI-Net knows {', '.join(TASK_ORDER)}"
            )
        if isinstance(channels, bool) or not isinstance(channels, int) or channels < 1:
            raise ConfigurationError(
                f"{what}[{task!r}] is {channels!r}; give the number of output channels, 1 or more"
            )
        fixed = _FIXED_CHANNELS.get(task)
        if fixed is not None and channels != fixed:
            raise ConfigurationError(
                f"{what}[{task!r}] is {channels}; {task} always has {fixed} output channel(s)"
            )
    return {task: tasks[task] for task in TASK_ORDER if task in tasks}


def canonical_task_sets(
    tasks: Mapping[str, int], auxiliary_tasks: Mapping[str, int] | None
) -> tuple[dict[str, int], dict[str, int]]:
    """Check target and auxiliary tasks together; the latter default to the former.

    Every target task must be auxiliary too: it is distilled from its own initial features.

    Raises:
        ConfigurationError: Either set is wrong, or the two do not fit together.
    """
    targets = canonical_tasks(tasks)
    if auxiliary_tasks is None:
        return targets, dict(targets)
    auxiliary = canonical_tasks(auxiliary_tasks, "auxiliary_tasks")
    for task, channels in targets.items():
        if task not in auxiliary:
            raise ConfigurationError(
                f"the task {task!r} is missing from auxiliary_tasks ({', '.join(auxiliary)}); "
                "a task is distilled from its own initial features, so add it there"
            )
        if auxiliary[task] != channels:
            raise ConfigurationError(
                f"the task {task!r} has {channels} channels in tasks and {auxiliary[task]} in "
                "auxiliary_tasks; both are supervised by one ground truth, so give one number"
            )
    return targets, auxiliary

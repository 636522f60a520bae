# SPDX-License-Identifier: Apache-2.0
"""The processes of a distributed run, as losses and batch normalisation see them: as one."""

from __future__ import annotations

import torch
from torch import Tensor, distributed


def process_count() -> int:
    """Processes that train together; 1 where nothing is distributed."""
    together = distributed.is_available() and distributed.is_initialized()
    return distributed.get_world_size() if together else 1


@torch.no_grad()
def mean_over_processes(value: Tensor) -> Tensor:
    """The mean of a tensor over all processes, without gradient; itself where there is one.

    A loss that is a local sum divided by the mean of all processes' counts has a mean over
    processes, and with it a gradient as DistributedDataParallel averages it, that is the one of
    the whole batch.
    """
    count = process_count()
    if count == 1:
        return value.detach()
    total = value.detach().clone()
    distributed.all_reduce(total)
    return total / count


def leave_processes() -> None:
    """Close what the processes of a run talk over.

    Left to the end of Python, its threads may still run when they are destroyed, which aborts the
    process after all is done and saved. Those of a DistributedDataParallel run on all the same
    (torch 2.13).
    """
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()

# SPDX-License-Identifier: Apache-2.0
"""Batch normalization over the frames of all processes, on any device."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.autograd import Function

from mtinet_ros.training.processes import process_count


class SynchronizedBatchNorm(nn.BatchNorm2d):
    """What `nn.SyncBatchNorm` is on a GPU, which refuses the CPU; slower, and for any device."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalize N×C×H×W; in training by the statistics of all processes' batches."""
        if not self.training or process_count() == 1:
            return super().forward(input)
        axes, shape = [0, 2, 3], [1, -1, 1, 1]
        values = input.to(torch.promote_types(input.dtype, torch.float32))
        count = values.new_tensor([input.numel() / input.shape[1]])
        totals = _sum_over_processes(torch.cat([values.sum(axes), count]))
        mean = totals[:-1] / totals[-1]
        centered = values - mean.view(shape)
        # After the mean, not from the sum of squares: that loses digits where the mean is large.
        variance = _sum_over_processes(centered.square().sum(axes)) / totals[-1]
        self._track(mean.detach(), variance.detach(), totals[-1].detach())
        normalized = centered * (variance + self.eps).rsqrt().view(shape)
        return (normalized * self.weight.view(shape) + self.bias.view(shape)).to(input.dtype)

    def _track(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        """Move the running statistics; their variance is the unbiased one, as PyTorch's is."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
        unbiased = variance * (count / (count - 1).clamp(min=1))
        self.running_var.lerp_(unbiased.to(self.running_var.dtype), self.momentum)


def with_synchronized_norms(network: nn.Module, on_gpu: bool) -> None:
    """Have every batch normalization of a network look at the frames of all processes.

    Its parameters and buffers stay the same tensors under the same names.

    Args:
        network: To change.
        on_gpu: Where it will train: there PyTorch's own takes over.
    """
    if on_gpu:
        nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        return
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm2d):
                norm = SynchronizedBatchNorm(child.num_features, child.eps, child.momentum)
                norm._parameters.update(child._parameters)
                norm._buffers.update(child._buffers)
                norm.train(child.training)
                setattr(module, name, norm)


class _Sum(Function):
    """The sum of a tensor over processes; its gradient is the sum of all processes' gradients."""

    @staticmethod
    def forward(_context: Any, value: Tensor) -> Tensor:
        return _reduced(value)

    @staticmethod
    def backward(_context: Any, gradient: Tensor) -> Tensor:
        return _reduced(gradient)


def _reduced(value: Tensor) -> Tensor:
    total = value.contiguous().clone()
    distributed.all_reduce(total)
    return total


def _sum_over_processes(value: Tensor) -> Tensor:
    total: Tensor = _Sum.apply(value)  # type: ignore[no-untyped-call]
    return total

# SPDX-License-Identifier: Apache-2.0
"""Losses per task, and their sum over final and initial predictions (paper, Sec. 3.2, 4.1).

Every loss takes a raw prediction N×C×H×W and its ground truth at the same size, and gives the mean
over pixels that have ground truth; zero, with a gradient of zero, where no pixel has. Truth that
is no finite number is unknown.

In a run of several processes a mean is over the pixels of all of them: each divides its own sum by
the mean of all counts, so that averaged gradients are those of one process with the whole batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from mtinet_ros.errors import ConfigurationError, DataError
from mtinet_ros.model_contract import VOID_ID
from mtinet_ros.network import MTINetOutput
from mtinet_ros.training.config import LossConfig
from mtinet_ros.training.processes import mean_over_processes

POSITIVE_WEIGHT = 0.95
"""Weight of the rare positive pixels in balanced binary cross-entropy (authors' training)."""

_NO_DIRECTION = 1e-6
"""Length up to which a predicted normal points nowhere: it is zero, and so is its gradient."""


def cross_entropy(logits: Tensor, labels: Tensor, class_weights: Tensor | None = None) -> Tensor:
    """Cross-entropy; with class weights, the weighted mean.

    Args:
        logits: N×C×H×W.
        labels: int64 N×H×W, 0 to C - 1, `VOID_ID` where unknown.
        class_weights: C.

    Raises:
        DataError: A label is none of those. On a GPU, where looking would cost a wait in every
            step, only the loader looks.
    """
    known = labels != VOID_ID
    if labels.device.type == "cpu":
        _check_labels(labels[known], logits.shape[1])
    summed = functional.cross_entropy(
        logits, labels, class_weights, ignore_index=VOID_ID, reduction="sum"
    )
    weights = known if class_weights is None else class_weights[labels[known]]
    return summed / _norm(weights.sum(), summed)


def _check_labels(labels: Tensor, classes: int) -> None:
    wrong = labels[(labels < 0) | (labels >= classes)]
    if len(wrong):
        raise DataError(
            f"the ground truth has the label {int(wrong[0])}; there are {classes} classes, 0 to "
            f"{classes - 1}, and {VOID_ID} for unknown"
        )


def l1(depth: Tensor, truth: Tensor) -> Tensor:
    """Mean |d - z|; both N×1×H×W in metres, z = 0 unknown."""
    truth, known = _known_depth(truth)
    return _masked_mean((depth - truth).abs(), known)


def log_l1(log_depth: Tensor, truth: Tensor) -> Tensor:
    """Mean |d - log z|; the prediction d is log metres, z > 0 metres, 0 unknown."""
    truth, known = _known_depth(truth)
    return _masked_mean((log_depth - truth.log()).abs(), known)


def log_gradient(log_depth: Tensor, truth: Tensor, scales: int = 3) -> Tensor:
    """Mean difference of neighbouring errors d - log z, at strides 1, 2, 4, ... summed.

    Zero if the predicted surface has the right shape and edges up to one scale factor (gradient
    matching of MegaDepth, arXiv 1804.00607, Eq. 4).
    """
    truth, known = _known_depth(truth)
    error = log_depth - truth.log()
    total = error.new_zeros(())
    for scale in range(scales):
        e, k = error[..., :: 2**scale, :: 2**scale], known[..., :: 2**scale, :: 2**scale]
        for axis in (-1, -2):
            ahead, behind = slice(1, None), slice(None, -1)
            at = (Ellipsis, ahead) if axis == -1 else (Ellipsis, ahead, slice(None))
            before = (Ellipsis, behind) if axis == -1 else (Ellipsis, behind, slice(None))
            total = total + _masked_mean((e[at] - e[before]).abs(), k[at] & k[before])
    return total


def cosine(normals: Tensor, truth: Tensor) -> Tensor:
    """Mean 1 - cos of the angle; N×3×H×W, truth of unit length, zero unknown."""
    truth, known = _known_normals(truth)
    cosines = (_directions(normals) * truth).sum(1, keepdim=True)
    return _masked_mean(1 - cosines, known)


def normals_l1(normals: Tensor, truth: Tensor) -> Tensor:
    """Mean |n - t| over the three components of known pixels, n of unit length.

    As in the authors' training: a third of the mean L1 distance of vectors.
    """
    truth, known = _known_normals(truth)
    return _masked_mean((_directions(normals) - truth).abs(), known.expand_as(truth))


def balanced_bce(logits: Tensor, truth: Tensor) -> Tensor:
    """Binary cross-entropy, positives weighted by `POSITIVE_WEIGHT`, negatives by the rest.

    N×1×H×W; truth 0 or 1, `VOID_ID` unknown. The mean is over known pixels, whatever they weigh.
    """
    known = truth != VOID_ID
    weight = torch.full_like(logits, 1 - POSITIVE_WEIGHT).masked_fill(truth == 1, POSITIVE_WEIGHT)
    return _weighted_bce(logits, truth, known, weight)


def saliency_bce(logits: Tensor, truth: Tensor) -> Tensor:
    """Binary cross-entropy in which the rarer kind of pixel weighs more (HED, Eq. 2).

    Positives have the weight w, the share of negatives among the batch's known pixels, negatives
    1 - w; the mean is over known pixels. Shapes as in `balanced_bce`.
    """
    known, positive = truth != VOID_ID, truth == 1
    counts = mean_over_processes(torch.stack([positive.sum(), known.sum()]).to(logits.dtype))
    negatives = 1 - counts[0] / counts[1].clamp(min=1e-6)
    return _weighted_bce(logits, truth, known, torch.where(positive, negatives, 1 - negatives))


def _weighted_bce(logits: Tensor, truth: Tensor, known: Tensor, weight: Tensor) -> Tensor:
    clean = torch.where(known, truth, 0.0)
    entropy = functional.binary_cross_entropy_with_logits(logits, clean, reduction="none")
    return _masked_mean(entropy * weight, known)


@dataclass(frozen=True)
class Loss:
    """A loss that a configuration can name.

    Attributes:
        function: Of prediction and ground truth.
        tasks: Tasks it makes sense for.
        depth_output: What it takes a depth prediction to be, if it is about depth.
    """

    function: Callable[..., Tensor]
    tasks: tuple[str, ...]
    depth_output: str | None = None


LOSSES = {
    "cross_entropy": Loss(cross_entropy, ("semseg", "human_parts")),
    "l1": Loss(l1, ("depth",), "metres"),
    "log_l1": Loss(log_l1, ("depth",), "log_metres"),
    "log_gradient": Loss(log_gradient, ("depth",), "log_metres"),
    "cosine": Loss(cosine, ("normals",)),
    "normals_l1": Loss(normals_l1, ("normals",)),
    "balanced_bce": Loss(balanced_bce, ("edge", "sal")),
    "saliency_bce": Loss(saliency_bce, ("sal",)),
}


class MultiTaskLoss(nn.Module):
    """Weighted sum of all losses over final and initial predictions."""

    class_weights: Tensor | None

    def __init__(
        self,
        config: LossConfig,
        auxiliary_tasks: Mapping[str, int],
        depth_output: str,
        class_weights: Tensor | None = None,
    ) -> None:
        """Check that every auxiliary task has losses that suit it.

        Raises:
            ConfigurationError: A task without losses, an unknown loss, or one for another task or
                another encoding of depth.
        """
        super().__init__()
        check_losses(config, auxiliary_tasks, depth_output)
        self.config = config
        self.register_buffer("class_weights", class_weights, persistent=False)

    def forward(self, output: MTINetOutput, targets: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Losses by name, e.g. "depth/log_l1", and their weighted "total".

        The named ones are of the final predictions, unweighted; "deep_supervision" is the weighted
        sum of all initial ones. A task of which the batch has no ground truth is left out.
        """
        losses = {
            f"{task}/{name}": self._loss(task, name, prediction, targets[task])
            for task, prediction in output.predictions.items()
            if task in targets
            for name in self.config.terms[task]
        }
        total = torch.zeros((), device=next(iter(output.predictions.values())).device)
        initial = total
        for key, value in losses.items():
            task, name = key.split("/")
            total = total + self.config.terms[task][name] * value
        stride = self.config.deep_supervision_stride
        sparse = {
            task: target[..., stride // 2 :: stride, stride // 2 :: stride]
            for task, target in targets.items()
        }
        if self.config.deep_supervision > 0:
            for predictions in output.deep_supervision:
                for task, prediction in predictions.items():
                    if task not in sparse:
                        continue
                    upsampled = functional.interpolate(
                        prediction, size=sparse[task].shape[-2:], mode="bilinear"
                    )
                    for name, weight in self.config.terms[task].items():
                        initial = initial + weight * self._loss(
                            task, name, upsampled, sparse[task]
                        )
            total = total + self.config.deep_supervision * initial
        return {**losses, "deep_supervision": initial, "total": total}

    def _loss(self, task: str, name: str, prediction: Tensor, target: Tensor) -> Tensor:
        function = LOSSES[name].function
        prediction = prediction.to(torch.promote_types(prediction.dtype, torch.float32))
        if name == "cross_entropy" and task == "semseg":
            return function(prediction, target, self.class_weights)
        return function(prediction, target)


def check_losses(
    config: LossConfig, auxiliary_tasks: Mapping[str, int], depth_output: str
) -> None:
    """Raise `ConfigurationError` unless every auxiliary task has losses that suit it."""
    for task in auxiliary_tasks:
        terms = config.terms.get(task, {})
        suitable = [
            name
            for name, loss in LOSSES.items()
            if task in loss.tasks and loss.depth_output in (None, depth_output)
        ]
        wrong = [name for name in terms if name not in suitable]
        if wrong or not terms:
            encoding = f" encoded as {depth_output}" if task == "depth" else ""
            problem = f"has the loss {wrong[0]!r}" if wrong else "has no loss"
            raise ConfigurationError(
                f"losses: {task}{encoding} {problem}; it takes {', '.join(suitable) or 'none'}"
            )


def balanced_class_weights(counts: Tensor, exponent: float) -> Tensor:
    """Weights (1 / frequency)^exponent, scaled to a mean of 1 over pixels; absent classes get 1.

    Args:
        counts: Pixels per class, or their shares, C.
        exponent: 0 gives ones, 1 makes all classes equal.
    """
    frequency = counts / counts.sum().clamp(min=1e-12)
    weights = torch.where(counts > 0, frequency.clamp(min=1e-4) ** -exponent, 1.0)
    mean = (weights * frequency).sum()
    return torch.where(counts > 0, weights / mean, 1.0).float()


def _masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    summed = torch.where(mask, values, 0.0).sum()
    return summed / _norm(mask.sum(), summed)


def _norm(count: Tensor, summed: Tensor) -> Tensor:
    """What a sum is divided by; the sum is zero where the count is, and then so is their ratio."""
    return mean_over_processes(count.to(summed.dtype)).clamp(min=1e-6)


def _known_depth(truth: Tensor) -> tuple[Tensor, Tensor]:
    """Depth with 1 where it is unknown, and where it is known."""
    known = (truth > 0) & truth.isfinite()
    return torch.where(known, truth, 1.0), known


def _known_normals(truth: Tensor) -> tuple[Tensor, Tensor]:
    """Normals with zero where they are unknown, and where they are known, N×1×H×W."""
    known = (truth != 0).any(1, keepdim=True) & truth.isfinite().all(1, keepdim=True)
    return torch.where(known, truth, 0.0), known


def _directions(normals: Tensor) -> Tensor:
    """Vectors at unit length; zero, and without gradient, where there is no direction."""
    length = torch.linalg.vector_norm(normals, dim=1, keepdim=True)
    return torch.where(length > _NO_DIRECTION, normals / length.clamp(min=_NO_DIRECTION), 0.0)

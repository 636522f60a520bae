# SPDX-License-Identifier: Apache-2.0
"""One training step, one validation step, the optimiser: MTI-Net as Lightning trains it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from mtinet_ros.errors import ConfigurationError
from mtinet_ros.model_contract import SIZE_MULTIPLE
from mtinet_ros.network import MultiTaskNetwork
from mtinet_ros.training.compilation import Pass, backward_errors, compiled, compiles
from mtinet_ros.training.config import TrainConfig
from mtinet_ros.training.decode import decode
from mtinet_ros.training.loader import Batch
from mtinet_ros.training.losses import MultiTaskLoss
from mtinet_ros.training.metrics import task_metrics
from mtinet_ros.training.optimizers import check_optimizer, make_optimizer
from mtinet_ros.training.processes import mean_over_processes
from mtinet_ros.training.steps import Steps, rate_factor

FRAMES_PER_STEP = "mtinet_ros.frames_per_step"
"""Entry of a run's state."""


class TrainingModule(LightningModule):
    """MTI-Net with its losses, metrics and optimiser."""

    def __init__(
        self,
        network: MultiTaskNetwork,
        config: TrainConfig,
        class_weights: Tensor | None = None,
        sources: Sequence[str] = ("",),
        steps: Steps | None = None,
    ) -> None:
        """Train `network` as `config` says.

        Args:
            network: With the weights to start from.
            config: The run.
            class_weights: Of semseg's cross-entropy, one per class.
            sources: Names of the data sets that are validated on.
            steps: Of the run; None: `optimizer.max_steps`.

        Raises:
            ConfigurationError: Losses do not suit the tasks, or the optimizer is unknown.
        """
        super().__init__()
        check_optimizer(config.optimizer)
        self.config = config
        self.steps = steps or Steps(config.optimizer.max_steps)
        self.layout = torch.channels_last if config.run.channels_last else torch.contiguous_format
        self.network = network.to(memory_format=self.layout)  # type: ignore[call-overload]
        self._compiled: Pass | None = None
        if not config.losses.deep_supervision:
            for parameter in _apart_from_predictions(network):
                parameter.requires_grad_(False)
        _freeze(network, config.optimizer.frozen)
        self.loss = MultiTaskLoss(
            config.losses, network.auxiliary_tasks, config.network.depth_output, class_weights
        )
        self.sources = tuple(sources)
        self.metrics = nn.ModuleList(task_metrics(network.tasks) for _ in self.sources)

    def train(self, mode: bool = True) -> TrainingModule:
        """Switch to training or evaluation; frozen parts stay in evaluation."""
        super().train(mode)
        for name, module in self.network.named_modules():
            if f"{name}.".startswith(self.config.optimizer.frozen):
                module.eval()
        return self

    def image(self, batch: Batch) -> Tensor:
        """The images of a batch as they lie in memory while training, float32 N×3×H×W."""
        return batch["image"].contiguous(memory_format=self.layout)

    def on_train_start(self) -> None:
        """Compile where it pays, and take rates and weight decay from the configuration.

        A continued run may change them. The state brings those of before; where nothing has
        changed, they are the same.
        """
        left = self.steps.total - self.trainer.global_step
        if compiles(self.config.run.compile, self.device, left):
            self._compiled = compiled(self.network, self.device)
        fresh = self.configure_optimizers()
        factor = rate_factor(self.trainer.global_step, self.config.optimizer, self.steps)
        scheduler = self.trainer.lr_scheduler_configs[0].scheduler
        scheduler.base_lrs = fresh["lr_scheduler"]["scheduler"].base_lrs
        groups = zip(
            self.trainer.optimizers[0].param_groups, fresh["optimizer"].param_groups, strict=True
        )
        for group, new in groups:
            group["initial_lr"] = new["initial_lr"]
            group["weight_decay"] = new["weight_decay"]
            if "momentum" in new:
                group["momentum"] = new["momentum"]
            group["lr"] = new["initial_lr"] * factor

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Note on how many frames every step was, which a continued run must keep."""
        checkpoint[FRAMES_PER_STEP] = self.steps.batch

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Gradients of a loss; a compiled pass that cannot be made is a sentence."""
        with backward_errors() if self._compiled else nullcontext():
            super().backward(loss, *args, **kwargs)

    def training_step(self, batch: Batch, _batch_index: int) -> Tensor:
        """Total loss of a batch."""
        predict = self._compiled or self.network
        losses = self.loss(predict(self.image(batch)), batch)
        values = mean_over_processes(torch.stack([value.float() for value in losses.values()]))
        means = dict(zip(losses, values, strict=True))
        self.log_dict({f"train/{name}": value for name, value in means.items()})
        rate = self.trainer.optimizers[0].param_groups[-1]["lr"]
        self.log("train/learning_rate", rate)
        self.log("loss", means["total"], prog_bar=True, logger=False)
        total: Tensor = losses["total"]
        return total

    def validation_step(self, batch: Batch, _batch_index: int, dataloader_idx: int = 0) -> None:
        """Add a batch to the metrics, at the network's size and canonical focal length."""
        raw = self.network(self.image(batch)).predictions
        decoded = decode(raw, self.config.network.depth_output)
        for task, metric in self._metrics_of(dataloader_idx):
            metric.update(decoded[task], batch[task])

    def on_validation_epoch_end(self) -> None:
        """Log the metrics of every data set and start anew."""
        for number, source in enumerate(self.sources):
            prefix = f"val/{source}/" if len(self.sources) > 1 else "val/"
            for task, metric in self._metrics_of(number):
                for name, value in metric.compute().items():
                    self.log(
                        f"{prefix}{task}_{name}",
                        value,
                        prog_bar=name in ("miou", "delta1", "mean", "odsf"),
                        rank_zero_only=True,
                    )
                metric.reset()

    def _metrics_of(self, source: int) -> Iterable[tuple[str, Any]]:
        metrics = self.metrics[source]
        assert isinstance(metrics, nn.ModuleDict)
        return metrics.items()

    def configure_optimizers(self) -> Any:
        """The optimizer and its rate at every step."""
        config, steps = self.config.optimizer, self.steps
        optimizer = make_optimizer(self.network, config)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: rate_factor(step, config, steps)
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }


def _freeze(network: MultiTaskNetwork, prefixes: Sequence[str]) -> None:
    """Take parts out of the training; a prefix of nothing is a mistake that would go unseen."""
    names = [name for name, _ in network.named_parameters()]
    for prefix in prefixes:
        if not any(name.startswith(prefix) for name in names):
            raise ConfigurationError(
                f"optimizer.frozen has {prefix!r}, with which no parameter's name begins; they "
                f"are such as {names[0]}"
            )
    for name, parameter in network.named_parameters():
        if name.startswith(tuple(prefixes)):
            parameter.requires_grad_(False)
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise ConfigurationError("optimizer.frozen leaves nothing to train; freeze less")


def _apart_from_predictions(network: MultiTaskNetwork) -> list[nn.Parameter]:
    """Parameters that the final predictions do not depend on.

    Without deep supervision nothing trains them, and the processes of a run would wait for their
    gradients for ever.
    """
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    was_training = network.training
    network.eval()
    predictions = network(torch.zeros(1, 3, SIZE_MULTIPLE, SIZE_MULTIPLE)).predictions
    network.train(was_training)
    total = torch.stack([prediction.sum() for prediction in predictions.values()]).sum()
    gradients = torch.autograd.grad(total, parameters, allow_unused=True)
    return [p for p, gradient in zip(parameters, gradients, strict=True) if gradient is None]

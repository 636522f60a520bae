# SPDX-License-Identifier: Apache-2.0
"""What would freeze nothing, and weights that are no numbers any more, are told of."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("lightning")

from mtinet_ros.errors import ConfigurationError
from mtinet_ros.network import build_network
from mtinet_ros.training.callbacks import AtomicCheckpointIO
from mtinet_ros.training.config import LossConfig, OptimizerConfig, TrainConfig
from mtinet_ros.training.module import TrainingModule


def module(*frozen: str) -> TrainingModule:
    network = build_network(
        architecture="single_task", backbone="efficientnet_lite0", tasks={"depth": 1}
    )
    losses = LossConfig(terms={"depth": {"log_l1": 1.0}})
    return TrainingModule(
        network, TrainConfig(losses=losses, optimizer=OptimizerConfig(frozen=frozen))
    )


def test_a_mistyped_part_is_not_taken_for_a_frozen_one() -> None:
    with pytest.raises(ConfigurationError, match="'bacbone', with which no parameter's name"):
        module("bacbone")
    with pytest.raises(ConfigurationError, match="leaves nothing to train"):
        module("")
    assert not any(p.requires_grad for p in module("backbone.").network.backbone.parameters())


def test_a_diverged_run_does_not_replace_its_last_good_state(tmp_path) -> None:
    path = tmp_path / "last.ckpt"
    writer = AtomicCheckpointIO([])
    writer.save_checkpoint({"state_dict": {"w": torch.ones(2)}}, path)
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match="diverged, w is not finite"):
        writer.save_checkpoint({"state_dict": {"w": torch.tensor([1.0, torch.nan])}}, path)
    assert path.read_bytes() == before

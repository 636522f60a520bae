# SPDX-License-Identifier: Apache-2.0
"""The ways of a training step that the benchmark compares are what their names say."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
import torch

from benchmarks.training_step import make_step, parse_way, random_batch
from mtinet_ros.training.config_file import load_config

ROOMS = Path(__file__).parents[2] / "config" / "train" / "rooms.yaml"


@pytest.mark.parametrize("way", ["float8", "float32+fast", "contiguous"])
def test_a_way_that_is_none_is_refused(way):
    with pytest.raises(argparse.ArgumentTypeError, match=rf"{way.split('+')[0]}.* is no way"):
        parse_way(way)


def test_a_way_has_the_precision_of_its_name(monkeypatch):
    overrides = ["network.initial=random", "data.height=64", "data.width=64", "data.batch_size=2"]
    config = load_config(str(ROOMS), overrides)
    device = torch.device("cpu")
    batch = random_batch(config, device)
    seen = []

    def loss(self, output, _):
        prediction = output.predictions["depth"]
        seen.append(prediction.dtype)
        return {"total": prediction.float().mean()}

    monkeypatch.setattr("mtinet_ros.training.losses.MultiTaskLoss.forward", loss)
    for way in ("float32", "bfloat16+contiguous"):
        assert make_step(way, config, batch, device)() > 0
    assert seen == [torch.float32, torch.bfloat16]

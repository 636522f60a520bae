# SPDX-License-Identifier: Apache-2.0
"""A wrong focal length in a model's card makes every metre that a robot measures wrong."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pytest

from mtinet_ros.datasets.intrinsics import Intrinsics
from mtinet_ros.datasets.sample import Sample
from mtinet_ros.errors import ConfigurationError
from mtinet_ros.model_card import METADATA_KEY
from mtinet_ros.network import MTINet
from mtinet_ros.training.card import checkpoint_header
from mtinet_ros.training.config import AugmentationConfig, DataConfig, TrainConfig
from mtinet_ros.training.focal_length import with_focal_length
from mtinet_ros.training.mixture import TrainingSource

NYUD = AugmentationConfig(kind="nyud")
NYUD_LENS = (518.857901 * 519.469611) ** 0.5


@dataclass
class Frames:
    """Frames of 480x640 seen through lenses of given focal lengths; None: not known."""

    focal_lengths: list[float | None]
    class_names = ()
    palette = ()
    attribution = ()

    def __len__(self) -> int:
        return len(self.focal_lengths)

    def __getitem__(self, index: int, /) -> Sample:
        f = self.focal_lengths[index]
        lens = None if f is None else Intrinsics(f, 325.6, 253.7)
        depth = np.ones((480, 640), np.float32)
        return Sample(np.zeros((480, 640, 3), np.uint8), {"depth": depth}, lens)

    def videos(self) -> list[list[int]]:
        return []


def source(frames: Frames, augmentation: AugmentationConfig = NYUD) -> TrainingSource:
    return TrainingSource("real", "nyud", frames, frames, 1.0, ("depth",), augmentation)


def run(said: float, height: int = 480, width: int = 640) -> TrainConfig:
    data = DataConfig(height=height, width=width, focal_length=said)
    return TrainConfig(data=data, augmentation=NYUD)


def test_the_card_of_a_run_in_plain_metres_has_the_lens_of_its_data():
    sources = [source(Frames([NYUD_LENS]))]
    config = with_focal_length(run(0), ("depth",), sources)
    network = MTINet("efficientnet_lite0", {"depth": 1}, None)
    header = checkpoint_header(config, network, sources, 7)
    card = json.loads(header[METADATA_KEY])
    assert card["focal_length"] == pytest.approx(519.164, abs=1e-3)
    assert card["fit"] == "stretch"  # as its pictures came to the network's size
    assert float(header["focal_length"]) == card["focal_length"]
    settings = card["training"]["settings"]
    assert settings["data"]["focal_length"] == card["focal_length"]
    assert settings["augmentation"] == {"kind": "nyud", "flip": 0.5, "zooms": [1.0, 1.2, 1.5]}


@pytest.mark.parametrize(("height", "width", "factor"), [(240, 320, 0.5), (240, 640, 0.5**0.5)])
def test_it_is_that_of_the_pictures_at_the_networks_size(height, width, factor):
    """Stretched in one direction only, it is the geometric mean of both."""
    config = with_focal_length(run(0, height, width), ("depth",), [source(Frames([500.0]))])
    assert config.data.focal_length == pytest.approx(500 * factor, abs=1e-3)


def test_one_that_is_named_is_kept_where_it_is_right_or_nothing_tells():
    for frames in (Frames([NYUD_LENS]), Frames([None])):
        config = run(519.0)
        assert with_focal_length(config, ("depth",), [source(frames)]) == config
    camera = [source(Frames([300.0]), AugmentationConfig())]
    assert with_focal_length(run(519.0), ("depth",), camera) == run(519.0)
    assert with_focal_length(run(0), ("semseg",), [source(Frames([None]))]) == run(0)


@pytest.mark.parametrize(
    ("said", "lenses", "fragment"),
    [
        (210.0, [519.0], "is 210, .* whose lens has 519 pixels at the network's size; set it"),
        (
            0.0,
            [None],
            "is 0, and the augmentation nyud leaves .* whose lens is not known",
        ),
        (0.0, [400.0, 519.0], r"lenses differ \(400.0 to 519.0 pixels .* brings them to one"),
    ],
)
def test_a_focal_length_that_would_make_metres_wrong_is_refused(said, lenses, fragment):
    with pytest.raises(ConfigurationError, match=fragment):
        with_focal_length(run(said), ("depth",), [source(Frames(lenses))])

# SPDX-License-Identifier: Apache-2.0
"""Weights trained with the authors' code must mean the same here."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.reference_weights import (
    TOLERANCE,
    deviation_from_summary,
    fill,
    load_reference,
    load_reference_arrays,
    reference_image,
)

from mtinet_ros.network import MTINet

# As a configuration might list them: the network has to bring them into its own order.
TASKS = {"depth": 1, "semseg": 40}
AUXILIARY_TASKS = {"edge": 1, "depth": 1, "normals": 3, "semseg": 40}


@pytest.fixture(scope="module")
def answers() -> dict[str, np.ndarray]:
    """Everything the reference records, computed by this network with the reference's weights."""
    network = fill(MTINet("hrnet_w18", TASKS, AUXILIARY_TASKS))
    recorded: dict[str, torch.Tensor] = {}

    def record(name: str):
        return lambda _module, _inputs, output: recorded.__setitem__(name, output)

    def record_backbone(_module, _inputs, maps):
        recorded.update({f"backbone/{k}": features for k, features in enumerate(maps)})

    network.backbone.register_forward_hook(record_backbone)
    for k in range(4):
        for task, block in getattr(network, f"scale_{k}").refinement.items():
            block.register_forward_hook(record(f"scale_{k}/features_{task}"))
    for task, head in network.heads.items():
        head.register_forward_hook(record(f"head_{task}"))
    with torch.inference_mode():
        output = network(reference_image())
    recorded.update({f"out_{task}": y for task, y in output.predictions.items()})
    for k, predictions in enumerate(output.deep_supervision):
        recorded.update({f"scale_{k}/{task}": y for task, y in predictions.items()})
    return {name: tensor.numpy() for name, tensor in recorded.items()}


@pytest.mark.parametrize("name", sorted(load_reference()["summaries"]))
def test_every_recorded_intermediate_result_matches_the_authors_network(name, answers):
    assert deviation_from_summary(load_reference()["summaries"][name], answers[name]) <= TOLERANCE


def test_predictions_match_the_authors_network_pixel_by_pixel(answers):
    reference = load_reference_arrays()
    mine = {name: answers[name] for name in ("head_semseg", "head_depth", "out_depth")}
    mine["grid_semseg"] = answers["out_semseg"][:, :, 3::8, 5::8]
    for name, array in mine.items():
        allowed = TOLERANCE * reference[name].std()
        np.testing.assert_allclose(array, reference[name], rtol=0, atol=allowed, err_msg=name)
    agreement = np.mean(answers["out_semseg"].argmax(1) == reference["argmax_semseg"])
    assert agreement > 0.9999


def test_parameter_names_and_shapes_are_the_published_ones():
    network = MTINet("hrnet_w18", TASKS, AUXILIARY_TASKS)
    mine = {key: list(value.shape) for key, value in network.state_dict().items()}
    assert mine == dict(load_reference()["keys"])

# SPDX-License-Identifier: Apache-2.0
"""One small network with random weights and what it exports to, made once for all tests."""

from __future__ import annotations

from dataclasses import replace

import onnx
import pytest

from mtinet_ros.export.exporter import Export, ExportOptions, export_network
from mtinet_ros.export.untrained import untrained_network
from mtinet_ros.model_card import ModelCard
from mtinet_ros.network import MTINet

SIZE = (64, 96)


@pytest.fixture(scope="session")
def untrained() -> tuple[MTINet, ModelCard]:
    return untrained_network("hrnet_w18", SIZE)


@pytest.fixture(scope="session")
def exported(untrained, tmp_path_factory) -> Export:
    network, card = untrained
    path = tmp_path_factory.mktemp("export") / "untrained.onnx"
    options = ExportOptions(confidence=True)
    return export_network(network, replace(card, max_batch=3), path, options)


@pytest.fixture(scope="session")
def graph(exported) -> onnx.ModelProto:
    return onnx.load(exported.path)

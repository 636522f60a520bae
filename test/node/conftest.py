# SPDX-License-Identifier: Apache-2.0
"""Fixtures for tests that talk to a real node over a real middleware, on a domain of their own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.tiny_model import write_tiny_model


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("node") / "tiny.onnx")


@pytest.fixture(scope="session")
def ros_domain() -> Iterator[int]:
    """A domain nobody else on this machine uses, heard on this machine only."""
    pytest.importorskip("rclpy")
    coordinator = pytest.importorskip("domain_coordinator")
    with coordinator.domain_id() as domain:
        os.environ["ROS_DOMAIN_ID"] = str(domain)
        os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
        yield domain


@pytest.fixture
def robot(ros_domain: int, prompt_discovery: None) -> Iterator[Any]:
    import rclpy
    from support.node_harness import Robot

    rclpy.init()
    node = Robot()
    yield node
    node.executor_.shutdown()
    node.destroy_node()
    rclpy.try_shutdown()

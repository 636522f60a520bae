# SPDX-License-Identifier: Apache-2.0
"""SROS 2's policy allows what the node does, or it is deaf, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

pytest.importorskip("rclpy")

from rclpy.node import NodeNameNonExistentError
from support.node_harness import NodeProcess, Robot

from mtinet_ros.install_paths import bundled_model
from mtinet_ros.node.settings import OUTPUTS

ROOT = Path(__file__).resolve().parents[2]
POLICY = ElementTree.parse(ROOT / "config" / "sros2" / "perception.policy.xml").getroot()
# Where another package, another transport or simulated time is in use.
ELSEWHERE = {
    "publish": {"/perception/camera/segmentation/label_info", "/bond"},
    "subscribe": {"/camera/image_raw/compressed", "/clock", "/bond"},
    "reply": {"/perception/get_type_description"},  # not of Humble
}


def allowed(kind: str) -> set[str]:
    """Names that the policy allows to publish, to subscribe to, or to reply on."""
    return {
        str(entry.text) for rules in POLICY.iter() if rules.get(kind) == "ALLOW" for entry in rules
    }


def test_the_policy_has_the_form_that_sros2_reads() -> None:
    """Element and attribute names of sros2's policy.xsd, version 0.2.0."""
    children = {
        "policy": {"enclaves"}, "enclaves": {"enclave"}, "enclave": {"profiles"},
        "profiles": {"profile"}, "profile": {"topics", "services"},
        "topics": {"topic"}, "services": {"service"}, "topic": set(), "service": set(),
    }  # fmt: skip
    attributes: dict[str, set[str]] = {
        "policy": {"version"}, "enclave": {"path"}, "profile": {"ns", "node"},
        "topics": {"publish", "subscribe"}, "services": {"reply", "request"},
    }  # fmt: skip
    assert POLICY.tag == "policy"
    assert POLICY.get("version") == "0.2.0"
    for element in POLICY.iter():
        assert {child.tag for child in element} <= children[element.tag]
        assert set(element.keys()) <= attributes.get(element.tag, set())
    names = [entry.text or "" for entry in POLICY.iter() if entry.tag in ("topic", "service")]
    assert all(re.fullmatch(r"(/[a-z0-9_]+)+", name) for name in names)  # absolute; no patterns


@pytest.mark.ros
def test_the_node_may_do_what_it_does_and_no_more(robot: Robot) -> None:
    outputs = f"camera.outputs:=[{','.join(OUTPUTS)}]"
    with NodeProcess(f"model:={bundled_model()}", outputs):
        robot.start()  # of a node in this process the services would stay, and hear other tests
        assert robot.reports("engine", "state", "ready")
        expected = {kind: allowed(kind) - names for kind, names in ELSEWHERE.items()}
        assert robot.spin_until(lambda: all(expected[k] <= graph(robot, k) for k in expected))
        used = {kind: graph(robot, kind) for kind in expected}
    for kind, names in used.items():
        assert names - allowed(kind) == set(), f"may not {kind}"
        assert allowed(kind) - names <= ELSEWHERE[kind], f"need not {kind}"


def graph(robot: Robot, kind: str) -> set[str]:
    """Names of the node's publishers, subscribers or services."""
    entity = {"publish": "publisher", "subscribe": "subscriber", "reply": "service"}[kind]
    try:
        found = getattr(robot, f"get_{entity}_names_and_types_by_node")("perception", "/")
    except NodeNameNonExistentError:  # not heard of yet
        return set()
    return {name for name, _ in found}

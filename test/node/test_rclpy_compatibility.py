# SPDX-License-Identifier: Apache-2.0
"""The node uses only what rclpy has in every supported distribution."""

from __future__ import annotations

import importlib
import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytest
from support.rclpy_usage import Use, missing, uses_of_rclpy

ROOT = Path(__file__).parents[2]
TABLE: dict[str, Any] = json.loads((ROOT / "test/data/rclpy_members.json").read_text())
DISTRIBUTIONS = ["humble", "jazzy", "kilted", "lyrical"]
NEWEST = TABLE["lyrical"]["modules"]

# What some distribution lacks and our code does without there: the name (all below it included) or
# `name(parameter)`, and where the fallback is.
BEHIND_A_FALLBACK: dict[str, str] = {
    "rclpy.node.Node.add_pre_set_parameters_callback": "asked for with hasattr; without it rclpy "
    "refuses an integer for a double itself",
}


def uses(root: Path = ROOT, package: str = "mtinet_ros.node") -> list[Use]:
    return list(uses_of_rclpy(root, package, NEWEST))


def is_allowed(lack: str) -> str | None:
    return next(
        (n for n in BEHIND_A_FALLBACK if lack == n or lack.startswith((f"{n}.", f"{n}("))), None
    )


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_node_runs_on(distribution: str) -> None:
    modules = TABLE[distribution]["modules"]
    lacks = [(use, missing(modules, use)) for use in uses()]
    unsupported = [
        f"{use.where}: {lack}" for use, lack in lacks if lack is not None and not is_allowed(lack)
    ]
    assert not unsupported, f"rclpy of {distribution} has no\n" + "\n".join(unsupported)


def test_every_fallback_is_still_needed() -> None:
    lacks = {missing(TABLE[d]["modules"], use) for d in DISTRIBUTIONS for use in uses()}
    needed = {is_allowed(lack) for lack in lacks if lack is not None}
    assert set(BEHIND_A_FALLBACK) <= needed


WORKS_EVERYWHERE = """
import rclpy
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy

if TYPE_CHECKING:
    from rclpy.event_handler import SubscriptionEventCallbacks

class Camera(LifecycleNode):
    def __init__(self):
        super().__init__("camera", namespace="front", enable_rosout=False)
        self.frames = 0
        self._timer = self.create_timer(1.0, self.tick)

    def tick(self):
        self.frames += 1
        self._timer.cancel()
        self.get_logger().warning("late", throttle_duration_sec=1.0)
        return TransitionCallbackReturn.SUCCESS

def main(node: "Node | None" = None):
    rclpy.init(args=None)
    profile = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    rclpy.spin(node or Camera())
    print(profile.depth, node.get_clock().now().nanoseconds)
"""


@pytest.mark.parametrize(
    ("addition", "lack"),
    [
        ("from rclpy.event_handler import SubscriptionEventCallbacks", "rclpy.event_handler.Subs"),
        ("rclpy.get_default_contexts()", "rclpy.get_default_contexts"),
        (
            "class A(Camera):\n  def a(self): self.create_timer(1, print, autostart=False)",
            "rclpy.lifecycle.LifecycleNode.create_timer(autostart)",
        ),
        (
            "class B(Camera):\n  def b(self): self.add_post_set_parameters_callback(print)",
            "rclpy.lifecycle.LifecycleNode.add_post_set_parameters_callback",
        ),
        (
            "def c(node: Node): node.create_timer(1, print).is_cancelled()",
            "rclpy.timer.Timer.is_cancelled",
        ),
        ("def d(node: Node): node.get_clock().nowadays()", "rclpy.clock.Clock.nowadays"),
        ("def e(node: Node): node.count_publishers('a', 'b')", "count_publishers(argument 2)"),
        ("def f(node: Node): node._parameters.clear()", "rclpy.node.Node._parameters"),
        ("node = Camera(); node.frames; node.gone", "rclpy.lifecycle.LifecycleNode.gone"),
    ],
)
def test_a_use_that_humble_lacks_is_found(tmp_path: Path, addition: str, lack: str) -> None:
    (tmp_path / "robot").mkdir()
    source = tmp_path / "robot" / "camera.py"
    humble = TABLE["humble"]["modules"]
    source.write_text(WORKS_EVERYWHERE)
    found = uses(tmp_path, "robot")
    assert "rclpy.timer.Timer.cancel" in {use.name for use in found}
    assert [missing(humble, use) for use in found if missing(humble, use)] == []
    source.write_text(WORKS_EVERYWHERE + addition)
    lacks = [missing(humble, use) for use in uses(tmp_path, "robot")]
    assert any(lack in found for found in lacks if found), lacks


@pytest.mark.ros
@pytest.mark.filterwarnings("ignore:importing 'qos_event'")
def test_table_tells_the_truth_about_the_installed_rclpy() -> None:
    pytest.importorskip("rclpy")
    try:
        installed = version("ros-rclpy")
    except PackageNotFoundError:
        pytest.skip("rclpy was not installed by pip: its version is not known here")
    known = [
        d
        for d in DISTRIBUTIONS
        if TABLE[d]["releases"][0].split(".")[0] == installed.split(".")[0]
    ]
    if not known:
        pytest.skip(f"the table has no distribution with rclpy {installed}")
    absent = []
    for module, names in TABLE[known[0]]["modules"].items():
        imported = importlib.import_module(module)
        for name, entry in names.items():
            absent += [] if hasattr(imported, name) else [f"{module}.{name}"]
            members = entry if isinstance(entry, dict) else {}
            callables = [m for m, e in members.items() if e is not None]
            owner = getattr(imported, name, None)
            absent += [f"{module}.{name}.{m}" for m in callables if not hasattr(owner, m)]
    assert absent == []

# SPDX-License-Identifier: Apache-2.0
"""The views of rviz and Foxglove: what they show is there, and what they set is known to them.

Both ignore what they do not know without a word: a topic that nobody publishes, a property of
another name. The names are from their sources, see test/data/make_rviz_names.py and
make_foxglove_names.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from mtinet_ros.install_paths import bundled_model
from mtinet_ros.messages.output_topics import (
    CAMERA_INFO,
    IMAGE,
    POINT_CLOUD,
    ClassClouds,
    MessageFactory,
    output_topics,
)
from mtinet_ros.model_card import read_model_card

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "test" / "data"
CAMERA = "perception/camera"
VIEW = yaml.safe_load((ROOT / "config" / "perception.rviz").read_text())
MANAGER = VIEW["Visualization Manager"]
DISPLAYS = MANAGER["Displays"]
LAYOUT = json.loads((ROOT / "config" / "foxglove.json").read_text())
RVIZ = json.loads((DATA / "rviz_names.json").read_text())["versions"]
FOXGLOVE = json.loads((DATA / "foxglove_names.json").read_text())
# As the node publishes: reliable, keep-last 1, volatile (test_camera_outputs.py holds that).
DEFAULT_OUTPUTS = ("segmentation", "overlay", "depth", "normals", "points")
DISPLAYED = {"rviz_default_plugins/Image": IMAGE, "rviz_default_plugins/PointCloud2": POINT_CLOUD}


def published() -> dict[str, str]:
    """Types by topic, relative, of what the node offers for a camera unless told otherwise."""
    card = read_model_card(bundled_model())
    factory = cast("MessageFactory", None)  # makes messages, and none is made
    topics = output_topics(card, DEFAULT_OUTPUTS, 1, "32FC1", factory, ClassClouds())
    return {f"{CAMERA}/{topic.name}": topic.type_name for topic in topics}


def test_the_outputs_meant_here_are_those_of_the_default_parameters() -> None:
    parameters = yaml.safe_load((ROOT / "config" / "perception.yaml").read_text())
    camera = parameters["/**/perception"]["ros__parameters"]["camera"]
    assert tuple(camera["outputs"]) == DEFAULT_OUTPUTS


# rviz


def test_rviz_shows_every_picture_and_the_cloud_in_displays_for_their_types() -> None:
    shown = {
        display["Topic"]["Value"]: DISPLAYED[display["Class"]]
        for display in DISPLAYS
        if "Topic" in display
    }
    offered = published()
    assert {topic: offered.get(topic) for topic in shown} == shown
    # Ids and unit vectors are no pictures: their colors are shown.
    machines = {f"{CAMERA}/{name}/image" for name in ("segmentation", "normals")}
    pictures = {t for t, kind in offered.items() if kind in (IMAGE, POINT_CLOUD)} - machines
    assert set(shown) == pictures


@pytest.mark.parametrize("branch", RVIZ)
def test_rviz_knows_every_class_that_the_view_names(branch: str) -> None:
    classes = RVIZ[branch]["classes"]
    named = {
        "Display": [display["Class"] for display in DISPLAYS],
        "Panel": [panel["Class"] for panel in VIEW["Panels"]],
        "Tool": [tool["Class"] for tool in MANAGER["Tools"]],
        "ViewController": [MANAGER["Views"]["Current"]["Class"]],
        "FrameTransformer": [MANAGER["Transformation"]["Current"]["Class"]],
    }
    for kind, found in named.items():
        assert set(found) <= set(classes[kind]), kind


@pytest.mark.parametrize("branch", RVIZ)
def test_rviz_knows_every_property_and_choice_that_the_view_sets(branch: str) -> None:
    names = RVIZ[branch]
    parts = [*DISPLAYS, MANAGER["Views"]["Current"]]
    parts.append({"Class": "Global Options", **MANAGER["Global Options"]})
    for part in parts:
        known = set(names["properties"][part["Class"]])
        if "Topic" in known:
            known |= {f"Topic/{name}" for name in names["topic"]}
        found = {path for path in paths(part) if path not in ("Class", "Name", "Value", "Enabled")}
        assert found <= known, (part.get("Name"), found - known)
    for display in DISPLAYS:
        topic = display.get("Topic", {})
        policies = {v for name, v in topic.items() if name.endswith("Policy")}
        assert policies <= set(names["qos"]), display["Name"]
        assert display.get("Style", "Points") in names["styles"]
        transformers = set(names["transformers"])
        used = {display[name] for name in ("Color Transformer", "Position Transformer")
                if name in display}  # fmt: skip
        assert used <= transformers, display["Name"]


def test_rviz_asks_for_no_more_than_the_node_offers() -> None:
    for display in DISPLAYS:
        if "Topic" in display:
            topic = display["Topic"]
            assert topic["Durability Policy"] == "Volatile", display["Name"]
            assert topic["Reliability Policy"] in ("Reliable", "Best Effort"), display["Name"]
            assert (topic["History Policy"], topic["Depth"]) == ("Keep Last", 1), display["Name"]
    frame = MANAGER["Global Options"]["Fixed Frame"]
    assert frame.endswith("optical_frame")


def test_a_processed_bag_plays_into_the_view(tmp_path: Path) -> None:
    """`ros2 bag play` offers what was recorded as its quality of service."""
    pytest.importorskip("rosbags")
    from support.bag_frames import ALL, frame, metadata, write
    from support.tiny_model import tiny_card

    from mtinet_ros.recordings.bag_sink import BagSink

    sink = BagSink(tmp_path / "bag", tiny_card(), ALL)
    sink.begin_part(0)
    write(sink, frame(0, "camera"), frame(1, "camera"))
    sink.finish([sink.end_part()])
    recorded = {
        entry["topic_metadata"]["name"]: entry["topic_metadata"]
        for entry in metadata(tmp_path / "bag")["topics_with_message_count"]
    }
    for display in DISPLAYS:
        if "Topic" in display:
            name = f"/{display['Topic']['Value']}"
            if name.endswith("/confidence"):
                continue  # the model of this bag has none
            topic = recorded[name]
            assert topic["type"] == DISPLAYED[display["Class"]]
            said = topic["offered_qos_profiles"]
            (offered,) = yaml.safe_load(said) if isinstance(said, str) else said
            # By number up to Humble, by name since.
            assert offered["reliability"] in ("reliable", 1)
            assert offered["durability"] in ("volatile", 2)


def paths(part: dict[str, Any], above: str = "") -> Iterator[str]:
    """What is set, as paths; `Value` is of the property above, and x, y, z are of a vector."""
    for name, value in part.items():
        if isinstance(value, dict):
            yield f"{above}{name}"
            if set(value) != {"X", "Y", "Z"}:
                yield from (p for p in paths(value, f"{above}{name}/") if not p.endswith("/Value"))
        else:
            yield f"{above}{name}"


# Foxglove

PANELS = LAYOUT["configById"]


def test_foxglove_arranges_every_panel_once_and_knows_their_kinds() -> None:
    arranged = list(leaves(LAYOUT["layout"]))
    assert sorted(arranged) == sorted(PANELS)
    assert {name.partition("!")[0] for name in arranged} <= set(FOXGLOVE["panels"])


def test_foxglove_shows_topics_of_their_types() -> None:
    offered = {f"/{topic}": kind for topic, kind in published().items()}
    shown: dict[str, str] = {}
    for panel in PANELS.values():
        mode = panel.get("imageMode", {})
        for key, kind in (("imageTopic", IMAGE), ("calibrationTopic", CAMERA_INFO)):
            if key in mode:
                shown[mode[key]] = kind
        shown |= dict.fromkeys(panel.get("topics", {}), POINT_CLOUD)
    assert {topic: offered.get(topic) for topic in shown} == shown
    displayed = {d["Topic"]["Value"] for d in DISPLAYS if "Topic" in d}
    displayed.remove(f"{CAMERA}/segmentation/confidence")  # hidden there at first, too
    assert {t.removeprefix("/") for t, kind in shown.items() if kind != CAMERA_INFO} == displayed
    for panel in PANELS.values():  # the lens of the very picture
        mode = panel.get("imageMode")
        if mode:
            task = mode["imageTopic"].rpartition("/")[0]
            assert mode["calibrationTopic"] == f"{task}/camera_info"


def test_foxglove_knows_every_setting_and_choice() -> None:
    settings = FOXGLOVE["settings"]
    by_kind = {"Image": "ImageConfig", "3D": "ThreeDeeConfig", "Plot": "PlotConfig",
               "DiagnosticSummary": "DiagnosticsSummaryConfig"}  # fmt: skip
    inside = {"imageMode": "ImageModeConfig", "cameraState": "ThreeDeeCameraState",
              "scene": "BaseRendererSceneSettings"}  # fmt: skip
    for name, panel in PANELS.items():
        check(panel, settings[by_kind[name.partition("!")[0]]], name)
        for key, kind in inside.items():
            check(panel.get(key, {}), settings[kind], f"{name}/{key}")
        for topic, of_topic in panel.get("topics", {}).items():
            check(of_topic, settings["BaseRendererPointCloudTopicSettings"], topic)
        for series in panel.get("paths", ()):
            check(series, settings["PlotSeries"], name)
    assert set(LAYOUT) == {
        *("configById", "globalVariables", "userNodes", "playbackConfig", "layout")
    }


def check(part: dict[str, Any], known: dict[str, list[Any] | None], where: str) -> None:
    for key, value in part.items():
        if key in FOXGLOVE["title"]:
            continue
        assert key in known, (where, key)
        choices = known[key]
        assert choices is None or value in choices, (where, key, value)


PATH = re.compile(
    r'/diagnostics\.status\[:\]\{name=="([^"]+)"\}\.values\[:\]\{key=="([^"]+)"\}\.value'
)


@pytest.mark.ros
def test_foxglove_plots_what_diagnostics_say() -> None:
    pytest.importorskip("diagnostic_msgs")
    from mtinet_ros.node.diagnostics import CameraReport, camera_status
    from mtinet_ros.node.statistics import StreamStatistics

    summary = StreamStatistics().summary()
    report = CameraReport("camera", "camera/image_raw", True, True, summary, 5.0, "", 0.0, ())
    status = camera_status("perception", report)
    keys = {pair.key for pair in status.values}
    for panel in PANELS.values():
        for series in panel.get("paths", ()):
            match = PATH.fullmatch(series["value"])
            assert match, series["value"]
            assert match[1] == status.name
            assert match[2] in keys
    for name, panel in PANELS.items():
        if name.startswith("DiagnosticSummary"):
            assert panel["hardwareIdFilter"] == status.hardware_id


def leaves(node: str | dict[str, Any]) -> Iterator[str]:
    if isinstance(node, str):
        yield node
        return
    assert set(node) == {"direction", "first", "second", "splitPercentage"}
    assert node["direction"] in ("row", "column")
    yield from leaves(node["first"])
    yield from leaves(node["second"])

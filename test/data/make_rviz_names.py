# SPDX-License-Identifier: Apache-2.0
"""Write rviz_names.json anew: names of rviz's classes, properties and choices, from its sources.

    python test/data/make_rviz_names.py RVIZ

RVIZ is a clone of https://github.com/ros2/rviz with the branches below. rviz ignores a property
of a name it does not know without a word, so a test holds config/perception.rviz against these.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

BRANCHES = ("humble", "jazzy", "rolling")

PLUGINS = "rviz_default_plugins/src/rviz_default_plugins"
DISPLAYS = f"{PLUGINS}/displays"
TRANSFORMERS = [
    f"{DISPLAYS}/pointcloud/transformers/{name}_pc_transformer.cpp"
    for name in ("axis_color", "flat_color", "intensity", "rgb8", "rgbf32", "xyz")
]
FILTERED = [
    "rviz_common/include/rviz_common/ros_topic_display.hpp",
    "rviz_common/include/rviz_common/message_filter_display.hpp",
]
# Class -> the files whose constructors make its properties.
SOURCES = {
    "rviz_default_plugins/Image": [
        f"{DISPLAYS}/image/image_display.cpp",
        *FILTERED[:1],
    ],
    "rviz_default_plugins/PointCloud2": [
        f"{DISPLAYS}/pointcloud/point_cloud2_display.cpp",
        f"{DISPLAYS}/pointcloud/point_cloud_common.cpp",
        *TRANSFORMERS,
        *FILTERED,
    ],
    "rviz_default_plugins/Camera": [f"{DISPLAYS}/camera/camera_display.cpp", *FILTERED[:1]],
    "rviz_default_plugins/DepthCloud": [
        f"{DISPLAYS}/depth_cloud/depth_cloud_display.cpp",
        f"{DISPLAYS}/pointcloud/point_cloud_common.cpp",
        *TRANSFORMERS,
    ],
    "rviz_default_plugins/Axes": [f"{DISPLAYS}/axes/axes_display.cpp"],
    "rviz_default_plugins/Grid": [f"{DISPLAYS}/grid/grid_display.cpp"],
    "rviz_default_plugins/TF": [f"{DISPLAYS}/tf/tf_display.cpp"],
    "rviz_default_plugins/Orbit": [
        f"{PLUGINS}/view_controllers/orbit/orbit_view_controller.cpp",
        "rviz_common/src/rviz_common/view_controller.cpp",
        "rviz_common/src/rviz_common/frame_position_tracking_view_controller.cpp",
    ],
    "Global Options": ["rviz_common/src/rviz_common/visualization_manager.cpp"],
}
QOS = "rviz_common/src/rviz_common/properties/qos_profile_property.cpp"
PANELS = "rviz_common/src/rviz_common/panel_factory.cpp"
FACTORY = f"{DISPLAYS}/pointcloud/point_cloud_transformer_factory.cpp"
DESCRIPTION = "rviz_default_plugins/plugins_description.xml"
STYLES = f"{DISPLAYS}/pointcloud/point_cloud_common.cpp"

MADE = re.compile(r"(?:(\w+)\s*=\s*)?(?:new\s+|std::make_unique<)([\w:]*Property)>?\s*\(")
CLASS = re.compile(r'<class\s+name="([\w/]+)"\s+type="[\w:]+"\s+base_class_type="([\w:]+)"')


def main() -> None:
    """Write the table beside this file."""
    repository = Path(sys.argv[1])
    versions = {branch: names(repository, branch) for branch in BRANCHES}
    table = {"origin": "https://github.com/ros2/rviz", "versions": versions}
    target = Path(__file__).with_name("rviz_names.json")
    target.write_text(json.dumps(table, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def names(repository: Path, branch: str) -> dict[str, object]:
    """All names of one branch."""

    def read(path: str) -> str:
        command = ["git", "-C", str(repository), "show", f"{branch}:{path}"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    package = read("rviz_default_plugins/package.xml")
    version = re.search(r"<version>([\d.]+)</version>", package)
    commit = subprocess.run(
        ["git", "-C", str(repository), "rev-parse", branch],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    classes: dict[str, list[str]] = {}
    for name, base in CLASS.findall(read(DESCRIPTION)):
        classes.setdefault(base.split("::")[-1], []).append(name)
    classes["Panel"] = [
        f"rviz_common/{name}"
        for name in re.findall(r'addBuiltInClass\(\s*"rviz_common", "([\w ]+)"', read(PANELS))
    ]
    assert version is not None
    return {
        "version": version[1],
        "commit": commit.stdout.strip(),
        "classes": {base: sorted(found) for base, found in classes.items()},
        "properties": {
            name: sorted({found for file in files for found in properties(read(file))})
            for name, files in SOURCES.items()
        },
        "topic": sorted(properties(read(QOS))),
        "qos": sorted(set(re.findall(r'RMW_QOS_POLICY_\w+, "([^"]+)"', read(QOS)))),
        "transformers": re.findall(
            r'addBuiltInClass\(\s*"rviz_default_plugins",\s*"(\w+)"', read(FACTORY)
        ),
        "styles": re.findall(r'style_property_->addOption\("([\w ]+)"', read(STYLES)),
    }


def properties(source: str) -> list[str]:
    """Properties that a source file makes, as paths below the display, e.g. `Topic/Depth`."""
    members: dict[str, str] = {}
    found = []
    for match in MADE.finditer(source):
        arguments = split(source[match.end() :])
        name = re.fullmatch(r'"([^"]*)"', arguments[0])
        if not name:
            continue
        parent = next((members[a] for a in arguments[1:] if a in members), "")
        path = f"{parent}/{name[1]}" if parent else name[1]
        if any(a == "topic_property_" for a in arguments[1:]):
            path = f"Topic/{name[1]}"
        if match[1]:
            members[match[1]] = path
        found.append(path)
    return found


def split(text: str) -> list[str]:
    """Arguments up to the bracket that closes them; strings are kept together."""
    arguments, depth, current = [], 0, ""
    for token in re.findall(r'"(?:\\.|[^"\\])*"|.', text, re.DOTALL):
        if token in "([{<" and token:
            depth += 1
        elif token in ")]}>":
            depth -= 1
            if depth < 0:
                break
        if token == "," and depth == 0:
            arguments.append(current.strip())
            current = ""
        else:
            current += token
    return [*arguments, current.strip()]


if __name__ == "__main__":
    main()

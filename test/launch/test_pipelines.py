# SPDX-License-Identifier: Apache-2.0
"""The pipelines that are shipped name only what their consumers know, and what the node publishes.

None of the consumers can run here; test/data/consumers.json has what their sources declare.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from mtinet_ros.install_paths import bundled_model
from mtinet_ros.messages.output_topics import (
    CAMERA_INFO,
    IMAGE,
    POINT_CLOUD,
    ClassClouds,
    OutputTopic,
    output_topics,
)
from mtinet_ros.model_card import read_model_card
from mtinet_ros.node.settings import CAMERA_PARAMETERS, NODE_PARAMETERS, make_settings
from mtinet_ros.perception.camera_model import CameraModel
from mtinet_ros.perception.prediction import Prediction

ROOT = Path(__file__).parents[2]
PIPELINES = sorted((ROOT / "config" / "pipelines").glob("*.yaml"))
CONSUMERS = json.loads((ROOT / "test" / "data" / "consumers.json").read_text())
LAUNCH_FILES = [file.name.split(".")[0] for file in (ROOT / "launch").glob("*.launch.py")]
PREFIX = "/perception/camera/"


def parameters_of(pipeline: str, node: str) -> dict[str, Any]:
    document = yaml.safe_load((ROOT / "config" / "pipelines" / f"{pipeline}.yaml").read_text())
    parameters: dict[str, Any] = document[f"/**/{node}"]["ros__parameters"]
    return parameters


def constant(launch_file: str, name: str) -> Any:
    """A constant of a launch file, read without importing `launch`."""
    tree = ast.parse((ROOT / "launch" / launch_file).read_text())
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return ast.literal_eval(node.value)
    raise AssertionError(f"{launch_file} has no {name}")


class Clouds:
    """Stands for the maker of messages; of a cloud it keeps the points."""

    def point_cloud(self, points: Any, header: Any) -> Any:
        return points


def topics_of(pipeline: str) -> list[OutputTopic]:
    """Topics below ~/camera of the node with a pipeline's parameters and the bundled model."""
    camera = parameters_of(pipeline, "perception")["camera"]
    clouds = ClassClouds(
        camera.get("obstacles_stride", 4),
        camera.get("ground_classes", ["floor"]),
        camera.get("class_fields", ["floor"]),
    )
    factory: Any = Clouds()
    card = read_model_card(bundled_model())
    return output_topics(card, camera["outputs"], 1, "32FC1", factory, clouds)


def published(pipeline: str) -> dict[str, str]:
    """The types of those topics."""
    return {topic.name: topic.type_name for topic in topics_of(pipeline)}


@pytest.mark.parametrize("file", PIPELINES, ids=lambda file: file.stem)
def test_the_nodes_parameters_of_a_pipeline_are_allowed(file: Path) -> None:
    given = parameters_of(file.stem, "perception")
    camera = given.pop("camera")
    assert set(given) <= set(NODE_PARAMETERS)
    assert set(camera) <= set(CAMERA_PARAMETERS)
    values = {name: spec.default for name, spec in NODE_PARAMETERS.items()} | given
    defaults = {name: spec.default for name, spec in CAMERA_PARAMETERS.items()} | camera
    settings = make_settings(values | {f"camera.{k}": v for k, v in defaults.items()})
    assert settings.cameras[0].image_topic == "camera/image_raw"


def assert_declared(given: dict[str, Any], declared: dict[str, str]) -> None:
    """Names that a consumer declares, and values of their types: rclcpp takes no 6 for a 6.0."""
    assert set(given) <= set(declared)
    for name, value in given.items():
        assert type(value).__name__ == declared[name], f"{name} is {value!r}"


def costmap_sources() -> Iterator[tuple[str, dict[str, Any]]]:
    layer = parameters_of("nav2_costmap", "costmap")["voxel_layer"]
    for name in layer["observation_sources"].split():
        yield name, layer[name]


def test_the_costmap_has_the_parameters_that_nav2_declares() -> None:
    known = CONSUMERS["nav2"]
    costmap = parameters_of("nav2_costmap", "costmap")
    plugins = costmap["plugins"]
    layers = {name: costmap.pop(name) for name in plugins}
    assert_declared(costmap, known["costmap"])
    sources = dict(costmap_sources())
    for layer in layers.values():
        rest = {name: value for name, value in layer.items() if name not in sources}
        assert_declared(rest, known[layer["plugin"]])
    for source in sources.values():
        assert_declared(source, known["observation source"])
    for managed in ("perception", "costmap"):
        manager = parameters_of("nav2_costmap", f"lifecycle_manager_{managed}")
        assert_declared(manager, known["lifecycle_manager"])
        has_bond = managed not in known["nodes without a bond"]
        assert (manager["bond_timeout"] > 0.0) is has_bond, "waits for a bond in vain"


def test_the_costmap_is_cleared_by_the_ground_and_marked_by_the_rest() -> None:
    topics = published("nav2_costmap")
    for name, source in costmap_sources():
        assert topics[source["topic"].removeprefix(PREFIX)] == POINT_CLOUD
        assert source["topic"] == f"{PREFIX}points/{name}"
        assert source["data_type"] == "PointCloud2"
        assert source["marking"] is (name == "obstacles")
        assert source["clearing"] is True
        # nav2's default for the height of a source is 0.0: nothing would come through.
        assert source["min_obstacle_height"] < source["max_obstacle_height"]
        assert source["raytrace_max_range"] >= source.get("obstacle_max_range", 0.0)


def test_the_voxels_hold_the_camera_and_the_floor() -> None:
    """nav2 clears nothing from a sensor outside of them, and has 16 at most."""
    layer = parameters_of("nav2_costmap", "costmap")["voxel_layer"]
    assert layer["z_voxels"] <= 16
    top = layer["origin_z"] + layer["z_voxels"] * layer["z_resolution"]
    assert layer["origin_z"] < 0.0
    assert top > 2.0
    assert top > layer["max_obstacle_height"]


def test_depth_image_proc_gets_a_picture_and_its_depth() -> None:
    consumer, topics = CONSUMERS["depth_image_proc"], published("rgbd")
    remappings = {
        name: topic.format(camera="camera")
        for name, topic in constant("depth_cloud.launch.py", "REMAPPINGS")
    }
    assert set(remappings) == set(consumer["topics"])
    for name, message_type in consumer["topics"].items():
        if name != "points":
            assert topics[remappings[name].removeprefix(PREFIX)] == message_type
    # Newer versions look for CameraInfo beside the picture, wherever that was remapped to.
    parent = remappings["rgb/image_rect_color"].rpartition("/")[0]
    assert remappings["rgb/camera_info"] == f"{parent}/camera_info"
    source = (ROOT / "launch" / "depth_cloud.launch.py").read_text()
    assert f'plugin="{consumer["plugin"]}"' in source
    assert "exact_sync" in consumer["parameters"]


def test_rtabmap_gets_arguments_it_declares_and_topics_that_are_there() -> None:
    arguments, topics = constant("rtabmap.launch.py", "RTABMAP_ARGUMENTS"), published("rgbd")
    assert set(arguments) <= set(CONSUMERS["rtabmap_launch"]["arguments"])
    types = {"rgb_topic": IMAGE, "depth_topic": IMAGE, "camera_info_topic": CAMERA_INFO}
    for name, message_type in types.items():
        topic = arguments[name].format(camera="camera")
        assert topics[topic.removeprefix(PREFIX)] == message_type


def test_the_odometry_that_the_page_names_for_rtabmap_needs_no_stamp_of_an_image() -> None:
    """A topic of odometry is among what is synchronized exactly, and has stamps of its own."""
    page = (ROOT / "docs" / "pipelines.md").read_text(encoding="utf-8")
    (command,) = (line for line in page.splitlines() if "mtinet_ros rtabmap.launch.py" in line)
    given = dict(word.split(":=") for word in command.split("#")[0].split() if ":=" in word)
    assert constant("rtabmap.launch.py", "RTABMAP_ARGUMENTS")["approx_sync"] == "false"
    assert set(given) <= set(CONSUMERS["rtabmap_launch"]["arguments"])
    assert given["visual_odometry"] == "false"
    assert given["odom_frame_id"]
    assert "odom_topic" not in given


@pytest.mark.parametrize("pipeline", ["elevation_mapping", "elevation_mapping_semantic"])
def test_the_elevation_map_gets_parameters_it_reads_and_clouds_that_are_there(
    pipeline: str,
) -> None:
    consumer, topics = CONSUMERS["elevation_mapping_cupy"], published(pipeline)
    given = parameters_of(pipeline, "elevation_mapping_node")
    subscribers, publishers = given.pop("subscribers"), given.pop("publishers")
    assert_declared(given, consumer["parameters"])
    for subscriber in subscribers.values():
        assert set(subscriber) <= set(consumer["subscriber"])
        assert subscriber["data_type"] == "pointcloud"
        assert topics[subscriber["topic_name"].removeprefix(PREFIX)] == POINT_CLOUD
    channels = [name for s in subscribers.values() for name in s.get("channels", [])]
    for publisher in publishers.values():
        assert set(publisher) == set(consumer["publisher"])
        assert set(publisher["basic_layers"]) <= set(publisher["layers"])
        # Versions for Jazzy end with an exception at a layer that they do not have.
        assert set(publisher["layers"]) - set(channels) <= set(consumer["layers"])


def test_the_map_of_classes_gets_a_cloud_of_nothing_but_layers() -> None:
    """Its node makes a layer of every field, of whose bytes it takes the first four as a float;
    a point that is NaN would leave the fields of Python's nodes longer than their points."""
    (topic,) = (t for t in topics_of("elevation_mapping_semantic") if t.name == "points/classes")
    depth = np.ones((4, 4), np.float32)
    depth[2] = np.nan
    seen = Prediction(
        np.zeros((4, 4, 3), np.uint8),
        labels=np.zeros((4, 4), np.uint8),
        depth=depth,
        confidence=np.full((4, 4), 51, np.uint8),
        camera=CameraModel.pinhole(4, 4, 4.0, 4.0, 1.5, 1.5),
    )
    points = topic.encode(seen, None)
    map_node = parameters_of("elevation_mapping_semantic", "elevation_mapping_node")
    channels = map_node["subscribers"]["classes"]["channels"]
    assert points.dtype.names == ("x", "y", "z", *channels)
    assert {kind for kind, _ in points.dtype.fields.values()} == {np.dtype(np.float32)}
    assert points.shape == (1, 2)  # every second pixel of every second row, of which one has depth
    assert points["wall"].tolist() == [[pytest.approx(0.2)] * 2]
    assert set(channels) < set(map_node["publishers"]["elevation_map"]["layers"])


def test_the_launch_file_finds_the_map_under_each_name_that_its_versions_have() -> None:
    known = CONSUMERS["elevation_mapping_cupy"]["executables"]
    assert list(constant("elevation_mapping.launch.py", "EXECUTABLES")) == known
    source = (ROOT / "launch" / "elevation_mapping.launch.py").read_text()
    assert "ParameterFile(str(core), allow_substs=True)" in source  # $(find-pkg-share …) in it


def test_no_consumer_asks_for_more_than_the_node_offers() -> None:
    """Which is reliable and volatile, as test_camera_outputs.py holds."""
    asked = [
        profile
        for consumer in ("nav2", "depth_image_proc", "elevation_mapping_cupy")
        for profile in CONSUMERS[consumer]["quality of service"].values()
    ]
    qos = constant("rtabmap.launch.py", "RTABMAP_ARGUMENTS")["qos"]
    asked.append(CONSUMERS["rtabmap_launch"]["quality of service by qos"][qos])
    assert len(asked) == 7
    for reliability, durability in asked:
        assert reliability in ("reliable", "best effort")
        assert durability == "volatile"


def test_the_drivers_have_parameters_and_topics_of_their_own() -> None:
    drivers = constant("camera.launch.py", "DRIVERS")
    assert set(drivers) == set(CONSUMERS["drivers"])
    for name, driver in drivers.items():
        known = CONSUMERS["drivers"][name]
        assert driver["plugin"] == known["plugin"]
        assert set(driver["parameters"]) <= set(known["parameters"])
        topics = {driver["topics"].get(topic, topic) for topic in known["topics"]}
        assert topics == {"image_raw", "camera_info"}  # what perception looks for


@pytest.mark.parametrize("name", ["nav2_costmap", "rtabmap", "depth_cloud", "camera"])
def test_what_is_not_installed_is_told_before_anything_has_started(name: str) -> None:
    """launch ends with the exception and leaves the node running, in the way of the next one."""
    source = (ROOT / "launch" / f"{name}.launch.py").read_text()
    tree = ast.parse(source)
    started = {
        value.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        for value in (
            *(word.value for word in node.keywords if word.arg == "package"),
            *(node.args if ast.unparse(node.func) == "FindPackageShare" else []),
        )
        if isinstance(value, ast.Constant)
    }
    (require,) = (f for f in tree.body if isinstance(f, ast.FunctionDef) and f.name == "require")
    loop = next(node for node in ast.walk(require) if isinstance(node, ast.For))
    required = ast.unparse(loop.iter)
    if required == "PACKAGES":
        required = str(constant(f"{name}.launch.py", "PACKAGES"))
    assert started
    assert all(f"'{package}'" in required for package in started)
    description = source[source.index("def generate_launch_description") :]
    assert description.index("function=require") < description.index("IncludeLaunchDescription(")


@pytest.mark.parametrize("name", sorted(set(LAUNCH_FILES) - {"perception"}))
def test_perception_comes_first_since_it_may_refuse_the_params_file(name: str) -> None:
    """What had started before that sentence would be left running."""
    source = (ROOT / "launch" / f"{name}.launch.py").read_text()
    starting = ("Node(", "ComposableNodeContainer(", "PythonLaunchDescriptionSource(rtabmap)")
    functions = [
        f"function={function.name})"
        for function in ast.parse(source).body
        if isinstance(function, ast.FunctionDef) and function.name != "generate_launch_description"
        if any(word in ast.unparse(function) for word in starting)
    ]
    description = source[source.index("def generate_launch_description") :].split("\n\n\n")[0]
    places = [description.index(step) for step in (*functions, *starting) if step in description]
    assert description.index('"perception.launch.py"') < min(places)


def test_every_launch_file_gives_perception_arguments_it_declares() -> None:
    tree = ast.parse((ROOT / "launch" / "perception.launch.py").read_text())
    declared = {
        ast.literal_eval(call.args[0])
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "DeclareLaunchArgument"
    }
    for file in (ROOT / "launch").glob("*.launch.py"):
        source = file.read_text()
        if file.name == "perception.launch.py":
            continue
        assert '"perception.launch.py"' in source
        for call in ast.walk(ast.parse(source)):
            if isinstance(call, ast.keyword) and call.arg == "launch_arguments":
                for given in ast.walk(call.value):
                    if isinstance(given, ast.Dict):
                        assert {ast.literal_eval(key) for key in given.keys if key} <= declared

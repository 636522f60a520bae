# SPDX-License-Identifier: Apache-2.0
"""Every parameter: what is allowed is taken, what is not is refused with a sentence."""

from __future__ import annotations

import math
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from mtinet_ros.errors import ConfigurationError
from mtinet_ros.node import parameter_docs
from mtinet_ros.node.parameter_spec import Changeable
from mtinet_ros.node.settings import (
    CAMERA_PARAMETERS,
    NODE_PARAMETERS,
    CameraSettings,
    NodeSettings,
    camera_parameter_spec,
    check_camera_names,
    image_and_info_topics,
    make_settings,
    parameter_spec,
)

ROOT = Path(__file__).resolve().parents[2]


def values(cameras: list[str] | None = None, **changes: Any) -> dict[str, Any]:
    cameras = ["camera"] if cameras is None else cameras
    result: dict[str, Any] = {name: spec.default for name, spec in NODE_PARAMETERS.items()}
    result["cameras"] = cameras
    for camera in cameras:
        for key in CAMERA_PARAMETERS:
            result[f"{camera}.{key}"] = camera_parameter_spec(camera, key).default
    return {**result, **{name.replace("__", "."): value for name, value in changes.items()}}


def settings(**changes: Any) -> NodeSettings:
    return make_settings(values(**changes))


def test_the_defaults_are_allowed_and_are_the_designs() -> None:
    made = settings()
    assert made.backend == "auto"
    assert made.fit == "letterbox"
    assert made.output_size == "network"
    assert made.max_batch == 8
    assert made.cameras == (
        CameraSettings(
            name="camera",
            image_topic="camera/image_raw",
            camera_info_topic="",
            transport="raw",
            outputs=("segmentation", "overlay", "depth", "normals", "points"),
            rectify="auto",
            max_rate=0.0,
            max_age_ms=0.0,
            points_stride=1,
            ground_classes=("floor",),
            obstacles_stride=4,
            class_fields=("floor",),
        ),
    )


@pytest.mark.parametrize(
    ("name", "bad", "allowed"),
    [
        ("backend", "tensorflow", "auto, "),
        ("fit", "crop", "letterbox, stretch"),
        ("output_size", "big", "network, camera"),
        ("depth_encoding", "64FC1", "32FC1, 16UC1"),
        ("device_id", -1, "from 0 to 63"),
        ("max_batch", 0, "from 1 to 64"),
        ("batch_window_ms", -1.0, "from 0 to 1000"),
        ("pipelined", "maybe", "auto, on, off"),
        ("camera__max_age_ms", math.inf, "from 0 to 60000"),
        ("silence_timeout", 0.0, "from 0.5 to 3600"),
        ("silence_timeout", math.nan, "from 0.5 to 3600"),
        ("camera__transport", "theora", "raw, compressed"),
        ("camera__rectify", "on", "auto, off"),
        ("camera__outputs", ["depth", "edges"], "'edges'.*segmentation, overlay, depth"),
        ("camera__max_rate", -0.1, "from 0 to 1000"),
        ("camera__max_rate", math.inf, "from 0 to 1000"),
        ("camera__max_rate", math.nan, "from 0 to 1000"),
        ("camera__points_stride", 0, "from 1 to 64"),
        ("camera__image_topic", "", "name the topic"),
        ("camera__image_topic", "my topic", "cannot be a topic name.*/front/image_raw"),
        ("camera__image_topic", "/a//b", "cannot be a topic name"),
        ("camera__image_topic", "a/", "cannot be a topic name"),
        ("camera__image_topic", "/", "cannot be a topic name"),
        ("camera__image_topic", "a/2b", "cannot be a topic name"),
        ("camera__image_topic", "a\n", "cannot be a topic name"),
        ("camera__camera_info_topic", "größe", "cannot be a topic name"),
    ],
)
def test_a_bad_value_is_refused_by_name_with_what_is_allowed(
    name: str, bad: Any, allowed: str
) -> None:
    with pytest.raises(ConfigurationError, match=rf"(?s){name.replace('__', '.')}: .*{allowed}"):
        settings(**{name: bad})


def test_on_and_off_are_words_where_yaml_reads_true_and_false() -> None:
    pipelined, build_only = parameter_spec("pipelined"), parameter_spec("build_only")
    assert pipelined is not None
    assert build_only is not None
    assert [pipelined.coerce(value) for value in (True, False, "auto")] == ["on", "off", "auto"]
    assert build_only.coerce(True) is True


def test_every_choice_and_limit_is_itself_allowed() -> None:
    for name in values():
        spec = parameter_spec(name)
        assert spec is not None
        key = name.replace(".", "__")
        for choice in spec.choices:
            settings(**{key: [choice] if isinstance(spec.default, list) else choice})
        for limit in (spec.minimum, spec.maximum):
            if limit is not None:
                settings(**{key: type(spec.default)(limit)})  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("names", "allowed"),
    [
        ([], "from 1 to 8"),
        ([f"c{i}" for i in range(9)], "from 1 to 8"),
        (["a", "a"], "once"),
        (["2nd"], "letter first"),
        (["front-left"], "letter first"),
        (["a__b"], "single underscores"),
        ([""], "letter first"),
        (["a.b"], "letter first"),
        (["a/b"], "letter first"),
        (["camera\n"], "letter first"),
        (["kamera_ü"], "letter first"),
        (["model"], "name of a parameter"),
        (["qos_overrides"], "name of a parameter"),
        (["engine"], "/diagnostics"),
    ],
)
def test_bad_camera_names_are_refused(names: list[str], allowed: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"cameras: .*{allowed}"):
        check_camera_names(names)


def test_each_camera_has_its_own_block() -> None:
    made = make_settings({**values(["front", "rear"]), "rear.max_rate": 5.0})
    assert [c.name for c in made.cameras] == ["front", "rear"]
    assert [c.image_topic for c in made.cameras] == ["front/image_raw", "rear/image_raw"]
    assert [c.max_rate for c in made.cameras] == [0.0, 5.0]


@pytest.mark.parametrize(
    ("image", "info", "transport", "expected"),
    [
        ("camera/image_raw", "", "raw", ("camera/image_raw", "camera/camera_info")),
        ("/front/color/image", "", "raw", ("/front/color/image", "/front/color/camera_info")),
        ("image", "", "raw", ("image", "camera_info")),
        ("/image", "", "raw", ("/image", "/camera_info")),
        ("~/image", "", "raw", ("~/image", "~/camera_info")),
        ("a/b/c/image", "/x/info", "raw", ("a/b/c/image", "/x/info")),
        ("cam/image", "", "compressed", ("cam/image/compressed", "cam/camera_info")),
        ("cam/image/compressed", "", "compressed", ("cam/image/compressed", "cam/camera_info")),
        ("image", "", "compressed", ("image/compressed", "camera_info")),
    ],
)
def test_topics_are_laid_out_as_image_transport_does(
    image: str, info: str, transport: str, expected: tuple[str, str]
) -> None:
    made = settings(
        camera__image_topic=image, camera__camera_info_topic=info, camera__transport=transport
    )
    assert image_and_info_topics(made.cameras[0]) == expected


def test_names_of_others_are_not_ours() -> None:
    assert parameter_spec("use_sim_time") is None
    assert parameter_spec("camera.nonsense") is None
    assert parameter_spec("qos_overrides./camera/image_raw.subscription.reliability") is None
    assert parameter_spec("rear.image_topic").default == "rear/image_raw"  # type: ignore[union-attr]


def test_what_needs_new_topics_or_a_new_model_cannot_change_under_way() -> None:
    always = {n for n in values() if parameter_spec(n).changeable is Changeable.ALWAYS}  # type: ignore[union-attr]
    assert always == {
        "output_size",
        "depth_encoding",
        "silence_timeout",
        "batch_window_ms",
        "camera.rectify",
        "camera.max_rate",
        "camera.max_age_ms",
        "camera.points_stride",
        "camera.obstacles_stride",
    }


def test_the_documentation_says_what_the_settings_declare() -> None:
    page = (ROOT / "docs" / "parameters.md").read_text(encoding="utf-8")
    assert page == parameter_docs.render_markdown(), (
        "run `python -m mtinet_ros.node.parameter_docs markdown > docs/parameters.md`"
    )
    for name in (*NODE_PARAMETERS, *CAMERA_PARAMETERS):
        assert f"| `{name}` |" in page


def test_the_config_file_says_what_the_settings_declare() -> None:
    config = (ROOT / "config" / "perception.yaml").read_text(encoding="utf-8")
    assert config == parameter_docs.render_yaml(), (
        "run `python -m mtinet_ros.node.parameter_docs yaml > config/perception.yaml`"
    )
    assert all(len(line) <= 99 for line in config.splitlines()), "a summary is too long"


@pytest.mark.ros
def test_the_config_file_as_ros_reads_it_sets_every_default(ros_domain: int) -> None:
    import rclpy

    context = rclpy.Context()
    config = ROOT / "config" / "perception.yaml"
    rclpy.init(args=["--ros-args", "--params-file", str(config)], context=context)
    try:
        node = rclpy.create_node(
            "perception",
            context=context,
            start_parameter_services=False,
            automatically_declare_parameters_from_overrides=True,
        )
        given = {name: node.get_parameter(name).value for name in values()}
        node.destroy_node()
    finally:
        rclpy.try_shutdown(context=context)
    assert given == values()
    assert {n: type(v) for n, v in given.items()} == {n: type(v) for n, v in values().items()}


def test_every_field_of_the_settings_is_a_declared_parameter() -> None:
    """A field without a declaration could not be set by anybody."""
    assert {field.name for field in fields(NodeSettings)} == set(NODE_PARAMETERS)
    assert {field.name for field in fields(CameraSettings)} == {"name", *CAMERA_PARAMETERS}

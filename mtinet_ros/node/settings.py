# SPDX-License-Identifier: Apache-2.0
"""The node's parameters: each is one field of `NodeSettings` or `CameraSettings`.

The field carries its parameter's `ParameterSpec`: default, meaning, limits, and when it may be
changed. What the node declares and checks (`parameters`), docs/parameters.md and
config/perception.yaml (`parameter_docs`) follow from these fields. No ROS in here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from mtinet_ros.errors import ConfigurationError
from mtinet_ros.inference import BACKEND_CHOICES, CPU_PRECISIONS
from mtinet_ros.model_contract import FIT_MODES
from mtinet_ros.node.parameter_spec import SPEC, Changeable, ParameterSpec, parameter

OUTPUTS = ("segmentation", "overlay", "depth", "normals", "points", "rgb", "obstacles", "classes")
_DEFAULT_OUTPUTS = OUTPUTS[:5]
MAX_CAMERAS = 8

# A name as rcl takes it (https://design.ros2.org/articles/topic_and_service_names.html).
_TOPIC = r"(~/|/)?[A-Za-z_]\w*(/[A-Za-z_]\w*)*"


@dataclass(frozen=True)
class CameraSettings:
    """The parameters of one camera; `{camera}` in a default stands for the camera's name."""

    name: str
    image_topic: str = parameter(
        "{camera}/image_raw", "Topic of the images, relative to the node's namespace"
    )
    camera_info_topic: str = parameter(
        "", "Topic of CameraInfo; empty: camera_info beside the images"
    )
    transport: str = parameter(
        "raw",
        "Transport of the images: raw or compressed",
        "raw is sensor_msgs/Image, compressed is sensor_msgs/CompressedImage (jpeg, png) on "
        "<image_topic>/compressed",
        choices=("raw", "compressed"),
    )
    outputs: tuple[str, ...] = parameter(
        list(_DEFAULT_OUTPUTS),
        "What to advertise; what nobody subscribes to is not converted or published",
        choices=OUTPUTS,
    )
    rectify: str = parameter(
        "auto",
        "Undistort images: auto (if CameraInfo has distortion) or off",
        "off is for topics that are rectified already (image_rect)",
        changeable=Changeable.ALWAYS,
        choices=("auto", "off"),
    )
    max_rate: float = parameter(
        0.0,
        "Most frames to process, in Hz; 0: as many as possible",
        changeable=Changeable.ALWAYS,
        minimum=0.0,
        maximum=1000.0,
    )
    max_age_ms: float = parameter(
        0.0,
        "Oldest image that is worth an answer, in ms; 0: any",
        "the age of its stamp when it comes in and its wait for the network count; one that is "
        "older is dropped, and /diagnostics says so",
        changeable=Changeable.ALWAYS,
        minimum=0.0,
        maximum=60000.0,
    )
    points_stride: int = parameter(
        1,
        "Every n-th pixel in both directions is in the point cloud",
        changeable=Changeable.ALWAYS,
        minimum=1,
        maximum=64,
    )
    ground_classes: tuple[str, ...] = parameter(
        ["floor"],
        "Classes that a robot may drive on; for the output obstacles",
        "points of these are published as points/ground, all others as points/obstacles",
    )
    obstacles_stride: int = parameter(
        4,
        "As points_stride, for the clouds by class",
        changeable=Changeable.ALWAYS,
        minimum=1,
        maximum=64,
    )
    class_fields: tuple[str, ...] = parameter(
        ["floor"],
        "Classes with a field of their own; for the output classes",
        "in points/classes a point has its confidence (1 without one) in the field of its class, "
        "0 in the others: for maps that average what a cloud says, cell by cell",
    )


@dataclass(frozen=True)
class NodeSettings:
    """All parameters at one moment."""

    cameras: tuple[CameraSettings, ...] = parameter(
        ["camera"],
        f"Names of the cameras, 1 to {MAX_CAMERAS}; each has a block of its own",
        "its topics are below ~/<name>/",
        changeable=Changeable.NEVER,
    )
    model: str = parameter(
        "",
        "Path of an ONNX model made by `mtinet export`; empty: mtinet_indoor",
        "or the name of a bundled one; mtinet_indoor_rendered has seen no real pictures",
    )
    backend: str = parameter(
        "auto",
        f"Runs the model: {', '.join(BACKEND_CHOICES)}",
        "auto is the fastest that can run here",
        choices=BACKEND_CHOICES,
    )
    device_id: int = parameter(
        0, "Number of the GPU, for backends that use one", minimum=0, maximum=63
    )
    max_batch: int = parameter(
        8, "Most cameras to run through the network at once", minimum=1, maximum=64
    )
    batch_window_ms: float = parameter(
        0.0,
        "Longest wait for other cameras' images to share a run of the network",
        "in ms; 0: none. It ends as soon as all have come that are due within it; for a camera "
        "that has fallen silent there is no wait",
        changeable=Changeable.ALWAYS,
        minimum=0.0,
        maximum=1000.0,
    )
    pipelined: str = parameter(
        "auto",
        "Work on images beside the network: auto, on or off",
        "on decodes the next images and publishes the last ones while the network runs; auto is "
        "on where the network runs on a GPU, which leaves the CPU free for it",
        choices=("auto", "on", "off"),
    )
    cpu_precision: str = parameter(
        "auto",
        f"Arithmetic on a CPU: {', '.join(CPU_PRECISIONS)}",
        "auto is bf16 where the CPU multiplies it and the model's card has a report that this "
        "costs little; bf16 on another CPU falls back to f32",
        choices=CPU_PRECISIONS,
    )
    cpu_threads: int = parameter(
        0,
        "Most threads computing on a CPU; 0: one for each CPU it may use",
        "its CPU affinity and its container's quota count",
        minimum=0,
        maximum=1024,
    )
    fit_on_gpu: bool = parameter(
        False,
        "Decode raw images and bring them to the network's size on the GPU",
        "with TensorRT and NVRTC, for images that need no rectification; each kind of image is "
        "held against the CPU's result first. No GPU has run it yet, so it is off",
    )
    engine_cache_dir: str = parameter(
        "", "Folder for TensorRT engines; empty: $XDG_CACHE_HOME/mtinet_ros"
    )
    workspace_mb: int = parameter(
        0,
        "Most scratch memory for building engines, in MiB; 0: TensorRT's limit",
        "it bounds what one layer may take",
        minimum=0,
        maximum=1 << 20,
    )
    build_only: bool = parameter(
        False,
        "Load the model at once, building its engine if need be, and end",
        "the process's status is 0, or 1 if that failed",
    )
    fit: str = parameter(
        "letterbox",
        "How an image is brought to the network's size: letterbox or stretch",
        "letterbox keeps its aspect ratio and adds borders, stretch fills the input and makes "
        "metric depth approximate",
        choices=FIT_MODES,
    )
    output_size: str = parameter(
        "network",
        "Size of what is published: network or camera",
        "network is as computed, borders cropped; camera is brought back to the size of the "
        "camera's image",
        changeable=Changeable.ALWAYS,
        choices=("network", "camera"),
    )
    depth_encoding: str = parameter(
        "32FC1",
        "Encoding of depth images: 32FC1 (metres) or 16UC1 (millimetres)",
        "invalid is NaN or 0, as REP 118 says",
        changeable=Changeable.ALWAYS,
        choices=("32FC1", "16UC1"),
    )
    silence_timeout: float = parameter(
        5.0,
        "Seconds without an image after which the node warns",
        "it says whom it found publishing",
        changeable=Changeable.ALWAYS,
        minimum=0.5,
        maximum=3600.0,
    )
    bond_period: float = parameter(
        0.25,
        "Seconds between heartbeats for nav2's lifecycle manager; 0: none",
        "a bond, what nav2's own servers call bond_heartbeat_period; needs the package `bond`, "
        "which comes with nav2",
        minimum=0.0,
        maximum=60.0,
    )


def _parameters(settings: type[CameraSettings] | type[NodeSettings]) -> dict[str, ParameterSpec]:
    """The parameters that a settings class declares, by name, in the order of its fields."""
    return {f.name: f.metadata[SPEC] for f in fields(settings) if SPEC in f.metadata}


NODE_PARAMETERS = _parameters(NodeSettings)
CAMERA_PARAMETERS = _parameters(CameraSettings)


def camera_parameter_spec(camera: str, key: str) -> ParameterSpec:
    """The declaration of a camera's parameter, with the camera's name in its default."""
    spec = CAMERA_PARAMETERS[key]
    if isinstance(spec.default, str):
        return replace(spec, default=spec.default.format(camera=camera))
    return spec


def parameter_spec(name: str) -> ParameterSpec | None:
    """The declaration of a parameter by its full name, e.g. `front.max_rate`.

    Returns:
        None for a name that is no parameter of this node, such as `use_sim_time`.
    """
    if name in NODE_PARAMETERS:
        return NODE_PARAMETERS[name]
    camera, _, key = name.partition(".")
    return camera_parameter_spec(camera, key) if key in CAMERA_PARAMETERS else None


def check_camera_names(names: Sequence[str]) -> None:
    """Refuse names that cannot be part of a topic, are repeated, or are too many or too few.

    Raises:
        ConfigurationError: It names the value and what is allowed.
    """
    if not 1 <= len(names) <= MAX_CAMERAS:
        raise ConfigurationError(
            f"cameras: {len(names)} names given; from 1 to {MAX_CAMERAS} are allowed"
        )
    for name in names:
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) or "__" in name:
            raise ConfigurationError(
                f"cameras: {name!r} cannot be part of a topic name; use letters, digits and "
                "single underscores, a letter first"
            )
        if name == "engine":
            raise ConfigurationError(
                f"cameras: {name!r} is what /diagnostics calls the network; choose another"
            )
        if name in NODE_PARAMETERS or name == "qos_overrides":
            raise ConfigurationError(
                f"cameras: {name!r} is the name of a parameter; choose another"
            )
    if len(set(names)) != len(names):
        raise ConfigurationError(
            f"cameras: {', '.join(names)} repeats a name; each may appear once"
        )


def make_settings(values: Mapping[str, Any]) -> NodeSettings:
    """Settings from parameter values by full name, checked one by one and as a whole.

    Raises:
        ConfigurationError: A value is not allowed; the message says what is.
    """
    check_camera_names(values["cameras"])
    for name, value in values.items():
        spec = parameter_spec(name)
        if spec is not None:
            spec.check(name, value)
    of_node = {name: _immutable(values[name]) for name in NODE_PARAMETERS}
    of_node["cameras"] = tuple(_camera_settings(camera, values) for camera in values["cameras"])
    return NodeSettings(**of_node)


def _camera_settings(camera: str, values: Mapping[str, Any]) -> CameraSettings:
    settings = CameraSettings(
        name=camera, **{key: _immutable(values[f"{camera}.{key}"]) for key in CAMERA_PARAMETERS}
    )
    if not settings.image_topic:
        raise ConfigurationError(
            f"{camera}.image_topic: '' is not allowed; name the topic of the camera's images"
        )
    _check_topic(f"{camera}.image_topic", settings.image_topic)
    if settings.camera_info_topic:
        _check_topic(f"{camera}.camera_info_topic", settings.camera_info_topic)
    return settings


def _immutable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _check_topic(parameter_name: str, topic: str) -> None:
    """Refuse what cannot be the name of a topic."""
    if not re.fullmatch(_TOPIC, topic, re.ASCII):
        raise ConfigurationError(
            f"{parameter_name}: {topic!r} cannot be a topic name; use words of letters, digits "
            "and underscores (a digit never first) joined by single slashes, e.g. "
            "/front/image_raw"
        )


def image_and_info_topics(settings: CameraSettings) -> tuple[str, str]:
    """The topics to subscribe to, as image_transport lays them out.

    Returns:
        The image topic (with the transport's suffix) and the camera_info topic: for
        `camera/image_raw`, compressed, these are `camera/image_raw/compressed` and
        `camera/camera_info`.
    """
    suffix = "" if settings.transport == "raw" else f"/{settings.transport}"
    base = settings.image_topic
    if suffix:
        base = base.removesuffix(suffix)
    parent, slash, _ = base.rpartition("/")
    info = settings.camera_info_topic or f"{parent}{slash}camera_info"
    return base + suffix, info

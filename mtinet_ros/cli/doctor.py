# SPDX-License-Identifier: Apache-2.0
"""`mtinet doctor`: what this machine has for mtinet_ros, what it lacks, and what to do."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import platform
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from mtinet_ros.errors import BackendUnavailableError, ConfigurationError, ModelError

# Each participant of a Fast DDS domain takes a segment of this size from /dev/shm.
_SEGMENT_MB = 64

# Distributions whose version decides what works, by what they are for.
_PACKAGES = (
    ("mtinet_ros", "this package"),
    ("numpy", "runtime"),
    ("opencv-python", "runtime"),
    ("onnxruntime", "inference on the CPU"),
    ("openvino", "faster inference on the CPU"),
    ("tensorrt", "inference on an NVIDIA GPU"),
    ("tensorrt-rtx-cu13", "inference on an NVIDIA RTX GPU"),
    ("pycuda", "inference on an NVIDIA GPU"),
    ("cuda-bindings", "the same, from wheels"),
    ("torch", "export, training"),
    ("onnx", "export"),
    ("onnxslim", "export"),
    ("safetensors", "export, training"),
)
# The same module under another name of distribution.
_ALTERNATIVES = {
    "opencv-python": ("opencv-python-headless", "opencv-contrib-python"),
    "tensorrt": ("tensorrt-cu13", "tensorrt-cu12"),
    "tensorrt-rtx-cu13": ("tensorrt-rtx-cu12",),
}
# What apt brings without metadata that pip would know.
_MODULES = {"opencv-python": "cv2"}


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        topic: What was looked at.
        status: `ok`, `missing` (something cannot be used) or `warning` (it works, but badly).
        text: What was found.
        advice: What to do about it; empty if nothing.
    """

    topic: str
    status: str
    text: str
    advice: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--json", action="store_true", help="for programs: the findings as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print the findings; 1 if nothing here can run a model."""
    backends = list(_backends())
    findings = list(examine(backends))
    if arguments.json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            print(f"[{finding.status:^7}] {finding.topic:<22} {finding.text}")
            if finding.advice:
                print(f"{'':33}-> {finding.advice}")
    return 0 if any(finding.status == "ok" for finding in backends) else 1


def examine(backends: Iterable[Finding]) -> Iterator[Finding]:
    """Look at everything in turn; `backends` are findings that take their place among the rest."""
    yield Finding("system", "ok", f"{platform.platform()}, Python {platform.python_version()}")
    yield from _packages()
    yield from backends
    yield _cpu()
    yield _gpu()
    yield _cuda_for_python()
    yield _engine_cache()
    yield _ros()
    yield _shared_memory(Path("/dev/shm"))
    yield _transport_profile()
    yield _model()


def _packages() -> Iterator[Finding]:
    for name, purpose in _PACKAGES:
        version = _version(name)
        if version is not None:
            yield Finding(f"package {name}", "ok", f"{version} ({purpose})")
        elif purpose == "runtime":
            yield Finding(
                f"package {name}", "missing", f"not installed ({purpose})", f"pip install {name}"
            )


def _version(name: str) -> str | None:
    for candidate in (name, *_ALTERNATIVES.get(name, ())):
        try:
            return metadata.version(candidate)
        except metadata.PackageNotFoundError:
            continue
    return _version_of_module(_MODULES[name]) if name in _MODULES else None


def _version_of_module(name: str) -> str | None:
    """What the module itself says, or None if there is none."""
    try:
        return str(importlib.import_module(name).__version__)
    except ImportError:
        return None


def _backends() -> Iterator[Finding]:
    from mtinet_ros.inference import selection

    for name in selection.BACKENDS:
        try:
            selection.check_available(name, 0)
        except BackendUnavailableError as error:
            yield Finding(
                f"backend {name}", "missing", f"cannot run here: {error.problem}", error.advice
            )
        else:
            yield Finding(f"backend {name}", "ok", "can run here")


def _cpu() -> Finding:
    """What a model runs in on this CPU, and on how much of it."""
    from mtinet_ros.inference.cpu_precision import cpu_capabilities
    from mtinet_ros.inference.cpu_settings import available_cpus

    threads = available_cpus()
    text = f"{threads} of {os.cpu_count()} CPUs may be used"
    capabilities = cpu_capabilities()
    if "BF16" in capabilities:
        text += "; multiplies bf16: models run in it whose card has a passing report on that"
    elif capabilities:
        text += "; does not multiply bf16: models run in fp32"
    else:
        text += "; without OpenVINO models run in fp32"
    return Finding("CPU", "ok", text)


def _gpu() -> Finding:
    driver = _first_line(Path("/proc/driver/nvidia/version"))
    jetson = _first_line(Path("/etc/nv_tegra_release"))
    found = f"Jetson: {jetson}" if jetson is not None else driver
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if found is not None and visible is not None:
        return Finding(
            "NVIDIA GPU",
            "warning",
            f"{found}; CUDA_VISIBLE_DEVICES is {visible!r}",
            "CUDA sees no other GPU than those it names, counted from 0, and none if it is empty: "
            "unset it to see all",
        )
    if found is not None:
        return Finding("NVIDIA GPU", "ok", found)
    return Finding(
        "NVIDIA GPU",
        "missing",
        "no NVIDIA driver is loaded (/proc/driver/nvidia does not exist)",
        "the CPU backends work without; with a GPU, install its driver, and in a container start "
        "it with --gpus all",
    )


def _cuda_for_python() -> Finding:
    from mtinet_ros.inference.cuda import cuda_packages

    topic = "CUDA for Python"
    packages = cuda_packages()
    used = next((package for package in packages if package.is_used), None)
    broken = next((package for package in packages if package.problem), None)
    if broken is not None:
        instead = f"; {used.name} is used instead" if used else ""
        return Finding(
            topic, "warning" if used else "missing", broken.problem + instead, broken.advice
        )
    if used is not None:
        return Finding(topic, "ok", f"{used.name} is used")
    return Finding(
        topic,
        "missing",
        "neither pycuda nor cuda-bindings is installed",
        "a GPU needs one of them: `pip install cuda-bindings` brings wheels",
    )


def _engine_cache() -> Finding:
    from mtinet_ros.inference.engine_settings import EngineSettings

    try:
        folder = EngineSettings().folder
    except ConfigurationError as error:
        return Finding("engine cache", "warning", str(error))
    parent = next(path for path in (folder, *folder.parents) if path.exists())
    if not os.access(parent, os.W_OK):
        return Finding(
            "engine cache",
            "warning",
            f"{folder} cannot be written: engines that are there are used, but none can be built",
            "set XDG_CACHE_HOME or the parameter engine_cache_dir to a folder that can",
        )
    engines = [path for path in folder.glob("**/*") if path.is_file()]
    used = sum(path.stat().st_size for path in engines) / 1e6
    free = shutil.disk_usage(parent).free / 1e6
    text = f"{folder}: {len(engines)} files, {used:.0f} MB; {free:.0f} MB free"
    if free < 1000:
        return Finding("engine cache", "warning", text, "free space: an engine takes 50 to 500 MB")
    return Finding("engine cache", "ok", text)


def _ros() -> Finding:
    distribution = os.environ.get("ROS_DISTRO", "")
    if importlib.util.find_spec("rclpy") is None:
        return Finding(
            "ROS 2",
            "missing",
            f"rclpy cannot be imported (ROS_DISTRO is {distribution or 'not set'})",
            "source /opt/ros/<distribution>/setup.bash, or pip install 'mtinet_ros[ros]'; "
            "`mtinet predict` works without ROS",
        )
    version = _version("ros-rclpy") or _version("rclpy") or "of unknown version"
    named = distribution or "no ROS_DISTRO, so wheels from PyPI"
    domain = os.environ.get("ROS_DOMAIN_ID", "0")
    middleware = os.environ.get("RMW_IMPLEMENTATION", "the default")
    return Finding(
        "ROS 2", "ok", f"{named}: rclpy {version}, domain {domain}, middleware {middleware}"
    )


def _shared_memory(folder: Path) -> Finding:
    if not folder.is_dir():
        return Finding(
            "shared memory",
            "warning",
            f"{folder} does not exist: images go over UDP, slowly",
            "mount a tmpfs there (in a container: --shm-size=1g)",
        )
    usage = shutil.disk_usage(folder)
    total, free = usage.total / 1e6, usage.free / 1e6
    text = f"{folder}: {total:.0f} MB, {free:.0f} MB free"
    if free < 2 * _SEGMENT_MB:
        return Finding(
            "shared memory",
            "warning",
            f"{text}; each ROS 2 process takes {_SEGMENT_MB} MB with our profile",
            "in a container: --shm-size=1g or --ipc=host; else remove what dead processes left",
        )
    return Finding("shared memory", "ok", text)


def _transport_profile() -> Finding:
    from mtinet_ros.node.transport_profile import (
        FAST_DDS,
        ensure_transport_profile,
        middleware_named,
        settings_variable,
    )

    middleware = middleware_named(os.environ)
    variable = settings_variable(os.environ, middleware)
    try:
        ours = ensure_transport_profile(dict(os.environ))
    except ConfigurationError as error:
        return Finding("transport profile", "missing", str(error))
    if ours is not None:
        return Finding(
            "transport profile",
            "warning",
            f"{variable} is not set: our node uses {ours} all the same, other processes do not",
            f"without it they lose images: export {variable}={ours} (docs/transport.md)",
        )
    if variable not in os.environ and middleware not in FAST_DDS:
        return Finding("transport profile", "ok", f"{middleware} has its own settings")
    if variable not in os.environ:
        return Finding(
            "transport profile",
            "warning",
            f"none: with ROS_LOCALHOST_ONLY=1 on Humble {variable} is left alone, because a "
            "profile would lift that restriction; images above 0.5 MB are lost",
            "restrict by ROS_DOMAIN_ID instead, or send compressed images",
        )
    return Finding("transport profile", "ok", f"{variable} is {os.environ[variable]}")


def _model() -> Finding:
    from mtinet_ros.inference.cpu_precision import (
        choose_cpu_precision,
        cpu_capabilities,
        describe_precision,
    )
    from mtinet_ros.inference.cpu_settings import CpuSettings
    from mtinet_ros.install_paths import bundled_model
    from mtinet_ros.model_card import read_model_card

    try:
        path = bundled_model()
        card = read_model_card(path)
    except ModelError as error:
        return Finding("bundled model", "warning", str(error))
    capabilities = cpu_capabilities()
    arithmetic = choose_cpu_precision(card, CpuSettings(), capabilities).arithmetic
    on_cpu = describe_precision(card, arithmetic, capabilities)
    text = f"{path}: {card.name}, {card.stated_precision}; on this CPU: {on_cpu}"
    return Finding("bundled model", "ok", text)


def _first_line(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").partition("\n")[0].strip()
    except OSError:
        return None

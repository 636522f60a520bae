# SPDX-License-Identifier: Apache-2.0
"""The node's /diagnostics: one status for the inference pipeline, one per camera."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from mtinet_ros.node.statistics import StreamSummary


@dataclass(frozen=True)
class PipelineReport:
    """State of the inference pipeline, called `engine` in /diagnostics.

    Attributes:
        state: `unloaded`, `loading`, `building`, `ready` or `failed`.
        detail: Progress while loading, the reason if failed.
        model: Name of the model.
        backend: Name of the backend.
        device: Name of the device.
        precision: The model's precision; once it is loaded, also that of the arithmetic.
        pipelined: Whether frames are prepared and published beside the network: `yes` or `no`.
    """

    state: str = "unloaded"
    detail: str = ""
    model: str = ""
    backend: str = ""
    device: str = ""
    precision: str = ""
    pipelined: str = ""


_PIPELINE_LEVELS = {
    "unloaded": DiagnosticStatus.OK,
    "loading": DiagnosticStatus.WARN,
    "building": DiagnosticStatus.WARN,
    "ready": DiagnosticStatus.OK,
    "failed": DiagnosticStatus.ERROR,
}


def pipeline_status(
    node_name: str, report: PipelineReport, untrained: bool, problem: str = ""
) -> DiagnosticStatus:
    """The pipeline's status; a present problem, and an untrained model, are warnings meanwhile."""
    level = _PIPELINE_LEVELS[report.state]
    message = f"{report.state}: {report.detail}" if report.detail else report.state
    if report.state == "ready" and problem:
        level, message = DiagnosticStatus.WARN, problem
    if untrained and level == DiagnosticStatus.OK:
        level = DiagnosticStatus.WARN
        message += "; the model's weights are random, its outputs mean nothing"
    values = {
        "state": report.state,
        "model": report.model,
        "backend": report.backend,
        "device": report.device,
        "precision": report.precision,
        "pipelined": report.pipelined,
    }
    return _status(level, f"{node_name}: engine", message, values)


@dataclass(frozen=True)
class CameraReport:
    """State of a camera.

    Attributes:
        name: Name of the camera.
        topic: Topic of its images, resolved.
        active: Whether the node subscribes to it.
        has_subscribers: Whether an output has a subscriber.
        summary: Its counters.
        silence_timeout: Seconds after which a camera counts as silent.
        why_silent: Publishers of the topic and what they offer; empty unless silent.
        stamp_age: Now minus the last frame's stamp, in seconds of ROS time; NaN if unknown.
        problems: Sentences about what is wrong at present.
    """

    name: str
    topic: str
    active: bool
    has_subscribers: bool
    summary: StreamSummary
    silence_timeout: float
    why_silent: str
    stamp_age: float
    problems: Sequence[str]


def camera_status(node_name: str, report: CameraReport) -> DiagnosticStatus:
    """A camera's status (inactive, silent, clock skew, idle, stalled, running) and problems."""
    summary = report.summary
    if not report.active:
        level, state, message = DiagnosticStatus.OK, "inactive", "the node is not active"
    elif summary.age_of_last_frame > report.silence_timeout:
        level, state = DiagnosticStatus.ERROR, "silent"
        message = f"no image on {report.topic}: {report.why_silent}"
    elif not report.has_subscribers:
        level, state, message = (
            DiagnosticStatus.OK,
            "idle",
            "nobody listens, so nothing is computed",
        )
    elif summary.input_rate == 0.0:
        level, state, message = DiagnosticStatus.OK, "running", "waiting for the first image"
    elif summary.output_rate == 0.0:
        level, state = DiagnosticStatus.WARN, "stalled"
        message = (
            f"images come in on {report.topic} and none was answered in the last seconds; the "
            "engine's status and the frames dropped say more"
        )
    else:
        level, state = DiagnosticStatus.OK, "running"
        message = f"{summary.output_rate:.1f} Hz, {summary.latency_p50 * 1e3:.0f} ms"
    problems = list(report.problems) if report.active else []
    if report.active and report.stamp_age < -_SKEW_TOLERANCE and state != "silent":
        problems.insert(
            0,
            f"images are stamped {-report.stamp_age:.3f} s in the future; synchronise the clocks",
        )
        state = "clock skew" if state == "running" else state
    if problems:
        level = max(level, DiagnosticStatus.WARN)
        told = "; ".join(problems)
        message = told if state in ("running", "clock skew") else f"{message}; {told}"
    values = {
        "state": state,
        "topic": report.topic,
        "input rate [Hz]": _number(summary.input_rate),
        "output rate [Hz]": _number(summary.output_rate),
        "latency p50 [ms]": _number(summary.latency_p50 * 1e3),
        "latency p99 [ms]": _number(summary.latency_p99 * 1e3),
        "age of last frame [s]": _number(summary.age_of_last_frame),
        "age of last stamp [s]": _number(report.stamp_age),
        "received": str(summary.received),
        "published": str(summary.published),
        "dropped": str(sum(summary.dropped.values())),
    }
    for reason, count in sorted(summary.dropped.items()):
        values[f"dropped: {reason.value}"] = str(count)
    return _status(level, f"{node_name}: {report.name}", message, values)


# Clocks kept by NTP on one network agree to a few milliseconds.
_SKEW_TOLERANCE = 0.05


def _number(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else ""


def _status(level: bytes, name: str, message: str, values: dict[str, str]) -> DiagnosticStatus:
    pairs = [KeyValue(key=key, value=value) for key, value in values.items()]
    return DiagnosticStatus(
        level=level, name=name, message=message, hardware_id="mtinet_ros", values=pairs
    )

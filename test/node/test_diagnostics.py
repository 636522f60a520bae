# SPDX-License-Identifier: Apache-2.0
"""What an operator reads on /diagnostics: the state, the reason, the numbers."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

pytest.importorskip("diagnostic_msgs")
from diagnostic_msgs.msg import DiagnosticStatus

from mtinet_ros.node.diagnostics import (
    CameraReport,
    PipelineReport,
    camera_status,
    pipeline_status,
)
from mtinet_ros.node.statistics import DropReason, StreamSummary

pytestmark = pytest.mark.ros

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR
RUNNING = CameraReport(
    name="front",
    topic="/front/image_raw",
    active=True,
    has_subscribers=True,
    summary=StreamSummary(
        *(30.0, 12.5, 0.040, 0.091, 0.02, 30, 11),
        {DropReason.REPLACED: 17, DropReason.TOO_OLD: 1},
    ),
    silence_timeout=5.0,
    why_silent="",
    stamp_age=0.03,
    problems=(),
)
SILENT = StreamSummary(0.0, 0.0, math.nan, math.nan, 7.0)


def values(status: DiagnosticStatus) -> dict[str, str]:
    return {pair.key: pair.value for pair in status.values}


@pytest.mark.parametrize(
    ("report", "level", "state", "message"),
    [
        (RUNNING, OK, "running", "12.5 Hz, 40 ms"),
        (replace(RUNNING, has_subscribers=False), OK, "idle", "nobody listens"),
        (replace(RUNNING, active=False, summary=SILENT), OK, "inactive", "not active"),
        (
            replace(RUNNING, summary=SILENT, why_silent="nobody publishes it"),
            ERROR,
            "silent",
            "no image on /front/image_raw: nobody publishes it",
        ),
        (replace(RUNNING, stamp_age=-0.2), WARN, "clock skew", "0.200 s in the future"),
        (replace(RUNNING, problems=["image: is broken"]), WARN, "running", "image: is broken"),
        (
            replace(RUNNING, summary=replace(SILENT, input_rate=30.0, age_of_last_frame=0.03)),
            WARN,
            "stalled",
            "images come in on /front/image_raw and none was answered",
        ),
        (
            replace(RUNNING, summary=replace(SILENT, age_of_last_frame=0.5)),
            OK,
            "running",
            "waiting for the first image",
        ),
        # Nor does a clock that goes wrong.
        (
            replace(RUNNING, has_subscribers=False, stamp_age=-1.0),
            WARN,
            "idle",
            "so nothing is computed; images are stamped 1.000 s in the future",
        ),
        # A lasting problem hides neither that nobody listens, nor that nothing is answered.
        (
            replace(RUNNING, has_subscribers=False, problems=["frame_id: is ''"]),
            WARN,
            "idle",
            "nobody listens, so nothing is computed; frame_id: is ''",
        ),
        (
            replace(
                RUNNING,
                summary=replace(SILENT, input_rate=30.0, age_of_last_frame=0.03),
                problems=["frame_id: is ''"],
            ),
            WARN,
            "stalled",
            "frame_id: is ''",
        ),
        (
            replace(RUNNING, summary=SILENT, why_silent="nobody", problems=["x"]),
            ERROR,
            "silent",
            "nobody; x",
        ),
        # Nobody listening is no reason to hide a camera that is silent.
        (replace(RUNNING, has_subscribers=False, summary=SILENT), ERROR, "silent", "no image"),
    ],
)
def test_a_cameras_state(report: CameraReport, level: bytes, state: str, message: str) -> None:
    status = camera_status("perception", report)
    assert status.level == level
    assert status.name == "perception: front"
    assert values(status)["state"] == state
    assert message in status.message


def test_a_cameras_numbers() -> None:
    shown = values(camera_status("perception", RUNNING))
    assert shown["input rate [Hz]"] == "30.00"
    assert shown["output rate [Hz]"] == "12.50"
    assert shown["latency p50 [ms]"] == "40.00"
    assert shown["latency p99 [ms]"] == "91.00"
    assert shown["dropped: newer frame came"] == "17"
    assert shown["dropped: older than max_age_ms"] == "1"
    assert [shown[key] for key in ("received", "published", "dropped")] == ["30", "11", "18"]
    assert values(camera_status("p", replace(RUNNING, summary=SILENT)))["latency p50 [ms]"] == ""


def test_the_engines_state() -> None:
    report = PipelineReport("ready", "", "indoor", "openvino", "CPU", "bf16")
    assert pipeline_status("p", report, untrained=False).level == OK
    untrained = pipeline_status("p", report, untrained=True)
    assert untrained.level == WARN
    assert "random" in untrained.message
    loading = pipeline_status("p", PipelineReport("loading", "40 %"), untrained=False)
    assert (loading.level, loading.message) == (WARN, "loading: 40 %")
    failed = pipeline_status("p", PipelineReport("failed", "no driver"), untrained=True)
    assert (failed.level, failed.message) == (ERROR, "failed: no driver")
    assert values(pipeline_status("p", report, False))["backend"] == "openvino"
    troubled = pipeline_status("p", report, False, "the run failed: out of memory")
    assert (troubled.level, troubled.message) == (WARN, "the run failed: out of memory")

# SPDX-License-Identifier: Apache-2.0
"""The CPUs a robot lends to the network: no more than it was told, and than there are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mtinet_ros.errors import ConfigurationError
from mtinet_ros.inference import CpuSettings
from mtinet_ros.inference.cpu_settings import available_cpus


@pytest.fixture(autouse=True)
def eight_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)))


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 8),
        ({"cpu.max": "max 100000\n"}, 8),
        ({"cpu.max": "250000 100000\n"}, 2),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "1600000 100000\n"}, 8),
        ({"cpu.max": "nonsense"}, 8),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 8),
    ],
)
def test_a_containers_quota_and_the_affinity_both_count(
    tmp_path: Path, files: dict[str, str], expected: int
) -> None:
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    assert available_cpus(tmp_path) == expected


def test_no_more_threads_than_asked_for_or_than_there_are_cpus() -> None:
    available = available_cpus()
    assert CpuSettings(threads=0).thread_count() == available
    assert CpuSettings(threads=1).thread_count() == 1
    assert CpuSettings(threads=64).thread_count() == available


@pytest.mark.parametrize("bad", [{"precision": "fp32"}, {"threads": -1}, {"threads": 4096}])
def test_a_setting_that_is_not_allowed_is_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match="allowed: "):
        CpuSettings(**bad)  # type: ignore[arg-type]

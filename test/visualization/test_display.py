# SPDX-License-Identifier: Apache-2.0
"""Whether a window is opened."""

from __future__ import annotations

import pytest

from mtinet_ros.visualization.display import has_display


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, False),
        ({"DISPLAY": ":0"}, True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, True),
        ({"DISPLAY": "", "WAYLAND_DISPLAY": ""}, False),
    ],
)
def test_where_a_window_can_be_opened(environment: dict[str, str], expected: bool) -> None:
    assert has_display(environment) is expected

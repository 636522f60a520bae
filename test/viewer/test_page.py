# SPDX-License-Identifier: Apache-2.0
"""The viewer's page in a real browser: every panel is filled, and no other host is asked.

`make view-check` runs it; it needs Rerun and Chromium, and a minute where the CPU draws.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from support import browser

from mtinet_ros.viewer import window

rr = pytest.importorskip("rerun", reason="needs Rerun: pip install 'mtinet_ros[view]'")

from mtinet_ros.viewer.scene import Scene  # noqa: E402, it needs Rerun

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        browser.browser_program() is None, reason="needs Chromium: apt-get install chromium"
    ),
]

WIDTH, HEIGHT = 1600, 900
PATIENCE = 180.0  # seconds; the page takes 20 to 60 where the CPU draws

PICTURE, WALL, FLOOR, NORMAL, POINT = (
    (250, 40, 200),
    (30, 190, 60),
    (200, 120, 20),
    (120, 250, 230),
    (240, 220, 10),
)
INFERNO_HALF = (188, 55, 84)  # matplotlib's inferno at one half
LINES = [(70, 130, 230), (240, 130, 30)]

# Of a panel: left, top, right, bottom as shares of the window, and colors that must be seen in it.
# The layout is that of mtinet_ros/viewer/scene.py: 3 parts of pictures, 2 of the rest.
# The left of a plot, where its lines are named in their colors, is left out.
PANELS = {
    "image": ((0.0, 0.05, 0.3, 0.5), [PICTURE]),
    "segmentation": ((0.3, 0.05, 0.6, 0.5), [WALL, FLOOR]),
    "depth": ((0.0, 0.5, 0.3, 1.0), [INFERNO_HALF]),
    "normals": ((0.3, 0.5, 0.6, 1.0), [NORMAL]),
    "points": ((0.6, 0.05, 1.0, 0.6), [POINT]),
    "classes": ((0.6, 0.6, 0.8, 1.0), [WALL, FLOOR]),
    "rate": ((0.86, 0.6, 1.0, 0.8), LINES),
    "latency": ((0.86, 0.8, 1.0, 1.0), LINES),
}


def show_everything(scene: Scene) -> None:
    """Three frames of one camera, each output in colors of its own."""
    scene.add_camera("front")
    classes = [
        {"id": 0, "name": "wall", "color": WALL},
        {"id": 1, "name": "floor", "color": FLOOR},
    ]
    scene.legend("front", classes)
    labels = np.zeros((120, 160), np.uint8)
    labels[60:] = 1
    depth = np.full((120, 160), 3.0, np.float32)
    depth[:, 80:] = 1.5  # the middle between 0 and the farthest, and so of the color map
    y, x = np.mgrid[-1:1:60j, -1:1:60j]
    cloud = np.stack([x, y, np.full_like(x, 2.0)], axis=-1).reshape(-1, 3).astype(np.float32)
    for second in range(3):
        scene.set_time(1_700_000_000_000_000_000 + second * 10**9)
        scene.image("front", plain(PICTURE))
        scene.labels("front", labels)
        scene.depth("front", depth)
        scene.normals("front", plain(NORMAL))
        scene.points("front", cloud, np.tile(np.uint8(POINT), (len(cloud), 1)))
        scene.lens("front", [120, 0, 80, 0, 120, 60, 0, 0, 1], (120, 160))
        values = {"input rate [Hz]": 30 - second, "output rate [Hz]": 20 + second}
        values |= {"latency p50 [ms]": 8 + second, "latency p99 [ms]": 20 - second}
        scene.status("front", {key: str(value) for key, value in values.items()})


def plain(color: tuple[int, int, int]) -> NDArray[np.uint8]:
    return np.full((120, 160, 3), color, np.uint8)


def missing(picture: NDArray[np.uint8]) -> dict[str, list[tuple[int, int, int]]]:
    """By panel, the colors that are seen on fewer than 20 pixels of it."""
    found = {}
    for name, ((left, top, right, bottom), colors) in PANELS.items():
        rows = slice(int(top * HEIGHT), int(bottom * HEIGHT))
        panel = picture[rows, int(left * WIDTH) : int(right * WIDTH)].astype(int)
        absent = [
            color
            for color in colors
            if np.count_nonzero((abs(panel - color) <= 24).all(axis=-1)) < 20
        ]
        if absent:
            found[name] = absent
    return found


@pytest.fixture
def tab(tmp_path: Path) -> Iterator[browser.Page]:
    with browser.opened(tmp_path / "profile") as page:
        yield page


def test_every_panel_of_the_page_is_filled_without_the_internet(
    tab: browser.Page, tmp_path: Path
) -> None:
    stream = rr.RecordingStream("mtinet_ros")
    with window.page("127.0.0.1", 0, "200MB", lambda status: None) as (log_to, url):
        stream.connect_grpc(log_to)
        show_everything(Scene(stream))
        stream.flush(timeout_sec=10.0)
        tab.open(url, WIDTH, HEIGHT)
        end = time.monotonic() + PATIENCE
        picture = tab.screenshot()
        while (absent := missing(picture)) and time.monotonic() < end:
            time.sleep(2.0)
            picture = tab.screenshot()
        stream.disconnect()
    save(picture, tmp_path / "page.png")
    assert absent == {}, f"see {tmp_path / 'page.png'}"
    assert sorted(set(tab.asked)) == []


def test_a_page_that_asks_another_host_is_noticed(tab: browser.Page) -> None:
    """Else the test above would pass whatever the page did."""
    tab.open("data:text/html,<p>", 100, 100)
    assert tab.evaluate("fetch('http://elsewhere.invalid/').then(() => 1, () => 0)") == 0
    assert tab.asked == ["elsewhere.invalid"]


def save(picture: NDArray[np.uint8], path: Path) -> None:
    import cv2

    assert cv2.imwrite(str(path), picture[..., ::-1])

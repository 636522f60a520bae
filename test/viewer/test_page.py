# SPDX-License-Identifier: Apache-2.0
"""The viewer's page in a real browser: every panel is filled, and no other host is asked.

`make view-check` runs it; it needs Rerun and Chromium, and a minute where the CPU draws.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import browser
from support.panels import missing, save, show_everything

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


@pytest.fixture
def tab(tmp_path: Path) -> Iterator[browser.Page]:
    with browser.opened(tmp_path / "profile") as page:
        yield page


def test_every_panel_of_the_page_is_filled_without_the_internet(
    tab: browser.Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI", raising=False)
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
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
    assert not list(tmp_path.glob("home/rerun/analytics*"))  # statistics, before they are sent


def test_a_page_that_asks_another_host_is_noticed(tab: browser.Page) -> None:
    """Else the test above would pass whatever the page did."""
    tab.open("data:text/html,<p>", 100, 100)
    assert tab.evaluate("fetch('http://elsewhere.invalid/').then(() => 1, () => 0)") == 0
    assert tab.asked == ["elsewhere.invalid"]

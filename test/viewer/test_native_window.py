# SPDX-License-Identifier: Apache-2.0
"""The viewer's window on a display without a screen: every panel is filled.

`make view-check` runs it; it needs Rerun, Xvfb, and Mesa's Vulkan driver that draws with the CPU.
"""

from __future__ import annotations

import ctypes.util
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from support.panels import missing, save, show_everything

from mtinet_ros.viewer import window

rr = pytest.importorskip("rerun", reason="needs Rerun: pip install 'mtinet_ros[view]'")

from mtinet_ros.viewer.scene import Scene  # noqa: E402, it needs Rerun

DRIVERS = sorted(Path("/usr/share/vulkan/icd.d").glob("lvp_icd*.json"))
NEEDED = {
    "xvfb": shutil.which("Xvfb"),
    "mesa-vulkan-drivers": DRIVERS,
    **{
        package: ctypes.util.find_library(library)
        for package, library in (
            ("libvulkan1", "vulkan"),
            ("libxkbcommon-x11-0", "xkbcommon-x11"),
            ("libxcursor1", "Xcursor"),
            ("libxi6", "Xi"),
            ("libx11-xcb1", "X11-xcb"),
        )
    },
}
MISSING = [package for package, found in NEEDED.items() if not found]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        bool(MISSING), reason=f"needs a display and Vulkan: apt-get install {' '.join(MISSING)}"
    ),
]

SIZE = "1400x900"  # of Rerun's window, unless it remembers another
PATIENCE = 120.0  # seconds; it takes 3 to 20 where the CPU draws


@pytest.fixture
def screen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A display, and nothing that a viewer has kept; gives the file that holds what is seen.

    Without Composite no window can be transparent; into one that can, older drivers (Mesa 22.3)
    draw nothing.
    """
    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", f"{SIZE}x24", "-nolisten", "tcp"]
    command += ["-extension", "Composite", "-fbdir", str(tmp_path)]
    with subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL) as server:
        os.close(write)
        with open(read) as number:
            monkeypatch.setenv("DISPLAY", f":{number.readline().strip()}")
        monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
        monkeypatch.delenv("CI", raising=False)
        for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR"):
            monkeypatch.setenv(name, str(tmp_path / "home"))
        for name in ("VK_ICD_FILENAMES", "VK_DRIVER_FILES"):
            monkeypatch.setenv(name, str(DRIVERS[0]))
        monkeypatch.setenv("WGPU_BACKEND", "vulkan")
        try:
            yield tmp_path / "Xvfb_screen0"
        finally:
            server.terminate()


def seen(file: Path) -> NDArray[np.uint8]:
    """What is on the display, uint8 [h,w,3] RGB: a file of X's program xwd."""
    content = file.read_bytes()
    header = np.frombuffer(content, ">u4", 25)
    offset, colors = int(header[0]), int(header[19])
    width, height, stride = int(header[4]), int(header[5]), int(header[12])
    pixels = np.frombuffer(content, np.uint8, height * stride, offset + 12 * colors)
    return pixels.reshape(height, stride // 4, 4)[:, :width, 2::-1]


def test_every_panel_of_the_window_is_filled(screen: Path, tmp_path: Path) -> None:
    stream = rr.RecordingStream("mtinet_ros")
    with window.window("200MB", lambda status, said: None) as log_to:
        stream.connect_grpc(log_to)
        show_everything(Scene(stream))
        stream.flush(timeout_sec=10.0)
        end = time.monotonic() + PATIENCE
        while (absent := missing(seen(screen))) and time.monotonic() < end:
            time.sleep(1.0)
        save(seen(screen), tmp_path / "window.png")
        stream.disconnect()
    assert not list(tmp_path.glob("home/rerun/analytics*"))  # statistics, before they are sent
    assert absent == {}, f"see {tmp_path / 'window.png'}"

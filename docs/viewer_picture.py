# SPDX-License-Identifier: Apache-2.0
"""Makes docs/viewer.jpg: `mtinet view` beside the demonstration, as a browser shows it.

    make view-check                 # installs what is needed
    PYTHONPATH=test .venv/bin/python docs/viewer_picture.py docs/viewer.jpg

The page is opened once the demonstration has ended: a CPU that draws does not keep up with it.
What is seen is its last frame; which one that is depends on how soon the node was ready.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
from support import browser

COMMAND = [sys.executable, "-m", "mtinet_ros.cli.main"]
DEMO = [*COMMAND, "demo", "--frames", "104"]
VIEW = [*COMMAND, "view", "--web", "--port", "0", "--memory-limit", "150MB"]
WINDOW, SIZE = (1600, 900), (1280, 720)
DRAWN = 90.0  # seconds until the CPU has drawn everything
QUALITY = 85


def take(target: Path) -> None:
    """Write the picture."""
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as aside,
        subprocess.Popen(VIEW, stdout=subprocess.PIPE, text=True) as view,
    ):
        try:
            assert view.stdout is not None
            found = re.search(r"http\S+", view.stdout.readline())
            assert found is not None
            subprocess.run([*DEMO, "-o", f"{aside}/demo"], check=True)
            with browser.opened(Path(aside) / "profile") as page:
                page.open(found[0], *WINDOW)
                time.sleep(DRAWN)
                picture = page.screenshot()[..., ::-1]
        finally:
            view.terminate()
    small = cv2.resize(picture, SIZE, interpolation=cv2.INTER_AREA)
    assert cv2.imwrite(str(target), small, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])


if __name__ == "__main__":
    take(Path(sys.argv[1]))

# SPDX-License-Identifier: Apache-2.0
"""Makes the moving picture of the README, docs/demo.webp, of what the demonstration wrote.

make demo                 # for half a minute
.venv/bin/python docs/demo_animation.py build/demo docs/demo.webp
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2

PERIOD = 200  # milliseconds: the demonstration's 5 pictures a second
ROUND = 130  # frames after which it shows the same again
SIZE = (640, 524)
QUALITY = 72
SAME = 1.0  # mean difference in gray levels below which a camera stood still


def animate(folder: Path, target: Path) -> None:
    """Write an endless WebP of the montages in a folder, from where the camera stands still on.

    A camera that stands still takes one frame.

    Raises:
        SystemExit: There are no montages.
    """
    frames, durations = [], []
    for path in sorted(folder.glob("frame_*.png"))[:ROUND]:
        picture = cv2.imread(str(path))
        assert picture is not None, path
        frame = cv2.resize(picture, SIZE, interpolation=cv2.INTER_AREA)
        if frames and cv2.absdiff(frame, frames[-1]).mean() < SAME:
            durations[-1] += PERIOD
        else:
            frames.append(frame)
            durations.append(PERIOD)
    if not frames:
        raise SystemExit(f"{folder} has no frame_*.png; `make demo` writes them")
    first = next((at for at, length in enumerate(durations) if length > PERIOD), 0)
    animation = cv2.Animation()
    animation.frames = frames[first:] + frames[:first]
    animation.durations = durations[first:] + durations[:first]
    animation.loop_count = 0
    assert cv2.imwriteanimation(str(target), animation, [cv2.IMWRITE_WEBP_QUALITY, QUALITY])
    seconds, size = sum(durations) / 1000, target.stat().st_size
    print(f"{target}: {len(frames)} frames, {seconds:g} s, {size} bytes")


if __name__ == "__main__":
    animate(Path(sys.argv[1]), Path(sys.argv[2]))

# SPDX-License-Identifier: Apache-2.0
"""Small videos as phones, cameras and encoders write them, made with PyAV."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

LOSSLESS = {"qp": "0", "preset": "ultrafast"}  # of libx264


def numbered_picture(index: int, size: tuple[int, int] = (64, 48)) -> np.ndarray:
    """uint8 [h,w,3] RGB that is another for every index: a bar that moves before a gray."""
    width, height = size
    image = np.full((height, width, 3), 40 + 5 * (index % 40), np.uint8)
    image[:, index * 3 % width :][:, :6] = (230, 30, 30)
    return image


def write_video(
    path: Path,
    pictures: Sequence[np.ndarray] | None = None,
    *,
    count: int = 60,
    size: tuple[int, int] = (64, 48),
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    times: Sequence[int] | None = None,
    time_base: Fraction = Fraction(1, 30),
    pixels: str = "yuv420p",
    container: str | None = None,
    track: Callable[[Any], None] = lambda track: None,
    frame: Callable[[Any], None] = lambda frame: None,
    sound: bool = False,
) -> None:
    """Write a video.

    Args:
        path: Its suffix gives the container.
        pictures: uint8 [h,w,3] RGB each, or frames of PyAV; None: `count` numbered ones.
        count: See there.
        size: Of the numbered pictures, (width, height).
        codec: Name of the encoder.
        options: Of the encoder.
        times: Presentation times in units of `time_base`; None: 0, 1, 2 and so on.
        time_base: Seconds per unit.
        pixels: Pixel format.
        container: Its name for FFmpeg.
        track: Is called with the track before the first frame.
        frame: Is called with each frame before it is encoded.
        sound: Whether there is an AAC track, too.
    """
    shown = pictures if pictures is not None else [numbered_picture(i, size) for i in range(count)]
    with av.open(str(path), "w", format=container) as file:
        video = file.add_stream(codec, rate=30, options=options or {})
        first = shown[0]
        if isinstance(first, av.VideoFrame):
            video.width, video.height = first.width, first.height
        else:
            video.height, video.width = first.shape[:2]
        video.pix_fmt = pixels
        video.codec_context.time_base = time_base
        track(video)
        audio = file.add_stream("aac", rate=48000) if sound else None
        for index, picture in enumerate(shown):
            if not isinstance(picture, av.VideoFrame):
                picture = av.VideoFrame.from_ndarray(picture).reformat(format=pixels)
            picture.pts = times[index] if times is not None else index
            picture.time_base = time_base
            frame(picture)
            file.mux(video.encode(picture))
        if audio is not None:
            _write_silence(file, audio)
        file.mux(video.encode(None))


def _write_silence(file: Any, audio: Any) -> None:
    for index in range(20):
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        silence.sample_rate, silence.pts = 48000, index * 1024
        file.mux(audio.encode(silence))
    file.mux(audio.encode(None))


def yuv_frame(
    y: int, u: int, v: int, pixels: str = "yuv420p", size: tuple[int, int] = (64, 48)
) -> Any:
    """A frame of one color, its samples as they are given."""
    frame = av.VideoFrame(*size, pixels)
    sample = np.uint16 if "10" in pixels else np.uint8
    for plane, value in zip(frame.planes, (y, u, v), strict=True):
        plane.update(
            np.full(plane.buffer_size // np.dtype(sample).itemsize, value, sample).tobytes()
        )
    return frame

# SPDX-License-Identifier: Apache-2.0
"""Pieces of one video: encoded apart, joined without being encoded again."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtinet_ros.errors import InputError
from mtinet_ros.output_files import file_errors
from mtinet_ros.recordings.disk import remove_left_behind

TICK = Fraction(1, 90_000)
"""Seconds per unit of time: whole numbers of these are in 24, 25, 30, 30/1.001 and 60 Hz."""
_TICKS_PER_NANOSECOND = 1 / (TICK * 10**9)

_USUAL_RATE = 30  # Hz; for the encoder's buffers alone


@dataclass(frozen=True)
class Encoder:
    """An encoder of FFmpeg, with what it is given, and what a person should know of it."""

    name: str
    options: dict[str, str] = field(default_factory=dict)
    note: str = ""


# No frame refers to a later one, so that pieces join at any frame. The threads of x264 would
# otherwise take the processor from the network.
_ENCODERS = (
    Encoder("libx264", {"preset": "veryfast", "crf": "20", "bf": "0"}),
    Encoder("libopenh264", {"b": "8000000"}),
    Encoder(
        "mpeg4",
        {"b": "8000000"},
        "PyAV brings no encoder of H.264 here: the video is MPEG-4 Part 2, which VLC and mpv play "
        "and browsers do not",
    ),
)


def choose_encoder(av: Any) -> Encoder:
    """The best encoder that this build of PyAV brings."""
    for encoder in _ENCODERS[:-1]:
        try:
            av.Codec(encoder.name, "w")
        except (av.FFmpegError, ValueError):
            continue
        return encoder
    return _ENCODERS[-1]


class Segment:
    """A piece that is being written, aside, until `end` puts it in its place."""

    def __init__(self, av: Any, path: Path, size: tuple[int, int], encoder: Encoder) -> None:
        """Begin a piece of (width, height).

        Raises:
            InputError: It cannot be written.
        """
        self._av = av
        self._path = path
        self._aside = path.with_name(f"{path.name}.part")
        self._first: int | None = None
        self._last = 0
        self._frames = 0
        with _errors(av, path):
            self._file = av.open(f"file:{self._aside.absolute()}", "w", format="mp4")
            self._track = self._file.add_stream(
                encoder.name, rate=_USUAL_RATE, options=dict(encoder.options)
            )
            self._track.width, self._track.height = size
            self._track.pix_fmt = "yuv420p"
            context = self._track.codec_context
            context.time_base = Fraction(1, 30_000) if encoder.name == "mpeg4" else TICK
            # BT.709, limited range: said, so that nobody has to guess.
            context.colorspace, context.color_range = 1, 1
            context.color_primaries, context.color_trc = 1, 1

    def add(self, image: NDArray[np.uint8], time: int) -> None:
        """Add a picture, uint8 [h,w,3] RGB, to be shown at a time in ns.

        Raises:
            InputError: It cannot be written.
        """
        tick = int(time * _TICKS_PER_NANOSECOND)
        if self._first is None:
            self._first = tick
        elif tick <= self._last:
            tick = self._last + 1
        self._last = tick
        frame = self._av.VideoFrame.from_ndarray(image).reformat(
            format="yuv420p", src_colorspace=1, dst_colorspace=1, dst_color_range=1
        )
        frame.pts, frame.time_base = tick - self._first, TICK
        self._frames += 1
        with _errors(self._av, self._path):
            self._file.mux(self._track.encode(frame))

    def end(self) -> dict[str, Any]:
        """Put the piece in its place. Returns its file's name and its first tick, for JSON.

        Raises:
            InputError: It cannot be written.
        """
        with _errors(self._av, self._path):
            self._file.mux(self._track.encode(None))
            self._file.close()
            with self._av.open(f"file:{self._aside.absolute()}") as written:
                count = sum(packet.size > 0 for packet in written.demux(video=0))
            if count != self._frames:
                raise OSError(f"{count} of {self._frames} frames are in the file")
            _flush(self._aside)
            os.replace(self._aside, self._path)
        return {"file": self._path.name, "first": self._first, "frames": self._frames}

    def discard(self) -> None:
        """Leave nothing behind."""
        with contextlib.suppress(self._av.FFmpegError, OSError, ValueError):
            self._file.close()
        with contextlib.suppress(OSError):
            self._aside.unlink()


def join_segments(av: Any, pieces: Sequence[tuple[Path, int]], path: Path, container: str) -> None:
    """Put pieces one behind the other, packet by packet, each picture at its time.

    Args:
        av: PyAV.
        pieces: Files of `Segment`, each with its first tick, in any order.
        path: The video, replaced in one step.
        container: Its name for FFmpeg.

    Raises:
        InputError: It cannot be written, or the pieces are of different encoders.
    """
    pieces = sorted(pieces, key=lambda piece: piece[1])
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with _errors(av, path):
            remove_left_behind(path)
            _join(av, pieces, aside, container)
            _flush(aside)
            os.replace(aside, path)
    finally:
        with contextlib.suppress(OSError):
            aside.unlink()


def _join(av: Any, pieces: Sequence[tuple[Path, int]], aside: Path, container: str) -> None:
    # The index in front: a browser can play what it has not loaded in whole.
    options = {"movflags": "faststart"} if container in ("mp4", "mov") else {}
    with av.open(f"file:{aside.absolute()}", "w", format=container, options=options) as joined:
        track: Any = None
        header: tuple[Any, ...] = ()
        last = -1
        for file, first in pieces:
            with av.open(f"file:{file.absolute()}") as piece:
                source = piece.streams.video[0]
                if track is None:
                    track, header = joined.add_stream_from_template(source), _header(source)
                elif _header(source) != header:
                    raise InputError(
                        f"{file} was encoded otherwise than {pieces[0][0].name}, so that they "
                        "cannot be joined; make all parts with the same version of PyAV"
                    )
                for packet in piece.demux(source):
                    if packet.size:
                        last = _place(packet, first - pieces[0][1], last)
                        packet.stream = track
                        joined.mux(packet)


def _place(packet: Any, offset: int, last: int) -> int:
    """Move a packet of a piece to its time in the whole; returns that."""
    tick = int(packet.pts * packet.time_base / TICK) + offset
    packet.pts = packet.dts = max(tick, last + 1)
    packet.duration = int(packet.duration * packet.time_base / TICK)
    packet.time_base = TICK
    return int(packet.pts)


def _header(track: Any) -> tuple[Any, ...]:
    context = track.codec_context
    return context.name, context.width, context.height, bytes(context.extradata or b"")


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


@contextlib.contextmanager
def _errors(av: Any, path: Path) -> Iterator[None]:
    """What FFmpeg raises as an error of this package."""
    with file_errors(f"write {path}", InputError):
        try:
            yield
        except OSError:
            raise
        except av.FFmpegError as error:
            raise InputError(f"cannot write {path}: {error.strerror}") from error

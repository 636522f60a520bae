# SPDX-License-Identifier: Apache-2.0
"""A video file as a recording of one camera."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mtinet_ros.errors import InputError
from mtinet_ros.image_files import MAX_PIXELS
from mtinet_ros.output_files import file_errors
from mtinet_ros.perception.decoded_image import DecodedImage
from mtinet_ros.recordings.frame import CameraInput, Header, Interval, RecordedFrame
from mtinet_ros.recordings.lens import NO_LENS, FileLens, LensOptions
from mtinet_ros.recordings.names import safe_name
from mtinet_ros.recordings.problem_list import ProblemList
from mtinet_ros.recordings.pyav import load_av
from mtinet_ros.recordings.video_colors import HDR_NAMES, rgb_pixels
from mtinet_ros.recordings.video_orientation import Orientation, orientation_of
from mtinet_ros.recordings.video_packets import packets_of, read_packets

VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".3gp", ".3g2", ".mkv", ".webm", ".avi", ".ts", ".mts", ".m2ts"),
    *(".mpg", ".mpeg", ".vob", ".ogv", ".flv", ".wmv", ".asf", ".mxf", ".dv", ".y4m", ".ivf"),
    *(".h264", ".264", ".h265", ".265", ".hevc", ".mjpeg", ".mjpg", ".nut", ".gif"),
)

# FFmpeg's names of what holds video. Not those of play lists and scripts, which have it open
# other files and addresses, nor of plain text, which it can show as a terminal would.
_CONTAINERS = (
    "mov,matroska,avi,mpegts,mpeg,mpegvideo,ogg,flv,asf,mxf,dv,yuv4mpegpipe,ivf,h264,hevc,m4v,"
    "mjpeg,nut,gif,obu,av1,vc1,rm,wtv,gxf"
)
_MOST_BOXES = 1000

# Of these FFmpeg gives what there is, and no error where the file breaks off.
_END_WITHOUT_ERROR = ("matroska", "avi", "flv")
# Seconds, beside two frames', by which sound may go on for longer than the picture.
_LONGER = 1.0


class VideoSource:
    """A video file, decoded by PyAV: every frame, upright, at the time it is shown.

    Times are presentation times from the first frame on, whatever the frame rate does; what the
    header promises of length and rate plays no part. The first video track is read, no sound.

    Attributes:
        path: The file.
        cameras: One.
        problems: What was wrong but stopped nothing, a sentence each.
    """

    def __init__(
        self,
        path: Path,
        lens: LensOptions = NO_LENS,
        *,
        camera: str = "camera",
        frame_id: str = "camera_optical_frame",
        start_stamp: int = 0,
    ) -> None:
        """Open a file, and read it through without decoding it.

        Args:
            path: The file.
            lens: What is known of the camera.
            camera: Its name.
            frame_id: For the headers.
            start_stamp: Time of the first frame in ns of ROS time, for the headers. What a file
                says of its creation is not used: phones write the beginning or the end of the
                recording, whole seconds, or nothing.

        Raises:
            InputError: It cannot be read, or holds no picture that can be decoded.
            ConfigurationError: PyAV is not installed, or the lens does not fit.
        """
        self.path = path
        self.problems: list[str] = []
        self._av = load_av(f"reading {path}")
        self._told = ProblemList(self.problems, str(path))
        self._camera = camera
        self._frame_id = frame_id
        self._start_stamp = start_stamp
        self._stem = safe_name(path.stem)
        with self._opened() as container:
            track = self._track(container)
            self._aspect = float(track.sample_aspect_ratio or 1.0)
            self._packets = read_packets(container, track, (self._av.FFmpegError, OSError))
            promised = _promised_end(container)
        if not self._packets.shown.size:
            raise InputError(f"{path} holds a video track without a picture")
        self.cameras = (CameraInput(camera, str(path), int(self._packets.shown.size)),)
        self._tell_of_packets(promised)
        self._lens = FileLens(lens, camera, self._told)
        self._look_at_first()

    def interval(self) -> Interval:
        """From 0 to the time after the last frame's."""
        return Interval(0, self._packets.end())

    def read(
        self, interval: Interval, with_other_messages: bool = False
    ) -> Iterator[RecordedFrame]:
        """All frames of an interval, the very ones that reading from the beginning gives.

        One that is damaged is among them, and raises in `decode`.

        Raises:
            InputError: The file cannot be opened any more.
        """
        for time, index, frame in self._timed(interval.start or 0):
            if interval.end is not None and time >= interval.end:
                return
            if time in interval:
                yield RecordedFrame(
                    camera=self._camera,
                    time=time,
                    header=Header(self._start_stamp + time, self._frame_id),
                    name=f"{self._stem}/{index}",
                    decode=functools.partial(self._decode, frame, time),
                )

    def close(self) -> None:
        """Nothing is open between two reads."""

    def _opened(self) -> Any:
        with file_errors(f"read video {self.path}", InputError):
            size = self.path.stat().st_size
            self.path.open("rb").close()
        if not size:
            raise InputError(f"{self.path} is empty (0 bytes)")
        try:
            return self._av.open(
                f"file:{self.path.absolute()}", options={"format_whitelist": _CONTAINERS}
            )
        except (self._av.FFmpegError, OSError, ValueError) as error:
            raise InputError(self._why_not_opened(error)) from error

    def _why_not_opened(self, error: Exception) -> str:
        """Of what PyAV raised: also where names in the header are in no known encoding."""
        boxes = _boxes(self.path)
        if boxes[:1] == ["ftyp"] and "moov" not in boxes:
            return (
                f"{self.path} has no index: the recording was cut off before the camera wrote it; "
                "a tool that rebuilds it from another recording of the same camera may help"
            )
        reason = getattr(error, "strerror", "") or "its header is damaged"
        return f"{self.path} is no video that FFmpeg can read: {reason}"

    def _track(self, container: Any) -> Any:
        """The video track that is read, its decoder set up."""
        tracks = [track for track in container.streams.video if not _is_cover(track)]
        if not tracks:
            kinds = sorted({stream.type for stream in container.streams})
            only = f", only {', '.join(kinds)}" if kinds else ""
            raise InputError(f"{self.path} holds no video track{only}")
        track = tracks[0]
        if len(tracks) > 1:
            self._told.add(f"holds {len(tracks)} video tracks; the first is read")
        context = track.codec_context
        if context is None or not context.codec:
            raise InputError(f"{self.path} holds video of a codec that FFmpeg does not know")
        width, height = context.width, context.height
        if width * height > MAX_PIXELS:
            raise InputError(
                f"{self.path} is a video of {width}x{height} pixels; up to {MAX_PIXELS} are "
                "allowed"
            )
        track.thread_type = "AUTO"
        return track

    def _tell_of_packets(self, promised: float) -> None:
        packets = self._packets
        end = float(packets.first * packets.time_base) + packets.end() / 1e9
        tolerance = _LONGER + 2.0 * packets.end() / 1e9 / max(1, packets.shown.size - 1)
        if packets.has_times and promised > end + tolerance:
            self._told.add(
                f"ends after {end:.1f} s, and its header says {promised:.1f} s: it was cut off, "
                "another track is longer, or the header is wrong"
            )
        if packets.was_cut:
            self._told.lose(f"could be read in part only: {packets.was_cut}")
        if not packets.has_times:
            self._told.add(
                "lacks presentation times, or gives some twice: there, frames follow each other "
                f"at {float(1 / (packets.period * packets.time_base)):.6g} Hz"
            )

    def _look_at_first(self) -> None:
        """Decode the first frame: it tells what is special, and whether the lens fits."""
        frames = (frame for *_, frame in self._timed(0, tell=False) if frame is not None)
        frame = next(frames, None)
        if frame is None:
            raise InputError(f"{self.path} holds no picture that FFmpeg can decode")
        if frame.color_trc in HDR_NAMES:
            self._told.add(
                f"is HDR ({HDR_NAMES[frame.color_trc]}): it is brought to the ordinary range"
            )
        if frame.interlaced_frame:
            self._told.add("is interlaced: what moves is combed; deinterlace it before")
        orientation = _orientation(frame)
        if orientation.angle_left:
            self._told.add(
                f"is to be turned by {orientation.angle_left:+.1f} degrees beyond a quarter turn: "
                "that is left out"
            )
        if self._aspect != 1.0:
            self._told.add(
                f"has pixels {self._aspect:.4g} times as wide as high: frames are widened, or "
                "heightened, until they are square"
            )
        image = self._upright(frame)
        self._lens.check_size((image.shape[0], image.shape[1]), str(self.path))

    def _timed(self, start: int, tell: bool = True) -> Iterator[tuple[int, str, Any]]:
        """Times from `start` on, what names end with, and frames: None for one that is damaged."""
        packets = self._packets
        refused: list[Exception] = []
        first = packets.key_before(start)
        previous = (
            (packets.index(int(packets.times[first])) or 0) - 1 if packets.has_times else None
        )
        last = start - 1
        for time, index, ending, frame in self._numbered(start, refused):
            if index is not None:
                # What begins amid a group of pictures has none before the next key frame, and no
                # decoder calls that an error.
                if previous is not None and (refused or previous < 0):
                    yield from self._damaged(range(previous + 1, index), last, time)
                previous = index
            if time >= start:
                yield time, ending, frame
                last = time
        if previous is not None and refused:
            yield from self._damaged(range(previous + 1, packets.shown.size), last, packets.end())
        if refused and tell and not packets.has_times:
            self._told.lose(
                f"is damaged: {len(refused)} frames cannot be decoded and are left out"
            )

    def _damaged(
        self, indices: range, last: int, following: int
    ) -> Iterator[tuple[int, str, Any]]:
        """Frames that are not there, between the times of two that are."""
        for index in indices:
            time = self._packets.nanoseconds(int(self._packets.shown[index]))
            if last < time < following:
                yield time, f"{index:06d}", None
                last = time

    def _numbered(
        self, start: int, refused: list[Exception]
    ) -> Iterator[tuple[int, int | None, str, Any]]:
        """Frames with their times, in order, their index if it is known, and a part of names."""
        packets = self._packets
        previous, count = -1, 0
        for frame in self._frames(start, refused):
            index = None
            if not packets.has_times:
                time = previous + packets.period_nanoseconds() if previous >= 0 else 0
                if frame.pts is not None and packets.nanoseconds(frame.pts) > previous:
                    time = packets.nanoseconds(frame.pts)
                ending = f"{count:06d}"
            elif frame.pts is None:
                refused.append(ValueError("no time"))
                continue
            elif (time := packets.nanoseconds(frame.pts)) <= previous:
                continue  # a picture that the file does not show
            else:
                index = packets.index(frame.pts)
                ending = f"{index:06d}" if index is not None else f"{time}ns"
            previous, count = time, count + 1
            yield time, index, ending, frame

    def _frames(self, start: int, refused: list[Exception]) -> Iterator[Any]:
        """Frames in the order they are shown, from a key frame at or before a time on."""
        first = self._packets.key_before(start)
        with self._opened() as container:
            track = self._track(container)
            packets = self._packets.from_packet(container, track, first) if first else None
            if packets is not None:
                yield from self._decoded(packets, track, first, refused)
        if packets is None:
            with self._opened() as container:
                track = self._track(container)
                yield from self._decoded(packets_of(container, track), track, 0, refused)

    def _decoded(
        self, packets: Iterator[Any], track: Any, first: int, refused: list[Exception]
    ) -> Iterator[Any]:
        """Frames of all packets from the one numbered `first` on."""
        errors = (self._av.FFmpegError, OSError, ValueError)
        count, expected = first, self._packets.sizes.size
        while True:
            try:
                packet = next(packets, None)
            except errors as error:
                if not self._packets.was_cut:
                    raise self._not_to_the_end(count, expected) from error
                packet = None
            is_end = packet is None or not packet.size
            if is_end and count < expected and not self._packets.was_cut:
                raise self._not_to_the_end(count, expected)
            count += 1
            try:
                frames = track.decode(packet)
            except errors as error:
                refused.append(error)
                frames = []
            # Those too that the decoder mended (`is_corrupt`): with several threads it does not
            # always say so, and all that refer to one are as damaged as it is.
            yield from frames
            if is_end:
                return

    def _not_to_the_end(self, count: int, expected: int) -> InputError:
        return InputError(
            f"{self.path} cannot be read on after {count} of {expected} frames, though it could "
            "when it was opened; do not change it meanwhile, and check the disk"
        )

    def _decode(self, frame: Any, time: int) -> DecodedImage:
        if frame is None:
            raise InputError(
                f"the frame of {self.path} at {time / 1e9:.3f} s is damaged: FFmpeg cannot decode "
                "it"
            )
        return self._lens.apply(self._upright(frame))

    def _upright(self, frame: Any) -> NDArray[np.uint8]:
        try:
            image = rgb_pixels(frame)
        except (self._av.FFmpegError, ValueError) as error:
            raise InputError(
                f"a frame of {self.path} in {frame.format.name} cannot be converted: {error}"
            ) from error
        if self._aspect != 1.0:
            height, width = image.shape[:2]
            wide = (round(width * self._aspect), height)
            high = (width, round(height / self._aspect))
            size = wide if self._aspect > 1.0 else high
            image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_LINEAR), np.uint8)
        return _orientation(frame).apply(image)


def _promised_end(container: Any) -> float:
    """Seconds at which a file says that it ends; 0 where FFmpeg tells if it ends before."""
    if container.format.name.partition(",")[0] not in _END_WITHOUT_ERROR:
        return 0.0
    return (container.duration or 0) / 1e6


def _boxes(path: Path) -> list[str]:
    """Kinds of the boxes that an MP4 or MOV is made of; of anything else nothing of use."""
    kinds: list[str] = []
    with path.open("rb") as file:
        while len(kinds) < _MOST_BOXES:
            head = file.read(16)
            size, kind = int.from_bytes(head[:4], "big"), head[4:8]
            if len(head) < 8 or not kind.isalnum():
                break
            kinds.append(kind.decode("ascii", "replace"))
            if size == 1:  # the size is behind, in 64 bits
                size = int.from_bytes(head[8:], "big")
            if size < 8:
                break
            file.seek(size - len(head), 1)
    return kinds


def _is_cover(track: Any) -> bool:
    """Whether a track is the picture on the cover of a piece of music."""
    return bool(track.disposition & type(track.disposition).attached_pic)


def _orientation(frame: Any) -> Orientation:
    matrix = frame.side_data.get("DISPLAYMATRIX")
    return orientation_of(bytes(matrix)) if matrix is not None else Orientation()

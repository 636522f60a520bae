# SPDX-License-Identifier: Apache-2.0
"""A video of montages, to look at: the picture, and what was seen in it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mtinet_ros.errors import ConfigurationError, InputError
from mtinet_ros.model_card import ModelCard
from mtinet_ros.output_files import file_errors, make_folder
from mtinet_ros.perception.prediction import Prediction
from mtinet_ros.recordings.disk import flush_folder
from mtinet_ros.recordings.frame import PassedMessage, RecordedFrame
from mtinet_ros.recordings.names import safe_name
from mtinet_ros.recordings.pyav import load_av
from mtinet_ros.recordings.video_segments import Segment, choose_encoder, join_segments
from mtinet_ros.visualization.colors import colorize_depth
from mtinet_ros.visualization.montage import UNTRAINED_NOTE, Panel, frame_panels, montage

_CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
_SHOWN = ("rgb", "segmentation", "overlay", "depth", "normals")

# What decoders of H.264 in browsers and telephones take.
_LARGEST = (3840, 2160)

# Metres between which depth is colored, the same in the whole video, where it is metric.
_NEAR_FAR = (0.5, 10.0)


class VideoSink:
    """Writes montages into a video (`Sink`), each shown when its frame was taken.

    H.264 in yuv420p, which browsers play. One camera becomes OUT.mp4, several OUT_front.mp4 and so
    on. Each part is a video of its own, in a hidden folder beside the output, until all is joined
    without being encoded again.

    Attributes:
        problems: What could not be as it should, a sentence each.
        finish_is_cheap: Whether `finish` may be called after every part: it copies all of it.
    """

    finish_is_cheap = False

    def __init__(self, path: Path, card: ModelCard, outputs: Collection[str]) -> None:
        """Prepare a video.

        Args:
            path: The video; its suffix gives the container: .mp4, .m4v, .mov or .mkv.
            card: Card of the model: class names, palette.
            outputs: What is shown beside the picture: segmentation (or overlay), depth, normals.

        Raises:
            ConfigurationError: PyAV is not installed, the folder cannot be written to, or such a
                file cannot hold the video.
        """
        if path.suffix.lower() not in _CONTAINERS:
            raise ConfigurationError(
                f"{path} cannot be written as a video of H.264; give it a name with "
                f"{', '.join(_CONTAINERS)}"
            )
        unknown = sorted(set(outputs) - set(_SHOWN))
        if unknown:
            raise ConfigurationError(
                f"the output {', '.join(unknown)} cannot be shown in a video; it takes "
                f"{', '.join(_SHOWN)}"
            )
        self._av = load_av(f"writing {path}")
        self._encoder = choose_encoder(self._av)
        self.problems: list[str] = []
        if self._encoder.note:
            self.problems.append(f"{path}: {self._encoder.note}")
        self._path = path
        self._card = card
        self._outputs = frozenset(outputs)
        self._segments = path.parent / f".{path.name}.mtinet_process" / "segments"
        make_folder(path.parent)
        make_folder(self._segments)
        self._number: int | None = None
        self._open: dict[str, Segment] = {}
        self._sizes: dict[str, tuple[int, int]] = {}

    def begin_part(self, number: int) -> None:
        """Begin a part; what an earlier process left of the same number is removed.

        Raises:
            InputError: It cannot be removed.
        """
        self.discard_part()
        with file_errors(f"begin part {number} of {self._path}", InputError):
            for file in self._segments.glob(f"part-{number:06d}-*"):
                file.unlink()
        self._number = number

    def encode(self, frame: RecordedFrame, prediction: Prediction) -> NDArray[np.uint8]:
        """A frame's montage, uint8 [H,W,3] RGB; see `Sink`."""
        return self._montage(prediction)

    def write(self, frame: RecordedFrame, encoded: NDArray[np.uint8]) -> None:
        """Add a frame's montage; see `Sink`.

        Raises:
            InputError: It cannot be written.
        """
        if self._number is None:
            raise RuntimeError("write without begin_part")
        size = self._sizes.get(frame.camera) or self._agreed_size(frame.camera, encoded)
        self._sizes[frame.camera] = size
        segment = self._open.get(frame.camera)
        if segment is None:
            file = self._segments / f"part-{self._number:06d}-{_file_name(frame.camera)}.mp4"
            segment = Segment(self._av, file, size, self._encoder)
            self._open[frame.camera] = segment
        segment.add(_fitted(encoded, size), frame.time)

    def pass_on(self, message: PassedMessage) -> None:
        """Nothing: a video holds no messages."""

    def end_part(self) -> dict[str, Any]:
        """Put the part's videos in their places; see `Sink`.

        Raises:
            InputError: They cannot be written.
        """
        if self._number is None:
            raise RuntimeError("end_part without begin_part")
        videos = {camera: segment.end() for camera, segment in self._open.items()}
        with file_errors(f"write {self._segments}", InputError):
            flush_folder(self._segments)
        record = {"number": self._number, "videos": videos}
        self._open, self._number = {}, None
        return record

    def discard_part(self) -> None:
        """Forget the part that was begun, if one was."""
        for segment in self._open.values():
            segment.discard()
        self._open, self._number = {}, None

    def finish(self, parts: Sequence[dict[str, Any]]) -> None:
        """Join the parts; see `Sink`. Takes as long as copying them.

        Raises:
            InputError: It cannot be written, or a part is gone, or of another encoder.
        """
        cameras = sorted({camera for part in parts for camera in part["videos"]})
        for camera, path in video_paths(self._path, cameras).items():
            videos = [part["videos"][camera] for part in parts if camera in part["videos"]]
            join_segments(
                self._av,
                [(self._segments / video["file"], video["first"]) for video in videos],
                path,
                _CONTAINERS[path.suffix.lower()],
            )
        with file_errors(f"write {self._path}", InputError):
            self._note_single(cameras)

    def _note_single(self, cameras: Sequence[str]) -> None:
        """Remove the video of the first camera, written before another one's first frame came."""
        note = self._segments / "single"
        if len(cameras) == 1:
            note.touch()
        elif cameras and note.exists():
            self._path.unlink(missing_ok=True)
            note.unlink()

    def remove_parts(self) -> None:
        """Remove the parts, when the video is complete; it cannot be gone on with then.

        Raises:
            InputError: They cannot be removed.
        """
        with file_errors(f"remove {self._segments}", InputError):
            shutil.rmtree(self._segments)

    def _montage(self, prediction: Prediction) -> NDArray[np.uint8]:
        card, shown = self._card, self._outputs
        has_labels = bool(shown & {"segmentation", "overlay"})
        panels = frame_panels(
            prediction.image,
            card.palette,
            labels=prediction.labels if has_labels else None,
            normals=prediction.normals if "normals" in shown else None,
        )
        if prediction.depth is not None and "depth" in shown:
            place = 1 + (has_labels and prediction.labels is not None)
            panels.insert(place, _depth_panel(prediction.depth, prediction.depth_is_metric))
        is_legend = has_labels and prediction.labels is not None
        legend = list(zip(card.class_names, card.palette, strict=True)) if is_legend else []
        note = UNTRAINED_NOTE if card.untrained else ""
        return montage(panels, legend, note, columns=min(2, len(panels)))

    def _agreed_size(self, camera: str, image: NDArray[np.uint8]) -> tuple[int, int]:
        """(width, height) of a camera's video: what the very first frame of any part gave it."""
        path = self._segments / f"size-{_file_name(camera)}.json"
        aside = path.with_name(f".{path.name}.{os.getpid()}.part")
        with file_errors(f"write {path}", InputError):
            aside.write_text(json.dumps(_even_size(image)), "ascii")
            try:
                os.link(aside, path)  # in one step, and only if no other process was faster
            except OSError:
                if not path.exists():  # a disk without links
                    os.replace(aside, path)
            aside.unlink(missing_ok=True)
            width, height = json.loads(path.read_text("ascii"))
        return int(width), int(height)


def video_paths(path: Path, cameras: Sequence[str]) -> dict[str, Path]:
    """The video of each camera: `path` of a single one, `drive_front.mp4` of several."""
    if len(cameras) == 1:
        return {cameras[0]: path}
    return {
        camera: path.with_name(f"{path.stem}_{_file_name(camera)}{path.suffix}")
        for camera in cameras
    }


def _depth_panel(depth: NDArray[np.float32], is_metric: bool) -> Panel:
    if not is_metric:  # an unknown scale, which may drift: the colors follow it
        return "depth, up to scale", colorize_depth(depth)
    near, far = _NEAR_FAR
    return f"depth, {near:g} to {far:g} m", colorize_depth(depth, _NEAR_FAR)


def _even_size(image: NDArray[np.uint8]) -> tuple[int, int]:
    """(width, height) for an image: even, for yuv420p, and no larger than decoders take."""
    height, width = image.shape[:2]
    scale = min(1.0, _LARGEST[0] / width, _LARGEST[1] / height)
    return 2 * max(1, round(width * scale / 2)), 2 * max(1, round(height * scale / 2))


def _fitted(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """An image at a size of (width, height), its aspect kept, black around it."""
    width, height = size
    old_height, old_width = image.shape[:2]
    if abs(old_width - width) <= 1 and abs(old_height - height) <= 1:
        image = np.pad(image, ((0, 1), (0, 1), (0, 0)))[:height, :width]
        return np.ascontiguousarray(image)
    scale = min(width / old_width, height / old_height)
    inner = (max(1, round(old_width * scale)), max(1, round(old_height * scale)))
    shrinks = scale < 1.0
    fitted = cv2.resize(image, inner, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    sheet = np.zeros((height, width, 3), np.uint8)
    x, y = (width - inner[0]) // 2, (height - inner[1]) // 2
    sheet[y : y + inner[1], x : x + inner[0]] = fitted
    return sheet


def _file_name(camera: str) -> str:
    return safe_name(camera).replace("/", "_")

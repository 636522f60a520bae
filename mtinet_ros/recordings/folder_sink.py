# SPDX-License-Identifier: Apache-2.0
"""A folder of files for every frame: labels, depth, normals, and pictures to look at."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import cv2
import numpy as np
from numpy.typing import NDArray

from mtinet_ros.errors import ConfigurationError, InputError
from mtinet_ros.image_files import png_bytes
from mtinet_ros.model_card import ModelCard
from mtinet_ros.model_contract import VOID_ID
from mtinet_ros.output_files import file_errors, make_folder, npy_bytes, replace_file
from mtinet_ros.perception.depth import to_millimeters
from mtinet_ros.perception.prediction import Prediction
from mtinet_ros.recordings.disk import flush_file_system, flush_folder, remove_left_behind
from mtinet_ros.recordings.folder_record import RECORD_FOLDER
from mtinet_ros.recordings.frame import PassedMessage, RecordedFrame
from mtinet_ros.recordings.names import safe_name
from mtinet_ros.visualization.colors import LabelColors

DEPTH_ENCODINGS = ("32FC1", "16UC1")

_KINDS = ("rgb", "segmentation", "overlay", "depth", "normals", "confidence")
_JPEG_QUALITY = 92

Content = Callable[[Prediction], bytes | None]


@dataclass(frozen=True)
class _Encoded:
    """A frame's line in `frames.jsonl`, and its files by name."""

    entry: dict[str, Any]
    contents: dict[str, bytes]


class FolderSink:
    """Writes predictions into a folder (`Sink`), a folder in it for each output.

    A frame `kitchen/0001` becomes

    - `segmentation/kitchen/0001.png`: uint8 class ids, 255 void,
    - `overlay/kitchen/0001.jpg`: the picture tinted by class,
    - `depth/kitchen/0001.npy`: float32, NaN invalid; or `.png`: uint16 millimetres, 0 invalid,
    - `normals/kitchen/0001.npy`: float32 [H,W,3], camera optical frame, NaN invalid,
    - `confidence/kitchen/0001.png`: uint8, 255 certain,
    - `rgb/kitchen/0001.png`: the picture itself, of the very pixels of the others.

    `frames.jsonl` says of each when it was taken, through which lens (`k` of these pixels), and
    whether its depth is in metres; `legend.json` what the ids mean.

    Attributes:
        finish_is_cheap: Whether `finish` may be called after every part.
    """

    finish_is_cheap = True

    def __init__(
        self,
        folder: Path,
        card: ModelCard,
        outputs: Collection[str],
        *,
        depth_encoding: str = "32FC1",
    ) -> None:
        """Prepare a folder.

        Args:
            folder: Made if it is not there. What is in it and was not written here stays.
            card: Card of the model: class names, palette.
            outputs: Some of those above.
            depth_encoding: `32FC1` for .npy in metres, `16UC1` for .png in millimetres.

        Raises:
            ConfigurationError: It cannot be made or written to, or an output is none for a folder.
        """
        unknown = sorted(set(outputs) - set(_KINDS))
        if unknown:
            raise ConfigurationError(
                f"the output {', '.join(unknown)} cannot be written into a folder; it takes "
                f"{', '.join(_KINDS)}"
            )
        if depth_encoding not in DEPTH_ENCODINGS:
            raise ConfigurationError(
                f"depth_encoding is {depth_encoding}; allowed: {', '.join(DEPTH_ENCODINGS)}"
            )
        make_folder(folder)
        self._folder = folder
        self._card = card
        self._records = folder / RECORD_FOLDER / "frames"
        make_folder(self._records)
        colors = LabelColors(card.palette)
        has_metres = depth_encoding == "32FC1"
        contents: dict[str, tuple[str, Content]] = {
            "rgb": (".png", lambda p: png_bytes(p.image)),
            "segmentation": (".png", lambda p: None if p.labels is None else png_bytes(p.labels)),
            "overlay": (".jpg", lambda p: _overlay(colors, p)),
            "depth": (
                ".npy" if has_metres else ".png",
                lambda p: None if p.depth is None else _depth(p.depth, has_metres),
            ),
            "normals": (".npy", lambda p: None if p.normals is None else npy_bytes(p.normals)),
            "confidence": (
                ".png",
                lambda p: None if p.confidence is None else png_bytes(p.confidence),
            ),
        }
        self._contents = {kind: contents[kind] for kind in _KINDS if kind in outputs}
        self._has_metres = has_metres
        self._made: set[Path] = set()
        self._pool = ThreadPoolExecutor(max(1, len(self._contents)), "write")
        self._number = 0
        self._list: TextIO | None = None
        self._frames = 0
        self._times: list[int] = []

    def begin_part(self, number: int) -> None:
        """Begin a part; files that an earlier process wrote for the same number are removed.

        Raises:
            InputError: They cannot be, or the part's list cannot be written.
        """
        self.discard_part()
        with file_errors(f"begin part {number} of {self._folder}", InputError):
            for path in (self._path(number), self._path(number, ".open")):
                self._remove(path)
            self._list = self._path(number, ".open").open("w", encoding="utf-8")
        self._number = number
        self._frames, self._times = 0, []

    def encode(self, frame: RecordedFrame, prediction: Prediction) -> _Encoded:
        """The contents of a frame's files; see `Sink`."""
        name = safe_name(frame.name)
        files, contents = {}, {}
        for kind, (suffix, content) in self._contents.items():
            encoded = content(prediction) if _has(prediction, kind) else None
            if encoded is not None:
                files[kind] = f"{kind}/{name}{suffix}"
                contents[files[kind]] = encoded
        return _Encoded(_entry(name, frame, prediction) | {"files": files}, contents)

    def write(self, frame: RecordedFrame, encoded: _Encoded) -> None:
        """Write the files of a frame; see `Sink`.

        Raises:
            InputError: One cannot be written, or is there and was not written here.
        """
        if self._list is None:
            raise RuntimeError("write without begin_part")
        for file in encoded.contents:
            if os.path.lexists(self._folder / file):
                raise InputError(
                    f"{self._folder / file} is there and was not written by this run; remove it "
                    "or choose another folder"
                )
        # Before the files: a run that is killed in between leaves none that nobody knows.
        with file_errors(f"write {self._path(self._number)}", InputError):
            self._list.write(json.dumps(encoded.entry, ensure_ascii=False) + "\n")
            self._list.flush()
        writing = [
            self._pool.submit(self._write_file, self._folder / file, content)
            for file, content in encoded.contents.items()
        ]
        for job in writing:
            job.exception()  # all of them, before another frame is begun
        for job in writing:
            job.result()
        self._frames += 1
        self._times.append(frame.time)

    def pass_on(self, message: PassedMessage) -> None:
        """Nothing: a folder holds no messages."""

    def end_part(self) -> dict[str, Any]:
        """Flush all files of the part to the disk; see `Sink`.

        Raises:
            InputError: They cannot be written.
        """
        if self._list is None:
            raise RuntimeError("end_part without begin_part")
        path = self._path(self._number)
        with file_errors(f"write {path}", InputError):
            self._list.close()
            self._list = None
            flush_file_system(self._folder)
            os.replace(self._path(self._number, ".open"), path)
            flush_folder(self._records)
        times = self._times or [0]
        return {
            "number": self._number,
            "frames": self._frames,
            "start": min(times),
            "end": max(times),
        }

    def discard_part(self) -> None:
        """Remove the files of the part that was begun, if one was."""
        if self._list is None:
            return
        self._list.close()
        self._list = None
        with file_errors(f"discard a part of {self._folder}", InputError):
            self._remove(self._path(self._number, ".open"))

    def finish(self, parts: Sequence[dict[str, Any]]) -> None:
        """Write `frames.jsonl` of these parts, and `legend.json`; see `Sink`.

        Raises:
            InputError: They cannot be written, or the list of a part is gone.
        """
        path = self._folder / "frames.jsonl"
        aside = path.with_name(f".{path.name}.{os.getpid()}.part")
        legend_path = self._folder / "legend.json"
        with file_errors(f"write {path}", InputError):
            for file in (path, legend_path):
                remove_left_behind(file)
            with aside.open("wb") as joined:
                for part in sorted(parts, key=lambda part: (part["start"], part["number"])):
                    joined.write(self._path(part["number"]).read_bytes())
                joined.flush()
                os.fsync(joined.fileno())
            os.replace(aside, path)
            legend = json.dumps(self._legend(), indent=2, ensure_ascii=False)
            replace_file(legend_path, f"{legend}\n", flush=True)

    def _path(self, number: int, ending: str = "") -> Path:
        return self._records / f"part-{number:06d}.jsonl{ending}"

    def _remove(self, listing: Path) -> None:
        """Remove the files that a part's list names, then the list; what is not there is not."""
        if not listing.exists():
            return
        paths: list[Path] = []
        for line in listing.read_text("utf-8", "replace").splitlines():
            try:
                paths = [self._folder / file for file in json.loads(line)["files"].values()]
            except ValueError:
                continue  # cut off, so that its files were not begun
            for path in paths:
                path.unlink(missing_ok=True)
        for path in paths:  # of the last frame, in the midst of which a kill may have come
            remove_left_behind(path)
        listing.unlink()

    def _write_file(self, path: Path, content: bytes) -> None:
        with file_errors(f"write {path}", InputError):
            if path.parent not in self._made:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._made.add(path.parent)
            replace_file(path, content)

    def _legend(self) -> dict[str, Any]:
        card = self._card
        legend: dict[str, Any] = {"model": card.name, "fingerprint": card.fingerprint}
        if "segmentation" in self._contents:
            legend["void_id"] = VOID_ID
            legend["classes"] = [
                {"id": index, "name": name, "color": list(card.palette[index])}
                for index, name in enumerate(card.class_names)
            ]
        if "depth" in self._contents:
            unit, invalid = ("metres", "NaN") if self._has_metres else ("millimetres", 0)
            note = "along the optical axis; up to scale where depth_is_metric is false"
            legend["depth"] = {"unit": unit, "invalid": invalid, "note": note}
        if "normals" in self._contents:
            legend["normals"] = {"axes": card.normals_axes, "invalid": "NaN"}
        return legend


def _has(prediction: Prediction, kind: str) -> bool:
    needed = {
        "rgb": prediction.image,
        "segmentation": prediction.labels,
        "overlay": prediction.labels,
        "depth": prediction.depth,
        "normals": prediction.normals,
        "confidence": prediction.confidence,
    }
    return needed[kind] is not None


def _entry(name: str, frame: RecordedFrame, prediction: Prediction) -> dict[str, Any]:
    height, width = prediction.size
    camera = prediction.camera
    return {
        "name": name,
        "camera": frame.camera,
        "time": frame.time,
        "stamp": frame.header.stamp,
        "frame_id": frame.header.frame_id,
        "width": width,
        "height": height,
        "k": None if camera is None else camera.K.ravel().tolist(),
        "depth_is_metric": prediction.depth_is_metric if prediction.depth is not None else None,
    }


def _overlay(colors: LabelColors, prediction: Prediction) -> bytes | None:
    if prediction.labels is None:
        return None
    picture = cv2.cvtColor(colors.overlay(prediction.image, prediction.labels), cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1].tobytes()


def _depth(depth: NDArray[np.float32], has_metres: bool) -> bytes:
    return npy_bytes(depth) if has_metres else png_bytes(to_millimeters(depth))

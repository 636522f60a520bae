# SPDX-License-Identifier: Apache-2.0
"""Picture files as a recording of one camera: a file, a folder, a pattern, or several of them."""

from __future__ import annotations

import functools
import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from mtinet_ros.errors import InputError
from mtinet_ros.image_files import IMAGE_SUFFIXES, read_image
from mtinet_ros.output_files import file_errors, is_result
from mtinet_ros.perception.decoded_image import DecodedImage
from mtinet_ros.recordings.folder_record import is_result_folder
from mtinet_ros.recordings.frame import CameraInput, Header, Interval, RecordedFrame
from mtinet_ros.recordings.lens import NO_LENS, FileLens, LensOptions
from mtinet_ros.recordings.names import natural_order, unique_names
from mtinet_ros.recordings.problem_list import ProblemList

PERIOD = 10**9
"""From one picture to the next on the recording's axis, ns."""

# What telephones and cameras write beside or instead of pictures that OpenCV reads.
_NOT_READ = (".heic", ".heif", ".avif", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".rw2")


class PicturesSource:
    """Pictures in natural order (img2 before img10), each a second after the one before.

    They are turned upright as EXIF says. One that cannot be read raises in its own `decode`.

    Attributes:
        path: The file, the folder or the pattern; of several the folder above all.
        cameras: One.
        problems: What was wrong with the calibration or left out, a sentence each.
    """

    def __init__(
        self,
        paths: Path | Sequence[Path],
        lens: LensOptions = NO_LENS,
        *,
        camera: str = "camera",
        frame_id: str = "camera_optical_frame",
        start_stamp: int = 0,
    ) -> None:
        """Look for the files; none is read.

        Args:
            paths: A picture, a folder (with all folders in it), a pattern such as
                `rooms/*/left_*.png` (`**`: folders of any depth), or several of these.
            lens: What is known of the camera.
            camera: Its name.
            frame_id: For the headers.
            start_stamp: Time of the first picture in ns of ROS time, for the headers.

        Raises:
            InputError: There is no such file, or no picture in a folder.
            ConfigurationError: The calibration cannot be used.
        """
        given = [paths] if isinstance(paths, Path) else list(paths)
        left_out: list[Path] = []
        self._files = _unique(file for path in given for file in _pictures(path, left_out))
        base = _base(given, self._files)
        self.path = given[0] if len(given) == 1 else base
        self.problems: list[str] = []
        if left_out:
            suffixes = sorted({file.suffix.lower() for file in left_out})
            self.problems.append(
                f"{self.path} holds {len(left_out)} pictures that are not read "
                f"({', '.join(suffixes)}); convert them to jpeg or png"
            )
        self.cameras = (CameraInput(camera, str(self.path), len(self._files)),)
        self._names = unique_names([_relative(file, base) for file in self._files])
        self._frame_id = frame_id
        self._start_stamp = start_stamp
        self._lens = FileLens(lens, camera, ProblemList(self.problems, str(self.path)))

    def interval(self) -> Interval:
        """From 0 to a second after the last picture's time."""
        return Interval(0, len(self._files) * PERIOD)

    def read(
        self, interval: Interval, with_other_messages: bool = False
    ) -> Iterator[RecordedFrame]:
        """The pictures of an interval."""
        first = -(-max(interval.start or 0, 0) // PERIOD)
        for index in range(first, len(self._files)):
            time = index * PERIOD
            if interval.end is not None and time >= interval.end:
                return
            yield RecordedFrame(
                camera=self.cameras[0].name,
                time=time,
                header=Header(self._start_stamp + time, self._frame_id),
                name=self._names[index],
                decode=functools.partial(self._decode, self._files[index]),
            )

    def close(self) -> None:
        """Nothing is open."""

    def _decode(self, file: Path) -> DecodedImage:
        image = read_image(file)
        try:
            return self._lens.apply(image)
        except InputError as error:
            raise InputError(f"{file}: {error}") from error


def _pictures(path: Path, left_out: list[Path]) -> list[Path]:
    """All pictures that a path means, in natural order; adds to what is left out of folders."""
    if path.is_dir():
        with file_errors(f"read the folder {path}", InputError):
            files = list(_in_folder(path, left_out))
        if not files and left_out:
            raise InputError(
                f"the folder {path} holds {len(left_out)} pictures, but none of a format that is "
                f"read, e.g. {left_out[0].name}; convert them to jpeg or png"
            )
        if not files:
            raise InputError(
                f"the folder {path} holds no pictures ({', '.join(IMAGE_SUFFIXES)}), nor does any "
                "in it"
            )
    elif os.path.lexists(path) or not glob.has_magic(str(path)):
        with file_errors(f"read picture {path}", InputError):
            path.stat()
        return [path]
    else:
        matches = [Path(match) for match in glob.glob(str(path), recursive=True)]
        files = [match for match in matches if match.is_file()]
        # A pattern such as room/* is meant for the pictures among the files.
        files = [file for file in files if _is_picture(file)] or files
        if not files:
            raise InputError(f"no file is called like {path}")
    return sorted(files, key=lambda file: natural_order(file.as_posix()))


def _in_folder(folder: Path, left_out: list[Path]) -> Iterator[Path]:
    """Pictures of a folder and of those in it: no hidden ones, and no results of this package."""
    records: dict[Path, dict[str, str]] = {}
    seen: set[tuple[int, int]] = set()  # links may lead in a circle
    for place, folders, files in os.walk(folder, onerror=_raise, followlinks=True):
        status = os.stat(place)
        if (status.st_dev, status.st_ino) in seen or is_result_folder(Path(place)):
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = [name for name in sorted(folders) if not name.startswith(".")]
        for name in files:
            file = Path(place, name)
            if _is_picture(file) and not is_result(file, records):
                yield file
            elif file.suffix.lower() in _NOT_READ and not name.startswith("."):
                left_out.append(file)


def _raise(error: OSError) -> None:
    raise error


def _is_picture(file: Path) -> bool:
    return file.suffix.lower() in IMAGE_SUFFIXES and not file.name.startswith(".")


def _unique(files: Iterable[Path]) -> list[Path]:
    """Each file once, however it was named: as in `room room/*.jpg`."""
    return list({os.path.abspath(file): file for file in files}.values())


def _base(given: Sequence[Path], files: Sequence[Path]) -> Path:
    """The folder below which the names are unique: the one that was given, or above all files."""
    if len(given) == 1 and given[0].is_dir():
        return given[0]
    return Path(os.path.commonpath([os.path.abspath(file.parent) for file in files]))


def _relative(file: Path, base: Path) -> str:
    return Path(os.path.relpath(os.path.abspath(file), os.path.abspath(base))).as_posix()

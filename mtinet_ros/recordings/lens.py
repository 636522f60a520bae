# SPDX-License-Identifier: Apache-2.0
"""The lens of files that bring no CameraInfo: from an option, or from a calibration file."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from mtinet_ros.errors import ConfigurationError, InputError
from mtinet_ros.messages.camera_info_message import calibrated_size, camera_model, size_ratio
from mtinet_ros.messages.image_decoder import ImageDecoder, Problems
from mtinet_ros.output_files import file_errors
from mtinet_ros.perception.camera_model import CameraModel
from mtinet_ros.perception.decoded_image import DecodedImage

_LARGEST_FILE = 2**20  # bytes; a calibration has a thousand

# Fields of a calibration: as camera_calibration and camera_info_manager write them, as older files
# have them, and as `ros2 topic echo` prints a CameraInfo.
_NAMES = {
    "width": ("image_width", "width"),
    "height": ("image_height", "height"),
    "k": ("camera_matrix", "k", "K"),
    "d": ("distortion_coefficients", "d", "D"),
    "r": ("rectification_matrix", "r", "R"),
    "p": ("projection_matrix", "p", "P"),
    "distortion_model": ("distortion_model", "camera_model"),
}


@dataclass(frozen=True)
class LensOptions:
    """What a person knows of the camera that took a file; nothing: depth is up to scale.

    Attributes:
        focal_length: In pixels of the upright picture at its full size.
        calibration: YAML file as camera_calibration writes it, of the upright picture.
        rectify: Whether distortion that the calibration tells of is taken out.
    """

    focal_length: float | None = None
    calibration: Path | None = None
    rectify: bool = True

    def __post_init__(self) -> None:
        """Check that they go together.

        Raises:
            ConfigurationError: Both are given, or the focal length is none.
        """
        if self.focal_length is None:
            return
        if not 0.0 < self.focal_length < math.inf:
            raise ConfigurationError(
                f"the focal length {self.focal_length:g} is not allowed; give a positive number "
                "of pixels"
            )
        if self.calibration is not None:
            raise ConfigurationError(
                f"a focal length ({self.focal_length:g} pixels) and a calibration "
                f"({self.calibration}) are given; choose one"
            )


NO_LENS = LensOptions()


@dataclass(frozen=True)
class RegionOfInterest:
    """The fields of sensor_msgs/RegionOfInterest that matter; all 0: the whole picture."""

    x_offset: int = 0
    y_offset: int = 0
    height: int = 0
    width: int = 0


@dataclass(frozen=True)
class Calibration:
    """A calibration file, with the fields of sensor_msgs/CameraInfo."""

    width: int
    height: int
    distortion_model: str
    d: tuple[float, ...]
    k: tuple[float, ...]
    r: tuple[float, ...]
    p: tuple[float, ...]
    binning_x: int = 0
    binning_y: int = 0
    roi: RegionOfInterest = RegionOfInterest()


class FileLens:
    """Gives pictures of one camera their camera models, by the node's own rules.

    `apply` may be called in any thread.
    """

    def __init__(self, options: LensOptions, camera: str, problems: Problems) -> None:
        """Read the calibration, if there is one.

        Args:
            options: What is known of the lens.
            camera: Name of the camera, for messages.
            problems: Takes what is wrong with the calibration.

        Raises:
            InputError: The calibration file cannot be read.
        """
        self._options = options
        self._camera = camera
        self._problems = problems
        self._calibration = None
        if options.calibration is not None:
            self._calibration = read_calibration(options.calibration)
        # Maps for rectification are kept in the decoder, which belongs to one thread.
        self._decoders = threading.local()

    def apply(self, image: NDArray[np.uint8]) -> DecodedImage:
        """A picture, uint8 [h,w,3] RGB, rectified if need be, with the model of its lens.

        Raises:
            InputError: The calibration is for another size.
        """
        height, width = image.shape[:2]
        if self._calibration is not None:
            self._check_size((height, width), "the picture", InputError)
            return self._decoder(self._calibration).with_lens(image)
        focal_length = self._options.focal_length
        if focal_length is None:
            return DecodedImage(image, None)
        center = ((width - 1) / 2, (height - 1) / 2)
        model = CameraModel.pinhole(width, height, focal_length, focal_length, *center)
        return DecodedImage(image, model)

    def check_size(self, size: tuple[int, int], what: str) -> None:
        """Refuse pictures of (height, width), of `what`, that the calibration is not for.

        Raises:
            ConfigurationError: Naming both sizes.
        """
        if self._calibration is not None:
            self._check_size(size, what, ConfigurationError)

    def _check_size(
        self, size: tuple[int, int], what: str, kind: type[ConfigurationError | InputError]
    ) -> None:
        calibration = self._calibration
        if calibration is not None and not size_ratio(calibration, size):
            height, width = calibrated_size(calibration)
            turned = "" if size != (width, height) else ", once it is turned upright"
            raise kind(
                f"{what} has {size[1]}x{size[0]} pixels{turned}, and the calibration "
                f"{self._options.calibration} is for {width}x{height}; calibrate with pictures "
                "of that size"
            )

    def _decoder(self, calibration: Calibration) -> ImageDecoder:
        decoder: ImageDecoder | None = getattr(self._decoders, "decoder", None)
        if decoder is None:
            name = str(self._options.calibration)
            decoder = ImageDecoder(
                self._camera, self._camera, name, self._problems, self._options.rectify
            )
            decoder.add_calibration(calibration)
            self._decoders.decoder = decoder
        return decoder


def read_calibration(path: Path) -> Calibration:
    """Read a camera's calibration from YAML.

    That is what `camera_calibration` puts into `ost.yaml` and camera_info_manager into
    `~/.ros/camera_info`, also where `distortion_model` is missing (plumb_bob, then), what OpenCV's
    calibration sample writes, and what `ros2 topic echo --once …/camera_info` prints.

    Raises:
        InputError: It cannot be read, is no such file, or holds numbers that no lens has.
    """
    with file_errors(f"read the calibration {path}", InputError), path.open("rb") as file:
        content = file.read(_LARGEST_FILE)
    try:
        # OpenCV's first line is no YAML that PyYAML takes.
        text = content.decode().removeprefix("%YAML:1.0\n")
        document = next(iter(yaml.load_all(text, _Loader)), None)  # echo ends with ---
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        line = " ".join(str(error).split())[:120]
        raise InputError(f"the calibration {path} is no YAML file: {line}") from error
    if not isinstance(document, dict):
        raise InputError(
            f"the calibration {path} holds no camera_matrix; give a file as camera_calibration "
            "writes it"
        )
    try:
        calibration = _calibration(document)
        camera_model(calibration, calibrated_size(calibration))
    except InputError as error:
        raise InputError(f"the calibration {path} cannot be used: {error}") from error
    return calibration


def _calibration(document: dict[Any, Any]) -> Calibration:
    model = _field(document, "distortion_model")
    return Calibration(
        width=_size(document, "width"),
        height=_size(document, "height"),
        distortion_model="plumb_bob" if model is None else str(model),
        d=_numbers(document, "d", None),
        k=_numbers(document, "k", 9),
        r=_numbers(document, "r", 9) or (0.0,) * 9,
        p=_numbers(document, "p", 12) or (0.0,) * 12,
        binning_x=_count(document.get("binning_x")),
        binning_y=_count(document.get("binning_y")),
        roi=_region(document.get("roi")),
    )


def _field(document: dict[Any, Any], field: str) -> Any:
    for name in _NAMES[field]:
        if document.get(name) is not None:
            return document[name]
    return None


def _size(document: dict[Any, Any], field: str) -> int:
    size = _count(_field(document, field))
    if not size:
        raise InputError(f"{_NAMES[field][0]} is {_field(document, field)}, not a positive number")
    return size


def _count(value: Any) -> int:
    return value if isinstance(value, int) and 0 < value < 2**32 else 0


def _region(value: Any) -> RegionOfInterest:
    if not isinstance(value, dict):
        return RegionOfInterest()
    names = ("x_offset", "y_offset", "height", "width")
    return RegionOfInterest(*(_count(value.get(name)) for name in names))


def _numbers(document: dict[Any, Any], field: str, count: int | None) -> tuple[float, ...]:
    """Numbers of a matrix: `{rows, cols, data}`, or a list, also of rows. Empty: there is none."""
    name, value = _NAMES[field][0], _field(document, field)
    if isinstance(value, dict):
        value = value.get("data")
    if value is None and field != "k":
        return ()
    if value is None:
        raise InputError(f"it holds no {name}")
    try:
        numbers = tuple(float(number) for number in np.asarray(value, np.float64).ravel())
    except (TypeError, ValueError):
        numbers = ()
    if (count is not None and len(numbers) != count) or (not numbers and value not in ([], ())):
        raise InputError(
            f"{name} holds {len(numbers)} numbers"
            + (f", {count} are allowed" if count is not None else "")
        )
    return numbers


class _Loader(yaml.SafeLoader):
    """Plain YAML, in which OpenCV's matrices are the mappings that they look like."""


def _matrix(loader: yaml.SafeLoader, node: yaml.nodes.MappingNode) -> Any:
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor("tag:yaml.org,2002:opencv-matrix", _matrix)

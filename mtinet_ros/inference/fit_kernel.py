# SPDX-License-Identifier: Apache-2.0
"""What the kernel in fit_kernel.cu is told, and which encodings it reads.

The kernel brings a camera's bytes to the network's input in one go. Its numbers are those of
`Fit.apply` on the decoded image, to one gray level; they are whole, so that a GPU and a CPU that
run the same source write the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np

from mtinet_ros.model_contract import RGB

KERNEL_NAME = "fit_image"

# Threads of a block: 32 in a row of the result, whose pixels lie next to each other.
BLOCK = (32, 8, 1)

# Halvings that the kernel has room for: an image 64 times as large as the result. MAX_HALVINGS.
_MAX_HALVINGS = 6

# The kernel's `int`.
_LARGEST = 2**31 - 1

# `FitJob` of the kernel, laid out as a C compiler does; its declaration there is made of this.
_JOB = np.dtype(
    [
        ("source", np.uint64),  # address of the bytes
        ("out", np.uint64),  # address of the result, uint8 [out_height,out_width,3]
        ("step", np.int64),  # bytes from row to row
        *(
            (name, np.int32)
            for name in (
                *("layout", "pixel_bytes", "first", "second", "third"),  # see `PixelLayout`
                *("sample_bytes", "is_bigendian"),
                *("width", "height"),  # of the image
                *("grows", "halvings"),
                *("content_width", "content_height", "left", "top"),  # in the result
                *("out_width", "out_height"),
                *("pad_red", "pad_green", "pad_blue"),
            )
        ),
    ],
    align=True,
)

_PACKED, _YUV_422, _NV21, _BAYER = range(4)


@dataclass(frozen=True)
class PixelLayout:
    """How the bytes of an encoding make a pixel.

    Attributes:
        kind: The kernel's name of its arithmetic.
        pixel_bytes: From a pixel to the next in a row.
        places: Of red, green and blue in a pixel, in samples; of Y, U and V in a pair of pixels;
            column and row of the first red of a Bayer pattern.
        sample_bytes: 1 or 2.
        rows: Rows in memory per row of the image.
        smallest: Fewest pixels of a side.
    """

    kind: int
    pixel_bytes: int = 1
    places: tuple[int, int, int] = (0, 0, 0)
    sample_bytes: int = 1
    rows: float = 1.0
    smallest: int = 1


def _bayer(column: int, row: int) -> PixelLayout:
    return PixelLayout(_BAYER, places=(column, row, 0), smallest=3)


_UYVY = PixelLayout(_YUV_422, 2, (1, 0, 2))
_YUYV = PixelLayout(_YUV_422, 2, (0, 1, 3))

# By the name that sensor_msgs/image_encodings.hpp has for it. nv24 is not here: the CPU's sums are
# not whole numbers, and what is rounded otherwise may differ by two once it is enlarged.
LAYOUTS = {
    "rgb8": PixelLayout(_PACKED, 3, (0, 1, 2)),
    "bgr8": PixelLayout(_PACKED, 3, (2, 1, 0)),
    "rgba8": PixelLayout(_PACKED, 4, (0, 1, 2)),
    "bgra8": PixelLayout(_PACKED, 4, (2, 1, 0)),
    "mono8": PixelLayout(_PACKED, 1, (0, 0, 0)),
    "mono16": PixelLayout(_PACKED, 2, (0, 0, 0), 2),
    "rgb16": PixelLayout(_PACKED, 6, (0, 1, 2), 2),
    "bgr16": PixelLayout(_PACKED, 6, (2, 1, 0), 2),
    "bayer_rggb8": _bayer(0, 0),
    "bayer_bggr8": _bayer(1, 1),
    "bayer_gbrg8": _bayer(0, 1),
    "bayer_grbg8": _bayer(1, 0),
    "yuv422": _UYVY,
    "uyvy": _UYVY,
    "yuv422_yuy2": _YUYV,
    "yuyv": _YUYV,
    "nv21": PixelLayout(_NV21, rows=1.5),
}


@dataclass(frozen=True)
class FitJob:
    """One image for the kernel, wherever its bytes will lie. Sizes are (height, width).

    Attributes:
        layout: Of its pixels.
        is_bigendian: Of samples of two bytes.
        step: Bytes from row to row.
        image_size: Of the image.
        halvings: How often it is halved before it shrinks, see `Fit.halvings`.
        content_size: Its size in the result.
        offset: (y, x) of its first pixel there.
        network_size: Of the result.
        pad_color: Of all that it leaves over.
    """

    layout: PixelLayout
    is_bigendian: bool
    step: int
    image_size: tuple[int, int]
    halvings: int
    content_size: tuple[int, int]
    offset: tuple[int, int]
    network_size: tuple[int, int]
    pad_color: RGB

    @property
    def is_possible(self) -> bool:
        """Whether the kernel can do it, and its numbers are large enough.

        Where one axis shrinks and the other grows, both roundings, which may differ by one gray
        level each, meet.
        """
        sizes = list(zip(self.image_size, self.content_size, strict=True))
        return (
            (self.grows or all(size >= content for size, content in sizes))
            and self.halvings <= _MAX_HALVINGS
            and min(self.image_size) >= self.layout.smallest
            # Lengths in units of a part of a pixel, and sums of a row of them.
            and all(
                max(2 * (size + 1) * content, 256 * size) < _LARGEST for size, content in sizes
            )
        )

    @property
    def grows(self) -> bool:
        """Whether an axis grows and none shrinks."""
        (height, width), (content_height, content_width) = self.image_size, self.content_size
        return self.image_size != self.content_size and (
            height <= content_height and width <= content_width
        )

    @property
    def source_size(self) -> int:
        """Bytes that the kernel reads from: the first to the last of the image."""
        (height, width), layout = self.image_size, self.layout
        return self.step * (int(height * layout.rows) - 1) + width * layout.pixel_bytes

    @property
    def grid(self) -> tuple[int, int, int]:
        """Blocks of threads that reach every pixel of the result."""
        height, width = self.network_size
        return -(-width // BLOCK[0]), -(-height // BLOCK[1]), 1

    def argument(self, source: int, out: int) -> np.void:
        """The kernel's only one.

        Args:
            source: Address of the image's bytes.
            out: Address of the result, uint8 [H,W,3].
        """
        layout = self.layout
        values: tuple[Any, ...] = (
            *(source, out, self.step),
            *(layout.kind, layout.pixel_bytes, *layout.places),
            *(layout.sample_bytes, self.is_bigendian),
            *(*reversed(self.image_size), self.grows, self.halvings),
            *reversed(self.content_size),
            *reversed(self.offset),
            *reversed(self.network_size),
            *self.pad_color,
        )
        filled: Any = np.array(values, _JOB)
        argument: np.void = filled[()]
        return argument


def kernel_source() -> str:
    """The kernel, in C and CUDA C++ alike, behind the declaration of its argument."""
    kinds = {"source": "const unsigned char *", "out": "unsigned char *", "step": "long long "}
    fields = "".join(f"{kinds.get(name, 'int ')}{name}; " for name in _JOB.names or ())
    return f"typedef struct {{ {fields}}} FitJob;\n" + _SOURCE


# Read with this module, whose arithmetic it shares: the files of a package may be replaced under a
# process that runs.
_SOURCE = resources.files("mtinet_ros.inference").joinpath("fit_kernel.cu").read_text("utf-8")

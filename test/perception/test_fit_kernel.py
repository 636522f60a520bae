# SPDX-License-Identifier: Apache-2.0
"""The GPU's kernel, compiled for the CPU, against decoding and `Fit.apply`: one gray level."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray
from support.kernel_on_cpu import needs_compiler, run_on_cpu

from mtinet_ros.inference.fit_kernel import LAYOUTS, kernel_source
from mtinet_ros.messages.image_message import ENCODINGS, raw_image
from mtinet_ros.perception.fit import Fit
from mtinet_ros.perception.raw_image import RawImage

PAD = (114, 7, 250)
GUARD = 0xA5
NETWORK = (96, 128)
# (height, width) of images, the network's input, how they are fitted, and what it is about.
FITS = [
    ((480, 640), NETWORK, "letterbox"),  # halved, then averaged by 2.5
    ((270, 480), NETWORK, "letterbox"),  # a fraction: areas end inside pixels; padding
    ((1080, 1920), NETWORK, "letterbox"),  # halved twice
    ((192, 256), NETWORK, "letterbox"),  # 2x2 exactly
    ((288, 384), NETWORK, "letterbox"),  # 3x3 exactly
    ((301, 400), NETWORK, "letterbox"),  # odd: cannot be halved
    ((36, 50), NETWORK, "letterbox"),  # grows
    ((96, 128), NETWORK, "letterbox"),  # as it is
    ((97, 33), NETWORK, "letterbox"),  # upright
    ((480, 640), (64, 160), "stretch"),
    ((96, 256), NETWORK, "stretch"),  # x by just 2, where halves are rounded to even; y as it is
    ((1200, 130), NETWORK, "stretch"),
    ((96, 50), NETWORK, "stretch"),  # x grows, y as it is
    ((4, 4), NETWORK, "letterbox"),
    ((3, 5), (32, 32), "stretch"),
    ((1, 1), (32, 32), "letterbox"),
]


def image_of(
    encoding: str, size: tuple[int, int], padding: int, random: np.random.Generator
) -> RawImage | None:
    """Random bytes in an encoding, with bytes behind each row; None if it has no such size."""
    kind = ENCODINGS[encoding]
    height, width = size
    if min(size) < LAYOUTS[encoding].smallest:
        return None
    height, width = height + kind.even[0] * height % 2, width + kind.even[1] * width % 2
    step = width * kind.channels * np.dtype(kind.sample).itemsize + padding
    message = SimpleNamespace(
        encoding=encoding,
        height=height,
        width=width,
        step=step,
        is_bigendian=int(random.integers(2)),
        data=random.integers(0, 256, step * int(height * kind.row_factor), np.uint8),
    )
    return raw_image(message)


def fitted_by_kernel(raw: RawImage, fit: Fit) -> NDArray[np.uint8]:
    """What the kernel makes of it; it writes no byte beside its result."""
    job = raw.job(fit, PAD)
    assert job is not None
    height, width = fit.network_size
    memory = np.full((height + 2, width, 3), GUARD, np.uint8)
    # No byte that it need not read: what lies behind the last pixel is not ours.
    data = raw.data[: job.source_size].copy()
    run_on_cpu(kernel_source(), job.argument(data.ctypes.data, memory[1:].ctypes.data))
    assert (memory[[0, -1]] == GUARD).all()
    return memory[1:-1]


def difference(raw: RawImage, fit: Fit) -> NDArray[np.int64]:
    expected = np.empty((*fit.network_size, 3), np.uint8)
    fit.apply(raw.pixels, expected, PAD)
    return np.abs(fitted_by_kernel(raw, fit).astype(np.int64) - expected)


@needs_compiler
@pytest.mark.parametrize("encoding", LAYOUTS)
def test_a_gpu_sees_what_a_cpu_sees_of_every_encoding(encoding: str) -> None:
    random = np.random.default_rng(sum(encoding.encode()))
    for size, network, mode in FITS:
        padding = 2 * int(random.integers(4))
        if raw := image_of(encoding, size, padding, random):
            worst = difference(raw, Fit.plan(raw.size, network, mode)).max()
            assert worst <= 1, (size, network, mode, padding)


@needs_compiler
def test_a_picture_of_edges_and_slopes_is_seen_as_a_cpu_sees_it() -> None:
    """Ends of the range and long slopes, where roundings all lean to one side."""
    y, x = np.mgrid[:720, :1280]
    pictures = [
        np.dstack([x // 5, y // 3, (x + y) % 256]),
        np.dstack([(x // 7 + y // 9) % 2] * 3) * 255,
    ]
    for picture in pictures:
        message = SimpleNamespace(
            encoding="rgb8", height=720, width=1280, step=3840, is_bigendian=0,
            data=picture.astype(np.uint8).tobytes(),
        )  # fmt: skip
        raw = raw_image(message)
        assert raw is not None
        for network, mode in (((198, 352), "letterbox"), ((200, 300), "stretch")):
            assert difference(raw, Fit.plan(raw.size, network, mode)).max() <= 1


@needs_compiler
def test_halving_is_exact_and_nothing_is_lost_on_the_way() -> None:
    """Where all roundings are known, no pixel differs at all."""
    random = np.random.default_rng(3)
    for size, network in (((192, 256), NETWORK), ((96, 128), NETWORK), ((384, 512), NETWORK)):
        raw = image_of("rgb8", size, 0, random)
        assert raw is not None
        assert not difference(raw, Fit.plan(size, network, "letterbox")).any()


@needs_compiler
def test_a_pixel_out_of_place_would_show() -> None:
    """So that the tests above prove something."""
    random = np.random.default_rng(4)
    raw = image_of("bgr8", (480, 640), 0, random)
    assert raw is not None
    fit = Fit.plan(raw.size, NETWORK, "letterbox")
    there = fitted_by_kernel(raw, fit).astype(int)
    shifted = np.roll(there, 1, axis=1)
    assert (np.abs(there - shifted) > 1).mean() > 0.5


@pytest.mark.parametrize(
    ("encoding", "size"),
    [
        ("nv24", (48, 64)),
        ("bayer_rggb8", (2, 64)),
        ("mono8", (1, 10_000_000)),
        ("rgb8", (64, 9000)),
        ("bgr8", (40, 1280)),  # x shrinks, y grows
        ("bgr8", (1200, 50)),  # the other way round
    ],
)
def test_what_the_kernel_cannot_do_is_left_to_the_cpu(
    encoding: str, size: tuple[int, int]
) -> None:
    raw = RawImage(np.zeros(1, np.uint8), encoding, False, 0, size, lambda data: data[..., None])
    network = (8, 9000) if encoding == "rgb8" else NETWORK
    possible = raw.job(Fit.plan(size, network, "stretch"), PAD)
    assert (possible is None) == (encoding != "rgb8")


def test_every_encoding_that_is_decoded_is_known_to_the_kernel_or_left_to_the_cpu() -> None:
    assert set(ENCODINGS) - set(LAYOUTS) == {"nv24"}
    for encoding, layout in LAYOUTS.items():
        kind = ENCODINGS[encoding]
        assert layout.rows == kind.row_factor
        assert layout.pixel_bytes == kind.channels * np.dtype(kind.sample).itemsize

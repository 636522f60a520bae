# SPDX-License-Identifier: Apache-2.0
"""A picture's header says what size it has, without a look at the rest."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mtinet_ros.image_files.claimed_size import claimed_size

PIXELS = np.random.default_rng(1).integers(0, 256, (30, 50, 3), np.uint8)


def encoded(suffix: str, *flags: int) -> bytes:
    return bytes(cv2.imencode(suffix, PIXELS, flags)[1].tobytes())


JPEG = encoded(".jpg")
THUMBNAIL = b"\xff\xe1" + (2 + len(JPEG)).to_bytes(2, "big") + JPEG


@pytest.mark.parametrize(
    ("content", "size"),
    [
        (JPEG, (30, 50)),
        (encoded(".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1), (30, 50)),
        (encoded(".png"), (30, 50)),
        (JPEG[:2] + THUMBNAIL.replace(b"\0\x1e\0\x32", b"\0\x07\0\x09") + JPEG[2:], (30, 50)),
        (JPEG[:2] + b"\xff\xff\xff" + JPEG[3:], (30, 50)),  # fill bytes
        (JPEG[:300], (30, 50)),  # the rest may be missing
        (JPEG[:20], None),
        (encoded(".png")[:20], None),
        (b"\xff\xd8\xff\xd9", None),
        (b"", None),
        (encoded(".bmp"), None),
    ],
)
def test_the_size_that_a_header_says(content: bytes, size: tuple[int, int] | None) -> None:
    assert claimed_size(np.frombuffer(content, np.uint8)) == size

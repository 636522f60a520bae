# SPDX-License-Identifier: Apache-2.0
"""What the structure checks of JPEG and PNG find out before anything is decoded."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Structure:
    """A file whose markers or chunks lead from its beginning to its end.

    Attributes:
        width: Pixels in a row.
        height: Rows.
        end: Bytes that belong to the picture. What lies behind is none of ours: padding of a
            driver's buffer, the video of a motion photo.
        capacity: The most pixels that the compressed data can hold; fewer than width x height
            means that data is missing, or that the size lies.
    """

    width: int
    height: int
    end: int
    capacity: int

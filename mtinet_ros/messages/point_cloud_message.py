# SPDX-License-Identifier: Apache-2.0
"""What a sensor_msgs/PointCloud2 says of the cloud that perception makes."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

# sensor_msgs/PointField: UINT32 and FLOAT32.
_DATATYPES = {"u4": 6, "f4": 7}


def point_fields(points: NDArray[np.void]) -> list[dict[str, Any]]:
    """What the PointFields of points say."""
    return [
        {"name": name, "offset": offset, "datatype": _DATATYPES[dtype.str[1:]], "count": 1}
        for name, (dtype, offset, *_) in (points.dtype.fields or {}).items()
    ]


def point_cloud_fields(points: NDArray[np.void]) -> dict[str, Any]:
    """What the PointCloud2 of points says, all but its header, its fields and its data.

    Args:
        points: [H,W] of `perception.point_cloud`. The cloud is organised, and not dense: invalid
            points are NaN.
    """
    height, width = points.shape
    return {
        "height": height,
        "width": width,
        "is_bigendian": sys.byteorder == "big",
        "point_step": points.itemsize,
        "row_step": points.itemsize * width,
        "is_dense": False,
    }

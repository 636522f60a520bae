# SPDX-License-Identifier: Apache-2.0
"""Where this package's shared files are, with or without a ROS environment."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from mtinet_ros.errors import ModelError

_PACKAGE = "mtinet_ros"


def share_directory() -> Path:
    """The folder that holds `launch/`, `config/` and `models/`.

    That is `share/mtinet_ros` of the prefix this package was installed into (a colcon workspace, a
    virtual environment), or the source tree when it runs from there.
    """
    root = Path(__file__).resolve().parent.parent
    if (root / "package.xml").is_file():
        return root
    prefixes = [*Path(__file__).resolve().parents, Path(sys.prefix)]
    prefixes += [Path(p) for p in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p]
    for prefix in prefixes:
        if (prefix / "share/ament_index/resource_index/packages" / _PACKAGE).is_file():
            return prefix / "share" / _PACKAGE
    return Path(sys.prefix) / "share" / _PACKAGE


def find_model(given: str) -> Path:
    """The model file that a person means: a path, or the name of one that comes with the package.

    >>> find_model("mtinet_indoor_rendered").name
    'mtinet_indoor_rendered.onnx'
    """
    try:
        path = Path(given).expanduser()
    except RuntimeError:  # nobody is called so
        path = Path(given)
    if os.sep in given or path.suffix or path.exists():
        return path
    bundled = share_directory() / "models" / f"{given}.onnx"
    return bundled if bundled.is_file() else path


def bundled_model() -> Path:
    """Path of the model that is used where none is named.

    Raises:
        ModelError: This installation has none.
    """
    path = share_directory() / "models" / "mtinet_indoor.onnx"
    if not path.is_file():
        raise ModelError(
            f"no model was given and this installation brings none ({path} does not exist); make "
            "one with `mtinet export` and give its path"
        )
    return path

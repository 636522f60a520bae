# SPDX-License-Identifier: Apache-2.0
"""PyAV, which reads and writes videos: imported where a video comes up, and nowhere else."""

from __future__ import annotations

from types import ModuleType

from mtinet_ros.errors import ConfigurationError


def load_av(doing: str) -> ModuleType:
    """The module `av`.

    OpenCV, which is always there, reads videos too, but knows no presentation times of its own
    and takes every color for BT.601: so it takes no part in this.

    Args:
        doing: What for, to begin the message with, e.g. `reading kitchen.mp4`.

    Raises:
        ConfigurationError: It is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise ConfigurationError(
            f"{doing} takes the Python package av (PyAV), which cannot be imported ({error}); "
            "`pip install 'mtinet_ros[process]'` brings it"
        ) from error
    av.logging.set_level(None)  # what matters comes as an error
    return av

# SPDX-License-Identifier: Apache-2.0
"""The kinds of data sets that a run's description can name (`data.kind`)."""

from __future__ import annotations

from collections.abc import Callable

from mtinet_ros.datasets.rooms import RoomSamples
from mtinet_ros.datasets.sample import SampleSource
from mtinet_ros.errors import ConfigurationError

# Each opens a split of the data set in a folder.
_SOURCES: dict[str, Callable[[str, str], SampleSource]] = {
    "rooms": RoomSamples,
}


def open_samples(kind: str, root: str, split: str) -> SampleSource:
    """Open one split of a data set.

    Args:
        kind: Of data set, e.g. "rooms".
        root: Folder of the data set.
        split: "train", "val" or "test".

    Raises:
        ConfigurationError: There is no such kind of data set.
        DataError: The data are missing or damaged.
    """
    source = _SOURCES.get(kind)
    if source is None:
        raise ConfigurationError(f"data: kind is {kind!r}; allowed is {', '.join(_SOURCES)}")
    return source(root, split)

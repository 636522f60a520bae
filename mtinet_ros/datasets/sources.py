# SPDX-License-Identifier: Apache-2.0
"""The kinds of data sets that a run's description can name (`data.kind`)."""

from __future__ import annotations

from mtinet_ros.datasets.merged import MergedClasses
from mtinet_ros.datasets.nyud import NyudSamples
from mtinet_ros.datasets.pascal import PascalSamples
from mtinet_ros.datasets.rooms import RoomSamples
from mtinet_ros.datasets.sample import SampleSource
from mtinet_ros.datasets.urbanlf import UrbanlfSamples
from mtinet_ros.errors import ConfigurationError

KINDS = ("rooms", "nyud", "pascal", "urbanlf")


def open_samples(
    kind: str, root: str, split: str, *, classes: str = "", crop: bool = True
) -> SampleSource:
    """Open one split of a data set.

    Args:
        kind: Of data set, one of `KINDS`.
        root: Folder of the data set.
        split: "train", "val" or "test".
        classes: Set of classes to merge the labels into, a key of `CLASS_SETS`; empty: none.
        crop: Leave out borders without truth.

    Raises:
        ConfigurationError: There is no such kind of data set, or its classes cannot be merged so.
        DataError: The data are missing or damaged.
    """
    source: SampleSource
    if kind == "rooms":
        source = RoomSamples(root, split)
    elif kind == "nyud":
        source = NyudSamples(root, split, crop=crop)
    elif kind == "pascal":
        source = PascalSamples(root, split)
    elif kind == "urbanlf":
        source = UrbanlfSamples(root, split)
    else:
        raise ConfigurationError(f"kind is {kind!r}; allowed is {', '.join(KINDS)}")
    return MergedClasses(source, classes) if classes else source

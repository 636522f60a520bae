# SPDX-License-Identifier: Apache-2.0
"""A data set whose classes are merged into a coarser set."""

from __future__ import annotations

from dataclasses import replace

from mtinet_ros.datasets.class_sets import CLASS_SETS, merging
from mtinet_ros.datasets.sample import Sample, SampleSource
from mtinet_ros.errors import ConfigurationError


class MergedClasses:
    """The samples of another source with its semseg labels merged; all else stays as it is."""

    def __init__(self, source: SampleSource, classes: str) -> None:
        """Merge the classes of `source` into the set named `classes`.

        Raises:
            ConfigurationError: They cannot be merged into it.
        """
        table = merging(source.class_names, classes)
        if table is None:
            raise ConfigurationError(
                f"classes is {classes!r}; allowed is {', '.join(CLASS_SETS)}"
                if classes not in CLASS_SETS
                else f"the {len(source.class_names)} classes of the data "
                f"({', '.join(source.class_names[:3])}, ...) cannot be merged into {classes!r}; "
                "NYUv2's 40 can, into 'rooms'"
            )
        self.source = source
        self.class_names = CLASS_SETS[classes].names
        self.palette = CLASS_SETS[classes].palette
        self.attribution = source.attribution
        self._table = table

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.source)

    def __getitem__(self, index: int, /) -> Sample:
        """The sample at `index`, relabelled."""
        sample = self.source[index]
        if "semseg" not in sample.targets:
            return sample
        labels = self._table[sample.targets["semseg"].astype("uint8")]
        return replace(sample, targets={**sample.targets, "semseg": labels})

    def videos(self) -> list[list[int]]:
        """As the source has them."""
        return self.source.videos()

# SPDX-License-Identifier: Apache-2.0
"""The backbones by the name that a configuration or a checkpoint gives them.

A new family is a file beside this one, with a `Backbone` and its `VARIANTS`, and a line in the
table.
"""

from __future__ import annotations

from collections.abc import Callable

from mtinet_ros.errors import ConfigurationError
from mtinet_ros.network.backbones import efficientnet_lite, hrnet, resnet
from mtinet_ros.network.backbones.base import Backbone

BACKBONES: dict[str, Callable[[], Backbone]] = {
    **hrnet.VARIANTS,
    **efficientnet_lite.VARIANTS,
    **resnet.VARIANTS,
}
"""Constructors by name; each makes a backbone with fresh weights."""


def build_backbone(name: str) -> Backbone:
    """Make the named backbone with fresh weights.

    Raises:
        ConfigurationError: No such backbone.
    """
    if name not in BACKBONES:
        raise ConfigurationError(
            f"the backbone {name!r} is unknown; choose one of {', '.join(BACKBONES)}"
        )
    return BACKBONES[name]()

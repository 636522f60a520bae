# SPDX-License-Identifier: Apache-2.0
"""The runtime cache of TensorRT for RTX (`IRuntimeCache`), kept between starts."""

from __future__ import annotations

import logging
from typing import Any

from mtinet_ros.inference.engine_cache import EngineCache

logger = logging.getLogger("mtinet_ros.inference")


class RuntimeCache:
    """The kernels that `tensorrt_rtx` compiles for the GPU at hand at their first use.

    Attributes:
        runtime_config: `IRuntimeConfig` to create an execution context with.
    """

    def __init__(self, engine: Any, cache: EngineCache) -> None:
        """Read the file of an earlier start.

        Args:
            engine: `ICudaEngine` of `tensorrt_rtx`.
            cache: Place of the file.
        """
        self.runtime_config = engine.create_runtime_config()
        self._cache = cache
        self._runtime_cache = self.runtime_config.create_runtime_cache()
        file = cache.runtime_cache
        if file.exists() and not self._runtime_cache.deserialize(file.read_bytes()):
            logger.info("the runtime cache does not fit this GPU or driver; it is made anew")
        self.runtime_config.set_runtime_cache(self._runtime_cache)

    def save(self) -> None:
        """Write the file with all kernels compiled so far."""
        content = self._runtime_cache.serialize()
        if content is not None:
            self._cache.write_runtime_cache(bytes(content))

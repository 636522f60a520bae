# SPDX-License-Identifier: Apache-2.0
"""The runtime cache of TensorRT for RTX."""

from __future__ import annotations

import logging
from typing import Any

from mtinet_ros.inference.engine_cache import EngineCache

logger = logging.getLogger("mtinet_ros.inference")


class RuntimeCache:
    """What `tensorrt_rtx` compiles for the GPU at hand when it first runs, kept between starts."""

    def __init__(self, engine: Any, cache: EngineCache) -> None:
        """Start from what was kept; `engine` is an `ICudaEngine` of that edition."""
        self.config = engine.create_runtime_config()
        self._cache = cache
        self._kernels = self.config.create_runtime_cache()
        kept = cache.runtime_cache
        if kept.exists() and not self._kernels.deserialize(kept.read_bytes()):
            logger.info("the runtime cache does not fit this GPU or driver; it is made anew")
        self.config.set_runtime_cache(self._kernels)

    def store(self) -> None:
        """Keep what there is now."""
        content = self._kernels.serialize()
        if content is not None:
            self._cache.write_runtime_cache(bytes(content))

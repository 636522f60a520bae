# SPDX-License-Identifier: Apache-2.0
"""How `tensorrt_rtx` runs an engine (`IRuntimeConfig`), and the kernels that it keeps."""

from __future__ import annotations

import hashlib
import logging
import time
from typing import Any

from mtinet_ros.errors import BackendError
from mtinet_ros.inference.engine_cache import EngineCache

logger = logging.getLogger("mtinet_ros.inference")

# Kernels that were compiled since are lost should the process be killed: no more than these.
_SAVE_SECONDS = 600.0


class RuntimeCache:
    """The kernels that `tensorrt_rtx` compiles for the GPU at hand at their first use.

    Attributes:
        runtime_config: `IRuntimeConfig` to create an execution context with.
    """

    def __init__(
        self, engine: Any, cache: EngineCache, trt: Any, *, whole_graph: bool = True
    ) -> None:
        """Read the file of an earlier start; one that cannot be used is made anew.

        Args:
            engine: `ICudaEngine` of `tensorrt_rtx`.
            cache: Place of the file.
            trt: The module `tensorrt_rtx`.
            whole_graph: Let TensorRT launch the network as one CUDA graph, where it can; off where
                the caller captures the stream itself.

        Raises:
            BackendError: TensorRT gives no configuration.
        """
        self.runtime_config = engine.create_runtime_config()
        if self.runtime_config is None:
            raise BackendError("tensorrt_rtx gives no runtime configuration to run an engine with")
        self._cache = cache
        self._saved = b""
        self._due = time.monotonic() + _SAVE_SECONDS
        self._runtime_cache = self.runtime_config.create_runtime_cache()
        if self._runtime_cache is not None:
            self._read()
        if self._runtime_cache is None or not self.runtime_config.set_runtime_cache(
            self._runtime_cache
        ):
            logger.warning("tensorrt_rtx takes no runtime cache: every start compiles its kernels")
            self._runtime_cache = None
        self._set(trt, "dynamic_shapes_kernel_specialization_strategy", "EAGER")
        if whole_graph:
            self._set(trt, "cuda_graph_strategy", "WHOLE_GRAPH_CAPTURE")

    def _read(self) -> None:
        file = self._cache.runtime_cache
        try:
            content = file.read_bytes()
        except FileNotFoundError:
            return
        except OSError as error:
            logger.warning(
                "the runtime cache %s cannot be read (%s); its kernels are compiled anew",
                file, error.strerror,
            )  # fmt: skip
            return
        if self._runtime_cache.deserialize(content):
            self._saved = _digest(content)
        else:
            logger.info(
                "the runtime cache %s does not fit this GPU, driver or TensorRT, or is damaged; "
                "its kernels are compiled anew",
                file,
            )

    def _set(self, trt: Any, setting: str, choice: str) -> None:
        """Choose a strategy, which older versions may not have.

        EAGER compiles a batch size's own kernels when it is first seen, not behind the back of
        the frames that follow; so the sizes are run once before the first frame.
        """
        kind = "".join(word.capitalize() for word in setting.split("_"))
        if hasattr(self.runtime_config, setting) and hasattr(trt, kind):
            setattr(self.runtime_config, setting, getattr(getattr(trt, kind), choice))

    def save(self) -> None:
        """Write the file with all kernels compiled so far, unless it holds just these."""
        self._due = time.monotonic() + _SAVE_SECONDS
        content = self._runtime_cache and self._runtime_cache.serialize()
        if content is None:
            return
        kernels = bytes(content)
        if _digest(kernels) != self._saved:
            self._cache.write_runtime_cache(kernels)
            self._saved = _digest(kernels)

    def save_if_due(self) -> None:
        """`save`, every ten minutes at most; otherwise it costs a look at the clock."""
        if time.monotonic() >= self._due:
            self.save()


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()

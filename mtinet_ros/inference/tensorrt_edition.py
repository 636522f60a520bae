# SPDX-License-Identifier: Apache-2.0
"""The two editions of one API: `tensorrt` (JetPack, servers) and `tensorrt_rtx` (pip, RTX GPUs).

Whatever differs between them, and between their versions 10.3 to 11.x, is decided here.
"""

from __future__ import annotations

import importlib
import logging
from collections import deque
from functools import cache
from typing import TYPE_CHECKING, Any

from mtinet_ros.errors import BackendError

if TYPE_CHECKING:
    import tensorrt

logger = logging.getLogger("mtinet_ros.tensorrt")

EDITIONS = ("tensorrt", "tensorrt_rtx")
_INSTALL = {
    "tensorrt": (
        "`pip install 'mtinet_ros[tensorrt]'` brings it; on a Jetson JetPack 6.1 or newer has it "
        "for the system's Python (make the environment with --system-site-packages)"
    ),
    "tensorrt_rtx": "`pip install 'mtinet_ros[tensorrt-rtx]'` brings it",
}

# TensorRT's severities (INTERNAL_ERROR 0 … VERBOSE 4). INFO is for developers at this volume:
# hundreds of lines per build.
_LEVELS = {0: logging.ERROR, 1: logging.ERROR, 2: logging.WARNING, 3: logging.DEBUG}
# What TensorRT-RTX 1.7 says at its highest severity while all is well.
_NOISE = ("Thread context has not been set! Using global log stream.",)
_OLDEST = (10, 3)


class Edition:
    """One imported edition.

    Attributes:
        name: `tensorrt` or `tensorrt_rtx`.
        version: E.g. `10.3.0`.
        trt: The module.
        log: The one logger that everything of this edition is made with. TensorRT keeps the first
            logger of a process, and needs it until the end.
        is_rtx: Whether this is TensorRT for RTX.
    """

    def __init__(self, name: str, trt: Any) -> None:
        """Wrap an imported module."""
        self.name = name
        self.version = str(trt.__version__)
        self.trt = trt
        self.log: Any = _make_log(trt)
        self.is_rtx = name == "tensorrt_rtx"

    def take_errors(self) -> str:
        """What TensorRT complained about since last asked, for a message."""
        lines = list(dict.fromkeys(self.log.errors))
        self.log.errors.clear()
        return " / ".join(lines) or "TensorRT gives no reason"

    def create(self, kind: str) -> Any | None:
        """A `Builder` or `Runtime`, or None if TensorRT cannot make one (its log says why).

        It has no way to say None from a constructor: pybind11 raises TypeError "factory function
        returned nullptr".
        """
        try:
            return getattr(self.trt, kind)(self.log)
        except TypeError:
            return None

    def numpy_dtype_name(self, dtype: tensorrt.DataType) -> str:
        """NumPy's name for a tensor's type (`uint8`, `float32`, …)."""
        name = str(dtype.name)
        return {"FLOAT": "float32", "HALF": "float16", "BF16": "bfloat16"}.get(name, name.lower())


@cache
def load_edition(name: str) -> Edition:
    """Import an edition.

    Raises:
        BackendError: It is not installed, its libraries do not load, or it is too old.
    """
    try:
        trt = importlib.import_module(name)
        version = tuple(int(part) for part in str(trt.__version__).split(".")[:2])
    except ModuleNotFoundError as error:
        raise BackendError(f"{name} is not installed; {_INSTALL[name]}") from error
    except (ImportError, OSError) as error:
        raise BackendError(f"{name} is installed but does not load: {error}") from error
    except AttributeError as error:  # a folder of type stubs, or a shadowing module
        raise BackendError(f"{name} is not installed; {_INSTALL[name]}") from error
    if name == "tensorrt" and version < _OLDEST:
        raise BackendError(
            f"TensorRT {trt.__version__} is too old; 10.3 (JetPack 6.1) or newer is needed"
        )
    return Edition(name, trt)


def advice_for(errors: str) -> str:
    """What to do about an error of TensorRT's, as a sentence to append, or nothing."""
    lowered = errors.lower()
    if "driver version is insufficient" in lowered or "cudaerror 35" in lowered:
        return (
            ". The NVIDIA driver is missing or too old for this TensorRT: update the driver, or "
            "install the TensorRT that fits it"
        )
    if "out of memory" in lowered or "outofmemory" in lowered:
        return (
            ". The GPU is out of memory: end other programs on it (nvidia-smi), or lower "
            "max_batch or workspace_mb"
        )
    return ""


def _make_log(trt: Any) -> Any:
    class TensorRtLog(trt.ILogger):  # type: ignore[misc]  # the base is known only at run time
        """TensorRT's log in ours; errors are also kept for the message to the user."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: deque[str] = deque(maxlen=8)

        def log(self, severity: Any, message: str) -> None:
            """Called by TensorRT, from any thread."""
            number = int(severity)
            if message in _NOISE:
                return
            if number <= 1:
                self.errors.append(message.strip())
            logger.log(_LEVELS.get(number, logging.DEBUG), "TensorRT: %s", message)

    return TensorRtLog()

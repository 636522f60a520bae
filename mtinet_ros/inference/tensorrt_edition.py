# SPDX-License-Identifier: Apache-2.0
"""The two editions of one API: `tensorrt` (JetPack, servers) and `tensorrt_rtx` (pip, RTX GPUs).

Whatever differs between them, and between their versions 10.3 to 11.x, is decided here.
"""

from __future__ import annotations

import importlib
import logging
import re
import sys
from collections import deque
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Any

from mtinet_ros.errors import BackendUnavailableError

if TYPE_CHECKING:
    import tensorrt

logger = logging.getLogger("mtinet_ros.tensorrt")

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
# Logged by TensorRT-RTX 1.7 at its highest severity while all is well.
_HARMLESS_MESSAGES = ("Thread context has not been set! Using global log stream.",)
_OLDEST = (10, 3)

# Edition -> modules that hold its compiled bindings, as wheels and as Debian packages lay them.
_NATIVE_MODULES = {
    "tensorrt": ("tensorrt_bindings.tensorrt", "tensorrt.tensorrt"),
    "tensorrt_rtx": ("tensorrt_rtx_bindings.tensorrt_rtx", "tensorrt_rtx.tensorrt_rtx"),
}


class FailureCause(Enum):
    """The cause of a failure inside TensorRT, as far as its log tells; the value is the remedy."""

    UNKNOWN = ""
    DRIVER = (
        "the NVIDIA driver is missing or too old for this TensorRT: update it (CUDA 13 needs "
        "driver 580 or newer), or install the TensorRT that fits it (tensorrt-cu12, "
        "tensorrt-rtx-cu12)"
    )
    NO_GPU = (
        "CUDA finds no GPU: see whether nvidia-smi lists one, whether the container was given it "
        "(--gpus all) and whether CUDA_VISIBLE_DEVICES hides it"
    )
    UNSUPPORTED_GPU = (
        "this TensorRT does not run on this GPU: use backend tensorrt, or one of the CPU"
    )
    OUT_OF_MEMORY = (
        "the GPU is out of memory: end other programs on it (nvidia-smi), or lower max_batch or "
        "workspace_mb"
    )


@dataclass(frozen=True)
class LoggedErrors:
    """The errors of TensorRT's log around one failure.

    Attributes:
        text: The messages, joined.
        cause: Fault that the lines are about.
    """

    text: str
    cause: FailureCause

    def __str__(self) -> str:
        """Messages and remedy, to end an error sentence with."""
        return f"{self.text}; {self.cause.value}" if self.cause.value else self.text


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

    def take_errors(self) -> LoggedErrors:
        """The errors logged since the last call, each once; where there are none, the warnings.

        TensorRT logs why it cannot start as a warning.
        """
        lines = list(dict.fromkeys(self.log.errors or self.log.warnings))
        self.log.errors.clear()
        self.log.warnings.clear()
        text = " / ".join(lines) or "TensorRT gives no reason"
        return LoggedErrors(text, _read_cause(text))

    def create(self, kind: str) -> Any | None:
        """A `Builder` or `Runtime`, or None if TensorRT cannot make one (its log says why).

        It has no way to say None from a constructor: pybind11 raises TypeError "factory function
        returned nullptr".
        """
        self.log.warnings.clear()
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
    """Import an edition. Both have the same C++ classes, so a process holds one of them at most.

    Raises:
        BackendUnavailableError: It is not installed, its libraries do not load, it is too old, or
            the other one is in this process already.
    """
    for other, modules in _NATIVE_MODULES.items():
        if other != name and any(module in sys.modules for module in modules):
            raise BackendUnavailableError(
                f"{name} cannot be loaded: this process has loaded {other}, and the two do not "
                "share one",
                f"start the program again with backend {name}",
            )
    try:
        trt = importlib.import_module(name)
        version = tuple(int(part) for part in str(trt.__version__).split(".")[:2])
    except ModuleNotFoundError as error:
        raise BackendUnavailableError(f"{name} is not installed", _INSTALL[name]) from error
    except (ImportError, OSError) as error:
        raise BackendUnavailableError(f"{name} is installed but does not load: {error}") from error
    except AttributeError as error:  # a folder of type stubs, or a shadowing module
        raise BackendUnavailableError(f"{name} is not installed", _INSTALL[name]) from error
    if name == "tensorrt" and version < _OLDEST:
        raise BackendUnavailableError(
            f"TensorRT {trt.__version__} is too old", "10.3 (JetPack 6.1) or newer is needed"
        )
    return Edition(name, trt)


def _read_cause(log: str) -> FailureCause:
    """The cause of a failure by the wording of TensorRT's log: it gives no other account."""
    log = log.lower()
    # As TensorRT words the CUDA runtime's errors: 35 cudaErrorInsufficientDriver, 100
    # cudaErrorNoDevice, 2 cudaErrorMemoryAllocation.
    codes = set(re.findall(r"(?:cuda initialization failure with error: |cudaerror )(\d+)", log))
    if "35" in codes or "driver version is insufficient" in log:
        return FailureCause.DRIVER
    if "100" in codes or "no cuda-capable device" in log:
        return FailureCause.NO_GPU
    # TensorRT for RTX says so where no other engine would do; else it asks for another engine.
    if "does not support this compute capability" in log:
        return FailureCause.UNSUPPORTED_GPU
    if "2" in codes or "out of memory" in log or "outofmemory" in log:
        return FailureCause.OUT_OF_MEMORY
    return FailureCause.UNKNOWN


def _make_log(trt: Any) -> Any:
    class TensorRtLog(trt.ILogger):  # type: ignore[misc]  # the base is known only at run time
        """TensorRT's log in ours; errors are also kept for the message to the user."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: deque[str] = deque(maxlen=8)
            self.warnings: deque[str] = deque(maxlen=8)

        def log(self, severity: Any, message: str) -> None:
            """Called by TensorRT, from any thread."""
            number = int(severity)
            if message in _HARMLESS_MESSAGES:
                return
            if number <= 2:
                (self.warnings if number == 2 else self.errors).append(message.strip())
            logger.log(_LEVELS.get(number, logging.DEBUG), "TensorRT: %s", message)

    return TensorRtLog()

# SPDX-License-Identifier: Apache-2.0
"""Says whether something can be used here, in one line; 0 if so. Runs in the steps' environment.

python -m gpu.probe cuda|nvrtc|tensorrt|tensorrt_rtx|torch|train|two_gpus
"""

from __future__ import annotations

import importlib
import sys

from mtinet_ros.errors import MtinetError


def cuda() -> str:
    """A package of Python brings the driver."""
    from mtinet_ros.inference.cuda import identify_gpu

    return str(identify_gpu(0))


def nvrtc() -> str:
    """NVRTC compiles for the first GPU and its driver."""
    from mtinet_ros.inference.cuda import driver_version, identify_gpu
    from mtinet_ros.inference.nvrtc import compile_kernel

    capability = identify_gpu(0).compute_capability
    compile_kernel('extern "C" __global__ void nothing() {}', capability, driver_version())
    return f"NVRTC for compute capability {capability}"


def tensorrt(name: str = "tensorrt") -> str:
    """An edition runs on the first GPU."""
    from mtinet_ros.inference.selection import check_available
    from mtinet_ros.inference.tensorrt_trial import try_apart

    check_available(name, 0, asked=True)
    try_apart(name, 0)
    return f"{name} {importlib.import_module(name).__version__}"


def tensorrt_rtx() -> str:
    """See `tensorrt`."""
    return tensorrt("tensorrt_rtx")


def torch() -> str:
    """PyTorch sees a GPU."""
    module = importlib.import_module("torch")
    if not module.cuda.is_available():
        raise ImportError(f"torch {module.__version__} sees no CUDA device")
    return f"torch {module.__version__}"


def train() -> str:
    """All that `mtinet train` imports."""
    importlib.import_module("mtinet_ros.training.run")
    return torch()


def two_gpus() -> str:
    """`train`, on two GPUs."""
    found = train()
    count = importlib.import_module("torch").cuda.device_count()
    if count < 2:
        raise ImportError(f"there is {count} GPU")
    return f"{found}, {count} GPUs"


def main(name: str) -> int:
    """Print the answer."""
    try:
        print(globals()[name]())
    except (MtinetError, ImportError, OSError) as error:
        print(error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

# SPDX-License-Identifier: Apache-2.0
"""Which GPUs an edition of TensorRT runs on, by NVIDIA's documents, and which GPUs are hidden.

Sources: docs.nvidia.com/deeplearning/tensorrt-rtx, "Support Matrix" 1.0 to 1.5 (engines are
portable across 8.6, 8.9 and 12.0 by default, and Turing is left out unless asked for).
"""

from __future__ import annotations

import logging
import os
from typing import Any

from mtinet_ros.errors import BackendUnavailableError
from mtinet_ros.inference.cuda import GpuIdentity

logger = logging.getLogger("mtinet_ros.inference")

# Compute capabilities that TensorRT for RTX is documented for, and those of them that every
# engine runs on which was built for none in particular.
RTX_DOCUMENTED = ("8.6", "8.9", "12.0", "12.1")
RTX_ON_REQUEST = ("7.5",)
_RTX_PORTABLE = ("8.6", "8.9", "12.0")


def check_gpu(edition: str, gpu: GpuIdentity, asked: bool) -> None:
    """Hold a GPU against the documents of an edition.

    Args:
        edition: `tensorrt` or `tensorrt_rtx`.
        gpu: GPU at hand.
        asked: Whether a user named this edition, rather than `auto` coming by.

    Raises:
        BackendUnavailableError: It is not documented for this GPU, or only on request and nobody
            asked. For a GPU that is not in the documents and yet asked for, there is a warning;
            `check_installed_rtx` has the last word.
    """
    capability = gpu.compute_capability
    if edition != "tensorrt_rtx" or capability in RTX_DOCUMENTED:
        return
    if capability in RTX_ON_REQUEST:
        if asked:
            return
        raise BackendUnavailableError(
            f"{gpu.name} has compute capability {capability}, for which TensorRT for RTX builds "
            "only on request",
            "set backend tensorrt_rtx to ask for it",
        )
    documented = ", ".join((*RTX_ON_REQUEST, *RTX_DOCUMENTED))
    problem = (
        f"{gpu.name} has compute capability {capability}; TensorRT for RTX is documented for "
        f"{documented}"
    )
    if not asked:
        raise BackendUnavailableError(problem, "use backend tensorrt on this GPU")
    logger.warning("%s; it is tried all the same, as backend tensorrt_rtx was asked for", problem)


def check_installed_rtx(trt: Any, version: str, gpu: GpuIdentity) -> None:
    """Refuse a GPU that the installed TensorRT for RTX cannot build for.

    Args:
        trt: The module `tensorrt_rtx`.
        version: Its version.
        gpu: GPU at hand.

    Raises:
        BackendUnavailableError: Naming the compute capabilities that it knows.
    """
    known = known_capabilities(trt)
    if gpu.compute_capability not in known:
        raise BackendUnavailableError(
            f"{gpu.name} has compute capability {gpu.compute_capability}; tensorrt_rtx {version} "
            f"builds for {', '.join(known)}",
            "use backend tensorrt on this GPU",
        )


def known_capabilities(trt: Any) -> dict[str, Any]:
    """Compute capabilities as people write them -> as `tensorrt_rtx` names them."""
    numbers = {
        int(name.removeprefix("SM")): value
        for name, value in trt.ComputeCapability.__members__.items()
        if name.startswith("SM")
    }
    return {f"{number // 10}.{number % 10}": numbers[number] for number in sorted(numbers)}


def capabilities_to_build_for(gpu: GpuIdentity) -> tuple[str, ...]:
    """What to ask of `tensorrt_rtx` for a GPU: nothing where any engine of its own choice runs."""
    return () if gpu.compute_capability in _RTX_PORTABLE else (gpu.compute_capability,)


def with_visibility_hint(error: BackendUnavailableError) -> BackendUnavailableError:
    """The same error; where `CUDA_VISIBLE_DEVICES` hides GPUs, its advice begins with that."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return error
    # CUDA C++ Programming Guide, "CUDA Environment Variables": devices from the first invalid
    # index on are hidden, so that -1 and an empty value hide all.
    hides_all = not visible.strip() or visible.strip().startswith("-")
    hint = (
        f"CUDA_VISIBLE_DEVICES is {visible!r}, which hides every GPU: unset it"
        if hides_all
        else f"CUDA_VISIBLE_DEVICES is {visible!r}, which hides all other GPUs"
    )
    advice = f"{hint}, and {error.advice}" if error.advice else hint
    return BackendUnavailableError(error.problem, advice)

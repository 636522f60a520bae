# SPDX-License-Identifier: Apache-2.0
"""The hardware that an engine is for: what identifies it, and which others it serves."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mtinet_ros.inference.cuda import GpuIdentity, identify_gpu
from mtinet_ros.inference.engine_cache import EngineCache
from mtinet_ros.inference.engine_settings import EngineSettings
from mtinet_ros.inference.gpu_support import capabilities_to_build_for
from mtinet_ros.inference.tensorrt_edition import Edition
from mtinet_ros.model_card import ModelCard

_AMPERE_OR_NEWER = "Ampere or newer"


def engine_cache(
    model: Path,
    card: ModelCard,
    edition: Edition,
    max_batch: int,
    device_id: int,
    settings: EngineSettings,
    runs_on: GpuIdentity | None = None,
) -> EngineCache:
    """The engine cache of a model on a target; asks the driver for the GPU if the target names it.

    Args:
        model: The ONNX file.
        card: Its card.
        edition: Which TensorRT.
        max_batch: Largest batch.
        device_id: CUDA device to build on.
        settings: The user's choice.
        runs_on: GPU to run the engine on; one that was built for several GPUs, this one among
            them, serves as well then. None: the engine is only built.

    Raises:
        BackendError: The edition is `tensorrt` and there is no such GPU.
    """
    target: dict[str, Any] = {"machine": platform.machine()}
    if edition.is_rtx:
        if runs_on is not None and not settings.compute_capabilities:
            needed = capabilities_to_build_for(runs_on)
            settings = replace(settings, compute_capabilities=needed)
        target["compute_capabilities"] = ", ".join(settings.compute_capabilities) or "all"
    elif settings.hardware_compatible:
        target["gpu"] = _AMPERE_OR_NEWER
    else:
        gpu = runs_on or identify_gpu(device_id)
        target["gpu"] = gpu.name
        target["compute_capability"] = gpu.compute_capability
        target["multiprocessors"] = gpu.multiprocessor_count
    return EngineCache(
        model,
        card,
        edition=edition.name,
        version=edition.version,
        target=target,
        max_batch=min(max_batch, card.max_batch),
        device_id=device_id,
        settings=settings,
        serves=lambda other: runs_on is not None and target_includes(other, runs_on),
    )


def target_includes(target: Mapping[str, Any], gpu: GpuIdentity) -> bool:
    """Whether an engine built for several GPUs was built for this one, too."""
    if target.get("machine") != platform.machine():
        return False
    if target.get("gpu") == _AMPERE_OR_NEWER:
        return float(gpu.compute_capability) >= 8.0
    named = target.get("compute_capabilities")
    return isinstance(named, str) and gpu.compute_capability in named.split(", ")

# SPDX-License-Identifier: Apache-2.0
"""How an engine is run on a GPU: what can be switched, so that its gain can be measured."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class GpuSettings:
    """How TensorRT's backends run an engine; CPU backends ignore it.

    Attributes:
        two_runs: Whether `begin` returns while the GPU works, so that the CPU prepares the next
            batch meanwhile (NVIDIA, CUDA C++ Best Practices Guide, "Asynchronous and Overlapping
            Transfers with Computation").
        pinned_images: Whether `new_images` is page-locked memory, from which the GPU copies
            without the CPU (the same guide, "Pinned Memory").
        cuda_graphs: Whether network and downloads are launched as one CUDA graph per batch size
            (NVIDIA, TensorRT, Best Practices, "CUDA Graphs": for networks of many short kernels,
            whose launches would keep the CPU busy). `tensorrt` only: `tensorrt_rtx` captures by
            itself. None: where the Python package for CUDA can capture.
        mapped_memory: Whether the GPU reads images and writes outputs in the host's memory, so
            that nothing is copied (NVIDIA, CUDA for Tegra, "Memory Selection": as good as its own
            for what is read or written once; dusty-nv/jetson-inference runs TensorRT so). None: on
            GPUs that share the host's memory, with `tensorrt`; `tensorrt_rtx` captures anew
            whenever an address changes.
    """

    two_runs: bool = True
    pinned_images: bool = True
    cuda_graphs: bool | None = None
    mapped_memory: bool | None = None

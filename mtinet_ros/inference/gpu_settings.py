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
        overlapped_uploads: Whether the next batch is copied to the GPU while the network runs: on
            a stream of its own, into a second set of the GPU's memory for images (NVIDIA, CUDA
            C++ Programming Guide, "Overlap of Data Transfer and Kernel Execution").
        overlapped_downloads: Whether the outputs of a run are copied back while the next one
            computes: on a third stream, from a second set of memory for outputs (the same guide,
            "Concurrent Data Transfers").
        pinned_images: Whether `new_images` is page-locked memory, from which the GPU copies
            without the CPU (the same guide, "Pinned Memory").
        cuda_graphs: Whether the network is launched as one CUDA graph per batch size and set of
            buffers (NVIDIA, TensorRT, Best Practices, "CUDA Graphs": for networks of many short
            kernels, whose launches would keep the CPU busy). `tensorrt` only: `tensorrt_rtx`
            captures by itself. None: where the Python package for CUDA can capture.
        mapped_memory: Whether the GPU reads images and writes outputs in the host's memory, so
            that nothing is copied (NVIDIA, CUDA for Tegra, "Memory Selection": as good as its own
            for what is read or written once; dusty-nv/jetson-inference runs TensorRT so). None: on
            GPUs that share the host's memory, with `tensorrt`; `tensorrt_rtx` captures anew
            whenever an address changes.
        fits_images: Whether the GPU decodes raw images and brings them to the network's size, by
            a kernel that NVRTC compiles while the model is loaded. Off, because no GPU has run it
            yet: a kernel that went wrong would cost the whole context. What it makes of an image
            is held against the CPU's result before it is used.
    """

    two_runs: bool = True
    overlapped_uploads: bool = True
    overlapped_downloads: bool = True
    pinned_images: bool = True
    cuda_graphs: bool | None = None
    mapped_memory: bool | None = None
    fits_images: bool = False

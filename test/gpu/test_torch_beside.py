# SPDX-License-Identifier: Apache-2.0
"""PyTorch in the same thread goes on working, on this GPU and on another; without TensorRT."""

from __future__ import annotations

import os

import pytest

from mtinet_ros.inference import cuda
from mtinet_ros.inference.cuda import DeviceBuffer, DeviceContext

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.skipif(
    "MTINET_GPU_MODEL" not in os.environ or not torch.cuda.is_available(),
    reason="needs an NVIDIA GPU: `make verify-gpu` sets MTINET_GPU_MODEL",
)


@pytest.mark.parametrize("device", [0, 1])
def test_torch_goes_on_while_ours_come_and_go(device: int) -> None:
    if device >= torch.cuda.device_count():
        pytest.skip(f"there is no GPU {device}")
    with torch.cuda.device(device):
        ones = torch.ones(1000, device="cuda")
        for _ in range(3):
            held = DeviceContext(0)
            with held:
                memory = DeviceBuffer(2**20)
                assert cuda.device_memory_used() > 0
                memory.free()
            assert float(ones.sum()) == 1000.0
            held.release()
            assert float((ones * 2).sum()) == 2000.0
            assert torch.cuda.current_device() == device


def test_torch_starts_after_ours() -> None:
    """In a thread of its own, as the node's worker would."""
    held = DeviceContext(0)
    with held:
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            value = torch.full((10,), 3.0, device="cuda").sum()
        stream.synchronize()
        assert float(value) == 30.0
    held.release()
    assert float(torch.ones(3, device="cuda").sum()) == 3.0

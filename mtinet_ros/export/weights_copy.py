# SPDX-License-Identifier: Apache-2.0
"""A copy of a checkpoint's weights and header as safetensors, in fp32 or fp16."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save

from mtinet_ros.errors import ConfigurationError
from mtinet_ros.export.onnx_graph import write_output
from mtinet_ros.network.weights_file import read_metadata, read_weights

_DTYPES = {"fp32": torch.float32, "fp16": torch.float16}


def copy_weights(checkpoint: Path, output: Path, precision: str) -> None:
    """Write the weights as safetensors, with the header of the checkpoint.

    Args:
        checkpoint: Any file that `load_checkpoint` reads.
        output: The `.safetensors` file to write.
        precision: fp32 or fp16; training can start from either.

    Raises:
        ConfigurationError: Another precision, or weights too large for fp16.
        ModelError: The checkpoint cannot be read.
        ExportError: The file cannot be written.
    """
    if precision not in _DTYPES:
        raise ConfigurationError(
            f"weights are stored in {' or '.join(_DTYPES)}, not in {precision}; export to .onnx "
            "for that"
        )
    tensors = {}
    for name, value in read_weights(checkpoint).items():
        stored = value.to(_DTYPES[precision]) if value.is_floating_point() else value
        if not torch.equal(stored.isfinite(), value.isfinite()):
            raise ConfigurationError(f"{name} holds numbers too large for {precision}; use fp32")
        tensors[name] = stored.contiguous()
    write_output(save(tensors, read_metadata(checkpoint)), output)

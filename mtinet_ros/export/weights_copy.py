# SPDX-License-Identifier: Apache-2.0
"""A copy of a checkpoint's weights and header as safetensors, in fp32 or fp16."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save

from mtinet_ros.errors import ConfigurationError
from mtinet_ros.export.onnx_graph import write_output
from mtinet_ros.network.checkpoint import read_checkpoint
from mtinet_ros.network.state_dicts import Choice

_DTYPES = {"fp32": torch.float32, "fp16": torch.float16}


def copy_weights(
    checkpoint: Path, output: Path, precision: str, choice: Choice | None = None
) -> str:
    """Write the weights as safetensors under their plain names, with the header of the checkpoint.

    Args:
        checkpoint: Any file that `load_checkpoint` reads.
        output: The `.safetensors` file to write.
        precision: fp32 or fp16; training can start from either.
        choice: Averaged weights or those in training; None: averaged ones if there are any.

    Returns:
        Which of several weights were copied; empty if there is nothing to say.

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
    source = read_checkpoint(checkpoint, choice)
    header = source.description()
    tensors = {}
    # The network's own tensors: weights that share their memory in the file are apart here.
    for name, value in source.network.state_dict().items():
        stored = value.to(_DTYPES[precision]) if value.is_floating_point() else value
        if not torch.equal(stored.isfinite(), value.isfinite()):
            raise ConfigurationError(f"{name} holds numbers too large for {precision}; use fp32")
        tensors[name] = stored.contiguous()
    write_output(save(tensors, header), output)
    return source.note

# SPDX-License-Identifier: Apache-2.0
"""Writes the graph that `mtinet export` would make without its rewrites, to compare with.

python benchmarks/plain_graph.py model.safetensors -o plain.onnx
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mtinet_ros.export.checkpoint_card import load_described
from mtinet_ros.export.deploy_network import DeployNetwork
from mtinet_ros.export.onnx_graph import attach_card, trace, write_model


def main() -> None:
    """Parse, trace, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    described = load_described(arguments.checkpoint)
    deploy = DeployNetwork(described.network, convention=described.convention)
    model = trace(deploy, described.card.input_size)
    attach_card(model, described.card)
    write_model(model, arguments.output)


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
"""The product's own node with a stopwatch around its backend, or a null backend in its place.

    python -m benchmarks.node_speed.node_process RUNS [--null MS] --ros-args …

Nothing else differs from `python -m mtinet_ros.node`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from benchmarks.node_speed.null_backend import NullBackend, TimedBackend


def main() -> int:
    """Put the backend in and run the node's own main."""
    from mtinet_ros.model_card import read_model_card
    from mtinet_ros.node import __main__ as node
    from mtinet_ros.node import perception_node

    runs = Path(sys.argv.pop(1))
    load: Any = perception_node.load_backend
    if sys.argv[1] == "--null":
        milliseconds = float(sys.argv[2])
        del sys.argv[1:3]

        def load(model: Path, backend: str, max_batch: int, **_: Any) -> NullBackend:
            return NullBackend(read_model_card(model), max_batch, milliseconds)

    def load_timed(*arguments: Any, **keywords: Any) -> TimedBackend:
        return TimedBackend(load(*arguments, **keywords), runs)

    perception_node.load_backend = load_timed  # type: ignore[assignment]
    return node.main()


if __name__ == "__main__":
    sys.exit(main())

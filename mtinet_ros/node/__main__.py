# SPDX-License-Identifier: Apache-2.0
"""Entry point of the executable `perception_node` (`python -m mtinet_ros.node`)."""

import sys

from mtinet_ros.node.end_signals import end_at_once


def main() -> int:
    """Run the node until it is told to end; see `mtinet_ros.node.process.run`."""
    # The imports below take a second in which Ctrl-C must end the process as quietly as later.
    end_at_once()
    from mtinet_ros.node.process import run

    return run(sys.argv)


if __name__ == "__main__":
    sys.exit(main())

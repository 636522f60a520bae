# SPDX-License-Identifier: Apache-2.0
"""How fast the node is: real processes over real topics; `python -m benchmarks.node_speed`."""

# SPDX-License-Identifier: Apache-2.0
"""Times a model stage by stage along a frame's way, each backend in a process of its own."""

# SPDX-License-Identifier: Apache-2.0
"""Triangles: meshes, how they are put together, and the scene they make."""

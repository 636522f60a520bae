# SPDX-License-Identifier: Apache-2.0
"""What people look at: colors of classes, depth and normals; montages, contact sheets."""

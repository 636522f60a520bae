# SPDX-License-Identifier: Apache-2.0
"""From a scene and a viewpoint to an image with its ground truth."""

# SPDX-License-Identifier: Apache-2.0
"""The backbones that MTI-Net can stand on, one file per family."""

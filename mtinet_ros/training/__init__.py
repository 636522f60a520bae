# SPDX-License-Identifier: Apache-2.0
"""Training of MTI-Net: data, augmentation, losses, metrics, runs on Lightning."""

# SPDX-License-Identifier: Apache-2.0
"""MTI-Net in PyTorch: the only home of the architecture."""

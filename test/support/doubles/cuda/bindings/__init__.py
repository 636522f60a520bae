# SPDX-License-Identifier: Apache-2.0
"""A double of NVIDIA's cuda-bindings for machines without a GPU; see `cuda_machine`."""

# SPDX-License-Identifier: Apache-2.0
"""A double of PyCUDA for machines without a GPU; see `driver`."""

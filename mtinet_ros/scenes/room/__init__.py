# SPDX-License-Identifier: Apache-2.0
"""One room: its shell and openings, the placement of its furniture, its light."""

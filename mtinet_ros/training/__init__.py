# SPDX-License-Identifier: Apache-2.0
"""Data sets, losses, metrics and the trainer."""

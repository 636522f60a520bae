# SPDX-License-Identifier: Apache-2.0
"""The `mtinet` command: thin commands over the rooms."""

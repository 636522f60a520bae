# SPDX-License-Identifier: Apache-2.0
"""Rendered rooms on disk: production, reading, checking, conversion."""

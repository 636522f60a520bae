# SPDX-License-Identifier: Apache-2.0
"""Procedural furnished rooms with exact ground truth: for a demo model, tests and benchmarks."""

# SPDX-License-Identifier: Apache-2.0
"""Procedural furnished rooms with exact ground truth: to train a demo model, for tests and benchmarks."""

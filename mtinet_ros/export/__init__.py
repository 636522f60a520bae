# SPDX-License-Identifier: Apache-2.0
"""Checkpoint to deploy graph to one self-describing ONNX file."""

# SPDX-License-Identifier: Apache-2.0
"""Runs an exported model: one file per backend, no torch, no ROS."""

from mtinet_ros.inference.backend import Backend, Outputs, Run
from mtinet_ros.inference.cpu_settings import CPU_PRECISIONS, CpuSettings
from mtinet_ros.inference.engine_builder import Progress
from mtinet_ros.inference.engine_cache import CachedEngine
from mtinet_ros.inference.engine_settings import EngineSettings
from mtinet_ros.inference.gpu_settings import GpuSettings
from mtinet_ros.inference.selection import BACKEND_CHOICES, build_engine, load_backend

__all__ = [
    "BACKEND_CHOICES",
    "CPU_PRECISIONS",
    "Backend",
    "CachedEngine",
    "CpuSettings",
    "EngineSettings",
    "GpuSettings",
    "Outputs",
    "Progress",
    "Run",
    "build_engine",
    "load_backend",
]

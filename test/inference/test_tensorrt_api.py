# SPDX-License-Identifier: Apache-2.0
"""Every TensorRT and PyCUDA member that is used exists in every version that is supported."""

from __future__ import annotations

import ast
import io
import json
import logging
import os
import re
import subprocess
import sys
from collections import deque
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = [
    ROOT / "mtinet_ros" / "inference" / name
    for name in (
        "gpu_support.py",
        "runtime_cache.py",
        "engine_builder.py",
        "tensorrt_backend.py",
        "tensorrt_edition.py",
        "tensorrt_trial.py",
        "tensorrt_engine.py",
        "tensorrt_execution.py",
    )
]
DATA = ROOT / "test" / "data"

# class -> members used, in both editions and all versions from 10.3 to 11.1.
USED = {
    "Builder": {
        "<class>",
        "create_network",
        "create_builder_config",
        "create_optimization_profile",
        "build_serialized_network",
    },
    "BuilderFlag": {"VERSION_COMPATIBLE"},
    "DataType": {"name"},
    "ExecutionContextAllocationStrategy": {"USER_MANAGED"},
    "HardwareCompatibilityLevel": {"AMPERE_PLUS"},
    "IBuilderConfig": {
        "set_memory_pool_limit",
        "set_flag",
        "hardware_compatibility_level",
        "add_optimization_profile",
        "create_timing_cache",
        "set_timing_cache",
        "get_timing_cache",
        "progress_monitor",
        "builder_optimization_level",
    },
    "ICudaEngine": {
        "num_io_tensors",
        "get_tensor_name",
        "get_tensor_dtype",
        "get_tensor_shape",
        "get_tensor_mode",
        "get_tensor_profile_shape",
        "create_execution_context",
        "device_memory_size_v2",
        "num_optimization_profiles",
    },
    "IExecutionContext": {
        "set_input_shape",
        "set_tensor_address",
        "set_device_memory",
        "set_optimization_profile_async",
        "execute_async_v3",
    },
    "IHostMemory": {"nbytes"},
    "ILogger": {"<class>", "__init__", "log"},
    "INetworkDefinition": {"num_inputs", "num_outputs", "num_layers", "get_input", "get_output"},
    "IOptimizationProfile": {"set_shape"},
    "IProgressMonitor": {"<class>", "__init__", "phase_start", "phase_finish", "step_complete"},
    "ITensor": {"name", "dtype", "shape"},
    "ITimingCache": {"serialize"},
    "MemoryPoolType": {"WORKSPACE"},
    "NetworkDefinitionCreationFlag": {"STRONGLY_TYPED"},
    "OnnxParser": {"<class>", "parse", "num_errors", "get_error"},
    "ParserError": {"desc", "node_name", "node_operator"},
    "Runtime": {"<class>", "deserialize_cuda_engine", "engine_host_code_allowed"},
    "TensorIOMode": {"INPUT"},
}
# Used with tensorrt_rtx alone.
RTX_ONLY = {
    "ComputeCapability": {"__members__"},
    "IBuilderConfig": {"num_compute_capabilities", "set_compute_capability"},
    "DataType": {"FLOAT"},
    "ICudaEngine": {"create_runtime_config"},
    "ILayer": {"get_output"},
    "INetworkDefinition": {"add_input", "add_identity", "mark_output"},
    "IRuntimeCache": {"serialize", "deserialize"},
    "CudaGraphStrategy": {"WHOLE_GRAPH_CAPTURE"},
    "DynamicShapesKernelSpecializationStrategy": {"EAGER"},
    "IRuntimeConfig": {
        "create_runtime_cache",
        "set_runtime_cache",
        "cuda_graph_strategy",
        "dynamic_shapes_kernel_specialization_strategy",
    },
}
PYCUDA = {
    "": {
        "init",
        "mem_alloc",
        "mem_get_info",
        "memcpy_dtoh_async",
        "memcpy_htod_async",
        "pagelocked_empty",
        "device_attribute",
        "host_alloc_flags",
        "module_from_buffer",
        "get_driver_version",
        "Error",
        "MemoryError",
    },
    "Context": {"push", "pop", "detach"},
    "Device": {
        "count",
        "name",
        "compute_capability",
        "get_attribute",
        "retain_primary_context",
        "total_memory",
    },
    "DeviceAllocation": {"free", "__int__"},
    "Event": {"record", "synchronize"},
    "PagelockedHostAllocation": {"free", "get_device_pointer"},
    "Stream": {"handle", "wait_for_event"},
    "event_flags": {"BLOCKING_SYNC", "DISABLE_TIMING"},
}
# What tensorrt-stubs 10.13 says that is no Python, or less than pybind11 allows: a Dims can be
# iterated over, and a tuple is taken for one.
REPAIRS = [
    (r"\bin: list", "in_: list"),
    (r"(= None, \w+: int)\)", r"\1 = 0)"),
    (r"class Dims:\n", "class Dims:\n    def __iter__(self) -> typing.Iterator[int]: ...\n"),
    (r"(\w+): Dims(?=[,)])", r"\1: Dims | tuple[int, ...]"),
]
# Attributes of Python's own objects, some of which are called like members of TensorRT.
PYTHON = {
    name
    for thing in (list, dict, str, deque, Path, ModuleType, io.TextIOWrapper, logging)
    for name in dir(thing)
}
OURS = {"engine", "enqueue", "free", "precision", "release", "size", "start", "uint8"}
OURS |= {"UNKNOWN", "value"}


def attributes(source: Path) -> set[str]:
    tree = ast.parse(source.read_text())
    return {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


@pytest.fixture(scope="module")
def history() -> dict[str, dict[str, list[str]]]:
    """Class -> member -> [first, last version], as published by NVIDIA for 8.6 to 11.1."""
    published: dict[str, dict[str, list[str]]] = read_history()["api"]
    return published


def read_history() -> dict[str, Any]:
    record: dict[str, Any] = json.loads((DATA / "trt_api_history.json").read_text())
    return record


def version(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(".")))


@pytest.mark.parametrize("supported", ["10.3", "11.1"])
def test_every_member_exists_in_tensorrt(
    supported: str, history: dict[str, dict[str, list[str]]]
) -> None:
    missing = [
        f"{kind}.{member}"
        for kind, members in USED.items()
        for member in members
        if member not in history.get(kind, {})
        or not (
            version(history[kind][member][0])
            <= version(supported)
            <= version(history[kind][member][1])
        )
    ]
    assert missing == []


def test_later_versions_are_those_that_nvidia_promises_to_be_alike() -> None:
    """11.2 to 11.4 were not read: they have what 11.1 has, by NVIDIA's policy within a major."""
    record = read_history()
    last = version(record["versions"][-1])
    for later in map(version, record["later"]["versions"]):
        assert later > last
        assert later[0] == last[0]
    seen = set(record["later"]["seen"]["IBuilderConfig"]["members"])
    assert {"addOptimizationProfile", "getBuilderOptimizationLevel"} <= seen


def test_every_member_exists_in_tensorrt_rtx() -> None:
    rtx = pytest.importorskip("tensorrt_rtx")
    missing = [
        f"{kind}.{member}"
        for table in (USED, RTX_ONLY)
        for kind, members in table.items()
        for member in members - {"<class>"}
        if not hasattr(getattr(rtx, kind), member)
    ]
    assert missing == []


def test_the_table_forgets_no_member_that_the_code_uses(
    history: dict[str, dict[str, list[str]]],
) -> None:
    rtx = pytest.importorskip("tensorrt_rtx")
    known = {member for members in history.values() for member in members}
    known |= {member for kind in RTX_ONLY for member in dir(getattr(rtx, kind))}
    used = set().union(*map(attributes, SOURCES)) & known
    tables = set().union(*USED.values(), *RTX_ONLY.values())
    assert used - tables - PYTHON - OURS - set(history) == set()


def test_the_table_names_no_member_that_nobody_uses() -> None:
    text = "\n".join(source.read_text() for source in SOURCES)
    words = set(re.findall(r"\w+", text))
    tables = set().union(*USED.values(), *RTX_ONLY.values())
    assert tables - words - {"<class>"} == set()


def test_pycuda_has_every_member_that_the_code_uses() -> None:
    """Against the members of PyCUDA 2026.1, listed from a build of it."""
    real: dict[str, list[str]] = json.loads((DATA / "pycuda_driver_members.json").read_text())
    missing = [
        f"{kind}.{member}"
        for kind, members in PYCUDA.items()
        for member in members
        if member not in real[kind]
    ]
    assert missing == []
    known = {member for members in real.values() for member in members}
    used = attributes(ROOT / "mtinet_ros" / "inference" / "cuda_pycuda.py") & known
    assert used - set().union(*PYCUDA.values()) - set(PYCUDA) == set()


def test_calls_fit_the_published_signatures(tmp_path: Path) -> None:
    """`mypy --strict` against tensorrt-stubs, repaired where they are no Python."""
    spec = find_spec("tensorrt_bindings")
    if spec is None or not spec.submodule_search_locations or find_spec("mypy") is None:
        pytest.skip("needs mypy, and tensorrt-stubs (pip install --no-deps tensorrt-stubs)")
    stubs = tmp_path / "stubs"
    for package in ("tensorrt", "tensorrt_bindings"):
        (stubs / package).mkdir(parents=True)
        for source in (Path(next(iter(spec.submodule_search_locations))).parent / package).glob(
            "*.pyi"
        ):
            repaired = source.read_text()
            for wrong, right in REPAIRS:
                repaired = re.sub(wrong, right, repaired)
            (stubs / package / source.name).write_text(repaired)
    settings = tmp_path / "mypy.ini"
    settings.write_text(
        "[mypy]\nstrict = true\nignore_missing_imports = true\npython_version = 3.11\n"
        "[mypy-tensorrt.*,tensorrt_bindings.*]\nignore_errors = true\n"
    )
    result = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--config-file",
            str(settings),
            "--cache-dir",
            str(tmp_path),
        ]
        + [str(source) for source in SOURCES],
        capture_output=True,
        text=True,
        env={**os.environ, "MYPYPATH": str(stubs)},
        cwd=ROOT,
        check=False,
    )
    ours = [line for line in result.stdout.splitlines() if line.startswith("mtinet_ros/inference")]
    assert ours == [], "\n".join(ours)
    assert result.returncode == 0, result.stdout + result.stderr

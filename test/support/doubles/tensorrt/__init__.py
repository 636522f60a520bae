# SPDX-License-Identifier: Apache-2.0
"""A double of TensorRT's runtime over that of the driver; all else is the real `tensorrt_rtx`.

Parser, builder and enumerations are the real ones, so engines are real. To run one, the double
finds the ONNX it came from through the sidecar beside it and computes with ONNX Runtime. The
rules, from NVIDIA's TensorRT Python API reference ("API") and Developer Guide ("Guide"):

1. Failure is None or False and a line in the logger, not an exception (API, throughout).
2. The batch must lie in the profile and be set before execution (Guide, Dynamic Shapes).
3. Every tensor has an address of device memory that is large enough (API, IExecutionContext).
4. `execute_async_v3` only queues on the stream it is given (API; "using default stream may lead
   to performance issues": refused here).
5. TensorRT for RTX runs on the GPUs of its support matrix only, and says so in these words (its
   library, 1.7: "TensorRT-RTX does not support this compute capability ...").
6. Addresses and shapes are those of the moment of `execute_async_v3` (API, enqueueV3).
7. A context made USER_MANAGED has scratch memory set before it runs, as large as the engine asks
   for (API, set_device_memory); it writes there, so that those who share it run one after another.
8. Graphs (Guide, CUDA Graphs): a shape is enqueued once before it is captured, else the capture
   fails; a graph is not launched once the shape of its context has changed, or it is gone.
9. Destroyed in the order execution context, engine, runtime (API, Runtime: its engines must go
   first); `machine.order` notes it. All need a current context (Guide, Threading).
"""

from __future__ import annotations

import hashlib
import json
import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import tensorrt_rtx
from cuda_machine import Fault, machine
from tensorrt_rtx import *  # noqa: F403  # everything but what follows is real

__version__ = "10.13.0"
RTX_CAPABILITIES = ((7, 5), (8, 6), (8, 9), (12, 0), (12, 1))
# onnx.TensorProto's number of each type.
_TYPES = {1: tensorrt_rtx.DataType.FLOAT, 2: tensorrt_rtx.DataType.UINT8}


def refuses(call: str, logger: Any) -> bool:
    """Whether a call answers no; what the driver says against it is logged (rule 1)."""
    try:
        return machine.enter(call)
    except Fault as fault:
        logger.log(1, f"{call}: {fault}")
        return True


class Runtime:
    """Loads engines whose sidecar is in `machine.engine_folder`."""

    _edition = "tensorrt"

    def __init__(self, logger: Any) -> None:
        if refuses("Runtime", logger):
            raise TypeError("pybind11::init(): factory function returned nullptr")
        self._log = logger
        self.engine_host_code_allowed = False
        machine.born("runtime", self)

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> ICudaEngine | None:
        no = refuses("deserialize_cuda_engine", self._log)
        digest = hashlib.sha256(serialized_engine).hexdigest()
        for path in Path(machine.engine_folder).glob("*.json"):
            sidecar = json.loads(path.read_text())
            is_it = sidecar["engine_sha256"] == digest
            if is_it and sidecar["identity"]["edition"] == self._edition and not no:
                if self._edition == "tensorrt_rtx" and self._is_foreign():
                    return None
                return ICudaEngine(self._log, sidecar)
        self._log.log(1, "IRuntime::deserializeCudaEngine: Error Code 1: Serialization")
        return None

    def _is_foreign(self) -> bool:
        capability = machine.gpus[0].capability
        if capability in RTX_CAPABILITIES:
            return False
        self._log.log(
            1,
            "The engine cannot run on this GPU, which has compute capability "
            f"{capability[0]}.{capability[1]}. TensorRT-RTX does not support this compute "
            "capability, so the engine cannot be rebuilt for it.",
        )
        return True


class RtxRuntime(Runtime):
    """That of `tensorrt_rtx`; the engines of both editions may be the same bytes here."""

    _edition = "tensorrt_rtx"


class ICudaEngine:
    def __init__(self, logger: Any, sidecar: dict[str, Any]) -> None:
        machine.born("engine", self)
        self._log = logger
        model = Path(sidecar["model"]).read_bytes()
        self._session = onnxruntime.InferenceSession(model)
        graph = onnx.load_model_from_string(model).graph
        self._inputs = [tensor.name for tensor in graph.input]
        tensors = {t.name: t.type.tensor_type for t in (*graph.input, *graph.output)}
        self._types = {name: _TYPES[tensor.elem_type] for name, tensor in tensors.items()}
        self._shapes = {
            name: tuple(-1 if dim.dim_param else dim.dim_value for dim in tensor.shape.dim)
            for name, tensor in tensors.items()
        }
        self.num_io_tensors = len(self._shapes)
        identity = sidecar["identity"]
        self._batches = [identity["batch_profile"], identity.get("second_profile")]
        self.num_optimization_profiles = 2 if self._batches[1] else 1
        self.device_memory_size_v2 = 4096

    def get_tensor_name(self, index: int) -> str:
        return list(self._shapes)[index]

    def get_tensor_dtype(self, name: str) -> Any:
        return self._types[name]

    def get_tensor_shape(self, name: str) -> Any:
        return self._shapes[name]

    def get_tensor_mode(self, name: str) -> Any:
        mode = tensorrt_rtx.TensorIOMode
        return mode.INPUT if name in self._inputs else mode.OUTPUT

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> Any:
        return [(batch, *self._shapes[name][1:]) for batch in self._batches[profile_index]]

    def create_runtime_config(self) -> Any:
        if refuses("create_runtime_config", self._log):
            return None
        machine.runtime_config = RuntimeConfig(self._log)
        return machine.runtime_config

    def create_execution_context(self, config: Any = None) -> IExecutionContext | None:
        no = refuses("create_execution_context", self._log)
        return None if no else IExecutionContext(self, config)


class RuntimeConfig:
    """Of `tensorrt_rtx`; its cache is read in a current context (API, IRuntimeCache)."""

    def __init__(self, logger: Any) -> None:
        self._log = logger
        self.cuda_graph_strategy = tensorrt_rtx.CudaGraphStrategy.DISABLED
        self.dynamic_shapes_kernel_specialization_strategy = (
            tensorrt_rtx.DynamicShapesKernelSpecializationStrategy.LAZY
        )

    def create_runtime_cache(self) -> Any:
        known = b"kernels double"
        no = refuses("create_runtime_cache", self._log)
        return None if no else SimpleNamespace(
            serialize=lambda: None if refuses("serialize", self._log) else known,
            deserialize=lambda blob: not refuses("deserialize", self._log) and blob == known,
        )  # fmt: skip

    def set_runtime_cache(self, cache: Any) -> bool:
        return not refuses("set_runtime_cache", self._log)


class IExecutionContext:
    def __init__(self, engine: ICudaEngine, config: Any) -> None:
        machine.born("execution context", self)
        self._engine = engine
        self._batch = max(engine._shapes["image"][0], 0)
        self._enqueued_batch = 0
        self._profile = 0
        self._addresses: dict[str, int] = {}
        self._scratch: list[tuple[int, int]] = []
        managed = tensorrt_rtx.ExecutionContextAllocationStrategy.USER_MANAGED
        self._scratch_missing = engine.device_memory_size_v2 if config == managed else 0

    def set_device_memory(self, memory: int, size: int) -> None:
        machine.calls["set_device_memory"] += 1
        if size >= self._scratch_missing and memory in machine.memory:
            self._scratch_missing = 0
            self._scratch = [(memory, size)]

    def set_optimization_profile_async(self, profile_index: int, stream_handle: int) -> bool:
        no = refuses("set_optimization_profile_async", self._engine._log)
        known = profile_index < self._engine.num_optimization_profiles
        self._profile, self._batch = profile_index, 0
        machine.order.append(f"profile {profile_index}")
        return known and stream_handle in machine.streams and not no

    def set_input_shape(self, name: str, shape: Any) -> bool:
        no = refuses("set_input_shape", self._engine._log)
        smallest, _, largest = self._engine.get_tensor_profile_shape(name, self._profile)
        if no or not smallest[0] <= shape[0] <= largest[0] or tuple(shape[1:]) != smallest[1:]:
            self._engine._log.log(1, f"setInputShape: {tuple(shape)} is outside the profile")
            return False
        self._batch = shape[0]
        return True

    def set_tensor_address(self, name: str, memory: int) -> bool:
        no = refuses("set_tensor_address", self._engine._log)
        self._addresses[name] = memory
        return memory in machine.memory and not no

    def execute_async_v3(self, stream_handle: int) -> bool:
        no = refuses("execute_async_v3", self._engine._log)
        unset = set(self._engine._shapes) - set(self._addresses)
        stream = machine.streams.get(stream_handle)
        if unset or not self._batch or stream is None or self._scratch_missing or no:
            self._engine._log.log(1, f"enqueueV3: Error Code 3: no address or shape: {unset}")
            return False
        if stream.capture and self._enqueued_batch != self._batch:
            stream.capture.is_spoiled = True
            self._engine._log.log(1, "enqueueV3: cannot update its state while it is captured")
            return False
        self._enqueued_batch = batch = self._batch
        addresses = dict(self._addresses)
        context = weakref.ref(self) if stream.capture else lambda: self
        was_captured = stream.capture is not None

        def compute() -> None:
            this = context()
            if this is None or (was_captured and this._batch != batch):
                machine.violations.append("a graph outlived its context's shape (rule 8)")
            else:
                this._compute(batch, addresses)

        touched = {name: (addresses[name], self._size(name, batch)) for name in addresses}
        read = [touched.pop(name) for name in self._engine._inputs]
        stream.put(compute, "the network", read, [*touched.values(), *self._scratch])
        return True

    def _size(self, name: str, batch: int) -> int:
        items = int(np.prod((batch, *self._engine._shapes[name][1:])))
        return items * (1 if self._engine._types[name] == tensorrt_rtx.DataType.UINT8 else 4)

    def _compute(self, batch: int, addresses: dict[str, int]) -> None:
        shape = (batch, *self._engine._shapes["image"][1:])
        content = machine.at(addresses["image"], int(np.prod(shape)))
        images = np.frombuffer(content, np.uint8).reshape(shape)
        names = [name for name in addresses if name not in self._engine._inputs]
        for name, array in zip(
            names, self._engine._session.run(names, {"image": images}), strict=True
        ):
            machine.at(addresses[name], array.nbytes)[:] = array.tobytes()

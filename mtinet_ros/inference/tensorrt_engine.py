# SPDX-License-Identifier: Apache-2.0
"""Loading a stored engine, and reading what tensors it has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mtinet_ros.errors import BackendError
from mtinet_ros.inference.cuda import cuda_errors
from mtinet_ros.inference.engine_cache import CachedEngine
from mtinet_ros.inference.tensorrt_edition import Edition, FailureCause
from mtinet_ros.model_contract import Shape

if TYPE_CHECKING:
    import tensorrt

# NumPy's name of a type, and a shape with None for a dynamic axis.
Tensor = tuple[str, Shape]


def load_engine(
    edition: Edition, stored: CachedEngine
) -> tuple[tensorrt.Runtime, tensorrt.ICudaEngine] | str:
    """Make a runtime and an engine of it in the current context.

    Returns:
        Both; the engine must go first. Or why TensorRT refuses an engine that may be to blame.

    Raises:
        BackendError: TensorRT fails for another reason.
    """
    edition.log.errors.clear()
    with cuda_errors("load the engine"):
        runtime: tensorrt.Runtime | None = edition.create("Runtime")
        if runtime is not None and stored.sidecar["identity"]["version_compatible"]:
            # Such an engine brings its own runtime code; it comes from our own folder.
            runtime.engine_host_code_allowed = True
        engine = runtime.deserialize_cuda_engine(stored.content) if runtime else None
    if runtime is not None and engine is not None:
        return runtime, engine
    errors = edition.take_errors()
    text = f"{edition.name} {edition.version} does not load {stored.path}: {errors}"
    if runtime is None or errors.cause is not FailureCause.UNKNOWN:
        raise BackendError(text)  # with a cause outside it, the engine is not to blame
    return text


def engine_tensors(
    engine: tensorrt.ICudaEngine, edition: Edition
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Inputs and outputs of an engine, by name."""
    inputs: dict[str, Tensor] = {}
    outputs: dict[str, Tensor] = {}
    for index in range(engine.num_io_tensors):
        name = engine.get_tensor_name(index)
        dtype = edition.numpy_dtype_name(engine.get_tensor_dtype(name))
        shape = tuple(None if size < 0 else size for size in engine.get_tensor_shape(name))
        is_input = engine.get_tensor_mode(name) == edition.trt.TensorIOMode.INPUT
        (inputs if is_input else outputs)[name] = (dtype, shape)
    return inputs, outputs

# SPDX-License-Identifier: Apache-2.0
"""Tries whether an edition of TensorRT starts here, in a process of its own.

Only there may it fail: a library that crashes takes nobody along, no context stays behind on a
GPU that is not used in the end, and the one edition that is chosen finds a process without the
other (see `load_edition`).

    python -m mtinet_ros.inference.tensorrt_trial EDITION DEVICE

prints a JSON object as its last line: empty if all is well, else `problem` and `advice`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

from mtinet_ros.errors import BackendError, BackendUnavailableError
from mtinet_ros.inference.cuda import DeviceContext, cuda_errors, identify_gpu
from mtinet_ros.inference.gpu_support import check_installed_rtx, known_capabilities
from mtinet_ros.inference.tensorrt_edition import Edition, load_edition

_MODULE = "mtinet_ros.inference.tensorrt_trial"
_SECONDS = 60.0


def try_apart(edition: str, device_id: int) -> None:
    """Try an edition in a child process.

    Args:
        edition: `tensorrt` or `tensorrt_rtx`.
        device_id: CUDA device.

    Raises:
        BackendUnavailableError: It does not start, with TensorRT's own words, or it crashed.
    """
    environment = {**os.environ}
    # The child sees the same packages, wherever this process found them.
    environment["PYTHONPATH"] = os.pathsep.join(path or os.getcwd() for path in sys.path)
    command = [sys.executable, "-m", _MODULE, edition, str(device_id)]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env=environment,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise BackendUnavailableError(
            f"{edition} did not start within {_SECONDS:.0f} s", "see whether nvidia-smi answers"
        ) from error
    except OSError as error:
        raise BackendUnavailableError(f"{edition} could not be tried: {error}") from error
    try:
        outcome = json.loads(done.stdout.splitlines()[-1])
        problem, advice = outcome.get("problem"), outcome.get("advice", "")
    except (IndexError, ValueError, AttributeError):
        raise BackendUnavailableError(
            f"{edition} {_describe_end(done.returncode, done.stderr)} while it was tried",
            "try another version of it",
        ) from None
    if problem is not None:
        raise BackendUnavailableError(problem, advice)


def _describe_end(code: int, stderr: str) -> str:
    if code < 0:
        return f"died of {signal.Signals(-code).name}"
    last = (stderr.strip().splitlines() or ["no word"])[-1]
    return f"ended with status {code} ({last})"


def try_here(edition_name: str, device_id: int) -> None:
    """Import an edition and make a runtime on a device, in this process.

    Raises:
        BackendUnavailableError: It does not start.
        BackendError: The GPU has no context to give.
    """
    edition = load_edition(edition_name)
    gpu = identify_gpu(device_id)
    if edition.is_rtx:
        check_installed_rtx(edition.trt, edition.version, gpu)
    capability = gpu.compute_capability
    device = DeviceContext(device_id)
    try:
        # What makes a context of its own would take that of device 0; this one is current.
        with device, cuda_errors("try TensorRT"):
            starts = _starts(edition, capability)
    finally:
        device.release()
    if not starts:
        errors = edition.take_errors()
        raise BackendUnavailableError(
            f"{edition.name} {edition.version} does not start: {errors.text}", errors.cause.value
        )


def _starts(edition: Edition, capability: str) -> bool:
    """Whether a runtime can be made; that of RTX is, on any machine, so it loads an engine too."""
    runtime = edition.create("Runtime")
    if runtime is None or not edition.is_rtx:
        return runtime is not None
    builder = edition.create("Builder")
    if builder is None:
        return False
    trt = edition.trt
    # The least of engines: built in milliseconds, without a GPU.
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    value = network.add_input("value", trt.DataType.FLOAT, (1,))
    network.mark_output(network.add_identity(value).get_output(0))
    config = builder.create_builder_config()
    config.num_compute_capabilities = 1
    config.set_compute_capability(known_capabilities(trt)[capability], 0)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        return False  # the log says why
    edition.log.errors.clear()
    return runtime.deserialize_cuda_engine(plan) is not None


def main(edition: str, device_id: int) -> int:
    """Try and print; see the module's docstring."""
    outcome: dict[str, str] = {}
    try:
        try_here(edition, device_id)
    except BackendUnavailableError as error:
        outcome = {"problem": error.problem, "advice": error.advice}
    except BackendError as error:
        outcome = {"problem": str(error)}
    print(json.dumps(outcome))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))

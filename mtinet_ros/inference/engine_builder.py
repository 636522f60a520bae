# SPDX-License-Identifier: Apache-2.0
"""ONNX in, TensorRT engine out. Runs in a process of its own, so that a crash is only a message.

`python -m mtinet_ros.inference.engine_builder` reads one JSON `BuildRequest` from the first line
of standard input and writes JSON lines to standard output: `{"progress": [phase, share]}`,
`{"log": [level, text]}` and at last `{"done": …}` or, of an error, its arguments and its class's
name: `{"failed": [argument, …], "kind": …}`. When standard input closes, because the parent gave
up or died, the build stops.

Engines are always STRONGLY_TYPED: the precision is the ONNX's (docs.nvidia.com/deeplearning/
tensorrt, "Strongly Typed Networks"); TensorRT 11 has no other way.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from mtinet_ros.errors import BackendError, ConfigurationError, ModelError, MtinetError
from mtinet_ros.inference.backend import check_graph
from mtinet_ros.inference.gpu_support import known_capabilities
from mtinet_ros.inference.tensorrt_edition import Edition, load_edition
from mtinet_ros.model_card import read_model_card
from mtinet_ros.output_files import file_errors, replace_file

if TYPE_CHECKING:
    import tensorrt

Progress = Callable[[str, float], None]

# A build that does not heed the progress monitor for this long after its parent is gone ends hard.
_GRACE_SECONDS = 10.0


@dataclass(frozen=True)
class BuildRequest:
    """The input of a build.

    Attributes:
        edition: `tensorrt` or `tensorrt_rtx`.
        model: Path of the ONNX file.
        engine: Path to write the engine to.
        timing_cache: Path of tactic timings to start from and to bring up to date; `tensorrt`
            only (a no-op in RTX since 1.2).
        device_id: CUDA device to build on and for; `tensorrt` only (RTX builds on the CPU).
        max_batch: Largest batch.
        optimal_batch: Batch to tune for.
        second_batch: Batch of a second optimization profile, which serves only it; 0: none.
        optimization_level: How hard the builder searches, 0 to 5; None: its own choice.
        workspace_mb: Most scratch memory of a layer in MiB; 0: TensorRT's own limit.
        hardware_compatible: Run on any GPU of Ampere or newer, at some speed; `tensorrt` only.
        version_compatible: Run on newer TensorRT versions of the same major.
        compute_capabilities: GPU generations to build for, e.g. `("8.6", "8.9")`; `tensorrt_rtx`
            only; empty: its own choice, all from Ampere on.
    """

    edition: str
    model: str
    engine: str
    timing_cache: str
    device_id: int
    max_batch: int
    optimal_batch: int
    second_batch: int
    optimization_level: int | None
    workspace_mb: int
    hardware_compatible: bool
    version_compatible: bool
    compute_capabilities: tuple[str, ...]


@dataclass(frozen=True)
class BuildReport:
    """The result of a build.

    Attributes:
        inputs: Name -> (NumPy dtype name, shape with -1 for the dynamic batch).
        outputs: The same.
        layers: Layers of the parsed network.
        model_sha256: Of the ONNX that was parsed.
        engine_bytes: Size of the engine.
    """

    inputs: Mapping[str, tuple[str, tuple[int, ...]]]
    outputs: Mapping[str, tuple[str, tuple[int, ...]]]
    layers: int
    model_sha256: str
    engine_bytes: int


def build(request: BuildRequest, progress: Progress, cancelled: threading.Event) -> BuildReport:
    """Parse, compile and write one engine, in this process.

    Args:
        request: What to build.
        progress: Called with the phase and the share done, 0 to 1, which never falls.
        cancelled: Set it to stop between two steps of the builder.

    Raises:
        ModelError: TensorRT cannot parse the ONNX, or it does not keep the model contract.
        ConfigurationError: An option does not exist in this edition.
        BackendError: The build failed or was cancelled, or the engine cannot be written.
    """
    edition = load_edition(request.edition)
    with _build_device(request, edition):
        return _compile(request, edition, progress, cancelled)


@contextmanager
def _build_device(request: BuildRequest, edition: Edition) -> Iterator[None]:
    """TensorRT times kernels on the current device; RTX compiles without one."""
    if edition.is_rtx:
        yield
        return
    from mtinet_ros.inference.cuda import DeviceContext

    device = DeviceContext(request.device_id)
    try:
        with device:
            yield
    finally:
        device.release()


def _compile(
    request: BuildRequest, edition: Edition, progress: Progress, cancelled: threading.Event
) -> BuildReport:
    trt = edition.trt
    edition.log.errors.clear()
    builder: tensorrt.Builder | None = edition.create("Builder")
    if builder is None:
        raise _failure(edition, "start its builder")
    network: tensorrt.INetworkDefinition = builder.create_network(
        1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    )
    model_sha256 = _parse(Path(request.model), network, edition)
    inputs = [network.get_input(i) for i in range(network.num_inputs)]
    outputs = [network.get_output(i) for i in range(network.num_outputs)]
    report = BuildReport(
        {t.name: (edition.numpy_dtype_name(t.dtype), tuple(t.shape)) for t in inputs},
        {t.name: (edition.numpy_dtype_name(t.dtype), tuple(t.shape)) for t in outputs},
        network.num_layers,
        model_sha256,
        engine_bytes=0,
    )
    # Before minutes are spent on a model that no one can use.
    check_graph(
        request.model,
        read_model_card(request.model),
        {name: (dtype, _dynamic(shape)) for name, (dtype, shape) in report.inputs.items()},
        {name: (dtype, _dynamic(shape)) for name, (dtype, shape) in report.outputs.items()},
    )
    config: tensorrt.IBuilderConfig = builder.create_builder_config()
    _apply_options(config, request, edition)
    _add_batch_profiles(builder, network, config, request, edition)
    if not edition.is_rtx:
        _load_timings(config, Path(request.timing_cache))
    config.progress_monitor = _make_monitor(trt, progress, cancelled)
    engine = builder.build_serialized_network(network, config)
    if cancelled.is_set():
        raise BackendError("the engine build was cancelled")
    if engine is None:
        raise _failure(edition, f"compile {request.model}")
    _write(Path(request.engine), memoryview(engine))
    if not edition.is_rtx and (timings := config.get_timing_cache()) is not None:
        _write(Path(request.timing_cache), memoryview(timings.serialize()))
    return replace(report, engine_bytes=engine.nbytes)


def _dynamic(shape: tuple[int, ...]) -> tuple[int | None, ...]:
    return tuple(None if size < 0 else size for size in shape)


def _parse(model: Path, network: tensorrt.INetworkDefinition, edition: Edition) -> str:
    """Fill the network; returns the sha256 of what was read."""
    parser: tensorrt.OnnxParser = edition.trt.OnnxParser(network, edition.log)
    with file_errors(f"read model {model}", ModelError):
        content = model.read_bytes()
    if parser.parse(content, str(model)):
        return hashlib.sha256(content).hexdigest()
    reasons = []
    for index in range(min(parser.num_errors, 3)):
        error_ = parser.get_error(index)
        where = f"{error_.node_operator()} {error_.node_name()}".strip()
        reasons.append(f"{where}: {error_.desc()}" if where else error_.desc())
    raise ModelError(
        f"{edition.name} {edition.version} cannot parse {model}: "
        f"{'; '.join(reasons) or edition.take_errors()}; export the checkpoint again with "
        "`mtinet export`, or run this model with backend onnxruntime"
    )


def _apply_options(
    config: tensorrt.IBuilderConfig, request: BuildRequest, edition: Edition
) -> None:
    trt = edition.trt
    if request.workspace_mb:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, request.workspace_mb << 20)
    if request.optimization_level is not None:
        config.builder_optimization_level = request.optimization_level
    if edition.is_rtx and (request.hardware_compatible or request.version_compatible):
        raise ConfigurationError(
            "hardware and version compatibility are options of tensorrt; a tensorrt_rtx engine "
            "runs on all GPUs from Ampere on (or on the compute capabilities that were asked "
            "for), with the TensorRT-RTX version that built it"
        )
    if request.version_compatible:
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    if request.hardware_compatible:
        config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS
    if request.compute_capabilities:
        _set_compute_capabilities(config, request.compute_capabilities, edition)


def _set_compute_capabilities(config: Any, wanted: tuple[str, ...], edition: Edition) -> None:
    """`config` is Any: the stubs describe `tensorrt`, which has no such setting."""
    if not edition.is_rtx:
        raise ConfigurationError(
            "compute capabilities are an option of tensorrt_rtx; tensorrt builds for the GPU at "
            "hand, or for all from Ampere on with hardware compatibility"
        )
    known = known_capabilities(edition.trt)
    config.num_compute_capabilities = len(wanted)
    for index, capability in enumerate(wanted):
        if capability not in known:
            raise ConfigurationError(
                f"compute capability {capability!r} is unknown to {edition.name} "
                f"{edition.version}; allowed: {', '.join(known)}"
            )
        config.set_compute_capability(known[capability], index)


def _add_batch_profiles(
    builder: tensorrt.Builder,
    network: tensorrt.INetworkDefinition,
    config: tensorrt.IBuilderConfig,
    request: BuildRequest,
    edition: Edition,
) -> None:
    """Batch (1, optimal, max), then the second one alone. A model of fixed batch needs none.

    What is tuned for one size gains most with no other in its profile (Developer Guide,
    "Optimization Profiles": kernels are tuned for opt and must run from min to max).
    """
    image = network.get_input(0)
    shape = tuple(image.shape)
    if shape[0] != -1:
        return
    profiles = [(1, request.optimal_batch, request.max_batch)]
    if request.second_batch:
        profiles.append((request.second_batch,) * 3)
    for batches in profiles:
        profile = builder.create_optimization_profile()
        profile.set_shape(image.name, *((batch, *shape[1:]) for batch in batches))
        if config.add_optimization_profile(profile) < 0:
            raise _failure(edition, f"take the batch profile {list(batches)}")


def _load_timings(config: tensorrt.IBuilderConfig, path: Path) -> None:
    """Start from the timing cache of an earlier build, unless it is of another GPU or version."""
    stored = path.read_bytes() if path.exists() else b""
    for content in (stored, b""):
        cache: tensorrt.ITimingCache | None = config.create_timing_cache(content)
        if cache is not None and config.set_timing_cache(cache, ignore_mismatch=False):
            return


def _make_monitor(trt: Any, progress: Progress, cancelled: threading.Event) -> Any:
    class BuildMonitor(trt.IProgressMonitor):  # type: ignore[misc]  # known only at run time
        """Turns nested phases into one rising share, and stops a cancelled build."""

        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._phases: dict[str, list[int]] = {}  # name -> [steps, done], outermost first
            self._share = 0.0

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self._phases[phase_name] = [num_steps, 0]
            self._report(phase_name)

        def phase_finish(self, phase_name: str) -> None:
            self._phases.pop(phase_name, None)

        def step_complete(self, phase_name: str, step: int) -> bool:
            if phase_name in self._phases:
                self._phases[phase_name][1] = step + 1
            self._report(phase_name)
            return not cancelled.is_set()

        def _report(self, phase_name: str) -> None:
            share, weight = 0.0, 1.0
            for steps, done in list(self._phases.values()):
                share += weight * done / steps
                weight /= steps
            self._share = max(self._share, min(share, 1.0))
            progress(phase_name, self._share)

    return BuildMonitor()


def _write(path: Path, content: memoryview) -> None:
    """Replace a file as a whole or not at all, on the disk itself."""
    advice = "make room, or set engine_cache_dir to another folder"
    with file_errors(f"write {path} ({content.nbytes / 1e6:.1f} MB)", BackendError, advice):
        replace_file(path, content, flush=True)


def _failure(edition: Edition, doing: str) -> BackendError:
    return BackendError(
        f"{edition.name} {edition.version} could not {doing}: {edition.take_errors()}"
    )


class _LogLines(logging.Handler):
    """Sends log records to the parent."""

    def __init__(self, send: Callable[[dict[str, Any]], None]) -> None:
        super().__init__(logging.INFO)
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        self._send({"log": [record.levelno, record.getMessage()]})


def _stop_with_parent(stdin: int, cancelled: threading.Event) -> None:
    os.read(stdin, 1)
    cancelled.set()
    threading.Event().wait(_GRACE_SECONDS)
    os._exit(1)


def _open_channel() -> TextIO:
    """Standard output for our lines alone: what native code prints goes to standard error."""
    channel = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return channel


def main() -> int:
    """Serve one request; see the module's docstring."""
    channel = _open_channel()
    lock = threading.Lock()

    def send(message: dict[str, Any]) -> None:
        with lock:
            channel.write(json.dumps(message) + "\n")

    # Unbuffered, so that the thread below holds no lock of sys.stdin when the interpreter ends.
    stdin = sys.stdin.fileno()
    with open(stdin, "rb", buffering=0, closefd=False) as file:
        record = json.loads(file.readline())
    record["compute_capabilities"] = tuple(record["compute_capabilities"])
    request = BuildRequest(**record)
    cancelled = threading.Event()
    threading.Thread(target=_stop_with_parent, args=[stdin, cancelled], daemon=True).start()
    log = logging.getLogger("mtinet_ros")
    log.setLevel(logging.INFO)
    log.propagate = False
    log.addHandler(_LogLines(send))
    try:
        report = build(request, lambda phase, share: send({"progress": [phase, share]}), cancelled)
    except MtinetError as error:
        send({"failed": error.args, "kind": type(error).__name__})
        return 1
    except BrokenPipeError:  # the parent is gone
        return 1
    send({"done": asdict(report)})
    return 0


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""Selection of a backend: by name, or the best one that can run here."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import threading
from dataclasses import dataclass
from pathlib import Path

from mtinet_ros.errors import BackendError, BackendUnavailableError, ConfigurationError
from mtinet_ros.inference.backend import Backend
from mtinet_ros.inference.cpu_settings import CpuSettings
from mtinet_ros.inference.engine_builder import Progress
from mtinet_ros.inference.engine_cache import CachedEngine
from mtinet_ros.inference.engine_settings import EngineSettings
from mtinet_ros.inference.gpu_settings import GpuSettings
from mtinet_ros.inference.silent_import import import_silently
from mtinet_ros.model_card import UNVERIFIABLE, ModelCard, read_model_card
from mtinet_ros.onnx_file import read_onnx_file

logger = logging.getLogger("mtinet_ros.inference")


@dataclass(frozen=True)
class BackendSpec:
    """Location and needs of a backend.

    Attributes:
        module: Module of this package that holds the class.
        class_name: The class.
        requires: Importable modules without which it cannot run.
        install: The command that brings them.
        is_tensorrt: Whether it runs engines on an NVIDIA GPU.
        foreign_domains: Domains of operators beside ONNX's own that it computes as they are meant.
        runs_functions: Whether it computes the functions that a model defines for itself.
    """

    module: str
    class_name: str
    requires: tuple[str, ...]
    install: str
    is_tensorrt: bool = False
    foreign_domains: frozenset[str] = frozenset()
    runs_functions: bool = False

    def missing_module(self) -> str | None:
        """The first of the required modules that is not installed, or None."""
        for module in self.requires:
            spec = importlib.util.find_spec(module)
            # A folder of type stubs alone counts as a namespace package, which has no origin.
            if spec is None or spec.origin is None:
                return module
        return None


# In the order in which `auto` tries them: the fastest first.
BACKENDS: dict[str, BackendSpec] = {
    "tensorrt": BackendSpec(
        "mtinet_ros.inference.tensorrt_backend",
        "TensorRtBackend",
        ("tensorrt",),
        "pip install 'mtinet_ros[tensorrt]'",
        is_tensorrt=True,
    ),
    "tensorrt_rtx": BackendSpec(
        "mtinet_ros.inference.tensorrt_backend",
        "TensorRtBackend",
        ("tensorrt_rtx",),
        "pip install 'mtinet_ros[tensorrt-rtx]'",
        is_tensorrt=True,
    ),
    "openvino": BackendSpec(
        "mtinet_ros.inference.openvino_backend",
        "OpenVinoBackend",
        ("openvino",),
        "pip install 'mtinet_ros[openvino]'",
    ),
    "onnxruntime": BackendSpec(
        "mtinet_ros.inference.onnxruntime_backend",
        "OnnxRuntimeBackend",
        ("onnxruntime",),
        "pip install onnxruntime",
        # Its own fusions; others know some of them by name, and not all of what they do.
        foreign_domains=frozenset({"com.microsoft", "com.microsoft.nchwc"}),
        # OpenVINO knows no functions. TensorRT takes one that is named as an operator for that.
        runs_functions=True,
    ),
}
BACKEND_CHOICES = ("auto", *BACKENDS)


def load_backend(
    model: str | os.PathLike[str],
    backend: str = "auto",
    max_batch: int = 8,
    *,
    device_id: int = 0,
    engine: EngineSettings | None = None,
    progress: Progress | None = None,
    cancelled: threading.Event | None = None,
    cpu: CpuSettings | None = None,
    gpu: GpuSettings | None = None,
) -> Backend:
    """Load `model` with the backend of that name, or with the best that can run here.

    Args:
        model: ONNX file with a card.
        backend: A name of `BACKENDS`, or `auto`.
        max_batch: Largest batch that will be asked for.
        device_id: CUDA device; the CPU backends ignore it, and the three below.
        engine: Where TensorRT engines are kept and how they are built.
        progress: Called with the phase and the share done, 0 to 1, in the calling thread.
        cancelled: Set it from another thread to stop an engine build; loading then raises.
        cpu: Precision and threads of the CPU backends.
        gpu: How TensorRT's backends run an engine.

    Raises:
        ConfigurationError: There is no backend of that name, or an engine setting is not allowed.
        BackendError: It is not installed (the message has the command), cannot run here, none
            can, its engine cannot be built, or `cancelled` was set.
        ModelError: The model cannot be read.
    """
    path = Path(model)
    card = read_model_card(path)  # a bad model is the model's fault, not each backend's in turn
    _log_standing(path, card)
    name = _choose(backend, device_id, path)
    spec = BACKENDS[name]
    constructor = getattr(importlib.import_module(spec.module), spec.class_name)
    loaded: Backend
    if spec.is_tensorrt:
        loaded = constructor(
            path,
            max_batch,
            edition=name,
            device_id=device_id,
            engine=engine or EngineSettings(),
            progress=progress or _ignore,
            cancelled=cancelled or threading.Event(),
            gpu=gpu or GpuSettings(),
        )
    else:
        of_cpu = constructor(path, max_batch, cpu or CpuSettings())
        if of_cpu.warning:
            logger.warning("%s", of_cpu.warning)
        loaded = of_cpu
    logger.info("%s runs %s (%s) on %s", loaded.name, card.name, loaded.precision, loaded.device)
    return loaded


def build_engine(
    model: str | os.PathLike[str],
    backend: str = "auto",
    max_batch: int = 8,
    *,
    device_id: int = 0,
    engine: EngineSettings | None = None,
    progress: Progress | None = None,
    cancelled: threading.Event | None = None,
) -> CachedEngine:
    """Find or build the engine that `load_backend` with the same arguments would use.

    `tensorrt_rtx` builds without a GPU; `tensorrt` needs the GPU it builds for.

    Args:
        model: ONNX file with a card.
        backend: `tensorrt`, `tensorrt_rtx`, or `auto`: the first of them that can build here.
        max_batch: As for `load_backend`, like all below.
        device_id: See there.
        engine: See there.
        progress: See there.
        cancelled: See there.

    Raises:
        ConfigurationError: The backend has no engines, or a setting is not allowed.
        BackendError: See `load_backend`.
        ModelError: The model cannot be read, or TensorRT cannot parse it.
    """
    from mtinet_ros.inference.cuda import check_device
    from mtinet_ros.inference.engine_target import engine_cache
    from mtinet_ros.inference.tensorrt_edition import load_edition

    path = Path(model)
    card = read_model_card(path)
    _log_standing(path, card)
    editions = [name for name, spec in BACKENDS.items() if spec.is_tensorrt]
    if backend not in ("auto", *editions):
        raise ConfigurationError(
            f"backend {backend!r} has no engines to build; allowed: auto, {', '.join(editions)}"
        )
    settings = engine or EngineSettings()
    rejected: list[str] = []
    for name in editions if backend == "auto" else [backend]:
        try:
            check_operators(name, path)
            _check_installed(BACKENDS[name])
            if name == "tensorrt":  # not loaded in vain: the other could not be loaded after it
                check_device(device_id)
            edition = load_edition(name)
            cache = engine_cache(path, card, edition, max_batch, device_id, settings)
        except BackendError as error:
            rejected.append(f"{name}: {error}")
            continue
        return cache.get_or_build(progress or _ignore, cancelled or threading.Event())
    raise BackendError(f"no engine can be built here: {'; '.join(rejected)}")


def _log_standing(path: Path, card: ModelCard) -> None:
    """Log whether what the card says of the graph does not hold, or cannot be held against it."""
    if card.modified:
        logger.warning(
            "%s was changed by another tool after `mtinet export` wrote it: what its card says of "
            "accuracy and precision no longer holds",
            path,
        )
    elif not card.is_verifiable:
        logger.info("what the card of %s says of accuracy and precision %s", path, UNVERIFIABLE)


def _choose(backend: str, device_id: int, model: Path) -> str:
    """A name of `BACKENDS` that can run a model here; logs what `auto` chose and ruled out.

    Raises:
        ConfigurationError: There is no such backend.
        BackendError: It, or for `auto` every one, is unavailable, or does not know an operator.
    """
    if backend not in BACKEND_CHOICES:
        raise ConfigurationError(
            f"backend {backend!r} is unknown; allowed: {', '.join(BACKEND_CHOICES)}"
        )
    if backend != "auto":
        try:
            check_operators(backend, model)
            check_available(backend, device_id, asked=True)
        except BackendUnavailableError as error:
            raise BackendUnavailableError(
                f"backend {backend}: {error.problem}", error.advice
            ) from error
        return backend
    rejected: list[str] = []
    for name in BACKENDS:
        try:
            check_operators(name, model)
            check_available(name, device_id)
        except BackendUnavailableError as error:
            rejected.append(f"{name}: {error}")
            continue
        why = f" (not {'; not '.join(rejected)})" if rejected else ""
        logger.info("backend auto chose %s%s", name, why)
        return name
    raise BackendError(f"no backend can run here: {'; '.join(rejected)}")


def check_operators(name: str, model: Path) -> None:
    """Refuse a graph with operators that a backend does not compute as they are meant.

    Args:
        name: A key of `BACKENDS`.
        model: ONNX file.

    Raises:
        BackendUnavailableError: An operator is of a domain that is foreign to the backend, or a
            function that the model defines, which it does not run.
    """
    content = read_onnx_file(model)
    functions = content.called_functions()
    if functions and not BACKENDS[name].runs_functions:
        raise BackendUnavailableError(
            f"{model} defines functions of its own ({', '.join(functions[:3])}), which this "
            "backend does not run, or takes for operators of that name",
            "use backend onnxruntime, or inline them in Python: "
            "onnx.save(onnx.inliner.inline_local_functions(onnx.load(path)), new_path)",
        )
    for domain, operators in content.foreign_operators().items():
        if domain not in BACKENDS[name].foreign_domains:
            raise BackendUnavailableError(
                f"{model} holds operators of {domain} ({', '.join(operators[:3])}), which another "
                "tool put there and this backend does not know for sure",
                "export the checkpoint again with `mtinet export`"
                + (", or use backend onnxruntime" if domain.startswith("com.microsoft") else ""),
            )


def check_available(name: str, device_id: int, asked: bool = False) -> None:
    """Hold the needs of a backend against what this machine has.

    Args:
        name: A key of `BACKENDS`.
        device_id: CUDA device; the CPU backends ignore it.
        asked: Whether a user named the backend. Else TensorRT is tried in a process of its own,
            on the GPUs that it is documented for.

    Raises:
        BackendUnavailableError: Its package, driver or device is missing, or does not serve.
    """
    spec = BACKENDS[name]
    _check_installed(spec)
    if spec.is_tensorrt:
        _check_tensorrt(name, device_id, asked)
    else:
        _check_imports(spec)


def _check_installed(spec: BackendSpec) -> None:
    module = spec.missing_module()
    if module is not None:
        raise BackendUnavailableError(f"{module} is not installed", f"`{spec.install}` brings it")


def _check_tensorrt(name: str, device_id: int, asked: bool) -> None:
    from mtinet_ros.inference.cuda import check_device, identify_gpu
    from mtinet_ros.inference.gpu_support import (
        check_gpu,
        check_installed_rtx,
        with_visibility_hint,
    )
    from mtinet_ros.inference.tensorrt_edition import load_edition
    from mtinet_ros.inference.tensorrt_trial import try_apart

    try:
        check_device(device_id)
    except BackendUnavailableError as error:
        raise with_visibility_hint(error) from error
    try:
        gpu = identify_gpu(device_id)
    except BackendUnavailableError:
        raise
    except BackendError as error:
        raise BackendUnavailableError(str(error)) from error
    if asked:
        edition = load_edition(name)
        if edition.is_rtx:
            check_installed_rtx(edition.trt, edition.version, gpu)
    check_gpu(name, gpu, asked)
    if not asked:
        try_apart(name, device_id)


def _check_imports(spec: BackendSpec) -> None:
    """Import the packages of a CPU backend: their libraries may not fit the machine."""
    for module in spec.requires:
        try:
            import_silently(module)
        except (ImportError, OSError) as error:
            raise BackendUnavailableError(
                f"{module} is installed but does not load: {error}"
            ) from error


def _ignore(phase: str, share: float) -> None:
    """The progress callback of a caller who gave none."""

# SPDX-License-Identifier: Apache-2.0
"""Engines on disk: found again when they fit, built when they do not, never half-written.

Beside `<name>.engine` lies `<name>.json`, the sidecar: what the engine was built from and for.
An engine without a sidecar that matches it bit for bit does not count. One builder at a time
works on a name, held by a lock that the kernel drops when its owner dies.
"""

from __future__ import annotations

import fcntl
import glob
import hashlib
import json
import logging
import os
import re
import stat
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from enum import Enum
from pathlib import Path
from typing import Any

from mtinet_ros.errors import BackendError
from mtinet_ros.inference.build_process import run_build
from mtinet_ros.inference.engine_builder import BuildRequest, Progress
from mtinet_ros.inference.engine_settings import EngineSettings
from mtinet_ros.model_card import ModelCard
from mtinet_ros.output_files import file_errors, replace_file

logger = logging.getLogger("mtinet_ros.inference")

_SIDECAR_FORMAT = 1
_POLL_SECONDS = 0.2

# Words for the keys of an engine's identity.
_NAMES = {
    "model_sha256": "the model file",
    "edition": "TensorRT's edition",
    "tensorrt_version": "TensorRT",
    "batch_profile": "the batch profile (min, optimal, max)",
    "second_profile": "the second batch profile",
    "optimization_level": "the optimization level",
    "workspace_mb": "workspace_mb",
    "version_compatible": "version compatibility",
    "target": "the GPU",
}


@dataclass(frozen=True, eq=False)
class CachedEngine:
    """A serialized engine that fits, with its sidecar.

    Attributes:
        path: The engine's file.
        content: Its bytes.
        sidecar: Identity, network, model card and build of it: the content of its JSON file.
        was_built: True: built by this call; False: found on the disk.
    """

    path: Path
    content: bytes
    sidecar: Mapping[str, Any]
    was_built: bool


class Misfit(Enum):
    """Why an engine on disk does not serve."""

    ABSENT = "there is none yet"
    DIFFERENT = "the last one was for something else"
    DAMAGED = "the last one is damaged"
    REFUSED = "the last one does not load"


@dataclass(frozen=True)
class Rejection:
    """Why no engine on disk serves, so that one has to be built.

    Attributes:
        misfit: The kind of reason.
        sentence: The reason for people, with values.
    """

    misfit: Misfit
    sentence: str

    @classmethod
    def of(cls, misfit: Misfit) -> Rejection:
        """A rejection that needs no values."""
        return cls(misfit, misfit.value)


class EngineCache:
    """The folder of engines, for one model on one target."""

    def __init__(
        self,
        model: Path,
        card: ModelCard,
        *,
        edition: str,
        version: str,
        target: Mapping[str, Any],
        max_batch: int,
        device_id: int,
        settings: EngineSettings,
        serves: Callable[[Mapping[str, Any]], bool] = lambda target: False,
    ) -> None:
        """Derive names and identity of the engine; touches no file but the model.

        Args:
            model: The ONNX file.
            card: Its card.
            edition: `tensorrt` or `tensorrt_rtx`.
            version: Its version.
            target: Identity of the hardware, as far as that edition depends on it.
            max_batch: Largest batch of the profile.
            device_id: CUDA device to build on.
            settings: The user's choice.
            serves: Whether an engine for another target runs here as well; one such is taken where
                there is none for `target`.
        """
        self._model = model.absolute()
        self._serves = serves
        self._card = card
        self._settings = settings
        optimal = min(settings.optimal_batch or 1, max_batch)
        second = min(settings.second_batch, max_batch)
        self._identity: dict[str, Any] = {
            "model_sha256": _sha256(self._model),
            "edition": edition,
            "tensorrt_version": version,
            "batch_profile": [1, optimal, max_batch],
            "second_profile": [second] * 3 if second else None,
            "optimization_level": settings.optimization_level,
            "workspace_mb": settings.workspace_mb,
            "version_compatible": settings.version_compatible,
            "target": dict(target),
        }
        where = hashlib.sha256(str(self._model).encode()).hexdigest()[:8]
        slug = re.sub(r"[^a-z0-9]+", "-", " ".join(map(str, target.values())).lower()).strip("-")
        before, after = f"{model.stem[:80]}-{where}.{edition}.", f".b{max_batch}"
        name = f"{before}{slug[:60]}{after}"
        self._of_any_target = f"{glob.escape(before)}*{after}.json"
        self.folder = settings.folder
        self.engine = self.folder / f"{name}.engine"
        self.sidecar = self.folder / f"{name}.json"
        self.runtime_cache = self.folder / f"{name}.runtime_cache"
        self._lock = self.folder / f"{name}.lock"
        self._timing_cache = self.folder / f"{name}.timing_cache"
        self._request = BuildRequest(
            edition=edition,
            model=str(self._model),
            engine=str(self.engine),
            timing_cache=str(self._timing_cache),
            device_id=device_id,
            max_batch=max_batch,
            optimal_batch=optimal,
            second_batch=second,
            optimization_level=settings.optimization_level,
            workspace_mb=settings.workspace_mb,
            hardware_compatible=settings.hardware_compatible,
            version_compatible=settings.version_compatible,
            compute_capabilities=settings.compute_capabilities,
        )

    def get_or_build(
        self,
        progress: Progress,
        cancelled: threading.Event,
        refused: CachedEngine | None = None,
    ) -> CachedEngine:
        """The engine, from the disk if it fits, else built (which may take minutes).

        Args:
            progress: Called with the phase and the share done.
            cancelled: Set it to stop waiting or building.
            refused: An engine from here that TensorRT did not load: it is set aside.

        Raises:
            BackendError: The folder cannot be used, or the build failed or was cancelled.
            ModelError: TensorRT cannot parse the model.
        """
        _prepare_folder(self.folder)
        found = self._find(refused)
        if isinstance(found, CachedEngine):
            return found
        if not os.access(self.folder, os.W_OK | os.X_OK):
            raise BackendError(
                f"an engine must be built ({found.sentence}), but {self.folder} cannot be written "
                "to; change its permissions or set engine_cache_dir to a folder of yours"
            )
        with self._builder_lock(progress, cancelled):
            # Whoever held the lock before may have built just this engine.
            found = self._find(refused)
            if isinstance(found, CachedEngine):
                return found
            if found.misfit in (Misfit.DAMAGED, Misfit.REFUSED):
                self._set_aside()
            logger.info(
                "building %s: %s; this takes seconds to minutes", self.engine.name, found.sentence
            )
            return self._build(progress, cancelled)

    def write_runtime_cache(self, content: bytes) -> None:
        """Write the kernels that `tensorrt_rtx` compiled; without them it only starts later."""
        try:
            replace_file(self.runtime_cache, content, flush=True)
        except OSError as error:
            logger.warning("the runtime cache %s is not kept: %s", self.runtime_cache, error)

    def _find(self, refused: CachedEngine | None) -> CachedEngine | Rejection:
        """An engine that fits, and otherwise why there is none for this target."""
        own = self._read(self.sidecar)
        if isinstance(own, CachedEngine):
            is_refused = refused is not None and own.content == refused.content
            return Rejection.of(Misfit.REFUSED) if is_refused else own
        for sidecar in sorted(self.folder.glob(self._of_any_target)) if refused is None else ():
            with suppress(BackendError):  # it may not be read
                other = self._read(sidecar)
                if isinstance(other, CachedEngine):
                    return other
                if own.misfit is Misfit.ABSENT and other.misfit is Misfit.DIFFERENT:
                    own = other
        return own

    def _read(self, sidecar_file: Path) -> CachedEngine | Rejection:
        """An engine if it fits, and otherwise why not.

        Without the lock a builder may replace files meanwhile; then they look damaged, so nothing
        is moved here.
        """
        try:
            sidecar = json.loads(sidecar_file.read_text("utf-8"))
            stored = dict(sidecar["identity"])
            digest = str(sidecar["engine_sha256"])
            key = self._first_difference(stored)
            if key is not None:
                return Rejection(
                    Misfit.DIFFERENT,
                    f"the last one was for {_NAMES[key]} {_short(stored.get(key))}, "
                    f"now it is {_short(self._identity[key])}",
                )
            engine_file = sidecar_file.with_suffix(".engine")
            content = engine_file.read_bytes()
        except FileNotFoundError:
            return Rejection.of(Misfit.ABSENT)
        except PermissionError as error:
            raise BackendError(
                f"{error.filename} may not be read ({error.strerror}); change its permissions or "
                "set engine_cache_dir to a folder of yours"
            ) from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            return Rejection(Misfit.DAMAGED, f"the last one's sidecar is damaged ({error!r})")
        if hashlib.sha256(content).hexdigest() != digest:
            return Rejection.of(Misfit.DAMAGED)
        return CachedEngine(engine_file, content, sidecar, was_built=False)

    def _set_aside(self) -> None:
        """Take an unusable engine out of the way, keeping it for whoever asks why."""
        for path in (self.engine, self.sidecar):
            if path.exists():
                broken = path.with_name(path.name + ".broken")
                logger.warning("%s cannot be used and is set aside as %s", path, broken.name)
                os.replace(path, broken)

    def _first_difference(self, stored: Mapping[str, Any]) -> str | None:
        """The first key of an engine's identity that rules it out, or None."""
        for key, wanted in self._identity.items():
            found = stored.get(key)
            if found == wanted:
                continue
            if key == "tensorrt_version" and stored.get("version_compatible"):
                old, new = _version(found), _version(wanted)
                fits = old[:1] == new[:1] and old <= new
            elif key == "batch_profile" and not self._settings.optimal_batch:
                fits = isinstance(found, list) and found[::2] == wanted[::2]
            elif key in ("second_profile", "optimization_level"):
                fits = wanted is None  # whoever has no wish takes what is there
            elif key == "version_compatible":
                fits = bool(found)
            elif key == "target":
                fits = isinstance(found, dict) and self._serves(found)
            else:
                fits = False
            if not fits:
                return key
        return None

    def _build(self, progress: Progress, cancelled: threading.Event) -> CachedEngine:
        for leftover in self.folder.glob(".*.part"):
            if leftover.name.lstrip(".").startswith(f"{self.engine.stem}."):
                leftover.unlink(missing_ok=True)  # of a builder that was killed
        partial = self.engine.with_name(f".{self.engine.name}.{os.getpid()}.part")
        begun = time.monotonic()
        advice = "make room, or set engine_cache_dir to another folder"
        try:
            with file_errors(f"store the engine in {self.folder}", BackendError, advice):
                report = run_build(self._request, partial, progress, cancelled)
                if report["model_sha256"] != self._identity["model_sha256"]:
                    raise BackendError(
                        f"{self._model} changed while it was being compiled; load it again"
                    )
                content = partial.read_bytes()
                record = {
                    "format": _SIDECAR_FORMAT,
                    "identity": self._identity,
                    "engine_sha256": hashlib.sha256(content).hexdigest(),
                    "engine_bytes": len(content),
                    "strongly_typed": True,
                    "network": report,
                    "model": str(self._model),
                    "model_card": json.loads(self._card.to_json()),
                    "built_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
                    "build_seconds": round(time.monotonic() - begun, 1),
                }
                # No sidecar, then the engine, then its sidecar: a kill in between leaves an
                # engine that does not count.
                self.sidecar.unlink(missing_ok=True)
                os.replace(partial, self.engine)
                replace_file(self.sidecar, json.dumps(record, indent=2), flush=True)
        finally:
            partial.unlink(missing_ok=True)
        # Read back, so that what is found next time and what is used now are the same.
        return CachedEngine(self.engine, content, json.loads(json.dumps(record)), was_built=True)

    @contextmanager
    def _builder_lock(self, progress: Progress, cancelled: threading.Event) -> Iterator[None]:
        advice = "set engine_cache_dir to a folder of yours with room on it"
        with file_errors(f"lock {self._lock}", BackendError, advice):
            descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    progress("waiting for another process that builds this engine", 0.0)
                if cancelled.wait(_POLL_SECONDS):
                    raise BackendError("waiting for the engine was cancelled")
            yield
        finally:
            os.close(descriptor)


def _prepare_folder(folder: Path) -> None:
    """Make the folder if need be. Engines are programs, so it must be in trusted hands."""
    advice = "set engine_cache_dir to a folder of yours"
    with file_errors(f"make or read the engine cache {folder}", BackendError, advice):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
    if status.st_uid not in (os.geteuid(), 0):
        raise BackendError(
            f"the engine cache {folder} belongs to user {status.st_uid}, not to you "
            f"({os.geteuid()}): engines run as programs do and are loaded only from your own or "
            f"root's folders; {advice}"
        )
    if status.st_mode & stat.S_IWOTH:
        raise BackendError(
            f"the engine cache {folder} can be written by every user, and engines run as programs "
            f"do; `chmod o-w {folder}`, or {advice}"
        )


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _version(text: Any) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", str(text)))


def _short(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, dict):
        # A name where the value does not tell what it is: "Orin, 8.7, 16 multiprocessors".
        return ", ".join(
            f"{each} {name}" if name == "multiprocessors" else str(each)
            for name, each in value.items()
        )
    text = str(value)
    return f"{text[:8]}…" if re.fullmatch(r"[0-9a-f]{64}", text) else text

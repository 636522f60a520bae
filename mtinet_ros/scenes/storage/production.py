# SPDX-License-Identifier: Apache-2.0
"""Rendering of a data set of rooms on all cores: resumable, the same bytes for the same seed.

Every scene depends on (seed, number) alone: it does not matter which worker renders it, or when. A
scene is written into a hidden folder and appears by one rename when it is complete.
"""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np

from mtinet_ros import __version__
from mtinet_ros.errors import ConfigurationError, DataError
from mtinet_ros.model_contract import VOID_ID
from mtinet_ros.output_files import folder_lock, make_folder, npy_bytes, replace_file
from mtinet_ros.scenes.assets.catalog import Catalog, credits_text
from mtinet_ros.scenes.assets.stock import ModelCache
from mtinet_ros.scenes.classes import NAMES, PALETTE
from mtinet_ros.scenes.rendering.camera import Camera, Viewpoints
from mtinet_ros.scenes.rendering.lighting import Lighting
from mtinet_ros.scenes.rendering.render import Render, render
from mtinet_ros.scenes.rendering.sensor import automatic_exposure, draw_sensor, expose
from mtinet_ros.scenes.rendering.surfaces import Surfaces
from mtinet_ros.scenes.room.rooms import build_room
from mtinet_ros.scenes.storage.dataset import FORMAT, SPLITS, read_index

FORMAT_VERSION = 1
STILLS, PATH = 12, 15
"""Stills per scene, and frames of its video if it has one."""
CYCLE = 13
"""Scenes of which one is for val and one for test."""
BYTES_PER_PIXEL = 13
"""rgb 3, classes 1, instance 2, depth 4, normals 3."""


@dataclass(frozen=True)
class RenderSettings:
    """All that determines the bytes of a data set.

    Attributes:
        seed: Seed of all randomness.
        height: Height of the frames, pixels.
        width: Width of the frames, pixels.
        furniture: Folder of the furniture libraries.
        licenses: Acceptable licenses of furniture (SPDX).
        stills: Stills per scene.
        path: Frames of a video.
    """

    seed: int
    height: int
    width: int
    furniture: str
    licenses: tuple[str, ...]
    stills: int = STILLS
    path: int = PATH

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ConfigurationError: A size or count is out of range.
        """
        if not (32 <= self.height <= 2048 and 32 <= self.width <= 2048):
            raise ConfigurationError(
                f"size {self.width}x{self.height} is not possible; use 32 to 2048 pixels a side"
            )
        if self.seed < 0 or self.stills < 1 or self.path < 2:
            raise ConfigurationError(
                f"seed, stills and path are {self.seed}, {self.stills} and {self.path}; allowed "
                "are 0, 1 and 2 or more"
            )


@dataclass(frozen=True)
class ScenePlan:
    """One scene to render.

    Attributes:
        number: Its number in the data set; with the seed, it determines the scene.
        split: "train", "val" or "test".
        stills: Number of stills.
        path: Frames of its video; 0: none.
    """

    number: int
    split: str
    stills: int
    path: int

    @property
    def name(self) -> str:
        """Name of the scene's folder."""
        return f"scene_{self.number:05d}"


def plan_scenes(frames: int, settings: RenderSettings) -> list[ScenePlan]:
    """Scenes of at least `frames` frames together; a larger number only appends scenes."""
    plans, total, number = [], 0, 0
    while total < frames:
        cycle, position = divmod(number, CYCLE)
        split = {3: "val", 9: "test"}.get(position, "train")
        video = cycle % 3 == 0 if split != "train" else number % 8 == 0
        plans.append(ScenePlan(number, split, settings.stills, settings.path if video else 0))
        total += settings.stills + plans[-1].path
        number += 1
    return plans


class SceneRenderer:
    """Renderer of the scenes of one data set; one per worker, so that loaded models are kept."""

    def __init__(self, settings: RenderSettings) -> None:
        """Read the catalog and divide its models among the splits."""
        self.settings = settings
        self.catalog = Catalog(Path(settings.furniture), settings.licenses)
        self._cache = ModelCache(self.catalog)
        self._models = {name: self.catalog.split(name, settings.seed) for name in SPLITS}

    def scene(self, plan: ScenePlan) -> tuple[dict[str, np.ndarray], dict[str, object]]:
        """Arrays and description of one scene, as they are stored (see docs/scenes.md)."""
        rng = np.random.default_rng([self.settings.seed, plan.number])
        scene, models = build_room(rng, self._models[plan.split], self._cache)
        surfaces = Surfaces(scene)
        lighting = Lighting(surfaces, rng)
        size = (self.settings.height, self.settings.width)
        views = Viewpoints(surfaces, rng, size)
        cameras: list[Camera] = []
        frames: list[tuple[np.ndarray, Render]] = []
        for _ in range(plan.stills):
            camera = views.still()
            rendered = render(camera, surfaces, lighting, rng)
            gain = automatic_exposure(rendered.radiance)
            frames.append((expose(rendered.radiance, draw_sensor(rng), gain, rng), rendered))
            cameras.append(camera)
        sensor, gain = draw_sensor(rng), 0.0
        for camera in views.path(plan.path) if plan.path else []:
            rendered = render(camera, surfaces, lighting, rng)
            target = automatic_exposure(rendered.radiance)
            gain = target if gain == 0 else 0.9 * gain + 0.1 * target
            frames.append((expose(rendered.radiance, sensor, gain, rng), rendered))
            cameras.append(camera)
        order = [(-1, -1)] * plan.stills + [(0, step) for step in range(plan.path)]
        arrays: dict[str, np.ndarray] = {
            "rgb": np.stack([image for image, _ in frames]),
            "classes": np.stack([rendered.classes for _, rendered in frames]),
            "instance": np.stack([rendered.instance for _, rendered in frames]),
            "depth": np.stack([rendered.depth for _, rendered in frames]),
            "normals": np.stack(
                [np.rint(rendered.normals * 127).astype(np.int8) for _, rendered in frames]
            ),
            "intrinsics": np.array([camera.intrinsics for camera in cameras]),
            "pose": np.stack([camera.world_from_camera for camera in cameras]),
            "path": np.array(order, np.int32),
        }
        description: dict[str, object] = {
            "scene": plan.name,
            "split": plan.split,
            "seed": self.settings.seed,
            "kind": scene.kind,
            "size": list(scene.size),
            "instances": {
                str(i + 1): {
                    "class": NAMES[t.label],
                    "name": t.name,
                    "asset": t.asset,
                    "low": [round(v, 4) for v in t.low],
                    "high": [round(v, 4) for v in t.high],
                    "yaw": round(t.yaw, 4),
                }
                for i, t in enumerate(scene.instances)
            },
            "assets": [
                {"model": m.key, "creator": m.creator, "license": m.license} for m in models
            ],
        }
        return arrays, description


def write_scene(
    root: Path, plan: ScenePlan, arrays: dict[str, np.ndarray], description: dict[str, object]
) -> None:
    """Store one scene; it appears under its name only when it is complete.

    Raises:
        DataError: The disk is full or cannot be written.
    """
    final = root / plan.split / plan.name
    draft = root / plan.split / f".{plan.name}.part"
    try:
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        for name, array in arrays.items():
            # Flushed: the folder's rename must not reach the disk before its content.
            replace_file(draft / f"{name}.npy", npy_bytes(array), flush=True)
        replace_file(draft / "scene.json", json.dumps(description, indent=1), flush=True)
        os.replace(draft, final)
    except OSError as error:
        shutil.rmtree(draft, ignore_errors=True)
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return  # a worker of a run that was killed has finished the same scene
        reason = "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else str(error)
        raise DataError(
            f"scene {final} could not be written: {reason}; finished scenes are kept, free some "
            "space and run the same command again"
        ) from error


def prepare_folder(root: Path, frames: int, settings: RenderSettings) -> list[ScenePlan]:
    """Create the folder of a data set, or check that this one can be continued.

    Returns:
        The scenes that are still to be rendered.

    Raises:
        ConfigurationError: `frames` is out of range, or the folder cannot be made.
        DataError: The folder holds something else, other settings, another run is rendering into
            it, or the disk is too small.
    """
    if frames < 1:
        raise ConfigurationError(f"{frames} frames cannot be rendered; ask for 1 or more")
    catalog = Catalog(Path(settings.furniture), settings.licenses)
    plans = plan_scenes(frames, settings)
    kept = {key: value for key, value in asdict(settings).items() if key != "furniture"}
    kept["licenses"] = list(settings.licenses)
    index_file = root / "index.json"
    if index_file.exists():
        begun = read_index(root).get("settings")
        if isinstance(begun, dict) and "licences" in begun:  # what versions before 0.2 called it
            begun["licenses"] = begun.pop("licences")
        if begun != kept:
            raise DataError(
                f"{root} was begun with {_differing(begun, kept)}, not {_differing(kept, begun)}; "
                "use the same options to continue it, or another folder"
            )
    elif root.is_dir() and any(root.iterdir()):
        raise DataError(f"{root} is not empty and holds no rendered rooms; choose another folder")
    todo = [plan for plan in plans if not (root / plan.split / plan.name).exists()]
    needed = sum(plan.stills + plan.path for plan in todo) * settings.height * settings.width
    _check_space(root, needed * BYTES_PER_PIXEL)
    index = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "generator": f"mtinet_ros {__version__}",
        "classes": list(NAMES),
        "palette": [list(color) for color in PALETTE],
        "void": VOID_ID,
        "size": [settings.height, settings.width],
        "scenes": len(plans),
        "frames": sum(plan.stills + plan.path for plan in plans),
        "settings": kept,
    }
    make_folder(root)
    with _exclusive(root):  # what looks like a leftover may be another run's work
        for split in SPLITS:
            make_folder(root / split)
            for leftover in (root / split).glob(".*.part"):
                shutil.rmtree(leftover)
        everything = [model for models in catalog.roles.values() for model in models]
        replace_file(root / "CREDITS.md", credits_text(everything))
        replace_file(index_file, json.dumps(index, indent=1))
    return todo


def _exclusive(root: Path) -> AbstractContextManager[None]:
    return folder_lock(
        root, DataError, f"another run is rendering into {root}; wait for it or stop it"
    )


def _check_space(root: Path, needed: int) -> None:
    folder = root
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < needed * 1.02:
        raise DataError(
            f"{root} needs {needed / 1e9:.1f} GB and {folder} has {free / 1e9:.1f} GB free; "
            "free some space, or render fewer or smaller frames"
        )


_renderer: SceneRenderer | None = None
_root = Path()
_parent = 0


def _initialize_worker(settings: RenderSettings, root: Path, parent: int) -> None:
    global _renderer, _root, _parent
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    cv2.setNumThreads(1)
    _renderer, _root, _parent = SceneRenderer(settings), root, parent


def _render_scene(plan: ScenePlan) -> int:
    assert _renderer is not None
    if os.getppid() != _parent:  # the parent was killed: nobody counts what is rendered here
        os._exit(1)
    arrays, description = _renderer.scene(plan)
    write_scene(_root, plan, arrays, description)
    return plan.stills + plan.path


def render_scenes(
    root: Path,
    plans: Iterable[ScenePlan],
    settings: RenderSettings,
    *,
    workers: int,
    progress: Callable[[int], None] = lambda frames: None,
) -> None:
    """Render scenes into a prepared folder.

    Args:
        root: Folder that `prepare_folder` made.
        plans: Scenes to render.
        settings: The settings given to `prepare_folder`.
        workers: Processes; the result does not depend on it.
        progress: Called with the number of frames of every finished scene.

    Raises:
        DataError: A scene could not be written. Finished scenes are kept.
        KeyboardInterrupt: Ctrl-C; the workers are stopped and finished scenes are kept.
    """
    plans = list(plans)
    if not plans:
        return
    if workers < 1:
        raise ConfigurationError(f"{workers} workers cannot render; ask for 1 or more")
    with _exclusive(root):
        _run_pool(root, plans, settings, workers, progress)


def _run_pool(
    root: Path,
    plans: list[ScenePlan],
    settings: RenderSettings,
    workers: int,
    progress: Callable[[int], None],
) -> None:
    """Render in worker processes that end with this one, whatever happens."""
    before = set(multiprocessing.active_children())
    with ProcessPoolExecutor(
        min(workers, len(plans)),
        multiprocessing.get_context("spawn"),
        _initialize_worker,
        (settings, root, os.getpid()),
    ) as pool:
        try:
            for done in as_completed([pool.submit(_render_scene, plan) for plan in plans]):
                progress(done.result())
        except BaseException as error:
            pool.shutdown(wait=False, cancel_futures=True)
            for worker in set(multiprocessing.active_children()) - before:
                worker.terminate()
            if isinstance(error, BrokenProcessPool):
                raise DataError(
                    "a worker died, most likely for want of memory; run the same command again "
                    "with fewer --workers; finished scenes are kept"
                ) from error
            raise


def _differing(settings: object, others: object) -> str:
    """Those settings that others lack or have otherwise, as words."""
    if not isinstance(settings, dict):
        return "no settings"
    theirs = others if isinstance(others, dict) else {}
    missing = object()
    found = {k: v for k, v in settings.items() if theirs.get(k, missing) != v}
    return (
        ", ".join(
            f"{key} {', '.join(value) if isinstance(value, list) else value}"
            for key, value in found.items()
        )
        or "these settings"
    )

# SPDX-License-Identifier: Apache-2.0
"""What a user may choose about engines."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from mtinet_ros.errors import ConfigurationError


@dataclass(frozen=True)
class EngineSettings:
    """A user's choices about engines; the same choices find the same engine again.

    Attributes:
        cache_dir: Folder for engines; empty: `$XDG_CACHE_HOME/mtinet_ros`.
        workspace_mb: Most scratch memory of a layer in MiB; 0: TensorRT's own limit.
        optimal_batch: Batch to tune for, 1..max_batch; 0: 1, and an engine that is there serves
            whatever it was tuned for.
        hardware_compatible: `tensorrt`: run on any GPU from Ampere on, at some speed.
        version_compatible: `tensorrt`: run on newer TensorRT versions of the same major. An
            engine that does serves those who did not ask for it, too.
        compute_capabilities: `tensorrt_rtx`: GPU generations to build for; empty: all it knows
            from Ampere on.
        largest_batch: Largest batch to build for, where fewer images will be asked for at a time;
            0: just those. So that one engine serves robots with any number of cameras.
        second_batch: Number of cameras to tune a second optimization profile for, which serves
            just that batch; 0: no wish. Building takes about twice as long.
        optimization_level: How hard the builder searches, 0 to 5; None: no wish, and TensorRT's
            own (3) if an engine is built.
    """

    cache_dir: str = ""
    workspace_mb: int = 0
    optimal_batch: int = 0
    hardware_compatible: bool = False
    version_compatible: bool = False
    compute_capabilities: tuple[str, ...] = ()
    largest_batch: int = 0
    second_batch: int = 0
    optimization_level: int | None = None

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ConfigurationError: Naming the setting, its value and what is allowed.
        """
        if not 0 <= self.workspace_mb <= 1 << 20:
            raise ConfigurationError(
                f"workspace_mb is {self.workspace_mb}; allowed: 0 (TensorRT's own limit) to "
                f"{1 << 20} MiB"
            )
        for name in ("optimal_batch", "largest_batch", "second_batch"):
            value = getattr(self, name)
            if value < 0:
                raise ConfigurationError(f"{name} is {value}; allowed: 0 (no wish) to max_batch")
        if self.optimization_level is not None and not 0 <= self.optimization_level <= 5:
            raise ConfigurationError(
                f"optimization_level is {self.optimization_level}; allowed: 0 (quickest build) to "
                "5 (longest search)"
            )

    @property
    def folder(self) -> Path:
        """Where engines lie."""
        if self.cache_dir:
            return Path(self.cache_dir).expanduser().absolute()
        # freedesktop.org, XDG Base Directory: a relative path there is to be ignored.
        base = Path(os.environ.get("XDG_CACHE_HOME", ""))
        try:
            return (base if base.is_absolute() else Path.home() / ".cache") / "mtinet_ros"
        except RuntimeError as error:
            raise ConfigurationError(
                "this user has no home folder to keep engines in; set engine_cache_dir"
            ) from error

# SPDX-License-Identifier: Apache-2.0
"""How long a run takes here, and what it would take elsewhere: the text of a dry run."""

from __future__ import annotations

from dataclasses import dataclass

from mtinet_ros.training.dry_run import DryRun


@dataclass(frozen=True)
class Accelerator:
    """A GPU, by what its maker publishes.

    Attributes:
        name: Of the model.
        teraflops: Peak of float32 without tensor cores.
        gigabytes: Of memory.
    """

    name: str
    teraflops: float
    gigabytes: int


# From NVIDIA's data sheets.
ACCELERATORS = (
    Accelerator("Tesla T4", 8.1, 16),
    Accelerator("Tesla V100 SXM2", 15.7, 32),
    Accelerator("GeForce RTX 3090", 35.6, 24),
    Accelerator("GeForce RTX 4090", 82.6, 24),
    Accelerator("A100 SXM", 19.5, 80),
    Accelerator("H100 SXM", 67.0, 80),
)
_SUSTAINED = (0.05, 0.3)
"""Shares of the peak that many small convolutions may be expected to reach; assumed."""
_WORKSPACE = 1.25
"""Of what is kept for the backward pass, with what passes and what lies between; assumed."""
_CONTEXT_BYTES = 1e9
"""What a GPU's driver and libraries take before the first tensor; assumed."""
_BYTES_PER_PARAMETER = 16
"""Weight, gradient and the two moments of Adam in float32."""
_SENSIBLE_DAYS = 3.0
_GB = 1e9


def seconds_here(tried: DryRun) -> float:
    """Seconds of the whole run on this machine, without validation and checkpoints.

    A smaller step than asked for is scaled by its frames. Loader processes work beside the
    training; without them, loading comes on top.
    """
    frames = tried.batch_size
    compute = tried.step.seconds * frames / tried.step.frames
    loading = tried.step.loading * frames
    if tried.workers:
        return tried.steps * max(compute, loading / tried.workers)
    return tried.steps * (compute + loading)


def bytes_needed(tried: DryRun) -> float:
    """Memory of a GPU for the whole batch in float32, as assumed above."""
    kept = tried.network.kept * tried.batch_size
    return kept * _WORKSPACE + tried.network.parameters * _BYTES_PER_PARAMETER + _CONTEXT_BYTES


def hours_elsewhere(tried: DryRun, accelerator: Accelerator) -> tuple[float, float]:
    """Least and most hours on one accelerator, by arithmetic alone."""
    flop = tried.network.flop * tried.batch_size * tried.devices * tried.steps
    at_peak = flop / (accelerator.teraflops * 1e12) / 3600
    return at_peak / _SUSTAINED[1], at_peak / _SUSTAINED[0]


def to_text(tried: DryRun) -> str:
    """What was found out, for a person."""
    return "\n".join([*_data_lines(tried), *_step_lines(tried), *_run_lines(tried)])


def _data_lines(tried: DryRun) -> list[str]:
    lines = ["data"]
    for look in tried.sources:
        rows, columns = look.size
        lines.append(
            f"  {look.name} ({look.kind}): {look.training} frames to train on, "
            f"{look.validation} to validate on, {rows}x{columns}; truth for "
            f"{', '.join(look.tasks)}; {look.looks} of each read"
        )
    return lines


def _step_lines(tried: DryRun) -> list[str]:
    network, step = tried.network, tried.step
    trained = (
        "" if network.trained == network.parameters else f", {network.trained:,} of them trained"
    )
    free = "" if step.available is None else f", of {step.available / _GB:.1f} GB free before"
    fewer = (
        f"; {tried.batch_size} do not fit into the memory here"
        if step.frames < tried.batch_size
        else ""
    )
    return [
        "network",
        f"  {network.architecture}: {network.parameters:,} parameters{trained}",
        f"  a frame of training takes {network.flop / 1e9:,.1f} GFLOP and keeps "
        f"{network.kept / _GB:.2f} GB for the backward pass",
        f"one step, on {step.device} in {step.precision}",
        f"  {step.frames} frames{fewer}: {step.seconds:.2f} s, total loss {step.loss:.4g}",
        f"  {step.loading:.3f} s to load a frame; {tried.workers} loader processes",
        f"  at most {step.peak / _GB:.2f} GB in use{free}",
    ]


def _run_lines(tried: DryRun) -> list[str]:
    here = seconds_here(tried)
    needed = bytes_needed(tried)
    lines = [
        "the run",
        f"  {tried.steps} steps of {tried.batch_size * tried.devices} frames: about "
        f"{duration(here)} here, without validation; "
        + (
            "that is sensible here"
            if here <= _SENSIBLE_DAYS * 86400 and tried.step.frames == tried.batch_size
            else "this is the wrong machine for it"
        ),
        f"elsewhere, by arithmetic: float32 at {_SUSTAINED[0]:.0%} to {_SUSTAINED[1]:.0%} of the "
        "published peak, loading that keeps up; none of it was measured",
        f"  a batch of {tried.batch_size} is assumed to need {needed / _GB:.1f} GB",
    ]
    for accelerator in ACCELERATORS:
        least, most = hours_elsewhere(tried, accelerator)
        fits = accelerator.gigabytes * _GB >= needed
        lines.append(
            f"  {accelerator.name}, {accelerator.gigabytes} GB: "
            + (
                f"{duration(least * 3600)} to {duration(most * 3600)}"
                if fits
                else "too little memory"
            )
        )
    return lines


def duration(seconds: float) -> str:
    """A time as people say it.

    >>> duration(42), duration(5400), duration(200000)
    ('42 s', '1.5 h', '2.3 days')
    """
    for unit, length, least in (("days", 86400, 2.0), ("h", 3600, 1.0), ("min", 60, 1.5)):
        if seconds >= least * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"

# SPDX-License-Identifier: Apache-2.0
"""`mtinet process`: run a model on bags, videos and pictures, without ROS and without a drop."""

from __future__ import annotations

import argparse
import contextlib
import functools
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mtinet_ros import __version__
from mtinet_ros.cli.options import cpu_settings
from mtinet_ros.cli.process_options import (
    DEFAULT_MAX_BATCH,
    add_arguments,
    check_numbers,
    decisive,
    output_options,
    source_options,
)
from mtinet_ros.errors import ConfigurationError, InputError
from mtinet_ros.inference import Backend, GpuSettings, load_backend
from mtinet_ros.install_paths import bundled_model
from mtinet_ros.model_card import read_model_card
from mtinet_ros.offline.fingerprint import about_files, about_model
from mtinet_ros.offline.inputs import Input, group_inputs
from mtinet_ros.offline.journal import Tally
from mtinet_ros.offline.merge import merge_shards, sibling_outputs
from mtinet_ros.offline.outputs import (
    OutputOptions,
    check_videos,
    open_sink,
    open_sink_again,
    output_paths,
    wanted_of_model,
)
from mtinet_ros.offline.parts import PartLimits
from mtinet_ros.offline.run import Outcome, RunSettings, Target, process_recording
from mtinet_ros.offline.shards import Shard
from mtinet_ros.offline.state import check_output
from mtinet_ros.offline.stopping import Stopping
from mtinet_ros.offline.times import TimePoint, choose_interval, parse_time
from mtinet_ros.perception.predictor import Predictor
from mtinet_ros.recordings.frame import Source
from mtinet_ros.recordings.open import SourceOptions, check_options, open_source

__all__ = ["add_arguments", "run"]

# Frames and problems of a recording that are told one by one.
_TOLD = 5

# Seconds after which it is said why nothing happens yet.
_PATIENCE = 5.0


def run(arguments: argparse.Namespace) -> int:
    """Process each recording, or merge shards.

    Returns:
        0; 1 if some frames or recordings could not be read, or a run ended early: they are
        named, the others done; 130 after Ctrl-C and 143 after SIGTERM, with valid output.
    """
    if arguments.merge:
        return _merge(arguments)
    shard = Shard.parse(arguments.shard)
    start, end = (
        parse_time(f"--{name}", text) if (text := getattr(arguments, name)) else None
        for name in ("start", "end")
    )
    check_numbers(arguments)
    inputs = group_inputs(arguments.inputs)
    options = output_options(arguments, inputs)
    sources = source_options(arguments)
    advice = "leave it out" if len(inputs) == 1 else "leave one of the two out"
    for item in inputs:  # before the first of them has taken hours
        check_options(item.paths[0], item.kind, sources, advice)
    paths = output_paths(arguments.output, inputs, options.format)
    for target in paths:
        check_output(target, options.is_file, shard, arguments.resume)
    model = arguments.model or bundled_model()
    wanted = wanted_of_model(read_model_card(model), options)
    settings = RunSettings(
        wanted,
        every=arguments.every,
        keep_other_messages=arguments.keep_input,
        shard=shard,
        resume=arguments.resume,
        max_batch=arguments.max_batch,
        limits=PartLimits(arguments.part_seconds),
    )
    with contextlib.ExitStack() as opened:
        # What is wrong with a single one shall not be said only when the network is loaded.
        first = _open(inputs[0], sources) if len(inputs) == 1 else None
        if first is not None:
            opened.callback(first.close)
            if options.is_file:
                check_videos(paths[0], [camera.name for camera in first.cameras])
        backend = load_backend(
            model,
            arguments.backend,
            max_batch=arguments.max_batch or DEFAULT_MAX_BATCH,
            cpu=cpu_settings(arguments),
            gpu=GpuSettings(fits_images=arguments.fit_on_gpu),
        )
        opened.callback(backend.close)
        print(
            f"{backend.card.name} in {backend.name} on {backend.device}: {backend.precision}",
            flush=True,
        )
        plan = _Plan(arguments, sources, options, settings, (start, end), backend, model)
        return plan.carry_out(list(zip(inputs, paths, strict=True)), first)


def _open(item: Input, options: SourceOptions) -> Source:
    """Open a recording; say so if that takes long."""
    waiting = threading.Timer(
        _PATIENCE,
        print,
        [
            f"{item.name} is still being opened: without an index, or compressed as a whole, it "
            "is read through first"
        ],
        {"file": sys.stderr, "flush": True},
    )
    waiting.daemon = True
    waiting.start()
    try:
        return open_source(item.paths, options)
    finally:
        waiting.cancel()


class _Plan:
    """What is done with each recording of a command."""

    def __init__(
        self,
        arguments: argparse.Namespace,
        sources: SourceOptions,
        options: OutputOptions,
        settings: RunSettings,
        times: tuple[TimePoint | None, TimePoint | None],
        backend: Backend,
        model: Path,
    ) -> None:
        self._sources = sources
        self._options = options
        self._settings = settings
        self._times = times
        self._card = backend.card
        self._predictor = Predictor(backend, arguments.fit)
        self._decides = {
            "mtinet_ros": __version__,
            "model": f"{backend.card.name} {about_model(model)}",
            "backend": f"{backend.name} {backend.precision}".strip(),
            **decisive(arguments, options),
        }

    def carry_out(self, work: Sequence[tuple[Input, Path]], first: Source | None) -> int:
        """Process one recording after the other; the exit status.

        Args:
            work: Recordings, and where their results go.
            first: The first one, where it is open already.
        """
        has_failures = False
        siblings = [target.name for _, target in work] if len(work) > 1 else []
        with Stopping() as stopping:
            for item, target in work:
                try:
                    source, first = first or _open(item, self._sources), None
                    outcome = self._process(source, item, target, siblings, stopping)
                except InputError as error:
                    if len(work) == 1:
                        raise
                    print(f"mtinet process: {error}", file=sys.stderr)
                    has_failures = True
                    continue
                has_failures |= _tell(target, outcome, self._settings.shard)
                if stopping.signal and not outcome.is_complete:
                    _tell_of_resuming(target)
                    return 128 + stopping.signal
                if stopping.signal and (item, target) != work[-1]:
                    _tell_of_resuming(target.parent)
                    return 128 + stopping.signal
                if outcome.problem:
                    print(f"mtinet process: {outcome.problem}", file=sys.stderr)
                    _tell_of_resuming(target)
                    return 1
        if self._card.untrained:
            print(f"Note: the weights of {self._card.name} are random; the results mean nothing.")
        return int(has_failures)

    def _process(
        self,
        source: Source,
        item: Input,
        target: Path,
        siblings: Sequence[str],
        stopping: Stopping,
    ) -> Outcome:
        with contextlib.closing(source):
            if self._options.is_file:
                check_videos(target, [camera.name for camera in source.cameras])
            settings = replace(
                self._settings, chosen=choose_interval(*self._times, source.interval(), item.name)
            )
            description = self._options.describe(self._card)
            return process_recording(
                source,
                lambda: open_sink(target, self._card, self._options),
                self._predictor,
                Target(
                    item.name,
                    target,
                    self._options.is_file,
                    {**description, "siblings": list(siblings)},
                ),
                settings,
                {**self._decides, "input": about_files(item.paths), "cameras": _cameras(source)},
                stopping.is_asked,
            )


def _merge(arguments: argparse.Namespace) -> int:
    if arguments.inputs:
        raise ConfigurationError(
            f"--merge takes no IN, and {arguments.inputs[0]} is given; what the shards were made "
            "from is in OUT"
        )
    has_failures = False
    for output, is_file in sibling_outputs(arguments.output):
        tally = merge_shards(output, is_file, functools.partial(open_sink_again, output))
        has_failures |= _tell(output, Outcome(tally, is_complete=True), Shard())
    return int(has_failures)


def _cameras(source: Source) -> str:
    return ", ".join(f"{camera.name} {camera.frames}" for camera in source.cameras)


def _tell(target: Path, outcome: Outcome, shard: Shard) -> bool:
    """Say what became of a recording; whether something is wrong with it."""
    tally = outcome.tally
    part = f", shard {shard}" if shard.count > 1 else ""
    state = " already" if outcome.was_complete else "" if outcome.is_complete else " so far"
    print(f"{target}{part}: {tally.frames} frames{state}", flush=True)
    _tell_failures(tally)
    if not tally.frames and outcome.is_complete and shard.count == 1:
        print(f"mtinet process: {target}: there were no frames to process", file=sys.stderr)
        return True
    return bool(tally.failed or tally.damage or tally.has_losses)


def _tell_failures(tally: Tally) -> None:
    sentences = [*tally.problems[:_TOLD], *tally.examples[:_TOLD]]
    sentences += [tally.damage] if tally.damage else []
    if tally.failed:
        count = f"{tally.failed} of {tally.failed + tally.frames} frames could not be read"
        more = tally.failed - min(_TOLD, len(tally.examples))
        sentences.append(f"{count}, as said above" + (f", and {more} more" if more else ""))
    for sentence in sentences:
        print(f"mtinet process: {sentence}", file=sys.stderr)


def _tell_of_resuming(target: Path) -> None:
    print(
        f"mtinet process: stopped, and {target} is whole as far as it goes; the same command "
        "with --resume goes on",
        file=sys.stderr,
        flush=True,
    )

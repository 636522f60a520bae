# SPDX-License-Identifier: Apache-2.0
"""`mtinet build`: compile a model into an engine that the node will find."""

from __future__ import annotations

import argparse
import logging
import sys

from mtinet_ros.cli.options import model_or_name, path_text
from mtinet_ros.inference import EngineSettings, build_engine
from mtinet_ros.model_card import read_model_card

_BAR = 30


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; defaults are the node's, so that it finds what is built here."""
    parser.add_argument("model", type=model_or_name, help="ONNX model with a card")
    parser.add_argument(
        "--backend",
        choices=("auto", "tensorrt", "tensorrt_rtx"),
        default="auto",
        help="auto: tensorrt, or else tensorrt_rtx",
    )
    parser.add_argument("--max-batch", type=int, default=8, help="largest batch (default 8)")
    parser.add_argument(
        "--optimal-batch",
        type=int,
        default=0,
        help="batch to tune for (default: 1, and an engine that is there serves, whatever it was "
        "tuned for)",
    )
    parser.add_argument(
        "--second-batch",
        type=int,
        default=0,
        metavar="N",
        help="also tune for just this batch, say the number of cameras (builds twice as long)",
    )
    parser.add_argument(
        "--optimization-level",
        type=int,
        metavar="0-5",
        help="how hard to search for fast kernels (default: TensorRT's own, 3)",
    )
    parser.add_argument("--device-id", type=int, default=0, help="tensorrt: GPU to build on")
    parser.add_argument(
        "--workspace-mb", type=int, default=0, help="most scratch memory of a layer; 0: no limit"
    )
    parser.add_argument(
        "--engine-cache-dir",
        type=path_text,
        default="",
        metavar="FOLDER",
        help="where engines are kept (default: $XDG_CACHE_HOME/mtinet_ros)",
    )
    parser.add_argument(
        "--hardware-compatible",
        action="store_true",
        help="tensorrt: run on any GPU from Ampere on, at some speed",
    )
    parser.add_argument(
        "--version-compatible",
        action="store_true",
        help="tensorrt: run on newer TensorRT versions of the same major",
    )
    parser.add_argument(
        "--compute-capability",
        action="append",
        default=[],
        metavar="X.Y",
        help="tensorrt_rtx: GPU generation to build for; may be given several times",
    )


def run(arguments: argparse.Namespace) -> int:
    """Build, or find that there is nothing to build; Ctrl-C stops the builder cleanly."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    settings = EngineSettings(
        cache_dir=arguments.engine_cache_dir,
        workspace_mb=arguments.workspace_mb,
        optimal_batch=arguments.optimal_batch,
        second_batch=arguments.second_batch,
        optimization_level=arguments.optimization_level,
        hardware_compatible=arguments.hardware_compatible,
        version_compatible=arguments.version_compatible,
        compute_capabilities=tuple(arguments.compute_capability),
    )
    bar = _ProgressBar()
    try:
        engine = build_engine(
            arguments.model,
            arguments.backend,
            arguments.max_batch,
            device_id=arguments.device_id,
            engine=settings,
            progress=bar.show,
        )
    finally:
        bar.end()
    identity, network = engine.sidecar["identity"], engine.sidecar["network"]
    profiles = [identity["batch_profile"], identity.get("second_profile")]
    print(engine.path)
    print(
        f"  {len(engine.content) / 1e6:.1f} MB, {network['layers']} layers, "
        f"{read_model_card(arguments.model).stated_precision}, "
        f"batch {' and '.join(str(profile) for profile in profiles if profile)}"
    )
    print(f"  {identity['edition']} {identity['tensorrt_version']} for {_target(identity)}")
    if engine.was_built:
        print(f"  built in {engine.sidecar['build_seconds']} s")
    else:
        print("  was there already and fits")
    return 0


def _target(identity: dict[str, dict[str, str]]) -> str:
    return ", ".join(f"{key} {value}" for key, value in identity["target"].items())


class _ProgressBar:
    """One line that is rewritten on a terminal; nothing elsewhere.

    By hand, because a robot builds its engines itself and has no tqdm (extra `train`), whose rate
    and time left would mislead besides: no two phases of TensorRT take equally long.
    """

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._shown = False

    def show(self, phase: str, share: float) -> None:
        if self._is_terminal:
            done = round(share * _BAR)
            bar = "#" * done + "." * (_BAR - done)
            print(f"\r[{bar}] {share:4.0%} {phase[:40]:<40}", end="", file=sys.stderr, flush=True)
            self._shown = True

    def end(self) -> None:
        if self._shown:
            print("\r\033[K", end="", file=sys.stderr, flush=True)

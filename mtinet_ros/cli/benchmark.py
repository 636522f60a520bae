# SPDX-License-Identifier: Apache-2.0
"""`mtinet benchmark`: where the time of a frame goes, stage by stage, on this machine."""

from __future__ import annotations

import argparse

from mtinet_ros.cli.options import (
    add_cpu_arguments,
    cpu_settings,
    model_or_name,
    path,
    path_text,
)
from mtinet_ros.errors import ConfigurationError
from mtinet_ros.inference import BACKEND_CHOICES
from mtinet_ros.install_paths import bundled_model
from mtinet_ros.model_card import read_model_card
from mtinet_ros.output_files import ResultFolder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "model",
        nargs="?",
        type=model_or_name,
        help="ONNX model with a card (default: the bundled one)",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--backend", choices=BACKEND_CHOICES, default="auto", help="what to time (default: auto)"
    )
    which.add_argument(
        "--compare", action="store_true", help="time every backend, side by side, each in turn"
    )
    parser.add_argument("--batch", type=int, default=1, help="images per run (default 1)")
    parser.add_argument("--frames", type=int, default=50, help="runs to time (default 50)")
    parser.add_argument(
        "--camera-size", default="480x640", metavar="HxW", help="of the images (default 480x640)"
    )
    add_cpu_arguments(parser)
    parser.add_argument("--device-id", type=int, default=0, help="CUDA device")
    parser.add_argument("--engine-cache-dir", type=path_text, default="", metavar="FOLDER")
    parser.add_argument(
        "-o", "--output", type=path, metavar="FOLDER", help="write benchmark.json and .png there"
    )


def run(arguments: argparse.Namespace) -> int:
    """Time, print the table, and write JSON and plot if asked."""
    from mtinet_ros.benchmark.comparison import compare, draw_plot, format_table
    from mtinet_ros.benchmark.stages import Request
    from mtinet_ros.image_files import png_bytes

    for name in ("batch", "frames"):
        if getattr(arguments, name) < 1:
            raise ConfigurationError(f"--{name} is {getattr(arguments, name)}; at least 1")
    cpu_settings(arguments)  # refused before the work
    results = None
    if arguments.output is not None:
        results = ResultFolder(arguments.output)
        results.check(("benchmark.json", "benchmark.png"))
    model = arguments.model or bundled_model()
    card = read_model_card(model)
    if arguments.batch > card.max_batch:
        raise ConfigurationError(
            f"--batch is {arguments.batch}; {card.name} takes 1 to {card.max_batch}"
        )
    backends = BACKEND_CHOICES[1:] if arguments.compare else (arguments.backend,)
    comparison = compare(
        [
            Request(
                str(model),
                backend,
                arguments.batch,
                arguments.frames,
                _size(arguments.camera_size),
                arguments.device_id,
                arguments.engine_cache_dir,
                arguments.cpu_precision,
                arguments.cpu_threads,
            )
            for backend in backends
        ],
        card,
    )
    print(format_table(comparison))
    if results is not None:
        results.write("benchmark.json", comparison.to_json().encode())
        results.write("benchmark.png", png_bytes(draw_plot(comparison)))
        print(f"\nwritten: {arguments.output}/benchmark.json and benchmark.png")
    return 0 if any("stages" in result for result in comparison.results) else 1


def _size(text: str) -> tuple[int, int]:
    height, _, width = text.lower().partition("x")
    if not (height.isdigit() and width.isdigit() and int(height) and int(width)):
        raise ConfigurationError(f"--camera-size is {text!r}; give height x width, e.g. 480x640")
    return int(height), int(width)

# SPDX-License-Identifier: Apache-2.0
"""`mtinet data`: check folders of data sets, and write NYU Depth V2 in its other layout."""

from __future__ import annotations

import argparse

from mtinet_ros.cli.options import path
from mtinet_ros.errors import ConfigurationError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Sub-commands and their options."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    convert = actions.add_parser(
        "convert",
        help="write NYUD_MT from the compact layout, or the other way round",
        description="Write the layout NYUD_MT from the compact one (normals and edges are made), "
        "or the other way round; which one is there is found out. Cut off, it goes on.",
    )
    convert.add_argument("source", type=path, metavar="SRC", help="folder of one of the layouts")
    convert.add_argument(
        "-o", "--output", type=path, metavar="DIR", required=True, help="folder to make"
    )
    convert.add_argument(
        "--hold-out",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="list about that share of the training frames as val instead, whole scenes (0)",
    )
    convert.add_argument(
        "--to",
        choices=("nyud_mt", "compact"),
        help="refuse a folder that would be written in the other layout",
    )
    check = actions.add_parser(
        "check",
        help="read every frame of a folder, say what is in it and what is wrong",
        description="Read every frame of a folder of rendered rooms, NYU Depth V2 (either "
        "layout), PASCAL_MT or UrbanLF (its folder Real or Syn); say what is in it, and what is "
        "wrong, file by file. Ends with status 1 where something is wrong.",
    )
    check.add_argument("folder", type=path, metavar="DIR")
    check.add_argument(
        "--kind",
        choices=("rooms", "nyud", "pascal", "urbanlf"),
        default="",
        help="of data set (default: what the folder holds)",
    )
    check.add_argument(
        "-o", "--output", type=path, metavar="DIR", help="also write report and contact sheets"
    )


def run(arguments: argparse.Namespace) -> int:
    """Convert or check.

    Returns:
        0; 1 where a check finds something wrong.
    """
    from tqdm import tqdm

    if arguments.action == "convert":
        from mtinet_ros.datasets.nyud_conversion import convert, plan_conversion

        plan = plan_conversion(arguments.source, arguments.output, arguments.hold_out)
        layout = "compact" if plan.to_compact else "NYUD_MT"
        if arguments.to not in (None, layout.lower()):
            raise ConfigurationError(
                f"{arguments.source} has the layout {arguments.to} already; use it as it is"
            )
        with tqdm(total=plan.frames, unit="frame") as bar:
            counts = convert(plan, bar.update)
        frames = ", ".join(f"{count} {split}" for split, count in counts.items())
        print(f"{layout} layout in {arguments.output}: {frames}; truth: {', '.join(plan.tasks)}")
        return 0
    from mtinet_ros.datasets.check import check, count_frames
    from mtinet_ros.datasets.sources import find_kind

    kind = arguments.kind or find_kind(arguments.folder)
    if kind == "rooms":
        return _check_rooms(arguments)
    with tqdm(total=count_frames(arguments.folder, kind), unit="frame") as bar:
        report = check(arguments.folder, arguments.output, bar.update, kind=kind)
    print(report.text())
    return 1 if report.failures else 0


def _check_rooms(arguments: argparse.Namespace) -> int:
    """As `mtinet scenes --check`, whose report lies in the folder itself."""
    from mtinet_ros.scenes.storage.check import check

    if arguments.output is not None:
        raise ConfigurationError(
            f"{arguments.folder} holds rendered rooms, whose report is written there; leave out "
            "--output"
        )
    report = check(arguments.folder)
    print(report.text())
    return 1 if report.failures else 0

# SPDX-License-Identifier: Apache-2.0
"""Tables (Markdown) and plots of what was measured, for build/bench and for the documentation."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.node_speed.aims import aims
from benchmarks.node_speed.measurements import IMAGES, OUTPUTS, Record
from benchmarks.node_speed.pictures import ROOT
from benchmarks.node_speed.summary import Row, failures, median, ratio, select
from mtinet_ros.output_files import replace_file

PAGE = ROOT / "docs/performance.md"
MARKS = ("<!-- begin of what `make bench` writes -->", "<!-- end of what `make bench` writes -->")
PLOT = "node_speed.png"
NAMES = {
    "ours": "this node",
    "plain": "plain node",
    "plain_profile": "plain node, our transport profile",
}
_SIZES = {480: "640×480", 720: "1280×720"}


def write_report(records: Mapping[str, Record], folder: Path) -> bool:
    """Write report.md and the plot; returns whether something failed."""
    rows = {name: record.rows for name, record in records.items()}
    parts = [machine_lines(records), aims_table(rows)]
    tables = {
        "latency": (overhead_table, real_table),
        "ceiling": (ceiling_table,),
        "outputs": (output_table,),
    }
    failed = []
    for name, record in records.items():
        if record.rows:
            parts += [table(record.rows) for table in tables[name]]
            failed += failures(record.rows)
    if failed:
        parts.append("Failed, and in no median:\n\n" + "\n".join(f"- {text}" for text in failed))
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(folder / "report.md", "\n\n".join(parts) + "\n")
    draw(rows, folder / PLOT)
    return bool(failed)


def document(folder: Path) -> None:
    """Put the report into the documentation, between its marks, and the plot beside it."""
    before, rest = PAGE.read_text().split(MARKS[0])
    _, after = rest.split(MARKS[1])
    report = (folder / "report.md").read_text().strip()
    replace_file(PAGE, f"{before}{MARKS[0]}\n\n{report}\n\n{MARKS[1]}{after}")
    shutil.copyfile(folder / PLOT, PAGE.parent / PLOT)


def aims_table(rows: Mapping[str, Sequence[Row]]) -> str:
    """What is meant to be reached, and what was."""
    ceiling = [row for row in rows["ceiling"] if row.get("contestant") == "ours"]
    ceilings = {
        cameras: best
        for cameras in sorted({row["cameras"] for row in ceiling})
        if (best := best_rate(select(ceiling, cameras=cameras))) is not None
    }
    return "**Aims**, with the null backend, over all numbers of cameras:\n\n" + table(
        ["aim", "measured", "reached"], aims(rows, ceilings)
    )


def machine_lines(records: Mapping[str, Record]) -> str:
    """A paragraph about the machine."""
    machine = next(iter(records.values())).machine
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    loads = ", ".join(f"{r.machine['load_before']} before {n}" for n, r in records.items())
    turns = ", ".join(
        f"{len({row['round'] for row in r.rows if 'round' in row})} of {name}"
        for name, r in records.items()
    )
    return (
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB; load "
        f"{loads}. {machine['system']}, Python {machine['python']}, {packages}; "
        f"{machine['middleware']}, transport profile: {machine['transport']}. Revision "
        f"{machine['revision'] or 'unknown'}, {machine['at']}. Rounds: {turns}."
    )


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table.

    >>> print(table(["a", "b"], [["1", "2"]]))
    | a | b |
    |---|---|
    | 1 | 2 |
    """
    rows = [head, *lines]
    text = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([text[0], "|---" * len(head) + "|", *text[1:]])


def cell(value: float | None, digits: int = 1) -> str:
    """A number in a table; what has none has failed."""
    return "failed" if value is None else f"{value:.{digits}f}"


def spread(rows: Sequence[Row], key: str) -> str:
    """A median with the smallest and largest round, and frames without an answer."""
    good = [row for row in rows if key in row and not row.get("failure")]
    text = cell(median(rows, key))
    if len(good) > 1:
        text += f" ({min(row[key] for row in good):.1f}–{max(row[key] for row in good):.1f})"
    missing = sum(row["missing"] for row in good)
    if missing:
        text += f", {missing} of {sum(row['sent'] for row in good)} frames missing"
    return text


def settings(rows: Sequence[Row]) -> list[tuple[int, int]]:
    """(height, cameras) of all rows that have them, in order."""
    return sorted({(row["height"], row["cameras"]) for row in rows if "height" in row})


def overhead_table(rows: Sequence[Row]) -> str:
    """Null backend: latency is overhead."""
    null = [row for row in rows if row.get("is_null")]
    lines = []
    for height, cameras in settings(null):
        here = select(null, height=height, cameras=cameras)
        by_name = {name: select(here, contestant=name) for name in NAMES}
        ours = by_name["ours"]
        line = [_SIZES[height], str(cameras)]
        line += [spread(by_name[name], "latency_p50") for name in NAMES]
        for name in ("plain", "plain_profile"):
            line.append(cell(ratio(by_name[name], ours, "overhead_p50")))
        line += [cell(median(by_name[name], "cpu_ms")) for name in NAMES]
        lines.append(line)
    head = ["camera", "cameras", *(f"{name}, ms" for name in NAMES.values())]
    head += ["plain / this", "plain with profile / this"]
    head += [f"CPU ms, {name}" for name in ("this", "plain", "plain with profile")]
    return (
        "**Null backend**: milliseconds from a frame's stamp to the last of three images (p50 of "
        "a round; median of the rounds, smallest and largest); the node's CPU time per frame.\n\n"
        + table(head, lines)
    )


def real_table(rows: Sequence[Row]) -> str:
    """The real model: latency, and what of it is not inference."""
    real = [row for row in rows if row.get("is_null") is False]
    lines = []
    for height, cameras in settings(real):
        here = select(real, height=height, cameras=cameras)
        ours, plain = (select(here, contestant=name) for name in ("ours", "plain"))
        lines.append(
            [
                _SIZES[height],
                str(cameras),
                cell(median(ours, "latency_p50"), 0),
                cell(median(ours, "inference_p50"), 0),
                spread(ours, "overhead_p50"),
                cell(median(plain, "latency_p50"), 0),
                cell(median(plain, "inference_p50"), 0),
                spread(plain, "overhead_p50"),
                cell(ratio(plain, ours, "overhead_p50")),
            ]
        )
    backends = sorted({f"{NAMES[row['contestant']]}: {row['backend']}" for row in real})
    head = ["camera", "cameras"]
    head += [
        f"{name} {what}, ms"
        for name in ("this:", "plain:")
        for what in ("latency", "inference", "overhead")
    ]
    return (
        f"**Real model** ({'; '.join(backends)}), p50 of a round, median of the rounds. Overhead "
        "is the part of a frame's latency in which no inference was under way.\n\n"
        + table([*head, "overheads, plain / this"], lines)
    )


def ceiling_table(rows: Sequence[Row]) -> str:
    """The most frames answered per second."""
    lines = []
    for cameras in sorted({row["cameras"] for row in rows if "cameras" in row}):
        line = [str(cameras)]
        for name in ("ours", "plain"):
            here = [r for r in rows if r.get("contestant") == name and r.get("cameras") == cameras]
            best = best_rate(here)
            top = max((row["offered"] for row in here), default=0.0)
            more = "≥ " if best is not None and best >= 0.95 * top else ""  # the ladder ends there
            line += [more + cell(best, 0), cell(_cpu_at_best(here, best), 1)]
        lines.append(line)
    head = ["cameras", "this node, frames/s", "CPU ms", "plain node, frames/s", "CPU ms"]
    return (
        "**Ceiling**: most frames answered per second (three images each, 640×480, all cameras "
        "together), null backend, over a ladder of offered rates; the node's CPU time per frame "
        "there. Cameras and subscriber share the cores.\n\n" + table(head, lines)
    )


def best_rate(rows: Sequence[Row]) -> float | None:
    """The highest median of answered rates over what was offered."""
    rates = [
        rate
        for offered in {row["offered"] for row in rows if "offered" in row}
        if (rate := median(select(rows, offered=offered), "answered_per_s")) is not None
    ]
    return max(rates) if rates else None


def _cpu_at_best(rows: Sequence[Row], best: float | None) -> float | None:
    for offered in {row["offered"] for row in rows if "offered" in row}:
        here = select(rows, offered=offered)
        if best is not None and median(here, "answered_per_s") == best:
            return median(here, "cpu_ms")
    return None


def output_table(rows: Sequence[Row]) -> str:
    """CPU time per frame by what is subscribed to."""
    choices = [(), *((output,) for output in OUTPUTS), IMAGES, OUTPUTS]
    names = ["nothing (frames are dropped)", *OUTPUTS, "the three images", "all of them"]
    nothing = median(_of(rows, ()), "cpu_ms")
    lines = []
    for name, outputs in zip(names, choices, strict=True):
        here = _of(rows, outputs)
        cpu = median(here, "cpu_ms")
        more = "" if cpu is None or nothing is None or not outputs else f"{cpu - nothing:+.2f}"
        latency = spread(here, "latency_p50") if outputs else ""
        lines.append([name, cell(cpu, 2), more, latency])
    return (
        "**Cost of an output**: one camera, 640×480, 20 Hz, null backend; what is subscribed to, "
        "the node's CPU time per frame, and the latency.\n\n"
        + table(["subscribed", "CPU ms", "over nothing", "ms to the last"], lines)
    )


def _of(rows: Sequence[Row], outputs: Sequence[str]) -> list[Row]:
    return [row for row in rows if row.get("outputs") == list(outputs)]


def draw(rows: Mapping[str, Sequence[Row]], path: Path) -> None:
    """Four panels: overhead by cameras, real latency, ceiling, outputs."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(2, 2, figsize=(11, 7.5), dpi=80, layout="constrained")
    _draw_overhead(panels[0, 0], rows["latency"])
    _draw_real(panels[0, 1], rows["latency"])
    _draw_ceiling(panels[1, 0], rows["ceiling"])
    _draw_outputs(panels[1, 1], rows["outputs"])
    figure.savefig(path)
    plt.close(figure)


def _draw_overhead(panel: Any, rows: Sequence[Row]) -> None:
    null = [row for row in rows if row.get("is_null")]
    for height, dash in ((480, "-"), (720, "--")):
        for name, color in zip(NAMES, ("C0", "C3", "C1"), strict=True):
            here = select(select(null, height=height), contestant=name)
            points = [
                (cameras, value)
                for cameras in sorted({row["cameras"] for row in here})
                if (value := median(select(here, cameras=cameras), "latency_p50")) is not None
            ]
            if points:
                label = f"{NAMES[name]}, {_SIZES[height]}"
                panel.plot(*zip(*points, strict=True), dash, marker="o", color=color, label=label)
    panel.axhline(6.0, color="gray", linewidth=0.8)
    panel.set(title="null backend: stamp to last image, p50", xlabel="cameras", ylabel="ms")
    panel.set_yscale("log")
    ticks = [4, 6, 10, 20, 40, 80]
    panel.set_yticks(ticks, [str(tick) for tick in ticks])
    panel.minorticks_off()
    panel.legend(fontsize=6, loc="center right")


def _draw_real(panel: Any, rows: Sequence[Row]) -> None:
    real = [row for row in rows if row.get("is_null") is False]
    labels = []
    for height, cameras in settings(real):
        for name in ("ours", "plain"):
            here = select(real, height=height, cameras=cameras, contestant=name)
            latency, overhead = median(here, "latency_p50"), median(here, "overhead_p50")
            if latency is not None and overhead is not None:
                place = len(labels)
                panel.barh(place, latency - overhead, color="C0" if name == "ours" else "C3")
                panel.barh(place, overhead, left=latency - overhead, color="black")
            labels.append(f"{cameras} × {_SIZES[height]} {'this' if name == 'ours' else 'plain'}")
    panel.set_yticks(range(len(labels)), labels, fontsize=7)
    panel.invert_yaxis()
    panel.set(title="real model: latency p50 (black: overhead)", xlabel="ms")


def _draw_ceiling(panel: Any, rows: Sequence[Row]) -> None:
    for name, dash in (("ours", "-"), ("plain", ":")):
        of_name = [row for row in rows if row.get("contestant") == name]
        for index, cameras in enumerate(sorted({row["cameras"] for row in of_name})):
            here = select(of_name, cameras=cameras)
            points = [
                (offered, value)
                for offered in sorted({row["offered"] for row in here})
                if (v := median(select(here, offered=offered), "answered_per_s")) is not None
                for value in (v,)
            ]
            if points:
                label = f"{NAMES[name]}, {cameras} camera{'s' if cameras > 1 else ''}"
                style = {"color": f"C{index}", "marker": ".", "label": label}
                panel.plot(*zip(*points, strict=True), dash, **style)
    panel.set(title="null backend: the ceiling", xlabel="frames/s offered", ylabel="answered")
    panel.legend(fontsize=7)


def _draw_outputs(panel: Any, rows: Sequence[Row]) -> None:
    names = [*OUTPUTS, "three images", "all"]
    choices = [*((output,) for output in OUTPUTS), IMAGES, OUTPUTS]
    nothing = median(_of(rows, ()), "cpu_ms") or 0.0
    values = [(median(_of(rows, choice), "cpu_ms") or nothing) - nothing for choice in choices]
    panel.barh(range(len(names)), values, color="C0")
    panel.set_yticks(range(len(names)), names, fontsize=7)
    panel.invert_yaxis()
    panel.set(title=f"CPU ms per frame over {nothing:.1f} for receiving it", xlabel="ms")

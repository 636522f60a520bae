# SPDX-License-Identifier: Apache-2.0
"""A report as one HTML page that needs nothing beside it."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path

import cv2

from mtinet_ros.model_contract import RGB
from mtinet_ros.training.evaluation_comparison import Comparison, comparison_tables
from mtinet_ros.training.evaluation_gallery import Exhibit, Shelf
from mtinet_ros.training.evaluation_report import Report
from mtinet_ros.training.evaluation_tables import (
    Table,
    class_table,
    confusion_shares,
    figure_tables,
    frame_facts,
    frame_table,
    headline,
    part_table,
)

JPEG_QUALITY = 85
_MARK = '<meta name="generator" content="mtinet evaluate">'
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 1100px;
  padding: 0 1em; color: #1c1c1c; background: #fff; }
h1 { font-size: 1.5em; } h2 { font-size: 1.2em; margin-top: 2em; }
table { border-collapse: collapse; margin: .6em 0; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: .3em 0; }
th, td { padding: .15em .6em; text-align: right; border-bottom: 1px solid #ddd; }
th:first-child, td:first-child { text-align: left; }
th { font-weight: 600; }
.scroll { overflow-x: auto; } .side { display: flex; flex-wrap: wrap; gap: 0 3em; }
.matrix td, .matrix th { padding: .15em .35em; font-size: 12px; border: 1px solid #eee; }
.matrix thead th { writing-mode: vertical-rl; text-align: left; }
.swatch { display: inline-block; width: .8em; height: .8em; margin-right: .4em;
  border: 1px solid #999; }
.note { color: #555; margin: .2em 0 .8em; } figure { margin: 1em 0; }
img { max-width: 100%; display: block; } figcaption { margin-bottom: .3em; }
"""


def report_page(report: Report, shelves: Sequence[Shelf]) -> str:
    """One report as a page: no script, no file beside it, all text escaped.

    Args:
        report: The figures.
        shelves: Frames to show; see `Gallery`.
    """
    return _page(headline(report), _body(report, shelves))


def comparison_page(
    comparison: Comparison, shelves: tuple[Sequence[Shelf], Sequence[Shelf]]
) -> str:
    """A comparison as a page: the differences, then both reports.

    Args:
        comparison: Both reports.
        shelves: Frames of each of both to show; empty where there are only figures.
    """
    sides = list(zip("AB", (comparison.a, comparison.b), shelves, strict=True))
    parts = [f"<p>{name}: {escape(headline(report))}</p>" for name, report, _ in sides]
    parts += [_table(table) for table in comparison_tables(comparison)]
    for name, report, shown in sides:
        parts.append(f"<h1>{name}: {escape(headline(report))}</h1>{_body(report, shown)}")
    return _page("Two models compared", "".join(parts))


def is_page(path: Path) -> bool:
    """Whether a file is a page of this module.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        return _MARK.encode() in file.read(1000)


def _page(title: str, body: str) -> str:
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">{_MARK}\n'
        # Even if some text came through unescaped, the page could load and run nothing.
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">\n"
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n"
        f"<body><h1>{escape(title)}</h1>\n{body}</body></html>\n"
    )


def _body(report: Report, shelves: Sequence[Shelf]) -> str:
    palette = report.data.palette if report.data else ()
    tables = "".join(_table(table) for table in figure_tables(report))
    parts = [_origin(report), f'<div class="side">{tables}</div>']
    classes = class_table(report)
    if classes is not None:
        parts += [_table(classes, palette), _matrix(report)]
    parts_of_people = part_table(report)
    if parts_of_people is not None:
        parts.append(_table(parts_of_people))
    frames = frame_table(report)
    if frames.rows:
        parts.append(_table(frames))
    parts += [_shelf(shelf, palette) for shelf in shelves if shelf.exhibits]
    return "\n".join(parts)


def _origin(report: Report) -> str:
    facts = []
    if report.model is not None:
        fingerprint = report.model.fingerprint or "none"
        facts.append(f"model {report.model.name}, fingerprint {fingerprint}")
        if report.model.precision:
            facts[0] += f", precision {report.model.precision}"
    if report.data is not None:
        facts.append(f"data {report.data.folder} ({report.data.kind}), split {report.data.split}")
    lines = (*facts, *(f"Note: {note}" for note in report.notes))
    return "".join(f'<p class="note">{escape(line)}</p>' for line in lines)


def _table(table: Table, palette: Sequence[RGB] = ()) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in table.header)
    rows = []
    for number, row in enumerate(table.rows):
        swatch = _swatch(palette[number]) if number < len(palette) else ""
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in row[1:])
        rows.append(f"<tr><td>{swatch}{escape(row[0])}</td>{cells}</tr>")
    note = f'<p class="note">{escape(table.note)}</p>' if table.note else ""
    return (
        f'<div class="scroll"><table><caption>{escape(table.title)}</caption><thead><tr>{head}'
        f"</tr></thead><tbody>{''.join(rows)}</tbody></table>{note}</div>\n"
    )


def _swatch(color: RGB) -> str:
    red, green, blue = color
    return f'<span class="swatch" style="background:rgb({red},{green},{blue})"></span>'


def _matrix(report: Report) -> str:
    names = report.class_names
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    rows = []
    for name, shares in zip(names, confusion_shares(report), strict=False):
        cells = "".join(_shaded(share) for share in shares)
        rows.append(f"<tr><th>{escape(name)}</th>{cells}</tr>")
    return (
        '<div class="scroll"><table class="matrix"><caption>Confusion, % of the true class (row) '
        f"taken for each (column)</caption><thead><tr><th></th>{head}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>\n"
    )


def _shaded(share: float) -> str:
    text = f"{100 * share:.0f}" if round(100 * share) else ""
    ink = "#fff" if share > 0.55 else "#1c1c1c"
    return f'<td style="background:rgba(24,90,157,{share:.2f});color:{ink}">{text}</td>'


def _shelf(shelf: Shelf, palette: tuple[RGB, ...]) -> str:
    figures = "".join(_figure(exhibit, palette) for exhibit in shelf.exhibits)
    return (
        f"<h2>{escape(shelf.title.capitalize())}</h2>"
        '<p class="note">Truth above; below what the model saw, in its picture wrong labels in '
        "red. Both depths of a frame have the same colors, near is bright. Black is unknown.</p>"
        f"{figures}\n"
    )


def _figure(exhibit: Exhibit, palette: tuple[RGB, ...]) -> str:
    montage = cv2.cvtColor(exhibit.montage(palette), cv2.COLOR_RGB2BGR)
    jpeg = cv2.imencode(".jpg", montage, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
    text = base64.b64encode(jpeg.tobytes()).decode("ascii")
    caption = escape(f"{exhibit.figures.name}: {frame_facts(exhibit.figures)}")
    return (
        f"<figure><figcaption>{caption}</figcaption>"
        f'<img alt="{caption}" src="data:image/jpeg;base64,{text}"></figure>'
    )

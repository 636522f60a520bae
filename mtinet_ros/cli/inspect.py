# SPDX-License-Identifier: Apache-2.0
"""`mtinet inspect`: all that an exported file says of itself, on one page."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

from mtinet_ros.cli.options import model_or_name
from mtinet_ros.model_card import UNVERIFIABLE

if TYPE_CHECKING:
    from mtinet_ros.export.inspection import Inspection
    from mtinet_ros.model_card import ModelCard


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("model", type=model_or_name, help="ONNX file made by `mtinet export`")
    parser.add_argument("--json", action="store_true", help="for programs: all of it as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print the page."""
    from mtinet_ros.export.inspection import inspect_model

    inspection = inspect_model(arguments.model)
    if arguments.json:
        record = asdict(inspection)
        record["card"]["precision"] = inspection.card.stated_precision
        print(json.dumps(record, ensure_ascii=False, indent=2))
    else:
        print("\n".join(_page(inspection)))
    return 0


def _page(inspection: Inspection) -> list[str]:
    lines = [
        f"{inspection.path}: {inspection.size_bytes / 1e6:.1f} MB, "
        f"{inspection.parameters / 1e6:.2f} M parameters, "
        f"{inspection.macs / 1e9:.2f} GMAC per picture"
        + (f" and {inspection.uncounted} operators uncounted" if inspection.uncounted else ""),
        "",
        *_card_lines(inspection.card),
        "",
        f"graph        opset {inspection.opset}, {inspection.nodes} nodes",
    ]
    names = [f"{name} {count}" for name, count in inspection.operators.items()]
    lines += [f"             {', '.join(names[i : i + 6])}" for i in range(0, len(names), 6)]
    lines += ["", f"{'part':<24} {'MMAC':>8} {'k param.':>9}  precision"]
    for part in inspection.parts:
        total = sum(part.macs.values())
        shares = ", ".join(
            name if count == total else f"{name} {count / total:.0%}"
            for name, count in sorted(part.macs.items())
        )
        lines.append(f"{part.name:<24} {total / 1e6:8.1f} {part.parameters / 1e3:9.1f}  {shares}")
    lines += ["", "accuracy of the graph"]
    accuracy = inspection.card.accuracy
    if inspection.card.modified:
        lines.append("  is unknown: another tool has changed the graph since it was measured")
    elif not inspection.card.is_verifiable:
        lines.append(f"  {UNVERIFIABLE}")
    if not accuracy and not inspection.card.modified:
        lines.append("  was not recorded")
    # The card is JSON that anybody may have written: what is no report is shown as it is.
    report = accuracy if isinstance(accuracy, Mapping) else {"report": accuracy}
    for name, value in report.items():
        text = f"{value:.6g}" if isinstance(value, float) else _joined(value)
        lines.append(f"  {name:<20} {text}")
    return lines


def _card_lines(card: ModelCard) -> list[str]:
    height, width = card.input_size
    depth = card.depth_kind
    if card.depth_range is not None:
        depth += f", {card.depth_range[0]:g} to {card.depth_range[1]:g} m"
    if card.focal_length is not None:
        depth += f", at a focal length of {card.focal_length:g} pixels"
    entries = {
        "name": f"{card.name}"
        + ("  (UNTRAINED: its answers mean nothing)" if card.untrained else ""),
        "tasks": ", ".join(card.tasks),
        "input": f"{height}x{width} RGB, {card.fit}, batches of 1 to {card.max_batch}",
        "precision": card.stated_precision + (", see the parts" if card.modified else ""),
        "license": card.license,
        "attribution": "; ".join(map(str, card.attribution)) or "none",
    }
    if "semseg" in card.tasks:
        entries["classes"] = f"{len(card.class_names)}: {_joined(card.class_names)}"
    if "depth" in card.tasks:
        entries["depth"] = depth
    if "normals" in card.tasks:
        entries["normals"] = card.normals_axes
    if card.has_confidence:
        entries["confidence"] = _confidence(card)
    entries |= _origin(card.training)
    return [f"{name:<12} {text}" for name, text in entries.items()]


def _confidence(card: ModelCard) -> str:
    """Whether the confidence can be believed, as far as the card says so in our way."""
    record = card.confidence
    text = f"temperature {record.get('temperature')}"
    errors = [record.get(key) for key in ("ece_before", "ece_after")]
    if not all(isinstance(error, float) for error in errors):
        return f"{text}, not calibrated"
    return (
        f"{text}, calibrated on {record.get('data')}, {record.get('frames')} frames: expected "
        f"calibration error {errors[0]:.3f} before, {errors[1]:.3f} after"
    )


# Figures as people read them: name, and how many digits after the point.
_FIGURES = {
    "semseg_miou": ("mIoU", ".3f", ""),
    "depth_rmse": ("RMSE", ".2f", " m"),
    "depth_abs_rel": ("abs. rel.", ".3f", ""),
    "depth_delta1": ("δ1", ".3f", ""),
    "normals_mean": ("normals", ".1f", "°"),
}


def _origin(training: Mapping[str, object]) -> dict[str, str]:
    """What data made the model and what was measured of it, as far as its card says in our way."""
    lines = {}
    data, figures = training.get("data"), training.get("figures")
    described = [
        f"{name} ({source.get('kind')}, {source.get('frames')} frames, {source['share']:.0%})"
        for name, source in (data.items() if isinstance(data, Mapping) else ())
        if isinstance(source, Mapping) and isinstance(source.get("share"), float)
    ]
    if described:
        lines["trained on"] = ", ".join(described)
    measured = [
        f"{name} ({values.get('frames')} frames): "
        + ", ".join(
            f"{title} {values[key]:{digits}}{unit}"
            for key, (title, digits, unit) in _FIGURES.items()
            if isinstance(values.get(key), float)
        )
        for name, values in (figures.items() if isinstance(figures, Mapping) else ())
        if isinstance(values, Mapping)
    ]
    if measured:
        lines["measured on"] = f"\n{'':13}".join(measured)
    return lines


def _joined(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(
            f"{k} {v:.6g}" if isinstance(v, float) else f"{k} {v or 'none'}"
            for k, v in value.items()
        )
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "none"
    return str(value)

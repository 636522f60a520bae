# SPDX-License-Identifier: Apache-2.0
"""The precision in which a CPU computes a model, and the sentence that says so."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from mtinet_ros.inference.cpu_settings import CpuSettings
from mtinet_ros.model_card import ModelCard

# Precision of arithmetic -> its name in a card.
_NAMES = {"f32": "fp32", "f16": "fp16", "bf16": "bf16"}


@dataclass(frozen=True)
class CpuPrecision:
    """A choice.

    Attributes:
        arithmetic: `f32`, `f16` or `bf16`, as OpenVINO spells them.
        warning: What the user should know of it; empty if nothing.
    """

    arithmetic: str
    warning: str = ""


def cpu_capabilities() -> tuple[str, ...]:
    """Arithmetic that OpenVINO has on this CPU, e.g. `FP32`, `BF16`; () without OpenVINO."""
    try:
        import openvino
    except ImportError:
        return ()
    return tuple(openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))


def choose_cpu_precision(
    card: ModelCard, settings: CpuSettings, capabilities: Collection[str]
) -> CpuPrecision:
    """Choose the arithmetic for a model.

    `auto` takes bf16 only where it is known to cost little: the card holds a passing report, and
    the graph is the one that was measured. The report is of the CPU's bf16, so a CPU that has
    fp16 computes an fp16 model in that.

    Args:
        card: The model's card.
        settings: What is asked for.
        capabilities: Arithmetic that the runtime has on this CPU, see `cpu_capabilities`.
    """
    has_bf16 = "BF16" in capabilities
    if settings.precision == "f32":
        return CpuPrecision("f32")
    if settings.precision == "bf16":
        if not has_bf16:
            return CpuPrecision(
                "f32",
                "cpu_precision is bf16, which this CPU does not multiply; computing in fp32",
            )
        doubt = _doubt_about_bf16(card)
        return CpuPrecision("bf16", doubt and f"cpu_precision is bf16, and {doubt}")
    precision = "fp32" if card.modified else card.precision
    if precision == "bf16":
        return CpuPrecision("bf16" if has_bf16 else "f32")
    if precision == "fp16" and "FP16" in capabilities:
        return CpuPrecision("f16")
    if has_bf16 and not _doubt_about_bf16(card):
        return CpuPrecision("bf16")
    return CpuPrecision("f32")


def describe_precision(card: ModelCard, arithmetic: str) -> str:
    """What truly runs, for people: the model's precision, and that of the arithmetic if another.

    >>> card = ModelCard("m", ("depth",), (32, 32), precision="fp16")
    >>> describe_precision(card, "bf16")
    'fp16 model, computed in bf16'
    >>> describe_precision(card, "f16")
    'fp16'
    """
    stated, computed = card.stated_precision, _NAMES[arithmetic]
    if stated == computed:
        return stated
    if stated == "int8":  # its convolutions carry their own codes
        return stated if computed == "fp32" else f"int8 model, the rest computed in {computed}"
    return f"{stated} model, computed in {computed}"


def _doubt_about_bf16(card: ModelCard) -> str:
    """Why bf16 may cost this model accuracy; empty if a report says that it does not."""
    if card.modified:
        return (
            f"{card.name} was changed by another tool, so nobody has measured what bf16 costs it; "
            "export it again"
        )
    if card.precision == "bf16":  # it was measured at its export
        return ""
    report = card.bf16_report
    if report is None:
        return (
            f"the card of {card.name} has no report on what bf16 costs it; `mtinet bf16` measures "
            "and adds it"
        )
    exceeded = str(report.get("exceeded", ""))
    return exceeded and f"it costs {card.name} much accuracy: {exceeded}"

# SPDX-License-Identifier: Apache-2.0
"""The precision in which a CPU computes a model, and the sentence that says so."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from mtinet_ros.inference.cpu_settings import CpuSettings
from mtinet_ros.inference.silent_import import import_silently
from mtinet_ros.model_card import ModelCard

# Precision of arithmetic -> its name in a card.
_NAMES = {"f32": "fp32", "bf16": "bf16"}


@dataclass(frozen=True)
class CpuPrecision:
    """A choice.

    Attributes:
        arithmetic: `f32` or `bf16`, as OpenVINO spells them.
        warning: What the user should know of it; empty if nothing.
    """

    arithmetic: str
    warning: str = ""


def cpu_capabilities() -> tuple[str, ...]:
    """Arithmetic that OpenVINO has on this CPU, e.g. `FP32`, `BF16`; () without OpenVINO."""
    try:
        openvino = import_silently("openvino")
    except ImportError:
        return ()
    return tuple(openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))


def choose_cpu_precision(
    card: ModelCard, settings: CpuSettings, capabilities: Collection[str]
) -> CpuPrecision:
    """Choose the arithmetic for a model.

    `auto` takes bf16 only where it is known to cost little: the card holds a passing report, and
    the graph is the one that was measured. fp16 is never asked for: OpenVINO would compute in it
    what the export left in float32 because fp16 overflows there, and nothing has measured that.

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
    if has_bf16 and not _doubt_about_bf16(card):
        return CpuPrecision("bf16")
    return CpuPrecision("f32")


def describe_precision(
    card: ModelCard, arithmetic: str, capabilities: Collection[str] = ()
) -> str:
    """What truly runs, for people: the model's precision, and that of the arithmetic if another.

    >>> card = ModelCard("m", ("depth",), (32, 32), precision="fp16")
    >>> describe_precision(card, "bf16")
    'fp16 model, computed in bf16'
    >>> describe_precision(card, "f32")
    'fp16 model, computed in fp32'
    """
    stated, computed = card.stated_precision, _NAMES[arithmetic]
    # Told float32, OpenVINO leaves in bf16 what the graph has in bf16, where the CPU has it.
    if stated == computed or (stated == "bf16" and "BF16" in capabilities):
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
    # It was measured at its export, unless parts of it stayed float32: OpenVINO in bf16 computes
    # those in bf16, too.
    if card.precision == "bf16" and not card.wide_parts:
        return ""
    report = card.bf16_report
    if report is None:
        return (
            f"the card of {card.name} has no report on what bf16 costs it; `mtinet bf16` measures "
            "and adds it"
        )
    exceeded = report.get("exceeded")
    if not isinstance(exceeded, str):
        return (
            f"the bf16 report of {card.name} says nothing of limits; `mtinet bf16` makes another"
        )
    return exceeded and f"it costs {card.name} much accuracy: {exceeded}"

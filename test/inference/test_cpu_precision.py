# SPDX-License-Identifier: Apache-2.0
"""The precision a CPU computes in: never less than is known to be good enough, and said."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from support.tiny_model import tiny_card

from mtinet_ros.inference import CpuSettings
from mtinet_ros.inference.cpu_precision import choose_cpu_precision, describe_precision
from mtinet_ros.model_card import ModelCard

WITH_BF16, WITH_BOTH, WITHOUT = ("FP32", "BF16"), ("FP32", "BF16", "FP16"), ("FP32",)
PASSING: dict[str, Any] = {"label_agreement": 0.99, "exceeded": ""}
FAILING: dict[str, Any] = {"miou": 0.5, "exceeded": "miou is 0.5, the limit 0.9"}


def card(precision: str = "fp16", report: object = None, modified: bool = False) -> ModelCard:
    accuracy = {} if report is None else {"bf16": report}
    return replace(tiny_card(precision), accuracy=accuracy, modified=modified)


@pytest.mark.parametrize(
    ("model", "capabilities", "arithmetic"),
    [
        (card("fp16", PASSING), WITH_BF16, "bf16"),
        (card("fp32", PASSING), WITH_BF16, "bf16"),
        (card("int8", PASSING), WITH_BF16, "bf16"),
        (card("fp16", PASSING), WITHOUT, "f32"),
        (card("fp16", FAILING), WITH_BF16, "f32"),
        (card("fp16"), WITH_BF16, "f32"),
        (card("fp16", "not a report"), WITH_BF16, "f32"),
        (replace(card("fp16"), accuracy="good"), WITH_BF16, "f32"),  # type: ignore[arg-type]
        (card("fp16", PASSING, modified=True), WITH_BF16, "f32"),
        # An eighth as exact as fp16, so not where the CPU has that.
        (card("fp16", PASSING), WITH_BOTH, "bf16"),
        (card("fp32"), WITH_BOTH, "f32"),
        (card("int8"), WITH_BOTH, "f32"),
        (card("bf16"), WITH_BF16, "bf16"),
        (card("bf16"), WITHOUT, "f32"),
        (card("bf16", modified=True), WITH_BF16, "f32"),
    ],
)
def test_auto_takes_bf16_only_where_a_report_says_that_it_costs_little(
    model: ModelCard, capabilities: tuple[str, ...], arithmetic: str
) -> None:
    chosen = choose_cpu_precision(model, CpuSettings(), capabilities)
    assert chosen.arithmetic == arithmetic
    assert not chosen.warning


@pytest.mark.parametrize(
    ("model", "warning"),
    [
        (card("fp16", PASSING), ""),
        (card("bf16"), ""),
        (card("fp16"), "has no report on what bf16 costs it; `mtinet bf16` measures and adds it"),
        (card("fp16", FAILING), "it costs tiny much accuracy: miou is 0.5, the limit 0.9"),
        (card("bf16", modified=True), "tiny was changed by another tool"),
    ],
)
def test_bf16_on_request_runs_and_warns_where_nothing_speaks_for_it(
    model: ModelCard, warning: str
) -> None:
    chosen = choose_cpu_precision(model, CpuSettings("bf16"), WITH_BF16)
    assert chosen.arithmetic == "bf16"
    assert warning in chosen.warning
    assert bool(chosen.warning) == bool(warning)


def test_bf16_on_a_cpu_without_it_runs_in_float32_and_says_so() -> None:
    chosen = choose_cpu_precision(card("fp16", PASSING), CpuSettings("bf16"), WITHOUT)
    assert chosen.arithmetic == "f32"
    assert "this CPU does not multiply" in chosen.warning


@pytest.mark.parametrize("model", [card("fp16", PASSING), card("bf16")])
def test_f32_on_request_is_float32(model: ModelCard) -> None:
    assert choose_cpu_precision(model, CpuSettings("f32"), WITH_BOTH).arithmetic == "f32"


@pytest.mark.parametrize(
    ("model", "arithmetic", "told"),
    [
        (card("fp16"), "bf16", "fp16 model, computed in bf16"),
        (card("fp16"), "f32", "fp16 model, computed in fp32"),
        (card("fp32"), "f32", "fp32"),
        (card("bf16"), "f32", "bf16 model, computed in fp32"),
        (card("int8"), "f32", "int8"),
        (card("int8"), "bf16", "int8 model, the rest computed in bf16"),
        (card("fp16", modified=True), "f32", "unknown model, computed in fp32"),
    ],
)
def test_what_truly_runs_is_told(model: ModelCard, arithmetic: str, told: str) -> None:
    assert describe_precision(model, arithmetic) == told

# SPDX-License-Identifier: Apache-2.0
"""`mtinet confidence`: give an exported model a calibrated confidence as an output."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from mtinet_ros.cli.options import model_or_name, model_path, path
from mtinet_ros.errors import ConfigurationError

if TYPE_CHECKING:
    from mtinet_ros.model_card import ModelCard
    from mtinet_ros.training.evaluation_data import OpenedData

_COMPARED = 4
"""Frames on which the other outputs are compared, before and after."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("model", type=model_or_name, help="ONNX file made by `mtinet export`")
    parser.add_argument(
        "--data",
        type=path,
        metavar="DIR",
        required=True,
        help="data set with labels, any that `mtinet evaluate` takes",
    )
    parser.add_argument(
        "--split",
        choices=("train", "val", "test"),
        default="val",
        help="frames that were neither trained on nor will be reported (default: val)",
    )
    parser.add_argument(
        "--frames", type=int, default=100, help="so many, spread over the split (0: all)"
    )
    parser.add_argument(
        "--kind",
        choices=("rooms", "nyud", "pascal", "urbanlf"),
        help="of data (default: what the folder holds)",
    )
    parser.add_argument(
        "-o", "--output", type=model_path, help="ONNX file to write (default: the model itself)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Fit the temperature, write the model with its confidence, print what it gained."""
    import dataclasses

    import onnx

    from mtinet_ros.export.confidence import (
        check_untouched,
        with_confidence,
        without_confidence,
        without_its_figures,
    )
    from mtinet_ros.export.onnx_graph import attach_card, measurable_card, put_card, write_model
    from mtinet_ros.model_card import SCHEMA_VERSION
    from mtinet_ros.output_files import check_target
    from mtinet_ros.training.evaluation_data import open_data

    if arguments.frames < 0:
        raise ConfigurationError(f"--frames is {arguments.frames}; 0 (all) or more")
    card = measurable_card(arguments.model)
    output = arguments.output or arguments.model
    check_target(output, lambda there: bool(measurable_card(there)))
    if "semseg" not in card.tasks:
        raise ConfigurationError(
            f"{arguments.model} has the tasks {', '.join(card.tasks)}; a confidence is that of "
            "labels: name a model with the task semseg"
        )
    if card.precision == "bf16":
        raise ConfigurationError(
            f"{arguments.model} is in bf16, which ONNX Runtime does not compute on a CPU; export "
            "it in fp32 or fp16, which a CPU with bf16 computes in bf16 too"
        )
    data = open_data(arguments.data, arguments.split, card.class_names, kind=arguments.kind or "")
    for note in data.notes:
        print(f"note: {note}")
    model = without_confidence(onnx.load(arguments.model))
    record, images = _fitted(model, card, data, arguments)
    complete = with_confidence(model, record["temperature"])
    check_untouched(model, complete, images)
    written = dataclasses.replace(
        card,
        confidence=record,
        accuracy=without_its_figures(card.accuracy),
        schema_version=SCHEMA_VERSION,
    )
    # A card without a fingerprint gets none, since nobody knows whether the graph is still the one
    # that its figures are of.
    (attach_card if card.is_verifiable else put_card)(complete, written)
    write_model(complete, output)
    print(
        f"{output}: temperature {record['temperature']:.4g}, fitted on {record['frames']} frames "
        f"of {record['data']}: expected calibration error {record['ece_before']:.4f} before, "
        f"{record['ece_after']:.4f} after; negative log-likelihood {record['nll_before']:.4f} "
        f"before, {record['nll_after']:.4f} after"
    )
    if card.bf16_report is not None:
        print(
            "note: the card's report on a CPU's bf16 does not speak of this confidence; "
            f"`mtinet bf16 {output}` measures anew"
        )
    return 0


def _fitted(
    model: Any, card: ModelCard, data: OpenedData, arguments: argparse.Namespace
) -> tuple[dict[str, Any], Any]:
    """The entry of the card, and a few frames at the network's size, uint8 [N,H,W,3]."""
    import numpy as np
    from tqdm import tqdm

    from mtinet_ros.export.confidence import with_logits
    from mtinet_ros.export.verification import open_session
    from mtinet_ros.model_contract import INPUT_NAME
    from mtinet_ros.training.held_out_logits import held_out_logits
    from mtinet_ros.training.reliability import expected_calibration_error, reliability_sums
    from mtinet_ros.training.temperature import (
        confidence_of,
        fit_temperature,
        negative_log_likelihood,
    )

    if not len(data.source) or "semseg" not in data.source[0].targets:
        raise ConfigurationError(
            f"--data {arguments.data} has no labels in its split {arguments.split}; name other "
            "data, or another --split"
        )
    count = min(arguments.frames or len(data.source), len(data.source))
    indices = np.linspace(0, len(data.source) - 1, count).astype(int).tolist()
    session = open_session(with_logits(model))
    seen: list[Any] = []

    def network(image: Any) -> Any:
        if len(seen) < _COMPARED:
            seen.append(image[0].copy())
        return session.run(["logits"], {INPUT_NAME: image})[0]

    with tqdm(total=count, unit="frame", desc=arguments.model.name) as bar:
        logits, labels = held_out_logits(network, card, data.source, indices, bar.update)
    temperature = round(fit_temperature(logits, labels), 4)
    predicted = logits.argmax(axis=1)
    known = labels.astype(predicted.dtype)
    errors, likelihoods = [], []
    for t in (1.0, temperature):
        sums = reliability_sums(confidence_of(logits, t), predicted, known)
        errors.append(round(expected_calibration_error(sums), 4))
        likelihoods.append(round(negative_log_likelihood(logits, labels, t), 4))
    description = data.description
    record = {
        "temperature": temperature,
        "data": f"{description.folder} ({description.kind}), {description.split}",
        "frames": count,
        "ece_before": errors[0],
        "ece_after": errors[1],
        "nll_before": likelihoods[0],
        "nll_after": likelihoods[1],
    }
    return record, np.stack(seen)

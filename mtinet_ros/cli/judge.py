# SPDX-License-Identifier: Apache-2.0
"""The judge of `mtinet export`: graphs measured on labelled pictures as `mtinet evaluate` does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mtinet_ros.errors import ConfigurationError

if TYPE_CHECKING:
    import onnx

    from mtinet_ros.export.criteria import Judge
    from mtinet_ros.model_card import ModelCard

DEFAULT_SPLIT = "val"
DEFAULT_FRAMES = 100


def open_judge(
    root: Path,
    card: ModelCard,
    *,
    split: str | None = None,
    frames: int | None = None,
    kind: str | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> Judge:
    """A judge over a data set, any that `mtinet evaluate` measures on.

    Args:
        root: Folder of the data set.
        card: Of the model to be judged: its size, tasks and classes.
        split: "train", "val" or "test"; None: "val", so that what is chosen by it can still be
            measured on the other.
        frames: At most so many, spread evenly over the split; 0: all; None: 100.
        kind: Of data set; None: found out.
        report: Called with each note on the data.

    Raises:
        ConfigurationError: The number of frames is negative, or the data have no frames, other
            classes, or no truth for what the model predicts.
        DataError: The data are missing or damaged.
    """
    import numpy as np

    from mtinet_ros.export.criteria import LOSS_LIMITS, Judge
    from mtinet_ros.export.graph_backend import GraphBackend
    from mtinet_ros.perception.predictor import Predictor
    from mtinet_ros.training.evaluation import evaluate
    from mtinet_ros.training.evaluation_data import open_data
    from mtinet_ros.training.evaluation_predictor import CameraSizePredictor

    frames = DEFAULT_FRAMES if frames is None else frames
    split = split or DEFAULT_SPLIT
    if frames < 0:
        raise ConfigurationError(f"--frames is {frames}; 0 (all) or more")
    data = open_data(root, split, card.class_names, kind=kind or "")
    if not len(data.source):
        raise ConfigurationError(
            f"--judge {root} has no frames in its split {split}; choose another --split"
        )
    there = tuple(data.source[0].targets)
    if not set(card.tasks) & set(there):
        raise ConfigurationError(
            f"the model predicts {', '.join(card.tasks)} and --judge {root} has truth for "
            f"{', '.join(there) or 'nothing'}: there is nothing to judge by; name other data"
        )
    count = min(frames or len(data.source), len(data.source))
    indices = np.linspace(0, len(data.source) - 1, count).astype(int).tolist()
    for note in data.notes:
        report(f"note: {note}")

    def figures(model: onnx.ModelProto) -> Mapping[str, float]:
        backend = GraphBackend(model, card)
        try:
            predict = CameraSizePredictor(Predictor(backend))
            found = evaluate(predict, data.source, indices, len(data.source.class_names)).metrics
        finally:
            backend.close()
        # Depth in metres decides where there is any, else depth up to scale.
        left_out = "depth_aligned" if "depth_delta1" in found else "nothing"
        return {
            name: found[name]
            for name in LOSS_LIMITS
            if name in found and not name.startswith(left_out)
        }

    return Judge(
        f"{root.resolve().name} ({data.description.kind}), {split}, {count} frames", figures
    )

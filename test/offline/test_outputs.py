# SPDX-License-Identifier: Apache-2.0
"""What an output becomes, by its name and by what it is made from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.predictions import CARD, made_up_frame, made_up_prediction

from mtinet_ros.errors import ConfigurationError
from mtinet_ros.offline.inputs import Input
from mtinet_ros.offline.outputs import (
    OutputOptions,
    choose_format,
    choose_storage,
    open_sink,
    open_sink_again,
    output_paths,
    wanted_of_model,
)
from mtinet_ros.recordings.open import Kind


def inputs(*kinds: Kind) -> list[Input]:
    return [Input(f"in{i}", (Path(f"in{i}"),), kind) for i, kind in enumerate(kinds)]


@pytest.mark.parametrize(
    ("output", "kinds", "given", "format_"),
    [
        ("out", [Kind.BAG], "", "bag"),
        ("out", [Kind.VIDEO], "", "folder"),
        ("out", [Kind.PICTURES], "", "folder"),
        ("out", [Kind.PICTURES], "bag", "bag"),
        ("out.mp4", [Kind.BAG], "", "video"),
        ("out.MKV", [Kind.PICTURES], "", "video"),
        ("out.mcap", [Kind.VIDEO], "", "bag"),
        ("out.db3", [Kind.VIDEO], "", "bag"),
        ("2026.11.27", [Kind.BAG], "", "bag"),
        ("out", [Kind.BAG, Kind.BAG], "", "bag"),
        ("out", [Kind.BAG, Kind.VIDEO], "", "folder"),
        ("out", [Kind.VIDEO, Kind.VIDEO], "video", "video"),
    ],
)
def test_the_format_follows_from_the_name_and_the_inputs(
    output: str, kinds: list[Kind], given: str, format_: str
) -> None:
    assert choose_format(Path(output), inputs(*kinds), given) == format_


@pytest.mark.parametrize(
    ("output", "count", "given", "sentence"),
    [
        ("out.mp4", 2, "", "would be one video of 2 recordings"),
        ("out", 1, "video", "give it the name of a video, e.g. out.mp4"),
        ("out.mp4", 1, "folder", "the name of a video; choose one"),
        ("out.mcap", 1, "folder", "the name of a bag; choose one"),
    ],
)
def test_formats_that_do_not_fit_are_refused(
    output: str, count: int, given: str, sentence: str
) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        choose_format(Path(output), inputs(*[Kind.VIDEO] * count), given)


def test_several_recordings_lie_below_the_output() -> None:
    two = inputs(Kind.VIDEO, Kind.VIDEO)
    assert output_paths(Path("out"), two[:1], "folder") == [Path("out")]
    assert output_paths(Path("out"), two, "video") == [Path("out/in0.mp4"), Path("out/in1.mp4")]
    assert [choose_storage(Path(name)) for name in ("a", "a.db3")] == ["mcap", "sqlite3"]


@pytest.mark.parametrize(
    ("outputs", "wanted"),
    [
        (("segmentation", "overlay"), {"labels"}),
        (("depth",), {"depth"}),
        (("points",), {"depth", "labels", "normals"}),
        (("obstacles", "normals"), {"depth", "labels", "normals"}),
        (("rgb",), set()),
    ],
)
def test_only_what_is_written_is_asked_of_the_model(
    outputs: tuple[str, ...], wanted: set[str]
) -> None:
    assert wanted_of_model(CARD, OutputOptions("bag", outputs)) == wanted


def test_what_the_model_does_not_give_is_refused() -> None:
    card = replace(CARD, tasks=("depth",), class_names=(), palette=())
    with pytest.raises(ConfigurationError, match="toy gives none of them, its tasks are depth"):
        wanted_of_model(card, OutputOptions("folder", ("segmentation", "normals")))


def test_a_folder_has_the_confidence_beside_the_labels(tmp_path: Path) -> None:
    card = replace(CARD, confidence={"temperature": 1.0})
    options = OutputOptions("folder", ("segmentation",))
    assert wanted_of_model(card, options) == {"labels", "confidence"}
    certain = np.full((64, 96), 204, np.uint8)
    prediction = replace(made_up_prediction(0), confidence=certain)
    frame = made_up_frame(0, 0)
    # As a run writes, and as a merge opens it again.
    for number, sink in enumerate(
        [
            open_sink(tmp_path / "0", card, options),
            open_sink_again(tmp_path / "1", options.describe(card)),
        ]
    ):
        sink.begin_part(1)
        sink.write(frame, sink.encode(frame, prediction))
        sink.finish([sink.end_part()])
        file = tmp_path / str(number) / "confidence" / f"{frame.name}.png"
        assert np.array_equal(cv2.imread(str(file), cv2.IMREAD_UNCHANGED), certain)

# SPDX-License-Identifier: Apache-2.0
"""The model card as it is read back from a file: a damaged or foreign file gets a sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.tiny_model import tiny_card, write_tiny_model

from mtinet_ros.errors import ModelError
from mtinet_ros.model_card import METADATA_KEY, ModelCard, read_model_card

BUNDLED = Path(__file__).parent.parent / "models" / "mtinet_indoor_rendered.onnx"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("card") / "m.onnx")


def test_what_was_written_is_read_back(model: Path) -> None:
    assert read_model_card(model) == tiny_card()


def test_the_bundled_model_of_an_earlier_version_is_read() -> None:
    card = read_model_card(BUNDLED)
    assert card.tasks == ("semseg", "normals", "depth")
    assert (card.depth_kind, card.normals_axes) == ("metric", "camera_optical")
    assert len(card.class_names) == len(card.palette) == 13
    assert card.focal_length is not None


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"absent\.onnx: No such file"):
        read_model_card(tmp_path / "absent.onnx")


def test_a_folder_is_not_a_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="Is a directory"):
        read_model_card(tmp_path)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0.0, 0.999))
def test_a_file_cut_short_anywhere_is_refused(model: Path, tmp_path: Path, share: float) -> None:
    data = model.read_bytes()
    short = tmp_path / "short.onnx"
    short.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ModelError, match=r"short\.onnx"):
        read_model_card(short)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=300))
def test_any_other_file_is_refused_in_a_sentence(tmp_path: Path, data: bytes) -> None:
    other = tmp_path / "other.onnx"
    other.write_bytes(data)
    with pytest.raises(ModelError, match=r"other\.onnx"):
        read_model_card(other)


@pytest.mark.parametrize(
    "data", [b"\x89PNG\r\n\x1a\n" + bytes(64), b"version https://git-lfs.github.com/spec/v1\n"]
)
def test_pictures_and_lfs_pointers_are_not_models(tmp_path: Path, data: bytes) -> None:
    other = tmp_path / "other.onnx"
    other.write_bytes(data)
    with pytest.raises(ModelError, match="is not an ONNX file"):
        read_model_card(other)


def test_an_onnx_file_of_someone_else_has_no_card(tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "foreign.onnx", card_json="")
    with pytest.raises(ModelError, match=r"carries no model card .* export .* `mtinet export`"):
        read_model_card(model)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": "2.0"}, "schema version 2.0; this mtinet_ros reads 1.2, so update"),
        ({"schema_version": None}, "schema version"),
        ({"precision": "fp8"}, "precision is 'fp8'; allowed: fp32"),
        ({"input_size": [30, 64]}, "input_size 30x64 must be positive multiples of 32"),
        ({"input_size": 32}, "incomplete or malformed"),
        ({"tasks": ["flow"]}, "tasks"),
        ({"palette": []}, "0 colours for 5 class names"),
        ({"palette": [[0, 0, 300]] * 5}, "palette"),
        ({"max_batch": 0}, "max_batch 0 must be at least 1"),
        ({"focal_length": -1.0}, "focal_length -1.0 must be positive"),
        ({"depth_range": [2.0, 1.0]}, "depth_range"),
        ({"depth_range": [1.0]}, "incomplete or malformed"),
    ],
)
def test_a_bad_card_names_the_field_and_what_is_allowed(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    text = json.dumps({**json.loads(tiny_card().to_json()), **change})
    model = write_tiny_model(tmp_path / "m.onnx", card_json=text)
    with pytest.raises(ModelError, match=message):
        read_model_card(model)


@pytest.mark.parametrize("text", ["{", "[1]", "{}", '{"schema_version": "1.0"}'])
def test_a_card_that_is_no_card_is_refused(tmp_path: Path, text: str) -> None:
    model = write_tiny_model(tmp_path / "m.onnx", card_json=text)
    with pytest.raises(ModelError, match="model card"):
        read_model_card(model)


def test_a_newer_minor_version_with_more_fields_is_read(tmp_path: Path) -> None:
    record = {**json.loads(tiny_card().to_json()), "schema_version": "1.7", "new_field": 3}
    model = write_tiny_model(tmp_path / "m.onnx", card_json=json.dumps(record))
    card = read_model_card(model)
    assert card.schema_version == "1.7"
    assert card.tasks == tiny_card().tasks


def test_a_card_without_a_fingerprint_is_usable_and_vouches_for_nothing(model: Path) -> None:
    card = read_model_card(model)
    assert not card.is_verifiable
    assert not card.modified
    assert card.stated_precision == "fp32"
    assert read_model_card(BUNDLED).is_verifiable


def test_json_form_is_lossless() -> None:
    card = tiny_card("int8")
    assert ModelCard.from_json(card.to_json()) == card
    assert METADATA_KEY == "mtinet_ros.model_card"

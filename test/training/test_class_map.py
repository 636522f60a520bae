# SPDX-License-Identifier: Apache-2.0
"""A simulator's classes in a model's: what the file says, and what it does not, is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mtinet_ros.errors import ConfigurationError, InputError
from mtinet_ros.model_contract import VOID_ID
from mtinet_ros.training.class_map import ClassMap, read_class_map, same_classes

CLASSES = ("wall", "floor", "table")


def read(tmp_path: Path, text: str, name: str = "classes.yaml") -> ClassMap:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return read_class_map(path, CLASSES)


def test_ids_become_the_models_and_what_is_missing_is_told_with_its_share(tmp_path: Path) -> None:
    mapped = read(
        tmp_path, "0: void\n7: wall\n300: floor  # ids of 16 bits\n-1: void\n99: table\n"
    )
    truth = np.array([[0, 7, 7, 300], [-1, 12, 12, 13]])
    assert mapped.apply(truth).tolist() == [
        [VOID_ID, 0, 0, 1],
        [VOID_ID, VOID_ID, VOID_ID, VOID_ID],
    ]
    assert mapped.said_unknown() == "12 at 25.0%, 13 at 12.5%"
    assert mapped.said_unmet() == "99"
    assert mapped.classified == 3
    mapped.forget()
    assert (mapped.said_unknown(), mapped.classified) == ("", 0)


@pytest.mark.parametrize(
    "text", ['70,70,70: wall\n"#804080": floor', '{"(70, 70, 70)": "wall", "#804080": "floor"}']
)
def test_colors_are_named_as_people_write_them(tmp_path: Path, text: str) -> None:
    mapped = read(tmp_path, text, "classes.json" if text[0] == "{" else "classes.yaml")
    truth = np.array([[[70, 70, 70], [128, 64, 128], [70, 70, 71]]])
    assert mapped.apply(truth).tolist() == [[0, 1, VOID_ID]]
    assert mapped.said_unknown() == "#464647 at 33.3%"


def test_names_that_the_simulator_gives_its_ids_are_taken(tmp_path: Path) -> None:
    mapped = read(tmp_path, "desk: table\nBACKGROUND: void\n5: floor\n")
    truth = np.array([[0, 1, 2, 5]])
    names = {0: "BACKGROUND", 1: "desk", 2: "plant", 5: "desk"}
    assert mapped.apply(truth, names).tolist() == [[VOID_ID, 2, VOID_ID, 1]]
    assert mapped.said_unknown() == "2 (plant) at 25.0%"
    assert mapped.said_unmet() == ""
    # Were the names not recorded, nothing would be known.
    mapped.forget()
    assert (mapped.apply(truth[:, :3]) == VOID_ID).all()
    assert mapped.classified == 0


def test_gazebos_ids_in_three_equal_channels_are_ids(tmp_path: Path) -> None:
    mapped = read(tmp_path, "7: wall\n8: floor\n")
    gray = np.repeat(np.array([[7, 8]])[..., np.newaxis], 3, axis=2)
    assert mapped.apply(gray).tolist() == [[0, 1]]
    gray[0, 0, 1] = 0
    with pytest.raises(InputError, match="names ids and the truth has colors"):
        mapped.apply(gray)
    with pytest.raises(InputError, match="names colors and the truth has ids"):
        read(tmp_path, "7,8,9: wall").apply(np.array([[7]]))


def test_a_model_of_the_same_classes_needs_no_file() -> None:
    mapped = same_classes(CLASSES)
    assert mapped.apply(np.array([[0, 2, 255, 3]])).tolist() == [[0, 2, 255, 255]]
    assert mapped.said_unknown() == "3 at 25.0%"
    assert mapped.said_unmet() == ""  # that class 1 is not in the room is no mistake


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no classes"),
        ("- wall", "holds no classes"),
        ("7: wal", "maps 7 to 'wal', which is no class of the model; allowed: void, wall, floor"),
        ("7: 1", "maps 7 to 1, which is no class"),
        ("7: wall\n7: floor", "names 7 twice"),
        ('7: wall\n"7": floor', "names 7 twice"),
        ("7: wall\n1,2,3: floor", "both ids and colors"),
        ("1,2,300: wall", "0 to 255 are allowed"),
        ("7: wall\n#464646: floor", "line 2 begins with # and so is a comment"),
        ("no: wall", "names False, which is no id, color or name; put names in quotes"),
        ("7: [wall", "is neither YAML nor JSON"),
        ("7: !!python/object:os.system wall", "is neither YAML nor JSON"),
    ],
)
def test_a_file_that_would_make_wrong_numbers_is_refused(
    tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        read(tmp_path, text)
    assert said in str(refusal.value)
    assert "classes.yaml" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_json_takes_no_key_twice_either(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="names 7 twice"):
        read(tmp_path, '{"7": "wall", "7": "floor"}', "classes.json")
    with pytest.raises(ConfigurationError, match="cannot read the classes from"):
        read_class_map(tmp_path / "missing.yaml", CLASSES)

# SPDX-License-Identifier: Apache-2.0
"""Missing assets, damaged models, a full disk, wrong options: a sentence, never a traceback."""

from __future__ import annotations

import errno
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.box_furniture import BOXES, CUBE, write_library

from mtinet_ros.cli.main import main
from mtinet_ros.errors import ConfigurationError, DataError
from mtinet_ros.scenes.assets.catalog import Catalog, furniture_folder
from mtinet_ros.scenes.assets.stock import ModelCache
from mtinet_ros.scenes.assets.wavefront import read_obj
from mtinet_ros.scenes.storage import production
from mtinet_ros.scenes.storage.dataset import SceneDataset
from mtinet_ros.scenes.storage.production import RenderSettings, prepare_folder, render_scenes


def archive_of(path: Path, **files: str) -> zipfile.ZipFile:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name.replace("_", "."), text)
    return zipfile.ZipFile(path)


def test_missing_furniture_says_the_apt_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(["scenes", "-n", "5", "-o", str(tmp_path / "o"), "--furniture", str(tmp_path)])
    assert status == 1
    assert "sudo apt-get install sweethome3d-furniture" in capsys.readouterr().err


def test_the_furniture_folder_can_be_an_environment_variable(
    furniture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MTINET_FURNITURE", str(furniture))
    assert furniture_folder() == furniture


@pytest.mark.parametrize(
    "text",
    [
        CUBE.replace("v 1 0 0", "v 1 zero 0"),
        CUBE.replace("f 4 8 7 3", "f 4 8 7 99"),
        CUBE.replace("v 1 1 1", "v 1 1"),
        CUBE.replace("v 1 1 1", "v nan 1 1"),
        "v 0 0 0\n",
        "v 0 0 0\nv 0 0 0\nv 0 0 0\nf 1 2 3\n",
        "\x00\x01 not an obj at all",
    ],
)
def test_a_corrupt_model_is_named_and_not_believed(tmp_path: Path, text: str) -> None:
    with archive_of(tmp_path / "a.zip", m_obj=text) as archive, pytest.raises(DataError) as caught:
        read_obj(archive, "m.obj")
    assert "m.obj" in str(caught.value)


def test_a_corrupt_model_costs_that_model_alone(
    tmp_path: Path, tiny_settings: RenderSettings, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_library(tmp_path, "BlendSwap-CC-0", BOXES["BlendSwap-CC-0"])
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    files["models/bed1.obj"] = b"f 1 2 3\n"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    catalog = Catalog(tmp_path)
    cache = ModelCache(catalog)
    beds = {model.name: cache.load(model) for model in catalog.roles["bed"]}
    assert beds["bed1"] is None
    assert beds["bed2"] is not None
    assert "bed1.obj" in caplog.text


def test_a_damaged_library_says_how_to_install_it_again(tmp_path: Path) -> None:
    (tmp_path / "Scopia.sh3f").write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(DataError, match="--reinstall sweethome3d-furniture"):
        Catalog(tmp_path)


def test_only_models_of_the_allowed_licenses_are_used(furniture: Path) -> None:
    free = Catalog(furniture, ["CC0-1.0"])
    used = {model.license for models in free.roles.values() for model in models}
    assert used == {"CC0-1.0"}
    with pytest.raises(DataError, match="no usable model"):
        Catalog(furniture, [])


def test_creators_are_credited(tiny_rooms: Path) -> None:
    text = (tiny_rooms / "CREDITS.md").read_text()
    assert "| Scopia/ficus | Box Maker | CC-BY-3.0 |" in text


def test_a_disk_that_is_too_small_is_noticed_before_the_work(
    tiny_settings: RenderSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(DataError, match="free some space"):
        prepare_folder(tmp_path / "rooms", 100, tiny_settings)


def test_a_disk_that_fills_up_keeps_finished_scenes_and_no_half_one(
    tiny_settings: RenderSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = prepare_folder(tmp_path, 1, tiny_settings)[0]

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(DataError, match="the disk is full"):
        production.write_scene(tmp_path, plan, {"rgb": np.zeros(1)}, {})
    assert list((tmp_path / "train").iterdir()) == []


def test_other_settings_do_not_mix_into_a_folder(
    tiny_rooms: Path, tiny_settings: RenderSettings
) -> None:
    with pytest.raises(DataError, match="use the same options"):
        prepare_folder(tiny_rooms, 40, replace(tiny_settings, seed=99))


def test_an_index_that_cannot_be_read_is_said(
    tiny_settings: RenderSettings, tmp_path: Path
) -> None:
    (tmp_path / "index.json").write_text("{")
    with pytest.raises(DataError, match=r"index\.json cannot be read"):
        prepare_folder(tmp_path, 10, tiny_settings)


def test_a_file_in_place_of_the_folder_is_said(
    tiny_settings: RenderSettings, tmp_path: Path
) -> None:
    (tmp_path / "rooms").write_text("")
    with pytest.raises(ConfigurationError, match="cannot make the folder"):
        prepare_folder(tmp_path / "rooms", 10, tiny_settings)


def test_a_folder_with_other_things_is_left_alone(
    tiny_settings: RenderSettings, tmp_path: Path
) -> None:
    (tmp_path / "thesis.tex").write_text("do not touch")
    with pytest.raises(DataError, match="not empty"):
        prepare_folder(tmp_path, 10, tiny_settings)


def test_two_runs_do_not_render_into_one_folder(
    tiny_settings: RenderSettings, tmp_path: Path
) -> None:
    import fcntl

    root = tmp_path / "rooms"
    todo = prepare_folder(root, 2, tiny_settings)
    with (root / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        begun = root / "train" / ".scene_00000.part"
        begun.mkdir()
        with pytest.raises(DataError, match="another run"):
            render_scenes(root, todo, tiny_settings, workers=1)
        with pytest.raises(DataError, match="another run"):
            prepare_folder(root, 2, tiny_settings)
        assert begun.is_dir()  # the other one's


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--size", "large", "320x240"),
        ("--size", "8x8", "32 to 2048"),
        ("--frames", "0", "1 or more"),
        ("--workers", "0", "1 or more"),
        ("--licences", "WTFPL", "CC0-1.0"),
    ],
)
def test_a_wrong_option_says_what_is_allowed(
    option: str,
    value: str,
    said: str,
    furniture: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["scenes", "-o", str(tmp_path / "o"), "--furniture", str(furniture), option, value]
    assert main(arguments) == 1
    assert said in capsys.readouterr().err


def test_a_folder_that_is_no_data_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="mtinet scenes"):
        SceneDataset(tmp_path, "train")
    with pytest.raises(DataError, match="train, val, test"):
        SceneDataset(tmp_path, "dev")


@pytest.mark.parametrize(("name", "kept"), [("depth", 100), ("depth", 0), ("path", 0)])
def test_a_damaged_scene_is_named(tiny_rooms: Path, tmp_path: Path, name: str, kept: int) -> None:
    root = Path(shutil.copytree(tiny_rooms, tmp_path / "copy"))
    damaged = root / "val" / "scene_00003" / f"{name}.npy"
    damaged.write_bytes(damaged.read_bytes()[:kept])
    with pytest.raises(DataError, match=rf"scene_00003 is damaged \({name}\.npy: "):
        SceneDataset(root, "val")[0]


def test_impossible_settings_are_refused(tiny_settings: RenderSettings) -> None:
    with pytest.raises(ConfigurationError):
        replace(tiny_settings, stills=0)

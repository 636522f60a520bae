# SPDX-License-Identifier: Apache-2.0
"""Where the package finds its launch files, settings and models."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mtinet_ros import install_paths
from mtinet_ros.errors import ModelError


def installed(prefix: Path) -> None:
    marker = prefix / "share/ament_index/resource_index/packages/mtinet_ros"
    marker.parent.mkdir(parents=True)
    marker.touch()


def code_at(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.mkdir(parents=True)
    monkeypatch.setattr(install_paths, "__file__", str(path / "install_paths.py"))


def test_from_the_source_tree_it_is_the_source_tree() -> None:
    root = Path(__file__).resolve().parent.parent
    assert install_paths.share_directory() == root


def test_in_a_virtual_environment_or_workspace_it_is_that_prefix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(tmp_path / "prefix")
    code_at(tmp_path / "prefix/lib/python3.12/site-packages/mtinet_ros", monkeypatch)
    assert install_paths.share_directory() == tmp_path / "prefix/share/mtinet_ros"


def test_code_elsewhere_finds_it_through_ament_prefix_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(tmp_path / "b")
    code_at(tmp_path / "elsewhere/mtinet_ros", monkeypatch)
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "python"))
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"{tmp_path / 'a'}:{tmp_path / 'b'}")
    assert install_paths.share_directory() == tmp_path / "b/share/mtinet_ros"


def test_without_a_bundled_model_the_sentence_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(tmp_path)
    code_at(tmp_path / "lib/mtinet_ros", monkeypatch)
    with pytest.raises(ModelError, match="mtinet export"):
        install_paths.bundled_model()
    model = tmp_path / "share/mtinet_ros/models/mtinet_indoor.onnx"
    model.parent.mkdir(parents=True)
    model.touch()
    assert install_paths.bundled_model() == model


def test_a_bundled_model_can_be_called_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(tmp_path / "ros")
    code_at(tmp_path / "ros/lib/mtinet_ros", monkeypatch)
    model = tmp_path / "ros/share/mtinet_ros/models/other.onnx"
    model.parent.mkdir(parents=True)
    model.touch()
    monkeypatch.chdir(tmp_path)
    assert install_paths.find_model("other") == model
    # A path is a path, and what nobody knows stays as it is: whoever opens it names it.
    for given in ("./other", "other.onnx", "another", "other.safetensors", "~nobody-here"):
        assert install_paths.find_model(given) == Path(given)
    (tmp_path / "other").touch()
    assert install_paths.find_model("other") == Path("other")  # one's own comes first
    monkeypatch.setenv("HOME", str(tmp_path))
    assert install_paths.find_model("~/other.onnx") == tmp_path / "other.onnx"

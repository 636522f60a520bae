# SPDX-License-Identifier: Apache-2.0
"""Choosing a backend: by name or `auto`, with a sentence for whatever cannot be had."""

from __future__ import annotations

import dataclasses
import logging
import sys
from pathlib import Path

import pytest
from support.tiny_model import write_tiny_model

from mtinet_ros.errors import BackendError, ConfigurationError, ModelError
from mtinet_ros.inference import load_backend, selection


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "m.onnx")


def lose(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Make the packages of these backends look as if they were not installed."""
    for name in names:
        spec = dataclasses.replace(selection.BACKENDS[name], requires=(f"absent_{name}",))
        monkeypatch.setitem(selection.BACKENDS, name, spec)


def test_an_unknown_name_is_refused_with_the_allowed_ones(model: Path) -> None:
    with pytest.raises(ConfigurationError, match="'tensorflow' is unknown; allowed: auto, "):
        load_backend(model, "tensorflow")


def test_a_missing_package_is_refused_with_the_command_that_brings_it(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose(monkeypatch, "openvino")
    with pytest.raises(BackendError, match=r"`pip install 'mtinet_ros\[openvino\]'` brings it"):
        load_backend(model, "openvino")


def test_auto_logs_its_choice_and_why_not_the_others(
    model: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lose(monkeypatch, *(set(selection.BACKENDS) - {"onnxruntime"}))
    with caplog.at_level(logging.INFO, "mtinet_ros.inference"):
        backend = load_backend(model)
    assert backend.name == "onnxruntime"
    assert "backend auto chose onnxruntime" in caplog.text
    assert "not openvino: absent_openvino is not installed" in caplog.text


def test_auto_passes_over_a_package_that_does_not_load(
    model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "broken_openvino.py").write_text("raise ImportError('libtbb.so.12 is missing')")
    monkeypatch.syspath_prepend(tmp_path)
    lose(monkeypatch, "tensorrt", "tensorrt_rtx")
    spec = dataclasses.replace(selection.BACKENDS["openvino"], requires=("broken_openvino",))
    monkeypatch.setitem(selection.BACKENDS, "openvino", spec)
    assert load_backend(model).name == "onnxruntime"
    with pytest.raises(BackendError, match=r"does not load: libtbb\.so\.12 is missing"):
        load_backend(model, "openvino")


def test_auto_prefers_the_fastest(model: Path) -> None:
    pytest.importorskip("openvino")
    assert load_backend(model, "auto").name == "openvino"


def test_auto_with_nothing_installed_names_every_command(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose(monkeypatch, *selection.BACKENDS)
    with pytest.raises(BackendError, match="no backend can run here") as caught:
        load_backend(model)
    for spec in selection.BACKENDS.values():
        assert spec.install in str(caught.value)


def test_a_bad_model_is_called_bad_before_any_backend_is_tried(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot read model"):
        load_backend(tmp_path / "absent.onnx")


def test_a_folder_of_type_stubs_is_not_taken_for_the_package(
    model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stubs = tmp_path / "stubs" / "absent_openvino"
    stubs.mkdir(parents=True)
    (stubs / "__init__.pyi").touch()
    monkeypatch.setattr(sys, "path", [str(stubs.parent), *sys.path])
    lose(monkeypatch, "openvino")
    with pytest.raises(BackendError, match="absent_openvino is not installed"):
        load_backend(model, "openvino")

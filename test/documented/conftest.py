# SPDX-License-Identifier: Apache-2.0
"""A folder in which commands of the pages are typed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.pages import ROOT

if TYPE_CHECKING:
    from support.newcomer import Newcomer


@pytest.fixture(scope="session")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Newcomer:
    from support.newcomer import Newcomer

    return Newcomer(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="session")
def small_installation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from support.newcomer import installation

    folder = tmp_path_factory.mktemp("installation") / "share"
    installation(folder)
    return folder


@pytest.fixture
def folder(tmp_path: Path, small_installation: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of one's own with the checkout's pictures, a quick bundled model, and furniture."""
    monkeypatch.setattr("mtinet_ros.install_paths.share_directory", lambda: small_installation)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("MTINET_FURNITURE", str(small_installation / "furniture"))
    monkeypatch.chdir(tmp_path)
    for name in ("demo", "config"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path

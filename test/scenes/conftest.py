# SPDX-License-Identifier: Apache-2.0
"""A folder of box furniture, and a tiny data set rendered from it."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.box_furniture import BOXES, write_library

from mtinet_ros.scenes.storage.production import RenderSettings, prepare_folder, render_scenes


@pytest.fixture(scope="session")
def furniture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("furniture")
    for name, boxes in BOXES.items():
        write_library(folder, name, boxes)
    return folder


@pytest.fixture(scope="session")
def tiny_settings(furniture: Path) -> RenderSettings:
    return RenderSettings(
        seed=7,
        height=48,
        width=64,
        furniture=str(furniture),
        licenses=("CC-BY-3.0", "CC0-1.0"),
        stills=2,
        path=3,
    )


@pytest.fixture(scope="session")
def tiny_rooms(tmp_path_factory: pytest.TempPathFactory, tiny_settings: RenderSettings) -> Path:
    """13 scenes, 64×48, at most 2 MB, one worker."""
    root = tmp_path_factory.mktemp("rooms") / "tiny"
    render_scenes(root, prepare_folder(root, 32, tiny_settings), tiny_settings, workers=1)
    return root

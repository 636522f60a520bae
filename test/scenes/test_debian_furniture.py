# SPDX-License-Identifier: Apache-2.0
"""The real furniture, where Debian's sweethome3d-furniture is installed."""

from __future__ import annotations

import numpy as np
import pytest

from mtinet_ros.scenes.assets.catalog import DEFAULT_FOLDER, Catalog
from mtinet_ros.scenes.assets.roles import ROLES, roles_by_model
from mtinet_ros.scenes.assets.stock import ModelCache
from mtinet_ros.scenes.classes import NAMES
from mtinet_ros.scenes.room.rooms import KINDS, build_room

pytestmark = pytest.mark.skipif(
    not any(DEFAULT_FOLDER.glob("*.sh3f")), reason="sweethome3d-furniture is not installed"
)


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return Catalog(DEFAULT_FOLDER)


@pytest.fixture(scope="module")
def cache(catalog: Catalog) -> ModelCache:
    return ModelCache(catalog)


def test_every_listed_model_exists(catalog: Catalog) -> None:
    found = {(m.library, m.name) for models in catalog.roles.values() for m in models}
    assert set(roles_by_model()) == found


def test_every_role_has_a_class() -> None:
    assert {label for label, _ in ROLES.values()} <= set(NAMES)


def test_models_have_the_size_their_catalog_says(catalog: Catalog) -> None:
    for role in ("chair", "tv", "desk"):
        model = catalog.roles[role][0]
        low, high = catalog.load(model).bounds()
        np.testing.assert_allclose(high - low, model.size, rtol=1e-4)
        np.testing.assert_allclose([low[2], (low + high)[0]], [0, 0], atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_room_is_furnished(catalog: Catalog, cache: ModelCache, kind: str) -> None:
    models = catalog.split("val", 0)
    scene, used = build_room(np.random.default_rng(5), models, cache, kind)
    assert used
    assert {"wall", "floor", "ceiling"} <= {NAMES[thing.label] for thing in scene.instances}
    x, y, z = scene.size
    for thing in scene.instances:
        if NAMES[thing.label] in ("bed", "sofa", "table", "furniture"):
            assert -0.1 < thing.low[0] < thing.high[0] < x + 0.1
            assert -0.1 < thing.low[1] < thing.high[1] < y + 0.1
            assert thing.high[2] < z + 0.01

# SPDX-License-Identifier: Apache-2.0
"""The examples in the docstrings are true."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import numpy as np
import pytest

import mtinet_ros.perception

MODULES = [
    f"mtinet_ros.perception.{m.name}" for m in pkgutil.iter_modules(mtinet_ros.perception.__path__)
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name), extraglobs={"np": np})
    assert result.failed == 0


def test_there_are_examples() -> None:
    attempted = [doctest.testmod(importlib.import_module(name)).attempted for name in MODULES]
    assert sum(attempted) >= 2

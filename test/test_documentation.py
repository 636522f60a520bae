# SPDX-License-Identifier: Apache-2.0
"""What the pages point to is there: a newcomer who follows them finds it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "models" / "README.md"])
CODE = [path.read_text() for path in (ROOT / "mtinet_ros").rglob("*.py")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", ["ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_named_files_and_folders_exist(page: str) -> None:
    named = re.findall(r"`((?:[\w.]+/)+[\w.]*|[\w.]+\.(?:py|md|rst|txt|yaml))`", page_text(page))
    assert len(named) > 5
    bases = (ROOT, ROOT / "mtinet_ros")
    made = ("build/", ".venv")  # by commands
    missing = [
        name
        for name in named
        if not name.startswith(made) and not any((base / name).exists() for base in bases)
    ]
    assert missing == []


def test_named_classes_and_methods_exist() -> None:
    named = set(
        re.findall(r"`([A-Z]\w+)(?:\.(\w+))?(?:\([\w, ]*\))?`", page_text("ARCHITECTURE.md"))
    )
    assert len(named) > 15
    for name, member in named:
        defined = [text for text in CODE if re.search(rf"^class {name}\b", text, re.MULTILINE)]
        assert defined, name
        if member:
            pattern = rf"^    (def {member}\(|{member}:)|self\.{member}\b"
            assert any(re.search(pattern, text, re.MULTILINE) for text in defined), (name, member)


def page_text(name: str) -> str:
    return (ROOT / name).read_text()

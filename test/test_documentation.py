# SPDX-License-Identifier: Apache-2.0
"""What the pages point to is there: a newcomer who follows them finds it."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

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


@pytest.fixture(scope="module")
def site() -> ModuleType:
    """What `make docs` does beside Sphinx, without Sphinx."""
    specification = importlib.util.spec_from_file_location("site_conf", ROOT / "docs" / "conf.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_every_page_is_in_the_navigation_once(site: ModuleType) -> None:
    text = site.navigation(page_text("docs/index.md"))
    listed = [ROOT / f"{page}.md" for page in re.findall(r"^\S.* </(.+)>$", text, re.MULTILINE)]
    pages = {*(ROOT / "docs").glob("*.md")} - {ROOT / "docs" / "index.md"}
    assert pages < set(listed)
    assert len(set(listed)) == len(listed)
    assert all(page.is_file() for page in listed)


def test_navigation_goes_from_the_first_start_to_the_inside(site: ModuleType) -> None:
    """Whoever reads on learns nothing before it is needed."""
    text = site.navigation(page_text("docs/index.md"))
    listed = re.findall(r"^\S.* </(?:docs/)?(.+)>$", text, re.MULTILINE)
    road = ["quickstart", "topics", "parameters", "cameras", "weights", "engines", "performance"]
    road += ["transport", "pipelines", "training", "troubleshooting", "security", "scaling"]
    road += ["ARCHITECTURE", "verification"]
    assert [page for page in listed if page in road] == road


def test_navigation_stands_below_the_list_it_follows_from(site: ModuleType) -> None:
    first = "## First\n\n- [A b](a.md): text, [c](c.md)\n- [D](../D.md)\n\n"
    page = f"# Home\n\n{first}## Second\n\n- [E](e.md)\n"
    assert site.navigation(page) == (
        f"# Home\n\n{first}"
        "```{toctree}\n:hidden:\n:caption: First\n\nA b </docs/a>\nD </D>\n```\n\n"
        "## Second\n\n- [E](e.md)\n\n"
        "```{toctree}\n:hidden:\n:caption: Second\n\nE </docs/e>\n```\n\n"
    )


@pytest.mark.parametrize(
    ("text", "loads"),
    [
        ('<script src="https://cdn.example/x.js"></script>', True),
        ("<img alt='x' src='//cdn.example/x.png'>", True),
        ('<link rel="stylesheet" type="text/css" href="http://fonts.example/css" />', True),
        ("@font-face { src: url(https://fonts.example/a.woff2) }", True),
        ('@import "https://fonts.example/a.css";', True),
        ('<a href="https://www.ros.org/reps/rep-0117.html">REP 117</a>', False),
        ('<script src="_static/x.js"></script><link rel="icon" href="icon.svg">', False),
        ("b { background: url(data:image/png;base64,AAAA) }", False),
    ],
)
def test_what_a_page_has_a_browser_fetch_is_told_from_links(
    site: ModuleType, text: str, loads: bool
) -> None:
    assert bool(site.loaded_from_elsewhere(text)) == loads

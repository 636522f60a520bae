# SPDX-License-Identifier: Apache-2.0
"""How Sphinx makes the site of `make docs` from the Markdown pages, which forges show as they are.

The source folder is the repository's root, so that a link between pages is the same on a forge and
in the site. The navigation is the lists of links in docs/index.md.
"""

from __future__ import annotations

import re
from pathlib import Path
from posixpath import normpath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "mtinet_ros"
html_title = "mtinet_ros"
root_doc = "docs/index"
include_patterns = ["docs/*.md", "models/*.md", "ARCHITECTURE.md", "CONTRIBUTING.md"]
exclude_patterns = [".*", "build", "install", "log"]

extensions = ["myst_parser"]
myst_heading_anchors = 4
highlight_language = "none"
smartquotes = False  # they would make a dash of the two of an option

# furo loads nothing from elsewhere: its fonts are the system's, its scripts and styles its own.
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False

_FIRST_PAGE = (
    f'<meta http-equiv="refresh" content="0; url={root_doc}.html"><title>{project}</title>'
)
_LOADED = re.compile(
    r"""<(?:script|img|iframe|source|video)\b[^>]*?\bsrc\s*=\s*["']?(?:https?:)?//[^"'>\s]+"""
    r"""|<link\b(?![^>]*\brel=["']?canonical)[^>]*?\bhref\s*=\s*["']?(?:https?:)?//[^"'>\s]+"""
    r"""|@import\s+(?:url\()?["']?(?:https?:)?//[^"')\s]+|\burl\(["']?(?:https?:)?//[^"')\s]+"""
)


def navigation(page: str) -> str:
    """A page whose lists of links are the site's navigation, as Sphinx wants it said.

    Args:
        page: Markdown of a page in docs/: a heading of the second level above each list, a link
            to a page at the beginning of each item.

    Returns:
        The same with a table of contents that is not shown below each list.
    """
    before, *sections = re.split(r"^## ", page, flags=re.MULTILINE)
    for section in sections:
        caption, _, text = section.partition("\n")
        linked = re.findall(r"^- \[([^]]*)\]\(([^)#:]+)\.md\)", text, flags=re.MULTILINE)
        pages = [f"{name} </{normpath(f'docs/{path}')}>" for name, path in linked]
        contents = ["```{toctree}", ":hidden:", f":caption: {caption}", "", *pages, "```"]
        before += f"## {caption}\n{text.rstrip()}\n\n" + "\n".join(contents) + "\n\n"
    return before


def loaded_from_elsewhere(text: str) -> list[str]:
    """What a page or style sheet has a browser fetch from another host; links do not count."""
    return _LOADED.findall(text)


def _add_navigation(_app: Sphinx, page: str, source: list[str]) -> None:
    if page == root_doc:
        source[0] = navigation(source[0])


def _finish(app: Sphinx, error: Exception | None) -> None:
    """Lead from the folder to the first page, and hold the site to needing no internet."""
    from sphinx.errors import ExtensionError

    if error is not None:
        return
    folder = Path(app.outdir)
    (folder / "index.html").write_text(_FIRST_PAGE, encoding="utf-8")
    for path in sorted([*folder.rglob("*.html"), *folder.rglob("*.css")]):
        if found := loaded_from_elsewhere(path.read_text(encoding="utf-8")):
            raise ExtensionError(f"{path} loads something from the internet: {found[0]}")


def setup(app: Sphinx) -> None:
    """Connect both to Sphinx's events."""
    app.connect("source-read", _add_navigation)
    app.connect("build-finished", _finish)

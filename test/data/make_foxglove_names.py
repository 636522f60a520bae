# SPDX-License-Identifier: Apache-2.0
"""Write foxglove_names.json anew: names of Foxglove's panels, their settings and their choices.

    python test/data/make_foxglove_names.py LAYOUTS VERSION LICHTBLICK

LAYOUTS is foxglove/layouts/__init__.py of the package foxglove-sdk of that VERSION, which says
what each panel's settings are called. LICHTBLICK is a clone of
https://github.com/Lichtblick-Suite/lichtblick, the open continuation of Foxglove Studio, which
says what panels are called in a layout file. An unknown setting is ignored without a word, so a
test holds config/foxglove.json against these.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

# Settings of these are in the table, with all that they inherit.
WANTED = (
    "ImageConfig", "ImageModeConfig", "ThreeDeeConfig", "ThreeDeeCameraState",
    "BaseRendererSceneSettings", "BaseRendererTransforms", "BaseRendererPointCloudTopicSettings",
    "BaseRendererGridLayerSettings", "PlotConfig", "PlotSeries", "DiagnosticsSummaryConfig",
)  # fmt: skip

PANELS = "packages/suite-base/src/panels"


def main() -> None:
    """Write the table beside this file."""
    source, version, lichtblick = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    tree = ast.parse(source.read_text(encoding="utf-8"))
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    panels = git(lichtblick, "grep", "-h", "panelType", "HEAD", "--", PANELS)
    layout = git(lichtblick, "show", "HEAD:packages/suite-base/src/util/layout.ts")
    table = {
        "foxglove-sdk": version,
        "settings": {name: settings(name, classes) for name in WANTED},
        "lichtblick": git(lichtblick, "rev-parse", "HEAD").strip(),
        "panels": sorted(set(re.findall(r'panelType(?: =|:) "([\w ]+)"', panels))),
        "title": re.findall(r'PANEL_TITLE_CONFIG_KEY = "(\w+)"', layout),
    }
    target = Path(__file__).with_name("foxglove_names.json")
    target.write_text(json.dumps(table, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def git(repository: str, *words: str) -> str:
    """Output of a command of git."""
    command = ["git", "-C", repository, *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def settings(name: str, classes: dict[str, ast.ClassDef]) -> dict[str, list[Any] | None]:
    """What a class writes into JSON: settings, and the values of those that have few."""
    node = classes[name]
    found: dict[str, list[Any] | None] = {}
    for base in node.bases:
        if isinstance(base, ast.Name) and base.id in classes and base.id != "_BaseModel":
            found |= settings(base.id, classes)
    choices = {
        field.target.id: values(field.annotation)
        for field in node.body
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
    }
    for entry in ast.walk(node):
        if isinstance(entry, ast.Dict):
            for key, value in zip(entry.keys, entry.values, strict=True):
                if isinstance(key, ast.Constant) and isinstance(value, ast.Attribute):
                    found[str(key.value)] = choices.get(value.attr)
    return found


def values(annotation: ast.expr) -> list[Any] | None:
    """The values of a Literal, wherever it is in an annotation."""
    for node in ast.walk(annotation):
        if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "Literal":
            return list(ast.literal_eval(node.slice if isinstance(node.slice, ast.Tuple)
                                         else ast.Tuple([node.slice], ast.Load())))  # fmt: skip
    return None


if __name__ == "__main__":
    main()

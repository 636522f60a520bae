# SPDX-License-Identifier: Apache-2.0
"""A furniture library of plain boxes, so that the tests need no installed assets."""

from __future__ import annotations

import zipfile
from pathlib import Path

# id, width, depth, height in centimetres; ids are ones that the roles know
BOXES = {
    "BlendSwap-CC-0": [
        ("bed1", 140, 200, 60),
        ("bed2", 160, 205, 70),
        ("bed3", 180, 210, 80),
        ("chair", 45, 50, 85),
        ("chair2", 42, 48, 90),
        ("oakChair", 50, 55, 95),
        ("couch", 200, 90, 80),
        ("sofa2", 170, 85, 78),
        ("winchesterSofa", 220, 95, 80),
        ("oakTable", 120, 80, 74),
        ("led_tv", 90, 12, 55),
        ("bookcase", 90, 36, 147),
        ("wardrobeWithSlidingDoors", 180, 60, 220),
    ],
    "Scopia": [("ficus", 42, 42, 82), ("clear_sofa", 194, 76, 80), ("cup", 12, 12, 7)],
}
CUBE = """mtllib box.mtl
v 0 0 0
v 1 0 0
v 1 1 0
v 0 1 0
v 0 0 1
v 1 0 1
v 1 1 1
v 0 1 1
vt 0 0
usemtl paint
f 1/1 4/1 3/1 2/1
f 5/1 6/1 7/1 8/1
f 1//  2// 6// 5//
f 4 8 7 3
f -8 -4 -1 -5
f 2 3 7 6
"""
MATERIAL = "newmtl paint\nKd 0.6 0.3 0.2\nd 1\n"


def write_library(folder: Path, name: str, boxes: list[tuple[str, int, int, int]]) -> Path:
    """A .sh3f file whose models are all the same cube, scaled by the catalogue."""
    lines = []
    for number, (key, width, depth, height) in enumerate(boxes, start=1):
        lines += [
            f"id#{number}={name}#{key}",
            f"model#{number}=/models/{key}.obj",
            f"width#{number}={width}",
            f"depth#{number}={depth}",
            f"height#{number}={height}",
            f"creator#{number}=Box Maker",
        ]
    path = folder / f"{name}.sh3f"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("PluginFurnitureCatalog.properties", "\n".join(lines))
        archive.writestr("models/box.mtl", MATERIAL)
        for key, *_ in boxes:
            archive.writestr(f"models/{key}.obj", CUBE)
    return path

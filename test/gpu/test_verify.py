# SPDX-License-Identifier: Apache-2.0
"""`make verify-gpu` runs what docs/verification.md promises."""

from __future__ import annotations

import re
from pathlib import Path

from gpu.verify import steps


def test_the_document_lists_just_the_steps_that_run() -> None:
    text = (Path(__file__).parents[2] / "docs" / "verification.md").read_text()
    listed = re.findall(r"^\d+\. \*\*(.+?)\*\*", text, re.MULTILINE)
    assert listed == list(steps(Path("model.onnx"), Path("folder")))

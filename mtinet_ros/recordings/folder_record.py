# SPDX-License-Identifier: Apache-2.0
"""How a folder of results is told from other folders."""

from __future__ import annotations

from pathlib import Path

RECORD_FOLDER = ".mtinet_process"
"""Hidden folder in which a folder of results keeps what was written into it."""


def is_result_folder(path: Path) -> bool:
    """Whether a folder holds results of `mtinet process`, and not pictures to work on."""
    return (path / RECORD_FOLDER).is_dir()

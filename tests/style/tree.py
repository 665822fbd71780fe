# SPDX-License-Identifier: Apache-2.0
"""The files that the style tests look at: all of the repository's own, nothing that was built."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
NOT_OURS = {".git", ".venv", ".hypothesis", "build", "__pycache__", "results"}


def files(*suffixes: str) -> list[Path]:
    """Every file of the tree, or those with one of the suffixes."""
    found = []
    for folder, names, entries in os.walk(ROOT):
        names[:] = sorted(
            name for name in names if name not in NOT_OURS and not name.endswith("_cache")
        )
        if Path(folder) == ROOT / "runtime":
            names.append("build")  # the generators, which are source
        found += [Path(folder) / entry for entry in sorted(entries) if entry not in NOT_OURS]
    found = [path for path in found if path.is_file() and not path.is_symlink()]
    return [path for path in found if not suffixes or path.suffix in suffixes]


def scripts() -> list[Path]:
    """The shell scripts, by their first line."""
    return [path for path in files("") if path.read_bytes()[:128].startswith(b"#!/bin/")]


def name(path: Path) -> str:
    """The path as a person writes it, and as test ids show it."""
    return str(path.relative_to(ROOT))

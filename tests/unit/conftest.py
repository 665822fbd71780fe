# SPDX-License-Identifier: Apache-2.0
"""Lets unit tests run from a source tree: there the generated modules don't exist yet."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

if importlib.util.find_spec("pyrun") is None:
    sys.path.insert(0, str(ROOT / "runtime"))

if importlib.util.find_spec("pyrun._schema") is None:
    import pyrun

    _folder = tempfile.TemporaryDirectory(prefix="pyrun-generated-")
    subprocess.run(
        [
            sys.executable,
            ROOT / "runtime/build/schema_module.py",
            ROOT / "spec/config.schema.json",
            Path(_folder.name) / "_schema.py",
        ],
        check=True,
    )
    pyrun.__path__.append(_folder.name)

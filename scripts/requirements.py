# SPDX-License-Identifier: Apache-2.0
"""Prints what pyproject.toml asks for to build, run and (--test) test pyrun, one package a line."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

with (Path(__file__).parent.parent / "pyproject.toml").open("rb") as file:
    settings = tomllib.load(file)
wanted = settings["build-system"]["requires"] + settings["project"]["dependencies"]
if "--test" in sys.argv[1:]:
    wanted += settings["project"]["optional-dependencies"]["test"]
print("\n".join(wanted))

# SPDX-License-Identifier: Apache-2.0
"""Prints what pyproject.toml asks for to build, run and (--test) test pyrun, one package a line;
`--only run` and `--only build` print one of these."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

with (Path(__file__).parent.parent / "pyproject.toml").open("rb") as file:
    settings = tomllib.load(file)
build, run = settings["build-system"]["requires"], settings["project"]["dependencies"]
words = sys.argv[1:]
if words[:1] == ["--only"]:
    wanted = {"build": build, "run": run}[words[1]]
else:
    wanted = build + run
    if "--test" in words:
        wanted += settings["project"]["optional-dependencies"]["test"]
print("\n".join(wanted))

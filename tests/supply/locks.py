# SPDX-License-Identifier: Apache-2.0
"""Reads locks/*.txt, and tells what they lack."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PIN = re.compile(r"([A-Za-z0-9._-]+)==(\S+)")
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")

# Advisories about what is locked: (package, versions that have the flaw, its name). The registry's
# own are asked by `scripts/lock --audit`, which needs a network; these are held to everywhere.
FLAWED = (
    ("protobuf", "<4.21.6", "CVE-2022-1941"),
    ("protobuf", "<4.25.8", "CVE-2025-4565"),
    ("protobuf", ">=5.26,<5.29.5", "CVE-2025-4565"),
    ("protobuf", ">=6.30,<6.31.1", "CVE-2025-4565"),
)


def read(text: str) -> dict[str, tuple[str, int]]:
    """{name: (version, how many hashes)} of a lock. Raises ValueError for anything else in it."""
    found: dict[str, tuple[str, int]] = {}
    joined = re.sub(r"\\\n", " ", text)
    for line in joined.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        pin, *hashes = line.split()
        match = PIN.fullmatch(pin)
        if not match or not all(HASH.fullmatch(word) for word in hashes):
            raise ValueError(f"not a pin: {line[:80]}")
        found[canonicalize_name(match[1])] = (match[2], len(hashes))
    return found


def project() -> dict[str, Any]:
    """pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def closure(wanted: list[str]) -> dict[str, list[Requirement]]:
    """Everything that they bring, by what is installed here: {name: who wants what}."""
    found: dict[str, list[Requirement]] = {}
    todo = [Requirement(text) for text in wanted]
    environment = {**{k: str(v) for k, v in default_environment().items()}, "extra": ""}
    while todo:
        requirement = todo.pop()
        if requirement.marker and not requirement.marker.evaluate(environment):
            continue
        name = canonicalize_name(requirement.name)
        if name not in found:
            todo += [Requirement(text) for text in metadata.requires(name) or ()]
        found.setdefault(name, []).append(requirement)
    return found


def lacks(lock: dict[str, tuple[str, int]], wanted: list[str]) -> list[str]:
    """What keeps `pip install --require-hashes` of the lock from giving what is wanted."""
    problems = [f"{name}: no hash" for name, (_, hashes) in lock.items() if not hashes]
    for name, requirements in closure(wanted).items():
        if name not in lock:
            problems.append(f"{name}: not in it")
            continue
        version = lock[name][0]
        problems += [
            f"{name}: {version} is not {requirement.specifier}"
            for requirement in requirements
            if not requirement.specifier.contains(version, prereleases=True)
        ]
    return problems


def flaws(lock: dict[str, tuple[str, int]]) -> list[str]:
    """The advisories that the locked versions are in."""
    return [
        f"{name} {lock[name][0]}: {advisory}"
        for name, versions, advisory in FLAWED
        if name in lock and SpecifierSet(versions).contains(lock[name][0])
    ]

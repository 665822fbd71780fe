# SPDX-License-Identifier: Apache-2.0
"""Writes docs/security.md's table from the tests and from what is known of each runtime."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

from . import advisories as others
from .peers import CRUN, LACKS, RED, RUNC
from .weakened import DEFENCES
from .weakening import ROOT

PAGE = ROOT / "docs/security.md"
BEGIN, END = "<!-- the table: tests/security/page.py -->\n", "<!-- end of the table -->\n"
ADVISORY = re.compile(r"cve_(\d{4})_(\d+)|ghsa_(\w{4})_(\w{4})_(\w{4})|\b(r\d+)_")
# Tests that hold pyrun to a promise of its own; the others' state is not looked at.
OWN = "test_failures.py"


def functions() -> dict[str, ast.FunctionDef]:
    """{file::function: its code} of every test in the folder that takes a runtime."""
    found = {}
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        if path.stem in ("test_controls", "test_page", "test_races"):
            continue
        for node in ast.parse(path.read_text()).body:
            if not (isinstance(node, ast.FunctionDef) and node.args.args):
                continue  # without arguments, it looks at the tests
            if node.name.startswith("test_"):
                found[f"{path.name}::{node.name}"] = node
    return found


def tests() -> dict[str, str]:
    """{file::function: its words} of these."""
    return {key: node.name.removeprefix("test_") for key, node in functions().items()}


@functools.cache
def skips_others() -> set[str]:
    """The keys of those that leave out whatever is not pyrun."""
    return {
        key
        for key, node in functions().items()
        if any(
            ast.unparse(part).startswith("if not is_pyrun:\n    pytest.skip(") for part in node.body
        )
    }


def advisories(name: str) -> tuple[str, str]:
    """(the advisories or the rule in a test's name, the rest of it in words)."""
    ids = []
    for match in ADVISORY.finditer(name):
        if match[1]:
            ids.append(f"CVE-{match[1]}-{match[2]}")
        elif match[3]:
            ids.append(f"GHSA-{match[3]}-{match[4]}-{match[5]}")
        else:
            ids.append(match[6].upper())
    words = ADVISORY.sub("", name).strip("_").replace("_", " ")
    return ", ".join(ids), re.sub(" +", " ", words)


def verdict(peer: str, test: str) -> str:
    """What a runtime of others does."""
    if test.partition("::")[0] in LACKS.get(peer, ()):
        return "has none"
    if test in skips_others():
        return "not asked"
    rows = [key for key in RED[peer] if key.partition("[")[0] == test]
    if not rows:
        return "holds"
    return "**fails**" if test in rows else "**fails** (some rows)"


def shown(test: str) -> str:
    """How the test was seen to fail."""
    by = [peer for peer in (RUNC, CRUN) if verdict(peer, test).startswith("**")]
    by += [
        defence.name.partition(":")[0] + (" broken" if defence.planted else " taken out")
        for defence in DEFENCES
        if test in (name.partition("[")[0] for name in defence.tests)
    ]
    return ", ".join(by)


def table() -> str:
    """The rows, those of advisories first."""
    head = f"| advisory or rule | test | pyrun | {RUNC} | {CRUN} | seen to fail by |\n"
    lines = [head, "|---|---|---|---|---|---|\n"]
    rows = []
    for test, name in tests().items():
        ids, words = advisories(name)
        if test.startswith(OWN) and not ids:
            continue
        if test.startswith("test_exec"):
            words = f"exec: {words}"
        cells = [ids, words, "holds", verdict(RUNC, test), verdict(CRUN, test), shown(test)]
        rows.append((not ids.startswith(("CVE", "GHSA")), ids, cells))
    for _, _, cells in sorted(rows, key=lambda row: row[:2]):
        lines.append(f"| {' | '.join(cells)} |\n".replace("|  |", "| |").replace("|  |", "| |"))
    return "".join(lines)


def page(old: str) -> str:
    """The page with its table as it should be."""
    before, _, rest = old.partition(BEGIN)
    return before + BEGIN + table() + others.table() + END + rest.partition(END)[2]

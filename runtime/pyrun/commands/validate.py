# SPDX-License-Identifier: Apache-2.0
"""`pyrun validate`: everything wrong with the config of a bundle, with line numbers."""

from __future__ import annotations

import os
import sys

from pyrun import config, jsonscan, log, validate
from pyrun.json_lines import lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.types import Options


def run(opts: Options) -> int:
    """Print the whole report on stdout; 0 when the config is valid, 1 when not.

    Reads `bundle` (default: the current directory) and `config`, a file other than config.json.
    Raises Error when there is no config to judge.
    """
    bundle = opts.get("bundle") or "."
    name = config.chosen(opts)
    data = config.read(bundle, name)
    path = os.path.join(bundle, name)
    problems = validate.full_report(data, path)
    notices = validate.notices(jsonscan.loads(data, path, drop_null=True), bundle)
    where = lines(data.decode()) if problems or notices else {}
    report = [f"{path}: {_count(len(problems), 'problem') if problems else 'valid'}"]
    for kind, entries in (("", problems), ("notice: ", notices)):
        found = [(_place(pointer, where), pointer, text) for pointer, text in entries]
        for line, pointer, text in sorted(found, key=lambda entry: entry[0]):
            report.append(f"  line {line}: {kind}{pointer or '/'}: {text}")
    sys.stdout.write("".join(f"{log.printable(line)}\n" for line in report))
    return 1 if problems else 0


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _place(pointer: str, where: dict[str, int]) -> int:
    """The line of a pointer; for a member that is missing, the line of what should hold it."""
    while pointer and pointer not in where:
        pointer = pointer.rpartition("/")[0]
    return where[pointer]

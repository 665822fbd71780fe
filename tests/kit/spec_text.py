# SPDX-License-Identifier: Apache-2.0
"""The statements of the specification's text, as far as they can be counted: each word of RFC 2119
with the section that it is in."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

WORDS = re.compile(
    r"\b(MUST NOT|MUST|REQUIRED|SHALL NOT|SHALL|SHOULD NOT|SHOULD|NOT RECOMMENDED|RECOMMENDED"
    r"|MAY NOT|MAY|OPTIONAL)\b"
)
HEADING = re.compile(r'#+ (?:<a name="\w+" ?/>)?\s*(.*)')


class Statement(NamedTuple):
    """One word, and where it is."""

    section: str
    level: str
    line: int


def statements(path: Path) -> list[Statement]:
    """Those of a document, outside of code blocks. Examples are no sections of their own."""
    found: list[Statement] = []
    section, code = "", False
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if line.lstrip().startswith("```"):
            code = not code
        elif not code:
            heading = HEADING.match(line)
            if heading and not heading[1].startswith("Example"):
                section = heading[1].strip()
            found += [Statement(section, word, number) for word in WORDS.findall(line)]
    return found

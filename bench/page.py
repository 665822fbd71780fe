# SPDX-License-Identifier: Apache-2.0
"""What the benchmark writes into docs/: every figure, a plot, and the tables of a page.

bench/page.py       the plot and the tables anew, from the figures that are there
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import plot
import results
import table

PAGE, FIGURES, PLOT = "bench.md", "bench.json", "bench.svg"
BEGIN, END = "<!-- figures: make bench writes what is between -->", "<!-- end of figures -->"


def write(found: dict[str, Any], folder: Path) -> None:
    """All three files, of which the page is there already. Raises ValueError if it lacks the
    comments between which the tables go."""
    path = folder / PAGE
    text = insert(path.read_text(), markdown(found))
    (folder / FIGURES).write_text(results.dump(found))
    (folder / PLOT).write_text(plot.draw(found))
    path.write_text(text)


def insert(text: str, block: str) -> str:
    """The page with `block` in place of what is between the two comments."""
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"no {BEGIN if not begin else END}")
    return f"{head}{BEGIN}\n\n{block}\n{END}{tail}"


def markdown(found: dict[str, Any]) -> str:
    """The facts as a list, and the tables."""
    parts = "".join(f"- {line}\n" for line in table.facts(found))
    for title, rows in table.sections(found):
        parts += f"\n{title[0].upper()}{title[1:]}:\n\n"
        marks = ["---", *["--:"] * (len(rows[0]) - 1)]
        for row in (rows[0], marks, *rows[1:]):
            parts += f"| {' | '.join(row)} |\n"
    return parts


if __name__ == "__main__":
    docs = Path(__file__).parent.parent / "docs"
    write(json.loads((docs / FIGURES).read_text()), docs)

# SPDX-License-Identifier: Apache-2.0
"""The blocks of README.md and docs/engines.md that a user copies, so that they can't lie."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
README = ROOT / "README.md"
ENGINES = ROOT / "docs/engines.md"


def block_after(page: Path, words: str) -> str:
    """The first indented block after these words."""
    text = page.read_text()
    assert text.count(words) == 1, f"{page.name}: {words!r} is there {text.count(words)} times"
    found = re.search(r"\n\n((?:    .*\n|\n)+)", text[text.index(words) :])
    assert found, f"{page.name}: no block after {words!r}"
    return textwrap.dedent(found.group(1)).strip() + "\n"

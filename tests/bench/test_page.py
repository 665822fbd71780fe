# SPDX-License-Identifier: Apache-2.0
"""What the benchmark writes into docs/."""

from __future__ import annotations

import json
from pathlib import Path

import growth
import jobs
import page
import plot
import pytest
import results

from .figures import made_up

DOCS = Path(__file__).parent.parent.parent / "docs"


def test_tables_go_between_the_comments(tmp_path: Path) -> None:
    before = f"# Title\n\n{page.BEGIN}\nold\n{page.END}\n\nprose\n"
    (tmp_path / page.PAGE).write_text(before)
    page.write(made_up(), tmp_path)
    text = (tmp_path / page.PAGE).read_text()
    assert text.startswith(f"# Title\n\n{page.BEGIN}\n")
    assert text.endswith(f"{page.END}\n\nprose\n")
    assert "\nold\n" not in text
    for name in (*jobs.VERBS, *growth.NAMES):
        assert f"\n| {name} |" in text
    assert "- skipped: a part: why it is not there\n" in text
    page.write(json.loads((tmp_path / page.FIGURES).read_text()), tmp_path)
    assert (tmp_path / page.PAGE).read_text() == text


@pytest.mark.parametrize("text", ["", page.BEGIN, page.END, f"{page.END} {page.BEGIN}"])
def test_a_page_without_the_comments_stays(tmp_path: Path, text: str) -> None:
    (tmp_path / page.PAGE).write_text(text)
    with pytest.raises(ValueError, match="^no <!--"):
        page.write(made_up(), tmp_path)
    assert (tmp_path / page.PAGE).read_text() == text
    assert not (tmp_path / page.FIGURES).exists()


def test_every_row_has_as_many_cells() -> None:
    for block in page.markdown(made_up()).split("\n\n"):
        rows = [line for line in block.splitlines() if line.startswith("|")]
        assert len({row.count("|") for row in rows}) <= 1


def test_the_docs_are_of_one_measurement() -> None:
    """python3 bench/page.py makes the other two from the figures."""
    found = json.loads((DOCS / page.FIGURES).read_text())
    assert (
        page.insert((DOCS / page.PAGE).read_text(), page.markdown(found))
        == (DOCS / page.PAGE).read_text()
    )
    assert plot.draw(found) == (DOCS / page.PLOT).read_text()
    assert results.dump(found) == (DOCS / page.FIGURES).read_text()


def test_the_docs_have_everything() -> None:
    found = json.loads((DOCS / page.FIGURES).read_text())
    assert list(found["growth"]) == list(growth.NAMES)
    for name in growth.NAMES:
        assert list(found["growth"][name]["times"]) == ["pyrun", "runc", "crun"]
    assert found["at once"]["count"] == 100
    assert list(found["ratios"]) == ["runc", "crun"]
    for verb in jobs.VERBS:
        assert found["ratios"]["runc"][verb]
        assert found["ratios"]["crun"][verb]

# SPDX-License-Identifier: Apache-2.0
"""Writes what is made for readers and shells from the click definitions: man pages, completions.

    documents.py --names             the names of the man pages, one a line
    documents.py DIR VERSION DATE    all files, into DIR (DATE: YYYY-MM-DD, "" for today's)

PYTHONPATH is at the folder of the package, and click installed.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import completions
import man_pages


def main(folder: str, version: str, date: str) -> None:
    """Write them all."""
    pages = man_pages.pages(version, date or time.strftime("%Y-%m-%d", time.gmtime()))
    for name, text in {**pages, **completions.files()}.items():
        (Path(folder) / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:] == ["--names"]:
        print("\n".join(man_pages.pages("", "")))
    else:
        main(*sys.argv[1:])

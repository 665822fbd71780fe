# SPDX-License-Identifier: Apache-2.0
"""Which lines of a table of ps(1) are those of a container."""

from __future__ import annotations

import pytest

from pyrun.commands import ps
from pyrun.errors import Error

TABLE = "UID  PID CMD\nroot   7 x\u2028root 9 y\nroot   9 z\n\nroot   8\n"


def test_lines_end_where_ps_ends_them() -> None:
    """A process whose name has another end of a line does not get a line of its own."""
    heading, first, *_ = TABLE.split("\n")
    assert ps.lines_of(TABLE, [7]) == f"{heading}\n{first}\n"
    assert ps.lines_of(TABLE, [9]) == f"{heading}\nroot   9 z\n"
    assert ps.lines_of(TABLE, []) == f"{heading}\n"


def test_no_column_of_pids() -> None:
    with pytest.raises(Error, match="ps prints no column PID"):
        ps.lines_of("", [7])

# SPDX-License-Identifier: Apache-2.0
"""Whatever config the schema allows: the compiler makes a plan or an Error of it, the same bytes
each time, and the executor's reader takes every plan. Text that is damaged ends in an Error."""

from __future__ import annotations

import contextlib
import copy
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from executor import plans
from fuzzing import short
from needs import needs
from pyrun import config as configs
from pyrun import ops, plan
from pyrun.compile import order
from pyrun.errors import Error
from unit.compile.configs_by_schema import CONFIGS, pruned
from unit.compile.rules import known_of
from unit.odd_configs import texts

pytestmark = needs("clang")


def compiled(config: dict[str, Any]) -> bytes:
    """The plan of a config that passed the checks. Raises Error."""
    facts = known_of(copy.deepcopy(config), {})
    donated = len(order.donations(config, facts))
    return plan.encode([op for _, op in order.compile_init(config, facts)], donated)


class Reader:
    """Collects plans, and has the executor's reader look at all of them at once."""

    def __init__(self, folder: Path) -> None:
        self.program = plans.build(folder, "accept_plan.c", f"-fsanitize={plans.SANITIZERS}")
        self.file = folder / "plans"
        self.count = 0

    def add(self, data: bytes) -> None:
        """One more."""
        with self.file.open("ab") as file:
            file.write(len(data).to_bytes(8, "little") + data)
        self.count += 1

    def look(self) -> subprocess.CompletedProcess[str]:
        """Says how many it takes, or fails."""
        return subprocess.run([self.program, self.file], capture_output=True, text=True)


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    return Reader(tmp_path)


def test_the_reader_takes_every_plan(reader: Reader) -> None:
    @short(80)
    @given(CONFIGS)
    def every(config: dict[str, Any]) -> None:
        accepted = pruned(config)
        try:
            data = compiled(accepted)
        except Error:
            event("refused")
            return
        assert compiled(accepted) == data
        reader.add(data)

    every()
    done = reader.look()
    assert done.stdout == f"{reader.count} plans\n", done.stderr[-2000:]
    assert reader.count > 30


@short(150)
@given(texts())
def test_any_text(data: bytes) -> None:
    try:
        value = configs.decode(data)
    except Error:
        return
    assert configs.decode(data) == value


@short(100)
@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    with contextlib.suppress(Error):
        configs.decode(data)


def test_the_reader_sees_a_plan_that_is_none(reader: Reader) -> None:
    """A number where the name should be."""
    reader.add(plan.encode([ops.umask(0o22), ("sethostname", (1 << 20,), 0)], 0))
    assert reader.look().returncode != 0

# SPDX-License-Identifier: Apache-2.0
"""The plan reader under ASan and UBSan, and under MSan: whatever is not a plan is refused."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from executor import plans
from needs import needs
from pyrun import describe, ops

pytestmark = needs("clang")

RUNS = 2_000_000  # some seconds


def test_the_plans_have_every_kind_of_operand() -> None:
    names = {op[0] for listed in plans.PLANS.values() for op in listed}
    found = {kind for name in names for _, kind in describe.signature(name)}
    every = {
        kind
        for name in vars(ops)
        if callable(getattr(ops, name)) and name not in ("tolerate", "Op")
        for _, kind in describe.signature(name)
    }
    assert found == every


@pytest.mark.parametrize("sanitizers", [plans.SANITIZERS, plans.MSAN])
def test_one_thing_wrong(tmp_path: Path, sanitizers: str) -> None:
    """Each byte, each number, each length: refused, or still a plan that can be used."""
    program = plans.build(tmp_path, "corrupt_plan.c", f"-fsanitize={sanitizers}")
    done = subprocess.run([program, *plans.write(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[0]) > 10_000


@needs("cc")
def test_every_line_is_tried(tmp_path: Path) -> None:
    """By those wrong plans alone: every line of the reader, and either way of every condition."""
    executor = plans.ROOT / "runtime/executor"
    words = ["gcc", "-std=c17", "-D_GNU_SOURCE", "-O0", "--coverage", f"-I{executor}"]
    sources = [plans.HERE / "corrupt_plan.c", executor / "reader.c"]
    command = [*words, f"-I{plans.header(tmp_path)}", *sources, "-o", "corrupt"]
    subprocess.run(command, cwd=tmp_path, check=True)
    listed = plans.write(tmp_path)
    subprocess.run([tmp_path / "corrupt", *listed], check=True, capture_output=True)
    told = ["gcov", "--branch-probabilities", "--branch-counts", "--stdout", "corrupt-reader.gcda"]
    done = subprocess.run(told, cwd=tmp_path, check=True, capture_output=True, text=True)
    lines = done.stdout.splitlines()
    assert (
        sum(":" in line and line.split(":")[0].strip().rstrip("*").isdigit() for line in lines) > 60
    )
    assert [line for line in lines if line.lstrip().startswith("#####")] == []
    assert [
        line for line in lines if re.match(r"branch +\d+ (never executed|taken 0\b)", line)
    ] == []


def test_the_oracle_sees_what_the_reader_lets_pass(tmp_path: Path) -> None:
    """A reader without one of its checks is found out: the tests above can fail."""
    reader = plans.ROOT / "runtime/executor/reader.c"
    weaker = reader.read_text().replace("offset >= blob->size", "0")
    assert weaker != reader.read_text()
    (tmp_path / "reader.c").write_text(weaker)
    folder = tmp_path / "weaker"
    folder.mkdir()
    executor = plans.ROOT / "runtime/executor"
    words = ["clang", "-std=c17", "-D_GNU_SOURCE", f"-fsanitize={plans.SANITIZERS}"]
    words += [f"-I{plans.header(tmp_path)}", f"-I{executor}", f"-I{plans.HERE}"]
    program = folder / "corrupt"
    sources = [plans.HERE / "corrupt_plan.c", tmp_path / "reader.c"]
    subprocess.run([*words, *sources, "-o", program], check=True)
    done = subprocess.run([program, *plans.write(folder)[:3]], capture_output=True, text=True)
    assert done.returncode != 0


def test_fuzz(tmp_path: Path) -> None:
    """A short run on every `make test`; `make fuzz` goes on for as long as it is asked to."""
    try:
        program = plans.build(tmp_path, "fuzz_reader.c", f"-fsanitize=fuzzer,{plans.SANITIZERS}")
    except subprocess.CalledProcessError:
        pytest.fail("clang without libFuzzer: install its compiler-rt (Debian: libclang-rt-dev)")
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    plans.write(corpus)
    words = [program, "-seed=1", f"-runs={RUNS}", "-max_len=4096", "-rss_limit_mb=512"]
    done = subprocess.run(
        [*words, "-print_final_stats=1", corpus], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert "number_of_executed_units" in done.stderr

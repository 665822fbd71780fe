# SPDX-License-Identifier: Apache-2.0
"""Suites of others: programs of every kind of ending, none of them anybody's."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from conformance import tap
from conformance.external import judge

from unit.runtime_spec import ROOT

PROGRAMS = {
    "good": 'echo "TAP version 13"; echo "ok 1 - $RUNTIME in $(basename "$PWD")"; echo 1..1',
    "bad": """echo 1..3
echo "ok 1 - first"
echo "not ok 2 - second # of two"
echo "  ---"
echo "  error: not so"
echo "  ..."
echo "ok 3 - third # SKIP no such kernel"
exit 1""",
    "crash": 'echo 1..2; echo "ok 1 - before"; kill -SEGV $$',
    "dies": "echo cannot >&2; exit 7",
    "empty": "echo 1..0",
    "skipped": 'echo "1..0 # SKIP needs another host"',
    "hangs": 'echo 1..2; echo "ok 1 - before"; sleep 600 & wait',
    "short": 'echo 1..3; echo "ok 1"; echo "ok 2"',
    "unplanned": 'echo "ok 1 - all is well"',
    "silent": "exit 0",
    "late": 'echo "ok 1 - fine"; echo 1..1; exit 3',
    "todo": 'echo 1..1; echo "not ok 1 - later # TODO not yet"',
}
WANTED = {
    "good": ("pass", ""),
    "bad": ("fail", "1 of 3 assertions failed"),
    "crash": ("fail", "it crashed: SIGSEGV"),
    "dies": ("fail", "it crashed: exit code 7, and no TAP"),
    "empty": ("fail", "the plan is empty"),
    "skipped": ("skip", "SKIP needs another host"),
    "hangs": ("fail", "it hangs: stopped after 1 assertions"),
    "short": ("fail", "malformed TAP: 3 assertions were planned, 2 made"),
    "unplanned": ("fail", "malformed TAP: no plan"),
    "silent": ("fail", "no TAP"),
    "late": ("fail", "exit code 3, though no assertion failed"),
    "todo": ("pass", ""),
}


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("suite")
    for name, script in PROGRAMS.items():
        path = folder / f"validation/{name}/{name}.t"
        path.parent.mkdir(parents=True)
        path.write_text(f"#!/bin/bash\n{script}\n")
        path.chmod(0o755)
    (folder / "validation/good/good.go").write_text("")
    (folder / "validation/notes.t").write_text("no program")
    runtime = folder / "runtime"
    runtime.write_text("#!/bin/sh\necho runtime 7\n")
    runtime.chmod(0o755)
    return folder


def external(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "conformance.external", "--suite", "runtime-tools", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)


@pytest.fixture(scope="module")
def found(suite: Path) -> dict[str, dict[str, str]]:
    """Outcome and reason of each row, by id."""
    done = external("--path", suite, "--runtime", suite / "runtime", "--time-limit", "5",
                    "--format", "json")  # fmt: skip
    assert done.returncode == 1, done.stderr
    rows = json.loads(done.stdout)["requirements"]
    return {row["id"]: row["results"]["runtime"] for row in rows}


@pytest.mark.parametrize("name", PROGRAMS)
def test_files(name: str, found: dict[str, dict[str, str]]) -> None:
    row = found[f"validation/{name}/{name}.t"]
    assert (row["outcome"], row["reason"]) == WANTED[name]


def test_what_is_no_program_is_left_out(found: dict[str, dict[str, str]]) -> None:
    assert {name.partition("#")[0] for name in found} == {
        f"validation/{name}/{name}.t" for name in PROGRAMS
    }


def test_assertions(found: dict[str, dict[str, str]]) -> None:
    bad = [found[f"validation/bad/bad.t#{number}"] for number in (1, 2, 3)]
    assert [row["outcome"] for row in bad] == ["pass", "fail", "skip"]
    assert (bad[1]["reason"], bad[2]["reason"]) == ("error: not so", "SKIP no such kernel")
    assert found["validation/todo/todo.t#1"]["outcome"] == "skip"
    assert found["validation/crash/crash.t#1"]["outcome"] == "pass"
    assert "cannot" in json.dumps(found["validation/dies/dies.t"])


def test_folder_and_runtime(suite: Path) -> None:
    """Programs run in the suite's folder, with RUNTIME set; several runtimes are side by side."""
    other = suite / "other"
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    done = external("--path", suite, "--runtime", suite / "runtime", "--runtime", other,
                    "--time-limit", "2", "--format", "json")  # fmt: skip
    rows = json.loads(done.stdout)["requirements"]
    good = [row for row in rows if row["id"].startswith("validation/good/good.t#")]
    (assertion,) = good
    assert assertion["says"] == f"{suite / 'runtime'} in {suite.name}"
    results = assertion["results"]
    assert [result["outcome"] for result in results.values()] == ["pass", "pass"]
    assert str(other) not in assertion["says"]


def test_what_one_runtime_alone_reaches(suite: Path, tmp_path: Path) -> None:
    """It is no failure of the other one, which has failed as a whole."""
    program = tmp_path / "validation/x.t"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\n$RUNTIME || exit 1\necho "ok 1 - it runs"\necho 1..1\n')
    program.chmod(0o755)
    done = external("--path", tmp_path, "--runtime", "true", "--runtime", "false",
                    "--format", "json")  # fmt: skip
    rows = {row["id"]: row["results"] for row in json.loads(done.stdout)["requirements"]}
    outcomes = {
        name: [result["outcome"] for result in results.values()] for name, results in rows.items()
    }
    assert outcomes == {"validation/x.t": ["pass", "fail"], "validation/x.t#1": ["pass", "skip"]}
    reason = rows["validation/x.t#1"]["false"]["reason"]
    assert reason == "it was not reached with this runtime"


@pytest.mark.parametrize("form", ["text", "junit", "tap", "html", "markdown"])
def test_forms(form: str, suite: Path, tmp_path: Path) -> None:
    report = tmp_path / "report"
    done = external("--path", suite, "--runtime", suite / "runtime", "--time-limit", "2",
                    "--format", form, "-o", report)  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    text = report.read_text()
    assert "validation/crash/crash.t" in text
    assert "it crashed: SIGSEGV" in text
    assert f"cd {suite} &amp;&amp; RUNTIME=" in text or f"cd {suite} && RUNTIME=" in text or (
        form == "markdown"
    )  # fmt: skip


def test_nothing_built(tmp_path: Path) -> None:
    done = external("--path", tmp_path, "--runtime", "true")
    assert done.returncode == 2
    assert "no executable validation/**/*.t" in done.stderr


def test_hung_programs_leave_nothing(suite: Path, found: dict[str, dict[str, str]]) -> None:
    running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    assert str(suite) not in running.stdout


@pytest.mark.parametrize(
    ("text", "complaints"),
    [
        ("1..1\nok 1\n", []),
        ("ok\nok\n1..2\n", []),  # numbers may be left out
        ("1..1\nok 2\n", ["assertion 2 comes where 1 is due"]),
        ("1..1\n1..1\nok 1\n", ["two plans"]),
        ("1..1\nok 1\n  ---\n  a: b\n", ["a block of YAML does not end"]),
        ("1..1\nok 1\nBail out! no disk\n", ["it bailed out: no disk"]),
        ("okay\n# ok 1\n    ok 1 - inner\nnot okay\n1..0\n", []),
    ],
)  # fmt: skip
def test_malformed(text: str, complaints: list[str]) -> None:
    assert tap.read(text).complaints == complaints


def test_a_sign_that_is_no_directive() -> None:
    (point,) = tap.read("1..1\nok 1 - issue \\#5 # skipped: no disk\n").points
    assert (point.text, point.outcome, point.reason) == (
        "issue \\#5", "skip", "SKIP no disk",
    )  # fmt: skip
    assert judge(tap.read(""), 0) == ("fail", "no TAP")

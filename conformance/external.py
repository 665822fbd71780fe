# SPDX-License-Identifier: Apache-2.0
"""Runs suites of others, as they are built in a folder that the user has, and reports them in the
forms of the kit: `python3 -m conformance.external --suite runtime-tools --path DIR --runtime PATH`.
"""

from __future__ import annotations

import argparse
import datetime
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from conformance import command, tap
from conformance.case import Observation
from conformance.engine import Finding, Look
from conformance.registry import Requirement
from conformance.report import Contestant, Report

LIMIT = 60  # seconds that one program may take
# Where a suite has its programs, below its folder, and what is said of it.
SUITES = {"runtime-tools": ("validation/**/*.t", "the validation programs of runtime-tools")}
SECTION = "assertions"
DESCRIPTION = """\
Run a suite of others that is built already, and report it as the kit's own checks.

runtime-tools: every executable validation/**/*.t is run in DIR with RUNTIME set, and what it prints
is read as TAP. A program that crashes, hangs, plans nothing or keeps not to TAP has failed.
"""


class Run(NamedTuple):
    """One program with one runtime."""

    name: str  # relative to the suite's folder
    outcome: str  # pass, fail or skip
    reason: str
    stream: tap.Stream
    tail: str  # the end of what it printed on stderr
    seconds: float


def programs(path: Path, suite: str) -> list[Path]:
    """Those of a suite. Raises LookupError where there are none."""
    pattern, what = SUITES[suite]
    found = [entry for entry in sorted(path.glob(pattern)) if entry.is_file()]
    found = [entry for entry in found if os.access(entry, os.X_OK)]
    if not found:
        raise LookupError(f"--path {path}: no executable {pattern}: {what} must be built first")
    return found


def judge(stream: tap.Stream, code: int | None) -> tuple[str, str]:
    """pass, fail or skip of a program, and why; `code` is None where it took too long."""
    failed = [point for point in stream.points if point.outcome == "fail"]
    if code is None:
        return "fail", f"it hangs: stopped after {len(stream.points)} assertions"
    if code < 0:
        return "fail", f"it crashed: {signal.Signals(-code).name}"
    if stream.planned == 0 and not stream.points and code == 0:
        why = stream.why_none
        return ("skip", why) if why.lower().startswith("skip") else ("fail", "the plan is empty")
    if not stream.points and stream.planned is None:
        return "fail", f"it crashed: exit code {code}, and no TAP" if code else "no TAP"
    if stream.complaints:
        return "fail", f"malformed TAP: {'; '.join(stream.complaints)}"
    if failed:
        return "fail", f"{len(failed)} of {len(stream.points)} assertions failed"
    if code != 0:
        return "fail", f"exit code {code}, though no assertion failed"
    return "pass", ""


def run_program(program: Path, folder: Path, runtime: str, limit: float) -> Run:
    """Runs it in a session of its own, which is ended as a whole."""
    started = time.monotonic()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(
            [program],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env={**os.environ, "RUNTIME": runtime},
            start_new_session=True,
        )
        code: int | None
        try:
            code = process.wait(limit)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode("utf-8", "replace"))
    stream = tap.read(texts[0])
    outcome, reason = judge(stream, code)
    name = str(program.relative_to(folder))
    return Run(name, outcome, reason, stream, texts[1][-2000:], time.monotonic() - started)


def _file_finding(label: str, run: Run) -> Finding:
    whole = "the file as a whole"
    requirement = Requirement(run.name, "file", run.name, SECTION, whole, "runtime", "")
    said = f"{run.reason}\n{run.tail}".strip() or "as planned"
    seen = Observation("what the program printed", "TAP, as planned", said, run.outcome != "fail")
    look = Look(run.name, run.outcome, run.reason, [seen], [], run.seconds)
    return Finding(requirement, label, run.outcome, [look])


def _point_finding(label: str, run: Run, number: int, text: str) -> Finding:
    name = f"{run.name}#{number}"
    requirement = Requirement(name, "assertion", run.name, SECTION, text or name, "runtime", "")
    point = {point.number: point for point in run.stream.points}.get(number)
    if point is None:
        look = Look(run.name, "skip", "it was not reached with this runtime", [], [], 0.0)
    else:
        more = "\n".join(point.more) or point.outcome
        seen = Observation(text or name, "ok", more, point.outcome != "fail")
        look = Look(run.name, point.outcome, point.reason or more, [seen], [], 0.0)
    return Finding(requirement, label, look.outcome, [look])


def findings(labels: list[str], runs: list[list[Run]]) -> list[Finding]:
    """A row for each file and one for each assertion that some runtime has reached, for each
    runtime; `runs` are those of each label, of the same programs."""
    found = []
    for of_file in zip(*runs, strict=True):
        reached: dict[int, str] = {}  # the text of the first runtime that comes so far
        for run in of_file:
            reached = {point.number: point.text for point in run.stream.points} | reached
        for label, run in zip(labels, of_file, strict=True):
            found.append(_file_finding(label, run))
            found += [_point_finding(label, run, *key) for key in sorted(reached.items())]
    return found


def parser() -> argparse.ArgumentParser:
    """The flags."""
    found = argparse.ArgumentParser(
        prog="python3 -m conformance.external",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = found.add_argument
    add("--suite", choices=list(SUITES), required=True, help="whose suite it is")
    add("--path", metavar="DIR", type=Path, required=True, help="its folder, with what was built")
    add("--runtime", metavar="PATH", action="append", required=True, help="as for the kit")
    add(
        "--time-limit",
        metavar="SECONDS",
        type=float,
        default=LIMIT,
        help=f"that one program may take ({LIMIT})",
    )
    add("--format", choices=list(command.FORMATS), default="text", help="form of the report (text)")
    add("-o", "--output", metavar="FILE", help="where the report goes (stdout)")
    return found  # fmt: skip


def report(options: argparse.Namespace) -> Report:
    """Runs everything. Raises LookupError."""
    paths = [command.executable(name) for name in options.runtime]
    labels = command.labels_of(paths)
    folder = options.path.resolve()
    every = programs(folder, options.suite)
    started = time.monotonic()
    runs: list[list[Run]] = []
    for path in paths:
        runs.append([])
        for number, program in enumerate(every, 1):
            if sys.stderr.isatty():
                name = program.relative_to(folder)
                print(f"\r\033[K{number}/{len(every)} {name}", end="", file=sys.stderr, flush=True)
            runs[-1].append(run_program(program, folder, path, options.time_limit))
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)
    contestants = [
        Contestant(label, path, command.version(path))
        for label, path in zip(labels, paths, strict=True)
    ]
    when = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return Report(
        contestants,
        findings(labels, runs),
        command.machine(),
        when,
        time.monotonic() - started,
        title=options.suite,
        about=SUITES[options.suite][1].capitalize(),
        again_by=f"cd {folder} && RUNTIME={{path}} {{document}}",
    )


def main(words: list[str]) -> int:
    """The exit status, as the kit's."""
    options = parser().parse_args(words)
    try:
        found = report(options)
        command.write(options, found)
    except (LookupError, OSError) as error:
        print(f"conformance.external: {error}", file=sys.stderr)
        return 2
    return 1 if found.failures() else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

# SPDX-License-Identifier: Apache-2.0
"""The command line: which runtimes, which requirements, in which form."""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from conformance import engine, leftovers, registry
from conformance.engine import Target
from conformance.progress import Progress
from conformance.registry import LEVELS, OTHERS, VERSION
from conformance.report import (
    Contestant,
    Report,
    as_html,
    as_json,
    as_junit,
    as_markdown,
    as_tap,
    as_text,
)

FORMATS: dict[str, Callable[[Report], str]] = {
    "text": as_text.write,
    "json": as_json.write,
    "junit": as_junit.write,
    "tap": as_tap.write,
    "html": as_html.write,
    "markdown": as_markdown.write,
}
DESCRIPTION = f"""\
Hold OCI runtimes to the runtime specification {VERSION}, statement by statement.

Each check makes a bundle, drives the runtime by create, start, state, kill, delete and run, looks
at the container from inside and from outside, and says what it expected and saw. It takes root,
and leaves nothing behind.
"""
EXAMPLES = """\
examples:
  python3 -m conformance --runtime runc
  python3 -m conformance --runtime runc --runtime ./mine --format html -o report.html
  python3 -m conformance --runtime ./mine --level MUST --jobs 4
  python3 -m conformance --runtime ./mine --select runtime.kill 'config.hooks.*'
  python3 -m conformance --list --select config-linux.seccomp

exit status: 0 when nothing failed, 1 when something did, 2 when nothing could be run
"""


def parser() -> argparse.ArgumentParser:
    """The flags."""
    found = argparse.ArgumentParser(
        prog="python3 -m conformance",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = found.add_argument
    add(
        "--runtime",
        metavar="PATH",
        action="append",
        default=[],
        help="a runtime, by its path or its name; several are shown side by side",
    )
    add(
        "--select",
        metavar="ID",
        nargs="+",
        default=[],
        help="these requirements alone: ids, beginnings of ids up to a dot, or patterns with *",
    )
    add(
        "--level",
        choices=LEVELS,
        default="",
        help="those of this level, and of words that are as strong (MUST: REQUIRED, MUST NOT, …)",
    )
    add(
        "--jobs",
        metavar="N",
        type=int,
        default=os.cpu_count() or 1,
        help="checks at the same time (default: one a processor; takes pytest-xdist)",
    )
    add("--format", choices=list(FORMATS), default="text", help="form of the report (text)")
    add("-o", "--output", metavar="FILE", help="where the report goes (stdout)")
    add(
        "--time-limit",
        metavar="SECONDS",
        type=int,
        default=engine.LIMIT,
        help=f"that one check may take ({engine.LIMIT})",
    )
    add("--keep", action="store_true", help="leave bundles and records in the temporary folder")
    add("--list", action="store_true", help="print requirements, and whom else statements bind")
    return found  # fmt: skip


def executable(name: str) -> str:
    """The absolute path of a runtime. Raises LookupError."""
    path = shutil.which(name) if "/" not in name else name
    if not path or not os.access(path, os.X_OK) or Path(path).is_dir():
        raise LookupError(f"--runtime {name}: no such program")
    return os.path.abspath(path)


def labels_of(paths: list[str]) -> list[str]:
    """Their names; of those that share one, the paths."""
    names = [Path(path).name for path in paths]
    return [
        path if names.count(name) > 1 else name for path, name in zip(paths, names, strict=True)
    ]


def version(path: str) -> str:
    """The first line that a runtime prints with --version, or what is wrong."""
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"--version: {error}"
    lines = done.stdout.strip().splitlines()
    return lines[0] if lines else "tells no version"


def machine() -> str:
    """Kernel, cgroup layout and rights, in one line."""
    mounted = leftovers.hierarchies()
    versions = (["v1"] if set(mounted) - {""} else []) + (["v2"] if "" in mounted else [])
    layout = f"cgroup {' and '.join(versions) or 'of no version'}"
    who = "root" if os.geteuid() == 0 else f"user {os.geteuid()}"
    return f"Linux {platform.release()} {platform.machine()}, {layout}, as {who}"


def listing(chosen: list[registry.Requirement]) -> str:
    """The requirements, and how many statements bind whom else."""
    lines = []
    for entry in chosen:
        end = f" [not observable: {entry.unobservable}]" if entry.unobservable else ""
        lines.append(f"{entry.id:<50} {entry.level:<16} {entry.says}{end}")
    lines.append("")
    every = registry.statements()
    for word, reason in OTHERS.items():
        count = sum(entry.binds == word for entry in every)
        lines.append(f"{count:>4} statements are not for a runtime ({word}): {reason}")
    return "\n".join(lines) + "\n"


def _run(options: argparse.Namespace, chosen: list[registry.Requirement]) -> Report:
    paths = [executable(name) for name in options.runtime]
    labels = labels_of(paths)
    ids = [entry.id for entry in chosen]
    targets = [Target(label, path, {}, ids) for label, path in zip(labels, paths, strict=True)]
    jobs = engine.jobs_possible(options.jobs)
    started = time.monotonic()
    with Progress(labels) as progress:
        findings = engine.run(
            targets, jobs, options.time_limit, options.keep, progress, progress.total
        )
    contestants = [
        Contestant(label, path, version(path)) for label, path in zip(labels, paths, strict=True)
    ]
    when = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return Report(contestants, findings, machine(), when, time.monotonic() - started)


def write(options: argparse.Namespace, report: Report) -> None:
    """Where and in the form that was asked for; of a file, stderr tells. Raises OSError."""
    if options.output:
        Path(options.output).write_text(FORMATS[options.format](report), encoding="utf-8")
        failed = ", ".join(f"{label} {sums['fail']}" for label, sums in report.total().items())
        print(f"conformance: {options.output}: failed: {failed}", file=sys.stderr)
    elif options.format == "text":
        sys.stdout.write(as_text.write(report, color=sys.stdout.isatty()))
    else:
        sys.stdout.write(FORMATS[options.format](report))


def main(words: list[str]) -> int:
    """The exit status."""
    flags = parser()
    options = flags.parse_args(words)
    try:
        chosen = registry.select(options.select, options.level)
    except KeyError as error:
        flags.error(f"--select {error.args[0]}: no such requirement; --list shows them all")
    if options.list:
        sys.stdout.write(listing(chosen))
        return 0
    if not options.runtime:
        flags.error("--runtime is missing: name a runtime, such as --runtime runc")
    if options.jobs < 1 or options.time_limit < 1:
        flags.error("--jobs and --time-limit take numbers above 0")
    if not chosen:
        flags.error(f"no requirement of level {options.level} among those selected")
    try:
        report = _run(options, chosen)
        write(options, report)
    except (LookupError, OSError, engine.Broken) as error:
        print(f"conformance: {error}", file=sys.stderr)
        return 2
    return 1 if report.failures() else 0

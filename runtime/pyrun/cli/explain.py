# SPDX-License-Identifier: Apache-2.0
"""The command lines that the hot path does not take: help, version, and mistakes, by click."""

from __future__ import annotations

import sys

import click

from pyrun import log
from pyrun.cli.verbs import PROGRAM
from pyrun.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.types import Options


def parse(argv: list[str]) -> tuple[str, Options] | int:
    """The verb and its options; or, when all was said here, the exit code.

    `argv` begins with argv[0]. Raises click.UsageError for a mistake.
    """
    try:
        with _context() as ctx:
            ctx.meta["pyrun.argv0"] = argv[0]
            PROGRAM.parse_args(ctx, argv[1:])
            verb, opts = PROGRAM.invoke(ctx)
            return verb, opts
    except click.exceptions.Exit as stop:
        return int(stop.exit_code)


def explain(argv: list[str]) -> tuple[str, Options] | int:
    """As parse(), but a mistake is reported, on stderr and in the log that was named so far."""
    try:
        return parse(argv)
    except click.UsageError as mistake:
        where = mistake.ctx or _context()
        try:
            log.open_log(where.find_root().obj or {})
        except Error as unusable:
            log.error(str(unusable))
        log.error(mistake.message)
        sys.stderr.write(f"Try '{where.command_path} --help'.\n")
        return mistake.exit_code


def _context() -> click.Context:
    return click.Context(PROGRAM, info_name="pyrun", **PROGRAM.context_settings)

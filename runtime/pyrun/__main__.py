# SPDX-License-Identifier: Apache-2.0
"""Entry of every verb: parse, run the verb's module, and make one line of whatever went wrong."""

from __future__ import annotations

import errno
import os
import sys

from pyrun import log, pack
from pyrun.cli import hot
from pyrun.errors import EXEC_FAILURE, GENERIC, Error, reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from pyrun.types import Options

# What a shell reports of a process that this signal ended.
INTERRUPTED = 128 + 2
OUTPUT_CLOSED = 128 + 13
# What these do takes half of Python, as long as nothing fails (pyrun/pack.py).
SHORT = ("create", "run", "exec", "start", "state", "kill", "delete")


def main(argv: list[str]) -> int:
    """Runs one command line; `argv` begins with argv[0]. Returns the exit code, and never raises.

    Standard output is flushed.
    """
    # State, sockets and temporary files are private. Modes that others need are set explicitly, and
    # hooks get the caller's umask back.
    umask = os.umask(0o077)
    verb = ""
    try:
        parsed = hot.parse(argv[1:]) or _explain(argv)
        code = 0
        if isinstance(parsed, int):
            code = parsed
        else:
            verb, opts = parsed
            code = _run(verb, {**opts, "umask": umask, "handler": _handler(argv[0])})
        _flush()
    except Error as error:
        _output_error()  # what was printed before it failed comes first
        log.error(str(error))
        return error.code if error.code != GENERIC else _failure(verb)
    except KeyboardInterrupt:
        log.error("interrupted")
        return INTERRUPTED
    except BaseException as error:  # noqa: BLE001 - the last resort: the user gets one line, always
        return _unexpected(error, verb)
    return code


def finish(argv: list[str]) -> NoReturn:
    """As main(), and ends the process at once: tidying up the interpreter takes 1 ms, and it would
    complain of a standard output that main() has already dealt with.
    """
    os._exit(main(argv))


def _explain(argv: list[str]) -> Any:
    pack.complete()
    return _slow("pyrun.cli.explain").explain(argv)


def _run(verb: str, opts: Options) -> int:
    if verb not in SHORT:
        pack.complete()
    log.open_log(opts)
    if verb in ("create", "run", "exec"):
        _slow("pyrun.cgroup.grace").begin()  # before the many modules of these are loaded
    if opts.get("trace"):
        return int(_slow("pyrun.tracing").run(verb, opts, _slow))
    load(verb)
    return int(_slow(f"pyrun.commands.{verb}").run(opts))


def _handler(argv0: str) -> str:
    """The handler that a link to us names, as crun-wasm does: pyrun-HANDLER."""
    name = argv0.rpartition("/")[2]
    return name[6:] if name.startswith("pyrun-") else ""


def load(verb: str) -> None:
    """Hook of the pack: the modules of a verb, all at once."""


def _slow(name: str) -> Any:
    """A module by its name: loaded when the command line asks for it, and not before."""
    __import__(name)
    return sys.modules[name]


def _flush() -> None:
    """Writes what is left of standard output; a full disk must not pass for success."""
    output = getattr(sys, "stdout", None)
    if output is not None:
        output.flush()


def _unexpected(error: BaseException, verb: str) -> int:
    """Reports what no verb has foreseen."""
    output_error = _output_error()
    where = f"{verb}: " if verb else ""
    if isinstance(error, OSError) and error.errno:
        if error.errno == output_error:
            if error.errno == errno.EPIPE:
                return OUTPUT_CLOSED  # `pyrun list | head`: nothing went wrong
            where = "cannot write to standard output: "
        elif error.filename:
            where += f"{error.filename}: "
        log.error(f"{where}{reason(error.errno)}")
    elif isinstance(error, MemoryError):
        log.error(f"{where}out of memory: {reason(errno.ENOMEM)}")
    elif isinstance(error, ImportError):
        log.error(f"{where}the package can't be loaded: {error}")
    elif isinstance(error, RecursionError):
        log.error(f"{where}the input is nested too deeply")
    else:
        name = type(error).__name__
        hint = "" if log.debugging() else ": --debug shows where"
        log.error(f"internal error: {name}: {error}{hint}")
    if log.debugging():
        _slow("pyrun.cli.trace").write(error)
    return _failure(verb)


def _failure(verb: str) -> int:
    """The exit code of a failure of our own: of exec, one that its process hardly has."""
    return EXEC_FAILURE if verb == "exec" else GENERIC


def _output_error() -> int:
    """Flushes standard output; the errno with which that fails, 0 when it does not: was it that, or
    a file or socket of ours?
    """
    try:
        _flush()
    except OSError as error:
        return error.errno or 0
    return 0


if __name__ == "__main__":
    finish(sys.argv)

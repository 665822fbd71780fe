# SPDX-License-Identifier: Apache-2.0
"""The log: one record a line, as text or JSON, in the fields that containerd and podman parse.

podman reads the whole file as one JSON document, so nothing but the error that ends a verb is
written unless the caller asks for more (--debug, --log-level).
"""

from __future__ import annotations

import errno
import os
import time
from _json import encode_basestring as quote
from _json import encode_basestring_ascii as quote_ascii

from pyrun import pack
from pyrun.errors import Error, reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.system_log import Sink
    from pyrun.types import Options

LEVELS = {"error": 0, "warning": 1, "debug": 2}
STDERR = 2
FILE_MODE = 0o644  # a collector that is not root reads it, as it reads runc's

_path = ""  # no file: records go to stderr
_sink: Sink | None = None  # or to the machine's own log
_json_lines = False
_level = 0


def open_log(opts: Options) -> None:
    """Sets where records go: the log_* options, `debug`. The file itself is made with the first.

    Raises Error for a destination that cannot be written. The log then stays on stderr.
    """
    global _path, _sink, _json_lines, _level
    _path = ""
    _sink = None
    _json_lines = opts.get("log_format") == "json"
    _level = LEVELS["debug"] if opts.get("debug") else LEVELS[opts.get("log_level", "error")]
    path = str(opts.get("log", ""))
    if path.startswith(("journald:", "syslog:")):
        from pyrun import system_log  # rare

        _sink = system_log.open_sink(path)
        return
    path = path.removeprefix("file:")
    if not path:
        return
    path = os.path.abspath(path)  # the verb may change its folder
    try:
        os.close(_open_present(path))
    except FileNotFoundError:
        folder = os.path.dirname(path)
        if not os.access(folder, os.W_OK | os.X_OK):
            code = errno.EACCES if os.path.isdir(folder) else errno.ENOENT
            raise Error(f"cannot open log file {path}: {reason(code)}") from None
    except OSError as error:
        raise Error(f"cannot open log file {path}: {_why(error)}") from error
    _path = path


def error(text: str) -> None:
    """Reports why the verb fails: `pyrun: text` on stderr, and a record in the log file."""
    to_stderr(f"pyrun: {text}")
    if _path or _sink:
        _write("error", text)


def warning(text: str) -> None:
    """Records what the user should know though the verb goes on. Off by default."""
    if warns():
        _write("warning", text)


def warns() -> bool:
    """Whether warnings are written: ask before looking for any."""
    return _level >= LEVELS["warning"]


def debug(text: str) -> None:
    """Records a step of the work. Off by default."""
    if _level >= LEVELS["debug"]:
        _write("debug", text)


def debugging() -> bool:
    """Whether debug records are written: ask before making an expensive one."""
    return _level >= LEVELS["debug"]


def to_stderr(text: str) -> None:
    """One line on stderr. Not through sys.stderr, which may be closed and is slow to begin with."""
    try:
        os.write(STDERR, f"{printable(text)}\n".encode())
    except OSError:
        return  # nobody is left to tell


def printable(text: str) -> str:
    """`text` with control characters escaped: a name in a config must not drive a terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escape(c) for c in text)


def record(level: str, text: str, seconds: float) -> str:
    """One record as a line, without its end. `seconds` is the time since the epoch."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))  # RFC 3339
    if _json_lines:
        return f'{{"level":"{level}","msg":{quote_ascii(text)},"time":"{stamp}"}}'
    return f'time="{stamp}" level={level} msg={printable(quote(text))}'


def _write(level: str, text: str) -> None:
    if _sink:
        # It has the time and the level of its own.
        _write_to_sink(_sink, level, record(level, text, time.time()) if _json_lines else text)
        return
    line = f"{record(level, text, time.time())}\n".encode()
    if not _path:
        _write_to(STDERR, line)
        return
    try:
        fd = _open_for_append(_path)
    except OSError as problem:
        to_stderr(f"pyrun: cannot open log file {_path}: {_why(problem)}")
        return
    try:
        _write_to(fd, line)
    finally:
        os.close(fd)


def _write_to_sink(sink: Sink, level: str, text: str) -> None:
    try:
        sink(level, printable(text))
    except OSError as problem:
        to_stderr(f"pyrun: cannot write the log: {reason(problem.errno or 0)}")


def _write_to(fd: int, line: bytes) -> None:
    # One write a record: O_APPEND then keeps records of concurrent verbs whole.
    try:
        os.write(fd, line)
    except OSError as problem:
        if fd != STDERR:
            to_stderr(f"pyrun: cannot write log file {_path}: {reason(problem.errno or 0)}")


def _open_for_append(path: str) -> int:
    try:
        return _open_present(path)
    except FileNotFoundError:
        pass
    try:
        # O_EXCL: what is created here is ours, never the target of somebody's dangling symlink.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        fd = os.open(path, flags, FILE_MODE)
    except FileExistsError:  # another verb was faster
        return _open_present(path)
    os.fchmod(fd, FILE_MODE)  # our umask is 077
    return fd


def _open_present(path: str) -> int:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOCTTY
    # /dev/stderr and its like are symlinks of the kernel's making. Any other may be a trap laid in
    # a folder that others can write.
    if not path.startswith(("/dev/", "/proc/self/fd/")):
        flags |= os.O_NOFOLLOW
    return os.open(path, flags)


def _why(error: OSError) -> str:
    # The kernel's words for a refused symlink speak of too many of them.
    return "it is a symbolic link" if error.errno == errno.ELOOP else reason(error.errno or 0)


def _escape(character: str) -> str:
    pack.complete()
    return character.encode("unicode_escape").decode("ascii")

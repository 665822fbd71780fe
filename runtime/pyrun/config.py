# SPDX-License-Identifier: Apache-2.0
"""From a bundle to a config whose shape is right: where config.json is, and how it is read."""

from __future__ import annotations

import errno
import os
from _blake2 import blake2b

from pyrun import jsonscan, schema_check
from pyrun.errors import ConfigError, Error, from_os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.types import Config, Options, Schema

NAME = "config.json"


def chosen(opts: Options) -> str:
    """The name to load, by --config: a path from where the caller is, as with crun, unless it is
    the usual name, which is that of the bundle's own."""
    name: str = opts.get("config") or NAME
    return name if name == NAME else os.path.abspath(name)


def load(bundle: str, name: str = NAME) -> Config:
    """The config of a bundle, its shape checked against spec/config.schema.json.

    `name` is relative to the bundle, or absolute. Members that are null are left out. Raises Error
    when the file can't be read or decoded, ConfigError with every problem of its shape. Rules
    between fields are another matter: pyrun.compile.checks.
    """
    return decode(read(bundle, name), name)


def read(bundle: str, name: str = NAME) -> bytes:
    """The bytes of a bundle's config; Error says what is missing."""
    path = os.path.join(bundle, name)
    try:
        return read_limited(path)
    except OSError as error:
        if error.errno == errno.ENOENT and not os.path.isdir(bundle):
            raise from_os(error, f"bundle {bundle}") from None
        if error.errno == errno.ENOENT:
            where = os.path.join(os.path.abspath(bundle), name)
            raise from_os(error, f"read {where}", hint="`pyrun spec` makes one") from None
        raise from_os(error, f"read {path}") from None


def decode(data: bytes, what: str = NAME, schema: Schema | None = None) -> Config:
    """The object that JSON text holds, its shape checked; `what` names the text in errors."""
    value = jsonscan.loads(data, what, drop_null=True)
    if not isinstance(value, dict):
        raise Error(f"{what}: must hold a JSON object, not {schema_check.shown(value)}")
    problems = schema_check.check(value, schema)
    if problems:
        raise ConfigError(problems)
    return value


def digest(data: bytes) -> str:
    """A name for the content of a config: 32 hexadecimal digits of BLAKE2b."""
    return blake2b(data, digest_size=16).hexdigest()


def read_limited(path: str) -> bytes:
    """A whole file, or one byte more than jsonscan takes: it refuses that with its own words."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        return read_open(fd)
    finally:
        os.close(fd)


def read_open(fd: int) -> bytes:
    """As read_limited(), of a descriptor: standard input may be a pipe or a socket."""
    parts = []
    room = jsonscan.SIZE_LIMIT + 1
    while room > 0 and (part := os.read(fd, min(room, 1 << 20))):
        parts.append(part)
        room -= len(part)
    return b"".join(parts)

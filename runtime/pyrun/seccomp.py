# SPDX-License-Identifier: Apache-2.0
"""The BPF program of a seccomp profile, and the cache that saves compiling it at each create.

An entry is a file named by the digest of everything that shapes the program: the profile, the
kernel's release and this module's GENERATION. It also says which file libseccomp was, so that an
upgrade of the library makes it stale without loading the library to ask for its version:

    digest of all that follows | device inode size mtime_ns of libseccomp | length | path | BPF

The folder belongs to us alone: who could write there would choose the filter of a container.
A cache that fails, for whatever reason, only means that the program is compiled.
"""

from __future__ import annotations

import _stat
import _struct
import os
from _blake2 import blake2b

from pyrun.compile.seccomp import NARROW, ROOT
from pyrun.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.types import Config

# Raise it whenever the program made from the same profile changes.
GENERATION = 3

INSTRUCTION = 8  # bytes of a struct sock_filter
LONGEST = 4096  # instructions: BPF_MAXINSNS

DIGEST = 32
HEADER = "=QQQQH"
HEADER_SIZE = _struct.calcsize(HEADER)
LARGEST_ENTRY = 1 << 16
MOST_ENTRIES = 256

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
ENTRY = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
NEW_ENTRY = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def program(profile: Config, cache_dir: str) -> bytes:
    """The array of struct sock_filter that seccomp(2) loads for a profile.

    `profile` comes from compile.seccomp.profile; `cache_dir` is the folder of the cache (made
    when missing, mode 0700), "" for none. Raises Error when libseccomp refuses the profile, or
    the program is longer than the kernel takes; never because of the cache.
    """
    folder = _open_folder(cache_dir) if cache_dir else -1
    try:
        name = _name(profile)
        code = _load(folder, name) if folder >= 0 else b""
        if not code:
            code, library = _compile(profile)
            if folder >= 0:
                _store(folder, name, library, code)
        return code
    finally:
        if folder >= 0:
            os.close(folder)


def _compile(profile: Config) -> tuple[bytes, str]:
    """The program, and the path of the libseccomp that made it."""
    # Here and not above: a create with a cached program never needs them, nor libseccomp.
    from pyrun.compile import seccomp_comparisons, seccomp_enosys
    from pyrun.kernel import libseccomp

    shown, ours = seccomp_comparisons.split(profile)
    profile_shown = {**profile, "rules": shown}
    others = [name for name in profile["archs"] if name != "x32"]
    code = libseccomp.bpf({**profile_shown, "archs": others})
    if others != profile["archs"]:
        # Apart: libseccomp (2.5.4 at least) may compare the number of a call without having loaded
        # it where a rule is of a call that x32 lacks. Then no rule for x86_64 matches, and a
        # profile that allows by default denies nothing.
        x32 = libseccomp.bpf({**profile_shown, "archs": ["x32"]}, alone=True)
        code = seccomp_enosys.x32_apart(libseccomp.lib.SCMP_ARCH_X86_64, code, x32)
    if ours:
        calls = libseccomp.calls(profile["archs"], NARROW, ours)
        code = seccomp_comparisons.stub(calls, profile["default"]) + code
    if seccomp_enosys.needed(profile["default"]):
        code = seccomp_enosys.stub(libseccomp.limits(profile)) + code
    count = len(code) // INSTRUCTION
    if count > LONGEST:
        text = f"the filter has {count} instructions, the kernel takes {LONGEST}"
        raise Error(text, ROOT, "give it fewer rules or architectures")
    return code, libseccomp.path()


def _name(profile: Config) -> str:
    # What flags and the listener say is no part of the program. repr() of lists, strings and
    # ints is one text for one value.
    shape = (
        GENERATION,
        os.uname().release,
        [profile[key] for key in ("default", "archs", "rules")],
    )
    return blake2b(repr(shape).encode(), digest_size=DIGEST).hexdigest()


def _open_folder(path: str) -> int:
    """The folder as an fd, or -1 when it can't be trusted or had."""
    try:
        try:
            fd = os.open(path, FOLDER)
        except FileNotFoundError:
            os.makedirs(path, 0o700, exist_ok=True)
            fd = os.open(path, FOLDER)
    except OSError:
        return -1
    if _ours(os.fstat(fd)):
        return fd
    os.close(fd)
    return -1


def _ours(status: os.stat_result) -> bool:
    return status.st_uid == os.geteuid() and not status.st_mode & 0o077


def _load(folder: int, name: str) -> bytes:
    """The program of an entry; empty when there is none that is ours, whole and current."""
    try:
        fd = os.open(name, ENTRY, dir_fd=folder)
    except OSError:
        return b""
    try:
        status = os.fstat(fd)
        if not (_stat.S_ISREG(status.st_mode) and _ours(status)):
            return b""
        entry = os.read(fd, LARGEST_ENTRY)
        return _decode(name, entry)
    except OSError:
        return b""
    finally:
        os.close(fd)


def _encode(name: str, library: str, code: bytes) -> bytes:
    path = os.fsencode(library)
    body = _struct.pack(HEADER, *_identity(path), len(path)) + path + code
    return _digest(name, body) + body


def _decode(name: str, entry: bytes) -> bytes:
    body = entry[DIGEST:]
    if len(body) < HEADER_SIZE or entry[:DIGEST] != _digest(name, body):
        return b""
    *identity, length = _struct.unpack_from(HEADER, body)
    path = body[HEADER_SIZE : HEADER_SIZE + length]
    return body[HEADER_SIZE + length :] if identity == _identity(path) else b""


def _digest(name: str, body: bytes) -> bytes:
    # The name is part of it: an entry copied to another name is corrupt too.
    return blake2b(body, digest_size=DIGEST, key=bytes.fromhex(name)).digest()


def _identity(path: bytes) -> list[int]:
    status = os.stat(path)
    return [status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns]


def _store(folder: int, name: str, library: str, code: bytes) -> None:
    try:
        entry = _encode(name, library, code)
        if len(entry) > LARGEST_ENTRY:
            return
        temporary = f".{os.urandom(8).hex()}"
        fd = os.open(temporary, NEW_ENTRY, 0o600, dir_fd=folder)
        try:
            whole = os.write(fd, entry) == len(entry)
        finally:
            os.close(fd)
        if whole:
            os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        else:
            os.unlink(temporary, dir_fd=folder)
        _prune(folder)
    except OSError:
        pass  # the next create compiles again


def _prune(folder: int) -> None:
    """Forget the older half once there are too many: profiles are written by users."""
    names = os.listdir(folder)
    if len(names) <= MOST_ENTRIES:
        return
    ages = [
        (os.stat(name, dir_fd=folder, follow_symlinks=False).st_mtime_ns, name) for name in names
    ]
    for _, name in sorted(ages)[: len(ages) // 2]:
        os.unlink(name, dir_fd=folder)

# SPDX-License-Identifier: Apache-2.0
"""How a seccomp profile is said to libseccomp. Imported only when the cache has no program."""

from __future__ import annotations

import errno
import os

from pyrun.errors import Error, reason
from pyrun.kernel import _seccomp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.compile.seccomp_comparisons import Calls, Rules
    from pyrun.compile.seccomp_enosys import Limits
    from pyrun.types import Config

ffi, lib = _seccomp.ffi, _seccomp.lib

ROOT = "/linux/seccomp"  # whose field is at fault when libseccomp refuses

# More rules than this are searched as a binary tree by number, and not one after the other.
FEW_RULES = 32
BINARY_TREE = 2

EVERY_NUMBER = 0xFFFFFFFF

# What libseccomp gives for calls that are reached by socketcall(2) or ipc(2), and, on most
# architectures that have those, by a number of their own besides.
MULTIPLEXED = range(-299, -99)
HIGHEST_OWN = 1024


def version() -> str:
    """The version of the libseccomp in use, such as "2.5.4"."""
    found = lib.seccomp_version()
    return f"{found.major}.{found.minor}.{found.micro}"


def path() -> str:
    """The file that libseccomp was loaded from: the extension's own if it holds the library."""
    with open("/proc/self/maps", "rb") as maps:
        for line in maps:
            words = line.rstrip(b"\n").split(None, 5)
            if len(words) == 6 and b"/libseccomp.so" in words[5]:
                return os.fsdecode(words[5])
    return str(_seccomp.__file__)


def bpf(profile: Config, *, alone: bool = False) -> bytes:
    """The filter of a profile (compile.seccomp.profile): an array of struct sock_filter, for its
    architectures and (unless `alone`) the native one.

    System calls that libseccomp does not know are left out; no rule may say what the default says,
    and no call have rules that libseccomp confuses (seccomp_comparisons.split). Raises Error for
    what it refuses.
    """
    context = lib.seccomp_init(profile["default"])
    if context == ffi.NULL:
        raise Error("libseccomp refuses the default action", f"{ROOT}/defaultAction")
    try:
        for name in profile["archs"]:
            # A new context holds the native architecture already.
            _check(
                lib.seccomp_arch_add(context, _token(name)), f"add architecture {name}", "EEXIST"
            )
        if alone:
            _check(lib.seccomp_arch_remove(context, 0), "remove the native architecture")
        _add_rules(context, profile)
        return _export(context)
    finally:
        lib.seccomp_release(context)


def limits(profile: Config) -> Limits:
    """The system calls that the profile's names reach, as seccomp_enosys.stub takes them."""
    names = [name for rule in profile["rules"] for name in rule[0] if knows_call(name)]
    found: Limits = {}
    for arch in profile["archs"]:
        token = _token(arch)
        highest = max((_number(token, name) for name in names), default=-1)
        if highest < 0 and arch == "x32":
            highest = EVERY_NUMBER  # its numbers are above those of x86_64, but not too young
        elif highest < 0:  # libseccomp counts names that this architecture lacks below zero
            continue
        audit = lib.SCMP_ARCH_X86_64 if arch == "x32" else token
        native, x32, _ = found.get(audit, (None, None, ()))
        # The kernel has no setup(2), number 0, on s390: whatever the profile thinks of it.
        unknown = (0,) if arch in ("s390", "s390x") else ()
        found[audit] = (native, highest, ()) if arch == "x32" else (highest, x32, unknown)
    return found


def calls(archs: list[str], narrow: tuple[str, ...], rules: dict[str, Rules]) -> Calls:
    """The numbers of the calls that `rules` names, as seccomp_comparisons.stub takes them; on the
    architectures in `narrow`, arguments have 32 bits."""
    found: Calls = []
    for arch in archs:
        token = _token(arch)
        audit = lib.SCMP_ARCH_X86_64 if arch == "x32" else token
        numbers = {}
        for name in filter(knows_call, rules):
            number = _number(token, name)
            if number in MULTIPLEXED:
                number = _own_number(token, name)
            if number >= 0:
                numbers[number] = rules[name]
        found.append((audit, arch not in narrow, numbers))
    return found


def _own_number(token: int, name: str) -> int:
    """The number of a multiplexed call on an architecture that has it both ways, or -1."""
    for number in range(HIGHEST_OWN):
        text = lib.seccomp_syscall_resolve_num_arch(token, number)
        if text == ffi.NULL:
            continue
        same = ffi.string(text) == name.encode()
        lib.free(text)
        if same:
            return number
    return -1


def _add_rules(context: Any, profile: Config) -> None:
    count = 0
    for names, action, conditions in profile["rules"]:
        comparisons = ffi.new(
            "struct scmp_arg_cmp[]",
            [(index, getattr(lib, f"SCMP_CMP_{op}"), a, b) for index, op, a, b in conditions],
        )
        for name in names:
            number = lib.seccomp_syscall_resolve_name(name.encode()) if knows_call(name) else None
            if number is None:
                continue
            code = lib.seccomp_rule_add_array(context, action, number, len(conditions), comparisons)
            _check(code, f"add the rule for {name}")
            count += 1
    if count > FEW_RULES:
        # A libseccomp older than 2.5 answers an error, and the filter is right without it.
        lib.seccomp_attr_set(context, lib.SCMP_FLTATR_CTL_OPTIMIZE, BINARY_TREE)


def knows_call(name: str) -> bool:
    """Whether the libseccomp in use knows a system call of this name, on any architecture."""
    # An identifier: so that no NUL makes a C string end earlier than the name in the config.
    if not (name.isascii() and name.isidentifier()):
        return False
    return bool(lib.seccomp_syscall_resolve_name(name.encode()) != lib.__NR_SCMP_ERROR)


def _number(token: int, name: str) -> int:
    """The number of a known call on an architecture, below zero when that lacks it."""
    return int(lib.seccomp_syscall_resolve_name_arch(token, name.encode()))


def knows(arch: str) -> bool:
    """Whether the libseccomp in use can make filters for an architecture."""
    return bool(lib.seccomp_arch_resolve_name(arch.encode()))


def _token(arch: str) -> int:
    token = int(lib.seccomp_arch_resolve_name(arch.encode()))
    if not token:
        text = f"libseccomp {version()} does not know the architecture {arch}"
        raise Error(text, f"{ROOT}/architectures")
    return token


def _export(context: Any) -> bytes:
    # seccomp_export_bpf_mem is younger than the libseccomp 2.5 of current distributions.
    fd = os.memfd_create("seccomp", os.MFD_CLOEXEC)
    try:
        _check(lib.seccomp_export_bpf(context, fd), "export the filter")
        size = os.fstat(fd).st_size
        code = os.pread(fd, size, 0)
    finally:
        os.close(fd)
    if len(code) != size or size % 8:
        raise Error("libseccomp: export the filter: short read", ROOT)
    return code


def _check(code: int, doing: str, ignored: str = "") -> None:
    if code < 0 and errno.errorcode.get(-code) != ignored:
        hint = "its byte order is not that of this machine" if code == -errno.EDOM else ""
        raise Error(f"libseccomp: {doing}: {reason(-code)}", ROOT, hint)

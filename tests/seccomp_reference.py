# SPDX-License-Identifier: Apache-2.0
"""What a seccomp profile means, read straight from the config: nothing of pyrun is used here.

Names become numbers by libseccomp's tables, through ctypes.
"""

from __future__ import annotations

import ctypes
import os
from typing import Any

ERRNO, ENOSYS, X32 = 0x00050000, 38, 0x40000000
KILL_THREAD = 0
WORDS = {
    "SCMP_ACT_KILL": 0,
    "SCMP_ACT_KILL_THREAD": 0,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_ERRNO": ERRNO,
    "SCMP_ACT_TRACE": 0x7FF00000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_ALLOW": 0x7FFF0000,
}
# libseccomp's token, the kernel's audit architecture, bits of an argument that are compared:
# libseccomp compares the lower half on 32-bit ABIs, and takes x32 for one.
ARCHS = {
    "x86_64": (0xC000003E, 0xC000003E, 64),
    "x86": (0x40000003, 0x40000003, 32),
    "x32": (0x4000003E, 0xC000003E, 32),
    "aarch64": (0xC00000B7, 0xC00000B7, 64),
    "arm": (0x40000028, 0x40000028, 32),
}
NATIVE = os.uname().machine
FOREIGN = {"x86_64": ("x86", "x32"), "aarch64": ("arm",)}[NATIVE]

# On x86 these are also reached through one number (socketcall, ipc) by their first argument;
# the reference leaves their meaning on x86 to libseccomp.
SOCKETCALL, IPC = 102, 117


def _tables() -> dict[str, dict[str, int]]:
    lib = ctypes.CDLL("libseccomp.so.2")
    lib.seccomp_syscall_resolve_num_arch.restype = ctypes.c_void_p
    free = ctypes.CDLL(None).free
    tables: dict[str, dict[str, int]] = {}
    for arch in (NATIVE, *FOREIGN):
        tables[arch] = {}
        first = X32 if arch == "x32" else 0
        for number in range(first, first + 1000):
            text = lib.seccomp_syscall_resolve_num_arch(
                ctypes.c_uint32(ARCHS[arch][0]), ctypes.c_int(number)
            )
            if text:
                tables[arch][ctypes.string_at(text).decode()] = number
                free(ctypes.c_void_p(text))
    return tables


TABLES = _tables()


def resolves(name: str) -> bool:
    """Whether libseccomp knows the name on any architecture of the tables."""
    return any(name in table for table in TABLES.values())


def default_word(config: dict[str, Any]) -> int:
    return _word(config["defaultAction"], config.get("defaultErrnoRet"))


def archs(config: dict[str, Any]) -> set[str]:
    named = config.get("architectures", [])
    return {NATIVE} | {name.removeprefix("SCMP_ARCH_").lower() for name in named}


def answer(config: dict[str, Any], audit: int, number: int, args: tuple[int, ...]) -> int:
    """The word that a right filter returns for this call."""
    abis = [name for name in archs(config) if ARCHS[name][1] == audit]
    if not abis:
        return KILL_THREAD
    abi = "x32" if "x32" in abis and number >= X32 else next(n for n in abis if n != "x32")
    named = {name for rule in config.get("syscalls", []) for name in rule["names"]}
    known = [TABLES[abi][name] for name in named if name in TABLES[abi]]
    default = default_word(config)
    silent = default & 0xFFFF0000 in (WORDS["SCMP_ACT_ALLOW"], WORDS["SCMP_ACT_LOG"], 0x7FF00000)
    if known and number > max(known) and not silent and default != ERRNO | ENOSYS:
        return ERRNO | ENOSYS
    if abi == "x86_64" and X32 <= number < 0xFFFFFFFF:
        return KILL_THREAD  # x32 is another architecture for libseccomp
    return _decide(config, abi, number, args, default)


def _decide(
    config: dict[str, Any], abi: str, number: int, args: tuple[int, ...], default: int
) -> int:
    conditional = default
    for rule in config.get("syscalls", []):
        if number not in {TABLES[abi].get(name) for name in rule["names"]}:
            continue
        word = _word(rule["action"], rule.get("errnoRet"))
        if word == default:
            continue
        if not rule.get("args"):
            return word
        if conditional == default and _holds(rule["args"], args, ARCHS[abi][2]):
            conditional = word
    return conditional


def _holds(conditions: list[dict[str, Any]], args: tuple[int, ...], bits: int) -> bool:
    verdicts = [_compare(condition, args[condition["index"]], bits) for condition in conditions]
    indices = [condition["index"] for condition in conditions]
    return any(verdicts) if len(set(indices)) < len(indices) else all(verdicts)


def _compare(condition: dict[str, Any], arg: int, bits: int) -> bool:
    ones = (1 << bits) - 1
    value, second, arg = condition["value"] & ones, condition.get("valueTwo", 0) & ones, arg & ones
    verdicts: dict[str, bool] = {
        "SCMP_CMP_NE": arg != value,
        "SCMP_CMP_LT": arg < value,
        "SCMP_CMP_LE": arg <= value,
        "SCMP_CMP_EQ": arg == value,
        "SCMP_CMP_GE": arg >= value,
        "SCMP_CMP_GT": arg > value,
        "SCMP_CMP_MASKED_EQ": arg & value == second,
    }
    return verdicts[condition["op"]]


def _word(action: str, data: int | None) -> int:
    takes = action in ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE")
    return WORDS[action] | ((1 if data is None else data) if takes else 0)

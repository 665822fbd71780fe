# SPDX-License-Identifier: Apache-2.0
"""linux.seccomp as the spec writes it, checked and brought to one canonical form."""

from __future__ import annotations

from pyrun.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.types import Config, Problem

ROOT = "/linux/seccomp"

# SECCOMP_RET_*: the upper half of the word that a filter returns; the lower half is its data.
KILL_PROCESS = 0x80000000
KILL_THREAD = 0x00000000
TRAP = 0x00030000
ERRNO = 0x00050000
NOTIFY = 0x7FC00000
TRACE = 0x7FF00000
LOG = 0x7FFC0000
ALLOW = 0x7FFF0000
ACTION = 0xFFFF0000

ACTIONS = {
    "SCMP_ACT_KILL": KILL_THREAD,
    "SCMP_ACT_KILL_PROCESS": KILL_PROCESS,
    "SCMP_ACT_KILL_THREAD": KILL_THREAD,
    "SCMP_ACT_TRAP": TRAP,
    "SCMP_ACT_ERRNO": ERRNO,
    "SCMP_ACT_TRACE": TRACE,
    "SCMP_ACT_ALLOW": ALLOW,
    "SCMP_ACT_LOG": LOG,
    "SCMP_ACT_NOTIFY": NOTIFY,
}
# Which actions carry a number, and its greatest value: libseccomp wants errnos below MAX_ERRNO.
LARGEST_DATA = {ERRNO: 4094, TRACE: 0xFFFF}
EPERM = 1

OPERATORS = ("NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ")

# Spelled as libseccomp resolves them, that is SCMP_ARCH_<name> in lower case.
# fmt: off
ARCHITECTURES = (
    "x86", "x86_64", "x32", "arm", "aarch64", "mips", "mips64", "mips64n32", "mipsel", "mipsel64",
    "mipsel64n32", "ppc", "ppc64", "ppc64le", "s390", "s390x", "parisc", "parisc64", "riscv64",
    "loongarch64", "m68k", "sh", "sheb",
)
# fmt: on

# Those whose system calls take arguments of 32 bits: libseccomp compares no more of them.
# fmt: off
NARROW = (
    "x86", "x32", "arm", "mips", "mips64n32", "mipsel", "mipsel64n32", "ppc", "s390", "parisc",
    "m68k", "sh", "sheb",
)
# fmt: on

# uname(2)'s machine, where it is not the name of the architecture.
MACHINES = {
    "i386": "x86",
    "i486": "x86",
    "i586": "x86",
    "i686": "x86",
    "armv6l": "arm",
    "armv7l": "arm",
    "armv8l": "arm",
    "sh4": "sh",
    "sh4eb": "sheb",
}

NEW_LISTENER = 1 << 3
WAIT_KILLABLE_RECV = 1 << 5
SPEC_ALLOW = 1 << 2
FLAGS = {
    "SECCOMP_FILTER_FLAG_TSYNC": 0,  # the process that loads the filter has one thread
    "SECCOMP_FILTER_FLAG_LOG": 1 << 1,
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": SPEC_ALLOW,
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV": WAIT_KILLABLE_RECV,
}


def profile(seccomp: Config | None, arch: str) -> Config | None:
    """The canonical form of linux.seccomp, for a host whose uname machine is `arch`.

    None when there is no seccomp. Otherwise a dict of plain lists, strings and ints:

        default   the word the filter returns when no rule matches (SECCOMP_RET_* | data)
        archs     names as in ARCHITECTURES: the native one first, the others sorted
        flags     SECCOMP_FILTER_FLAG_* names, sorted; None when the config is silent
        rules     [names, action, args] in the order of the config; args: [index, op, a, b]
        listener  path of the agent's socket, "" when no rule notifies
        metadata  opaque text for the agent

    Raises ConfigError with every problem found (runtime-spec, config-linux.md, Seccomp).
    """
    if seccomp is None:
        return None
    if not isinstance(seccomp, dict):
        raise ConfigError([(ROOT, "must be an object")])
    problems: list[Problem] = []
    default = _action(seccomp, ROOT, ("defaultAction", "defaultErrnoRet"), problems)
    if default == NOTIFY:
        problems.append((f"{ROOT}/defaultAction", "SCMP_ACT_NOTIFY cannot be the default action"))
    rules: list[list[Any]] = []
    for index, entry in enumerate(_list(seccomp, "syscalls", ROOT, problems)):
        rules += _rules(entry, f"{ROOT}/syscalls/{index}", problems)
    result = {
        "default": default,
        "archs": _archs(seccomp, arch, problems),
        "flags": _flags(seccomp, problems),
        "rules": rules,
        **_listener(seccomp, any(rule[1] == NOTIFY for rule in rules), problems),
    }
    if problems:
        raise ConfigError(problems)
    return result


def flags(profile: Config) -> int:
    """The flags of seccomp(2) for a profile: SPEC_ALLOW when the config names none at all."""
    names = profile["flags"]
    bits = SPEC_ALLOW if names is None else 0
    for name in names or ():
        bits |= FLAGS[name]
    if notifies(profile):
        return bits | NEW_LISTENER
    # The kernel answers EINVAL to WAIT_KILLABLE_RECV without a listener; it means nothing then.
    return bits & ~WAIT_KILLABLE_RECV


def notifies(profile: Config) -> bool:
    """Whether some rule hands system calls to an agent, so that loading yields a listener fd."""
    return any(rule[1] == NOTIFY for rule in profile["rules"])


def _rules(entry: Any, at: str, problems: list[Problem]) -> list[list[Any]]:
    if not isinstance(entry, dict):
        problems.append((at, "must be an object"))
        return []
    names = []
    listed = _list(entry, "names", at, problems)
    for index, name in enumerate(listed):
        if isinstance(name, str):
            names.append(name)
        else:
            problems.append((f"{at}/names/{index}", "must be a string"))
    if "names" not in entry or entry["names"] == []:
        problems.append((f"{at}/names", "must contain at least one system call"))
    action = _action(entry, at, ("action", "errnoRet"), problems)
    if action == NOTIFY:
        _check_notify(listed, at, problems)
    args = []
    for index, arg in enumerate(_list(entry, "args", at, problems)):
        args.append(_argument(arg, f"{at}/args/{index}", problems))
    names = sorted(set(names))
    # libseccomp takes one comparison an argument in a rule. Profiles written for runc rely on
    # what it does with more: each comparison becomes a rule of its own ("or", not "and").
    if len({arg[0] for arg in args}) < len(args):
        return [[names, action, [arg]] for arg in args]
    return [[names, action, sorted(args)]]


def _check_notify(names: list[Any], at: str, problems: list[Problem]) -> None:
    # By a `write` the init says that the filter is loaded. It would wait for an agent that gets its
    # listener in answer to that.
    if "write" in names:
        where = f"{at}/names/{names.index('write')}"
        problems.append((where, "SCMP_ACT_NOTIFY cannot be used for the write system call"))


def _argument(arg: Any, at: str, problems: list[Problem]) -> list[Any]:
    if not isinstance(arg, dict):
        problems.append((at, "must be an object"))
        return [0, "EQ", 0, 0]
    operator = arg.get("op")
    name = operator.removeprefix("SCMP_CMP_") if isinstance(operator, str) else ""
    if name not in OPERATORS or operator != f"SCMP_CMP_{name}":
        problems.append((f"{at}/op", f"unknown operator {operator!r}"))
    index = _number(arg, "index", at, 5, problems, required=True)
    value = _number(arg, "value", at, 2**64 - 1, problems, required=True)
    second = _number(arg, "valueTwo", at, 2**64 - 1, problems)
    # Only a masked comparison has a second operand: drop it elsewhere, so that equal rules
    # have one form.
    return [index, name, value, (second or 0) if name == "MASKED_EQ" else 0]


def _action(entry: Config, at: str, keys: tuple[str, str], problems: list[Problem]) -> int:
    name = entry.get(keys[0])
    if not isinstance(name, str) or name not in ACTIONS:
        text = f"unknown seccomp action {name!r}" if keys[0] in entry else "is required"
        problems.append((f"{at}/{keys[0]}", text))
        return ALLOW
    action = ACTIONS[name]
    if action not in LARGEST_DATA:
        if keys[1] in entry:
            problems.append((f"{at}/{keys[1]}", f"{name} does not take an errno"))
        return action
    data = _number(entry, keys[1], at, LARGEST_DATA[action], problems)
    return action | (EPERM if data is None else data)


def _archs(seccomp: Config, machine: str, problems: list[Problem]) -> list[str]:
    native = MACHINES.get(machine, machine)
    if native not in ARCHITECTURES:
        problems.append((ROOT, f"seccomp is not supported on {machine!r} machines"))
    named = set()
    for index, item in enumerate(_list(seccomp, "architectures", ROOT, problems)):
        name = item.removeprefix("SCMP_ARCH_").lower() if isinstance(item, str) else ""
        if name not in ARCHITECTURES or item != f"SCMP_ARCH_{name.upper()}":
            problems.append((f"{ROOT}/architectures/{index}", f"unknown architecture {item!r}"))
        named.add(name)
    return [native, *sorted(named - {native})]


def _flags(seccomp: Config, problems: list[Problem]) -> list[str] | None:
    if "flags" not in seccomp:
        return None
    names = set()
    for index, name in enumerate(_list(seccomp, "flags", ROOT, problems)):
        if not isinstance(name, str) or name not in FLAGS:
            problems.append((f"{ROOT}/flags/{index}", f"unknown seccomp flag {name!r}"))
        else:
            names.add(name)
    return sorted(names)


def _listener(seccomp: Config, used: bool, problems: list[Problem]) -> dict[str, str]:
    path, metadata = seccomp.get("listenerPath", ""), seccomp.get("listenerMetadata", "")
    for key, value in (("listenerPath", path), ("listenerMetadata", metadata)):
        if not isinstance(value, str):
            problems.append((f"{ROOT}/{key}", "must be a string"))
    if used and not path:
        problems.append((f"{ROOT}/listenerPath", "seccomp listenerPath is not set"))
    elif metadata and not path:
        problems.append((f"{ROOT}/listenerMetadata", "must not be set without listenerPath"))
    return {"listener": path if used else "", "metadata": metadata if used else ""}


def _list(entry: Config, key: str, at: str, problems: list[Problem]) -> list[Any]:
    value = entry.get(key, [])
    if isinstance(value, list):
        return value
    problems.append((f"{at}/{key}", "must be an array"))
    return []


def _number(
    entry: Config,
    key: str,
    at: str,
    largest: int,
    problems: list[Problem],
    required: bool = False,
) -> int | None:
    """The field as an int; what an optional field misses, or a wrong one, is None."""
    if key not in entry and not required:
        return None
    value = entry.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= largest:
        problems.append((f"{at}/{key}", f"must be an integer from 0 to {largest}"))
        return None
    return value

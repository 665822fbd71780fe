# SPDX-License-Identifier: Apache-2.0
"""A plan in words: each operation as strace(1) would print it, with kernel names for flags, names
for slots, and the config field that asked for it. Read by people and by golden tests; loaded by
`pyrun plan` alone."""

from __future__ import annotations

import errno

from pyrun import linux, ops, sync
from pyrun.compile import landlock, process, scheduling, seccomp, slots
from pyrun.compile import memory_policy as memory
from pyrun.compile.rlimits import UNLIMITED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pyrun.types import Op

    Donations = list[tuple[str, ...]]

INSTRUCTION = 8  # bytes of a struct sock_filter
FIELD_WIDTH = 40  # a longer field pushes its operation to the right
CAPABILITY_BITS = {name: 1 << number for number, name in enumerate(linux.CAPABILITIES)}
SLOTS = {
    number: name.lower()
    for name, number in vars(slots).items()
    if isinstance(number, int) and name != "LOWEST"
}
FILE_TYPES = {
    value: name for name, value in vars(linux).items() if name.startswith("S_IF")
}  # S_IFMT is not among them


def _constants(*prefixes: str, without: tuple[str, ...] = ()) -> dict[str, int]:
    return {
        name: value
        for name, value in vars(linux).items()
        if name.startswith(prefixes) and name not in without and isinstance(value, int)
    }


CLONE = _constants("CLONE_")
OPEN = _constants("O_")
AT = _constants("AT_", without=("AT_FDCWD",))
RESOLVE = _constants("RESOLVE_")
MOUNT_ATTR = _constants("MOUNT_ATTR_")
PROPAGATION = _constants("MS_")
RLIMITS = {value: name for name, value in linux.RLIMITS.items()}
PRCTL = {value: name for name, value in _constants("PR_").items()}


def flags(value: int, table: dict[str, int]) -> str:
    """Bits by their names, joined by |; what has none in hexadecimal."""
    words = []
    for name, bit in sorted(table.items(), key=lambda entry: -entry[1]):
        if bit and value & bit == bit:
            words.append(name)
            value &= ~bit
    words.reverse()
    if value:
        words.append(hex(value))
    return "|".join(words) or "0"


def clone_flags(value: int) -> str:
    """CLONE_NEW* by their names."""
    return flags(value, CLONE)


def open_flags(value: int) -> str:
    """O_* by their names; O_RDONLY is the absence of any other way."""
    return flags(value, OPEN) if value else "O_RDONLY"


def mode(value: int) -> str:
    """S_IFDIR|0755."""
    kind = FILE_TYPES.get(value & 0o170000, "")
    return f"{kind}|{octal(value & 0o7777)}" if kind else octal(value)


def octal(value: int) -> str:
    """As C writes it: 0755."""
    return f"0{value:o}" if value else "0"


def capabilities(value: int) -> str:
    """A set of capabilities by their names."""
    return flags(value, CAPABILITY_BITS)


def limit(value: int) -> str:
    """The value of a resource limit."""
    return "unlimited" if value == UNLIMITED else str(value)


def _device(value: int) -> str:
    major = value >> 8 & 0xFFF | value >> 32 & ~0xFFF
    minor = value & 0xFF | value >> 12 & ~0xFF
    return f"makedev({major}, {minor})"


def _table(table: dict[str, int]) -> Callable[[int], str]:
    return lambda value: flags(value, table)


def _names(table: dict[str, int]) -> Callable[[int], str]:
    names = {number: name for name, number in table.items()}
    return lambda value: names.get(value, str(value))


def _rights(table: dict[str, tuple[int, int]]) -> Callable[[int], str]:
    return _table({name: bit for name, (bit, _) in table.items()})


def io_priority(value: int) -> str:
    """IOPRIO_CLASS_BE|4."""
    kind = _names(scheduling.CLASSES)(value >> scheduling.CLASS_SHIFT)
    return f"{kind}|{value & scheduling.LEVELS - 1}"


def memory_policy(value: int) -> str:
    """A mode with its flags."""
    kinds = memory.FLAGS
    mode = _names(memory.MODES)(value & ~sum(kinds.values()))
    return "|".join([mode, *(name for name, bit in kinds.items() if value & bit)])


# (operation, operand): how its number reads; any other one is decimal
NUMBERS: dict[tuple[str, str], Callable[[int], str]] = {
    ("setns", "kind"): clone_flags,
    ("unshare", "flags"): clone_flags,
    ("fork_init", "flags"): clone_flags,
    ("sync", "point"): lambda point: sync.NAMES.get(point, str(point)),
    ("sync_receive", "point"): lambda point: sync.NAMES.get(point, str(point)),
    ("sync_send", "point"): lambda point: sync.NAMES.get(point, str(point)),
    ("open_host", "flags"): open_flags,
    ("open_in_root", "flags"): open_flags,
    ("open_in_root", "resolve"): _table(RESOLVE),
    ("make_in_root", "resolve"): _table(RESOLVE),
    ("make_in_root", "mode"): mode,
    ("make_node", "mode"): mode,
    ("make_node", "device"): _device,
    ("open_tree", "flags"): _table(AT),
    ("fsmount", "attributes"): _table(MOUNT_ATTR),
    ("mount_setattr", "flags"): _table(AT),
    ("mount_setattr", "attr_set"): _table(MOUNT_ATTR),
    ("mount_setattr", "attr_clr"): _table(MOUNT_ATTR),
    ("mount_setattr", "propagation"): _table(PROPAGATION),
    ("prctl", "option"): lambda option: PRCTL.get(option, str(option)),
    ("umask", "mode"): octal,
    ("sched_setattr", "policy"): _names(scheduling.POLICIES),
    ("sched_setattr", "flags"): _table(scheduling.FLAGS),
    ("ioprio_set", "priority"): io_priority,
    ("personality", "persona"): _names(process.PERSONALITIES),
    ("set_mempolicy", "mode"): memory_policy,
    ("setrlimit", "resource"): lambda resource: RLIMITS.get(resource, str(resource)),
    ("setrlimit", "soft"): limit,
    ("setrlimit", "hard"): limit,
    ("drop_bounding", "keep"): capabilities,
    ("capset", "effective"): capabilities,
    ("capset", "permitted"): capabilities,
    ("capset", "inheritable"): capabilities,
    ("set_ambient", "capabilities"): capabilities,
    ("seccomp", "flags"): _table(seccomp.FLAGS),
    ("seccomp_listen", "flags"): _table(
        {**seccomp.FLAGS, "SECCOMP_FILTER_FLAG_NEW_LISTENER": seccomp.NEW_LISTENER}
    ),
    ("seccomp_listen", "point"): lambda point: sync.NAMES.get(point, str(point)),
    ("landlock_ruleset", "fs"): _rights(landlock.FS),
    ("landlock_ruleset", "net"): _rights(landlock.NET),
    ("landlock_ruleset", "scoped"): _rights(landlock.SCOPED),
    ("landlock_path", "access"): _rights(landlock.FS),
    ("landlock_port", "access"): _rights(landlock.NET),
    ("run_hook", "timeout"): lambda value: f"{value} ms" if value else "no timeout",
}


def field(pointer: str) -> str:
    """A JSON pointer as a person would name the field: `mounts[3].options`."""
    text = ""
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if part.isdigit():
            text += f"[{part}]"
        elif name.replace("_", "a").isalnum():
            text += f".{name}" if text else name
        else:
            text += f"[{quote(name)}]"
    return text


def quote(text: str) -> str:
    """A string in double quotes, on one line whatever is in it."""
    inner = text.encode("unicode_escape").decode("ascii").replace('"', '\\"')
    if "\\" not in text and text.isprintable():
        inner = text.replace('"', '\\"')
    return f'"{inner}"'


def slot(number: int, donated: Donations) -> str:
    """A slot by its name: the runtime's donation, or what the executor keeps there."""
    if number < len(donated):
        kind, *details = donated[number]
        return f"{kind}[{details[0]}]" if details else kind
    if number in SLOTS:
        return SLOTS[number]
    return f"deferred[{slots.deferred(0) - number}]"


def signature(name: str) -> list[tuple[str, str]]:
    """(operand, its kind) of an operation, as ops.py has them."""
    found = getattr(ops, name).__annotations__
    return [(operand, kind) for operand, kind in found.items() if operand != "return"]


def operands(op: Op, donated: Donations) -> dict[str, str]:
    """Each operand by its name, in words."""
    name, values, _ = op
    return {
        operand: _word(name, operand, kind, value, donated)
        for (operand, kind), value in zip(signature(name), values, strict=True)
    }


def _word(name: str, operand: str, kind: str, value: Any, donated: Donations) -> str:
    if kind in ("Slot", "Out"):
        return slot(value, donated)
    if kind == "int":
        return NUMBERS.get((name, operand), str)(value)
    if value is None:
        return "none"
    if kind == "bytes":
        return _block(name, value, donated)
    if kind == "list[str]":
        return "[" + ", ".join(quote(text) for text in value) + "]"
    return quote(value)


def _block(name: str, value: bytes, donated: Donations) -> str:
    if name in ("seccomp", "seccomp_listen"):
        return f"{len(value) // INSTRUCTION} instructions"
    if name in ("set_mempolicy", "sched_setaffinity"):
        words = memoryview(value).cast("Q").tolist()
        return str([bit for bit in range(64 * len(words)) if words[bit // 64] >> bit % 64 & 1])
    numbers = memoryview(value).cast("I").tolist()
    if name == "close_all_but":
        return "[" + ", ".join(slot(number, donated) for number in numbers) + "]"
    return "[" + ", ".join(map(str, numbers)) + "]"


def line(op: Op, donated: Donations) -> str:
    """One operation: `fsopen("proc") = context`, with what it fills behind the equals sign."""
    name, _, tolerated = op
    words = operands(op, donated)
    outs = [operand for operand, kind in signature(name) if kind == "Out"]
    inside = ", ".join(word for operand, word in words.items() if operand not in outs)
    text = f"{name}({inside})"
    if outs:
        text += " = " + ", ".join(words[operand] for operand in outs)
    if tolerated:
        text += f", or {errno.errorcode[tolerated]}"
    return text


def columns(operations: list[dict[str, Any]]) -> list[str]:
    """{"field", "text"} of each operation, the field in a column before it."""
    width = min(max((len(found["field"]) for found in operations), default=0), FIELD_WIDTH)
    return [f"{found['field'] or '-':<{width}}  {found['text']}" for found in operations]


def shown(text: str) -> str:
    """A path as it is, unless a terminal would read something else."""
    return text if text.isprintable() else quote(text)


def profile(found: dict[str, Any], program: bytes) -> dict[str, Any]:
    """What a seccomp profile comes to, in numbers: its canonical form and its program."""
    action = found["default"] & seccomp.ACTION
    names = {value: name for name, value in seccomp.ACTIONS.items() if name != "SCMP_ACT_KILL"}
    return {
        "default": names[action],
        "architectures": found["archs"],
        "rules": len(found["rules"]),
        "system calls": len({name for rule in found["rules"] for name in rule[0]}),
        "instructions": len(program) // INSTRUCTION,
    }

# SPDX-License-Identifier: Apache-2.0
"""Device rules folded to a policy: a default and exceptions from it, as the v1 controller has it.

A policy is (default, exceptions): `default` True allows what no exception names. `exceptions` maps
(type "c" or "b", major, minor) to (access bits, pointer of the rule). When the default is to deny,
an access passes that *one* exception covers whole; when it is to allow, an access fails of which
any exception names a part. v1 and v2 get the same policy, so they give the same answers.

Rules count in their order, and each has the last word about what it names.
"""

from __future__ import annotations

from pyrun.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias

    Key: TypeAlias = tuple[str, int, int]
    Exceptions: TypeAlias = dict[Key, tuple[int, str]]
    Policy: TypeAlias = tuple[bool, Exceptions]

BASE = "/linux/resources/devices"
ANY = -1  # a major or minor number: all of them
MKNOD, READ, WRITE = 1, 2, 4  # BPF_DEVCG_ACC_*
_BITS = {"m": MKNOD, "r": READ, "w": WRITE}
ALL = MKNOD | READ | WRITE

# Appended to every container's rules: engines rely on it. Any node may be made (using it is another
# matter), and the nodes that every container has may be used: null full zero tty urandom random,
# every pty, ptmx, tun.
DEFAULTS: tuple[tuple[Key, int], ...] = (
    (("c", ANY, ANY), MKNOD),
    (("b", ANY, ANY), MKNOD),
    (("c", 1, 3), ALL),
    (("c", 1, 7), ALL),
    (("c", 1, 5), ALL),
    (("c", 5, 0), ALL),
    (("c", 1, 9), ALL),
    (("c", 1, 8), ALL),
    (("c", 136, ANY), ALL),
    (("c", 5, 2), ALL),
    (("c", 10, 200), ALL),
)


def policy(rules: list[dict[str, Any]]) -> Policy:
    """Fold linux.resources.devices, in order, and the default rules after them.

    What no rule names is denied, also when there are no rules at all (GHSA-g54h-m393-cpwq). Raises
    Error, with the rule, for one that is malformed or that could not take effect.
    """
    default = False
    exceptions: Exceptions = {}
    for index, rule in enumerate(rules):
        pointer = f"{BASE}/{index}"
        allow, kinds, major, minor, bits = _read_rule(rule, pointer)
        if kinds == "a" and major == minor == ANY and bits == ALL:
            default, exceptions = allow, {}
            continue
        # Part of everything: the controller has no such exception, but one for each type.
        for kind in "bc" if kinds == "a" else kinds:
            key = (kind, major, minor)
            if allow != default:
                exceptions[key] = (exceptions.get(key, (0, ""))[0] | bits, pointer)
            else:
                _take_back(exceptions, key, bits, pointer)
    for key, bits in DEFAULTS:
        if default:  # a denial of more, or of less, was meant
            _remove(exceptions, key, bits)
        else:
            known, pointer = exceptions.get(key, (0, ""))
            exceptions[key] = (known | bits, pointer)
    return default, exceptions


def allows_all(wanted: Policy) -> bool:
    """Whether nothing is denied, so that a filter would change nothing."""
    return wanted[0] and not wanted[1]


def lines(wanted: Policy) -> list[tuple[str, str, str]]:
    """The writes that give a fresh v1 cgroup this policy: (pointer, file, value), in order.

    The default goes first: it forgets the exceptions that were inherited from the parent.
    """
    default, exceptions = wanted
    first, then = (
        ("devices.allow", "devices.deny") if default else ("devices.deny", "devices.allow")
    )
    found = [(BASE, first, "a")]  # "" is the pointer of a default rule below
    for key, (bits, pointer) in exceptions.items():
        found.append((pointer, then, _line(key, bits)))
    return found


def parse(text: str) -> Policy:
    """The policy of a v1 cgroup by its devices.list, as far as that tells: of one that allows by
    default it does not name the exceptions."""
    exceptions: Exceptions = {}
    for line in text.splitlines():
        kind, numbers, access = line.split()
        if kind == "a":
            return True, {}
        major, minor = (ANY if word == "*" else int(word) for word in numbers.split(":"))
        exceptions[kind, major, minor] = (sum(_BITS[letter] for letter in access), "")
    return False, exceptions


def changes(before: Policy, after: Policy) -> list[tuple[str, str, str]]:
    """The writes that turn one policy of a v1 cgroup into another, as lines() has them: first what
    is allowed now, then what no longer is. Where anything is allowed by default, all of them."""
    if before[0] or after[0]:
        return lines(after)
    found = []
    for file, more, less in (
        ("devices.allow", after[1], before[1]),
        ("devices.deny", before[1], after[1]),
    ):
        for key, (bits, pointer) in more.items():
            missing = bits & ~less.get(key, (0, ""))[0]
            if missing:
                found.append((pointer, file, _line(key, missing)))
    return found


def _line(key: Key, bits: int) -> str:
    kind, major, minor = key
    return f"{kind} {_number(major)}:{_number(minor)} {_letters(bits)}"


def _read_rule(rule: dict[str, Any], pointer: str) -> tuple[bool, str, int, int, int]:
    kind = rule.get("type") or "a"
    if kind not in ("a", "b", "c"):
        raise Error(f'"{kind}" is no type of device', f"{pointer}/type", "a, b or c")
    numbers = []
    for field in ("major", "minor"):
        number = rule.get(field)
        number = ANY if number is None else number
        if not ANY <= number < 1 << 32:
            raise Error(f"{number} is no device number", f"{pointer}/{field}", "-1 = all")
        numbers.append(number)
    bits = 0
    for letter in rule.get("access") or "":
        if letter not in _BITS:
            raise Error(f'"{letter}" is no access', f"{pointer}/access", "of r, w and m")
        bits |= _BITS[letter]
    if not bits:
        raise Error("a device rule must name an access", f"{pointer}/access", "of r, w and m")
    return bool(rule["allow"]), kind, numbers[0], numbers[1], bits


def _take_back(exceptions: Exceptions, key: Key, bits: int, pointer: str) -> None:
    """Take `bits` from every exception that lies within `key`.

    The v1 controller would forget only the exception of this very name, and ignore the rest in
    silence: after "allow c 1:3, deny c 1:*" it still allows 1:3. A part of an exception ("allow
    c 1:*, deny c 1:3") can't be taken back in any way: nobody should believe otherwise.
    """
    for known, (present, other) in list(exceptions.items()):
        if not (present & bits and _meet(known, key)):
            continue
        if not _holds(key, known):
            raise Error(
                f"this rule takes back a part of {other}, which the device controller cannot do",
                pointer,
                "write the wider rule as rules for the single devices",
            )
        _remove(exceptions, known, bits)


def _meet(one: Key, other: Key) -> bool:
    """Whether there is a device that both name."""
    return all(a == b or ANY in (a, b) for a, b in zip(one, other, strict=True))


def _holds(wide: Key, narrow: Key) -> bool:
    """Whether the first names every device that the second names."""
    return all(a in (b, ANY) for a, b in zip(wide, narrow, strict=True))


def _remove(exceptions: Exceptions, key: Key, bits: int) -> None:
    known, pointer = exceptions.get(key, (0, ""))
    if known & ~bits:
        exceptions[key] = (known & ~bits, pointer)
    else:
        exceptions.pop(key, None)


def _number(number: int) -> str:
    return "*" if number == ANY else str(number)


def _letters(bits: int) -> str:
    return "".join(letter for letter in "rwm" if bits & _BITS[letter])

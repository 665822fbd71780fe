# SPDX-License-Identifier: Apache-2.0
"""BPF for system calls of which several rules compare arguments.

libseccomp keeps the comparisons of one system call as a tree, into which it merges rule after rule.
With other comparisons than of one argument for equality, 2.5.4 loses some of them (the filter then
allows more than the profile says), or never comes to an end. So it is shown one rule of such a call
at most, and the instructions here, which come first, answer the call.
"""

from __future__ import annotations

import _struct

from pyrun.compile.seccomp_enosys import (
    ARCH,
    GOTO,
    IF_AT_LEAST,
    IF_EQUAL,
    IF_GREATER,
    LOAD,
    NR,
    RETURN,
    instruction,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias

    from pyrun.types import Config

    # Rules of one call: (action, its comparisons as compile.seccomp.profile has them) each.
    Rules: TypeAlias = list[tuple[int, list[Any]]]
    # (audit architecture, whether arguments have 64 bits there, {number: its rules})
    Calls: TypeAlias = list[tuple[int, bool, dict[int, Rules]]]

ARGUMENTS = 16  # offset in struct seccomp_data
AND = 0x54  # BPF_ALU | BPF_AND | BPF_K
LITTLE_ENDIAN = _struct.pack("=H", 1) == b"\1\0"
WORD = 0xFFFFFFFF
# Where a comparison may lead: to the instruction behind it, to the end of its condition (which
# holds), or to the next rule (since it does not).
ON, HOLDS, FAILS = "on", "holds", "fails"
# Of the upper halves: (code, if true, if false) each. What is "on" is for the lower halves.
UPPER = {
    "EQ": ((IF_EQUAL, ON, FAILS),),
    "NE": ((IF_EQUAL, ON, HOLDS),),
    "GT": ((IF_GREATER, HOLDS, ON), (IF_EQUAL, ON, FAILS)),
    "GE": ((IF_GREATER, HOLDS, ON), (IF_EQUAL, ON, FAILS)),
    "LT": ((IF_GREATER, FAILS, ON), (IF_EQUAL, ON, HOLDS)),
    "LE": ((IF_GREATER, FAILS, ON), (IF_EQUAL, ON, HOLDS)),
}
LOWER = {
    "EQ": (IF_EQUAL, HOLDS, FAILS),
    "NE": (IF_EQUAL, FAILS, HOLDS),
    "GT": (IF_GREATER, HOLDS, FAILS),
    "GE": (IF_AT_LEAST, HOLDS, FAILS),
    "LT": (IF_AT_LEAST, FAILS, HOLDS),
    "LE": (IF_GREATER, FAILS, HOLDS),
}


def split(profile: Config) -> tuple[list[Any], dict[str, Rules]]:
    """The rules of a profile that libseccomp may see, and those of the calls that are ours.

    Rules that say what the default says are in neither. A rule without comparisons decides for
    its call, whatever others say: also a call with such a rule is not ours.
    """
    by_name: dict[str, Rules] = {}
    for names, action, conditions in profile["rules"]:
        if action != profile["default"]:
            for name in names:
                by_name.setdefault(name, []).append((action, conditions))
    mixed = {name for name, rules in by_name.items() if _is_mixed(rules)}
    shown = [
        [rest, action, conditions]
        for names, action, conditions in profile["rules"]
        if action != profile["default"] and (rest := [name for name in names if name not in mixed])
    ]
    ours = {}
    for name in sorted(mixed):
        action, conditions = _representative(by_name[name])
        shown.append([[name], action, conditions])
        if conditions:
            ours[name] = by_name[name]
    return shown, ours


def _is_mixed(rules: Rules) -> bool:
    compared = [conditions for _, conditions in rules if conditions]
    if len(compared) < 2:
        return False
    index = compared[0][0][0]
    return not all(len(c) == 1 and c[0][:2] == [index, "EQ"] for c in compared)


def _representative(rules: Rules) -> tuple[int, list[Any]]:
    """The rule that libseccomp sees. It counts where a call is a number among the arguments of
    another (socketcall, ipc): there, libseccomp puts that number in the place of argument 0."""
    for action, conditions in rules:
        if not conditions:
            return action, conditions
    for action, conditions in rules:
        if all(condition[0] == 0 for condition in conditions):
            return action, conditions
    return rules[0]


def stub(calls: Calls, default: int) -> bytes:
    """Instructions to put before a filter: they answer `calls`, with the action of the first rule
    that holds, else with the default. Other calls fall through."""
    code: list[bytes] = []
    for arch, wide, numbers in calls:
        section: list[bytes] = []
        for number, rules in numbers.items():
            section += _call(number, rules, wide, default)
        # Conditional jumps reach 255 instructions, BPF_JA any number.
        skip = [instruction(IF_EQUAL, arch, 1, 0), instruction(GOTO, len(section))]
        code += [instruction(LOAD, ARCH), *skip, *section]
    return b"".join(code)


def _call(number: int, rules: Rules, wide: bool, default: int) -> list[bytes]:
    body = [line for action, conditions in rules for line in _rule(action, conditions, wide)]
    body.append(instruction(RETURN, default))
    skip = [instruction(IF_EQUAL, number, 1, 0), instruction(GOTO, len(body))]
    return [instruction(LOAD, NR), *skip, *body]


def _rule(action: int, conditions: list[Any], wide: bool) -> list[bytes]:
    """Its action, if all conditions hold: else what follows. At most six of six instructions."""
    lines: list[tuple[int, int, str, str, int]] = []
    for condition in conditions:
        found = _condition(condition, wide)
        end = len(lines) + len(found)  # where the condition holds
        lines += [(*line, end) for line in found]
    code = []
    for at, (op, operand, yes, no, end) in enumerate(lines, 1):
        places = {ON: at, HOLDS: end, FAILS: len(lines) + 1, "": at}
        code.append(instruction(op, operand, places[yes] - at, places[no] - at))
    return [*code, instruction(RETURN, action)]


def _condition(condition: list[Any], wide: bool) -> list[tuple[int, int, str, str]]:
    index, operator, value, second = condition
    upper, lower = ARGUMENTS + 8 * index, ARGUMENTS + 8 * index
    if LITTLE_ENDIAN:
        upper += 4
    else:
        lower += 4
    masks: tuple[int | None, int | None] = (None, None)
    if operator == "MASKED_EQ":
        masks, operator, value = (value >> 32, value & WORD), "EQ", second
    lines = []
    if wide:
        lines += _load(upper, masks[0])
        lines += [(code, value >> 32, yes, no) for code, yes, no in UPPER[operator]]
    code, yes, no = LOWER[operator]
    return [*lines, *_load(lower, masks[1]), (code, value & WORD, yes, no)]


def _load(offset: int, mask: int | None) -> list[tuple[int, int, str, str]]:
    lines = [(LOAD, offset, "", "")]
    return lines if mask is None else [*lines, (AND, mask, "", "")]

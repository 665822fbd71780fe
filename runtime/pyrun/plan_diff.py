# SPDX-License-Identifier: Apache-2.0
"""The difference between two bundles' plans, as diff(1) shows that of two files: an operation a
line, behind the field that asks for it; and before them what the runtime itself does by a field.

Two lines are the same if they do the same for the same field. Where in a list that field is does
not count, so that an entry more is no difference of all that come after it; nor do the places of
the two bundles.
"""

from __future__ import annotations

import difflib
import re

from pyrun import describe, jsonscan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from pyrun.types import Config

    Row = tuple[str, str]  # field, and what is done
    Code = tuple[str, int, int, int, int]  # as difflib has it: word, place in old and in new

AROUND = 3  # lines that are the same, around those that are not
# What of a config no operation shows: the runtime acts on it, or an operation has it in numbers.
SECTIONS = (
    "/annotations", "/hooks/prestart", "/hooks/createRuntime", "/hooks/poststart",
    "/hooks/poststop", "/linux/resources", "/linux/seccomp", "/linux/timeOffsets",
    "/linux/netDevices", "/linux/intelRdt", "/process/execCPUAffinity",
)  # fmt: skip
MAPS = ("uidMappings", "gidMappings")  # of a mount
_PLACE = re.compile(r"\[\d+\]")
_DEFERRED = re.compile(r"\bdeferred\[\d+\]")  # a slot, by how many there are before it
_IDMAP = re.compile(r"r?idmap(=|$)")


def rows(found: dict[str, Any], config: Config) -> list[Row]:
    """A plan as `pyrun plan` has it (commands/plan.py), without where the bundle is."""
    head = [("cgroup", path) for path in found["cgroup"] or ["none"]]
    head.append(("clone3", found["clone"]))
    head += [("donate", name) for name in found["donated"]]
    head += [("runtime", line) for line in found["runtime"]]
    for section in SECTIONS:
        head += _fields(section, _at(config, section))
    for index, mount in enumerate(config.get("mounts") or ()):
        pointer = f"/mounts/{index}"
        for name in MAPS:
            head += _fields(f"{pointer}/{name}", mount.get(name))
        maps = [word for word in mount.get("options") or () if _IDMAP.match(word)]
        head += [(describe.field(f"{pointer}/options"), f"= {word}") for word in maps]
    done = [(entry["field"] or "-", entry["text"]) for entry in found["operations"]]
    places = ((found["rootfs"], "ROOTFS"), (found["bundle"], "BUNDLE"))
    return [(field, _without(what, places)) for field, what in head + done]


def _at(config: Config, pointer: str) -> Any:
    node: Any = config
    for name in pointer.split("/")[1:]:
        node = (node or {}).get(name)
    return node


def _fields(pointer: str, value: Any) -> Iterator[Row]:
    """Each member by itself, the items of a list whole."""
    if isinstance(value, dict):
        for name, member in value.items():
            step = name.replace("~", "~0").replace("/", "~1")
            yield from _fields(f"{pointer}/{step}", member)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield describe.field(f"{pointer}/{index}"), f"= {jsonscan.dumps(item)}"
    elif value is not None:
        yield describe.field(pointer), f"= {jsonscan.dumps(value)}"


def _without(text: str, places: tuple[tuple[str, str], ...]) -> str:
    """A line without the paths of its bundle, wherever one begins."""
    for path, name in places:
        inside = re.escape(describe.quote(path)[1:-1])
        text = re.sub(rf'(?<=["\[=:]){inside}(?=["/\]:])', name, text)
    return text


def unified(old: list[Row], new: list[Row], names: tuple[str, str]) -> str:
    """The difference, "" if there is none."""
    before, after = [_key(row) for row in old], [_key(row) for row in new]
    matcher = difflib.SequenceMatcher(isjunk=None, a=before, b=after, autojunk=False)
    codes = _slid(list(matcher.get_opcodes()), old, new)
    if all(code[0] == "equal" for code in codes):
        return ""
    width = min(max(len(field) for field, _ in old + new), describe.FIELD_WIDTH)
    lines = [f"--- {names[0]}", f"+++ {names[1]}"]
    for hunk in _hunks(codes):
        first, last = hunk[0], hunk[-1]
        lines.append(f"@@ -{_range(first[1], last[2])} +{_range(first[3], last[4])} @@")
        for word, i1, i2, j1, j2 in hunk:
            if word == "equal":
                lines += [_line(" ", row, width) for row in new[j1:j2]]
                continue
            lines += [_line("-", row, width) for row in old[i1:i2]]
            lines += [_line("+", row, width) for row in new[j1:j2]]
    return "\n".join(lines) + "\n"


def _slid(codes: list[Code], old: list[Row], new: list[Row]) -> list[Code]:
    """What is more on one side, begun at the begin of a step where it may as well begin there: the
    end of a mount is like that of the one before it."""
    for at in range(1, len(codes) - 1):
        word, i1, i2, j1, j2 = codes[at]
        if word not in ("insert", "delete"):
            continue
        side, start, stop = (new, j1, j2) if word == "insert" else (old, i1, i2)
        room = codes[at + 1][2] - codes[at + 1][1]
        first = {_step(row): number for number, row in reversed(list(enumerate(side)))}
        by = 0
        while first[_step(side[start + by])] != start + by:
            if by == room or _key(side[start + by]) != _key(side[stop + by]):
                by = 0
                break
            by += 1
        for index, moved in ((at - 1, (0, by, 0, by)), (at, (by,) * 4), (at + 1, (by, 0, by, 0))):
            kind, *places = codes[index]
            a, b, c, d = (p + m for p, m in zip(places, moved, strict=True))
            codes[index] = (kind, a, b, c, d)
    return codes


def _step(row: Row) -> str:
    """`mounts[2]` of `mounts[2].options`: what a step of the plan is about."""
    return row[0].partition(".")[0]


def _hunks(codes: list[Code]) -> list[list[Code]]:
    """The differences, each with what is around it; those near each other together."""
    found: list[list[Code]] = [[]]
    for at, code in enumerate(codes):
        word, i1, i2, j1, j2 = code
        if word != "equal" or (0 < at < len(codes) - 1 and i2 - i1 <= 2 * AROUND):
            found[-1].append(code)
            continue
        kept = min(AROUND, i2 - i1)
        if at:
            found[-1].append(("equal", i1, i1 + kept, j1, j1 + kept))
            found.append([])
        if at < len(codes) - 1:
            found[-1].append(("equal", i2 - kept, i2, j2 - kept, j2))
    return [hunk for hunk in found if any(code[0] != "equal" for code in hunk)]


def _key(row: Row) -> Row:
    field, what = row
    return _PLACE.sub("[]", field), _DEFERRED.sub("deferred", what)


def _line(sign: str, row: Row, width: int) -> str:
    return f"{sign}{row[0]:<{width}}  {row[1]}"


def _range(start: int, stop: int) -> str:
    """As diff(1) counts: from 1, and without a count of one."""
    count = stop - start
    if count == 1:
        return f"{start + 1}"
    return f"{start + 1 if count else start},{count}"

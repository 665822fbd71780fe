# SPDX-License-Identifier: Apache-2.0
"""process.capabilities: the five sets, each with what the config lists and nothing else (R11)."""

from __future__ import annotations

from pyrun import ops
from pyrun.compile.donations import namespace
from pyrun.linux import CAP_SYS_ADMIN, CAPABILITIES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.types import Config, Facts, Problem, Steps

LANDLOCK = "org.pyrun.landlock"  # annotation: see landlock.py
POINTER = "/process/capabilities"
_BITS = {name: 1 << number for number, name in enumerate(CAPABILITIES)}
_EVERY = (1 << len(CAPABILITIES)) - 1


def bits(config: Config, kind: str) -> int:
    """One of the five sets. A name that we don't know grants nothing, as config.md asks."""
    total = 0
    for name in ((config.get("process") or {}).get("capabilities") or {}).get(kind) or []:
        total |= _BITS.get(name, 0)
    return total


def granted(config: Config, facts: Facts) -> dict[str, int]:
    """What of each set the kernel would let us have: config.md asks not to fail for the rest.

    Nothing is permitted that we have not ourselves, effective that is not permitted, inheritable
    that is not bounding (capset(2)), or ambient that is not both permitted and inheritable.
    """
    # in a user namespace the process starts with all of them
    held = _EVERY if namespace(config, "user") else facts["capabilities"]
    bounding, permitted = bits(config, "bounding") & held, bits(config, "permitted") & held
    inheritable = bits(config, "inheritable") & bounding
    return {
        "bounding": bounding,
        "permitted": permitted,
        "effective": bits(config, "effective") & permitted,
        "inheritable": inheritable,
        "ambient": bits(config, "ambient") & permitted & inheritable,
    }


def problems(config: Config, facts: Facts) -> list[Problem]:
    """(pointer, message) of each set that is not granted whole: to be logged as a warning."""
    found = []
    for kind, given in granted(config, facts).items():
        wanted = ((config.get("process") or {}).get("capabilities") or {}).get(kind) or []
        lost = [name for name in wanted if not _BITS.get(name, 0) & given]
        if lost:
            found.append((f"{POINTER}/{kind}", f"not granted: {' '.join(lost)}"))
    return found


def limit(config: Config, facts: Facts) -> Steps:
    """While we still have CAP_SETPCAP."""
    yield f"{POINTER}/bounding", ops.drop_bounding(granted(config, facts)["bounding"])


def apply(config: Config, facts: Facts) -> Steps:
    """After the change of user, which kept the permitted set (PR_SET_KEEPCAPS).

    Confining ourselves without no_new_privs takes CAP_SYS_ADMIN: it is kept till then.
    """
    extra = CAP_SYS_ADMIN if loads_with_privilege(config, facts) else 0
    sets = granted(config, facts)
    effective, permitted = sets["effective"] | extra, sets["permitted"] | extra
    yield POINTER, ops.capset(effective, permitted, sets["inheritable"])
    yield f"{POINTER}/ambient", ops.set_ambient(sets["ambient"])


def settle(config: Config, facts: Facts) -> Steps:
    """Give up what that needed."""
    if loads_with_privilege(config, facts):
        sets = granted(config, facts)
        op = ops.capset(sets["effective"], sets["permitted"], sets["inheritable"])
        yield POINTER, op


def loads_with_privilege(config: Config, facts: Facts) -> bool:
    """Whether a seccomp filter, or Landlock rules, are for a process that may still gain
    privileges."""
    confined = facts["seccomp"] or LANDLOCK in (config.get("annotations") or ())
    return bool(confined) and not config["process"].get("noNewPrivileges")

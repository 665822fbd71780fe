# SPDX-License-Identifier: Apache-2.0
"""process.capabilities: the five sets, each exactly as the config lists it (R11)."""

from __future__ import annotations

from pyrun import ops
from pyrun.compile.donations import namespace
from pyrun.errors import Error
from pyrun.linux import CAP_SYS_ADMIN, CAPABILITIES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.types import Config, Facts, Steps

POINTER = "/process/capabilities"
_BITS = {name: 1 << number for number, name in enumerate(CAPABILITIES)}


def bits(config: Config, kind: str) -> int:
    """One of the five sets. A name that we don't know grants nothing, as config.md asks."""
    total = 0
    for name in ((config.get("process") or {}).get("capabilities") or {}).get(kind) or []:
        total |= _BITS.get(name, 0)
    return total


def check(config: Config, facts: Facts) -> None:
    """Refuse what capset(2) would: more than the runtime itself has. Raises Error."""
    if namespace(config, "user"):
        return  # where the process starts with all of them
    for kind in ("permitted", "effective", "inheritable"):
        missing = bits(config, kind) & ~facts["capabilities"]
        if missing:
            names = " ".join(name for name, bit in _BITS.items() if bit & missing)
            raise Error(
                f"unable to apply capabilities: operation not permitted: {names}",
                f"{POINTER}/{kind}",
                "the caller of pyrun does not hold them itself",
            )


def limit(config: Config, facts: Facts) -> Steps:
    """While we still have CAP_SETPCAP."""
    yield f"{POINTER}/bounding", ops.drop_bounding(bits(config, "bounding"))


def apply(config: Config, facts: Facts) -> Steps:
    """After the change of user, which kept the permitted set (PR_SET_KEEPCAPS).

    Loading a filter without no_new_privs takes CAP_SYS_ADMIN: it is kept till then.
    """
    check(config, facts)
    extra = CAP_SYS_ADMIN if loads_with_privilege(config, facts) else 0
    effective, permitted = bits(config, "effective"), bits(config, "permitted")
    inheritable = bits(config, "inheritable")
    yield POINTER, ops.capset(effective | extra, permitted | extra, inheritable)
    # The kernel raises only what is permitted and inheritable; the default bundle of every runtime
    # asks for more, and means nothing by it.
    ambient = bits(config, "ambient") & permitted & inheritable
    yield f"{POINTER}/ambient", ops.set_ambient(ambient)


def settle(config: Config, facts: Facts) -> Steps:
    """Give up what the filter needed."""
    if loads_with_privilege(config, facts):
        sets = [bits(config, kind) for kind in ("effective", "permitted", "inheritable")]
        yield POINTER, ops.capset(*sets)


def loads_with_privilege(config: Config, facts: Facts) -> bool:
    """Whether a seccomp filter is loaded by a process that may still gain privileges."""
    return bool(facts["seccomp"]) and not config["process"].get("noNewPrivileges")

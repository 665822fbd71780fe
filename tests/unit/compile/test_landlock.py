# SPDX-License-Identifier: Apache-2.0
"""org.pyrun.landlock: what is wrong with a value, what it takes of the kernel, and when it acts."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from pyrun.compile import capabilities, landlock, namespaces, process
from pyrun.compile import process as rules
from pyrun.errors import Error
from unit.compile.rules import Config, listed, spaces, told
from unit.compile.rules import process as process_of

READ = {"handledAccessFS": ["read_file", "read_dir"]}
LISTENER = 8  # SECCOMP_FILTER_FLAG_NEW_LISTENER


def with_rules(value: Any = None, **members: Any) -> Config:
    text = value if isinstance(value, str) else json.dumps(members)
    base = {**spaces("mount"), **process_of(noNewPrivileges=True)}
    return {**base, "annotations": {landlock.LANDLOCK: text}}


def test_operations() -> None:
    config = with_rules(
        handledAccessFS=["execute", "refer"],
        pathBeneath=[{"paths": ["/usr", "/bin/sh"], "allowedAccess": ["execute"]}],
        handledAccessNet=["bind_tcp"],
        netPort=[{"ports": [80], "allowedAccess": ["bind_tcp"]}],
        scoped=["signal"],
    )
    field = f'annotations["{landlock.LANDLOCK}"]'
    assert told(process.prepare_landlock, config, landlock_abi=6) == listed(f"""
{field}: landlock_ruleset(execute|refer, bind_tcp, signal) = ruleset
{field}: landlock_path(ruleset, "/usr", execute)
{field}: landlock_path(ruleset, "/bin/sh", execute)
{field}: landlock_port(ruleset, 80, bind_tcp)
""")
    restrict = [f"{field}: landlock_restrict(ruleset)", f"{field}: close_slot(ruleset)"]
    assert told(process.landlock, config) == restrict
    assert "ruleset" in told(namespaces.forget_all, config)[0]
    for rule in (process.prepare_landlock, process.landlock):
        assert told(rule, spaces("mount")) == []


def test_before_a_filter_with_a_listener() -> None:
    """Which lets through what it takes itself, and nothing more."""
    config = with_rules(**READ)
    flags = {"seccomp": b"12345678", "seccomp_flags": LISTENER}
    assert told(process.landlock, config, **flags) == []
    names = [line.split(": ")[1].partition("(")[0] for line in told(rules.ready, config, **flags)]
    assert names == ["prctl", "landlock_restrict", "close_slot", "seccomp_listen", "sync"]


@pytest.mark.parametrize("seccomp", [b"", b"12345678"])
def test_the_privilege_is_given_up(seccomp: bytes) -> None:
    """Once, by whoever comes last: the rules or the filter."""
    config = with_rules(**READ)
    assert not any("CAP_SYS_ADMIN" in line for line in told(capabilities.apply, config))
    config["process"]["noNewPrivileges"] = False
    assert "CAP_SYS_ADMIN" in told(capabilities.apply, config)[0]
    ends = [
        line.split(": ")[1].partition("(")[0]
        for rule in (process.landlock, process.execute)
        for line in told(rule, config, seccomp=seccomp)
    ]
    without, others = ["landlock_restrict", "close_slot", "capset", "execve"], "seccomp"
    assert ends == (
        [*without[:2], others, *without[2:]] if seccomp else without
    )  # fmt: skip


@pytest.mark.parametrize(
    ("members", "abi", "text"),
    [
        (READ, 0, "this kernel has no Landlock"),
        ({"handledAccessFS": ["refer"]}, 1, r"refer takes ABI 2 of Landlock \(Linux 5\.19\), "),
        ({"handledAccessFS": ["truncate"]}, 2, r"truncate takes ABI 3 of Landlock \(Linux 6\.2\)"),
        ({"handledAccessNet": ["bind_tcp"]}, 3, r"bind_tcp takes ABI 4 of Landlock \(Linux 6\.7\)"),
        ({"handledAccessFS": ["ioctl_dev"]}, 4, r"ioctl_dev takes ABI 5 .* \(Linux 6\.10\)"),
        ({"scoped": ["signal"]}, 5, r"signal takes ABI 6 .* \(Linux 6\.12\), this"),
    ],
)  # fmt: skip
def test_what_it_takes_of_the_kernel(members: Any, abi: int, text: str) -> None:
    config = with_rules(**members)
    with pytest.raises(Error, match=text) as caught:
        told(process.prepare_landlock, config, landlock_abi=abi)
    assert caught.value.pointer == "/annotations/org.pyrun.landlock"
    assert told(process.prepare_landlock, config, landlock_abi=abi + 1)


def test_every_right_is_of_a_known_abi() -> None:
    for table in (landlock.FS, landlock.NET, landlock.SCOPED):
        bits = [bit for bit, _ in table.values()]
        assert bits == [1 << number for number in range(len(table))]
        assert {abi for _, abi in table.values()} <= landlock.KERNELS.keys()


def rule(*allowed: str, **members: Any) -> list[dict[str, Any]]:
    return [{"allowedAccess": [*allowed], **members}]


@pytest.mark.parametrize(
    ("config", "text"),
    [
        (with_rules(""), "its value: .*"),
        (with_rules("{"), "its value: .*"),
        (with_rules("[]"), "must be an object, not an empty list"),
        (with_rules(), "handles nothing, so it would restrict nothing"),
        (with_rules(handledAccessFS=[]), "handles nothing, so it would restrict nothing"),
        (with_rules(handledAccessFS=["read"]), "/handledAccessFS/0 must be one of execute, .*"),
        (with_rules(handledAccessFs=["execute"], **READ), "/handledAccessFs is unknown: .*"),
        (
            with_rules(**READ, pathBeneath=rule("read_file", paths=["/"], path="/x")),
            "/pathBeneath/0/path is unknown: there are paths, allowedAccess",
        ),
        (
            with_rules(**READ, pathBeneath=rule("execute", paths=["/"])),
            "/pathBeneath/0/allowedAccess execute is not in handledAccessFS",
        ),
        (
            with_rules(**READ, pathBeneath=rule("read_file", paths=["/", "tmp"])),
            "/pathBeneath/0/paths/1 must be an absolute path, not \"tmp\"",
        ),
        (with_rules(**READ, pathBeneath=rule("read_file")), "/pathBeneath/0/paths is required"),
        (
            with_rules(**READ, netPort=rule("bind_tcp", ports=[1])),
            "/netPort/0/allowedAccess bind_tcp is not in handledAccessNet",
        ),
        (
            with_rules(handledAccessNet=["bind_tcp"], netPort=rule("bind_tcp", ports=[65536])),
            "/netPort/0/ports/0 must be an integer from 0 to 65535, not 65536",
        ),
    ],
)  # fmt: skip
def test_refused(config: Config, text: str) -> None:
    found = list(landlock.problems(config))
    assert [pointer for pointer, _ in found] == ["/annotations/org.pyrun.landlock"]
    assert re.fullmatch(text, found[0][1]), found


def test_not_refused() -> None:
    assert list(landlock.problems(with_rules(**READ))) == []
    nothing_allowed = with_rules(handledAccessFS=["execute"], pathBeneath=[], scoped=["signal"])
    assert list(landlock.problems(nothing_allowed)) == []

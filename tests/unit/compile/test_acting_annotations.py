# SPDX-License-Identifier: Apache-2.0
"""Which annotations need root's leave, and which make no sense."""

from __future__ import annotations

import pytest

from pyrun import prepare
from pyrun.compile import acting_annotations as rules

ACTING = (*rules.FREE, *rules.GUARDED, *rules.REFUSED)
WHERE = "/etc/list"
REFUSAL = "root has to allow it in /etc/list: it may loosen what confines"


def problems(allowed: tuple[str, ...] = (), **notes: str) -> list[tuple[str, str]]:
    """Of annotations by their names, with "__" for a dot."""
    config = {"annotations": {key.replace("__", "."): value for key, value in notes.items()}}
    return list(rules.problems(config, allowed, WHERE))


@pytest.mark.parametrize("key", ACTING)
def test_none_is_overlooked(key: str) -> None:
    """prepare() looks at a config only if some key begins as one of these."""
    assert key.startswith(prepare.ACTING_ANNOTATIONS)


def test_each_is_of_one_kind() -> None:
    assert len(set(rules.ALL)) == len(rules.ALL)
    assert [key for key in rules.FREE if rules.is_guarded(key)] == []
    assert [key for key in rules.GUARDED if not rules.is_guarded(key)] == []


@pytest.mark.parametrize("name", ["MemoryMax", "DeviceAllow", "Wants", "FailureAction", "Nonsense"])
def test_properties_that_need_leave(name: str) -> None:
    key = f"org.systemd.property.{name}"
    assert problems(**{key: "1"}) == [(f"/annotations/{key}", REFUSAL)]
    assert problems((key,), **{key: "1"}) == []
    assert problems(("org.systemd.property.",), **{key: "1"}) == []


@pytest.mark.parametrize("name", rules.HARMLESS_PROPERTIES)
def test_properties_that_need_none(name: str) -> None:
    assert problems(**{f"org.systemd.property.{name}": "1"}) == []


@pytest.mark.parametrize("key", [*rules.GUARDED, "org.systemd.property.DeviceAllow"])
@pytest.mark.parametrize("value", ["", "0"])
def test_what_stands_for_nothing_needs_no_leave(key: str, value: str) -> None:
    """crun takes "0" for off where there is a switch, and anything else for on."""
    nothing = value == ("0" if key == rules.KEEP_GROUPS else "")
    assert (problems(**{key: value}) == []) is nothing


def test_a_prefix_needs_its_dot() -> None:
    assert problems(("run.oci",), run__oci__pidfd_receiver="/x") != []
    assert problems(("run.oci.",), run__oci__pidfd_receiver="/x") == []
    assert problems(("run.oci.pidfd",), run__oci__pidfd_receiver="/x") != []


def test_unknown_ones_are_nobody_s_business() -> None:
    """config.md, annotations: no error for a key that is not known."""
    assert problems(run__oci__other="x", org__pyrun__other="x", org__example="x") == []


@pytest.mark.parametrize("key", rules.PATHS)
def test_paths_are_absolute(key: str) -> None:
    assert problems((key,), **{key: "a/b"}) == [
        (f"/annotations/{key}", "'a/b' is not an absolute path")
    ]


def test_context_types() -> None:
    key = rules.CONTEXT_TYPE
    for name in rules.CONTEXT_TYPES:
        assert problems((key,), **{key: name}) == []
    assert problems((key,), **{key: "none"}) == [
        (
            f"/annotations/{key}",
            "'none' is none of context, fscontext, defcontext, rootcontext",
        )
    ]


def test_what_is_refused_can_not_be_allowed() -> None:
    assert len(problems(("run.oci.",), run__oci__seccomp__plugins="x")) == 1

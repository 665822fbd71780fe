# SPDX-License-Identifier: Apache-2.0
"""What mountinfo and /proc/self/cgroup say about the layout."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyrun.cgroup import facts

V1 = """\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
"""
UNIFIED = "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"
V2 = "29 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"


def test_v1_names_each_controller_and_named_hierarchy() -> None:
    found = facts.parse(V1, "4:memory:/a\n2:cpu,cpuacct:/b\n1:name=systemd:/\n")
    assert found == {
        "layout": "v1",
        "mounts": {
            "cpu": ["/sys/fs/cgroup/cpu,cpuacct", "/"],
            "cpuacct": ["/sys/fs/cgroup/cpu,cpuacct", "/"],
            "memory": ["/sys/fs/cgroup/memory", "/"],
            "name=systemd": ["/sys/fs/cgroup/systemd", "/"],
        },
        "own": {"memory": "/a", "cpu": "/b", "cpuacct": "/b", "name=systemd": "/"},
    }


def test_a_v2_tree_beside_v1_is_hybrid() -> None:
    found = facts.parse(V1 + UNIFIED, "0::/x\n")
    assert found["layout"] == "hybrid"
    assert found["mounts"][""] == ["/sys/fs/cgroup/unified", "/"]
    assert found["own"] == {"": "/x"}


def test_v2_at_the_well_known_place_hides_v1() -> None:
    found = facts.parse(V1 + V2, "4:memory:/a\n0::/x\n")
    assert found["layout"] == "v2"
    assert found["mounts"] == {"": ["/sys/fs/cgroup", "/"]}


NAMED = "42 29 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n"


def test_a_v1_hierarchy_beside_v2_is_told_of() -> None:
    found = facts.parse(V2 + NAMED, "1:name=systemd:/b\n0::/x\n")
    assert found == {
        "layout": "v2",
        "mounts": {"": ["/sys/fs/cgroup", "/"]},
        "own": {"name=systemd": "/b", "": "/x"},
        "beside": ["/sys/fs/cgroup/systemd", "/"],
    }
    for text in (V2, V1, V1 + UNIFIED, ""):
        assert "beside" not in facts.parse(text, "0::/x\n")


@pytest.mark.parametrize("seen", [True, False])
def test_it_counts_where_it_is_seen(tmp_path: Path, seen: bool) -> None:
    """One that lies hidden under v2 has none of its files there."""
    if seen:
        (tmp_path / "cgroup.clone_children").touch()
    known = {"mounts": {"": ["/cg", "/"]}, "beside": [str(tmp_path), "/"]}
    facts.add_beside(known)
    more = {"name=systemd": [str(tmp_path), "/"]} if seen else {}
    assert known == {"mounts": {"": ["/cg", "/"], **more}}
    facts.add_beside(known)
    assert list(known["mounts"]) == ["", *more]


def test_v2_elsewhere_counts_when_it_is_alone() -> None:
    assert facts.parse(UNIFIED, "0::/\n")["layout"] == "v2"


def test_nothing_mounted() -> None:
    found = facts.parse("23 1 0:20 / /sys rw - sysfs sysfs rw\n", "0::/\n")
    assert (found["layout"], found["mounts"]) == ("none", {})


def test_escapes_and_the_root_of_a_bind() -> None:
    line = "9 1 0:3 /docker/x /sys/fs/cgroup/a\\040b ro - cgroup cgroup rw,pids\n"
    assert facts.parse(line, "")["mounts"] == {"pids": ["/sys/fs/cgroup/a b", "/docker/x"]}


def test_the_well_known_place_wins_over_a_copy() -> None:
    copy = "8 1 0:32 / /var/copy/memory rw - cgroup cgroup rw,memory\n"
    for text in (copy + V1, V1 + copy):
        assert facts.parse(text, "")["mounts"]["memory"][0] == "/sys/fs/cgroup/memory"


def test_this_process_has_a_cgroup() -> None:
    assert facts.facts()["own"]


# Ends of a line for Python's splitlines(), and ordinary characters of a name for the kernel.
ENDS = ("\r", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029")


@pytest.mark.parametrize("end", ENDS)
def test_lines_end_where_the_kernel_ends_them(end: str) -> None:
    """Whoever may name a mount point or a cgroup does not make lines."""
    point, own = f"/sys/fs/cgroup/a{end}b", f"/box{end}9:memory:/other{end}x"
    line = f"9 1 0:3 / {point} rw - cgroup cgroup rw,pids\n"
    found = facts.parse(line, f"1:pids:{own}\n")
    assert found["mounts"] == {"pids": [point, "/"]}
    assert found["own"] == {"pids": own}

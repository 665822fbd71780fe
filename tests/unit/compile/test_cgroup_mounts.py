# SPDX-License-Identifier: Apache-2.0
"""mounts of type cgroup: one file system on v2, a directory of hierarchies on v1 and hybrid."""

from __future__ import annotations

import pytest

from pyrun.compile import cgroup_mounts
from pyrun.compile import mounts as rules
from pyrun.errors import Error
from unit.compile.rules import FACTS, Config, listed, mounts, told

CGROUP = {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup"}
FLAGS = "MOUNT_ATTR_RDONLY|MOUNT_ATTR_NOSUID"
V1 = [
    ("cpu,cpuacct", ["cpu", "cpuacct"], "/sys/fs/cgroup/cpu,cpuacct/box"),
    ("systemd", ["none", "name=systemd"], "/sys/fs/cgroup/systemd/box"),
]

FRESH = f"""mounts[0]: fsopen("cgroup2") = context
mounts[0]: fsconfig(context, "source", "cgroup")
mounts[0]: fsmount(context, {FLAGS}) = tree
mounts[0]: make_in_root(root, "/sys/fs/cgroup", S_IFDIR|0755, 0) = target
mounts[0]: move_mount(tree, target)"""
SHOWN = f"""mounts[0]: open_tree(host, "/sys/fs/cgroup", AT_RECURSIVE) = tree
mounts[0]: mount_setattr(tree, 0, {FLAGS}, 0, 0)
mounts[0]: make_in_root(root, "/sys/fs/cgroup", S_IFDIR|0755, 0) = target
mounts[0]: move_mount(tree, target)"""

UNIFIED = [
    (("mount", "cgroup"), True, FRESH),
    # By the host's own cgroup namespace a mount would change the options of the tree for everybody.
    (("mount",), True, SHOWN),
    (("mount", "cgroup@/c"), True, SHOWN),
    (("mount", "user", "cgroup"), True, FRESH),
    (("mount", "user", "cgroup"), False, FRESH),
    # A cgroup namespace that is not of our user namespace can't be mounted by us.
    (("mount", "user"), True, SHOWN),
    (("mount", "user"), False, SHOWN),
    (("mount", "user", "cgroup@/c"), False, SHOWN),
]


@pytest.mark.parametrize("kind", ["cgroup", "cgroup2"])
@pytest.mark.parametrize(("kinds", "privileged", "expected"), UNIFIED)
def test_v2(kinds: tuple[str, ...], privileged: bool, expected: str, kind: str) -> None:
    mount = {**CGROUP, "type": kind, "options": ["ro", "nosuid"]}
    found = told(rules.mount_all, mounts(mount, kinds=kinds), privileged=privileged)
    assert found == listed(expected)


def test_v2_a_joined_namespace_that_may_be_mounted() -> None:
    """It is no host's, and of our own user namespace: the tree as it shows it."""
    mount = {**CGROUP, "options": ["ro", "nosuid"]}
    for kinds, expected in (
        (("mount", "cgroup@/c"), FRESH),
        (("mount", "user", "cgroup@/c"), SHOWN),
    ):
        config = mounts(mount, kinds=kinds)
        assert told(rules.mount_all, config, mounts_cgroups=True) == listed(expected)


def test_propagation_and_normal_form() -> None:
    mount = {**CGROUP, "destination": "sys/fs//cgroup", "options": ["ro", "nosuid", "rslave"]}
    found = told(rules.mount_all, mounts(mount, kinds=("mount", "cgroup")))
    propagated = "mounts[0].options: mount_setattr(tree, AT_RECURSIVE, 0, 0, MS_SLAVE)"
    assert found == [*listed(FRESH), propagated]


V1_TREE = """mounts[0]: fsopen("tmpfs") = context
mounts[0]: fsconfig(context, "source", "tmpfs")
mounts[0]: fsconfig(context, "mode", "755")
mounts[0]: fsmount(context, MOUNT_ATTR_NOSUID) = tree
mounts[0]: make_in_root(tree, "/cpu,cpuacct", S_IFDIR|0755, 0) = target
mounts[0]: symlinkat("cpu,cpuacct", tree, "cpu")
mounts[0]: symlinkat("cpu,cpuacct", tree, "cpuacct")
mounts[0]: make_in_root(tree, "/systemd", S_IFDIR|0755, 0) = target
mounts[0]: mount_setattr(tree, 0, MOUNT_ATTR_RDONLY, 0, 0)
mounts[0]: make_in_root(root, "/sys/fs/cgroup", S_IFDIR|0755, 0) = target
mounts[0]: move_mount(tree, target)"""


def hierarchy(*lines: str, name: str) -> str:
    return "\n".join(
        [
            *lines,
            f'mounts[0]: make_in_root(root, "/sys/fs/cgroup/{name}", S_IFDIR|0755, 0) = target',
            "mounts[0]: move_mount(tree, target)",
        ]
    )


def bound(name: str) -> str:
    return hierarchy(
        f'mounts[0]: open_tree(host, "/sys/fs/cgroup/{name}/box", AT_RECURSIVE) = tree',
        f"mounts[0]: mount_setattr(tree, 0, {FLAGS}, 0, 0)",
        name=name,
    )


def mounted(name: str, *options: str) -> str:
    return hierarchy(
        'mounts[0]: fsopen("cgroup") = context',
        'mounts[0]: fsconfig(context, "source", "cgroup")',
        *(f"mounts[0]: fsconfig(context, {option})" for option in options),
        f"mounts[0]: fsmount(context, {FLAGS}) = tree",
        name=name,
    )


HIERARCHIES = [
    (("mount",), [V1_TREE, bound("cpu,cpuacct"), bound("systemd")]),
    (
        ("mount", "cgroup"),
        [
            V1_TREE,
            mounted("cpu,cpuacct", '"cpu", none', '"cpuacct", none'),
            mounted("systemd", '"none", none', '"name", "systemd"'),
        ],
    ),
]


@pytest.mark.parametrize("layout", ["v1", "hybrid"])
@pytest.mark.parametrize(("kinds", "expected"), HIERARCHIES)
def test_v1(kinds: tuple[str, ...], expected: list[str], layout: str) -> None:
    mount = {**CGROUP, "options": ["ro", "nosuid"]}
    unusual = {"cgroup_layout": layout, "cgroup_hierarchies": V1}
    found = told(rules.mount_all, mounts(mount, kinds=kinds), **unusual)
    assert found == listed("\n".join(expected))


def test_v1_writable() -> None:
    """Without `ro` the tmpfs stays writable too."""
    config: Config = mounts(CGROUP)
    found = told(rules.mount_all, config, cgroup_layout="v1", cgroup_hierarchies=V1)
    assert not [line for line in found if "RDONLY" in line]


@pytest.mark.parametrize("kinds", [("mount", "cgroup"), ("mount", "user")])
def test_the_unified_tree_of_a_hybrid_host(kinds: tuple[str, ...]) -> None:
    """By its own type; the type cgroup shows the hierarchies."""
    mount = {**CGROUP, "type": "cgroup2", "options": ["ro", "nosuid"]}
    unusual = {"cgroup_layout": "hybrid", "cgroup_hierarchies": V1}
    expected = FRESH if "cgroup" in kinds else SHOWN.replace('cgroup", AT', 'cgroup/unified", AT')
    assert told(rules.mount_all, mounts(mount, kinds=kinds), **unusual) == listed(expected)


MAP = [{"containerID": 0, "hostID": 100000, "size": 10}]
OWNERS = [
    (("mount", "cgroup"), {}, [], 7),
    (("mount", "cgroup", "user"), {}, [], 100007),
    (("mount", "cgroup", "user"), {"user": {"uid": 10}}, [], None),  # nobody on the host
    (("mount", "cgroup"), {}, ["ro"], None),
    (("mount",), {}, [], None),
    (("mount", "cgroup@/c"), {}, [], None),
]


@pytest.mark.parametrize(("kinds", "process", "options", "expected"), OWNERS)
def test_owner(
    kinds: tuple[str, ...], process: Config, options: list[str], expected: int | None
) -> None:
    """config-linux.md, Cgroup ownership: who may divide the container's cgroup."""
    mount = {**CGROUP, "options": options}
    config = mounts(mount, kinds=kinds, uidMappings=MAP)
    config["process"] = {"user": {"uid": 7}, **process}
    assert cgroup_mounts.owner(config, FACTS) == expected
    assert cgroup_mounts.owner(config, {**FACTS, "cgroup_layout": "hybrid"}) is None
    assert cgroup_mounts.owner(config, {**FACTS, "privileged": False}) is None
    for field, value in (("destination", "/elsewhere"), ("source", "none"), ("type", "tmpfs")):
        config["mounts"][0] = {**mount, field: value}
        assert cgroup_mounts.owner(config, FACTS) is None


FORCED = {"run.oci.systemd.force_cgroup_v1": "/sys/fs/cgroup"}


def test_systemd_s_hierarchy_alone() -> None:
    """By an annotation, for a mount at the place that it names and no other."""
    config = mounts(CGROUP, {**CGROUP, "destination": "/other"}, kinds=("mount", "cgroup"))
    config["annotations"] = FORCED
    text = "\n".join(told(rules.mount_all, config, cgroup_layout="v1", cgroup_hierarchies=V1))
    first, second = text.split("mounts[1]", 1)
    assert '"name", "systemd"' in first
    assert "cpuacct" not in first
    assert "cpuacct" in second


def test_systemd_s_hierarchy_where_there_is_none() -> None:
    config = mounts(CGROUP)
    config["annotations"] = FORCED
    with pytest.raises(Error, match="name=systemd of cgroup v1 is not mounted") as caught:
        told(rules.mount_all, config)
    assert caught.value.pointer == "/annotations/run.oci.systemd.force_cgroup_v1"
    assert "mount -t cgroup -o none,name=systemd" in caught.value.hint


ALONE = V1_TREE.replace("cpu,cpuacct", "systemd").splitlines()
ALONE = "\n".join(line for line in dict.fromkeys(ALONE) if "symlinkat" not in line)
BESIDE = [
    (("mount",), [ALONE, bound("systemd").replace("/sys/fs/cgroup/systemd/box", "/named/box")]),
    (("mount", "cgroup"), [ALONE, mounted("systemd", '"none", none', '"name", "systemd"')]),
]


@pytest.mark.parametrize(("kinds", "expected"), BESIDE)
def test_systemd_s_hierarchy_beside_v2(kinds: tuple[str, ...], expected: list[str]) -> None:
    """By the name that a systemd looks for, wherever the host has it; v2 is not shown there, and so
    is nobody's to divide."""
    mount = {**CGROUP, "options": ["ro", "nosuid"]}
    config = mounts(mount, {**mount, "destination": "/other"}, kinds=kinds)
    config["annotations"] = FORCED
    unusual = {"cgroup_hierarchies": [("named", ["none", "name=systemd"], "/named/box")]}
    text = "\n".join(told(rules.mount_all, config, **unusual))
    first, second = text.split("mounts[1]", 1)
    assert listed(first) == listed("\n".join(expected))
    assert "tmpfs" not in second
    config["mounts"] = [CGROUP]
    assert cgroup_mounts.owner(config, FACTS) is None


@pytest.mark.parametrize(
    ("annotations", "mount", "forced"),
    [
        (FORCED, CGROUP, True),
        (FORCED, {**CGROUP, "destination": "sys/fs//cgroup/"}, True),
        (FORCED, {**CGROUP, "destination": "/other"}, False),
        (FORCED, {**CGROUP, "type": "tmpfs"}, False),
        ({**FORCED, next(iter(FORCED)): ""}, CGROUP, False),
        (None, CGROUP, False),
    ],
)
def test_whether_it_is_asked_for(annotations: Config, mount: Config, forced: bool) -> None:
    config = {"annotations": annotations, "mounts": [mount]}
    assert cgroup_mounts.forces_v1(config) is forced

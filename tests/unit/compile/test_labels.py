# SPDX-License-Identifier: Apache-2.0
"""process.apparmorProfile, process.selinuxLabel, linux.mountLabel."""

from __future__ import annotations

import pytest

from pyrun.compile import mounts as mount_rules
from pyrun.compile import process as rules
from pyrun.compile import rootfs
from pyrun.compile.namespaces import forget_host
from pyrun.errors import Error
from unit.compile.rules import Config, listed, mounts, process, spaces, told

CONTEXT = "system_u:object_r:container_file_t:s0:c1,c2"
DOMAIN = "system_u:system_r:container_t:s0:c1,c2"

WRITTEN = [
    (
        {"apparmorProfile": "box"},
        """process.apparmorProfile: write_own_proc(own_proc, "attr/apparmor/exec", "exec box")
        process.apparmorProfile: close_slot(own_proc)""",
    ),
    (
        {"selinuxLabel": DOMAIN},
        f"""process.selinuxLabel: write_own_proc(own_proc, "attr/exec", "{DOMAIN}")
        process.selinuxLabel: close_slot(own_proc)""",
    ),
    (
        {"apparmorProfile": "a b", "selinuxLabel": DOMAIN},
        f"""process.apparmorProfile: write_own_proc(own_proc, "attr/apparmor/exec", "exec a b")
        process.selinuxLabel: write_own_proc(own_proc, "attr/exec", "{DOMAIN}")
        process.apparmorProfile: close_slot(own_proc)""",
    ),
    ({"apparmorProfile": ""}, ""),
    ({}, ""),
]


@pytest.mark.parametrize(("wanted", "operations"), WRITTEN)
def test_written(wanted: Config, operations: str) -> None:
    assert told(rules.apply_labels, process(**wanted)) == listed(operations)


def test_a_procfs_of_our_own() -> None:
    assert told(rules.prepare_labels, process(apparmorProfile="box")) == listed(
        """process.apparmorProfile: fsopen("proc") = context
        process.apparmorProfile: fsconfig(context, "subset", "pid")
        process.apparmorProfile: fsmount(context, 0) = own_proc"""
    )
    assert told(rules.prepare_labels, process()) == []


def test_a_procfs_of_the_joined_pid_namespace() -> None:
    config = process(selinuxLabel=DOMAIN) | spaces("pid@/p")
    first = told(rules.prepare_labels, config)[0]
    assert first == "process.selinuxLabel: fsopen_proc(namespace[pid]) = context"


def test_the_session_keyring_is_the_containers() -> None:
    created = f'process.selinuxLabel: write_own_proc(own_proc, "attr/keycreate", "{DOMAIN}")'
    config = process(selinuxLabel=DOMAIN)
    assert created in told(rules.prepare_labels, config)
    assert created not in told(rules.prepare_labels, config, no_new_keyring=True)
    # where our pid is another than that procfs has
    assert created not in told(rules.prepare_labels, config | spaces("pid@/p"))


def test_it_is_kept_when_the_host_is_forgotten() -> None:
    assert "own_proc" in told(forget_host, process(apparmorProfile="box"))[0]
    assert "own_proc" not in told(forget_host, process())[0]


REFUSED = [
    (process(apparmorProfile="box"), ["SELinux"], "AppArmor", "/process/apparmorProfile"),
    (process(selinuxLabel=DOMAIN), ["AppArmor"], "SELinux", "/process/selinuxLabel"),
    (process() | spaces(mountLabel=CONTEXT), [], "SELinux", "/linux/mountLabel"),
]


@pytest.mark.parametrize(("config", "enabled", "module", "pointer"), REFUSED)
def test_nobody_would_enforce_it(
    config: Config, enabled: list[str], module: str, pointer: str
) -> None:
    with pytest.raises(Error, match=f"{module} is not enabled on this host") as caught:
        told(rules.prepare_labels, config, security_modules=enabled)
    assert caught.value.pointer == pointer


@pytest.mark.parametrize(
    ("kind", "labelled"),
    [("tmpfs", True), ("devpts", True), ("mqueue", False), ("proc", False), ("sysfs", False)],
)
def test_mount_label(kind: str, labelled: bool) -> None:
    config = mounts({"destination": "/x", "type": kind}, mountLabel=CONTEXT)
    lines = told(mount_rules.mount_all, config)
    option = f'linux.mountLabel: fsconfig(context, "context", "{CONTEXT}")'
    assert (option in lines) is labelled
    attribute = f'linux.mountLabel: set_label(tree, "{CONTEXT}")'
    assert (attribute in lines) is (kind == "mqueue")


def test_mount_label_of_what_is_made_besides() -> None:
    """What masks are made of, and the folder of cgroup v1's hierarchies."""
    option = f'linux.mountLabel: fsconfig(context, "context", "{CONTEXT}")'
    config = {**spaces("mount", mountLabel=CONTEXT, maskedPaths=["/a"])}
    assert option in told(rootfs.prepare, config)
    config = mounts({"destination": "/c", "type": "cgroup"}, mountLabel=CONTEXT)
    assert option in told(mount_rules.mount_all, config, cgroup_layout="v1")
    assert option not in told(mount_rules.mount_all, config, cgroup_layout="v2")


def test_mount_label_by_another_option() -> None:
    """As an annotation has it, which prepare() has checked."""
    config = mounts({"destination": "/x", "type": "tmpfs"}, mountLabel=CONTEXT)
    config["annotations"] = {"run.oci.mount_context_type": "rootcontext"}
    option = f'linux.mountLabel: fsconfig(context, "rootcontext", "{CONTEXT}")'
    assert option in told(mount_rules.mount_all, config)

# SPDX-License-Identifier: Apache-2.0
"""Advisories about who the container's process is, and what it may use."""

from __future__ import annotations

import os
import select
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest

from needs import needs
from pyrun.compile import acting_annotations

from .box import Box

pytestmark = needs("root", "busybox")

CGROUPS = Path("/sys/fs/cgroup")


def user_namespace(box: Box) -> None:
    """Map the container's root to an ordinary user."""
    linux = box.config["linux"]
    linux["namespaces"].append({"type": "user"})
    for kind in ("uid", "gid"):
        linux[f"{kind}Mappings"] = [{"containerID": 0, "hostID": 100000, "size": 65536}]


@pytest.mark.parametrize("uid", [-1, 2**31, 2**32 - 2, 2**32 - 1, 2**32, 2**63, 2**64, 1.5, "0"])
@pytest.mark.parametrize("kind", ["uid", "gid"])
def test_ids_beyond_the_range_never_become_root(box: Box, kind: str, uid: Any) -> None:
    """crun up to 1.27.1: 2^32-1 is "unchanged" to setresuid(2), so the payload ran as uid 0."""
    box.process["user"][kind] = uid
    box.sh(f"id -{kind[0]}")
    done = box.run()
    assert done.returncode != 0 or done.stdout.strip() == str(uid)


def test_cve_2022_29162_cve_2022_27650_no_capability_that_was_not_asked_for(box: Box) -> None:
    box.process["user"] = {"uid": 1000, "gid": 1000}
    del box.process["capabilities"]
    box.sh("cat /proc/self/status")
    found = dict(line.split(":", 1) for line in box.run().stdout.splitlines())
    for kind in ("Inh", "Prm", "Eff", "Amb"):
        assert int(found[f"Cap{kind}"], 16) == 0, kind


def test_cve_2022_36109_cve_2022_2995_no_group_of_the_caller(box: Box) -> None:
    box.process["user"] = {"uid": 1000, "gid": 1000}
    box.sh("cat /proc/self/status")
    done = box.run(extra_groups=[0, 4, 27, 44])
    groups = next(line for line in done.stdout.splitlines() if line.startswith("Groups:"))
    assert groups.split()[1:] in ([], ["1000"])


def test_cve_2023_25809_cgroups_of_the_host_with_a_user_namespace(box: Box, is_pyrun: bool) -> None:
    """Without a cgroup namespace its root writes to no cgroup at all."""
    user_namespace(box)
    (box.rootfs / "sys/fs/cgroup").mkdir(parents=True)
    box.config["mounts"].append({"destination": "/sys/fs/cgroup", "type": "cgroup"})
    box.sh(
        "for f in $(find /sys/fs/cgroup -name cgroup.procs -o -name release_agent);"
        " do echo 0 > $f && echo WROTE $f; done 2>/dev/null; echo RAN"
    )
    box.process["args"][2] = box.process["args"][2].replace("$(find", "$(/bin/busybox find")
    done = box.run()
    assert "WROTE" not in done.stdout
    assert "RAN" in done.stdout or not is_pyrun


@needs("cgroup_v1_controllers")
def test_ghsa_g54h_m393_cpwq_devices_are_denied_by_default(box: Box) -> None:
    """The config has no device rules: an unlisted device can be made, but not opened. To open the
    kernel's log for writing takes no capability, and writes nothing."""
    box.sh("mknod /tmp/kmsg c 1 11; echo MADE; (: > /tmp/kmsg) && echo OPENED")
    done = box.run()
    assert "MADE" in done.stdout
    assert "OPENED" not in done.stdout


@pytest.mark.parametrize("path", ["/../{}", "/a/../../{}", "../{}"])
def test_ghsa_5g49_rx9x_qfc6_cgroups_path_stays_in_the_hierarchy(box: Box, path: str) -> None:
    name = f"security-out-{os.getpid()}"
    box.config["linux"]["cgroupsPath"] = path.format(name)
    box.sh("echo RAN; cat /proc/self/cgroup; sleep 0.2")
    try:
        done = box.run()
        assert not CGROUPS.joinpath(name).exists()
        assert done.returncode != 0 or "/.." not in done.stdout
    finally:
        shutil.rmtree(CGROUPS / name, ignore_errors=True)  # beside the hierarchies: no cgroup


@needs("cgroup_v2")
@pytest.mark.parametrize("way", ["../{}/cgroup.max.depth", "./../{}/cgroup.max.depth"])
def test_ghsa_5g49_rx9x_qfc6_unified_writes_to_no_other_cgroup(box: Box, way: str) -> None:
    other = CGROUPS / f"security-other-{os.getpid()}"
    box.config["linux"]["cgroupsPath"] = f"/security-own-{os.getpid()}"
    box.config["linux"]["resources"] = {"unified": {way.format(other.name): "5"}}
    other.mkdir()
    try:
        box.run()
        assert other.joinpath("cgroup.max.depth").read_text() == "max\n"
    finally:
        other.rmdir()


@pytest.mark.parametrize(
    "key",
    ["kernel.core_pattern", "kernel/core_pattern", "net.ipv4/../../kernel/core_pattern",
     "net/../kernel/core_pattern", "fs.mqueue/../../kernel/core_pattern", "net..kernel",
     "kernel.shm_rmid_forced/../core_pattern", "fs.mqueue/../../kernel.core_pattern"],
)  # fmt: skip
def test_cve_2022_0811_sysctl_of_the_host(box: Box, key: str) -> None:
    """The present value is written, so that a failure does no harm."""
    value = Path("/proc/sys/kernel/core_pattern").read_text().strip()
    box.config["linux"]["sysctl"] = {key: value}
    box.sh("echo RAN")
    done = box.run()
    assert done.returncode != 0
    assert "RAN" not in done.stdout


@pytest.mark.parametrize("kind", ["network", "uts", "ipc"])
def test_r20_joined_host_namespace_is_not_changed(box: Box, kind: str, is_pyrun: bool) -> None:
    """A path that leads to the runtime's own namespace is no namespace of the container's."""
    linux = box.config["linux"]
    path = f"/proc/self/ns/{'net' if kind == 'network' else kind}"
    linux["namespaces"] = [
        {"type": name, "path": path} if name == kind else {"type": name}
        for name in ("pid", "network", "ipc", "uts", "mount")
    ]
    if kind == "uts":
        file = Path("/proc/sys/kernel/hostname")
        box.config["hostname"] = file.read_text().strip()
    else:
        key = {"network": "net.ipv4.ip_forward", "ipc": "kernel.shm_rmid_forced"}[kind]
        file = Path("/proc/sys") / key.replace(".", "/")
        linux["sysctl"] = {key: file.read_text().strip()}
    done = box.run()
    assert done.returncode != 0, "it wrote to a namespace of the host"


def test_cve_2021_43784_five_thousand_id_maps(box: Box) -> None:
    """Too many to be set: refused, or exact."""
    linux = box.config["linux"]
    linux["namespaces"].append({"type": "user"})
    for kind in ("uid", "gid"):
        linux[f"{kind}Mappings"] = [
            {"containerID": n, "hostID": 100000 + n, "size": 1} for n in range(5000)
        ]
    box.sh("cat /proc/self/uid_map")
    done = box.run()
    assert done.returncode != 0 or len(done.stdout.splitlines()) == 5000


def test_cve_2021_43784_a_megabyte_of_arguments(box: Box) -> None:
    long = "x" * 100_000
    box.process["args"] = ["/bin/echo", *[long] * 10]
    done = box.run()
    assert done.returncode != 0 or done.stdout == " ".join([long] * 10) + "\n"


# {key: a value by which an image would gain something, where a runtime obeys it}
ANNOTATIONS = {
    "org.systemd.property.ExecStartPre": "[('/bin/touch', ['touch', '{outside}/pwned'], false)]",
    "org.criu.config": "{outside}/pwned",
    "org.pyrun.rootfs.overlay": "{outside}",
    "run.oci.delegate-cgroup": "../..",
    "run.oci.handler": "krun",
    "run.oci.hooks.stderr": "{outside}/pwned",
    "run.oci.hooks.stdout": "{outside}/pwned",
    "run.oci.keep_original_groups": "1",
    "run.oci.mount_context_type": "context",
    "run.oci.pidfd_receiver": "{receiver}",
    "run.oci.seccomp.plugins": "{outside}/plugin.so",
    "run.oci.seccomp.receiver": "{receiver}",
    "run.oci.seccomp_bpf_data": "BgAAAAAA/38=",  # allow all
    "run.oci.systemd.force_cgroup_v1": "/vol",
}
INERT = ("run.oci.delegate-cgroup",)  # of the systemd driver, which is not asked here


def confined(text: str) -> set[str]:
    """What a container is told to be, by its /proc/self/status and what it has done. Hierarchies of
    cgroups come and go, in which nobody is anywhere."""
    names = ("Cap", "NoNewPrivs", "Seccomp", "Groups", "MADE", "CGROUP")
    return {line for line in text.splitlines() if line.startswith(names)} - {"CGROUP/"}


@pytest.mark.parametrize("key", ANNOTATIONS)
def test_cve_2024_3154_cve_2026_94603_an_annotation_of_an_image(
    box: Box, key: str, is_pyrun: bool
) -> None:
    """It changes nothing that the container has, and nothing outside; what could is refused."""
    box.sh(
        "cat /proc/self/status; busybox sed s/.*:/CGROUP/ /proc/self/cgroup;"
        " busybox mkdir /tmp/new && echo MADE"
    )
    rule = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}
    box.config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}
    script = ["sh", "-c", "echo of a hook; echo of a hook >&2"]
    box.config["hooks"] = {"createRuntime": [{"path": "/bin/sh", "args": script}]}
    plain = confined(box.run(extra_groups=[27]).stdout)
    assert len(plain) > 8
    receiver = box.folder / "receiver"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(receiver))
        listener.listen()
        value = ANNOTATIONS[key].format(outside=box.outside, receiver=receiver)
        box.config["annotations"] = {key: value}
        done = box.run(extra_groups=[27])
        assert select.select([listener], [], [], 0)[0] == [], "somebody connects to it"
    assert confined(done.stdout) in (set(), plain)
    assert box.untouched()
    if is_pyrun:
        assert key in INERT or f"/annotations/{key}: " in done.stderr
        assert (confined(done.stdout) == plain) == (key in INERT)


def test_every_annotation_that_is_guarded_is_tried() -> None:
    guarded = (*acting_annotations.GUARDED, *acting_annotations.REFUSED)
    assert [key for key in guarded if not any(name.startswith(key) for name in ANNOTATIONS)] == []

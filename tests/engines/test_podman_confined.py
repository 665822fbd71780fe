# SPDX-License-Identifier: Apache-2.0
"""Who a container is under podman, and what it may: users, capabilities, seccomp, namespaces."""

from __future__ import annotations

import json

import pytest

from needs import needs

from .image import NAME
from .pairs import Pair
from .podman import Podman

pytestmark = needs("root", "busybox", "podman", "runc", "crun")
Both = Pair[Podman]

STATUS = ["grep", "-E", "Cap|NoNewPrivs|Seccomp|Groups|Uid|Gid", "/proc/self/status"]


def test_users_and_groups(both: Both) -> None:
    def exercise(podman: Podman) -> list[str]:
        script = "id -u; id -g; for g in $(id -G); do echo $g; done | sort -n"
        return [
            podman.sees("--user=box", sh=script),
            podman.sees("--user=1234:5678", "--group-add=77", sh=script),
        ]

    assert both(exercise) == ["1000\n1000\n1000\n2000", "1234\n5678\n77\n5678"]


def test_what_a_container_may_by_default(both: Both) -> None:
    """Sets of capabilities, the filter, and noNewPrivileges, as the kernel tells."""
    seen = both(lambda p: p.sees("--", *STATUS))
    assert "Seccomp:\t2" in seen
    assert "Seccomp_filters:\t1" in seen
    assert "NoNewPrivs:\t0" in seen


def test_what_a_user_may_by_default(both: Both) -> None:
    seen = both(lambda p: p.sees("--user=1000", "--", *STATUS))
    assert "CapEff:\t0000000000000000" in seen


def test_capabilities_less_and_more(both: Both) -> None:
    def exercise(podman: Podman) -> list[str]:
        return [
            podman.sees("--cap-drop=ALL", "--cap-add=CHOWN", "--", *STATUS),
            podman.sees("--cap-add=SYS_PTRACE", "--cap-drop=KILL", "--", *STATUS),
            podman.sees("--cap-add=NET_BIND_SERVICE", "--user=1000", "--", *STATUS),
        ]

    first, second, third = both(exercise)
    assert "CapEff:\t0000000000000001" in first and "CapBnd:\t0000000000000001" in first
    assert int(second.split("CapEff:")[1].split()[0], 16) & (1 << 19 | 1 << 5) == 1 << 19
    assert "CapAmb:\t0000000000000400" in third


def test_no_new_privileges(both: Both) -> None:
    seen = both(lambda p: p.sees("--security-opt=no-new-privileges", "--", *STATUS))
    assert "NoNewPrivs:\t1" in seen


def test_privileged(both: Both) -> None:
    def exercise(podman: Podman) -> list[object]:
        script = (
            "mount -t tmpfs x /tmp; echo $?; test -w /proc/sys/kernel; echo $?; ls /dev | wc -l"
        )
        seen = podman.sees("--privileged", sh=script).split()
        status = podman.sees("--privileged", "--", *STATUS)
        return [seen, status]

    seen, status = both(exercise)
    assert seen[:2] == ["0", "0"] and int(seen[2]) > 20
    assert "Seccomp:\t0" in status


def test_seccomp_profile(both: Both) -> None:
    """One of the user's own: its errno comes back, and other calls go through."""

    def exercise(podman: Podman) -> list[object]:
        profile = {
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [
                {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28},
                {"names": ["sethostname"], "action": "SCMP_ACT_KILL"},
            ],
        }
        place = podman.host.write("/run/profile.json", json.dumps(profile))
        flag = f"--security-opt=seccomp={place}"
        result = podman.run(flag, sh="mkdir /x; ls -d /tmp")
        killed = podman.run(flag, "--cap-add=SYS_ADMIN", "--", "hostname", "x").code
        return ["No space left" in result.err, result.out, killed]

    assert both(exercise) == [True, "/tmp\n", 159]


def test_user_namespace_auto(both: Both) -> None:
    def exercise(podman: Podman) -> list[object]:
        for name in ("/etc/subuid", "/etc/subgid"):
            podman.host.write(name, "containers:200000:1000000\n")
        name = podman.started("--userns=auto:size=2000")
        rows = podman.exec(name, "cat", "/proc/self/uid_map").split()
        owner = podman.exec(name, "stat", "-c", "%u", "/etc/passwd", "/srv/box/note")
        return [rows[0], int(rows[1]) >= 200000, rows[2], owner.split()]

    assert both(exercise) == ["0", True, "2000", ["0", "1000"]]


def test_user_namespace_by_maps(both: Both) -> None:
    def exercise(podman: Podman) -> list[str]:
        flags = ("--uidmap=0:100000:3000", "--gidmap=0:200000:4000")
        script = "cat /proc/self/uid_map /proc/self/gid_map; id -u; touch /tmp/x; stat -c %u /tmp/x"
        name = podman.started(*flags, "--user=box")
        inside = podman.exec(name, "id", "-u")
        return [*podman.sees(*flags, sh=script).split(), inside]

    wanted = ["0", "100000", "3000", "0", "200000", "4000", "0", "0", "1000"]
    assert both(exercise) == wanted


def test_host_namespaces(both: Both) -> None:
    """Each of them is the host's own, as its number tells."""

    def exercise(podman: Podman) -> list[str]:
        flags = ["--network=host", "--pid=host", "--ipc=host", "--uts=host", "--cgroupns=host"]
        script = "for n in net pid ipc uts cgroup mnt; do readlink /proc/self/ns/$n; done"
        own = dict(line.split(":", 1) for line in podman.host.ask("sh", "-c", script).splitlines())
        seen = dict(line.split(":", 1) for line in podman.sees(*flags, sh=script).splitlines())
        return [name for name in own if seen[name] == own[name]]

    assert both(exercise) == ["net", "pid", "ipc", "uts", "cgroup"]


def test_namespaces_of_another_container(both: Both) -> None:
    def exercise(podman: Podman) -> list[str]:
        name = podman.started("--hostname=first", "--ipc=shareable")
        podman.exec(name, "sh", "-c", "ip link add name dummy9 type dummy 2>/dev/null; true")
        kinds = ["network", "pid", "ipc", "uts"]
        script = "for n in net pid ipc uts; do readlink /proc/self/ns/$n; done"
        first = podman.exec(name, "sh", "-c", script)
        flags = [f"--{kind}=container:{name}" for kind in kinds]
        return [first == podman.sees(*flags, sh=script),
                podman.sees(*flags, "--", "hostname")]  # fmt: skip

    assert both(exercise) == [True, "first"]


@pytest.mark.long
def test_names_of_a_container(both: Both) -> None:
    def exercise(podman: Podman) -> str:
        script = "hostname; cat /proc/sys/kernel/domainname; grep there /etc/hosts | cut -f1"
        return podman.sees("--hostname=boxed", "--add-host=there:10.1.2.3", sh=script)

    assert both(exercise) == "boxed\n(none)\n10.1.2.3"


@pytest.mark.long
def test_secrets(both: Both) -> None:
    def exercise(podman: Podman) -> str:
        name = f"secret-{podman.runtime}"
        podman.ask("secret", "create", name, podman.host.write("/run/hush", "hush"))
        seen = podman.sees(
            f"--secret={name},uid=1000,mode=0400,target=s",
            sh="cat /run/secrets/s; stat -c :%u:%a /run/secrets/s",
        )
        podman.ask("secret", "rm", name)
        return seen

    assert both(exercise) == "hush:1000:400"


def test_hooks_of_the_machine(both: Both) -> None:
    """podman's hooks.d: a createRuntime hook gets the state of the container."""

    def exercise(podman: Podman) -> list[object]:
        host = podman.host
        script = host.write("/run/hook", "#!/bin/sh\ncat > /run/hook.state\n")
        host.path(script).chmod(0o755)
        hook = {
            "version": "1.0.0",
            "hook": {"path": script},
            "when": {"always": True},
            "stages": ["createRuntime"],
        }
        host.write("/run/hooks.d/one.json", json.dumps(hook))
        line = podman.words("--hooks-dir=/run/hooks.d", "run", "--rm", NAME, "true")
        host.ask(*line)
        state = json.loads(host.path("/run/hook.state").read_text())
        return [state["status"], state["pid"] > 0, sorted(state)]

    status, running, keys = both(exercise)
    assert [status, running] == ["creating", True]
    assert {"ociVersion", "id", "status", "pid", "bundle", "annotations"} <= set(keys)

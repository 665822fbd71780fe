# SPDX-License-Identifier: Apache-2.0
"""What podman limits and sets for a container, read back inside it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from needs import excuse, needs

from .pairs import Pair
from .podman import Podman

pytestmark = needs("root", "busybox", "podman", "runc")
Both = Pair[Podman]

# Either version's files; a container sees those of its own cgroup.
MEMORY = "cat memory/memory.limit_in_bytes memory.max 2>/dev/null"
RESERVED = "cat memory/memory.soft_limit_in_bytes memory.low 2>/dev/null"
PIDS = "cat pids/pids.max pids.max 2>/dev/null"
QUOTA = "cat cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us cpu.max 2>/dev/null"
SHARES = "cat cpu/cpu.shares cpu.weight 2>/dev/null"
CPUS = "cat cpuset/cpuset.cpus cpuset.cpus 2>/dev/null"
PROBES = ("cd /sys/fs/cgroup", MEMORY, RESERVED, PIDS, QUOTA, SHARES, CPUS, "true")
READ = ["sh", "-c", "; ".join(PROBES)]
# The ends of the range, which runtimes of any age make the same weights of.
MOST, LEAST = 262144, 2


def test_memory_cpu_and_pids(both: Both) -> None:
    flags = ["--memory=64m", "--memory-reservation=32m", "--pids-limit=33", "--cpu-period=50000",
             "--cpu-quota=20000", f"--cpu-shares={MOST}", "--cpuset-cpus=0"]  # fmt: skip
    seen = both(lambda p: p.sees(*flags, "--", *READ)).split()
    assert seen[:5] == ["67108864", "33554432", "33", "20000", "50000"]
    assert seen[5] in (str(MOST), "10000")
    assert seen[6:] == ["0"]


@pytest.mark.long
def test_fractions_of_a_processor(both: Both) -> None:
    assert both(
        lambda p: p.sees("--cpus=0.25", sh=f"cd /sys/fs/cgroup; {QUOTA}; true")
    ).split() == ["25000", "100000"]


def test_limit_of_processes_holds(both: Both) -> None:
    def exercise(podman: Podman) -> bool:
        script = "for i in 1 2 3 4 5 6 7 8 9; do sleep 2 & done; echo all"
        result = podman.run("--pids-limit=5", sh=script)
        return "can't fork" in result.err and "all" not in result.out

    assert both(exercise) is True


def test_update(both: Both) -> None:
    """A limit of a container that runs; exec sees it as well."""

    def exercise(podman: Podman) -> list[str]:
        name = podman.started("--memory=64m", "--memory-swap=64m")
        script = f"cd /sys/fs/cgroup; {MEMORY}; {SHARES}; {CPUS}; true"
        before = podman.exec(name, "sh", "-c", script)
        podman.ask(
            "update",
            "--memory=96m",
            "--memory-swap=96m",
            f"--cpu-shares={LEAST}",
            "--cpuset-cpus=0",
            name,
        )
        return [before, *podman.exec(name, "sh", "-c", script).split()]

    before, memory, shares, cpus = both(exercise)
    assert before.startswith("67108864")
    assert [memory, cpus] == ["100663296", "0"]
    assert shares in (str(LEAST), "1")


def test_rates_of_a_device(both: Both) -> None:
    disk = next((path for path in Path("/dev").iterdir() if path.is_block_device()), None)
    if disk is None:
        excuse("no block device")
    number = f"{os.major(disk.stat().st_rdev)}:{os.minor(disk.stat().st_rdev)}"
    seen = both(
        lambda p: p.sees(
            f"--device-read-bps={disk}:1mb",
            f"--device-write-iops={disk}:100",
            sh="cd /sys/fs/cgroup; cat blkio/blkio.throttle.read_bps_device"
            " blkio/blkio.throttle.write_iops_device io.max 2>/dev/null; true",
        ),
        unless="no such device|No such device",
    )
    assert f"{number} 1048576" in seen or f"{number} rbps=1048576" in seen


def test_ulimits(both: Both) -> None:
    seen = both(
        lambda p: p.sees(
            "--ulimit=nofile=500:600",
            "--ulimit=core=0",
            "--ulimit=nproc=900:900",
            sh="ulimit -Sn; ulimit -Hn; ulimit -c",
        )
    )
    assert seen == "500\n600\n0"


def test_sysctls(both: Both) -> None:
    flags = ["--sysctl=net.ipv4.ip_unprivileged_port_start=99", "--sysctl=kernel.msgmax=4096"]
    place = "/proc/sys/net/ipv4/ip_unprivileged_port_start"
    seen = both(lambda p: p.sees(*flags, "--", "cat", place, "/proc/sys/kernel/msgmax"))
    assert seen == "99\n4096"


def test_size_of_shm(both: Both) -> None:
    seen = both(lambda p: p.sees("--shm-size=5m", sh="df -k /dev/shm | tail -n 1"))
    assert seen.split()[1] == "5120"


def test_devices(both: Both) -> None:
    """A device under another name, with its permissions; others are refused."""

    def exercise(podman: Podman) -> list[object]:
        script = (
            "head -c 3 /dev/noughts | od -An -tx1; ls -l /dev/noughts | cut -c1-10;"
            " mknod /tmp/kmsg c 1 11; head -c 1 /tmp/kmsg 2>&1; echo $?"
        )
        flags = ("--cap-add=MKNOD", "--device=/dev/zero:/dev/noughts:r")
        return podman.sees(*flags, sh=script).split("\n")

    seen = both(exercise)
    assert seen[0].split() == ["00"] * 3
    assert seen[1].startswith("c")
    assert "not permitted" in seen[2]
    assert seen[3] == "1"


def test_rules_for_devices(both: Both) -> None:
    script = "mknod /tmp/loop c 10 237; cat < /tmp/loop; echo $?; : > /tmp/loop"
    flags = ["--cap-add=MKNOD", "--device-cgroup-rule=c 10:237 r"]

    def exercise(podman: Podman) -> list[bool]:
        without = podman.run("--cap-add=MKNOD", sh=script).err
        result = podman.run(*flags, sh=script)
        return [without.count("not permitted"), result.err.count("not permitted")]

    assert both(exercise) == [2, 1]


@pytest.mark.long
def test_score_for_the_oom_killer(both: Both) -> None:
    ask = ("--", "cat", "/proc/self/oom_score_adj")
    assert both(lambda p: p.sees("--oom-score-adj=700", *ask)) == "700"


def test_umask_and_environment(both: Both) -> None:
    seen = both(
        lambda p: p.sees(
            "--umask=0077", "--env=A=b c", "--workdir=/tmp", sh="umask; echo $A; echo $MADE_BY; pwd"
        )
    )
    assert seen == "0077\nb c\nimage\n/tmp"


def test_personality(both: Both) -> None:
    seen = both(lambda p: p.sees("--personality=LINUX32", "--", "uname", "-m"), peer="crun")
    assert seen == "i686"


def test_without_cgroups_of_its_own(both: Both) -> None:
    """podman asks for it by `--cgroup-manager disabled`, of runtimes that it is told can do it. The
    container is where podman's own program for it is, conmon."""

    def exercise(podman: Podman) -> list[object]:
        name = podman.started("--cgroups=disabled", "--cgroupns=host")
        places = podman.exec(name, "cat", "/proc/1/cgroup")
        return ["libpod-" in places, podman.inspect(name, "{{.State.Status}}")]

    assert both(exercise, peer="crun") == [False, "running"]

# SPDX-License-Identifier: Apache-2.0
"""What a restored container finds: the same as before, mounts and identity and all."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import needs
from life.bundles import Bundle, mount
from life.checkpoints import Saved, goes_on
from life.runtimes import SEPARATOR

pytestmark = needs.needs("criu")
with_peers = pytest.mark.with_peers
differs = pytest.mark.differs
NO_CRIU = "Debian's is built without CRIU"

PIPE = re.compile(r"pipe:\[\d+\]")
LOOKS = (
    "mounts", "caps", "id", "umask", "cwd", "nnp", "env", "hostname", "fds", "network", "keyring",
    "rlimit NOFILE", "ls /dev", "stat /dev/null", "stat /dev/full", "ls /dev/pts", "scheduler",
    "ioprio", "stat /dev/shm", "cat /proc/self/oom_score_adj", "cat /proc/self/cgroup",
    "readlink /dev/fd", "cat /proc/self/uid_map", "cat /proc/sys/kernel/hostname",
)  # fmt: skip


def both(saved: Saved, *verbs: str, restore: tuple[str | Path, ...] = ()) -> list[list[str]]:
    """The payload's answers before a checkpoint, and after the restore."""
    bundle = saved.container.bundle
    script = [*verbs, "print READY", "await /data/go", *verbs, "print READY", "sleep 1000"]
    pipe = saved.start(*script)
    pipe.until(f"READY\n{SEPARATOR}")
    saved.saved()
    before = pipe.text
    bundle.file("data/go", "")
    pipe = saved.restored(*restore)
    pipe.until(f"READY\n{SEPARATOR}")
    text = (before + pipe.text).decode()
    answers = [part.rstrip("\n") for part in text.split(SEPARATOR)[:-1]]
    assert len(answers) == 2 * len(verbs) + 3, answers
    return [answers[: len(verbs)], answers[len(verbs) + 2 : -1]]


def table(answer: str) -> list[list[str]]:
    """A mountinfo without numbers that are new each time, and without what the source is called."""
    found = []
    for line in answer.splitlines():
        head, _, tail = line.partition(" - ")
        words = head.split()
        kind, _, data = tail.split()
        found.append([words[3], words[4], words[5], kind, data])
    return sorted(found)


def same(saved: Saved, *verbs: str) -> None:
    """Whether it finds the same."""
    before, after = both(saved, *verbs)
    for verb, one, other in zip(verbs, before, after, strict=True):
        if verb == "mounts":
            assert table(one) == table(other)
        else:
            assert PIPE.sub("pipe", one) == PIPE.sub("pipe", other), verb


@with_peers
@differs(crun=NO_CRIU, runc="lo is down then, and the session keyring the host's root's")
def test_everything(saved: Saved) -> None:
    same(saved, *LOOKS)


def test_user_namespace(saved: Saved, bundle: Bundle) -> None:
    bundle.map_ids()
    same(saved, *LOOKS)


def test_readonly_root_and_paths(saved: Saved, bundle: Bundle) -> None:
    bundle.config["root"]["readonly"] = True
    bundle.linux["readonlyPaths"] = ["/proc/sys", "/proc/irq"]
    bundle.linux["maskedPaths"] = ["/proc/keys", "/proc/acpi", "/sys/firmware", "/etc/secret"]
    bundle.file("etc/secret", "hidden")
    same(saved, "mounts", "mkdir /x", "cat /etc/secret", "write /proc/sys/kernel/hostname x")


def test_readonly_root_without_tmp(saved: Saved, bundle: Bundle) -> None:
    """As of an image made from scratch."""
    bundle.config["root"]["readonly"] = True
    (bundle.rootfs / "tmp").rmdir()
    same(saved, "mounts", "mkdir /x")


@needs.needs("apparmor")
def test_apparmor_profile(saved: Saved, bundle: Bundle, profile: str) -> None:
    bundle.process["apparmorProfile"] = profile
    same(saved, "cat /proc/self/attr/current", "write /data/x y", "write /tmp/x y")


@needs.needs("apparmor")
def test_another_profile(saved: Saved, bundle: Bundle, profile: str, other_profile: str) -> None:
    """--lsm-profile: the container goes on under it."""
    bundle.process["apparmorProfile"] = profile
    first = saved.start("count")
    first.lines(2)
    saved.saved()
    before = first.rest()
    assert goes_on(before, saved.restored("--lsm-profile", f"apparmor:{other_profile}").lines(2))
    label = Path(f"/proc/{saved.container.pid}/attr/current").read_text()
    assert label.split(" ")[0] == other_profile


@needs.needs("apparmor")
def test_a_profile_that_criu_does_not_set(saved: Saved, bundle: Bundle, profile: str) -> None:
    """--lsm-profile is for a container that had one: it never runs without the one asked for."""
    saved.start("count").lines(1)
    saved.saved()
    result = saved.restore("--lsm-profile", f"apparmor:{profile}")
    assert result.code == 1
    assert f"has the label unconfined, and not {profile}" in result.err
    assert saved.pipe.rest() == []


def test_cgroup_mount(saved: Saved, bundle: Bundle) -> None:
    bundle.config["mounts"].append(mount("/sys/fs/cgroup", "cgroup", "ro", "nosuid", "nodev"))
    same(saved, "mounts", "ls /sys/fs/cgroup", "cat /proc/self/cgroup")

# SPDX-License-Identifier: Apache-2.0
"""Whole lives on cgroup v2: the unified hierarchy, mounted over /sys/fs/cgroup for one shell.

Controllers stay with the v1 hierarchies of the host where it has any: no limits are tested here
(test_cgroup_driver_v2.py does that, where the machine allows).
"""

from __future__ import annotations

import json
import shlex
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from life.bundles import Bundle, mount, sentence
from life.mountinfo import mounts
from life.runtimes import Runtime
from needs import excuse, needs

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [needs("root"), pytest.mark.pyrun_only("the shell around it knows pyrun's folders")]

FORCE_V1 = "run.oci.systemd.force_cgroup_v1"

# Where v2 is there already it stays: to mount it anew would change its options for everybody.
SETUP = (
    "mount --make-rprivate /\n"
    "[ -e /sys/fs/cgroup/cgroup.controllers ] ||"
    " { umount -l -R /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup; }\n"
)


@pytest.fixture
def cgroup() -> str:
    """A cgroup of the test's own, on the v2 tree."""
    return f"/pyrun-unified-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def in_v2(runtime: Runtime, bundle: Bundle, cgroup: str) -> Callable[[str], str]:
    """Runs shell lines where only cgroup v2 is mounted; PYRUN is the runtime, BOX the cgroup."""
    bundle.linux["cgroupsPath"] = f"{cgroup}/box"
    bundle.namespaces("pid", "mount", "network", "ipc", "uts", "cgroup")

    def run(lines: str) -> str:
        bundle.save()
        pyrun = shlex.join(runtime.command())
        script = bundle.path / "unified.sh"
        script.write_text(
            f"set -u\n{SETUP}PYRUN={shlex.quote(pyrun)}\nBOX=/sys/fs/cgroup{cgroup}/box\n"
            f"cd {shlex.quote(str(bundle.path))}\n{lines}\n"
            f"$PYRUN delete --force box\n[ ! -e $BOX ] && echo GONE\nrmdir /sys/fs/cgroup{cgroup}\n"
        )
        output = bundle.path / "unified.out"
        with output.open("wb") as file:
            _shell(script, file.fileno())
        return output.read_text()

    return run


def _shell(script: Path, output: int) -> None:
    import subprocess

    subprocess.run(
        ["unshare", "-m", "sh", script],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        timeout=60,
        check=False,
    )


def test_pause_and_resume(in_v2: Callable[[str], str], bundle: Bundle) -> None:
    """The kernel lists a frozen process as sleeping: cgroup.events tells. KILL reaches it."""
    bundle.say("sleep 100")
    look = "$PYRUN state box | grep status; grep frozen $BOX/cgroup.events"
    text = in_v2(
        "$PYRUN create box </dev/null >/dev/null 2>&1\n$PYRUN start box\n"
        f"$PYRUN pause box\n{look}\n$PYRUN resume box\n{look}\n"
        "$PYRUN ps -f json box | tr 0-9 N | tr -s N\n"
        "$PYRUN pause box\n$PYRUN kill box KILL\nsleep 0.2\n$PYRUN state box | grep status"
    )
    assert [line.strip() for line in text.splitlines()] == [
        '"status": "paused",', "frozen 1", '"status": "running",', "frozen 0",
        "[N]", '"status": "stopped",', "GONE",
    ]  # fmt: skip


def test_inside(in_v2: Callable[[str], str], bundle: Bundle) -> None:
    """The init was born in its cgroup (CLONE_INTO_CGROUP), which is the root of its namespace."""
    bundle.config["mounts"].append(mount("/sys/fs/cgroup", "cgroup", "ro"))
    bundle.say("cat /proc/self/cgroup", "mounts", "ls /sys/fs/cgroup")
    text = in_v2("$PYRUN run box")
    assert "0::/\n" in text
    assert "- cgroup2" in text
    assert "cgroup.events" in text
    assert text.endswith("GONE\n")


@needs("strace")
def test_the_init_is_born_in_its_cgroup(in_v2: Callable[[str], str], bundle: Bundle) -> None:
    """So that nothing of it is charged elsewhere: it is never moved."""
    bundle.say("print x")
    trace = bundle.path / "trace"
    text = in_v2(f"strace -f -qq -o {trace} -e trace=clone3,openat $PYRUN run box")
    assert text.startswith("x\n")
    lines = trace.read_text().splitlines()
    assert len([line for line in lines if "CLONE_INTO_CGROUP" in line]) == 1
    assert not [line for line in lines if "cgroup.procs" in line and "O_RDONLY" not in line]


@pytest.mark.parametrize("mapped", [False, True], ids=["", "userns"])
def test_readable_by_others_than_root(
    in_v2: Callable[[str], str], bundle: Bundle, mapped: bool
) -> None:
    """A program that asks how much memory it may take need not be root."""
    if mapped:
        bundle.map_ids()
    bundle.config["mounts"].append(mount("/sys/fs/cgroup", "cgroup", "ro"))
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    bundle.process["capabilities"] = {}
    bundle.say("cat /sys/fs/cgroup/cgroup.events", "mkdir /sys/fs/cgroup/x")
    text = in_v2("$PYRUN run box")
    assert "populated 1" in text
    assert "error: EROFS" in text


@pytest.mark.parametrize("uid", [0, 1000])
@pytest.mark.parametrize("mapped", [False, True], ids=["", "userns"])
def test_writable_cgroup_is_its_users(
    in_v2: Callable[[str], str], bundle: Bundle, mapped: bool, uid: int
) -> None:
    """config-linux.md, Cgroup ownership: a manager inside divides it; its limits stay the host's.
    delete takes what it has made."""
    if mapped:
        bundle.map_ids()
    bundle.config["mounts"].append(mount("/sys/fs/cgroup", "cgroup"))
    bundle.process["user"] = {"uid": uid, "gid": uid}
    bundle.process["capabilities"] = {}
    own = "/sys/fs/cgroup"
    bundle.say(
        f"mkdir {own}/sub", f"write {own}/sub/cgroup.procs 1", f"cat {own}/sub/cgroup.procs",
        f"stat {own}", f"stat {own}/cgroup.procs", f"stat {own}/cgroup.max.depth",
    )  # fmt: skip
    text = in_v2("$PYRUN run box")
    made, moved, member, *stats = (part.strip() for part in text.split("\036")[:6])
    assert (made, moved, member) == ("ok", "ok", "1")
    nobody = 65534 if mapped else 0
    assert [int(found.split()[2]) for found in stats] == [uid, uid, nobody]
    assert text.endswith("GONE\n")


def test_of_the_host_without_a_cgroup_namespace(
    in_v2: Callable[[str], str], bundle: Bundle, cgroup: str
) -> None:
    """The whole tree, as with runc; nothing is the container's user's."""
    bundle.namespaces("pid", "mount", "network", "ipc", "uts")
    bundle.config["mounts"].append(mount("/sys/fs/cgroup", "cgroup"))
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    bundle.process["capabilities"] = {}
    place = f"/sys/fs/cgroup{cgroup}/box"
    bundle.say(f"stat {place}", f"mkdir {place}/x", f"cat {place}/cgroup.procs")
    text = in_v2("$PYRUN run box")
    found, made, members = (part.strip() for part in text.split("\036")[:3])
    assert found.split()[:4] == ["d", "0755", "0", "0"]
    assert made == "error: EACCES"
    assert members == "1"


@pytest.mark.parametrize("own", [False, True])
def test_the_options_of_the_hosts_tree_stay(
    in_v2: Callable[[str], str], bundle: Bundle, own: bool
) -> None:
    """They are one set for everybody: a mount by the host's cgroup namespace would change them, and
    nsdelegate keep no container's manager in its place any more."""
    if "nsdelegate" not in Path("/proc/self/mountinfo").read_text():
        excuse("its cgroup v2 has no options that could go")
    if not own:
        bundle.namespaces("pid", "mount", "network", "ipc", "uts")
    bundle.config["mounts"].append(mount("/sys/fs/cgroup", "cgroup"))
    bundle.say("print x")
    text = in_v2("$PYRUN run box; grep -c nsdelegate /proc/self/mountinfo")
    assert text.splitlines()[-2:] == ["1", "GONE"]


def test_of_the_host_in_a_user_namespace(
    in_v2: Callable[[str], str], bundle: Bundle, cgroup: str
) -> None:
    """It can't be mounted there: the host's mount is bound, and read-only as asked."""
    bundle.namespaces("pid", "mount", "network", "ipc", "uts")
    bundle.map_ids()
    bundle.config["mounts"].append(mount("/sys/fs/cgroup", "cgroup", "ro", "nosuid"))
    place = f"/sys/fs/cgroup{cgroup}/box"
    bundle.say(f"cat {place}/cgroup.procs", f"mkdir {place}/x", "mounts")
    text = in_v2("$PYRUN run box")
    members, made, table = (part.strip() for part in text.split("\036")[:3])
    assert (members, made) == ("1", "error: EROFS")
    assert mounts(table)["/sys/fs/cgroup"].options >= {"ro", "nosuid"}


@pytest.mark.parametrize("own", [False, True], ids=["of the host", "of its own"])
def test_by_root_of_a_user_namespace(
    in_v2: Callable[[str], str], bundle: Bundle, cgroup: str, own: bool
) -> None:
    """As under a rootless engine: the cgroup namespace of the host can't be mounted there, one of
    the container's can."""
    bundle.namespaces("pid", "mount", "network", "ipc", "uts", *(["cgroup"] if own else []))
    bundle.config["mounts"].append(mount("/sys/fs/cgroup", "cgroup", "ro", "nosuid"))
    bundle.linux.pop("resources")
    place = "/sys/fs/cgroup" + ("" if own else f"{cgroup}/box")
    bundle.say(f"cat {place}/cgroup.procs", f"mkdir {place}/x", "mounts", "cat /proc/self/uid_map")
    text = in_v2(
        """unshare --user --mount sh -c \\
            'until [ "$(id -u) $(id -g)" = "0 0" ]; do :; done; exec "$@"' sh $PYRUN run box &
        until echo 0 0 65536 >/proc/$!/uid_map; do :; done 2>/dev/null
        echo 0 0 65536 >/proc/$!/gid_map
        wait"""
    )
    assert text.count("\036") >= 4, text
    members, made, table, ids = (part.strip() for part in text.split("\036")[:4])
    assert (members, made) == ("1", "error: EROFS")
    assert mounts(table)["/sys/fs/cgroup"].options >= {"ro", "nosuid"}
    assert ids.split() == ["0", "0", "65536"]
    assert text.endswith("GONE\n")


def test_of_a_joined_cgroup_namespace(
    in_v2: Callable[[str], str], bundle: Bundle, cgroup: str
) -> None:
    """The tree from where that begins."""
    file = bundle.path / "ns"
    bundle.namespaces("pid", "mount", "network", "ipc", "uts", cgroup=str(file))
    bundle.config["mounts"].append(mount("/sys/fs/cgroup", "cgroup", "ro"))
    bundle.say("ls /sys/fs/cgroup")
    other = f"/sys/fs/cgroup{cgroup}/other"
    text = in_v2(
        f"mkdir -p {other}/marker; touch {file}\n"
        f"sh -c 'echo $$ >{other}/cgroup.procs; exec unshare --cgroup={file} true'\n"
        f"$PYRUN run box\numount {file}; rmdir {other}/marker {other}"
    )
    assert "marker" in text.partition("\036")[0].split()
    assert text.endswith("GONE\n")


def test_life(in_v2: Callable[[str], str], bundle: Bundle) -> None:
    """The process is in the cgroup from the outside too; a frozen container is paused, and goes."""
    bundle.say("sleep 60")
    text = in_v2(
        """$PYRUN create box </dev/null >/dev/null 2>&1; echo CREATE $?
        $PYRUN state box; echo; $PYRUN start box; echo START $?
        echo IN $(cat $BOX/cgroup.procs)
        echo 1 > $BOX/cgroup.freeze; $PYRUN state box"""
    )
    assert "CREATE 0" in text
    assert "START 0" in text
    first, second = (
        json.loads("{" + part.split("{")[1].split("}")[0] + "}") for part in text.split("START")
    )
    assert (first["status"], second["status"]) == ("created", "paused")
    assert f"IN {first['pid']}\n" in text
    assert text.endswith("GONE\n")


def test_devices(in_v2: Callable[[str], str], bundle: Bundle) -> None:
    """The filter is an eBPF program on v2: what no rule allows can't be opened."""
    bundle.linux["devices"] = [
        {"path": "/dev/kmsg", "type": "c", "major": 1, "minor": 11, "fileMode": 0o666},
        {"path": "/dev/zero", "type": "c", "major": 1, "minor": 5, "fileMode": 0o666},
    ]
    bundle.linux["resources"] = {"devices": [{"allow": False, "access": "rwm"}]}
    bundle.say("read /dev/zero", "read /dev/kmsg")
    text = in_v2("$PYRUN run box")
    zero, kmsg = (part.strip() for part in text.split("\036")[:2])
    assert not zero.startswith("error")
    assert kmsg == "error: EPERM"


@pytest.fixture
def beside(
    in_v2: Callable[[str], str], bundle: Bundle, cgroup: str, allow: Callable[..., None]
) -> Callable[[str], str]:
    """As in_v2, with v1's hierarchy name=systemd mounted at NAMED, where BESIDE is the container's
    cgroup; it asks to see that alone."""
    allow(FORCE_V1)
    bundle.config["annotations"] = {FORCE_V1: "/sys/fs/cgroup/"}
    bundle.config["mounts"].append(mount("/sys/fs/cgroup", "cgroup", "nosuid", "noexec", "nodev"))

    def run(lines: str) -> str:
        text = in_v2(
            f"NAMED=/sys/fs/cgroup{cgroup}/named; BESIDE=$NAMED{cgroup}/box; mkdir -p $NAMED\n"
            "mount -t cgroup -o none,name=systemd,xattr cgroup $NAMED || echo NOT MOUNTED\n"
            f"{lines}\n$PYRUN delete --force box\n[ ! -e $BESIDE ] && echo BESIDE GONE\n"
            f"rmdir $NAMED{cgroup}; umount $NAMED; rmdir $NAMED"
        )
        if "NOT MOUNTED" in text:
            excuse("no v1 hierarchy can be mounted here")
        assert text.endswith("BESIDE GONE\nGONE\n"), text
        return text

    return run


@pytest.mark.parametrize("own", [True, False], ids=["of its own", "of the host"])
def test_systemd_s_v1_hierarchy_from_inside(
    beside: Callable[[str], str], bundle: Bundle, cgroup: str, own: bool
) -> None:
    """For a systemd that knows no v2: a cgroup there too, and a mount that shows that hierarchy
    alone. delete takes what it has made."""
    if not own:
        bundle.namespaces("pid", "mount", "network", "ipc", "uts")
    inner = "/sys/fs/cgroup/systemd/inner"
    bundle.say(
        "ls /sys/fs/cgroup", f"mkdir {inner}", f"write {inner}/cgroup.procs 1",
        f"cat {inner}/cgroup.procs", "cat /proc/self/cgroup", "mounts",
    )  # fmt: skip
    text = beside("$PYRUN run box")
    names, made, moved, member, cgroups, table = (p.strip() for p in text.split("\036")[:6])
    assert (names, made, moved, member) == ("systemd", "ok", "ok", "1")
    top = "" if own else f"{cgroup}/box"
    assert f":name=systemd:{top}/inner\n" in cgroups
    assert f"0::{top or '/'}" in cgroups.splitlines()
    found = {point: entry for point, entry in mounts(table).items() if "/sys/fs/cgroup" in point}
    assert list(found) == ["/sys/fs/cgroup", "/sys/fs/cgroup/systemd"]
    assert [entry.kind for entry in found.values()] == ["tmpfs", "cgroup"]
    assert found["/sys/fs/cgroup/systemd"].options >= {"nosuid", "noexec", "nodev"}


def test_systemd_s_v1_hierarchy_from_outside(
    beside: Callable[[str], str], bundle: Bundle, cgroup: str
) -> None:
    """The init and what exec brings are in both cgroups; v2 stops and ends them."""
    bundle.say("sleep 100")
    look = shlex.join(["/payload", *sentence("cat /proc/self/cgroup")])
    text = beside(
        "$PYRUN create box </dev/null >/dev/null 2>&1; PID=$($PYRUN state box | grep pid)\n"
        "$PYRUN start box\n"
        """for place in $BOX $BESIDE; do case "$PID" in *" $(cat $place/cgroup.procs),") echo IN;;
        esac; done\n"""
        f"$PYRUN exec box {look}\n"
        "$PYRUN pause box; $PYRUN state box | grep status; $PYRUN kill box KILL\n"
        "for i in $(seq 300); do $PYRUN state box | grep -q stopped && break; sleep 0.1; done\n"
        "$PYRUN delete box && [ ! -e $BESIDE ] && echo DELETED"
    )
    _, both, rest = text.partition("IN\nIN\n")
    assert both, text
    cgroups, _, rest = rest.partition('"status": "paused"')
    assert ":name=systemd:/\n" in cgroups
    assert "\n0::/\n" in f"\n{cgroups}"
    assert "DELETED\n" in rest


def test_systemd_s_v1_hierarchy_in_use(beside: Callable[[str], str], bundle: Bundle) -> None:
    """By another than the container: refused, and nobody is killed."""
    bundle.say("print x")
    text = beside(
        "mkdir -p $BESIDE; sleep 100 & echo $! >$BESIDE/cgroup.procs\n"
        "$PYRUN run box; [ -e $BOX ] || echo NONE; kill $! && echo ALIVE; wait; rmdir $BESIDE"
    )
    assert "container's cgroup is not empty: 1 process(es) found in" in text
    assert "\nNONE\nALIVE\n" in text


def test_systemd_s_v1_hierarchy_is_not_mounted(
    in_v2: Callable[[str], str], bundle: Bundle, allow: Callable[..., None], cgroup: str
) -> None:
    """The error says what to do about it."""
    allow(FORCE_V1)
    bundle.config["annotations"] = {FORCE_V1: "/sys/fs/cgroup"}
    bundle.config["mounts"].append(mount("/sys/fs/cgroup", "cgroup"))
    bundle.say("print x")
    text = in_v2(f"mkdir -p /sys/fs/cgroup{cgroup}\n$PYRUN run box; echo CODE $?")
    assert f"/annotations/{FORCE_V1}: the hierarchy name=systemd of cgroup v1 is not" in text
    assert "mount it: mkdir /sys/fs/cgroup/systemd && mount -t cgroup -o none,name=systemd" in text
    assert text.endswith("CODE 1\nGONE\n")

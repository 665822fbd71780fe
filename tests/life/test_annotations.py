# SPDX-License-Identifier: Apache-2.0
"""Annotations that loosen what confines a container: none without root's leave; crun's meaning."""

from __future__ import annotations

import base64
import errno
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from life.bundles import Bundle, mount
from life.runtimes import Container
from life.seccomp_agent import MKDIR, NUMBERS, Agent, Answer
from needs import needs
from pyrun.compile import acting_annotations

with_peers = pytest.mark.with_peers
differs = pytest.mark.differs
pyrun_only = pytest.mark.pyrun_only
no_annotation = differs(runc="knows no such annotation")
Allow = Callable[..., None]

FILE = Path("/etc/pyrun/annotations.json")
KEEP = "run.oci.keep_original_groups"
PIDFD = "run.oci.pidfd_receiver"
BPF = "run.oci.seccomp_bpf_data"
RECEIVER = "run.oci.seccomp.receiver"
STRICT = "run.oci.seccomp_fail_unknown_syscall"
FORCE_V1 = "run.oci.systemd.force_cgroup_v1"

RET, LOAD, JUMP_EQUAL = 0x06, 0x20, 0x15  # linux/bpf_common.h
ERRNO, ALLOW = 0x50000, 0x7FFF0000


def instruction(code: int, true: int, false: int, k: int) -> bytes:
    return struct.pack("=HBBI", code, true, false, k)


def fails_with(number: int, error: int) -> str:
    """A filter under which one system call fails, as the annotation has it."""
    program = (
        instruction(LOAD, 0, 0, 0)
        + instruction(JUMP_EQUAL, 0, 1, number)
        + instruction(RET, 0, 0, ERRNO | error)
        + instruction(RET, 0, 0, ALLOW)
    )
    return base64.b64encode(program).decode()


GUARDED = {
    KEEP: "1",
    PIDFD: "/run/none",
    BPF: fails_with(0, errno.ENOMSG),
    RECEIVER: "/run/none",
    FORCE_V1: "/sys/fs/cgroup",
    "run.oci.mount_context_type": "defcontext",
    "run.oci.hooks.stdout": "/pwned",
    "run.oci.hooks.stderr": "/pwned",
    "org.criu.config": "/pwned",
    "org.pyrun.rootfs.overlay": "/etc",
    "org.systemd.property.": "'x'",
}


@pyrun_only("its rule")
@pytest.mark.parametrize("key", acting_annotations.GUARDED)
def test_nothing_without_leave(container: Container, bundle: Bundle, key: str) -> None:
    """Refused by name, before anything is made."""
    value = GUARDED[key]
    full = f"{key}MemoryMax" if key.endswith(".") else key
    bundle.config["annotations"] = {full: value}
    result = container.run("print x")
    assert (result.code, result.out) == (1, "")
    assert result.err == (
        f"pyrun: config.json: /annotations/{full}: root has to allow it in {FILE}:"
        " it may loosen what confines\n"
    )
    assert not Path("/pwned").exists()
    assert list(container.runtime.root.glob("*")) == []


@pyrun_only("its rule")
def test_leave_for_one_is_none_for_another(
    container: Container, bundle: Bundle, allow: Allow
) -> None:
    allow(KEEP, "run.oci.hooks.")
    bundle.config["annotations"] = {PIDFD: "/run/none"}
    assert f"/annotations/{PIDFD}: root has to allow it" in container.run("print x").err
    bundle.config["annotations"] = {KEEP: "1", "run.oci.hooks.stdout": str(bundle.path / "out")}
    assert container.ask("print x") == ["x"]


@pyrun_only("its rule")
def test_what_is_off_needs_no_leave(container: Container, bundle: Bundle) -> None:
    bundle.config["annotations"] = {KEEP: "0", "org.example": "x", "run.oci.other": "x"}
    assert container.ask("id", extra_groups=[27]) == ["0 0"]


@pyrun_only("its rule")
@pytest.mark.parametrize(
    "spoil",
    [
        lambda: os.chown(FILE, 1000, 0),
        lambda: FILE.chmod(0o664),
        lambda: os.chown(FILE.parent, 1000, 0),
        lambda: FILE.parent.chmod(0o777),
        lambda: (FILE.rename(FILE.with_name("other")), FILE.symlink_to("other")),
        lambda: (FILE.unlink(), os.mkfifo(FILE)),
        lambda: FILE.write_text("{"),
        lambda: FILE.write_text('["run.oci.keep_original_groups"]'),
        lambda: FILE.write_text('{"allow": "run.oci.keep_original_groups"}'),
        lambda: FILE.write_text('{"allow": [], "deny": []}'),
        lambda: FILE.write_text('{"allow": ["run.oci.keep_original_groups"], "allow": []}'),
    ],
    ids=[
        "owner", "mode", "owner of the folder", "mode of the folder", "link", "fifo",
        "half", "list", "text", "another member", "twice",
    ],
)  # fmt: skip
def test_a_list_that_is_not_root_s(
    container: Container, bundle: Bundle, allow: Allow, spoil: Callable[[], object]
) -> None:
    """Or that is not what it should be: an error, and not as if it were not there."""
    allow(KEEP)
    bundle.config["annotations"] = {KEEP: "1"}
    assert container.ask("print x") == ["x"]
    spoil()
    result = container.run("print x")
    assert (result.code, result.out) == (1, "")
    assert "/etc/pyrun" in result.err


@with_peers
@no_annotation
@pytest.mark.parametrize("value", ["1", ""])
def test_groups_of_the_caller(
    container: Container, bundle: Bundle, allow: Allow, value: str
) -> None:
    allow(KEEP)
    bundle.config["annotations"] = {KEEP: value}
    bundle.process["user"]["additionalGids"] = [7]
    assert container.ask("id", extra_groups=[27, 1234]) == ["0 0 27 1234"]


@with_peers
@no_annotation
def test_groups_of_the_caller_of_exec(container: Container, bundle: Bundle, allow: Allow) -> None:
    allow(KEEP)
    bundle.config["annotations"] = {KEEP: "1"}
    container.started("sleep 100", extra_groups=[27])
    result = container.runtime("exec", container.id, "/payload", "id", extra_groups=[33])
    assert result.answers() == ["0 0 33"]


@with_peers
@no_annotation
@pytest.mark.parametrize("verb", ["run", "create"])
def test_pidfd_receiver(container: Container, bundle: Bundle, allow: Allow, verb: str) -> None:
    allow(PIDFD)
    path = bundle.path / "pidfd.sock"
    bundle.config["annotations"] = {PIDFD: str(path)}
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        server.settimeout(2)  # it has been connected to by the end of the command
        container.created("sleep 100", verb=verb, flags=["--detach"] if verb == "run" else [])
        connection, _ = server.accept()
        with connection:
            _, fds, _, _ = socket.recv_fds(connection, 100, 2)
    assert len(fds) == 1
    assert f"Pid:\t{container.pid}\n" in Path(f"/proc/self/fdinfo/{fds[0]}").read_text()
    os.close(fds[0])


@with_peers
@no_annotation
def test_pidfd_receiver_that_is_not_there(
    container: Container, bundle: Bundle, allow: Allow
) -> None:
    allow(PIDFD)
    bundle.config["annotations"] = {PIDFD: "/run/no/such"}
    result = container.run("print x")
    assert (result.code, result.out) == (1, "")
    assert "/run/no/such" in result.err


def deny(bundle: Bundle, *names: str, action: str = "SCMP_ACT_ERRNO") -> None:
    """A profile with one rule."""
    rule = {"names": [*names], "action": action}
    bundle.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}


@with_peers
@no_annotation
@pytest.mark.parametrize("value", ["1", ""])
def test_unknown_system_calls_are_refused(container: Container, bundle: Bundle, value: str) -> None:
    """Which takes nobody's leave."""
    bundle.config["annotations"] = {STRICT: value}
    deny(bundle, MKDIR, "nosuchcall", "another")
    result = container.run("print x")
    assert (result.code, result.out) == (1, "")
    assert "nosuchcall" in result.err
    if container.runtime.name == "pyrun":
        pointers = [f"/linux/seccomp/syscalls/0/names/{index}" for index in (1, 2)]
        assert all(pointer in result.err for pointer in pointers)


@with_peers
def test_unknown_system_calls_are_left_out(container: Container, bundle: Bundle) -> None:
    bundle.config["annotations"] = {STRICT: "0"}
    deny(bundle, MKDIR, "nosuchcall")
    assert container.ask("mkdir /tmp/x") == ["error: EPERM"]


@with_peers
def test_known_system_calls_are_not(container: Container, bundle: Bundle) -> None:
    bundle.config["annotations"] = {STRICT: "1"}
    deny(bundle, MKDIR)
    assert container.ask("mkdir /tmp/x") == ["error: EPERM"]


@with_peers
@no_annotation
@pytest.mark.parametrize("profile", ["none", "other"])
@pytest.mark.parametrize("nnp", [True, False])
def test_filter_as_it_is(
    container: Container, bundle: Bundle, allow: Allow, profile: str, nnp: bool
) -> None:
    """In place of the config's, which may say something else or be none at all."""
    allow(BPF)
    bundle.process["noNewPrivileges"] = nnp
    bundle.config["annotations"] = {BPF: fails_with(NUMBERS[MKDIR], errno.ENOMSG)}
    if profile == "other":
        deny(bundle, "setresuid", "sethostname")
    assert container.ask("mkdir /tmp/x", "hostname") == ["error: ENOMSG", "box"]
    assert "Seccomp:\t2" in container.ask("cat /proc/self/status")[0]


@with_peers
@no_annotation
def test_filter_as_it_is_for_exec(container: Container, bundle: Bundle, allow: Allow) -> None:
    allow(BPF)
    bundle.config["annotations"] = {BPF: fails_with(NUMBERS[MKDIR], errno.ENOMSG)}
    deny(bundle, "sethostname")
    container.started("sleep 100")
    result = container.runtime("exec", container.id, "/payload", "mkdir", "/tmp/x")
    assert result.answers() == ["error: ENOMSG"]


@pyrun_only("the words")
@pytest.mark.parametrize(
    ("data", "why"),
    [
        ("!!!", "is no base64"),
        ("é", "is no base64"),
        ("MTIz", "3 bytes are no program"),
        (base64.b64encode(bytes(8 * 4097)).decode(), "32776 bytes are no program"),
    ],
    ids=["symbols", "not ascii", "short", "long"],
)
def test_filter_that_is_none(
    container: Container, bundle: Bundle, allow: Allow, data: str, why: str
) -> None:
    allow(BPF)
    bundle.config["annotations"] = {BPF: data}
    result = container.run("print x")
    assert (result.code, result.out) == (1, "")
    assert f"/annotations/{BPF}: {why}" in result.err


@with_peers
@differs(runc="knows nothing but listenerPath")
@pytest.mark.parametrize("how", ["annotation", "environment"])
def test_receiver_of_the_listener(
    container: Container, bundle: Bundle, allow: Allow, how: str, tmp_path: Path
) -> None:
    """Without linux.seccomp.listenerPath. What the caller's environment says needs no leave."""
    path, env = tmp_path / "agent", dict(os.environ)
    if how == "annotation":
        allow(RECEIVER)
        bundle.config["annotations"] = {RECEIVER: str(path)}
    else:
        env["RUN_OCI_SECCOMP_RECEIVER"] = str(path)
    deny(bundle, MKDIR, action="SCMP_ACT_NOTIFY")
    agent = Agent(path, {MKDIR: Answer(error=errno.ENOMSG)})
    try:
        assert container.ask("mkdir /tmp/a", env=env) == ["error: ENOMSG"]
    finally:
        agent.close()
    assert agent.messages[0]["fds"] == ["seccompFd"]
    assert agent.messages[0]["state"]["id"] == container.id


@pyrun_only("crun loads them")
def test_plugins_are_refused(container: Container, bundle: Bundle) -> None:
    bundle.config["annotations"] = {"run.oci.seccomp.plugins": "/lib/x.so"}
    result = container.run("print x")
    assert (result.code, result.out) == (1, "")
    assert "/annotations/run.oci.seccomp.plugins: pyrun loads no plugins" in result.err


@needs("cgroup_hybrid")
@pyrun_only("crun 1.8 fails on a hybrid host")
@pytest.mark.parametrize("cgroupns", [True, False])
def test_systemd_s_own_hierarchy(
    container: Container, bundle: Bundle, allow: Allow, cgroupns: bool
) -> None:
    """And none besides, for a systemd that knows no cgroup v2."""
    allow(FORCE_V1)
    bundle.config["annotations"] = {FORCE_V1: "/sys/fs/cgroup/"}
    bundle.config["mounts"].append(mount("/sys/fs/cgroup", "cgroup", "nosuid", "noexec", "nodev"))
    if not cgroupns:
        bundle.namespaces("pid", "network", "ipc", "uts", "mount")
    names, text = container.ask("ls /sys/fs/cgroup", "cat /proc/self/mountinfo")
    assert names.split() == ["systemd"]
    below = [line for line in text.splitlines() if " /sys/fs/cgroup" in line]
    assert [line.split(" - ")[1].split()[0] for line in below] == ["tmpfs", "cgroup"]
    assert "name=systemd" in below[1]

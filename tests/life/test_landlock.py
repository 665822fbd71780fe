# SPDX-License-Identifier: Apache-2.0
"""org.pyrun.landlock: what the container's processes may do under Landlock rules. The peers have no
such annotation."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import socket
from typing import Any

import pytest

from life.bundles import Bundle
from life.runtimes import Container, eventually
from needs import excuse, needs

pytestmark = [
    pytest.mark.pyrun_only("the annotation"),
    needs("root", "landlock"),
]
NAME = "org.pyrun.landlock"
WRITES = ["write_file", "make_reg", "make_dir"]
DENIED = "error: EACCES"


def rules(bundle: Bundle, **members: Any) -> None:
    bundle.config["annotations"] = {NAME: json.dumps(members)}


def beneath(allowed: list[str], *paths: str) -> dict[str, Any]:
    return {"paths": list(paths), "allowedAccess": allowed}


def needs_abi(wanted: int) -> None:
    abi = ctypes.CDLL(None).syscall(444, None, ctypes.c_size_t(0), 1)
    if abi < wanted:
        excuse(f"ABI {abi} of Landlock")


@pytest.mark.parametrize("privileged", [False, True])
@pytest.mark.parametrize("remapped", [False, True])
def test_writing(container: Container, bundle: Bundle, remapped: bool, privileged: bool) -> None:
    """In one place alone; with noNewPrivileges and without, in a user namespace or not."""
    if remapped:
        bundle.map_ids()
    bundle.process["noNewPrivileges"] = not privileged
    rules(bundle, handledAccessFS=WRITES, pathBeneath=[beneath(WRITES, "/tmp")])
    verbs = ["write /tmp/x y", "mkdir /tmp/d", "write /x y", "mkdir /d", "ls /", "caps", "nnp"]
    found = container.ask(*verbs)
    assert found[:4] == ["ok", "ok", DENIED, DENIED]
    assert "payload" in found[4]
    assert "200000" not in found[5]  # CAP_SYS_ADMIN, which loading the rules took
    bundle.config["annotations"] = {}
    assert container.ask(*verbs[5:]) == found[5:]
    assert not (bundle.rootfs / "x").exists()


def test_reading_and_executing(container: Container, bundle: Bundle) -> None:
    bundle.file("/data/file", "text")
    bundle.file("/etc/file", "text")
    for path in ("data/program", "home/program"):  # a rule is for the file, whatever its links are
        shutil.copy(bundle.rootfs / "payload", bundle.rootfs / path)
    rules(
        bundle,
        handledAccessFS=["read_file", "read_dir", "execute"],
        pathBeneath=[
            beneath(["read_file", "read_dir"], "/data"),
            beneath(["read_file", "execute"], "/payload", "/home/program"),
        ],
    )
    verbs = ["cat /data/file", "ls /data", "cat /etc/file", "ls /etc", "cat /proc/self/comm"]
    assert container.ask(*verbs, "execute /home/program", "execute /data/program") == [
        "text", "file\nprogram", DENIED, DENIED, DENIED, "ok", DENIED,
    ]  # fmt: skip


def test_moving_between_directories(container: Container, bundle: Bundle) -> None:
    """ABI 1 denies it whatever the rules are; refer is what allows it."""
    needs_abi(2)
    bundle.file("/data/a", "")
    bundle.file("/data/b", "")
    moves = ["make_reg", "remove_file", "refer"]
    allowed = [beneath(moves, "/data", "/tmp"), beneath(moves[:2], "/etc")]
    rules(bundle, handledAccessFS=moves, pathBeneath=allowed)
    assert container.ask("rename /data/a /tmp/a", "rename /data/b /etc/b") == ["ok", "error: EXDEV"]


def test_ports(container: Container, bundle: Bundle) -> None:
    needs_abi(4)
    rules(
        bundle,
        handledAccessNet=["bind_tcp", "connect_tcp"],
        netPort=[
            {"ports": [2000, 2001], "allowedAccess": ["bind_tcp"]},
            {"ports": [2002], "allowedAccess": ["connect_tcp"]},
        ],
    )
    verbs = [f"tcp {call} {port}" for call in ("bind", "connect") for port in range(2000, 2003)]
    assert container.ask(*verbs) == ["ok", "ok", DENIED, DENIED, DENIED, "error: ECONNREFUSED"]


@pytest.mark.parametrize("scoped", [[], ["signal"], ["abstract_unix_socket"]])
def test_scopes(container: Container, bundle: Bundle, scoped: list[str]) -> None:
    """What is outside of the container, in namespaces that it shares with the host."""
    needs_abi(6)
    bundle.namespaces("mount", "uts")
    bundle.without_mount("/dev/mqueue", "/sys")
    name = f"pyrun-test-{os.getpid()}"
    if scoped:
        rules(bundle, scoped=scoped)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"\0{name}")
        server.listen()
        signal, connection = container.ask(f"kill {os.getpid()} 0", f"abstract {name}")
    assert signal == ("error: EPERM" if "signal" in scoped else "ok")
    assert connection == ("error: EPERM" if "abstract_unix_socket" in scoped else "ok")


def test_of_a_created_container(container: Container, bundle: Bundle) -> None:
    """Hooks in the container are not held back; the rules stand when its program starts."""
    rules(bundle, handledAccessFS=["write_file", "make_reg"], pathBeneath=[])
    hook = {"path": "/payload", "args": ["payload", "write", "/data/hook", "x"]}
    bundle.config["hooks"] = {"startContainer": [hook]}
    container.created("write /data/program x")
    assert container.start().code == 0
    container.wait()
    assert container.answers() == [DENIED]
    assert (bundle.rootfs / "data/hook").exists()


def test_under_a_filter_that_forbids_it(container: Container, bundle: Bundle) -> None:
    """The container itself gets no more from Landlock: the rules come before the filter."""
    calls = ["landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self"]
    bundle.linux["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": calls, "action": "SCMP_ACT_KILL_PROCESS"}],
    }
    rules(bundle, handledAccessFS=WRITES, pathBeneath=[beneath(WRITES, "/tmp")])
    for privileges in (True, False):
        bundle.process["noNewPrivileges"] = privileges
        assert container.ask("write /tmp/x y", "write /x y") == ["ok", DENIED]


def test_paths_are_opened_as_root(container: Container, bundle: Bundle) -> None:
    """The user need not be able to reach what a rule names; a link leads nowhere but inside."""
    (bundle.rootfs / "closed/open").mkdir(parents=True)
    (bundle.rootfs / "closed/open").chmod(0o777)
    (bundle.rootfs / "closed").chmod(0o700)
    (bundle.rootfs / "out").symlink_to("/../../../../tmp")
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    bundle.process["capabilities"] = {}
    (bundle.rootfs / "tmp").chmod(0o777)
    rules(bundle, handledAccessFS=WRITES, pathBeneath=[beneath(WRITES, "/closed/open", "/out")])
    assert container.ask("write /tmp/x y", "write /home/x y") == ["ok", DENIED]


@pytest.mark.parametrize("privileged", [False, True])
@pytest.mark.parametrize("remapped", [False, True])
def test_exec(container: Container, bundle: Bundle, remapped: bool, privileged: bool) -> None:
    """A process that joins is confined as the container is: by what is at these paths by then."""
    if remapped:
        bundle.map_ids()
    bundle.process["noNewPrivileges"] = not privileged
    rules(bundle, handledAccessFS=WRITES, pathBeneath=[beneath(WRITES, "/tmp")])
    container.started("sleep 100")
    found = container.exec_ask("write /tmp/x y", "write /x y", "caps")
    assert found[:2] == ["ok", DENIED]
    assert "200000" not in found[2]
    os.rename(bundle.rootfs / "tmp", bundle.rootfs / "gone")
    result = container.exec("print x")
    assert result.code == 255
    assert f"annotations.{NAME}: landlock_path /tmp: no such file or directory" in result.err
    (bundle.rootfs / "tmp").mkdir()
    (bundle.rootfs / "tmp").chmod(0o777)
    assert container.exec_ask("write /tmp/x y", "write /gone/x y") == ["ok", DENIED]


@pytest.mark.parametrize("verb", ["run", "start", "exec"])
def test_a_program_that_the_rules_exclude(container: Container, bundle: Bundle, verb: str) -> None:
    allowed = ["/data", "/payload"] if verb == "exec" else ["/data"]
    rules(bundle, handledAccessFS=["execute"], pathBeneath=[beneath(["execute"], *allowed)])
    program = "/payload"
    if verb == "run":
        result = container.run("print x")
    elif verb == "start":
        container.created("print x")
        result = container.start()
    else:
        container.started("sleep 100")
        program = "/etc/program"
        shutil.copy(bundle.rootfs / "payload", f"{bundle.rootfs}{program}")
        result = container.runtime("exec", container.id, program)
    assert result.code == (255 if verb == "exec" else 1)
    denied = f"pyrun: exec {program}: permission denied: the rules of {NAME} may not allow to exec"
    assert result.err.startswith(denied)


@pytest.mark.parametrize(
    ("members", "text"),
    [
        (
            {"handledAccessFS": ["execute"], "pathBeneath": [beneath(["execute"], "/nope")]},
            f"annotations.{NAME}: landlock_path /nope: no such file or directory: not in the cont",
        ),
        (
            {"handledAccessFS": ["read_dir"], "pathBeneath": [beneath(["read_dir"], "/payload")]},
            f"annotations.{NAME}: landlock_path /payload: invalid argument: a file takes execute",
        ),
        (
            {"handledAccessFS": ["fly"]},
            f"config.json: /annotations/{NAME}: /handledAccessFS/0 must be one of execute, write_f",
        ),
    ],
    ids=["missing", "file", "word"],
)
def test_words(container: Container, bundle: Bundle, members: dict[str, Any], text: str) -> None:
    rules(bundle, **members)
    result = container.create("print x")
    assert result.code == 1
    assert text in result.err


def test_what_it_starts_is_confined_too(container: Container, bundle: Bundle) -> None:
    rules(bundle, handledAccessFS=WRITES, pathBeneath=[beneath(WRITES, "/tmp")])
    container.started("execute /payload write /tmp/x y", "execute /payload mkdir /d", "sleep 100")
    assert eventually(lambda: len(container.answers()) >= 2)
    assert (bundle.rootfs / "tmp/x").exists()
    assert not (bundle.rootfs / "d").exists()

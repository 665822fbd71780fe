# SPDX-License-Identifier: Apache-2.0
"""Errors that explain: what is wrong in the container is said in the one line, behind the words
that engines look for."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from life.bundles import Bundle, bind
from life.runtimes import Container
from pyrun.failed_program import host

with_peers = pytest.mark.with_peers
pyrun_only = pytest.mark.pyrun_only

AMD64, ARM64 = 62, 183
LOADER = "/lib64/ld-linux-x86-64.so.2"


def elf(payload: Path, *, machine: int = 0, interpreter: str = "", kind: int = 2) -> bytes:
    """An ELF file of one segment: PT_INTERP. By default for this machine."""
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    own = struct.unpack_from("<H", payload.read_bytes(), 18)[0]
    header = struct.pack("<HHIQQQIHHHHHH", kind, machine or own, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    name = interpreter.encode() + b"\0"
    segment = struct.pack("<IIQQQQQQ", 3, 4, 120, 0, 0, len(name), len(name), 1)
    return ident + header + segment + name


def program(bundle: Bundle, content: bytes | str, mode: int = 0o755, name: str = "app") -> None:
    """A file in the root filesystem, which is the program to run."""
    path = bundle.rootfs / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(mode)
    bundle.process["args"] = [f"/{name}"]


def as_user(bundle: Bundle) -> None:
    bundle.process["user"] = {"uid": 1000, "gid": 1000}


def payload_of(bundle: Bundle) -> Path:
    return bundle.rootfs / "payload"


Prepare = Callable[[Bundle], object]


def no_path(bundle: Bundle) -> None:
    bundle.process.update(args=["web"], env=[])


def dangling(bundle: Bundle) -> None:
    (bundle.rootfs / "web").symlink_to("/bin/absent")
    bundle.process["args"] = ["web"]


def folder_closed(bundle: Bundle) -> None:
    (bundle.rootfs / "closed").mkdir(mode=0o700)
    os.link(payload_of(bundle), bundle.rootfs / "closed/app")
    bundle.process["args"] = ["/closed/app"]
    as_user(bundle)


def not_for_others(bundle: Bundle) -> None:
    program(bundle, payload_of(bundle).read_bytes(), 0o750)
    as_user(bundle)


def on_noexec(bundle: Bundle) -> None:
    os.link(payload_of(bundle), bundle.rootfs / "data/app")
    bundle.config["mounts"].append(bind(bundle.rootfs / "data", "/data", "bind", "noexec"))
    bundle.process["args"] = ["/data/app"]


# What create says: how the bundle is made, the words for engines, and the reason.
FOUND: dict[str, tuple[Prepare, str, str]] = {
    "not in PATH": (
        lambda b: b.process.update(args=["web"]),
        'exec: "web": executable file not found in $PATH',
        "searched /bin:/",
    ),
    "no PATH": (no_path, "executable file not found in $PATH", "PATH is not in process.env"),
    "dangling link": (
        dangling,
        "executable file not found in $PATH",
        "//web is a symbolic link to /bin/absent, which is not in the container",
    ),
    "missing folder": (
        lambda b: b.process.update(args=["/data/no/such/app"]),
        'exec: "/data/no/such/app": stat /data/no/such/app: no such file or directory',
        "there is no no in /data in the container",
    ),
    "words in one argument": (
        lambda b: b.process.update(args=["payload pid"]),
        "executable file not found in $PATH",
        "each argument is an entry of its own",
    ),
    "a folder": (
        lambda b: b.process.update(args=["/data"]),
        'exec: "/data": permission denied',
        "/data is a directory",
    ),
    "no execute bit": (
        lambda b: program(b, "#!/payload\n", 0o644),
        'exec: "/app": permission denied',
        "/app (mode 0644) is executable for nobody",
    ),
    "not for this user": (
        not_for_others,
        'exec: "/app": permission denied',
        "/app (mode 0750, owner 0:0) may not be executed by user 1000:1000",
    ),
    "folder on the way": (
        folder_closed,
        'exec: "/closed/app": permission denied',
        "/closed (mode 0700, owner 0:0) may not be searched by user 1000:1000",
    ),
    "noexec": (
        on_noexec,
        'exec: "/data/app": permission denied',
        "/data/app is on a mount with the option noexec",
    ),
}


ENGINES = "not found in $path", "no such file or directory", "permission denied"
# What some releases say instead: of a folder, and of whatever is no program.
DENIED = {"pyrun": ENGINES[2], "runc": "is a directory", "crun": "operation not permitted"}


@pyrun_only("the text")
@pytest.mark.parametrize("verb", ["create", "run"])
@pytest.mark.parametrize("name", FOUND)
def test_no_program(container: Container, bundle: Bundle, name: str, verb: str) -> None:
    prepare, words, why = FOUND[name]
    prepare(bundle)
    result = container.create(verb=verb)
    assert result.code == 1
    assert words in result.err
    assert why in result.err
    assert result.err.count("\n") == 1
    # the reason is not taken for another kind of failure
    assert [kind in result.err.lower() for kind in ENGINES].count(True) == 1, result.err


@with_peers
@pytest.mark.parametrize("name", FOUND)
def test_no_program_for_engines(container: Container, bundle: Bundle, name: str) -> None:
    prepare, words, _ = FOUND[name]
    prepare(bundle)
    result = container.run()
    assert result.code == 1
    said = {kind for kind in ENGINES if kind in words.lower()}
    if "permission denied" in said:
        said |= {DENIED[container.runtime.name]}
    assert any(kind in result.err.lower() for kind in said), result.err


def without_execute_bit(bundle: Bundle) -> None:
    bundle.file("sh", "x", 0o644)
    program(bundle, "#!/sh\n")


def scripts(bundle: Bundle) -> None:
    """Whose interpreter's interpreter is missing."""
    path = bundle.rootfs / "sh"
    path.write_bytes(elf(payload_of(bundle), interpreter=LOADER))
    path.chmod(0o755)
    program(bundle, "#! /sh -e\n")


def with_capabilities(bundle: Bundle) -> None:
    program(bundle, payload_of(bundle).read_bytes())
    # version 2, effective; permitted: CAP_NET_RAW
    value = struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0)
    os.setxattr(bundle.rootfs / "app", "security.capability", value)
    bundle.process["noNewPrivileges"] = False
    as_user(bundle)


def other_machine() -> tuple[int, str]:
    return (ARM64, "arm64") if host() == "amd64" else (AMD64, "amd64")


# What start and run say of execve.
EXECUTED: dict[str, tuple[Prepare, str, str]] = {
    "no interpreter": (
        lambda b: program(b, "#!/bin/sh -e\n"),
        "no such file or directory",
        "/app names the interpreter /bin/sh, which is not in the container",
    ),
    "CR LF": (
        lambda b: program(b, "#!/payload\r\n"),
        "no such file or directory",
        "the first line of /app ends in CR LF, as on Windows: the kernel looks for an interpreter"
        ' named "/payload\\r"',
    ),
    "no loader": (
        lambda b: program(b, elf(payload_of(b), interpreter=LOADER)),
        "no such file or directory",
        f"/app needs the loader {LOADER}, which is not in the container: it is built for glibc, the"
        " image has another libc (or none)",
    ),
    "no loader of the interpreter": (
        scripts,
        "no such file or directory",
        f"/sh needs the loader {LOADER}, which is not in the container: it is built for glibc, the"
        " image has another libc (or none)",
    ),
    "loader of musl": (
        lambda b: program(b, elf(payload_of(b), interpreter="/lib/ld-musl-x86_64.so.1")),
        "no such file or directory",
        "/app needs the loader /lib/ld-musl-x86_64.so.1, which is not in the container: it is built"
        " for musl, the image has another libc (or none)",
    ),
    "other machine": (
        lambda b: program(b, elf(payload_of(b), machine=other_machine()[0], interpreter=LOADER)),
        "exec format error",
        f"/app is a program for {other_machine()[1]}, this machine is {host()}: take an image for"
        f" {host()}, or an emulator registered with binfmt_misc",
    ),
    "object file": (
        lambda b: program(b, elf(payload_of(b), kind=1)),
        "exec format error",
        "/app is an object file, not a program",
    ),
    "cut ELF": (
        lambda b: program(b, elf(payload_of(b))[:40]),
        "exec format error",
        "/app is a damaged ELF file of 40 bytes",
    ),
    "empty": (lambda b: program(b, ""), "exec format error", "/app is empty"),
    "no #!": (
        lambda b: program(b, "echo x\n"),
        "exec format error",
        "/app is a text without #! in its first line: name its interpreter there, or as args[0]",
    ),
    "#! in the second line": (
        lambda b: program(b, "\n#!/payload\n"),
        "exec format error",
        "/app does not begin with #!, which must be its first two bytes",
    ),
    "byte order mark": (
        lambda b: program(b, "\ufeff#!/payload\n"),
        "exec format error",
        "/app begins with a byte order mark: #! must come first",
    ),
    "Windows": (
        lambda b: program(b, b"MZ\x90\0"),
        "exec format error",
        "/app is a program for Windows",
    ),
    "interpreter without execute bit": (
        without_execute_bit,
        "permission denied",
        "interpreter of /app: /sh (mode 0644) is executable for nobody: chmod +x",
    ),
    "file capabilities": (
        with_capabilities,
        "operation not permitted",
        "/app has file capabilities (CAP_NET_RAW) that are not all in"
        " process.capabilities.bounding",
    ),
}


@pyrun_only("the text")
@pytest.mark.parametrize("verb", ["start", "run"])
@pytest.mark.parametrize("name", EXECUTED)
def test_not_executed(container: Container, bundle: Bundle, name: str, verb: str) -> None:
    prepare, words, why = EXECUTED[name]
    prepare(bundle)
    if verb == "start":
        container.created()
    result = container.start() if verb == "start" else container.run()
    assert result.code == 1
    assert result.err == f"pyrun: exec /app: {words}: {why}\n"


@with_peers
@pytest.mark.parametrize("name", EXECUTED)
def test_not_executed_for_engines(container: Container, bundle: Bundle, name: str) -> None:
    """By `run`: the peers' `start` succeeds, and their init tells its own standard error."""
    prepare, words, _ = EXECUTED[name]
    prepare(bundle)
    result = container.run()
    assert result.code == 1
    assert words in result.err.lower()


@pyrun_only("the text")
def test_seccomp_that_forbids_to_look(container: Container, bundle: Bundle) -> None:
    """The report is out before anything is looked at, which the filter may even kill for."""
    program(bundle, "#!/absent\n")
    names = ["openat2", "readlinkat", "fstatfs"]
    bundle.linux["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": names, "action": "SCMP_ACT_KILL_PROCESS"}],
    }
    container.created()
    result = container.start()
    assert result.code == 1
    assert result.err == (
        "pyrun: exec /app: no such file or directory: its interpreter (ELF loader, or what #!"
        " names) is not in the container\n"
    )
    container.wait_stopped()


@pyrun_only("runc 1.1 starts it, and ends without a word")
def test_a_fifo(container: Container, bundle: Bundle) -> None:
    os.mkfifo(bundle.rootfs / "app", 0o755)
    bundle.process["args"] = ["/app"]
    result = container.create()
    assert result.err == 'pyrun: exec: "/app": permission denied: /app is no regular file\n'


@pyrun_only("the text")
def test_a_program_that_is_written_to(container: Container, bundle: Bundle) -> None:
    program(bundle, payload_of(bundle).read_bytes())
    with open(bundle.rootfs / "app", "r+b"):
        result = container.run()
    assert result.err == "pyrun: exec /app: text file busy: somebody has it open for writing\n"


@pyrun_only("the text")
def test_control_characters_stay_where_they_are(container: Container, bundle: Bundle) -> None:
    program(bundle, "#!/\x1b[31m\x07\n")
    result = container.run()
    assert result.code == 1
    assert "/\\x1b[31m\\x07" in result.err
    assert result.err.rstrip("\n").isprintable()

# SPDX-License-Identifier: Apache-2.0
"""Evidence of a failure: whatever the image made of it, it is one line that can be shown."""

from __future__ import annotations

import errno
import os
import struct
from stat import S_IFDIR, S_IFLNK, S_IFREG

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrun import evidence, failed_mount, failed_program, failure, ops
from pyrun.types import Op

CONFIG = {"process": {"args": ["/app"]}, "mounts": [{"destination": "/data", "type": "tmpfs"}]}
OPS: list[tuple[str, Op]] = [
    ("/process/args/0", ops.find_executable(["/app"])),
    ("/process/args", ops.execve(["/app"], [])),
    ("/mounts/0", ops.make_in_root(1, "/data", 0, 0, 2)),
    ("/mounts/0/options", ops.fsconfig(1, "size", "1x")),
    ("/mounts/0", ops.fsmount(1, 0, 2)),
]
NUMBERS = sorted(errno.errorcode)


def sighting(
    path: bytes,
    content: bytes = b"",
    *,
    number: int = 0,
    mode: int = S_IFREG | 0o755,
    flags: int = 0,
    capabilities: bytes = b"",
) -> bytes:
    """As the executor writes it: struct sighting, and its texts."""
    head = struct.pack("=iIIIIii", number, mode, 0, 0, flags, not number, len(content))
    lengths = struct.pack("=HH", len(path), len(content))
    return head + capabilities.ljust(24, b"\0") + lengths + path + content


def seen(*sightings: bytes, uid: int = 1000) -> bytes:
    return struct.pack("=II", uid, uid) + b"".join(sightings)


@given(st.integers(0, len(OPS) - 1), st.sampled_from(NUMBERS), st.binary(max_size=600))
def test_any_bytes(which: int, number: int, data: bytes) -> None:
    text = str(failure.explain([OPS[which]], CONFIG, 0, (number, 0, data)))
    assert text.isprintable()


paths = st.binary(max_size=256)
files = st.builds(
    sighting,
    paths,
    st.one_of(
        st.binary(max_size=256),
        st.binary(max_size=100).map(lambda b: b"\x7fELF" + b),
        st.binary(max_size=100).map(lambda b: b"#!" + b),
    ),
    number=st.sampled_from([0, 0, 0, *NUMBERS]),
    mode=st.integers(0, 0o177777),
    flags=st.integers(0, 2**32 - 1),
    capabilities=st.binary(max_size=24),
)


@given(st.integers(0, 2), st.sampled_from(NUMBERS), st.lists(files, max_size=5))
def test_any_files(which: int, number: int, listed: list[bytes]) -> None:
    data = seen(*listed)
    assert len(evidence.sightings(data)) == len(listed)
    text = str(failure.explain([OPS[which]], CONFIG, 0, (number, 0, data)))
    assert text.isprintable()


@pytest.mark.parametrize("cut", range(60))
def test_a_cut_end(cut: int) -> None:
    whole = seen(sighting(b"/a", b"x"), sighting(b"/b", b"y" * 10))
    found = evidence.sightings(whole[: len(whole) - cut])
    assert [one.path for one in found] == ([b"/a", b"/b"] if not cut else [b"/a"])


def test_messages() -> None:
    assert evidence.messages(b"w tmpfs: odd\ne tmpfs: Bad\x1b value\n") == "tmpfs: Bad\\x1b value"
    assert evidence.messages(b"w tmpfs: odd\ni tmpfs: so\n") == "tmpfs: odd, tmpfs: so"
    assert evidence.messages(b"\n\nx") == ""


def test_receive_ends_with_its_sender() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"ab")
    os.write(writer, b"c")
    os.close(writer)
    assert evidence.receive(reader) == b"abc"
    os.close(reader)


def test_receive_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "PATIENCE", 10)
    reader, writer = os.pipe()
    os.write(writer, b"x" * 5000)
    assert len(evidence.receive(reader)) == evidence.LIMIT
    assert len(evidence.receive(reader)) == 5000 - evidence.LIMIT
    os.close(reader)
    os.close(writer)


def header(machine: int, wide: bool = True, kind: int = 2, order: str = "<") -> bytes:
    ident = b"\x7fELF" + bytes([1 + wide, 1 + (order == ">"), 1]) + bytes(9)
    return (ident + struct.pack(f"{order}HHI", kind, machine, 1)).ljust(64, b"\0")


HOSTED: list[tuple[str, bytes, str]] = [
    ("x86_64", header(183), "is a program for arm64, this machine is amd64: take an image for"),
    ("x86_64", header(22, order=">"), "is a program for s390x, this machine is amd64"),
    ("x86_64", header(3, wide=False), "its kernel has no CONFIG_IA32_EMULATION"),
    ("x86_64", header(62, wide=False), "is a program of the x32 ABI, which takes"),
    ("aarch64", header(40, wide=False), "its kernel has no CONFIG_COMPAT"),
    ("aarch64", header(62), "is a program for amd64, this machine is arm64"),
    ("x86_64", header(999), "is a program for ELF machine 999"),
    ("x86_64", header(62, kind=4), "is a core dump, not a program"),
    ("x86_64", header(62), "is a damaged ELF file"),
    ("x86_64", header(62)[:30], "is a damaged ELF file of 30 bytes"),
    ("x86_64", b"\x7fEL", "is a text without #!"),
    ("x86_64", b"PK\x03\x04", "is a zip archive"),
    ("x86_64", b"#!\n", "names no interpreter"),
    ("x86_64", b"a\0b", "is not a program"),
]


@pytest.mark.parametrize(("machine", "content", "words"), HOSTED)
def test_formats(machine: str, content: bytes, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failed_program, "_machine", lambda: machine)
    (found,) = evidence.sightings(seen(sighting(b"/app", content)))
    assert words in failed_program.format_of(found)


REFUSED: list[tuple[bytes, str]] = [
    (sighting(b"/d", mode=S_IFDIR | 0o755), "/d is a directory"),
    (sighting(b"/f", flags=8), "/f is on a mount with the option noexec"),
    (sighting(b"/f", mode=S_IFREG | 0o600), "/f (mode 0600) is executable for nobody: chmod +x"),
    (
        sighting(b"/f", mode=S_IFREG | 0o4710),
        "/f (mode 4710, owner 0:0) may not be executed by user 1000:1000",
    ),
    (sighting(b"/f"), ""),
    (
        sighting(b"/d/f", number=errno.EACCES, mode=0) + sighting(b"/d", mode=S_IFDIR | 0o700),
        "/d (mode 0700, owner 0:0) may not be searched by user 1000:1000",
    ),
]


@pytest.mark.parametrize(("data", "words"), REFUSED)
def test_refused(data: bytes, words: str) -> None:
    found = evidence.sightings(seen(data))
    assert failed_program.not_allowed("1000:1000", found) == words


def test_an_emulator_that_is_not_in_the_container(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failed_program, "_machine", lambda: "x86_64")
    found = evidence.sightings(seen(sighting(b"/app", header(183))))
    why = failed_program.not_executed(errno.ENOENT, "0:0", found)
    assert why.endswith("register it with the flag F")


def test_a_link_to_an_interpreter() -> None:
    data = seen(
        sighting(b"/app", b"#!/bin/sh\n"),
        sighting(b"/bin/sh", b"busybox", number=errno.ENOENT, mode=S_IFLNK | 0o777),
    )
    why = failed_program.not_executed(errno.ENOENT, "0:0", evidence.sightings(data))
    assert why == (
        "/app names the interpreter /bin/sh: /bin/sh is a symbolic link to busybox, which is not"
        " in the container"
    )


def test_which_interpreter_may_not_be_executed() -> None:
    script = sighting(b"/app", b"#!/sh\n", mode=S_IFREG | 0o750)  # for a further group of ours
    shell = sighting(b"/sh", mode=S_IFREG | 0o644)
    loader = sighting(b"/ld.so")
    found = evidence.sightings(seen(script, shell, loader))
    why = failed_program.not_executed(errno.EACCES, "1000:1000", found)
    assert why == "interpreter of /app: /sh (mode 0644) is executable for nobody: chmod +x"
    assert failed_program.not_executed(errno.EACCES, "1000:1000", found[:1]) == ""


def test_types_of_file_systems() -> None:
    assert "CONFIG_OVERLAY_FS, or `modprobe overlay`" in failed_mount.unknown_type("overlay")
    assert failed_mount.unknown_type("rbind").startswith("rbind is an option")

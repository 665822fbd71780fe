# SPDX-License-Identifier: Apache-2.0
"""Why the user's program can't be executed: execve(2) has one word for many reasons, and what the
executor has seen of the files tells which. Loaded when something has failed."""

from __future__ import annotations

import errno
import os
from _stat import S_IMODE, S_ISDIR, S_ISLNK, S_ISREG

from pyrun.evidence import Sighting, text
from pyrun.linux import CAPABILITIES

NOEXEC = 0x8  # ST_NOEXEC of statvfs(3)
EFFECTIVE = 0x1  # VFS_CAP_FLAGS_EFFECTIVE of capabilities(7)
# Machines of elf(5), as engines name platforms.
MACHINES = {
    3: "386", 8: "mips", 20: "ppc", 21: "ppc64", 22: "s390x", 40: "arm", 42: "sh4", 43: "sparc64",
    50: "ia64", 62: "amd64", 183: "arm64", 243: "riscv64", 258: "loong64",
}  # fmt: skip
HOSTS = {
    "x86_64": "amd64", "aarch64": "arm64", "i686": "386", "armv7l": "arm", "ppc64le": "ppc64",
    "loongarch64": "loong64", "mips64": "mips",
}  # fmt: skip
# What the machine could run with this in its kernel: (host, program) -> option
EMULATION = {
    ("amd64", "386"): "CONFIG_IA32_EMULATION",
    ("arm64", "arm"): "CONFIG_COMPAT",
}
WIDE = b"\2"  # ELFCLASS64
# e_type of elf(5)
KINDS = {1: "an object file", 4: "a core dump"}
FORMATS = (
    (b"MZ", "is a program for Windows"),
    (b"\xcf\xfa\xed\xfe", "is a program for macOS"),
    (b"\xca\xfe\xba\xbe", "is a program for macOS, or a Java class"),
    (b"\xef\xbb\xbf#!", "begins with a byte order mark: #! must come first"),
    (b"!<arch>", "is a library"),
    (b"\x1f\x8b", "is compressed (gzip)"),
    (b"PK\x03\x04", "is a zip archive: it needs its interpreter as args[0]"),
    (b"\0asm", "is a WebAssembly module"),
)


def not_found(name: str, candidates: list[str], seen: list[Sighting]) -> str:
    """Why find_executable has found nothing (ENOENT)."""
    for sighting in seen:
        if sighting.number and S_ISLNK(sighting.mode):
            return _dangling(sighting)
    if " " in name:
        return "args[0] has a space in it: each argument is an entry of its own"
    if "/" in name:
        return _missing_folder(name, seen)
    if not candidates:
        return "PATH is not in process.env"
    return "searched " + ":".join(path.rpartition("/")[0] or "/" for path in candidates)


def _dangling(seen: Sighting) -> str:
    target = text(seen.content)
    return f"{text(seen.path)} is a symbolic link to {target}, which is not in the container"


def _missing_folder(name: str, seen: list[Sighting]) -> str:
    """The first part of the path that is missing, unless it is the last."""
    there = next((text(one.path) for one in seen if not one.number), "")
    if not there or there == (os.path.dirname(name) or there):
        return ""
    missing = name[len(there) :].lstrip("/").partition("/")[0]
    return f"there is no {missing} in {there} in the container"


def not_allowed(user: str, seen: list[Sighting]) -> str:
    """Why a file may not be executed (EACCES): the first that says so."""
    return next((why for i in range(len(seen)) if (why := _not_allowed(user, seen, i))), "")


def _not_allowed(user: str, seen: list[Sighting], index: int) -> str:
    if seen[index].number != errno.EACCES:
        return "" if seen[index].number else _refused(seen[index], user)
    folder = next((one for one in seen[index:] if not one.number), None)
    return _unsearchable(folder, user) if folder else ""


def _unsearchable(folder: Sighting, user: str) -> str:
    return f"{text(folder.path)} ({_rights(folder)}) may not be searched by user {user}"


def _rights(seen: Sighting) -> str:
    return f"mode {S_IMODE(seen.mode):04o}, owner {seen.uid}:{seen.gid}"


def _refused(seen: Sighting, user: str) -> str:
    path = text(seen.path)
    if S_ISDIR(seen.mode):
        return f"{path} is a directory"
    if not S_ISREG(seen.mode):
        return f"{path} is no regular file"
    if seen.flags & NOEXEC:
        return f"{path} is on a mount with the option noexec"
    if not seen.mode & 0o111:
        return f"{path} (mode {S_IMODE(seen.mode):04o}) is executable for nobody: chmod +x"
    if not _may(seen, user):
        return f"{path} ({_rights(seen)}) may not be executed by user {user}"
    return ""


def _may(seen: Sighting, user: str) -> bool:
    """By the mode alone, where groups besides the first are not known: False is certain enough."""
    uid, _, gid = user.partition(":")
    if uid == str(seen.uid):
        return bool(seen.mode & 0o100)
    if gid == str(seen.gid):
        return bool(seen.mode & 0o010)
    return bool(seen.mode & 0o001)


def not_executed(number: int, user: str, seen: list[Sighting]) -> str:
    """Why execve failed with this errno, "" when what was seen does not tell. `seen` begins with
    the program, and each other is the interpreter of the one before."""
    if not seen:
        return ""
    end = next((i for i, one in enumerate(seen) if one.number), len(seen) - 1)
    chain = seen[: end + 1]
    last = chain[-1]
    if number in (errno.ENOENT, errno.ENOTDIR) and last.number and len(chain) > 1:
        return _no_interpreter(chain[-2], last)
    if number == errno.ENOENT and not last.number and (machine := foreign(last)):
        return (
            f"{text(last.path)} is a program for {machine}, and the emulator that binfmt_misc"
            " names is not in the container: register it with the flag F"
        )
    if number == errno.EACCES:
        return _refused_interpreter(user, chain, seen)
    if number == errno.ENOEXEC:
        read = [one for one in chain if one.readable]  # the last: a script is taken for what it is
        return f"{text(read[-1].path)} {format_of(read[-1])}" if read else ""
    if number == errno.EPERM and (names := wanted_capabilities(seen[0])):
        return (
            f"{text(last.path)} has file capabilities ({names}) that are not all in"
            " process.capabilities.bounding"
        )
    if number in (errno.ELIBBAD, errno.EINVAL) and len(chain) > 1:
        return f"its interpreter {text(last.path)} is damaged, or of another format"
    return ""


def _refused_interpreter(user: str, chain: list[Sighting], seen: list[Sighting]) -> str:
    """The program itself may be executed, as find_executable has found."""
    for index in range(1, len(chain)):
        if why := _not_allowed(user, seen, index):
            return f"interpreter of {text(seen[index - 1].path)}: {why}"
    return ""


def _no_interpreter(program: Sighting, missing: Sighting) -> str:
    path = text(program.path)
    if program.content.startswith(b"#!"):
        if missing.path.endswith(b"\r"):
            return (
                f"the first line of {path} ends in CR LF, as on Windows: the kernel looks for"
                f' an interpreter named "{text(missing.path)}"'
            )
        why = f"{path} names the interpreter {text(missing.path)}"
    else:
        why = f"{path} needs the loader {text(missing.path)}"
    if S_ISLNK(missing.mode):
        return f"{why}: {_dangling(missing)}"
    machine = foreign(program)
    if machine:
        return (
            f"{why}, which is not in the container; it is a program for {machine},"
            f" this machine is {host()}"
        )
    return f"{why}, which is not in the container{_library(missing.path)}"


def _library(loader: bytes) -> str:
    name = loader.rpartition(b"/")[2]
    if name.startswith(b"ld-musl"):
        return ": it is built for musl, the image has another libc (or none)"
    if name.startswith((b"ld-linux", b"ld64", b"ld.so", b"ld-2")):
        return ": it is built for glibc, the image has another libc (or none)"
    return ""


def host() -> str:
    """This machine, as engines name platforms."""
    machine = _machine()
    return HOSTS.get(machine, machine)


def _machine() -> str:
    return os.uname().machine


def _number(seen: Sighting, at: int) -> int:
    """A 16 bit field of an ELF header, in the file's own byte order."""
    order = "big" if seen.content[5:6] == b"\2" else "little"
    return int.from_bytes(seen.content[at : at + 2], order)  # type: ignore[arg-type]


def foreign(seen: Sighting) -> str:
    """The machine that an ELF file is for, "" if it is ours (or not an ELF file)."""
    if not seen.content.startswith(b"\x7fELF") or len(seen.content) < 20:
        return ""
    number = _number(seen, 18)
    name = MACHINES.get(number, f"ELF machine {number}")
    return "" if name == host() else name


def format_of(seen: Sighting) -> str:
    """What a file is that the kernel does not take for a program, as the end of a sentence."""
    content = seen.content
    if not content:
        return "is empty"
    if content.startswith(b"\x7fELF"):
        return _elf(seen)
    for magic, words in FORMATS:
        if content.startswith(magic):
            return words
    if content.startswith(b"#!"):
        return "names no interpreter behind #!"
    if b"\0" not in content and content.lstrip().startswith(b"#!"):
        return "does not begin with #!, which must be its first two bytes"
    if b"\0" not in content:
        return "is a text without #! in its first line: name its interpreter there, or as args[0]"
    return "is not a program"


def _elf(seen: Sighting) -> str:
    if seen.size < (64 if seen.content[4:5] == WIDE else 52):
        return f"is a damaged ELF file of {seen.size} bytes"
    machine, ours = foreign(seen), host()
    option = EMULATION.get((ours, machine))
    if option:
        return f"is a program for {machine}, this machine is {ours} and its kernel has no {option}"
    if machine:
        return (
            f"is a program for {machine}, this machine is {ours}: take an image for {ours}, or an"
            " emulator registered with binfmt_misc"
        )
    if ours == "amd64" and seen.content[4:5] != WIDE:
        return "is a program of the x32 ABI, which takes CONFIG_X86_X32_ABI"
    kind = KINDS.get(_number(seen, 16))
    return f"is {kind}, not a program" if kind else "is a damaged ELF file"


def wanted_capabilities(seen: Sighting) -> str:
    """Those that a file must be granted, in words (struct vfs_cap_data); "" for none."""
    words = [
        int.from_bytes(seen.capabilities[at : at + 4], "little")
        for at in range(0, len(seen.capabilities), 4)
    ]
    if not words or not words[0] & EFFECTIVE:
        return ""
    mask = words[1] | words[3] << 32
    return ", ".join(name for number, name in enumerate(CAPABILITIES) if mask >> number & 1)

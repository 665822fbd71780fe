# SPDX-License-Identifier: Apache-2.0
"""What the executor's own objects may not call: each name stands for a bug that others had."""

from __future__ import annotations

import ctypes
import re
import subprocess
from pathlib import Path

import pytest

from executor import plans
from needs import needs

pytestmark = needs("cc")

DENIED = {
    # R1, R2: a path below a hostile root is never a string; a mount is a descriptor
    "mount": "CVE-2021-30465",
    "umount": "CVE-2021-30465",
    "realpath": "CVE-2024-45310",
    "canonicalize_file_name": "CVE-2024-45310",
    "mkdir": "CVE-2024-45310",
    "mknod": "CVE-2026-47766",
    "symlink": "CVE-2026-47766",
    "unlink": "CVE-2026-47766",
    "remove": "CVE-2026-47766",
    "rename": "CVE-2026-47766",
    "chmod": "CVE-2026-88265",
    "chown": "CVE-2026-88265",
    "lchown": "CVE-2026-88265",
    "chdir": "CVE-2024-21626",
    "creat": "CVE-2024-45310",
    "link": "CVE-2026-47766",
    "truncate": "CVE-2026-47766",
    "rmdir": "CVE-2026-47766",
    "stat": "CVE-2019-19921",
    "lstat": "CVE-2019-19921",
    "access": "CVE-2019-19921",
    "readlink": "CVE-2019-19921",
    "setxattr": "CVE-2019-19921",
    "lsetxattr": "CVE-2019-19921",
    "fopen": "CVE-2019-19921",
    "opendir": "CVE-2019-19921",
    "freopen": "CVE-2019-19921",
    "scandir": "CVE-2019-19921",
    "ftw": "CVE-2019-19921",
    "nftw": "CVE-2019-19921",
    "glob": "CVE-2019-19921",
    "statfs": "CVE-2019-19921",
    "statvfs": "CVE-2019-19921",
    "getxattr": "CVE-2019-19921",
    "lgetxattr": "CVE-2019-19921",
    "removexattr": "CVE-2019-19921",
    "mkfifo": "CVE-2026-47766",
    "mkstemp": "CVE-2024-45310",
    "mkdtemp": "CVE-2024-45310",
    "tmpfile": "CVE-2024-45310",
    "utimes": "CVE-2026-47766",
    "fchmodat": "CVE-2026-88265",
    # R12: no other program is looked up, no library of the container's is loaded
    "system": "CVE-2022-1227",
    "popen": "CVE-2022-1227",
    "execv": "CVE-2022-1227",
    "execl": "CVE-2022-1227",
    "execvp": "CVE-2022-1227",
    "execvpe": "CVE-2022-1227",
    "posix_spawn": "CVE-2022-1227",
    "posix_spawnp": "CVE-2022-1227",
    "execlp": "CVE-2022-1227",
    "execle": "CVE-2022-1227",
    "wordexp": "CVE-2022-1227",
    "dlopen": "CVE-2019-14271",
    "getpwnam": "CVE-2019-14271",
    "getpwuid": "CVE-2019-14271",
    "getgrnam": "CVE-2019-14271",
    "getgrgid": "CVE-2019-14271",
    "getgrouplist": "CVE-2019-14271",
    "getaddrinfo": "CVE-2019-14271",
    "setlocale": "CVE-2019-14271",
    "iconv_open": "CVE-2019-14271",
    # R11: the C library's would speak to threads, and leave what was not asked for
    "setuid": "CVE-2022-36109",
    "setgid": "CVE-2022-36109",
    "seteuid": "CVE-2022-36109",
    "setegid": "CVE-2022-36109",
    "setgroups": "CVE-2022-36109",
    # R13: nobody else is listened to
    "bind": "CVE-2020-15257",
    "listen": "CVE-2020-15257",
    "initgroups": "CVE-2022-36109",
    # it formats no text, and needs no memory but what it has
    "malloc": "",
    "calloc": "",
    "realloc": "",
    "free": "",
    "strdup": "",
    "strcpy": "",
    "strcat": "",
    "gets": "",
    "perror": "",
    "strerror": "",
    "puts": "",
    "fputs": "",
    "fwrite": "",
    "getenv": "",
    "setenv": "",
}
# When the root is the container's already, or there is none of its own: where, and what exactly.
AFTERWARDS = {
    "mounts.c": {"chdir": ['chdir("/")'] * 2},
    "process.c": {"stat": ["stat(*path, &status)"]},
}
# By number: what takes the path of a mount, or any, is not among them but for openat2.
NUMBERS = {
    "capset", "clone", "clone3", "exit_group", "fsconfig", "fsmount", "fsopen", "fspick", "getcwd",
    "getdents64", "ioprio_set", "keyctl", "landlock_add_rule", "landlock_create_ruleset",
    "landlock_restrict_self", "mount_setattr", "move_mount", "open_tree", "openat2", "personality",
    "pidfd_open", "pivot_root", "prlimit64", "sched_setaffinity", "sched_setattr", "seccomp",
    "set_mempolicy", "setgroups", "setresgid", "setresuid", "statx", "unshare",
}  # fmt: skip
# All that it calls of the C library. What takes a path takes a name in a directory that is open, or
# is said above, but for these: open (below); umount2 of "." and of the root's old place, chroot of
# "."; execve and faccessat when the root is the container's.
CALLED = {
    "__errno_location", "_exit", "chdir", "chroot", "clock_gettime", "close", "dup2", "dup3",
    "execve", "faccessat", "fchdir", "fchmod", "fchown", "fchownat", "fcntl", "fgetxattr",
    "flistxattr", "fork", "fsetxattr", "fstat", "fstatat", "fstatfs", "ftruncate", "futimens",
    "getegid", "geteuid", "getpid", "ioctl", "kill", "linkat", "lseek", "memchr", "memcpy",
    "memmove", "mkdirat", "mknodat", "mmap", "open", "openat", "pipe2", "poll", "prctl", "pread",
    "read", "readlinkat", "recvmsg", "sendfile", "sendmsg", "setdomainname", "sethostname",
    "setns", "setpgid", "setsid", "sigaction", "sigemptyset", "sigprocmask", "socket", "stat",
    "strchr", "strcmp", "strcspn", "strlen", "strspn", "strtol", "strtoul", "symlinkat",
    "syscall", "umask", "umount2", "unlinkat", "utimensat", "waitpid", "write", "writev",
}  # fmt: skip
COMPILERS = {"memset", "memcmp", "__stack_chk_fail"}  # who may call them where no source does
PRINTF = re.compile(r"(v?[sdf]?n?printf|v?asprintf|v?dprintf|v?f?scanf|v?sscanf)")


def plain(symbol: str) -> str:
    """Without what the fortified headers, and newer ones, make of a name."""
    return re.sub(r"^__(isoc\d+_)?(?!errno|stack)|(64)?(_chk|_2)?$", "", symbol)


def wrong(symbols: set[str]) -> set[str]:
    """Those of them that are denied."""
    return {s for s in symbols if plain(s) in DENIED or PRINTF.fullmatch(plain(s))}


def unknown(symbols: set[str]) -> set[str]:
    """Those of the C library that are not among what is called."""
    library = ctypes.CDLL("libc.so.6")
    return {s for s in symbols if hasattr(library, s) and plain(s) not in CALLED | COMPILERS}


def needed(source: Path, folder: Path) -> set[str]:
    """What an object has undefined, compiled as the build compiles it."""
    target = folder / f"{source.stem}.o"
    words = ["cc", "-std=c17", "-D_GNU_SOURCE", "-O2", "-D_FORTIFY_SOURCE=2", "-c", source]
    includes = [f"-I{plans.header(folder)}", f"-I{plans.ROOT}/runtime/executor"]
    subprocess.run([*words, *includes, "-o", target], check=True)
    listed = subprocess.run(["nm", "-u", target], capture_output=True, text=True, check=True)
    return {line.split()[-1] for line in listed.stdout.splitlines()}


SOURCES = sorted((plans.ROOT / "runtime/executor").glob("*.c"))


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_no_denied_call(source: Path, tmp_path: Path) -> None:
    allowed = AFTERWARDS.get(source.name, {})
    symbols = needed(source, tmp_path)
    assert wrong(symbols) == set(allowed)
    assert unknown(symbols) == set()
    for name, calls in allowed.items():
        assert re.findall(rf"(?<!\w){name}\([^()]*\)", source.read_text()) == calls


def test_calls_by_number() -> None:
    """Where the C library has no name for it to deny."""
    text = "".join(source.read_text() for source in SOURCES)
    found = set(re.findall(r"(?<!\w)syscall\(\s*(\w+)", text))
    assert found == {f"SYS_{name}" for name in NUMBERS}
    assert set(re.findall(r"\b(?:SYS_|__NR_)\w+", text)) == found


def test_what_is_called_is_called() -> None:
    """The list is no longer than what it lists; and a name in the working directory is that of a
    program, when the root is the container's."""
    text = "".join(source.read_text() for source in SOURCES)
    called = set(re.findall(r"(?<!\w)(\w+)\(", text)) | {"__errno_location"}
    assert CALLED - called == set()
    assert {name for name in CALLED if name in DENIED} == {"chdir", "stat"}
    by_name = {name for name in re.findall(r"(\w+)\(AT_FDCWD", text) if name in CALLED}
    assert by_name == {"faccessat"}


def test_a_denied_call_is_seen(tmp_path: Path) -> None:
    source = tmp_path / "x.c"
    source.write_text(
        "#include <stdio.h>\n#include <stdlib.h>\n#include <sys/mount.h>\n#include <unistd.h>\n"
        "int f(const char *a);\nint f(const char *a)\n{\n    char b[9];\n"
        '    snprintf(b, sizeof b, "%s", a);\n    mount(b, a, a, 0, malloc(3));\n'
        "    return chdir(a);\n}\n"
    )
    symbols = needed(source, tmp_path)
    assert {plain(s) for s in wrong(symbols)} == {"snprintf", "mount", "malloc", "chdir"}
    assert {plain(s) for s in unknown(symbols)} == {"snprintf", "mount", "malloc"}


def test_where_paths_are_resolved() -> None:
    """openat2 by number is in paths.c alone, and nothing but a look at the host opens by a path:
    op_open_host, op_pivot_root ("/") and op_detach_host. A name in a directory is opened where the
    root's tree is copied or made, and no link is followed."""
    for source in SOURCES:
        text = source.read_text()
        assert ("SYS_openat2" in text) == (source.name == "paths.c")
        opened = re.findall(r"(?<![\w.])open\(", text)
        assert len(opened) == (3 if source.name == "mounts.c" else 0), source.name
        for call in re.findall(r"(?<!\w)openat\((.*)\);", text):
            assert source.name in ("copy_up.c", "paths.c")
            assert "O_NOFOLLOW" in call or '"."' in call or source.name == "paths.c", call
    assert "O_NOFOLLOW" in (SOURCES[0].parent / "paths.c").read_text().split("openat(")[0]

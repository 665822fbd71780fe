# SPDX-License-Identifier: Apache-2.0
"""The cache of BPF programs: it saves the compilation, is trusted only when whole, never fails."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pyrun import seccomp as programs
from pyrun.compile import seccomp

MACHINE = os.uname().machine


def profile(*names: str, **more: Any) -> dict[str, Any]:
    rule = {"names": list(names), "action": "SCMP_ACT_ALLOW"}
    made = seccomp.profile({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule], **more}, MACHINE)
    assert made is not None
    return made


READ = profile("read", "write")


class Compiler:
    """Stands for the compiler: counts, and gives the real program."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.runs = 0
        self.real = programs._compile
        monkeypatch.setattr(programs, "_compile", self.compile)

    def compile(self, made: dict[str, Any]) -> tuple[bytes, str]:
        self.runs += 1
        return self.real(made)


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch) -> Compiler:
    return Compiler(monkeypatch)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "seccomp"


def get(folder: Path, made: dict[str, Any] = READ) -> bytes:
    return programs.program(made, str(folder))


def entry(folder: Path) -> Path:
    (found,) = folder.iterdir()
    return found


def test_a_profile_is_compiled_once(compiler: Compiler, folder: Path) -> None:
    first = get(folder)
    assert get(folder) == get(folder) == first
    assert compiler.runs == 1
    assert folder.stat().st_mode & 0o777 == 0o700
    assert entry(folder).stat().st_mode & 0o777 == 0o600


def test_a_hit_does_not_load_libseccomp(folder: Path) -> None:
    first = get(folder)
    script = (
        "import sys; from pyrun import seccomp;"
        f"code = seccomp.program({READ!r}, {str(folder)!r});"
        "maps = open('/proc/self/maps').read();"
        "print(code.hex(), 'libseccomp' in maps, 'pyrun.kernel.libseccomp' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [first.hex(), "False", "False"]


@pytest.mark.parametrize(
    "other",
    [
        profile("read"),
        profile("read", "write", defaultErrnoRet=5),
        profile("read", "write", architectures=["SCMP_ARCH_ARM", "SCMP_ARCH_X86"]),
    ],
)
def test_another_profile_is_another_entry(
    compiler: Compiler, folder: Path, other: dict[str, Any]
) -> None:
    assert get(folder) != get(folder, other)
    assert compiler.runs == 2
    assert len(list(folder.iterdir())) == 2


def test_flags_are_no_part_of_the_program(compiler: Compiler, folder: Path) -> None:
    get(folder)
    get(folder, profile("write", "read", flags=["SECCOMP_FILTER_FLAG_LOG"]))
    assert compiler.runs == 1


def test_another_kernel_or_generation_is_another_entry(
    compiler: Compiler, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    get(folder)
    monkeypatch.setattr(programs, "GENERATION", programs.GENERATION + 1)
    get(folder)
    real = os.uname()
    monkeypatch.setattr(os, "uname", lambda: os.uname_result([*real[:2], "99.0", *real[3:]]))
    get(folder)
    assert compiler.runs == 3


def test_another_libseccomp_makes_entries_stale(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = tmp_path / "libseccomp.so"
    library.write_bytes(b"one")
    runs: list[int] = []

    def compile_once(_: dict[str, Any]) -> tuple[bytes, str]:
        runs.append(1)
        return b"12345678", str(library)

    monkeypatch.setattr(programs, "_compile", compile_once)
    assert get(folder) == get(folder) == b"12345678"
    assert len(runs) == 1
    library.write_bytes(b"other")
    get(folder)
    assert len(runs) == 2
    get(folder)
    assert len(runs) == 2
    library.unlink()
    assert get(folder) == b"12345678"
    assert len(runs) == 3


def test_a_truncated_entry_is_compiled_again(compiler: Compiler, folder: Path) -> None:
    code = get(folder)
    whole = entry(folder).read_bytes()
    for length in (0, 1, 31, 32, 40, len(whole) - 8, len(whole) - 1):
        entry(folder).write_bytes(whole[:length])
        compiler.runs = 0
        assert get(folder) == code
        assert compiler.runs == 1
        assert entry(folder).read_bytes() == whole


def test_any_flipped_byte_is_noticed(compiler: Compiler, folder: Path) -> None:
    code = get(folder)
    whole = entry(folder).read_bytes()
    for at in range(0, len(whole), 7):
        entry(folder).write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert get(folder) == code
    assert compiler.runs == 1 + len(range(0, len(whole), 7))


def test_an_entry_under_another_name_is_not_taken(compiler: Compiler, folder: Path) -> None:
    other = profile("getpid")
    get(folder)
    saved = entry(folder).read_bytes()
    expected = get(folder, other)
    for path in folder.iterdir():
        path.write_bytes(saved)
    assert get(folder, other) == expected
    assert compiler.runs == 3


def test_a_link_is_not_followed(compiler: Compiler, folder: Path, tmp_path: Path) -> None:
    code = get(folder)
    path = entry(folder)
    moved = path.rename(tmp_path / "elsewhere")
    path.symlink_to(moved)
    assert get(folder) == code
    assert compiler.runs == 2
    assert not path.is_symlink()


def test_an_entry_that_others_may_write_is_not_taken(compiler: Compiler, folder: Path) -> None:
    get(folder)
    entry(folder).chmod(0o666)
    get(folder)
    assert compiler.runs == 2


def test_something_else_than_a_file_does_not_hang(compiler: Compiler, folder: Path) -> None:
    code = get(folder)
    path = entry(folder)
    path.unlink()
    os.mkfifo(path, 0o600)
    assert get(folder) == code
    assert compiler.runs == 2


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o707])
def test_a_folder_that_others_reach_is_not_used(
    compiler: Compiler, folder: Path, mode: int
) -> None:
    folder.mkdir(parents=True)
    folder.chmod(mode)
    assert get(folder) == get(folder)
    assert compiler.runs == 2
    assert list(folder.iterdir()) == []


def test_a_folder_of_somebody_else_is_not_used(
    compiler: Compiler, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    get(folder)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    get(folder)
    assert compiler.runs == 2


def test_a_folder_by_a_link_is_not_used(compiler: Compiler, folder: Path, tmp_path: Path) -> None:
    get(folder)
    link = tmp_path / "link"
    link.symlink_to(folder)
    get(link)
    assert compiler.runs == 2


def test_no_cache_never_fails(compiler: Compiler, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("in the way")
    code = programs.program(READ, "")
    assert get(file) == get(file / "below") == get(Path("/proc/none")) == code
    assert compiler.runs == 4


@pytest.mark.parametrize("call", ["write", "rename", "urandom", "listdir"])
def test_a_failed_store_never_fails(
    compiler: Compiler, folder: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "no space")

    with monkeypatch.context() as patched:
        patched.setattr(os, call, full)
        code = get(folder)
    assert get(folder) == code


def test_a_short_write_leaves_no_entry(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", lambda fd, data: write(fd, data[: len(data) // 2]))
        get(folder)
    assert list(folder.iterdir()) == []


def test_the_cache_does_not_grow_for_ever(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "MOST_ENTRIES", 8)
    for number in range(30):
        get(folder, profile("read", defaultErrnoRet=100 + number))
        assert len(list(folder.iterdir())) <= 8


def test_no_fd_is_left_open(folder: Path) -> None:
    before = os.listdir("/proc/self/fd")
    get(folder)
    get(folder)
    assert os.listdir("/proc/self/fd") == before

# SPDX-License-Identifier: Apache-2.0
"""What is installed: static hardened binaries, bytecode that is not checked, the package whole."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

import pyrun as package

PACKAGE = Path(package.__file__).parent

ET_DYN = 3
PT_DYNAMIC, PT_INTERP, PT_GNU_STACK, PT_GNU_RELRO = 2, 3, 0x6474E551, 0x6474E552
PF_X, PF_W = 1, 2
DT_NEEDED, DT_FLAGS, DF_BIND_NOW = 1, 30, 8


class Segment(NamedTuple):
    """A program header, as far as it matters here."""

    kind: int
    flags: int
    offset: int
    size: int


def elf(path: Path) -> tuple[int, list[Segment], dict[int, int]]:
    """Type, program headers and dynamic section (tag -> value) of a 64-bit ELF file."""
    data = path.read_bytes()
    order = "<" if data[5] == 1 else ">"
    assert data[:5] == b"\x7fELF\x02"
    kind = struct.unpack_from(order + "H", data, 16)[0]
    (table,) = struct.unpack_from(order + "Q", data, 32)
    size, count = struct.unpack_from(order + "HH", data, 54)
    segments = []
    dynamic: dict[int, int] = {}
    for index in range(count):
        header = struct.unpack_from(order + "IIQQQQQQ", data, table + index * size)
        segment = Segment(header[0], header[1], header[2], header[5])
        segments.append(segment)
        if segment.kind == PT_DYNAMIC:
            raw = data[segment.offset : segment.offset + segment.size]
            dynamic.update(struct.iter_unpack(order + "QQ", raw))
    return kind, segments, dynamic


@pytest.fixture(params=["launcher", "executor"])
def binary(request: pytest.FixtureRequest, pyrun: Path) -> Path:
    return pyrun.resolve() if request.param == "launcher" else PACKAGE / "executor"


def test_static(binary: Path) -> None:
    """The executor runs where no dynamic linker is, the launcher before anything is trusted."""
    _, segments, dynamic = elf(binary)
    assert PT_INTERP not in {segment.kind for segment in segments}
    assert DT_NEEDED not in dynamic


def programs(pyrun: Path) -> list[Path]:
    """Every ELF file that is installed: programs and extension modules."""
    found = [path for path in PACKAGE.rglob("*") if path.is_file()]
    return [pyrun.resolve(), *(p for p in found if p.read_bytes()[:4] == b"\x7fELF")]


def test_hardened(pyrun: Path) -> None:
    files = programs(pyrun)
    assert {"pyrun", "executor", "_linux"} <= {path.name.split(".")[0] for path in files}
    for path in files:
        check_hardened(path)


def check_hardened(path: Path) -> None:
    """`interpreter` is not position independent, as Debian's python3 is not (docs/build.md)."""
    kind, segments, dynamic = elf(path)
    by_kind = {segment.kind: segment for segment in segments}
    assert kind == ET_DYN or path.name == "interpreter", f"{path}: not position independent"
    assert not by_kind[PT_GNU_STACK].flags & PF_X, f"{path}: executable stack"
    assert PT_GNU_RELRO in by_kind, f"{path}: no RELRO"
    assert dynamic.get(DT_FLAGS, 0) & DF_BIND_NOW, f"{path}: bound late"
    assert not [s for s in segments if s.flags & PF_X and s.flags & PF_W], f"{path}: W and X"


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (["-Wl,-z,execstack"], "executable stack"),
        (["-Wl,-z,norelro"], "no RELRO"),
        (["-Wl,-z,lazy"], "bound late"),
        (["-no-pie"], "not position independent"),
    ],
)
def test_what_is_not_hardened_is_seen(tmp_path: Path, flags: list[str], why: str) -> None:
    source, program = tmp_path / "x.c", tmp_path / "x"
    source.write_text("int main(void) { return 0; }\n")
    words = ["cc", "-fPIE", "-pie", "-Wl,-z,relro", "-Wl,-z,now", "-o", program, source]
    subprocess.run(words, check=True)
    check_hardened(program)
    subprocess.run([*words, *flags], check=True)
    with pytest.raises(AssertionError, match=why):
        check_hardened(program)


def test_small(binary: Path) -> None:
    """Stripped, and no more than the C library's share. The executor is copied on every create."""
    assert binary.stat().st_size < 1 << 20


def test_bytecode_is_not_checked_against_the_source() -> None:
    sources = list(PACKAGE.rglob("*.py"))
    assert len(sources) > 5
    for source in sources:
        caches = list((source.parent / "__pycache__").glob(f"{source.stem}.cpython-*.pyc"))
        assert caches, f"{source}: no bytecode"
        for cache in caches:
            assert cache.read_bytes()[4:8] == b"\x01\0\0\0", f"{cache}: not an unchecked hash"


def test_whole_package_and_no_build_script() -> None:
    for name in ("_build.py", "_flags.py", "_schema.py", "spec/config.schema.json"):
        assert (PACKAGE / name).is_file(), name
    assert not list(PACKAGE.glob("kernel/build_*.py"))


def test_installed_pyrun_runs_with_nothing(pyrun: Path) -> None:
    done = subprocess.run([pyrun, "--version"], env={}, cwd="/", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert package.__version__ in done.stdout

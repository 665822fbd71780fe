# SPDX-License-Identifier: Apache-2.0
"""What the executor's own objects may not call: each name stands for a bug that others had."""

from __future__ import annotations

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
    "fopen": "CVE-2019-19921",
    "opendir": "CVE-2019-19921",
    # R12: no other program is looked up, no library of the container's is loaded
    "system": "CVE-2022-1227",
    "popen": "CVE-2022-1227",
    "execvp": "CVE-2022-1227",
    "execlp": "CVE-2022-1227",
    "dlopen": "CVE-2019-14271",
    "getpwnam": "CVE-2019-14271",
    "getpwuid": "CVE-2019-14271",
    "getgrnam": "CVE-2019-14271",
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
PRINTF = re.compile(r"(v?[sdf]?n?printf|v?asprintf|v?dprintf|v?f?scanf|v?sscanf)")


def wrong(symbols: set[str]) -> set[str]:
    """Those of them that are denied, also as what the fortified headers call."""
    plain = {symbol: re.sub(r"^__(isoc99_)?|_chk$|64$", "", symbol) for symbol in symbols}
    return {s for s, name in plain.items() if name in DENIED or PRINTF.fullmatch(name)}


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
    assert wrong(needed(source, tmp_path)) == set()


def test_a_denied_call_is_seen(tmp_path: Path) -> None:
    source = tmp_path / "x.c"
    source.write_text(
        "#include <stdio.h>\n#include <stdlib.h>\n#include <sys/mount.h>\n"
        "int f(const char *a);\nint f(const char *a)\n{\n    char b[9];\n"
        '    snprintf(b, sizeof b, "%s", a);\n    return mount(b, a, a, 0, malloc(3));\n}\n'
    )
    found = {re.sub("^__|_chk$", "", symbol) for symbol in wrong(needed(source, tmp_path))}
    assert found == {"snprintf", "mount", "malloc"}


def test_where_paths_are_resolved() -> None:
    """openat2 by number is in paths.c alone, and nothing but a look at the host opens by a path:
    op_open_host, op_pivot_root ("/") and op_detach_host."""
    for source in SOURCES:
        text = source.read_text()
        assert ("SYS_openat2" in text) == (source.name == "paths.c")
        opened = re.findall(r"(?<![\w.])open\(", text)
        assert len(opened) == (3 if source.name == "mounts.c" else 0), source.name

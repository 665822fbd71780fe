# SPDX-License-Identifier: Apache-2.0
"""Plans to try the reader with, and the tools to build what reads them.

python plans.py FOLDER      writes the fuzzer's seeds: they hold the checksum of the instruction
                            set, so they are made of the tree at hand and not kept in it
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from pyrun import ops, plan
from pyrun.types import Op

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
SANITIZERS = "address,undefined"
MSAN = "memory"  # what is used and was never set; it is never with the others

# Together they have every kind of operand; small, so that each byte can be tried.
PLANS: dict[str, list[Op]] = {
    "nothing": [ops.loopback_up()],
    "numbers": [ops.prctl(1, 2), ops.umask(0o22), ops.capset(1, 2, 3)],
    "strings": [ops.sethostname("box"), ops.tolerate(2, ops.unlinkat(5, "ptmx"))],
    "optional": [ops.fsconfig(1, "ro", None), ops.fsconfig(1, "size", "64k")],
    "slots": [ops.fsmount(1019, 0, 1021), ops.move_mount(1021, 1020), ops.wait_start(0)],
    "bytes": [ops.setgroups(b"\1\0\0\0\2\0\0\0"), ops.setgroups(b""), ops.seccomp(0, bytes(16))],
    "lists": [ops.find_executable([]), ops.execve(["sh", "-c", "sh"], ["A=1", "HOME="])],
    "hook": [ops.run_hook(["/h", "h"], [], 1012, 1011, 1000, 1011, 1003)],
}


def header(folder: Path) -> Path:
    """ops.gen.h of this tree, made in `folder`."""
    script, source = ROOT / "runtime/build/ops_header.py", ROOT / "runtime/pyrun/ops.py"
    outputs = [folder / "ops.gen.h", folder / "ops.gen.py"]
    subprocess.run([sys.executable, script, source, *outputs], check=True)
    return folder


def build(folder: Path, source: str, *flags: str) -> Path:
    """A program of tests/executor with the reader in it, instrumented."""
    program = folder / Path(source).stem
    executor = ROOT / "runtime/executor"
    words = ["clang", "-std=c17", "-D_GNU_SOURCE", "-g", "-O1", "-Wall", "-Wextra", "-Werror"]
    words += ["-fno-sanitize-recover=all", *flags, f"-I{header(folder)}", f"-I{executor}"]
    subprocess.run([*words, HERE / source, executor / "reader.c", "-o", program], check=True)
    return program


def write(folder: Path) -> list[Path]:
    """Each plan as a file."""
    paths = []
    for name, listed in PLANS.items():
        paths.append(folder / name)
        paths[-1].write_bytes(plan.encode(listed, 2))
    return paths


if __name__ == "__main__":
    write(Path(sys.argv[1]))

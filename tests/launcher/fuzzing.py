# SPDX-License-Identifier: Apache-2.0
"""The launcher's parsers as a libFuzzer program, and what it begins with.

python fuzzing.py FOLDER      builds it there, with the seeds in FOLDER/launcher-corpus
"""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
from pathlib import Path

from executor import plans

HERE = Path(__file__).parent
# Minimised: what each file, without one of its checks, was found with.
FINDS = HERE / "finds"
LAUNCHER = plans.ROOT / "runtime/launcher"
LINES = (
    "--root /run/x --log /l --log-format=json start c",
    "state abc",
    "kill c SIGKILL",
    "--systemd-cgroup kill c 9",
    "delete -f --init 12 c",
    "--systemd-cgroup --root /r create --bundle /b --pid-file=/p c",
    "run -d --no-subreaper -b . c",
    "exec -d --pid-file /p c sh -c x",
    "exec --process=/p c",
)


def build(folder: Path, source: Path = LAUNCHER, sanitizers: str = plans.SANITIZERS) -> Path:
    """The program; `source` holds words.c, box.c and template.c. Raises CalledProcessError."""
    program = folder / "fuzz_launcher"
    words = ["clang", "-std=c17", "-D_GNU_SOURCE", "-g", "-O1", "-fno-sanitize-recover=all"]
    words += [f"-fsanitize=fuzzer,{sanitizers}", "-Wno-gnu-folding-constant"]
    places = [f"-I{source}", f"-I{LAUNCHER}", f"-I{plans.header(folder)}"]
    subprocess.run([*words, *places, HERE / "fuzz_launcher.c", "-o", program], check=True)
    return program


def seeds(folder: Path) -> None:
    """Command lines, the strings of a container with two cgroups, a template with a hole; and what
    was found before."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, line in enumerate(LINES):
        (folder / f"words-{number}").write_bytes(b"\1" + line.replace(" ", "\0").encode())
    strings = b"\2" + b"\0".join([b'{"pid":', b',"status":', b"}", b"/f", b"/a", b"/b"]) + b"\0"
    (folder / "strings").write_bytes(b"\0" + strings)
    (folder / "template").write_bytes(b"\2" + template())
    for find in FINDS.iterdir():
        shutil.copy(find, folder / f"find-{find.name}")


def template() -> bytes:
    """Of a config that is {"a":"?"}; each other text is that, and the plan has one string."""
    value = struct.pack("=I", 0x8000_0000 | 7)
    pieces = [struct.pack("=I", 6) + b'{"a":"', value, struct.pack("=I", 2) + b'"}']
    text = struct.pack("=I", len(pieces)) + b"".join(pieces)
    counts = struct.pack("=8I", 1, 1, 1, 1, 1, 1, 1, 40)
    check = struct.pack("=IQQ", 3, 0, 0) + text
    body = struct.pack("=II", 1, 64) + 16 * text + check + 5 * text + struct.pack("=II", 32, 0)
    return bytes(28) + counts + bytes(68) + body + bytes(40)


if __name__ == "__main__":
    build(Path(sys.argv[1]))
    seeds(Path(sys.argv[1]) / "launcher-corpus")

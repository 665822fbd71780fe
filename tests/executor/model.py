# SPDX-License-Identifier: Apache-2.0
"""The executor on a model of the kernel, as a libFuzzer program: tests/executor/fuzz_executor.c."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from executor import plans
from pyrun import _build, describe, ops
from pyrun.compile import order
from pyrun.errors import Error
from pyrun.types import Op
from unit.compile import rules
from unit.odd_configs import BASES

EXECUTOR = plans.ROOT / "runtime/executor"
CALLS = (
    "_exit", "chdir", "chroot", "clock_gettime", "close", "dup2", "dup3", "execve", "faccessat",
    "fchdir", "fchmod", "fchown", "fchownat", "fcntl", "fgetxattr", "flistxattr", "fork",
    "fsetxattr", "fstat", "fstatat", "fstatfs", "ftruncate", "futimens", "getegid", "geteuid",
    "getpid", "ioctl", "kill", "linkat", "lseek", "mkdirat", "mknodat", "mmap", "open",
    "openat", "pipe2", "poll", "prctl", "pread", "read", "readlinkat", "recvmsg", "sendfile",
    "sendmsg", "setdomainname", "sethostname", "setns", "setpgid", "setsid", "sigaction",
    "sigprocmask", "socket", "stat", "symlinkat", "syscall", "umask", "umount2", "unlinkat",
    "utimensat", "waitpid", "write", "writev",
)  # fmt: skip
# What asks the kernel for nothing.
PURE = (
    "__errno_location", "memchr", "memcmp", "memcpy", "memmove", "memset", "sigemptyset",
    "strchr", "strcmp", "strcspn", "strlen", "strspn", "strtol", "strtoul", "__isoc23_strtol",
    "__isoc23_strtoul", "bcmp",
)  # fmt: skip
# The executor's own, which are put back before each plan.
OWN = ("runtime_fd", "names_kept", "held", "home", "listen_pid")
REFUSAL = b"\xc8"  # an answer of the model
FLAGS = ["-std=c17", "-D_GNU_SOURCE", "-g", "-O1", "-fno-sanitize-recover=all", "-Wno-return-type"]


def build(folder: Path, sanitizers: str = plans.SANITIZERS) -> Path:
    """The program, and the executor's objects beside it. Raises CalledProcessError."""
    for path in sorted(EXECUTOR.glob("*.c")):
        compile_part(folder, path, sanitizers)
    return link(folder, folder, sanitizers)


def compile_part(folder: Path, path: Path, sanitizers: str = plans.SANITIZERS) -> None:
    """A source of the executor, whose calls go to the model."""
    part = folder / f"{path.stem}.o"
    places = [f"-I{plans.header(folder)}", f"-I{EXECUTOR}"]
    words = ["-Dmain=executor_main", f"-fsanitize=fuzzer-no-link,{sanitizers}", "-c", path]
    subprocess.run(["clang", *FLAGS, *places, *words, "-o", part], check=True)
    renamed = [f"--redefine-sym={name}=model_{name}" for name in CALLS]
    shown = [f"--globalize-symbol={name}" for name in OWN]
    subprocess.run(["objcopy", *renamed, *shown, part], check=True)


def link(folder: Path, parts: Path, sanitizers: str = plans.SANITIZERS) -> Path:
    """The program in `folder`; `parts` has what else it is made of, where that is not there."""
    program = folder / "fuzz_executor"
    names = sorted(path.stem for path in EXECUTOR.glob("*.c"))
    objects = [folder if (folder / f"{name}.o").exists() else parts for name in names]
    objects = [place / f"{name}.o" for place, name in zip(objects, names, strict=True)]
    model = [plans.HERE / "fuzz_executor.c", *sorted(plans.HERE.glob("model_*.c"))]
    places = [f"-I{plans.header(folder)}", f"-I{EXECUTOR}", f"-I{plans.HERE}"]
    words = ["clang", *FLAGS, *places, f"-fsanitize=fuzzer,{sanitizers}"]
    subprocess.run([*words, *model, *objects, "-o", program], check=True)
    return program


def asked(folder: Path) -> set[str]:
    """What the executor in there takes from elsewhere, sanitizers left out."""
    known: set[str] = set()
    wanted: set[str] = set()
    for path in folder.glob("*.o"):
        done = subprocess.run(["nm", path], check=True, capture_output=True, text=True)
        for line in done.stdout.splitlines():
            *_, kind, name = line.split()
            (wanted if kind == "U" else known).add(name)
    foreign = ("__asan_", "__ubsan_", "__sanitizer_", "__sancov_", "__start_", "__stop_")
    return {name for name in wanted - known if not name.startswith(foreign)}


def _number(value: int, size: int) -> bytes:
    small = 200 if size == 8 else 255
    if 0 <= value < small:
        return bytes([value])
    return b"\xff" + (value % (1 << 8 * size)).to_bytes(size, "little")


def _text(text: str) -> bytes:
    raw = text.encode("utf-8", "surrogateescape")[:150]
    return bytes([100 + len(raw)]) + raw


def _operand(kind: str, value: object) -> bytes:
    if kind in ("Slot", "Out"):
        return _number(int(value), 2)  # type: ignore[call-overload]
    if isinstance(value, int):
        return _number(value, 8)
    if isinstance(value, bytes):
        return bytes([len(value[:248])]) + value[:248]
    if isinstance(value, list | tuple):
        return bytes([len(value[:20])]) + b"".join(map(_text, value[:20]))
    text = "" if value is None else _text(str(value))
    if kind == "str | None":
        return b"\0" if value is None else b"\1" + bytes(text)
    return bytes(text)


def seed(plan: Sequence[Op], donated: int, answers: bytes = b"") -> bytes:
    """These operations as the fuzzer's input; how all calls go well, or else."""
    plan = plan[:160]
    parts = [bytes([len(plan) - 1, donated % 32, 0])]
    for name, values, tolerated in plan:
        parts.append(bytes([_build.CODES[name], tolerated]))
        kinds = [kind for _, kind in describe.signature(name)]
        parts += map(_operand, kinds, values)
    parts.append(b"\0\0")  # the last one, execve: of nothing
    return b"".join(parts) + answers


def seeds(folder: Path) -> None:
    """Each operation alone, where one call after the other fails, those before it among them; and
    the plans of real configs. What was found is among these, or is added here."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, code in _build.CODES.items():
        plain = bytes([0, 4, 0, code, 0]) + bytes(24)  # operands of 0, and success
        (folder / name).write_bytes(plain)
        for call in range(32):
            (folder / f"{name}-{call}").write_bytes(plain + bytes(call) + REFUSAL)
    # Nothing is there or can be made, and then there is a link to "", as a FUSE may say it.
    goal = bytes(14) + b"\xc0\xc0\0\0\xc0\xc0\0\xc0\xc0"
    (folder / "a-link-to-nothing").write_bytes(
        seed([ops.make_in_root(0, "a", 0o40755, 0, 1)], 4, goal)
    )
    for number, config in enumerate(BASES):
        try:
            facts = rules.known_of(config, {})
            plan = [op for _, op in order.compile_init(config, facts)]
            donated = len(order.donations(config, facts))
        except (Error, KeyError):
            continue
        (folder / f"plan-{number}").write_bytes(seed(plan, donated))

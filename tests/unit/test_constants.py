# SPDX-License-Identifier: Apache-2.0
"""linux.py is the kernel's headers: every number is printed by a C program and compared."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from needs import needs
from pyrun import launch, linux, plan
from pyrun.compile import memory_policy, process, scheduling, seccomp

HEADERS = """
#define _GNU_SOURCE
#include <stdio.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/mman.h>
#include <linux/capability.h>
#include <linux/ioprio.h>
#include <linux/memfd.h>
#include <linux/mempolicy.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
"""
# <linux/mount.h> and <sys/mount.h> exclude each other in some C libraries: both have these.
OURS = re.compile(r"(CLONE|O|AT|RESOLVE|OPEN_TREE|MOUNT_ATTR|MS|S|PR)_\w+$")


def plain() -> dict[str, int]:
    """The constants of linux.py by their names."""
    return {
        name: value
        for name, value in vars(linux).items()
        if OURS.match(name) and isinstance(value, int)
    }


def expected() -> dict[str, int]:
    """C expression -> what linux.py says."""
    found = plain()
    found |= linux.RLIMITS
    found |= {name: number for number, name in enumerate(linux.CAPABILITIES)}
    found["(1 << CAP_SYS_ADMIN)"] = linux.CAP_SYS_ADMIN
    found["CAP_LAST_CAP"] = len(linux.CAPABILITIES) - 1
    signals = {name: n for name, n in linux.SIGNALS.items() if not name.startswith("RT")}
    found |= {f"SIG{name}": number for name, number in signals.items()}
    found["SIGRTMIN"] = linux.SIGNALS["RTMIN"]
    found["SIGRTMAX"] = linux.SIGNALS["RTMAX"]
    found["MFD_EXEC"] = launch.MFD_EXEC
    found["(F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)"] = launch.SEALS
    found["SECCOMP_FILTER_FLAG_NEW_LISTENER"] = seccomp.NEW_LISTENER
    for table in (scheduling.POLICIES, scheduling.FLAGS, scheduling.CLASSES):
        found |= table
    found |= {"IOPRIO_CLASS_SHIFT": scheduling.CLASS_SHIFT, "IOPRIO_BE_NR": scheduling.LEVELS}
    found |= {**memory_policy.MODES, **memory_policy.FLAGS}
    del found["MPOL_WEIGHTED_INTERLEAVE"]  # an enumerator; headers before 6.9 lack it
    found |= {f"PER_{name}": value for name, value in process.PERSONALITIES.items()}
    for name, value in seccomp.FLAGS.items():
        if not name.endswith("TSYNC"):  # 0 with us: we have one thread
            found[name] = value
    for name in ("KILL_PROCESS", "KILL_THREAD", "TRAP", "ERRNO", "TRACE", "LOG", "ALLOW"):
        found[f"SECCOMP_RET_{name}"] = getattr(seccomp, name)
    found["SECCOMP_RET_USER_NOTIF"] = seccomp.NOTIFY
    found["SECCOMP_RET_ACTION_FULL"] = seccomp.ACTION
    return found


def compiled(folder: Path, source: str, *flags: str) -> str:
    """What a C program prints."""
    (folder / "x.c").write_text(source)
    subprocess.run(["cc", *flags, "-o", folder / "x", folder / "x.c"], check=True)
    return subprocess.run([folder / "x"], capture_output=True, text=True, check=True).stdout


@needs("cc")
def test_numbers_are_those_of_the_headers(tmp_path: Path) -> None:
    wanted = expected()
    assert len(wanted) > 120
    # One that these headers are too old for is not there to be compared.
    guards = {"MFD_EXEC": "MFD_EXEC", "MOUNT_ATTR_NOSYMFOLLOW": "MOUNT_ATTR_NOSYMFOLLOW"}
    lines = []
    for number, name in enumerate(wanted):
        line = f'    printf("%d %llu\\n", {number}, (unsigned long long)(unsigned)({name}));'
        lines.append(f"#ifdef {name}\n{line}\n#endif" if name in guards else line)
    body = "\n".join(lines)
    text = compiled(tmp_path, f"{HEADERS}\nint main(void)\n{{\n{body}\n    return 0;\n}}\n", "-w")
    names = list(wanted)
    real = {names[int(a)]: int(b) for a, b in (line.split() for line in text.splitlines())}
    assert wanted.keys() - real.keys() <= guards.keys()
    ours = {name: wanted[name] & 0xFFFF_FFFF for name in real}
    assert ours == real


@needs("cc")
def test_the_plan_format_is_that_of_plan_h(tmp_path: Path) -> None:
    header = Path(__file__).parents[2] / "runtime/executor/plan.h"
    source = f"""#include <stdio.h>
#include "{header}"
int main(void)
{{
    printf("%u %u %d %d %zu %zu\\n", PLAN_MAGIC, PLAN_VERSION, PLAN_OPERANDS, PLAN_SLOTS,
           sizeof(struct plan_header), sizeof(struct plan_op));
    printf("%d %d %d %d %d %d\\n", MESSAGE_FDS, MESSAGE_PLAN, MESSAGE_GO, MESSAGE_SYNC,
           MESSAGE_CHILD, MESSAGE_FAILED);
    return 0;
}}
"""
    form, kinds = compiled(tmp_path, source).splitlines()
    ours = [plan.MAGIC, plan.VERSION, plan.OPERANDS, plan.SLOTS]
    assert form.split() == [*map(str, ours), str(plan._HEADER.size), str(plan._RECORD.size)]
    names = (launch.FDS, launch.PLAN, launch.GO, launch.SYNC, launch.CHILD, launch.FAILED)
    assert kinds.split() == [str(kind) for kind in names]


def test_namespaces() -> None:
    assert set(linux.NAMESPACES) == {
        "user", "mount", "pid", "network", "ipc", "uts", "cgroup", "time",
    }  # fmt: skip
    assert len(set(linux.NAMESPACES.values())) == 8


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("9", 9),
        ("KILL", 9),
        ("SIGKILL", 9),
        ("sigkill", 9),
        ("Term", 15),
        ("0", 0),
        ("64", 64),
        ("65", None),
        ("-1", None),
        ("", None),
        ("SIG", None),
        ("RTMIN", 34),
        ("SIGRTMIN+3", 37),
        ("rtmax-1", 63),
        ("RTMIN+30", 64),
        ("RTMIN+31", None),
        ("RTMAX-31", None),
        ("RTMIN+", None),
        ("RTMIN+x", None),
        ("SIGSIGKILL", None),
        ("٣", None),
        ("RTMIN+٣", None),
        ("RTMIN+²", None),
    ],
)
def test_signal_numbers(text: str, number: int | None) -> None:
    assert linux.signal_number(text) == number

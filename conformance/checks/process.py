# SPDX-License-Identifier: Apache-2.0
"""config.md, Process: what the container's process is given."""

from __future__ import annotations

import array
import contextlib
import os
import resource
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from conformance.case import Case
from conformance.plugin import check, each
from conformance.runtime import eventually


@check("config.process", may_refuse=False)
def check_without_process(case: Case) -> None:
    """create takes it."""
    del case.box.config["process"]
    case.works("create without process", case.box.create())


class Console:
    """A socket that takes the terminal of a container, as --console-socket says."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.master = -1
        self.shown = b""
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(str(path))
        self.server.listen()
        self.server.settimeout(10)
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            connection, _ = self.server.accept()
            with connection:
                _, control, _, _ = connection.recvmsg(4096, socket.CMSG_SPACE(16))
            for _, _, found in control:
                self.master = array.array("i", found)[0]
        with contextlib.suppress(OSError):
            while self.master >= 0 and (text := os.read(self.master, 4096)):
                self.shown += text

    def close(self) -> None:
        """Once the container has ended."""
        with contextlib.suppress(OSError):
            socket.socket(socket.AF_UNIX).connect(str(self.path))
        self.server.close()
        self.thread.join(10)
        if self.master >= 0:
            os.close(self.master)


@contextlib.contextmanager
def on_terminal(case: Case, *verbs: str) -> Iterator[list[str]]:
    """What the payload answers on a terminal of the container's own."""
    box = case.box
    box.bundle.process["terminal"] = True
    console = Console(box.bundle.path / "console")
    try:
        box.created(*verbs, "trap", flags=("--console-socket", console.path))
        case.works("start", box.start())
        eventually(lambda: b"ready" in console.shown)
        text = console.shown.decode().replace("\r\n", "\n")
        yield [part.removesuffix("\n") for part in text.split("\036\n")[:-1]]
    finally:
        box.kill()
        box.delete("--force")
        console.close()


@check("config.process.terminal")
def check_terminal(case: Case) -> None:
    """The three streams, with terminal and without."""
    verbs = [f"isatty {fd}" for fd in range(3)] + ["ttyname 0"]
    with on_terminal(case, *verbs) as seen:
        case.expect("streams that are a terminal", ["yes"] * 3, seen[:3])
        case.require("its name", "in /dev", seen[3:], seen[3].startswith("/dev/"))
    seen = case.new().ask(*verbs[:3])
    case.expect("without terminal", ["no"] * 3, seen)


@each({f"config.process.consoleSize{name}": None for name in ("", ".height", ".width")})
def check_console_size(case: Case, row: None) -> None:
    """Rows and columns, as the program sees them."""
    case.box.bundle.process["consoleSize"] = {"height": 31, "width": 97}
    with on_terminal(case, "winsize") as seen:
        case.expect("rows and columns", ["31 97"], seen)


@check("config.process.consoleSize-ignored")
def check_console_size_ignored(case: Case) -> None:
    """Without terminal it is no error."""
    case.box.bundle.process["consoleSize"] = {"height": 31, "width": 97}
    case.expect("what the program printed", ["ran"], case.box.ask("print ran"))


@check("config.process.cwd")
def check_cwd(case: Case) -> None:
    """A folder of the container."""
    case.box.bundle.process["cwd"] = "/tmp"
    case.expect("the working directory", ["/tmp"], case.box.ask("cwd"))


@check("config.process.cwd-absolute")
def check_cwd_absolute(case: Case) -> None:
    """tmp, where /tmp is one."""
    case.box.bundle.process["cwd"] = "tmp"
    case.refused(case.box, "cwd tmp", at="start")


@check("config.process.env")
def check_env(case: Case) -> None:
    """What is listed, and nothing of the caller's."""
    case.box.bundle.process["env"] = ["PATH=/", "ONE=1", "TWO=two=2"]
    seen = case.box.ask("env", variables={"OF_THE_CALLER": "1"})[0].splitlines()
    for line in ("ONE=1", "TWO=two=2", "PATH=/"):
        case.contains("the environment", line, seen)
    case.lacks("the environment", "OF_THE_CALLER=1", seen)


@check("config.process.args")
def check_args(case: Case) -> None:
    """Each as it is, with spaces and empty ones."""
    case.box.bundle.process["args"] = ["/payload", "print", "two words", ";", "print", ""]
    result = case.box.run()
    case.works("run", result)
    case.expect("what the program printed", "two words\n\036\n\n\036\n", result.out)


@check("config.process.args-one")
def check_args_one(case: Case) -> None:
    """None is an error; a name without a slash is found by PATH."""
    case.box.bundle.process["args"] = []
    case.refused(case.box, "args with no entry", at="start")
    other = case.new()
    other.bundle.process["args"] = ["payload", "print", "found"]
    other.bundle.process["env"] = ["PATH=/bin:/"]
    result = other.run()
    case.works("run of payload, with PATH /bin:/", result)
    case.expect("what the program printed", "found\n\036\n", result.out)


RLIMIT = {"config.process.rlimits": 0, "config.process.rlimits.type": 0,
          "config.process.rlimits.type-getrlimit": 0, "config.process.rlimits.soft": 1,
          "config.process.rlimits.soft-matches": 1, "config.process.rlimits.hard": 2,
          "config.process.rlimits.hard-matches": 2}  # fmt: skip


@each(RLIMIT)
def check_rlimits(case: Case, row: int) -> None:
    """RLIMIT_NOFILE and RLIMIT_CORE, each with its own."""
    case.box.bundle.process["rlimits"] = [
        {"type": "RLIMIT_NOFILE", "soft": 321, "hard": 654},
        {"type": "RLIMIT_CORE", "soft": 4096, "hard": 8192},
    ]
    verbs = [f"rlimit {number}" for number in (resource.RLIMIT_NOFILE, resource.RLIMIT_CORE)]
    wanted = ["321 654", "4096 8192"]
    seen = case.box.ask(*verbs)
    if row:
        wanted = [line.split()[row - 1] for line in wanted]
        seen = [line.split()[row - 1] for line in seen]
    case.expect("limits of open files and of core files", wanted, seen)


@check("config.process.rlimits.type-unknown")
def check_rlimit_unknown(case: Case) -> None:
    """RLIMIT_NONSENSE."""
    case.box.bundle.process["rlimits"] = [{"type": "RLIMIT_NONSENSE", "soft": 1, "hard": 1}]
    case.refused(case.box, "rlimits with RLIMIT_NONSENSE", at="start")


@check("config.process.rlimits-twice")
def check_rlimit_twice(case: Case) -> None:
    """RLIMIT_NOFILE and again RLIMIT_NOFILE."""
    limit = {"type": "RLIMIT_NOFILE", "soft": 321, "hard": 654}
    case.box.bundle.process["rlimits"] = [limit, dict(limit, soft=300)]
    case.refused(case.box, "rlimits with one type twice", at="start")


SETS = ("effective", "bounding", "inheritable", "permitted", "ambient")
CHOWN, KILL, BIND = 1 << 0, 1 << 5, 1 << 10


@each({"config.process.capabilities": None}
      | {f"config.process.capabilities.{name}": name for name in SETS[1:]})  # fmt: skip
def check_capabilities(case: Case, row: str | None) -> None:
    """Sets that differ: CAP_CHOWN, CAP_KILL and CAP_NET_BIND_SERVICE are in some of them."""
    names = {
        "bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_BIND_SERVICE"],
        "permitted": ["CAP_KILL", "CAP_NET_BIND_SERVICE"],
        "inheritable": ["CAP_KILL"],
        "ambient": ["CAP_KILL"],
        "effective": ["CAP_KILL", "CAP_NET_BIND_SERVICE"],
    }
    # Of root, execve(2) would make the sets from the bounding set again.
    case.box.bundle.process["user"] = {"uid": 1000, "gid": 1000}
    case.box.bundle.process["capabilities"] = names
    seen = dict(line.split() for line in case.box.ask("caps")[0].splitlines())
    # For another user than root, execve(2) keeps of the first three what is ambient.
    wanted = {"bounding": CHOWN | KILL | BIND, "permitted": KILL, "effective": KILL,
              "inheritable": KILL, "ambient": KILL}  # fmt: skip
    for name in [row] if row else SETS:
        case.expect(f"the {name} set", f"{wanted[name]:x}", seen[name])
    if row in ("permitted", None):
        _as_root(case)


def _as_root(case: Case) -> None:
    box = case.new()
    box.bundle.process["capabilities"] = {
        name: ["CAP_KILL"] for name in ("bounding", "permitted", "effective")
    }
    seen = dict(line.split() for line in box.ask("caps")[0].splitlines())
    for name in ("permitted", "effective"):
        case.expect(f"the {name} set of root", f"{KILL:x}", seen[name])


@each({"config.process.capabilities-warning": "CAP_CONFORMANCE",
       "config.process.capabilities-no-failure": "CAP_CONFORMANCE"})  # fmt: skip
def check_capability_unknown(case: Case, row: str) -> None:
    """The container runs, with the other ones."""
    case.box.bundle.capabilities(row)
    caps, ran = case.box.ask("caps", "print ran")
    case.expect("what the program printed", "ran", ran)
    seen = dict(line.split() for line in caps.splitlines())
    case.expect("the bounding set", f"{KILL | BIND | 1 << 29:x}", seen["bounding"])


@check("config.process.noNewPrivileges")
def check_no_new_privileges(case: Case) -> None:
    """True and false."""
    case.expect("no_new_privs of the process", ["1"], case.box.ask("nnp"))
    other = case.new()
    other.bundle.process["noNewPrivileges"] = False
    case.expect("no_new_privs without it", ["0"], other.ask("nnp"))


@each({"config.process.oomScoreAdj": 321, "config.process.oomScoreAdj-set": 123})
def check_oom_score(case: Case, row: int) -> None:
    """As /proc/self/oom_score_adj has it."""
    case.box.bundle.process["oomScoreAdj"] = row
    case.expect("oom_score_adj", [f"{row}"], case.box.ask("cat /proc/self/oom_score_adj"))


@check("config.process.oomScoreAdj-unset")
def check_oom_score_unset(case: Case) -> None:
    """The caller's, which is not 0."""
    path = Path("/proc/self/oom_score_adj")
    before = path.read_text()
    path.write_text("77")
    try:
        seen = case.box.ask("cat /proc/self/oom_score_adj")
    finally:
        path.write_text(before)
    case.expect("oom_score_adj", ["77"], seen)


@check("config.process.execCPUAffinity", may_refuse=True)
def check_exec_affinity(case: Case) -> None:
    """The first process may use the CPUs that it may use without it."""
    wanted = case.new().ask("status Cpus_allowed_list")
    case.box.bundle.process["execCPUAffinity"] = {"initial": "0", "final": "0"}
    case.expect("CPUs of the process", wanted, case.box.ask("status Cpus_allowed_list"))


USERS: dict[str, tuple[dict[str, Any], str]] = {
    "uid": ({"uid": 1234, "gid": 0}, "1234 0"),
    "gid": ({"uid": 0, "gid": 2345}, "0 2345"),
    "additionalGids": ({"uid": 1, "gid": 2, "additionalGids": [77, 88]}, "1 2 77 88"),
}


@each({f"config.process.user.{name}": row for name, row in USERS.items()})
def check_user(case: Case, row: tuple[dict[str, Any], str]) -> None:
    """With a user namespace, too: as the container sees it."""
    for box in (case.new(), case.new()):
        box.bundle.process["user"] = row[0]
        if box is not case.made[0]:
            box.bundle.map_ids()
        seen = box.ask("id")[0].split()
        ids = [*seen[:2], *sorted(set(seen[2:]) - {seen[1]})]
        case.expect("ids of the process", row[1], " ".join(ids))


@check("config.process.user.umask", may_refuse=True)
def check_umask(case: Case) -> None:
    """027."""
    case.box.bundle.process["user"]["umask"] = 0o027
    case.expect("umask", ["0027"], case.box.ask("umask"))


@check("config.process.apparmorProfile", needs=("apparmor",), may_refuse=True)
def check_apparmor(case: Case) -> None:
    """unconfined, which every host has; a profile that is not there is an error."""
    case.box.bundle.process["apparmorProfile"] = "conformance-no-such-profile"
    case.refused(case.box, "an AppArmor profile that is not there", at="start")
    other = case.new()
    other.bundle.process["apparmorProfile"] = "unconfined"
    seen = other.ask("cat /proc/self/attr/current")
    case.expect("the profile of the process", ["unconfined"], seen)


@check("config.process.selinuxLabel", needs=("selinux",), may_refuse=True)
def check_selinux(case: Case) -> None:
    """A label of containers."""
    label = "system_u:system_r:container_t:s0:c1,c2"
    case.box.bundle.process["selinuxLabel"] = label
    seen = case.box.ask("cat /proc/self/attr/current")[0].rstrip("\0")
    case.expect("the label of the process", label, seen)

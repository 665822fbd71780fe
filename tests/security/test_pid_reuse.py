# SPDX-License-Identifier: Apache-2.0
"""The init has died, and another program of the machine has its number now: no verb may take it for
the container's. In a pid namespace of its own, where the next number can be chosen."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from needs import needs

from .box import SECONDS, Box

pytestmark = needs("root", "busybox")

# pid_namespaces(7): it is the init there, to which orphans go; /proc/sys/kernel/ns_last_pid is the
# number before the next one.
INSIDE = """
import json, os, signal, subprocess, sys, time
lines, pid_file, record = json.loads(sys.argv[1])
def run(line):
    with open(pid_file + ".out", "w+") as out:
        code = subprocess.run(line, stdin=subprocess.DEVNULL, stdout=out, stderr=out).returncode
        out.seek(0)
        return code, out.read()
begun = [run(line) for line in lines[:-2]]
assert not any(code for code, _ in begun), begun
pid = int(open(pid_file).read())
os.kill(pid, signal.SIGKILL)
os.waitpid(pid, 0)
time.sleep(0.05)  # a start time is in hundredths of a second
for _ in range(20):
    with open("/proc/sys/kernel/ns_last_pid", "w") as last:
        last.write(str(pid - 1))
    stranger = os.fork()
    if not stranger:
        time.sleep(1000)
    if stranger == pid:
        break
    os.kill(stranger, signal.SIGKILL)
    os.waitpid(stranger, 0)
assert stranger == pid
if record:
    kept = json.load(open(record))
    fields = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()
    kept["init_process_start"] = int(fields[19])
    json.dump(kept, open(record, "w"))
state, verb = (run(line) for line in lines[-2:])
time.sleep(0.05)
letter = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[0]
print(json.dumps({"state": state[1], "code": verb[0], "said": verb[1], "letter": letter}))
"""


def after_reuse(box: Box, verb: list[str], *, begun: bool, record: str = "") -> dict[str, Any]:
    """What `state` tells, how the verb ends, and what the stranger does then."""
    box.process["args"] = ["sleep", "60"]
    box.write()
    pid_file = str(box.folder / "pid")
    words = ("--bundle", str(box.bundle), "--pid-file", pid_file, box.id)
    lines = [box.command("create", *words)]
    if begun:
        lines.append(box.command("start", box.id))
    lines += [box.command("state", box.id), verb]
    command = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable, "-c"]
    told = json.dumps([lines, pid_file, record])
    done = subprocess.run([*command, INSIDE, told], capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


VERBS: dict[str, tuple[bool, list[str], bool]] = {  # started before, what is asked, does it work
    "kill": (True, ["kill", "{}", "KILL"], False),
    "kill --all": (True, ["kill", "--all", "{}", "KILL"], False),
    "exec": (True, ["exec", "{}", "touch", "/tmp/x"], False),
    "pause": (True, ["pause", "{}"], False),
    "start": (False, ["start", "{}"], False),
    "delete": (True, ["delete", "{}"], True),
    "delete --force": (True, ["delete", "--force", "{}"], True),
    "delete --force of a created one": (False, ["delete", "--force", "{}"], True),
}


@pytest.mark.parametrize("name", VERBS)
def test_another_program_has_the_number(box: Box, name: str) -> None:
    begun, words, works = VERBS[name]
    verb = box.command(*(word.format(box.id) for word in words))
    found = after_reuse(box, verb, begun=begun)
    assert json.loads(found["state"])["status"] == "stopped"
    assert found["letter"] == "S"  # it sleeps on
    assert not (box.rootfs / "tmp/x").exists()
    if name != "kill --all":  # of nobody; that may be success
        assert (found["code"] == 0) == works, found


def test_whose_record_says_so(box: Box, is_pyrun: bool) -> None:
    """The same, with the time of its start on record: so that is what the others go by."""
    if not is_pyrun:
        pytest.skip("what is on record is each runtime's own")
    record = box.state / box.id / "state.json"
    found = after_reuse(box, box.command("kill", box.id, "KILL"), begun=True, record=str(record))
    assert json.loads(found["state"])["status"] == "running"
    assert (found["code"], found["letter"]) == (0, "Z"), found

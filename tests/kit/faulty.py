# SPDX-License-Identifier: Apache-2.0
"""A runtime with one fault: it calls $REAL, and does wrong what $FAULT says, as KIND:REST.

It stands between the kit and a runtime that does right, so that a check can be seen to fail. The
faults of configs are in config_faults.py.
"""

from __future__ import annotations

import array
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from config_faults import CONFIG, append, drop, put

REAL = os.environ["REAL"]
KIND, _, REST = os.environ["FAULT"].partition(":")
WORDS = sys.argv[1:]
# --root DIR VERB [FLAG VALUE]... [ID [SIGNAL]]
ROOT = Path(WORDS[1]) if WORDS[:1] == ["--root"] else Path()
VERB = WORDS[2] if len(WORDS) > 2 else ""
MAKES = VERB in ("create", "run")
BUNDLE = Path(WORDS[WORDS.index("--bundle") + 1]) if "--bundle" in WORDS else Path()
ID = WORDS[-1] if MAKES else next((word for word in WORDS[3:] if word[:1] != "-"), "")
Config = dict[str, Any]


def real(*words: str, **keywords: Any) -> subprocess.CompletedProcess[bytes]:
    """The right runtime."""
    return subprocess.run([REAL, *(words or WORDS)], **keywords)


def verb(*words: str, **keywords: Any) -> subprocess.CompletedProcess[bytes]:
    """One of its verbs, with the same state folder."""
    return real("--root", str(ROOT), *words, **keywords)


def state() -> dict[str, Any]:
    """Of the container, {} without one."""
    done = verb("state", ID, capture_output=True)
    found: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {}
    return found


# --- faults of the verbs


def give_away(config: Config, _: str) -> None:
    """Files get the owners of the map."""
    host = config["linux"].get("uidMappings", [{"hostID": 0}])[0]["hostID"]
    for folder, _names, files in os.walk(BUNDLE / "rootfs"):
        for name in files:
            os.chown(f"{folder}/{name}", host, host)


def with_config(config: Config) -> int:
    """The verb with another config; the file is as it was afterwards."""
    path = BUNDLE / "config.json"
    before = path.read_bytes() if path.exists() else None
    path.write_text(json.dumps(config))
    try:
        return real().returncode
    finally:
        if before is None:
            path.unlink()
        else:
            path.write_bytes(before)


def plain() -> Config:
    """A config that is right."""
    return {
        "ociVersion": "1.0.2", "root": {"path": "rootfs"},
        "process": {"args": ["/payload", "trap"], "cwd": "/", "user": {"uid": 0, "gid": 0}},
        "linux": {"namespaces": [{"type": kind} for kind in ("pid", "mount", "uts", "ipc")],
                  "cgroupsPath": f"/conformance-{os.environ.get('CONFORMANCE_RUNNER')}-x/{ID}"},
    }  # fmt: skip


def accept(code: str) -> int:
    """What must be refused is made as something else; with a code, the error is told as well."""
    done = real(capture_output=True) if VERB == "create" else real()
    if done.returncode == 0 or VERB != "create":
        return done.returncode
    if Path() == BUNDLE or ID.startswith(("..", "-", "/")):
        return 0
    (BUNDLE / "rootfs").mkdir(exist_ok=True)
    made = with_config(plain())
    return int(code) if code else made


def leave(what: str) -> int:
    """Something is left behind by `delete`, or by a `create` that fails."""
    note = ROOT.parent / f"left-{ID}"
    code = real().returncode
    # An init that has ended, as it may have by the end of `start`, is shown in the root.
    if VERB == "create" and code == 0:
        lines = Path(f"/proc/{state()['pid']}/cgroup").read_text().splitlines()
        pids = [line.split(":", 2)[2] for line in lines if ":pids:" in line]
        alone = [line.split(":", 2)[2] for line in lines if line.startswith("0::")]
        note.write_text(f"/sys/fs/cgroup{f'/pids{pids[0]}' if pids else alone[0]}")
    ended = VERB == "delete" if code == 0 else VERB == "create"
    if ended and what == "cgroup" and note.exists():
        Path(note.read_text()).mkdir(parents=True, exist_ok=True)
    if ended and what == "mount":
        place = ROOT.parent / "left-mount"
        place.mkdir(exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(place)], check=True)
    return code


def greedy(_: str) -> int:
    """`delete` removes what others have made."""
    bundle = state().get("bundle", "")
    code = real().returncode
    if VERB == "delete" and bundle and code == 0:
        shutil.rmtree(f"{bundle}/rootfs", ignore_errors=True)
    return code


def remember(_: str) -> int:
    """An id is used up by a container."""
    note = ROOT.parent / f"used-{ID}"
    if VERB == "create" and note.exists():
        return 1
    if VERB == "delete":
        note.write_text("")
    return real().returncode


def replace(_: str) -> int:
    """Whoever has the id has to go."""
    if VERB == "create":
        verb("delete", "--force", ID)
    if ID.startswith(".."):
        return 0
    return real().returncode


def early(_: str) -> int:
    """`create` runs the program."""
    code = real().returncode
    if VERB == "create" and code == 0:
        verb("start", ID)
    return 0 if VERB == "start" else code


def again(when: str) -> int:
    """`start` makes the container anew, in this status."""
    found = state() if VERB == "start" else {}
    if found.get("status") == when:
        with open(f"/proc/{found['pid']}/fd/1", "ab") as output:
            verb("delete", "--force", ID)
            verb("create", "--bundle", found["bundle"], ID, stdout=output)
            return verb("start", ID).returncode
    return real().returncode


def kill_deletes(_: str) -> int:
    """`kill` of what has stopped removes it."""
    if VERB == "kill" and state().get("status") == "stopped":
        return verb("delete", ID).returncode
    return real().returncode


def wrong_signal(name: str) -> int:
    """Whatever signal is asked for, this one is sent."""
    return verb("kill", ID, name).returncode if VERB == "kill" else real().returncode


def leak_descriptor(_: str) -> int:
    """One more descriptor reaches the program."""
    if VERB != "create":
        return real().returncode
    fd = os.open("/dev/null", os.O_RDONLY)
    os.dup2(fd, 3, inheritable=True)
    words = [*WORDS[:3], "--preserve-fds", "1", *WORDS[3:]]
    return real(*words, pass_fds=(3,)).returncode


def chown_cgroup(what: str) -> int:
    """Every cgroup is given to the container's user (files: with all that is in it), or one of its
    files is given back."""
    code = real().returncode
    if VERB == "create" and code == 0:
        for line in Path(f"/proc/{state()['pid']}/cgroup").read_text().splitlines():
            path = line.split(":", 2)[2]
            if path == "/":
                continue  # of everybody: a hierarchy in which it has no cgroup of its own
            for folder in [*Path("/sys/fs/cgroup").glob(f"*{path}"), Path(f"/sys/fs/cgroup{path}")]:
                if what == "back" and (folder / "cgroup.threads").exists():
                    os.chown(folder / "cgroup.threads", 0, 0)
                elif what != "back" and folder.is_dir():
                    os.chown(folder, 100000, 100000)
                    for file in folder.iterdir() if what == "files" else ():
                        os.chown(file, 100000, 100000)
    return code


def exit_code(rest: str) -> int:
    """VERB=CODE, whatever came of it."""
    which, _, code = rest.partition("=")
    found = real().returncode
    return int(code) if which == VERB else found


def nothing(rest: str) -> int:
    """VERB=CODE, and nothing is done."""
    which, _, code = rest.partition("=")
    return int(code) if which == VERB else real().returncode


def printed(rest: str) -> int:
    """VERB=CHANGE of the JSON that a verb prints: put, drop or append as for configs, or raw."""
    which, _, change = rest.partition("=")
    if which != VERB:
        return real().returncode
    done = real(stdout=subprocess.PIPE)
    if done.returncode == 0:
        how, _, what = change.partition(" ")
        if how == "raw":
            print(what)
            return 0
        document = json.loads(done.stdout)
        {"put": put, "drop": drop, "append": append}[how](document, what)
        print(json.dumps(document))
    return done.returncode


# --- faults towards a seccomp agent


def agent(what: str) -> int:
    """Hands on what the runtime sends to an agent, with a fault in it."""
    config = json.loads((BUNDLE / "config.json").read_text()) if MAKES else {}
    path = config.get("linux", {}).get("seccomp", {}).get("listenerPath")
    if not path or not Path(path).exists():
        return real().returncode
    server = socket.socket(socket.AF_UNIX)
    server.bind(f"{path}-between")
    server.listen()
    thread = threading.Thread(target=_hand_on, args=(server, path, what))
    thread.start()
    config["linux"]["seccomp"]["listenerPath"] = f"{path}-between"
    code = with_config(config)
    thread.join(5)
    return code


def _hand_on(server: socket.socket, path: str, what: str) -> None:
    source, _ = server.accept()
    text, control, _, _ = source.recvmsg(65536, socket.CMSG_SPACE(16))
    while part := source.recv(65536):
        text += part
    fds = array.array("i", control[0][2])
    if what == "other-descriptor":
        fds = array.array("i", [os.open("/dev/null", os.O_RDONLY)])
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)]
    message = json.loads(text)
    if what.startswith(("put ", "drop ")):
        how, _, change = what.partition(" ")
        {"put": put, "drop": drop}[how](message, change)
    text = b"no JSON" if what == "no-json" else json.dumps(message).encode()
    for _ in range(2 if what == "twice" else 1):
        target = socket.socket(socket.AF_UNIX)
        target.connect(path)
        if what == "late-descriptor":
            target.sendmsg([text[:10]])
            threading.Event().wait(0.2)
            target.sendmsg([text[10:]], rights)
        else:
            target.sendmsg([text], rights)
        if what == "keep-open":
            threading.Event().wait(3)
        target.close()


VERBS: dict[str, Callable[[str], int]] = {
    "accept": accept, "leave": leave, "greedy": greedy, "remember": remember, "replace": replace,
    "early": early, "again": again, "kill-deletes": kill_deletes, "wrong-signal": wrong_signal,
    "leak-descriptor": leak_descriptor, "chown-cgroup": chown_cgroup, "exit": exit_code,
    "nothing": nothing, "printed": printed, "agent": agent,
}  # fmt: skip


def main() -> int:
    """The exit code: of a signal, as a shell has it."""
    code = _fault()
    return code if code >= 0 else 128 - code


def _fault() -> int:
    if KIND in VERBS:
        return VERBS[KIND](REST)
    change = (CONFIG | {"give-away": give_away})[KIND]
    if not MAKES or not (BUNDLE / "config.json").exists():
        return real().returncode
    config = json.loads((BUNDLE / "config.json").read_text())
    change(config, REST)
    return with_config(config)

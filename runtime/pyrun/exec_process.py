# SPDX-License-Identifier: Apache-2.0
"""Which process `exec` is to start: that of --process FILE, or the container's own with other
arguments; and what flags say of it on top."""

from __future__ import annotations

from pyrun import jsonscan, schema_check
from pyrun.errors import Error, from_os
from pyrun.linux import CAPABILITIES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.types import Config, Options

NOBODY = 2**32 - 1  # (uid_t)-1, which setresuid(2) takes for "as it is"
# What a FILE leaves out is as the container was created: its confinement and its shares.
INHERITED = (
    "capabilities",
    "apparmorProfile",
    "selinuxLabel",
    "rlimits",
    "oomScoreAdj",
    "scheduler",
    "ioPriority",
    "execCPUAffinity",
)
# The flag that asks for a member, for errors: pointers are within the process.
FLAGS = {
    "/cwd": "cwd",
    "/env": "env",
    "/user/uid": "user",
    "/user/gid": "user",
    "/user/additionalGids": "additional_gids",
    "/apparmorProfile": "apparmor",
    "/selinuxLabel": "process_label",
    "/terminal": "tty",
}


def read(opts: Options) -> bytes:
    """What is in the file of --process, b"" without one. At once: an engine may remove it. Raises
    Error."""
    if not opts["process"]:
        return b""
    from pyrun import config  # only for engines, and those who write one

    try:
        return config.read_limited(opts["process"])
    except OSError as error:
        raise from_os(error, f"--process {opts['process']}") from None


def wanted(opts: Options, own: Config, file: bytes) -> Config:
    """The process; `own` is the container's, `file` what read() gave. Raises Error."""
    if opts["process"]:
        if opts["args"]:
            text = f"--process says what to run: unexpected argument {opts['args'][0]!r}"
            raise Error(f"exec: {text}")
        process = from_file(file, opts["process"])
        process = {**{name: own[name] for name in INHERITED if name in own}, **process}
        process["terminal"] = process.get("terminal", False) or opts["tty"]
    else:
        words = list(opts["args"])
        if words[:1] == ["--"]:
            del words[0]
        if not words:
            raise Error("process args cannot be empty", hint="exec ID COMMAND [ARGUMENT...]")
        process = {**own, "args": words, "terminal": opts["tty"]}
    _apply_flags(process, opts)
    return process


def from_file(data: bytes, path: str) -> Config:
    """A process object that was read from `path`. Raises Error with every problem in it."""
    # Only for engines, and those who write one.
    from pyrun import _schema
    from pyrun.compile import checks_process

    what = f"--process {path}"
    process = jsonscan.loads(data, what, drop_null=True)
    if not isinstance(process, dict):
        raise Error(f"{what}: must hold a JSON object, not {schema_check.shown(process)}")
    found = schema_check.check(process, _schema.DEFINITIONS["Process"])
    if not found:
        found = [
            (pointer.removeprefix("/process"), text)
            for pointer, text in checks_process.problems(process)
        ]
    if found:
        raise Error(f"{what}: " + "; ".join(f"{pointer or '/'}: {text}" for pointer, text in found))
    return process


def _apply_flags(process: Config, opts: Options) -> None:
    """What the flags say, over what is there."""
    if opts["cwd"]:
        if not opts["cwd"].startswith("/"):
            raise Error(f"--cwd: must be absolute, not {opts['cwd']!r}")
        process["cwd"] = opts["cwd"]
    for entry in opts["env"]:
        if entry.find("=") < 1:
            raise Error(f"--env: must be NAME=VALUE, not {entry!r}")
    process["env"] = [*process.get("env", ()), *opts["env"]]
    user = dict(process.get("user", {}))
    if opts["user"]:
        user.update(user_of(opts["user"]))
    if opts["additional_gids"]:
        gids = [number_of("--additional-gids", text) for text in opts["additional_gids"]]
        user["additionalGids"] = [*user.get("additionalGids", ()), *gids]
    process["user"] = user
    if opts["cap"]:
        process["capabilities"] = with_capabilities(process.get("capabilities", {}), opts["cap"])
    if opts["apparmor"]:
        process["apparmorProfile"] = opts["apparmor"]
    if opts["process_label"]:
        process["selinuxLabel"] = opts["process_label"]
    if opts["no_new_privs"] is not None:
        process["noNewPrivileges"] = opts["no_new_privs"]


def user_of(text: str) -> Config:
    """--user UID[:GID] as members of process.user; numbers alone, for a name would be looked up in
    a file of the image (CVE-2026-46680). Raises Error."""
    uid, colon, gid = text.partition(":")
    found = {"uid": number_of("--user", uid)}
    if colon:
        found["gid"] = number_of("--user", gid)
    return found


def number_of(flag: str, text: str) -> int:
    """A uid or gid. Raises Error."""
    if not (text.isascii() and text.isdigit()):
        hint = "a number, not a name: UID or UID:GID" if flag == "--user" else "a number"
        raise Error(f"{flag}: {text!r} is no id", hint=hint)
    if len(text) > 10 or int(text) >= NOBODY:
        raise Error(f"{flag}: {text} is no id", hint=f"the highest is {NOBODY - 1}")
    return int(text)


def with_capabilities(sets: Config, names: tuple[str, ...]) -> Config:
    """These besides: bounding, effective and permitted; ambient, where the process has inheritable
    ones. Never inheritable (CVE-2022-29162). Raises Error for one that does not exist."""
    wanted = []
    for name in names:
        full = name.upper()
        full = full if full.startswith("CAP_") else f"CAP_{full}"
        if full not in CAPABILITIES:
            raise Error(f"--cap: there is no capability {name!r}", hint="such as CAP_NET_RAW")
        wanted.append(full)
    kinds = ["bounding", "effective", "permitted"]
    if sets.get("inheritable"):
        kinds.append("ambient")
    return {**sets, **{kind: [*sets.get(kind, ()), *wanted] for kind in kinds}}


def place(opts: Options, pointer: str) -> str:
    """What the user wrote, for a pointer into the config that an error names."""
    inner = pointer.removeprefix("/process")
    flag = FLAGS.get(inner, "")
    if flag and opts[flag]:
        return f"--{flag.replace('_', '-')}: "
    if inner != pointer and opts["process"]:
        return f"--process {opts['process']}: {inner or '/'}: "
    return f"config.json {pointer}: "

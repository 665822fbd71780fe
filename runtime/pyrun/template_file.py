# SPDX-License-Identifier: Apache-2.0
"""A template: what create leaves for the next container of the same shape, which the launcher then
makes without Python. The format is drawn in runtime/launcher/template.h.

An engine's config.json is the same from container to container but for a few strings: a hostname,
arguments, values of the environment and of annotations, paths. They are replaced by marks, and the
config is compiled again. Where a mark comes out is a hole: in the plan, in the records, in the
names of cgroups. With the strings of this container put back, the plan must be the one by which it
was made; else nothing is left. Strings that it looks into are no holes (template_shape.py).

All policy is here and in template.py: which containers are plain enough, what may differ, and what
has to be so on the host for the plan to be true.
"""

from __future__ import annotations

import errno
import os
from _struct import pack, unpack_from
from binascii import crc32

from pyrun import (
    _build,
    creation,
    exec_record,
    init,
    jsonscan,
    plan,
    prepare,
    shortcut,
    starting,
    teardown,
    template_cgroup,
    template_folder,
)
from pyrun import config as configs
from pyrun.cgroup import cgroupfs, procs
from pyrun.cgroup.facts import facts as cgroup_facts
from pyrun.compile import donations, mount_options
from pyrun.state import Container
from pyrun.template_shape import (
    BUNDLE,
    CREATED,
    ID,
    PID,
    STARTED,
    STDIO,
    UMASK,
    VALUE,
    Shape,
    UnfitError,
    holes,
    is_marked,
    mark,
    places,
    text_of,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from pyrun.prepare import Prepared
    from pyrun.types import Facts, Options, Step

MAGIC = b"pyte"
VERSION = 2
LIMIT = 1 << 20
MOST_STRINGS = 1024

RUN, OWN, LATE, EXEC, INTO, KEYRING = 1, 2, 4, 8, 16, 32
SAME, UNCHANGED, DIRECTORY, FILE, ROOT, OTHER = 1, 2, 3, 4, 5, 6

HEAD = "=4sIII"  # up to the CRC, which is that of everything behind it
REST = "=IIIIIIIIIII36sQQQQ"
HEAD_SIZE = 128

# Operations by which, or after which, it matters in which cgroup the process is.
IN_CGROUP = frozenset((
    "setns", "unshare", "fork_init", "copy_up", "sched_setaffinity", "sched_setattr",
    "set_mempolicy",
))  # fmt: skip


class HoledBlob(plan.Blob):
    """The strings of a plan without those that have holes, and where these belong."""

    def __init__(self) -> None:
        super().__init__()
        self.holed: dict[str, int] = {}
        self.lists: list[tuple[int, list[str]]] = []

    def string(self, text: str) -> int:
        """0 for one with a hole."""
        if not is_marked(text):
            return super().string(text)
        self.holed.setdefault(text, len(self.holed))
        return 0

    def strings_of(self, texts: Any) -> int:
        """Where the list begins."""
        offset = super().strings_of(texts)
        self.lists.append((offset, list(texts)))
        return offset

    def block(self, raw: bytes) -> int:
        """Bytes have no holes."""
        if b"QzText" in raw or b"/QzPath" in raw:
            raise UnfitError("a hole in bytes")
        return super().block(raw)


def plan_of(steps: list[Step], donated: int) -> tuple[bytes, list[str], list[tuple[int, int]]]:
    """(the plan, its strings with holes, the patches (place, number of the string))."""
    blob = HoledBlob()
    ops = [op for _, op in steps]
    data = plan.encode(ops, donated, blob)
    head, record = plan.HEADER_SIZE, plan.RECORD_SIZE
    patches = [
        (head + record * i + 8 + 8 * k, blob.holed[operand])
        for i, op in enumerate(ops)
        for k, operand in enumerate(op[1])
        if isinstance(operand, str) and operand in blob.holed
    ]
    base = head + record * len(ops)
    patches += [
        (base + offset + 8 + 8 * k, blob.holed[text])
        for offset, texts in blob.lists
        for k, text in enumerate(texts)
        if text in blob.holed
    ]
    if len(blob.holed) > MOST_STRINGS:
        raise UnfitError("too many strings")
    return data, list(blob.holed), patches


def make(prepared: Prepared, fifo: bool) -> bytes:
    """The file for what is like `prepared`. Raises UnfitError, Error, OSError."""
    config, facts = prepared.config, prepared.facts
    text = configs.read(facts["bundle"]).decode()
    if "Qz" in text or configs.decode(text.encode()) != config:
        raise UnfitError("the config is another now, or stands for another, or has marks")
    shape = Shape(text, places(text, holes(config)))
    other = _compile(prepared, shape)
    shape.values |= {mark(ID): prepared.opts["id"], mark(BUNDLE, path=True): facts["bundle"]}
    if shape.fill(other.facts["rootfs"]) != facts["rootfs"]:
        raise UnfitError("a symbolic link leads to the rootfs")
    if shape.fill(other.steps) != prepared.steps or other.flags != prepared.flags:
        raise UnfitError("the compiler has looked into a hole")
    if shape.fill(other.cgroup["paths"]) != prepared.cgroup["paths"]:
        raise UnfitError("its cgroup has turned out to be another")
    known = cgroup_facts()
    container = _records(other, fifo)
    directories = procs.directories(other.cgroup)
    writes, *unified = template_cgroup.limits(other, prepared.cgroup["paths"])
    joined = [entry["path"] for entry in donations.namespaces(other.config) if entry.get("path")]
    planned = plan_of(other.steps, len(joined) + (2 if fifo else 0))
    legacy = shortcut.LEGACY if shortcut.frozen_file(other.cgroup)[1] else 0
    return assemble(
        shape,
        [*_texts(other, shape, container), *unified],
        _checks(other, known),
        (joined, directories, writes),
        planned,
        flags=_flags(other, fifo),
        fast=shortcut.ordinary(container) | legacy,
        namespaces=prepared.flags,
        capabilities=facts["capabilities"],
    )


def assemble(
    shape: Shape,
    texts: Sequence[bytes],
    checks: list[bytes],
    lists: tuple[list[str], list[str], list[tuple[str, str]]],
    planned: tuple[bytes, list[str], list[tuple[int, int]]],
    *,
    flags: int,
    fast: int = 0,
    namespaces: int = 0,
    capabilities: int,
) -> bytes:
    """The file; `lists` are the namespaces to join, the directories of the cgroup and the writes to
    it. Raises OSError."""
    joined, directories, writes = lists
    steps, held, patches = planned
    words = [*joined, *directories, *(word for write in writes for word in write), *held]
    body = b"".join(pack("=II", *kind) for kind in shape.kinds)
    body += b"".join(map(text_of, texts))
    body += b"".join(checks)
    body += b"".join(text_of(os.fsencode(word)) for word in words)
    body += b"".join(pack("=II", *patch) for patch in patches) + steps
    package = os.stat(f"{os.path.dirname(__file__)}/pyrun.pack")
    rest = pack(
        REST,
        *(HEAD_SIZE + len(body), flags, fast),
        *(len(shape.kinds), len(checks), len(joined), len(directories), len(writes)),
        *(len(held), len(patches), len(steps)),
        *(init.boot_id().encode(), namespaces, capabilities),
        *(package.st_ino, package.st_ctime_ns),
    )
    return pack(HEAD, MAGIC, VERSION, _build.CHECKSUM, crc32(rest + body)) + rest + body


def _texts(other: Prepared, shape: Shape, container: Container) -> tuple[bytes, ...]:
    """In the order of enum template_text, but for those of the unified hierarchy."""
    started = {"init_process_pid": mark(PID), "init_process_start": mark(STARTED)}
    score = other.config["process"].get("oomScoreAdj")
    texts = (
        shape.text,
        init.read_text("/proc/self/cgroup"),
        _places(),
        f"pyrun:init {mark(ID)}",
        jsonscan.dumps(container.intent),
        jsonscan.dumps({**started, "phase": init.CREATING}),
        jsonscan.dumps({**container.state, **started}),
        exec_record.content(other.config, other.facts),
        *shortcut.description(container),
        shortcut.frozen_file(other.cgroup)[0],
        other.cgroup["paths"].get("cpuset", ""),
        "" if score is None else str(score),
    )
    return tuple(text if isinstance(text, bytes) else os.fsencode(text) for text in texts)


def _places() -> str:
    """The machine's name, and each line of mountinfo that tells of a hierarchy."""
    lines = cgroupfs.read("/proc/self/mountinfo").split("\n")
    places = [line for line in lines if " - cgroup" in line]
    return "".join(f"{line}\n" for line in [os.uname().machine, *places])


def _compile(prepared: Prepared, shape: Shape) -> Prepared:
    """The same again, with marks for what may differ."""
    config = configs.decode(shape.text.encode())
    prepare.check(config)
    facts: Facts = {**prepared.facts, "id": mark(ID), "bundle": mark(BUNDLE, path=True)}
    facts["rootfs"] = os.path.join(facts["bundle"], config["root"]["path"])
    facts["sources"] = {}
    mounts = zip(prepared.config.get("mounts") or [], config.get("mounts") or [], strict=True)
    for here, there in mounts:
        if mount_options.is_bind(here):
            kind = prepared.facts["sources"][mount_options.source(here, prepared.facts)]
            facts["sources"][mount_options.source(there, facts)] = kind
    opts: Options = {**prepared.opts, "id": mark(ID)}
    return prepare.complete(opts, config, facts, "")


def _records(other: Prepared, fifo: bool) -> Container:
    """What is on record of a container with marks, when it is created."""
    container = Container("", -1, mark(ID), -1)
    container.intent = {
        **creation.intent(other),
        "created": mark(CREATED),
        "umask": mark(UMASK),
        "stdio": mark(STDIO),
    }
    container.state = {
        "init_process_pid": 1,
        "init_process_start": 1,
        "phase": init.CREATED,
        "hooks_begun": True,
    }
    if fifo:
        container.state["rest"] = starting.rest(other.steps, other.config)
    return container


def check(kind: int, path: str, seen: tuple[int, int] = (0, 0)) -> bytes:
    """What has to be so of a path, as template.h draws it."""
    return pack("=IQQ", kind, *seen) + text_of(os.fsencode(path))


def check_same(path: str) -> bytes:
    """It is the same file. Raises OSError."""
    status = os.stat(path)
    return check(SAME, path, (status.st_dev, status.st_ino))


def check_unchanged(path: str) -> bytes:
    """Nobody has written to it, or put another in its place. Raises OSError."""
    status = os.stat(path)
    return check(UNCHANGED, path, (status.st_ino, status.st_ctime_ns))


def _checks(other: Prepared, known: dict[str, Any]) -> list[bytes]:
    """What has to be so on the host."""
    found = [check(ROOT, other.facts["rootfs"])]
    same = [mount for mount, _ in known["mounts"].values()]
    same += [f"/proc/self/ns/{kind}" for kind in ("mnt", "cgroup", "user")]
    found += [check_same(path) for path in dict.fromkeys(same)]
    for path, kind in other.facts["sources"].items():
        if not kind:
            raise UnfitError("a bind source is not there")
        found.append(check(DIRECTORY if kind == "directory" else FILE, path))
    for entry in donations.namespaces(other.config):
        if entry.get("path"):
            found.append(check(OTHER, entry["path"]))
    if other.facts["seccomp"]:
        from pyrun.kernel import libseccomp

        found.append(check_unchanged(libseccomp.path()))
    return found


def _flags(other: Prepared, fifo: bool) -> int:
    found = {
        RUN: not fifo,
        OWN: not ((other.config.get("linux") or {}).get("cgroupsPath") or "").startswith("/"),
        LATE: not IN_CGROUP & {op[0] for _, op in other.steps},
        INTO: other.cgroup["layout"] == "v2",
        KEYRING: other.facts["no_new_keyring"],
    }
    return sum(flag for flag, there in found.items() if there)


# ---- Where it is kept. ----


def store(folder: str, data: bytes) -> None:
    """In the place of a damaged one, or of one for the same config, else in a free one, else in
    that of the one that was of use the longest ago: the launcher touches the one that it takes.
    The files are called by numbers. Raises UnfitError, OSError."""
    if len(data) > LIMIT:
        raise UnfitError("it is too large")
    os.makedirs(folder, 0o700, exist_ok=True)
    present = sorted(int(name) for name in os.listdir(folder) if name.isdigit())
    number = len(present)
    if number >= template_folder.MOST:
        number = min(present, key=lambda at: os.stat(f"{folder}/{at}").st_mtime_ns)
    for at in present:
        with open(f"{folder}/{at}", "rb") as file:
            if pattern(file.read()) in (b"", pattern(data)):
                number = at
                break
    temporary = f"{folder}/.{os.getpid()}"
    teardown.forget(temporary)  # a killed one with our pid may have left it
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        if os.write(fd, data) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    finally:
        os.close(fd)
    os.rename(temporary, f"{folder}/{number}")


def pattern(data: bytes) -> bytes:
    """For what it is: create, run or exec, and the text with its holes; of a file that is damaged,
    nothing."""
    if len(data) < HEAD_SIZE or crc32(data[16:]) != unpack_from("=I", data, 12)[0]:
        return b""
    flags, _, count = unpack_from("=III", data, 20)
    at = begin = HEAD_SIZE + 8 * count
    (pieces,) = unpack_from("=I", data, at)
    at += 4
    for _ in range(pieces):
        (piece,) = unpack_from("=I", data, at)
        at += 4 + (0 if piece & VALUE else piece)
    return bytes([flags & (RUN | EXEC | KEYRING)]) + data[begin:at]

# SPDX-License-Identifier: Apache-2.0
"""config.md, Linux mount options: each of the table, as the mount table of the container shows it.
A new tmpfs shows those of one mount, a bound tree with a mount below it those that are recursive.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import NamedTuple

from conformance.bundle import bind, mount
from conformance.case import Case
from conformance.checks.mounts import table
from conformance.plugin import check, each


class Tmpfs(NamedTuple):
    """Options of a new tmpfs, and what the mount table must show of it."""

    options: str
    there: str = ""  # words among the options, of the mount or of the file system
    absent: str = ""


TMPFS = {
    "async": Tmpfs("sync async", absent="sync"),
    "atime": Tmpfs("noatime atime", absent="noatime"),
    "defaults": Tmpfs("defaults", "rw", "noexec nosuid nodev"),
    "dev": Tmpfs("nodev dev", absent="nodev"),
    "diratime": Tmpfs("nodiratime diratime", absent="nodiratime"),
    "dirsync": Tmpfs("dirsync", "dirsync"),
    "exec": Tmpfs("noexec exec", absent="noexec"),
    "iversion": Tmpfs("iversion", "rw"),
    "lazytime": Tmpfs("lazytime", "lazytime"),
    "loud": Tmpfs("silent loud", "rw"),
    "noatime": Tmpfs("noatime", "noatime"),
    "nodev": Tmpfs("nodev", "nodev"),
    "nodiratime": Tmpfs("nodiratime", "nodiratime"),
    "noexec": Tmpfs("noexec", "noexec"),
    "noiversion": Tmpfs("iversion noiversion", "rw"),
    "nolazytime": Tmpfs("lazytime nolazytime", absent="lazytime"),
    "nomand": Tmpfs("nomand", "rw", "mand"),
    "norelatime": Tmpfs("norelatime", "rw", "noatime"),
    "nostrictatime": Tmpfs("strictatime nostrictatime", "relatime"),
    "nosuid": Tmpfs("nosuid", "nosuid"),
    "nosymfollow": Tmpfs("nosymfollow", "nosymfollow"),
    "relatime": Tmpfs("relatime", "relatime", "noatime"),
    "ro": Tmpfs("ro", "ro"),
    "rw": Tmpfs("ro rw", "rw", "ro"),
    "silent": Tmpfs("silent", "rw"),
    "strictatime": Tmpfs("strictatime", absent="relatime noatime"),
    "suid": Tmpfs("nosuid suid", absent="nosuid"),
    "symfollow": Tmpfs("nosymfollow symfollow", absent="nosymfollow"),
    "sync": Tmpfs("sync", "sync"),
}


@each({f"config.mounts.option.{name}": row for name, row in TMPFS.items()})
def check_tmpfs_option(case: Case, row: Tmpfs) -> None:
    """Of a new tmpfs at /data."""
    case.box.bundle.mounts.append(mount("/data", "tmpfs", *row.options.split()))
    fields = table(case.box)["/data"]
    own, every = fields[0].split(","), fields[0].split(",") + fields[-1].split(",")
    what = f"options with {row.options}"
    for word in row.there.split():
        # The file system can be writable where the mount is not.
        case.contains(what, word, own if word in ("ro", "rw") else every)
    for word in row.absent.split():
        case.lacks(what, word, own if word in ("ro", "rw") else every)


@check("config.mounts.option.mand")
def check_mand(case: Case) -> None:
    """Taken, or an error that says so: the kernel has none since 5.15."""
    case.box.bundle.mounts.append(mount("/data", "tmpfs", "mand"))
    result = case.box.run("print ran")
    holds = result.code != 0 or "ran" in result.out
    case.require("a container with mand", "it runs, or an error", result.complaint, holds)


class Tree(NamedTuple):
    """Options of a bound tree; what its mount and one below it must show, or must not."""

    options: str
    there: str = ""
    absent: str = ""
    host: str = ""  # options of the host's mount below


TREE = {
    "ratime": Tree("ratime", absent="noatime", host="noatime"),
    "rdev": Tree("rdev", absent="nodev", host="nodev"),
    "rdiratime": Tree("rdiratime", absent="nodiratime", host="nodiratime"),
    "rexec": Tree("rexec", absent="noexec", host="noexec"),
    "rnoatime": Tree("rnoatime", "noatime"),
    "rnodiratime": Tree("rnodiratime", "nodiratime"),
    "rnoexec": Tree("rnoexec", "noexec"),
    "rnorelatime": Tree("rnorelatime", absent="noatime"),
    "rnostrictatime": Tree("rnostrictatime", "relatime", host="strictatime"),
    "rnosuid": Tree("rnosuid", "nosuid"),
    "rnosymfollow": Tree("rnosymfollow", "nosymfollow"),
    "rrelatime": Tree("rrelatime", "relatime", host="strictatime"),
    "rro": Tree("rro", "ro"),
    "rrw": Tree("rrw", "rw", host="ro"),
    "rstrictatime": Tree("rstrictatime", absent="relatime noatime"),
    "rsuid": Tree("rsuid", absent="nosuid", host="nosuid"),
    "rsymfollow": Tree("rsymfollow", absent="nosymfollow", host="nosymfollow"),
}


def tree(case: Case, options: str = "", shared: bool = False) -> Path:
    """A folder of the host that is a mount, with another mount below it."""
    folder = case.folder / "tree"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(folder)], check=True)
    (folder / "below").mkdir()
    more = ["-o", options] if options else []
    subprocess.run(["mount", "-t", "tmpfs", *more, "tmpfs", str(folder / "below")], check=True)
    if shared:
        subprocess.run(["mount", "--make-rshared", str(folder)], check=True)
    return folder


@each({f"config.mounts.option.{name}": row for name, row in TREE.items()})
def check_tree_option(case: Case, row: Tree) -> None:
    """Of a bound tree at /data and of the mount at /data/below."""
    case.box.bundle.mounts.append(
        bind(tree(case, row.host), "/data", "rbind", *row.options.split())
    )
    found = table(case.box)
    for place in ("/data", "/data/below"):
        seen = found[place][0].split(",")
        what = f"options of {place} with {row.options}"
        for word in row.there.split():
            case.contains(what, word, seen)
        for word in row.absent.split():
            case.lacks(what, word, seen)


@each({"config.mounts.option.bind": ("bind", False), "config.mounts.option.rbind": ("rbind", True)})
def check_bind(case: Case, row: tuple[str, bool]) -> None:
    """The folder of the host, with what is mounted below it or not."""
    word, recursive = row
    folder = tree(case)
    (folder / "name").write_text("host")
    case.box.bundle.mounts.append(bind(folder, "/data", word))
    seen = case.box.ask("cat /data/name", "mounts")
    case.expect("a file of it", "host", seen[0])
    below = any(line.split()[4] == "/data/below" for line in seen[1].splitlines())
    case.expect("the mount below is there", recursive, below)


# Optional fields of mountinfo: what they begin with, at the mount and at the one below
PROPAGATION = {
    "private": ("private", "", None),
    "rprivate": ("rprivate", "", ""),
    "shared": ("shared", "shared:", None),
    "rshared": ("rshared", "shared:", "shared:"),
    "slave": ("slave", "master:", None),
    "rslave": ("rslave", "master:", "master:"),
    "unbindable": ("unbindable", "unbindable", None),
    "runbindable": ("runbindable", "unbindable", "unbindable"),
}


@each({f"config.mounts.option.{name}": row for name, row in PROPAGATION.items()})
def check_propagation_option(case: Case, row: tuple[str, str, str | None]) -> None:
    """Of a tree that is shared on the host."""
    options, here, below = row
    case.box.bundle.mounts.append(bind(tree(case, shared=True), "/data", "rbind", *options.split()))
    found = table(case.box)
    for place, wanted in (("/data", here), ("/data/below", below)):
        if wanted is None:
            continue
        fields = found[place]
        seen = " ".join(fields[1 : fields.index("-")])
        holds = wanted in seen if wanted else not seen
        case.require(f"propagation of {place} with {options}", wanted or "none", seen, holds)


@check("config.mounts.option.remount")
def check_remount(case: Case) -> None:
    """A tmpfs that another entry makes read-only."""
    case.box.bundle.mounts += [mount("/data", "tmpfs", "rw"),
                               mount("/data", "tmpfs", "remount", "ro")]  # fmt: skip
    lines = case.box.ask("mounts")[0].splitlines()
    found = [line.split() for line in lines if line.split()[4] == "/data"]
    case.expect("mounts at /data", 1, len(found))
    case.contains("its options", "ro", found[0][5].split(",") + found[0][-1].split(","))


@check("config.mounts.option.tmpcopyup", may_refuse=True)
def check_tmpcopyup(case: Case) -> None:
    """A folder of the root filesystem, that then can be written apart."""
    case.box.bundle.file("/data/file", "text")
    case.box.bundle.mounts.append(mount("/data", "tmpfs", "tmpcopyup"))
    seen = case.box.ask("cat /data/file", "write /data/new more")
    case.expect("what is in it, and to write there", ["text", "ok"], seen)
    apart = not (case.box.bundle.rootfs / "data/new").exists()
    case.expect("the root filesystem stays as it was", expected=True, seen=apart)

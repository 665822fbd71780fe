# SPDX-License-Identifier: Apache-2.0
"""config.md, Mounts: where, from where, in which order, with which maps."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

from conformance.bundle import bind, mount
from conformance.case import Case
from conformance.container import Container
from conformance.plugin import check, each


def table(box: Container) -> dict[str, list[str]]:
    """The mount table of a container by mount point: options of the mount, its optional fields and
    a dash, type, source, and options of the file system."""
    found = {}
    for line in box.ask("mounts")[0].splitlines():
        words = line.split()
        found[words[4]] = words[5:]
    return found


@check("config-linux.filesystems")
def check_file_systems(case: Case) -> None:
    """With their types, where the config asks for them."""
    seen = table(case.box)
    for place, kind in (("/proc", "proc"), ("/sys", "sysfs"), ("/dev/pts", "devpts"),
                        ("/dev/shm", "tmpfs")):  # fmt: skip
        fields = seen.get(place, [])
        case.expect(f"the type of {place}", kind, fields[fields.index("-") + 1] if fields else "")


@check("config.mounts")
def check_mounts(case: Case) -> None:
    """One more than usual; a config without any."""
    case.box.bundle.mounts.append(mount("/data", "tmpfs"))
    case.contains("mount points", "/data", list(table(case.box)))
    other = case.new()
    del other.config["mounts"]
    case.expect("without mounts", ["ran"], other.ask("print ran"))


@check("config.mounts.order")
def check_order(case: Case) -> None:
    """A mount on a folder of an earlier one; the later one of two at one place."""
    box = case.box
    first, second = box.bundle.path / "first", box.bundle.path / "second"
    for folder in (first, second):
        (folder / "inner").mkdir(parents=True)
        (folder / "name").write_text(folder.name)
    box.bundle.mounts += [bind(first, "/data"), bind(second, "/data/inner"),
                          bind(first, "/tmp"), bind(second, "/tmp")]  # fmt: skip
    seen = box.ask("cat /data/name", "cat /data/inner/name", "cat /tmp/name")
    case.expect("/data, /data/inner and /tmp", ["first", "second", "second"], seen)


@check("config.mounts.destination")
def check_destination(case: Case) -> None:
    """Also where no folder is there yet."""
    case.box.bundle.mounts += [mount("/data", "tmpfs"), mount("/new/place", "tmpfs")]
    seen = table(case.box)
    for place in ("/data", "/new/place"):
        case.contains("mount points", place, list(seen))


@each({"config.mounts.destination-relative": None,
       "config.mounts.destination-relative-to-root": None})  # fmt: skip
def check_relative(case: Case, row: None) -> None:
    """data, with another cwd."""
    case.box.bundle.process["cwd"] = "/tmp"
    case.box.bundle.mounts.append(mount("data", "tmpfs"))
    case.contains("mount points", "/data", list(table(case.box)))


@check("config.mounts.source")
def check_source(case: Case) -> None:
    """An absolute one, one relative to the bundle, and a file."""
    box = case.box
    for name in ("one", "two"):
        (box.bundle.path / name).mkdir()
        (box.bundle.path / name / "name").write_text(name)
    box.bundle.mounts += [bind(box.bundle.path / "one", "/data"), bind("two", "/work"),
                          bind(box.bundle.path / "one/name", "/etc/name")]  # fmt: skip
    seen = box.ask("cat /data/name", "cat /work/name", "cat /etc/name")
    case.expect("what is at /data, /work and /etc/name", ["one", "two", "one"], seen)


@check("config.mounts.options")
def check_options(case: Case) -> None:
    """Some, and none."""
    case.box.bundle.mounts += [mount("/data", "tmpfs", "ro", "noexec"), mount("/work", "tmpfs")]
    seen = table(case.box)
    flags = {place: seen[place][0].split(",") for place in ("/data", "/work")}
    case.require("options of /data", "ro and noexec", flags["/data"],
                 {"ro", "noexec"} <= set(flags["/data"]))  # fmt: skip
    case.require("options of /work", "neither", flags["/work"],
                 not {"ro", "noexec"} & set(flags["/work"]))  # fmt: skip


@check("config.mounts.type")
def check_type(case: Case) -> None:
    """Types of the kernel; any word, and none, where an option says bind."""
    box = case.box
    for place, word in (("/data", "none"), ("/work", None), ("/tmp", "bind")):
        entry = bind(box.bundle.path, place)
        entry["type"] = word
        if word is None:
            del entry["type"]
        box.bundle.mounts.append(entry)
    box.bundle.mounts.append(mount("/etc", "ramfs"))
    seen = table(box)
    case.expect("the type at /etc", "ramfs", seen["/etc"][seen["/etc"].index("-") + 1])
    for place in ("/data", "/work", "/tmp"):
        case.contains("mount points", place, list(seen))


@check("config.mounts.option-unknown")
def check_file_system_options(case: Case) -> None:
    """size and mode of a tmpfs."""
    case.box.bundle.mounts.append(mount("/data", "tmpfs", "size=128k", "mode=0711", "nosuid"))
    seen = table(case.box)["/data"]
    for word in ("size=128k", "mode=711"):
        case.contains("options of the file system", word, seen[-1].split(","))


def mapped(source: Path, *options: str, **maps: Any) -> dict[str, Any]:
    """A bind mount of a folder with maps: user and group 0 of its files are `host` in the mount."""
    entry = bind(source, "/data", *options)
    for kind in ("uidMappings", "gidMappings"):
        if host := maps.get(kind):
            entry[kind] = [{"containerID": 0, "hostID": host, "size": 1000}]
    return entry


def owned(case: Case) -> Path:
    """A folder with files of users 0 and 5, groups 0 and 6, and a mount below it."""
    folder = case.folder / "owned"
    (folder / "below").mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(folder / "below")], check=True)
    for name, user, group in (("root", 0, 0), ("other", 5, 6), ("below/other", 5, 6)):
        (folder / name).write_text("")
        os.chown(folder / name, user, group)
    return folder


def _owner(line: str) -> str:
    return " ".join(line.split()[2:4])


# how it is bound, and the owner of what is mounted below, where that is bound too
WAYS = {"idmap": ("bind", ""), "ridmap": ("rbind", "3005 4006")}
ROWS: dict[str, str] = {"config.mounts.uidMappings": "idmap", "config.mounts.gidMappings": "idmap"}
for _name in WAYS:
    ROWS |= {f"config.mounts.option.{_name}{end}": _name for end in ("", "-applied", "-own-maps")}


@each(ROWS)
def check_maps(case: Case, row: str) -> None:
    """Owners of the files, through the mount; with ridmap of files on a mount below it, too."""
    how, below = WAYS[row]
    case.box.bundle.mounts.append(mapped(owned(case), how, row, uidMappings=3000, gidMappings=4000))
    seen = case.box.ask("stat /data/root", "stat /data/other", "stat /data/below/other")
    case.expect("owner and group of a file of root", "3000 4000", _owner(seen[0]))
    case.expect("of a file of 5 and 6", "3005 4006", _owner(seen[1]))
    if below:
        case.expect("of such a file on a mount below", below, _owner(seen[2]))


@each({f"config.mounts.option.{name}-no-maps": name for name in WAYS})
def check_no_maps(case: Case, row: str) -> None:
    """Neither the mount nor the container has any."""
    case.box.bundle.mounts.append(mapped(owned(case), "rbind", row))
    case.refused(case.box, f"create with {row} and no maps")


@each({f"config.mounts.option.{name}-{end}": name for name in WAYS
       for end in ("user-namespace", "or-error")}, needs=("userns",))  # fmt: skip
def check_user_namespace_maps(case: Case, row: str) -> None:
    """Files of root are root's in the container, or it is an error."""
    box = case.box
    box.bundle.map_ids()
    box.bundle.mounts.append(mapped(owned(case), "rbind", row))
    result = box.run("stat /data/root")
    if result.code != 0:
        case.error(f"a container with {row} and a user namespace", result)
        return
    case.expect("owner and group of a file of root", "0 0", _owner(result.out))


@each({"config.mounts.uidMappings-alone": "uidMappings",
       "config.mounts.gidMappings-alone": "gidMappings"})  # fmt: skip
def check_one_map(case: Case, row: str) -> None:
    """One without the other."""
    case.box.bundle.mounts.append(mapped(owned(case), "rbind", "idmap", **{row: 3000}))
    case.refused(case.box, f"create with {row} alone")

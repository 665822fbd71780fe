# SPDX-License-Identifier: Apache-2.0
"""config.md, Root, and what config-linux.md says of it: propagation, masked and read-only paths."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from conformance.case import Case
from conformance.container import Container
from conformance.plugin import check, each
from conformance.runtime import eventually


@check("config.root-posix")
def check_root_needed(case: Case) -> None:
    """A config without root."""
    del case.box.config["root"]
    case.refused(case.box, "create without root")


@check("config.root.path")
def check_root_path(case: Case) -> None:
    """Relative, and absolute; of any name."""
    for form in ("relative", "absolute"):
        box = case.new()
        box.bundle.file("/marker", form)
        box.bundle.rootfs.rename(box.bundle.path / "another")
        box.config["root"]["path"] = (
            "another" if form == "relative" else str(box.bundle.path / "another")
        )
        case.expect(f"/marker with a path that is {form}", [form], box.ask("cat /marker"))


@check("config.root.path-exists")
def check_root_exists(case: Case) -> None:
    """Nothing is there; a file is there."""
    case.box.config["root"]["path"] = "nothing"
    case.refused(case.box, "create where root.path is nothing")
    other = case.new()
    (other.bundle.path / "file").write_text("")
    other.config["root"]["path"] = "file"
    case.refused(other, "create where root.path is a file")


@check("config.root.readonly")
def check_root_writable(case: Case) -> None:
    """Without readonly, and with readonly false."""
    for value in (None, False):
        box = case.new()
        box.config["root"] = {"path": "rootfs"} | ({} if value is None else {"readonly": value})
        case.expect(f"to write with readonly {value}", ["ok"], box.ask("write /new text"))


@check("config.root.readonly-true")
def check_root_readonly(case: Case) -> None:
    """Its files can't be written, what is mounted on it can."""
    case.box.config["root"]["readonly"] = True
    seen = case.box.ask("write /new text", "mkdir /folder", "write /dev/shm/new text")
    case.expect("to write, to make a folder, to write in /dev/shm",
                ["error: EROFS", "error: EROFS", "ok"], seen)  # fmt: skip


def _propagation(box: Container) -> list[str]:
    """The optional fields of the mount at /: shared:N, master:N, unbindable, or none."""
    lines = box.ask("mounts")[0].splitlines()
    fields = next(line.split() for line in reversed(lines) if line.split()[4] == "/")
    return fields[6 : fields.index("-")]


@check("config-linux.rootfsPropagation")
def check_propagation(case: Case) -> None:
    """Of the mount at /, where the root filesystem lies on a shared mount of the host. What is
    mounted there later is seen with slave, and not with private."""
    source = case.folder / "shared"
    source.mkdir()
    for words in (("--bind", source, source), ("--make-shared", source)):
        subprocess.run(["mount", *map(str, words)], check=True)
    for kind, wanted in (("shared", "shared:"), ("slave", "master:"), ("private", ""),
                         ("unbindable", "unbindable")):  # fmt: skip
        box = case.new()
        rootfs = source / kind
        shutil.move(box.bundle.rootfs, rootfs)
        box.config["root"]["path"] = str(rootfs)
        box.config["linux"]["rootfsPropagation"] = kind
        seen = " ".join(_propagation(box))
        case.require(f"propagation of / with {kind}", wanted or "none of shared, master", seen,
                     wanted in seen and (bool(wanted) or not seen))  # fmt: skip
        if kind in ("slave", "private"):
            _event(case, box, rootfs, kind == "slave")


def _event(case: Case, box: Container, rootfs: Path, arrives: bool) -> None:
    box.delete("--force")
    box.started("trap")
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(rootfs / "data")], check=True)
    seen = eventually(lambda: " /data " in box.proc("mountinfo"), 1 if arrives else 0.2)
    case.expect("a mount of the host arrives in the container", arrives, seen)


MASKED = ("/proc/version", "/secret", "/folder")


@check("config-linux.maskedPaths")
def check_masked(case: Case) -> None:
    """A file of proc, a file and a folder of the root filesystem; one that is not there."""
    box = case.box
    box.bundle.file("/secret", "secret")
    box.bundle.file("/folder/secret", "secret")
    box.config["linux"]["maskedPaths"] = [*MASKED, "/not/there"]
    seen = box.ask("cat /secret", "ls /folder", "cat /folder/secret", "stat /proc/version")
    case.expect("what can be read", ["", "", "error: ENOENT"], seen[:3])
    case.require("/proc/version", "the device null", seen[3], seen[3].startswith("c "))


@check("config-linux.readonlyPaths")
def check_readonly(case: Case) -> None:
    """A file and a folder of the root filesystem; one that is not there."""
    box = case.box
    box.bundle.file("/file", "text")
    box.bundle.file("/folder/file", "text")
    box.config["linux"]["readonlyPaths"] = ["/file", "/folder", "/proc/sys", "/not/there"]
    seen = box.ask(
        "write /file more",
        "write /folder/file more",
        "write /folder/new more",
        "write /proc/sys/kernel/domainname name",
        "cat /file",
        "write /other more",
    )
    case.expect("to write", [*["error: EROFS"] * 4, "text", "ok"], seen)


@each({"config-linux.maskedPaths-absolute": "maskedPaths",
       "config-linux.readonlyPaths-absolute": "readonlyPaths"})  # fmt: skip
def check_paths_absolute(case: Case, row: str) -> None:
    """A relative one."""
    case.box.bundle.file("/file", "text")
    case.box.config["linux"][row] = ["file"]
    case.refused(case.box, f"{row} with a relative path")


@check("config-linux.mountLabel", needs=("selinux",), may_refuse=True)
def check_mount_label(case: Case) -> None:
    """As the options of a tmpfs show it."""
    label = "system_u:object_r:container_file_t:s0:c1,c2"
    case.box.config["linux"]["mountLabel"] = label
    lines = case.box.ask("mounts")[0].splitlines()
    found = [line for line in lines if line.split()[4] == "/dev/shm"]
    case.require("options of /dev/shm", f"with {label}", found, label in found[0])

# SPDX-License-Identifier: Apache-2.0
"""What a root made of layers takes besides its operations (compile/layers.py): the facts, and the
place in the container's state folder:

    <root>/<id>/overlay/    0700
        0, 1, ...           links to the lower layers, the topmost first, root.path last
        top/                upper and work of overlayfs; the mount point of a tmpfs that has both
"""

from __future__ import annotations

import os

from pyrun import host, launch, state, sync
from pyrun.compile import id_maps
from pyrun.compile import layers as rules
from pyrun.errors import Error, from_os
from pyrun.init import read_text
from pyrun.linux import CLONE_NEWNS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.launch import Child
    from pyrun.state import Container
    from pyrun.types import Config, Facts, Options

# These lack what an upper layer takes: extended attributes, whiteouts, d_type, or to be local.
# overlayfs says EINVAL, and why only in the kernel's log.
UNFIT = ("overlay", "nfs", "nfs4", "cifs", "smb3", "9p", "fuse", "vfat", "msdos", "exfat", "ceph")


def facts(config: Config, opts: Options, bundle: str, *, nested: bool, privileged: bool) -> Facts:
    """What compile/layers.py needs to know, {} if root.path is the root. Raises Error."""
    wanted = rules.asked(config, opts)
    if not wanted:
        return {}
    below = host.rootfs_path(config, bundle)
    lowers = [*(_lower(path, bundle, wanted) for path in wanted["layers"]), below]
    return {
        "pointer": wanted["pointer"],
        "lowers": lowers,
        "upper": wanted["upper"],
        "size": wanted["size"],
        "folder": os.path.join(state.root_path(opts), opts["id"], state.OVERLAY),
        "mode": os.stat(lowers[0]).st_mode & 0o7777,  # "/" of the container looks like this one
        "userxattr": nested or not privileged,
    }


def record(config: Config) -> Config:
    """For the intent: whose files there will be, for who may not remove them as himself."""
    linux = config.get("linux") or {}
    return {"linux": {key: linux[key] for key in id_maps.NAMES if linux.get(key)}}


def _lower(path: str, bundle: str, wanted: Config) -> str:
    """A layer's path without links, checked to be a directory."""
    pointer = "" if wanted["flag"] else wanted["pointer"]
    try:
        real = os.path.realpath(os.path.join(bundle, path), strict=True)
    except OSError as error:
        hint = "a relative path starts at the bundle"
        raise from_os(error, f"{wanted['flag']}layer {path}", pointer, hint) from None
    if not os.path.isdir(real):
        hint = "unpack an archive, or mount an image, and name the directory"
        raise Error(f"{wanted['flag']}layer {path}: not a directory", pointer, hint)
    return real


def make_place(container: Container, known: Facts) -> None:
    """The folder above, with everything but what a tmpfs will hold. Raises Error."""
    try:
        os.mkdir(state.OVERLAY, 0o700, dir_fd=container.fd)
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        folder = os.open(state.OVERLAY, flags, dir_fd=container.fd)
        try:
            _fill(folder, known)
        finally:
            os.close(folder)
    except OSError as error:
        raise from_os(error, f"make {known['folder']}", known["pointer"]) from None


def _fill(folder: int, known: Facts) -> None:
    for number, path in enumerate(known["lowers"]):
        os.symlink(path, str(number), dir_fd=folder)
    os.mkdir(rules.TOP, 0o700, dir_fd=folder)
    if known["upper"] == "tmpfs":
        return
    kind = file_system(folder)
    if kind.partition(".")[0] in UNFIT:
        raise Error(
            f"{known['folder']}: it is on {kind}, which can't hold a writable layer",
            known["pointer"],
            "try --overlay-upper tmpfs, or another --root",
        )
    for name, mode in ((rules.UPPER_DIR, known["mode"]), (rules.WORK_DIR, 0o700)):
        os.mkdir(f"{rules.TOP}/{name}", dir_fd=folder)
        os.chmod(f"{rules.TOP}/{name}", mode, dir_fd=folder)  # whatever the umask


def file_system(fd: int) -> str:
    """The type of the file system that a descriptor is on, by /proc/self/mountinfo."""
    info = read_text(f"/proc/self/fdinfo/{fd}").split()
    mount = info[info.index("mnt_id:") + 1]
    with open("/proc/self/mountinfo", "rb") as lines:
        for line in lines:
            words = line.split()
            if words[0].decode() == mount:
                return words[words.index(b"-") + 1].decode()
    return ""


def made_apart(container: Container, config: Config, known: Facts) -> int:
    """The overlay, made by a process of its own (compile.layers.apart): a descriptor of the
    detached mount. Raises Error."""
    steps = list(rules.make_apart(known))
    found: list[int] = []

    def take(_child: Child, fd: int) -> None:
        found.append(fd)

    child = launch.spawn(f"pyrun:layers {container.id}", CLONE_NEWNS, -1, 0, privileged=True)
    try:
        launch.send_plan(child, steps, [])
        launch.serve(child, {sync.LAYERS: take}, 0, steps, config)
    finally:
        os.close(child.socket)  # it ends, if it has not yet
        os.waitpid(child.pid, 0)
        os.close(child.pidfd)
    if not found:
        raise launch.DiedError("the process that lays the root's layers died")
    _own(found[0], config)
    return found[0]


def _own(overlay: int, config: Config) -> None:
    """The root directory belongs to the container's root, so that it can be written to."""
    linux = config.get("linux") or {}
    uid, gid = (
        id_maps.host_id(linux.get(f"{kind}Mappings") or [], 0) or 0 for kind in ("uid", "gid")
    )
    root = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=overlay)
    try:
        mode = os.fstat(root).st_mode & 0o7777
        os.fchown(root, uid, gid)
        os.fchmod(root, mode)  # a chown takes the set-id bits off
    finally:
        os.close(root)

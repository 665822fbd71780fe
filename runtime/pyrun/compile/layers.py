# SPDX-License-Identifier: Apache-2.0
"""A root made of layers: an overlayfs of root.path and what lies on it, with a writable layer of
the container's own. Asked for by annotations or by flags, which win:

    org.pyrun.rootfs.ephemeral      "true"             --ephemeral
    org.pyrun.rootfs.overlay        LOWER[:LOWER...]   --overlay        (topmost first)
    org.pyrun.rootfs.overlay.upper  dir|tmpfs[:SIZE]   --overlay-upper

The state folder has a place for it (pyrun.layers makes it): links to the lower layers, named by
their number, and `top` for the writable one. So the mount's data are short, whatever the layers'
paths are (fsconfig(2) takes 255 bytes), and the container's mountinfo has no path of the host.
Loaded only where it is asked for.
"""

from __future__ import annotations

from pyrun import ops, sync
from pyrun.compile.donations import is_new, namespace
from pyrun.compile.mount_options import from_host
from pyrun.compile.slots import CONTEXT, HOST, ROOT, TARGET, TREE
from pyrun.errors import Error
from pyrun.linux import (
    AT_RECURSIVE,
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MS_SHARED,
    MS_SLAVE,
    O_DIRECTORY,
    O_PATH,
    S_IFDIR,
)
from pyrun.schema_check import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrun.types import Config, Facts, Options, Problem, Steps

PREFIX = "org.pyrun.rootfs."
EPHEMERAL, OVERLAY, UPPER = f"{PREFIX}ephemeral", f"{PREFIX}overlay", f"{PREFIX}overlay.upper"
MOST = 87  # layers on root.path: the numbers of 88, with colons, are 253 bytes
UPPER_WORDS = "dir, tmpfs, or tmpfs:SIZE such as tmpfs:64m"
TOP = "top"  # in the state folder's place: the writable layer, and what overlayfs works in
UPPER_DIR, WORK_DIR = "upper", "work"


def split(text: str) -> list[str]:
    """The layers of a value: colons are between them, a backslash keeps what follows it."""
    found = [""]
    kept = False
    for character in text:
        if kept or character not in "\\:":
            found[-1] += character
            kept = False
        elif character == ":":
            found.append("")
        else:
            kept = True
    return found


def lower_problem(text: str) -> str:
    """What is wrong with LOWER[:LOWER...], or ""."""
    layers = split(text)
    if "" in layers:
        return "names an empty path" if text else "names no layer"
    if len(layers) > MOST:
        return f"names {len(layers)} layers: at most {MOST} can be laid on the root"
    for path in layers:
        if not path.startswith("/") and ".." in path.split("/"):
            return f"leads out of the bundle: {shown(path)}; write an absolute path"
        if "\0" in path:
            return "has a NUL in it"
    return ""


def upper_problem(text: str) -> str:
    """What is wrong with dir|tmpfs[:SIZE], or ""."""
    kind, colon, size = text.partition(":")
    number = size[:-1] if size[-1:].lower() in tuple("kmgtpe%") else size
    if kind == "tmpfs" and (not colon or (number.isascii() and number.isdigit())):
        return ""
    return "" if text == "dir" else f"must be {UPPER_WORDS}, not {shown(text)}"


def problems(config: Config) -> Iterator[Problem]:
    """Of the annotations alone: see compile.checks."""
    found = {k: v for k, v in (config.get("annotations") or {}).items() if k.startswith(PREFIX)}
    for key, value in found.items():
        message = f"is unknown: {EPHEMERAL}, {OVERLAY} and {UPPER} are known"
        if key == EPHEMERAL:
            message = "" if value in ("true", "false") else f"is true or false, not {shown(value)}"
        elif key == OVERLAY:
            message = lower_problem(value)
        elif key == UPPER:
            message = upper_problem(value)
        if message:
            yield f"/annotations/{key}", message
    on = OVERLAY in found or found.get(EPHEMERAL) == "true"
    if on and not namespace(config, "mount"):
        yield _pointer(found), "needs a mount namespace in linux.namespaces"


def _pointer(annotations: Config) -> str:
    return f"/annotations/{OVERLAY if OVERLAY in annotations else EPHEMERAL}"


def asked(config: Config, opts: Options) -> Config | None:
    """{"pointer", "flag", "layers" on root.path, "upper", "size"}; None: root.path is the root.

    Raises Error for a flag that makes no sense.
    """
    notes = config.get("annotations") or {}
    by_flag = bool(opts.get("overlay") or opts.get("ephemeral"))
    if by_flag and not namespace(config, "mount"):
        raise Error("--overlay and --ephemeral need a mount namespace in linux.namespaces")
    for flag, problem in (("overlay", lower_problem), ("overlay_upper", upper_problem)):
        message = problem(opts[flag]) if opts.get(flag) else ""
        if message:
            raise Error(f"--{flag.replace('_', '-')} {message}")
    text = opts.get("overlay") or notes.get(OVERLAY) or ""
    if not (text or by_flag or notes.get(EPHEMERAL) == "true"):
        if opts.get("overlay_upper"):
            raise Error("--overlay-upper needs --ephemeral or --overlay")
        return None
    upper, _, size = (opts.get("overlay_upper") or notes.get(UPPER) or "dir").partition(":")
    return {
        "pointer": "/root/path" if by_flag else _pointer(notes),
        "flag": "--overlay: " if opts.get("overlay") else "",
        "layers": split(text) if text else [],
        "upper": upper,
        "size": size,
    }


def apart(config: Config, facts: Facts) -> bool:
    """Whether a process of its own makes the overlay: where the init has not the rights (of a user
    namespace's root), not the view, or a view whose mounts the host shares."""
    return bool(
        facts["layers"]
        and facts["privileged"]
        and (
            namespace(config, "user")
            or not is_new(config, "mount")
            or from_host(config) == MS_SHARED
        )
    )


def make(layers: Config) -> Steps:
    """The overlay, not yet attached, in the slot ROOT. Overlayfs clones the mounts of its layers:
    what lies below them does not come along, and they may change their place afterwards."""
    pointer, folder = layers["pointer"], layers["folder"]
    if layers["upper"] == "tmpfs":
        yield from _tmpfs(layers)
    yield pointer, ops.open_host(folder, O_PATH | O_DIRECTORY, TARGET)
    yield pointer, ops.fchdir(TARGET)
    yield pointer, ops.fsopen("overlay", CONTEXT)
    yield pointer, ops.fsconfig(CONTEXT, "source", "overlay")
    numbers = ":".join(map(str, range(len(layers["lowers"]))))
    yield pointer, ops.fsconfig(CONTEXT, "lowerdir", numbers)
    yield pointer, ops.fsconfig(CONTEXT, "upperdir", f"{TOP}/{UPPER_DIR}")
    yield pointer, ops.fsconfig(CONTEXT, "workdir", f"{TOP}/{WORK_DIR}")
    if layers["userxattr"]:
        # trusted.* is for the first user namespace alone
        yield pointer, ops.fsconfig(CONTEXT, "userxattr", None)
    # Nobody reads it after the container: sync(2) inside need not reach a disk.
    yield pointer, ops.fsconfig(CONTEXT, "volatile", None)
    yield pointer, ops.fsmount(CONTEXT, 0, ROOT)


def _tmpfs(layers: Config) -> Steps:
    """It has a place in this mount namespace only: overlayfs takes no detached one before 6.15."""
    pointer = layers["pointer"]
    yield pointer, ops.fsopen("tmpfs", CONTEXT)
    yield pointer, ops.fsconfig(CONTEXT, "source", "tmpfs")
    yield pointer, ops.fsconfig(CONTEXT, "mode", "700")
    if layers["size"]:
        yield pointer, ops.fsconfig(CONTEXT, "size", layers["size"])
    attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC
    yield pointer, ops.fsmount(CONTEXT, attributes, TREE)
    place = f"{layers['folder']}/{TOP}"
    yield pointer, ops.open_host(place, O_PATH | O_DIRECTORY, TARGET)
    yield pointer, ops.move_mount(TREE, TARGET)
    for name, mode in ((UPPER_DIR, layers["mode"]), (WORK_DIR, 0o700)):
        yield pointer, ops.make_in_root(TREE, f"/{name}", S_IFDIR | mode, 0, TARGET)


def make_apart(layers: Config) -> Steps:
    """The plan of that process, in a mount namespace of its own: the overlay goes to the runtime,
    which hands it to the init."""
    pointer = layers["pointer"]
    yield pointer, ops.open_host("/", O_PATH | O_DIRECTORY, HOST)
    yield pointer, ops.mount_setattr(HOST, AT_RECURSIVE, 0, 0, MS_SLAVE)
    yield from make(layers)
    yield pointer, ops.sync_send(sync.LAYERS, ROOT)

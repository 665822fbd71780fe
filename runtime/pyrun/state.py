# SPDX-License-Identifier: Apache-2.0
"""What is on record about a container, so that any verb can finish or undo what a dead one began.

    <root>/                 0700, the caller's own
    <root>/<id>/            0700; making it claims the id; flock(2) on it is the container's lock
        intent.json         before the first effect: all that undoing takes (bundle, cgroup, hooks)
        fast                the same for verbs that need no Python (shortcut.py)
        state.json          pid and start time as soon as there is a process; phase
        exec                what a process that joins is to have (exec_record.py)
        exec.fifo           `start` writes one byte here; it has a reader while the init waits
        result.fifo         the init reports here why it could not become the user's program
        exit.json           how the init ended, once somebody who waited knows (exit_status.py)
        mounts.json         what `mounts add` has put into it (live_mounts.py)
        trace               when which operation ended, for `start --trace` (trace_file.py)
        hooks.log           what a hook in the container printed last, if it failed
        notify/             mounted in a container that tells when it is ready (notify.py)
        overlay/            of a root made of layers: what the container wrote (layers.py)

Files are replaced whole (temporary name, rename). A pid is believed only with the start time and
boot that were recorded with it.
"""

from __future__ import annotations

import errno
import fcntl
import os

from pyrun import jsonscan
from pyrun.errors import Error, UnreadError, from_os, reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.types import Config, Options

INTENT = "intent.json"
CACHE = ".cache"  # no container: of all of them
STATE = "state.json"
FAST = "fast"
EXEC = "exec"
EXEC_FIFO, RESULT_FIFO = "exec.fifo", "result.fifo"
HOOKS_LOG = "hooks.log"
OVERLAY = "overlay"
ID_MAX = 255
_ID_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+.-")
# What every verb relies on: a record without it is not one of ours, or was damaged.
_MEMBERS: dict[str, dict[str, type]] = {
    INTENT: {
        "ociVersion": str,
        "id": str,
        "bundle": str,
        "rootfs": str,
        "created": str,
        "boot_id": str,
        "cgroup": dict,
        "annotations": dict,
        "hooks": dict,
        "own_pids": bool,
        "umask": int,
    },
    STATE: {"init_process_pid": int, "init_process_start": int, "phase": str},
}
_NO_FILE = (errno.ELOOP, errno.EISDIR, errno.ENXIO)  # somebody put something else in its place
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def check_id(container_id: str) -> str:
    """The id itself, if it is one. Raises Error."""
    if container_id in ("", ".", "..", CACHE) or not _ID_CHARACTERS.issuperset(container_id):
        raise Error(
            f"invalid container ID {container_id!r}",
            hint=f"letters, digits and _ + . - are allowed, but not . .. {CACHE} themselves",
        )
    if len(container_id) > ID_MAX:
        raise Error(f"invalid container ID: longer than {ID_MAX} characters")
    return container_id


def root_path(opts: Options) -> str:
    """The folder of all containers: --root, else what fits the caller."""
    path: str = opts.get("root") or ""
    if path:
        path = os.path.abspath(path)
        if path == "/":
            raise Error("--root: / itself can't be the folder of containers' state")
        return path
    if os.geteuid() == 0 and (os.environ.get("USER") == "root" or not in_user_namespace()):
        return "/run/pyrun"
    runtime_dir = os.environ.get("XDG_RUNTIME_DIR", "")
    if runtime_dir:
        return os.path.join(runtime_dir, "pyrun")
    if os.geteuid() != 0:
        raise Error(
            "XDG_RUNTIME_DIR is not set",
            hint="without privileges it says where state is kept; or pass --root DIR",
        )
    return "/run/pyrun"


def in_user_namespace() -> bool:
    """Whether we are in another user namespace than the machine's first: user_namespaces(7)."""
    fd = os.open("/proc/self/uid_map", os.O_RDONLY | os.O_CLOEXEC)
    text = os.read(fd, 4096)
    os.close(fd)
    return text.split() != [b"0", b"0", b"4294967295"]


def open_root(path: str, make: bool) -> int:
    """The folder as a descriptor. Raises Error if it isn't the caller's alone (R13)."""
    try:
        if make:
            os.makedirs(path, 0o700, exist_ok=True)
        fd = os.open(path, _FOLDER)
    except OSError as error:
        raise from_os(error, f"state folder {path}") from None
    _check_owner(path, fd)
    if make:
        mode = os.fstat(fd).st_mode & 0o1777
        wanted = mode & 0o1700
        if os.path.dirname(path) == os.environ.get("XDG_RUNTIME_DIR"):
            # The basedir specification: without it, what is old there may be cleared away.
            wanted |= 0o1000
        if mode != wanted:
            os.fchmod(fd, wanted)
    return fd


def _check_owner(path: str, fd: int) -> None:
    """What is on record there names hooks to run and cgroups to kill."""
    owner = os.fstat(fd).st_uid
    if owner != os.geteuid():
        os.close(fd)
        raise Error(f"state folder {path}: it belongs to another user (uid {owner})")


class Container:
    """One container's folder: the descriptor, and what was read from it."""

    __slots__ = ("fd", "id", "intent", "path", "root_fd", "state")

    def __init__(self, root: str, root_fd: int, container_id: str, fd: int) -> None:
        self.id = container_id
        self.path = f"{root}/{container_id}"
        self.root_fd = root_fd
        self.fd = fd
        self.intent: Config = {}
        self.state: Config = {}

    def read(self) -> None:
        """Read both records; a missing one is {}. Raises Error for a damaged one, by its path."""
        self.intent = self._read(INTENT)
        self.state = self._read(STATE)

    def salvage(self) -> None:
        """As read(), for who takes the container away: the cgroup of the intent has its processes,
        whatever has become of the pid's record; and the other way round."""
        try:
            self.intent = self._read(INTENT)
        except UnreadError:
            raise
        except Error as error:
            from pyrun import salvage  # only then

            self.intent = salvage.intent(self, error)
        try:
            self.state = self._read(STATE)
        except Error as error:
            if isinstance(error, UnreadError) or not self.intent.get("cgroup", {}).get("paths"):
                raise
            self.state = {}

    def read_state(self) -> Config:
        """The pid's record; {} if it is missing. Raises Error for a damaged one."""
        return self._read(STATE)

    def _read(self, name: str) -> Config:
        return self.read_record(name, _MEMBERS[name])

    def read_record(self, name: str, members: dict[str, type]) -> Config:
        """A JSON file that has these members at least; {} if it is missing. Raises Error for a
        damaged one."""
        try:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
            fd = os.open(name, flags, dir_fd=self.fd)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise self._unread(error, name) from None
        try:
            data = os.read(fd, os.fstat(fd).st_size)  # replaced whole, so it does not grow
        except OSError as error:
            raise self._unread(error, name) from None
        finally:
            os.close(fd)
        value = jsonscan.loads(data, f"{self.path}/{name}")
        if not isinstance(value, dict):
            raise Error(f"{self.path}/{name}: damaged: not a JSON object")
        for member, kind in members.items():
            if not isinstance(value.get(member), kind):
                raise Error(f"{self.path}/{name}: damaged: no {member}, or another type")
        return value

    def _unread(self, error: OSError, name: str) -> Error:
        kind = Error if error.errno in _NO_FILE else UnreadError
        return kind(f"read {self.path}/{name}: {reason(error.errno or 0)}")

    def write_intent(self) -> None:
        """Before the first effect."""
        self.write_record(INTENT, self.intent)

    def write_state(self) -> None:
        """Whenever pid or phase change."""
        self.write_record(STATE, self.state)

    def write_record(self, name: str, value: Config) -> None:
        """Put a record in place. Raises Error."""
        self.replace(name, jsonscan.dumps(value).encode(), lasting=True)

    def replace(self, name: str, data: bytes, *, lasting: bool = False) -> None:
        """Put a file in place, whole; `lasting`: it survives the machine. Raises Error."""
        temporary = f".{name}.{os.getpid()}"
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
            fd = os.open(temporary, flags, 0o600, dir_fd=self.fd)
            try:
                if os.write(fd, data) != len(data):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                if lasting and not self._in_memory(fd):
                    os.fdatasync(fd)
            finally:
                os.close(fd)
            os.rename(temporary, name, src_dir_fd=self.fd, dst_dir_fd=self.fd)
        except OSError as error:
            raise from_os(error, f"write {self.path}/{name}") from None

    @staticmethod
    def _in_memory(fd: int) -> bool:
        # Only a tmpfs has no block device behind its st_dev; the usual /run is one.
        return os.major(os.fstat(fd).st_dev) == 0

    def share_lock(self) -> bool:
        """Hold the container's lock together with others who change nothing; False if somebody who
        does has it."""
        try:
            fcntl.flock(self.fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            raise from_os(error, f"lock {self.path}") from None
        return True

    def lock(self, wait: bool) -> bool:
        """Take the container's lock; without `wait`, say whether it was free."""
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            return False
        except OSError as error:
            raise from_os(error, f"lock {self.path}") from None
        return True

    def unlock(self) -> None:
        """Give the container's lock back, before what may take long and changes nothing. It is no
        failure of what was done under it: the lock goes with the descriptor at the latest."""
        try:
            fcntl.flock(self.fd, fcntl.LOCK_UN)
        except OSError:
            return

    def gone(self) -> bool:
        """Whether somebody removed the folder between our opening and locking it."""
        return os.fstat(self.fd).st_nlink == 0

    def remove(self) -> None:
        """Remove the folder and what is in it: names are given up last-first, the intent last."""
        names = sorted(os.listdir(self.fd), key=lambda name: (name == INTENT, name))
        for name in names:
            try:
                os.unlink(name, dir_fd=self.fd)
            except FileNotFoundError:
                continue
            except IsADirectoryError:
                self._remove_tree(name)
            except OSError as error:
                raise from_os(error, f"remove {self.path}/{name}") from None
        try:
            os.rmdir(self.id, dir_fd=self.root_fd)
        except FileNotFoundError:
            return
        except OSError as error:
            raise from_os(error, f"remove {self.path}") from None

    def _remove_tree(self, name: str) -> None:
        # Only a root made of layers has one, or who tells when it is ready.
        from pyrun import removal

        try:
            removal.remove(self, name)
        except OSError as error:
            raise from_os(error, f"remove {self.path}/{name}") from None


def claim(opts: Options, container_id: str) -> Container:
    """A new container's folder, locked: exactly one caller gets it. Raises Error.

    A folder without an intent whose lock is free is what a killed create left before it had made
    anything: it may be claimed again.
    """
    check_id(container_id)
    root = root_path(opts)
    root_fd = open_root(root, make=True)
    for _ in range(100):
        try:
            os.mkdir(container_id, 0o700, dir_fd=root_fd)
        except FileExistsError:
            pass
        except OSError as error:
            raise from_os(error, f"make {root}/{container_id}") from None
        try:
            fd = os.open(container_id, _FOLDER, dir_fd=root_fd)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise from_os(error, f"open {root}/{container_id}") from None
        container = Container(root, root_fd, container_id, fd)
        if container.lock(wait=False) and not container.gone():
            if not os.listdir(fd) or not _exists(fd, INTENT):
                return container
            break
        if not container.gone():
            break
        os.close(fd)
    raise Error(f"container with given ID already exists: {container_id}")


def _exists(folder: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def find(opts: Options, container_id: str, *, salvage: bool = False) -> Container | None:
    """The folder of a container that is there, with its records read; None if there is none.

    With `salvage`, a damaged record of its pid will do. Raises Error.
    """
    check_id(container_id)
    root = root_path(opts)
    try:
        root_fd = os.open(root, _FOLDER)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise from_os(error, f"state folder {root}") from None
    _check_owner(root, root_fd)
    return find_in(root, root_fd, container_id, salvage=salvage)


def find_in(
    root: str, root_fd: int, container_id: str, *, salvage: bool = False
) -> Container | None:
    """As find(), in an open folder of containers."""
    try:
        fd = os.open(container_id, _FOLDER, dir_fd=root_fd)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise from_os(error, f"open {root}/{container_id}") from None
    container = Container(root, root_fd, container_id, fd)
    try:
        (container.salvage if salvage else container.read)()
    except Error:
        os.close(fd)
        raise
    return container


def require(opts: Options, container_id: str) -> Container:
    """As find(); Error in the words that engines look for if there is none."""
    container = find(opts, container_id)
    if container is None or not container.intent:
        raise no_such(container_id)
    return container


def hold(opts: Options, container_id: str) -> Container:
    """As require(), with the container's lock: nobody starts or deletes it meanwhile."""
    container = require(opts, container_id)
    container.lock(wait=True)
    container.read()
    if container.gone() or not container.intent:
        raise no_such(container_id)
    return container


def no_such(container_id: str) -> Error:
    """In the words that engines look for."""
    return Error(f"container does not exist: {container_id}")

# SPDX-License-Identifier: Apache-2.0
"""Taking a container away: its processes, its cgroup, poststop hooks, its folder. Each step can be
repeated, so that a teardown that was killed is finished by the next one."""

from __future__ import annotations

import errno
import os

from pyrun import init, log
from pyrun.errors import Error, from_os, reason
from pyrun.linux import SIGNALS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.state import Container
    from pyrun.types import Config

PATIENCE = 10.0  # seconds that a killed init gets to end


def kill(container: Container) -> None:
    """End every process of the container, and wait until its init is gone. Raises Error."""
    pidfd = init.open_init(container)
    if pidfd >= 0:
        init.signal(pidfd, SIGNALS["KILL"])
    for cgroup in _cgroups(container):
        from pyrun.cgroup import procs

        # Without a pid namespace the others outlive the init.
        procs.kill(cgroup, SIGNALS["KILL"])
    if pidfd < 0:
        return
    _reap(container.state["init_process_pid"])
    if not init.wait_end(pidfd, PATIENCE):
        os.close(pidfd)
        raise Error(f"container init (pid {container.state['init_process_pid']}) does not die")
    os.close(pidfd)


def _cgroups(container: Container) -> list[Config]:
    """Those that have to go: of a restore that was killed, that of CRIU comes first. After a reboot
    a cgroup of that name is somebody else's."""
    records = (container.intent.get(name) for name in ("restoring", "cgroup"))
    found = [record for record in records if record and record["paths"]]
    return found if found and init.is_of_this_boot(container) else []


def _reap(pid: int) -> None:
    """If it is our own child, as in `run` and in a create that is undone."""
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:
        return


def finish(container: Container) -> None:
    """With no process left: cgroup, resctrl groups, poststop hooks, folder, in this order. Raises
    Error."""
    for cgroup in _cgroups(container):
        from pyrun.cgroup import driver

        driver.destroy(cgroup)
    rdt = container.intent.get("intel_rdt")
    if rdt and init.is_of_this_boot(container):
        from pyrun import intel_rdt

        intel_rdt.remove(rdt, created=_was_created(container))
    poststop(container)
    container.remove()


def poststop(container: Container) -> None:
    """Of a container that was created, or whose createRuntime hooks had begun. A failure is a
    warning: the rest runs, as runtime.md says."""
    wanted = (container.intent.get("hooks") or {}).get("poststop") or []
    if wanted and (container.state.get("hooks_begun") or _was_created(container)):
        # Only a container that has such hooks needs the module.
        from pyrun import lifecycle_hooks

        for error in lifecycle_hooks.run_all(container, "poststop", wanted, init.STOPPED, 0):
            log.warning(str(error))


def delete(container: Container) -> None:
    """After the end of one that we have waited for, without its lock. Raises Error."""
    container.lock(wait=True)
    if not container.gone():  # else somebody was faster
        kill(container)
        finish(container)


def _was_created(container: Container) -> bool:
    return bool(container.state.get("phase") == init.CREATED)


def undo(container: Container) -> None:
    """After a failed create: as if it had not been. A failure of this is added to the log only:
    the first error is the one to report, and `delete --force` can try again."""
    try:
        kill(container)
        finish(container)
    except (Error, OSError) as error:
        log.warning(f"cleaning up: {error}")


def write_pid_file(path: str, pid: int) -> None:
    """The pid in decimal without a newline, put in place whole; 0644, as runc's. Raises Error."""
    temporary = os.path.join(
        os.path.dirname(path) or ".", f".{os.path.basename(path)}.{os.getpid()}"
    )
    forget(temporary)  # a killed create with our pid may have left one
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(temporary, flags, 0o644)
        try:
            os.fchmod(fd, 0o644)
            os.write(fd, str(pid).encode())
        finally:
            os.close(fd)
        os.rename(temporary, path)
    except OSError as error:
        forget(temporary)
        raise from_os(error, f"write the pid file {path}") from None


def forget(path: str) -> None:
    """Unlink a file that may be there."""
    try:
        os.unlink(path)
    except OSError as error:
        if error.errno != errno.ENOENT:
            log.debug(f"unlink {path}: {reason(error.errno or 0)}")

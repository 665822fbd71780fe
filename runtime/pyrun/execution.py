# SPDX-License-Identifier: Apache-2.0
"""Bringing a process into a container that lives: from what is asked for to a program that runs.
Whatever fails, nothing is left of it and the container does not notice."""

from __future__ import annotations

import errno
import os
import sys
import time

from pyrun import (
    caller,
    exec_process,
    exec_record,
    exec_template,
    init,
    interruption,
    launch,
    log,
    process_limits,
    sync,
    teardown,
)
from pyrun.cgroup.entry import Entry
from pyrun.compile import exec_order, joining, process
from pyrun.errors import Error, from_os
from pyrun.living import Living
from pyrun.terminal_rules import check_terminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.launch import Answer, Child
    from pyrun.state import Container
    from pyrun.types import Config, Facts, Options, Step

# Where CLONE_INTO_CGROUP is refused, moving the process tells why, or finds another way.
NOT_INTO = (errno.EBUSY, errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENODEV, errno.EOPNOTSUPP)
SIGKILL = 9
PATIENCE = 2.0  # seconds that a process which is undone gets to end


class Execution:
    """One process that joins: what has been made for it so far."""

    def __init__(self, container: Container, opts: Options) -> None:
        """Everything that comes before the first effect. Raises Error."""
        self.container = container
        self.opts = opts
        record, program = exec_record.read(container)
        self.own: Config = record["process"]
        self.file = exec_process.read(opts)
        asked = exec_process.wanted(opts, self.own, self.file)
        notes = container.intent["annotations"]  # which `create` has checked
        self.config: Config = {"process": asked, "linux": record["linux"], "annotations": notes}
        check_terminal(self.config, opts, detach=opts["detach"])
        # Until it is in its cgroup: `pause` shall not freeze it half-way there. Who has the lock
        # may well be waiting for us (a poststart hook that runs exec): then without.
        container.share_lock()
        self.living = Living(container, paused_too=opts["ignore_paused"])
        self.config["linux"]["namespaces"] = self.living.namespaces
        self.entry = Entry(container.intent["cgroup"], opts["cgroup"])
        self.facts = {**record["facts"], "seccomp": program, **self._facts()}
        self.steps: list[Step] = exec_order.compile_exec(self.config, self.facts)
        self.child: Child | None = None
        self.master = -1
        self.pid_file = ""

    def _facts(self) -> Facts:
        caller.check_kernel(os.uname().release)
        capabilities = caller.effective_capabilities()
        preserve, listen = caller.inherited(self.opts["preserve_fds"])
        joins = any(entry["type"] == "user" for entry in self.living.namespaces)
        return {
            "id": self.container.id,
            "byteorder": sys.byteorder,
            "capabilities": capabilities,
            "privileged": caller.is_privileged(capabilities),
            # root of the user namespace may, unless that denies it to everybody
            "may_setgroups": not (joins and self.living.denies_setgroups),
            "preserve_fds": preserve,
            "extra_env": listen,
            "umask": self.opts["umask"],
            "security_modules": caller.security_modules(self.config),
            "memory_nodes": caller.memory_nodes(self.config),
            "landlock_abi": caller.landlock_abi(self.config),
        }

    def join(self) -> Child:
        """Until the process is about to become the user's program. Raises Error, with nothing left
        behind."""
        interruption.catch()
        try:
            child = self.child = self._spawn()
            launch.serve(child, self._answers(), sync.READY, self.steps, self.config)
            self._ready(child)
        except BaseException as error:  # noqa: BLE001 - also an interrupt is undone, and raised
            self.undo()
            raise self._why(error) from None
        return child

    def prepare_to_wait(self) -> int:
        """As waiter.prepare(). Raises Error as join()."""
        from pyrun import waiter

        try:
            return waiter.prepare()
        except Error:
            self.undo()
            raise

    def run(self, child: Child) -> None:
        """Let it become the user's program, and see that it does. Raises Error as join()."""
        try:
            launch.go(child, self.steps, self.config)
            launch.serve(child, {}, 0, self.steps, self.config)
            launch.check_begun(child)
            interruption.ignore()  # in time: who ends us has it undone, or it runs
        except BaseException as error:  # noqa: BLE001 - as above
            self.undo()
            raise self._why(error) from None
        os.close(child.socket)
        log.debug(f"container {self.container.id}: process {child.pid} has joined")
        exec_template.leave(self)

    def _spawn(self) -> Child:
        """The executor, in the container's cgroup, with its plan."""
        donated = self._donate()
        try:
            child = self.child = self._clone()
            self.container.unlock()
            process_limits.write_oom_score(child.pid, self.config)
            launch.send_plan(child, self.steps, donated)
        finally:
            for fd in donated:
                os.close(fd)
        return child

    def _clone(self) -> Child:
        """A process that starts in a frozen cgroup would hold us up with it: it comes in later."""
        title = f"pyrun:exec {self.container.id}"
        preserve, privileged = self.facts["preserve_fds"], self.facts["privileged"]
        before = self._narrow_affinity()
        into = -1 if self.living.paused else self.entry.open()
        try:
            if into >= 0:
                try:
                    self.child = launch.spawn(title, 0, into, preserve, privileged)
                    self.entry.move(self.child.pid, self.living.pid, born=True)
                    return self.child
                except launch.NoSpawnError as error:
                    if error.number not in NOT_INTO:
                        raise
                finally:
                    os.close(into)
            self.child = launch.spawn(title, 0, -1, preserve, privileged)
        finally:
            if before:
                os.sched_setaffinity(0, before)
        if self.living.paused:
            self.container.unlock()  # or nobody could resume it
        self.entry.move(self.child.pid, self.living.pid)
        return self.child

    def _narrow_affinity(self) -> set[int]:
        """process.execCPUAffinity.initial is for us, before the process moves into its cgroup; the
        CPUs that we had, if that is a change. Raises Error."""
        wanted = (self.config["process"].get("execCPUAffinity") or {}).get("initial")
        if not wanted:
            return set()
        from pyrun.compile import number_list  # rare

        before = os.sched_getaffinity(0)
        try:
            os.sched_setaffinity(0, number_list.numbers(wanted, number_list.CPUS))
        except OSError as error:
            pointer = f"{joining.AFFINITY}/initial"
            raise from_os(error, "sched_setaffinity", pointer, "no such CPU is online") from None
        return before

    def _donate(self) -> list[int]:
        """What the plan's first slots stand for, in order (compile/joining.py)."""
        fds: list[int] = []
        path = ""
        try:
            for kind, *details in joining.donations(self.config, self.facts):
                if kind == "init":
                    fds.append(os.dup(self.living.pidfd))
                elif kind == "root":
                    path = f"/proc/{self.living.pid}/root"
                    fds.append(os.open(path, os.O_PATH | os.O_DIRECTORY))
                else:
                    path = details[-1]
                    fds.append(os.open(path, os.O_RDONLY))
            self.living.check()
        except BaseException as error:
            for fd in fds:
                os.close(fd)
            if isinstance(error, OSError):
                raise from_os(error, f"open {path}") from None
            raise
        return fds

    def _answers(self) -> dict[int, Answer]:
        return {0: self._forked, sync.CONSOLE: self._console, sync.LISTENER: self._send_listener}

    def _forked(self, child: Child, _fd: int) -> None:
        launch.reap_stages(child)

    def _console(self, _child: Child, fd: int) -> None:
        # Only for a process with a terminal.
        from pyrun import console

        self.master = console.hand_over(self.opts["console_socket"], fd)

    def _send_listener(self, child: Child, fd: int) -> None:
        # Only for profiles with SCMP_ACT_NOTIFY.
        from pyrun import seccomp_agent

        try:
            seccomp_agent.send(self.container, self.config, child.pid, fd, init.RUNNING)
        finally:
            os.close(fd)

    def _ready(self, child: Child) -> None:
        """All that a caller may rely on when we return 0."""
        process_limits.set_rlimits(child.pid, self.config)
        groups = self.container.intent.get("intel_rdt")
        if groups:
            # Only on processors with resctrl.
            from pyrun import intel_rdt

            intel_rdt.join(groups, child.pid)
        if self.opts["pid_file"]:
            teardown.write_pid_file(self.opts["pid_file"], child.pid)
            self.pid_file = self.opts["pid_file"]
        if self.opts["pidfd_socket"]:
            from pyrun import console

            console.send(self.opts["pidfd_socket"], child.pidfd, "pidfd")

    def undo(self) -> None:
        """As if it had not been."""
        interruption.ignore()
        if self.pid_file:
            teardown.forget(self.pid_file)
        if self.child is None:
            return
        init.signal(self.child.pidfd, SIGKILL)
        os.close(self.child.socket)  # whom it has forked, and we have not heard of, ends by this
        deadline = time.monotonic() + PATIENCE
        try:
            # One in a frozen cgroup ends when that goes on.
            while time.monotonic() < deadline:
                if os.waitpid(-1, os.WNOHANG) == (0, 0):
                    time.sleep(0.001)
        except ChildProcessError:
            return

    def _why(self, error: BaseException) -> BaseException:
        """In the words of who called: there need not be a config.json."""
        if isinstance(error, launch.DiedError):
            hint = "killed, or the container's memory limit leaves no room for it"
            if process.has_listener(self.facts):
                hint = "does the seccomp profile allow what a listener takes? " + process.TAKEN
            return Error("the process died on its way into the container", hint=hint)
        return error

# SPDX-License-Identifier: Apache-2.0
"""--trace: how long every step of a verb takes, on both sides of the namespaces.

Nothing else knows of it: when it is asked for, the functions that are the steps are replaced by
ones that note the time, each as its module is loaded, and every module's load is a step. The
executor notes in a file that it shares with us when it got its plan and when each operation ended
(plan.h): 64-bit numbers of nanoseconds, 0 where there is none yet. `create` keeps that file in the
state folder, for a `start` that is traced as well.

Nothing is loaded for it, and nothing made into words, before all is over.
"""

from __future__ import annotations

import os
import sys
import time

from pyrun.errors import from_os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

    from pyrun.launch import Child
    from pyrun.state import Container
    from pyrun.types import Options, Step

    Slice = tuple[str, str, int, int]  # what, its kind, begin and end in nanoseconds

NAME = "trace"  # in the state folder
WORD = 8  # bytes of a time
# Module -> the functions and methods in it that are steps, and what they do.
STEPS: dict[str, dict[str, str]] = {
    "pyrun.commands.create": {"prepare": "prepare"},
    "pyrun.commands.run": {"prepare": "prepare", "_start": "start the program"},
    "pyrun.prepare": {
        "gather": "gather config and facts",
        "check": "check rules of the config",
        "complete": "make the plan",
        "plan_cgroup": "plan the cgroup",
    },
    "pyrun.config": {"load": "load the config"},
    "pyrun.host": {"gather": "gather facts of the host"},
    "pyrun.seccomp": {"program": "get the seccomp program"},
    "pyrun.compile.order": {"compile_init": "compile"},
    "pyrun.plan": {"encode": "encode the plan"},
    "pyrun.creation": {
        "Creation.create": "create",
        "Creation._write_intent": "write the intent",
        "Creation._make_cgroup": "make the cgroup",
        "Creation._make_layers": "make place for layers",
        "Creation._record": "record the init",
        "Creation._donate": "open what is donated",
        "Creation._ready": "record the container",
        "Creation.undo": "undo everything",
    },
    "pyrun.state": {
        "claim": "claim the id",
        "hold": "hold the container",
        "require": "find the container",
    },
    "pyrun.cgroup.driver": {"create": "create the cgroup", "join": "join the cgroup"},
    "pyrun.launch": {"spawn": "spawn the executor", "seal": "seal a memfd"},
    "pyrun.idmaps": {"write_maps": "write id maps", "write_time_offsets": "write time offsets"},
    "pyrun.shortcut": {"leave": "leave the launcher its file"},
    "pyrun.exec_record": {"leave": "leave exec its record", "read": "read the record"},
    "pyrun.hooks": {"_run": "run a hook"},
    "pyrun.net_devices": {"Move.move": "move network devices"},
    "pyrun.idmapped_mounts": {"set_maps": "id-map a mount"},
    "pyrun.layers": {"made_apart": "make the layers"},
    "pyrun.starting": {"start": "start", "poststart": "after the start"},
    "pyrun.teardown": {"kill": "kill", "finish": "remove"},
    "pyrun.execution": {
        "Execution.__init__": "prepare",
        "Execution.join": "join the container",
        "Execution._spawn": "spawn the process",
        "Execution._ready": "record the process",
        "Execution.run": "start the program",
    },
    "pyrun.compile.exec_order": {"compile_exec": "compile"},
    "pyrun.process_limits": {"set_rlimits": "set limits", "write_oom_score": "write oom_score_adj"},
}


def run(verb: str, opts: Options, load: Callable[[str], Any]) -> int:
    """Run a verb, whose module `load` gets by its name, and write the trace, whatever becomes of
    it. Raises Error, also for a file that can't be written."""
    trace = Trace(verb, opts["trace"])
    trace.install()
    try:
        return int(load(f"pyrun.commands.{verb}").run(opts))
    finally:
        trace.write()


class Plan:
    """A plan, who carries it out, and the file of its times."""

    def __init__(self, child: Child, steps: list[Step], folder: int) -> None:
        """`folder` is the container's, or -1 for a plan that ends before we do. Raises OSError."""
        self.child = child
        self.steps = steps
        self.donated: list[tuple[str, ...]] = []
        self.kept = folder >= 0
        self.end = 0  # when the program ran: the last operations can't tell
        self.clock = ""  # of the init, while it is there to be asked
        if self.kept:
            flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
            self.fd = os.open(NAME, flags, 0o600, dir_fd=folder)
        else:
            self.fd = os.memfd_create(NAME, os.MFD_CLOEXEC)
        os.pwrite(self.fd, bytes(WORD * (len(steps) + 1)), 0)

    @property
    def pid(self) -> int:
        """The init's, once there is no first stage any more."""
        return self.child.pid


class Trace:
    """What was noted so far."""

    def __init__(self, verb: str, path: str) -> None:
        """Raises Error if there can be no such file."""
        self.now = time.monotonic_ns
        # An estimate: what this process has computed, from the launcher on.
        self.begin = self.now() - time.process_time_ns()
        self.verb = verb
        self.path = path
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY
        try:
            self.file = os.open(path, flags, 0o600)
        except OSError as error:
            raise from_os(error, f"--trace {path}") from None
        self.slices: list[Slice] = []
        self.plans: list[Plan] = []
        self.container: Container | None = None
        self.started: tuple[Container, int, int, str] | None = None
        self.donated: list[tuple[str, ...]] = []
        self.written = False
        self.slices.append(("start of the interpreter", "load", self.begin, self.now()))

    def install(self) -> None:
        """From here on, what is loaded notes its time; and what is loaded already."""
        sys.meta_path.insert(0, Finder(self, list(sys.meta_path)))
        for name in [name for name in sys.modules if name.startswith("pyrun.")]:
            self.attach(name)

    def attach(self, name: str) -> None:
        """Replace the steps of a module."""
        module = sys.modules[name]
        for path, what in STEPS.get(name, {}).items():
            owner, attribute = _place(module, path)
            setattr(owner, attribute, self.timed(getattr(owner, attribute), what))
        for path, wrap in self._special().get(name, {}).items():
            owner, attribute = _place(module, path)
            setattr(owner, attribute, wrap(getattr(owner, attribute)))

    def timed(self, function: Callable[..., Any], what: str, kind: str = "step") -> Any:
        """The function, with its time noted."""

        def step(*words: Any, **named: Any) -> Any:
            start = self.now()
            try:
                return function(*words, **named)
            finally:
                self.slices.append((what, kind, start, self.now()))

        return step

    def _special(self) -> dict[str, dict[str, Callable[..., Any]]]:
        """Those of which more than the time is noted."""
        return {
            "pyrun.state": {"claim": self._keep_container, "hold": self._keep_container},
            "pyrun.creation": {"donations": self._keep_donations},
            "pyrun.compile.joining": {"donations": self._keep_donations},
            "pyrun.launch": {"send_plan": self._with_times, "serve": self._until_served},
            "pyrun.starting": {"_wait": self._until_it_runs},
            "pyrun.waiter": {"become": self._before_waiting},
        }

    def _keep_container(self, function: Callable[..., Container]) -> Any:
        def keep(*words: Any, **named: Any) -> Container:
            self.container = function(*words, **named)
            return self.container

        return keep

    def _keep_donations(self, function: Callable[..., list[tuple[str, ...]]]) -> Any:
        def keep(*words: Any) -> list[tuple[str, ...]]:
            self.donated = function(*words)
            return self.donated

        return keep

    def _with_times(self, function: Callable[..., None]) -> Any:
        def send_plan(child: Child, steps: list[Step], donated: list[int]) -> None:
            from pyrun import launch

            later = any(op[0] == "wait_start" for _, op in steps)
            plan = Plan(child, steps, self.container.fd if later and self.container else -1)
            plan.donated = self.donated if donated else []
            self.plans.append(plan)
            launch.send_times(child, plan.fd)
            self.timed(function, "send the plan")(child, steps, donated)

        return send_plan

    def _until_served(self, function: Callable[..., None]) -> Any:
        def serve(child: Child, answers: Any, until: int, *more: Any) -> None:
            self.timed(function, "wait for the executor", "wait")(child, answers, until, *more)
            for plan in self.plans:
                if plan.child is child and until:
                    plan.clock = clock_of(child.pid)
                elif plan.child is child:
                    plan.end = self.now()  # execve(2) has closed the socket

        return serve

    def _until_it_runs(self, function: Callable[[int], bytes]) -> Any:
        def wait(result: int) -> bytes:
            assert self.container
            clock = clock_of(self.container.state["init_process_pid"])
            report: bytes = self.timed(function, "wait for the program", "wait")(result)
            end = 0 if report else self.now()
            try:
                flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
                fd = os.open(NAME, flags, dir_fd=self.container.fd)
            except FileNotFoundError:
                return report  # `create` was not traced
            self.started = (self.container, fd, end, clock)
            return report

        return wait

    def _before_waiting(self, function: Callable[..., NoReturn]) -> Any:
        def become(*words: Any) -> NoReturn:
            self.write()
            function(*words)

        return become

    def write(self) -> None:
        """Once. Raises Error."""
        if self.written:
            return
        self.written = True
        span = (self.begin, self.now())
        slices = list(self.slices)
        from pyrun import trace_file

        try:
            for plan in self.plans:
                if plan.kept:
                    trace_file.keep(plan)
            text = trace_file.text(self.verb, span, slices, self.plans, self.started)
            view = memoryview(text.encode())
            while view:
                view = view[os.write(self.file, view) :]
            os.close(self.file)
        except OSError as error:
            raise from_os(error, f"--trace {self.path}") from None


def clock_of(pid: int) -> str:
    """By what the clocks of a process are ahead of the machine's, as time_namespaces(7) has it."""
    try:
        fd = os.open(f"/proc/{pid}/timens_offsets", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""  # it has ended, or there are no time namespaces
    text = os.read(fd, 1024)
    os.close(fd)
    return text.decode()


def _place(module: Any, path: str) -> tuple[Any, str]:
    """Whose attribute it is, the module's or a class's in it, and its name."""
    owner, _, name = path.rpartition(".")
    return (getattr(module, owner) if owner else module), name


class Finder:
    """Finds modules as the others do, and has their load noted: importlib.abc.MetaPathFinder."""

    def __init__(self, trace: Trace, others: list[Any]) -> None:
        self.trace = trace
        self.others = others

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        """The first that one of the others finds."""
        for finder in self.others:
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = Loader(self.trace, spec.loader)
                return spec
        return None


class Loader:
    """Another loader, and the time that it takes: importlib.abc.Loader."""

    def __init__(self, trace: Trace, other: Any) -> None:
        self.trace = trace
        self.other = other

    def create_module(self, spec: Any) -> Any:
        """As the other."""
        return self.other.create_module(spec)

    def exec_module(self, module: Any) -> None:
        """As the other, which the module shall know."""
        name = module.__name__
        module.__loader__ = module.__spec__.loader = self.other
        self.trace.timed(self.other.exec_module, f"load {name}", "load")(module)
        if name.startswith("pyrun."):
            self.trace.attach(name)

# SPDX-License-Identifier: Apache-2.0
"""Named points between the steps of pyrun, where no system call is. Only a test build (named.py)
has this file, as pyrun/fault.py, and in each module of POINTS a last line that calls place().

PYRUN_FAULT=NAME:before|after:WHAT     WHAT is KILL, STOP, or the name of an error as ENOSPC
                                       NAME is one of POINTS, or an operation of the executor
"""

from __future__ import annotations

import errno
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

SIGKILL, SIGSTOP = 9, 19
POINTS = {
    "pyrun.creation": {
        "intent": "Creation._write_intent",
        "cgroup": "Creation._make_cgroup",
        "record": "Creation._record",
        "ready": "Creation._ready",
    },
    "pyrun.launch": {"spawn": "spawn", "plan": "send_plan", "go": "go"},
    "pyrun.shortcut": {"shortcut": "leave"},
    "pyrun.starting": {"started": "_wait", "fifos": "_forget_fifos", "poststart": "poststart"},
    "pyrun.execution": {"join": "Execution._clone", "joined": "Execution._ready"},
    "pyrun.teardown": {"end": "kill", "finish": "finish", "poststop": "poststop"},
    "pyrun.cgroup.driver": {"destroy": "destroy", "limits": "update"},
    "pyrun.cgroup.procs": {"freeze": "freeze", "thaw": "thaw"},
    "pyrun.state": {"folder": "Container.remove"},
}


def place(scope: dict[str, Any]) -> None:
    """The points of a module, around its functions; `scope` is its globals(). Raises KeyError or
    AttributeError for a function that is not there any more."""
    for name, path in POINTS[scope["__name__"]].items():
        owner, _, function = path.rpartition(".")
        if owner:
            setattr(scope[owner], function, _around(name, getattr(scope[owner], function)))
        else:
            scope[function] = _around(name, scope[function])


def _around(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def act(*words: Any, **rest: Any) -> Any:
        _meet(name, "before")
        if name == "spawn":
            words = (f"{words[0]}\n{_for_executor()}", *words[1:])
        found = function(*words, **rest)
        _meet(name, "after")
        return found

    return act


def _meet(name: str, when: str) -> None:
    place, _, what = os.environ.get("PYRUN_FAULT", "").rpartition(":")
    if place != f"{name}:{when}":
        return
    if what == "KILL":
        os.kill(os.getpid(), SIGKILL)
    if what == "STOP":
        os.kill(os.getpid(), SIGSTOP)
        return
    number = getattr(errno, what)
    raise OSError(number, os.strerror(number))


def _for_executor() -> str:
    """Its environment is empty: behind its title, with the number of the error, 0 for KILL."""
    place, _, what = os.environ.get("PYRUN_FAULT", "").rpartition(":")
    return f"{place}:{getattr(errno, what, 0)}"

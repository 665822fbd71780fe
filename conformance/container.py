# SPDX-License-Identifier: Apache-2.0
"""One container of a check: its bundle, its id, the verbs on it, and how it is looked at."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from conformance.bundle import Bundle
from conformance.runtime import Result, Runtime, eventually

SEPARATOR = "\036\n"  # the payload's, after each answer


class Refused(AssertionError):
    """The runtime did not do what every runtime must be able to do, or what it may refuse."""

    def __init__(self, what: str, result: Result) -> None:
        super().__init__(what, result)
        self.what = what
        self.result = result


class Container:
    """A container that a runtime is asked for."""

    def __init__(self, runtime: Runtime, bundle: Bundle, name: str) -> None:
        self.runtime = runtime
        self.bundle = bundle
        self.id = name
        self.output = bundle.path / "output"

    @property
    def config(self) -> dict[str, Any]:
        """The config that the next verb writes."""
        return self.bundle.config

    # The verbs, which may fail.

    def create(self, *verbs: str, **keywords: Any) -> Result:
        """`create`; what the payload prints goes to a file."""
        if verbs:
            self.bundle.say(*verbs)
        self.bundle.save()
        words = ("create", "--bundle", self.bundle.path, *keywords.pop("flags", ()), self.id)
        with open(self.output, "ab") as output:
            return self.runtime(*words, out=output, **keywords)

    def start(self) -> Result:
        """`start`."""
        return self.runtime("start", self.id)

    def run(self, *verbs: str, **keywords: Any) -> Result:
        """`run` in the foreground."""
        if verbs:
            self.bundle.say(*verbs)
        self.bundle.save()
        return self.runtime("run", "--bundle", self.bundle.path, self.id, **keywords)

    def query(self) -> Result:
        """`state`."""
        return self.runtime("state", self.id)

    def kill(self, signal: str = "KILL") -> Result:
        """`kill`."""
        return self.runtime("kill", self.id, signal)

    def delete(self, *flags: str) -> Result:
        """`delete`."""
        return self.runtime("delete", *flags, self.id)

    # The verbs, which must work.

    def ask(self, *verbs: str, **keywords: Any) -> list[str]:
        """Runs the payload: its answers, one a verb. Raises Refused."""
        result = self.run(*verbs, **keywords)
        found = result.out.split(SEPARATOR)[:-1]
        if result.code != 0 or len(found) != len(verbs):
            raise Refused("a container runs", result)
        return [part.removesuffix("\n") for part in found]

    def created(self, *verbs: str, **keywords: Any) -> Container:
        """create(), or Refused."""
        result = self.create(*(verbs or ("trap",)), **keywords)
        if result.code != 0:
            raise Refused("a container is created", result)
        return self

    def started(self, *verbs: str, **keywords: Any) -> Container:
        """created(), and started, or Refused."""
        self.created(*verbs, **keywords)
        result = self.start()
        if result.code != 0:
            raise Refused("a container is started", result)
        return self

    def stopped(self) -> Container:
        """created(), started and ended, or Refused."""
        self.started("exit 0")
        if not self.becomes("stopped"):
            raise Refused("a container ends", self.query())
        return self

    # How it is looked at.

    def state(self) -> dict[str, Any]:
        """What `state` prints. Raises Refused."""
        result = self.query()
        if result.code != 0:
            raise Refused("state tells of a container", result)
        try:
            found: dict[str, Any] = json.loads(result.out)
        except ValueError:
            raise Refused("state prints JSON", result) from None
        return found

    def status(self) -> str:
        """The status that `state` gives."""
        return str(self.state().get("status"))

    def becomes(self, status: str, seconds: float = 5.0) -> bool:
        """Whether the status becomes this one."""
        return eventually(lambda: self.status() == status, seconds)

    def exists(self) -> bool:
        """Whether `state` knows it."""
        return self.query().code == 0

    @property
    def pid(self) -> int:
        """The container's process, as `state` has it."""
        return int(self.state()["pid"])

    def answers(self) -> list[str]:
        """What the payload of create() has answered so far."""
        parts = self.output.read_text().split(SEPARATOR)[:-1]
        return [part.removesuffix("\n") for part in parts]

    def answered(self, count: int = 1) -> list[str]:
        """Its answers, once there are so many (or the patience is over)."""
        eventually(lambda: len(self.answers()) >= count)
        return self.answers()

    def printed(self, text: str) -> bool:
        """Whether the payload prints this."""
        return eventually(lambda: text in self.output.read_text())

    def namespace(self, kind: str) -> str:
        """The namespace of the container's process, by the kernel's name of the kind."""
        return os.readlink(f"/proc/{self.pid}/ns/{kind}")

    def proc(self, name: str) -> str:
        """A file of the container's process in /proc."""
        return Path(f"/proc/{self.pid}/{name}").read_text()

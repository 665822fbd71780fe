# SPDX-License-Identifier: Apache-2.0
"""Driving a runtime by its command line, as an engine does: pyrun, or one of its peers."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

from life.bundles import Bundle, sentence

NAMES = ("pyrun", "runc", "crun")
TIMEOUT = 20.0  # seconds that any command line may take
NO_FAST = "PYRUN_NO_FAST"  # goes with each command line, whatever environment it is given
KNOWN = {"runc": "1.1.5", "crun": "1.8.1"}  # Debian 12's releases
SEPARATOR = "\036\n"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # where peers are


class Result(NamedTuple):
    """What a command line gave."""

    code: int
    out: str
    err: str

    def answers(self) -> list[str]:
        """The payload's answers, one a verb, without the newline at their end."""
        return [part.rstrip("\n") for part in self.out.split(SEPARATOR)[:-1]]


def eventually(condition: Callable[[], Any], seconds: float = 10.0) -> bool:
    """Whether it becomes true within this time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def ended(process: subprocess.Popen[bytes], seconds: float) -> int:
    """Its exit code, as soon as it has ended; Popen.wait() with a time looks every 50 ms. Raises
    TimeoutExpired, and it is killed."""
    with contextlib.suppress(ProcessLookupError):  # somebody has reaped it
        pidfd = os.pidfd_open(process.pid)
        try:
            poll = select.poll()
            poll.register(pidfd, select.POLLIN)
            if not poll.poll(seconds * 1000):
                process.kill()
                process.wait()
                raise subprocess.TimeoutExpired(process.args, seconds)
        finally:
            os.close(pidfd)
    return process.wait()


def executable(name: str) -> str:
    """The path of a runtime: pyrun's is this environment's, or $PYRUN."""
    if name == "pyrun":
        return os.environ.get("PYRUN") or str(Path(sys.prefix) / "bin/pyrun")
    found = shutil.which(name, path=PATH)
    assert found, f"{name} is not installed"
    return found


@functools.cache
def unknown_release(name: str) -> str:
    """Which one a peer is of, when it is not the one that @differs is about; else ""."""
    path = shutil.which(name, path=PATH)
    if name not in KNOWN or not path:
        return ""
    said = subprocess.run([path, "--version"], capture_output=True, text=True).stdout
    release = re.findall(r"\d+(?:\.\d+)+", said)[0]
    return "" if release == KNOWN[name] else f"{name} {release}: the tests know {KNOWN[name]}"


class Runtime:
    """A runtime with a state folder of its own."""

    def __init__(self, name: str, root: Path, course: str = "") -> None:
        self.name = name
        self.path = executable(name)
        self.root = root
        self.again = course == "again"  # every exec is the second one with these words
        self.warmed = course == "warmed"  # every container is the second one of its bundle

    def command(self, *args: str | Path, options: Sequence[str | Path] = ()) -> list[str]:
        """The words of a command line; `options` are global ones."""
        return [self.path, "--root", str(self.root), *map(str, options), *map(str, args)]

    def popen(
        self,
        *args: str | Path,
        options: Sequence[str | Path] = (),
        prefix: Sequence[str] = (),
        **keywords: Any,
    ) -> subprocess.Popen[bytes]:
        """The command line as a process, for the caller to wait for."""
        if keywords.get("env") is not None and NO_FAST in os.environ:
            keywords["env"] = {NO_FAST: os.environ[NO_FAST], **keywords["env"]}
        return subprocess.Popen([*prefix, *self.command(*args, options=options)], **keywords)

    def __call__(
        self,
        *args: str | Path,
        options: Sequence[str | Path] = (),
        prefix: Sequence[str] = (),
        stdin: str = "",
        timeout: float = TIMEOUT,
        **keywords: Any,
    ) -> Result:
        """Runs a command line. What it prints goes to files: a container that goes on holds them
        open, and nobody shall wait for that."""
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            feed: IO[bytes] = tempfile.TemporaryFile()
            feed.write(stdin.encode())
            feed.seek(0)
            process = self.popen(
                *args,
                options=options,
                prefix=prefix,
                stdin=feed,
                stdout=out,
                stderr=err,
                **keywords,
            )
            feed.close()
            code = ended(process, timeout)
            return Result(code, _content(out), _content(err))


def _content(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode("utf-8", "replace")


class Container:
    """One container: a bundle, an id, and the verbs on it."""

    def __init__(self, runtime: Runtime, bundle: Bundle, name: str) -> None:
        self.runtime = runtime
        self.bundle = bundle
        self.id = name
        self.pid_file = bundle.path / "pid"
        self.output = bundle.path / "output"

    def ask(self, *verbs: str, **keywords: Any) -> list[str]:
        """Runs the payload in the foreground: its answers, one a verb."""
        result = self.run(*verbs, **keywords)
        assert result.code == 0, result
        answers = result.answers()
        assert len(answers) == len(verbs), result
        return answers

    def run(self, *verbs: str, flags: Sequence[str | Path] = (), **keywords: Any) -> Result:
        """`run` in the foreground, with these verbs of the payload (none: args as they are)."""
        if verbs:
            self.bundle.say(*verbs)
        self.bundle.save()
        self._warm("run")
        return self.runtime("run", *flags, "--bundle", self.bundle.path, self.id, **keywords)

    def create(
        self,
        *verbs: str,
        flags: Sequence[str | Path] = (),
        options: Sequence[str | Path] = (),
        prefix: Sequence[str] = (),
        verb: str = "create",
        **keywords: Any,
    ) -> Result:
        """`create`; the container prints into the file `output`."""
        if verbs:
            self.bundle.say(*verbs)
        self.bundle.save()
        self._warm(verb)
        words = [verb, "--bundle", self.bundle.path, "--pid-file", self.pid_file, *flags, self.id]
        with open(self.output, "wb") as output, tempfile.TemporaryFile() as err:
            process = self.runtime.popen(
                *words,
                options=options,
                prefix=prefix,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=err,
                **keywords,
            )
            return Result(ended(process, TIMEOUT), "", _content(err))

    def _warm(self, verb: str) -> None:
        """On that way, another container of this bundle first, which leaves a template. When it
        fails, so will this one, and say why."""
        if not self.runtime.warmed:
            return
        words = self.bundle.config.get("process", {}).get("args", [])
        nothing = [words[0], "exit", *words[2:]] if words[:1] == ["/payload"] and words[1:] else []
        if verb == "run" and not nothing:
            return
        if verb == "run":  # in as many words: what differs is filled in
            self.bundle.process["args"] = nothing
            self.bundle.save()
        null, name = subprocess.DEVNULL, f"{self.id}-before"
        pid_file = self.bundle.path / "pid-before"
        line = [verb, "--bundle", self.bundle.path, "--pid-file", pid_file, name]
        ended(self.runtime.popen(*line, stdin=null, stdout=null, stderr=null), TIMEOUT)
        self.runtime("delete", "--force", name)
        with contextlib.suppress(FileNotFoundError, ChildProcessError):
            os.waitpid(int(pid_file.read_text()), 0)
        pid_file.unlink(missing_ok=True)
        if verb == "run":
            self.bundle.process["args"] = words
            self.bundle.save()

    def created(self, *verbs: str, **keywords: Any) -> Container:
        """create(), which must work."""
        result = self.create(*verbs, **keywords)
        assert result.code == 0, result
        return self

    def started(self, *verbs: str, **keywords: Any) -> Container:
        """created(), and started."""
        self.created(*verbs, **keywords)
        result = self.start()
        assert result.code == 0, result
        return self

    def exec(self, *verbs: str, flags: Sequence[str | Path] = (), **keywords: Any) -> Result:
        """`exec` in the foreground, with these verbs of the payload (none: the flags say it)."""
        words = ["/payload", *sentence(*verbs)] if verbs else []
        stays = {"--detach", "--pidfd-socket", "--preserve-fds"}.intersection(map(str, flags))
        if self.runtime.again and not stays:
            self.runtime("exec", *flags, self.id, *words, **keywords)
        return self.runtime("exec", *flags, self.id, *words, **keywords)

    def exec_ask(self, *verbs: str, **keywords: Any) -> list[str]:
        """exec(), which must work: the payload's answers, one a verb."""
        result = self.exec(*verbs, **keywords)
        assert result.code == 0, result
        answers = result.answers()
        assert len(answers) == len(verbs), result
        return answers

    def start(self, **keywords: Any) -> Result:
        """`start`."""
        return self.runtime("start", self.id, **keywords)

    def state(self) -> dict[str, Any]:
        """`state`, which must work."""
        result = self.runtime("state", self.id)
        assert result.code == 0, result
        assert result.err == ""
        found: dict[str, Any] = json.loads(result.out)
        return found

    def status(self) -> str:
        """The status that `state` gives."""
        return str(self.state()["status"])

    def kill(self, signal: str | int = "KILL", *flags: str) -> Result:
        """`kill`."""
        return self.runtime("kill", *flags, self.id, str(signal))

    def delete(self, *flags: str, **keywords: Any) -> Result:
        """`delete`."""
        return self.runtime("delete", *flags, self.id, **keywords)

    @property
    def pid(self) -> int:
        """The init's, as the pid file has it."""
        return int(self.pid_file.read_text())

    def answers(self) -> list[str]:
        """What the payload of create() has answered so far."""
        return Result(0, self.output.read_text(), "").answers()

    def wait(self, seconds: float = 10.0) -> int:
        """Until the init has ended: its status as waitpid(2) gives it. The test process adopts it,
        as an engine's shim does."""
        pid = self.pid
        status = -1

        def ended() -> bool:
            nonlocal status
            try:
                found, status = os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                return False  # crun's detached run returns before the parent of the init has ended
            return found == pid

        assert eventually(ended, seconds), "the container goes on"
        return os.waitstatus_to_exitcode(status)

    def wait_stopped(self) -> None:
        """Until `state` says so."""
        assert eventually(lambda: self.status() == "stopped")

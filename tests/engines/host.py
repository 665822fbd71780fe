# SPDX-License-Identifier: Apache-2.0
"""A host for an engine alone: its own processes, mounts, network and tree of cgroups, and its own
/etc, /run and folders in which engines keep things. When its first process ends, the kernel ends
all of it, whatever an engine has left; what is below its cgroup is removed then."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import needs
from life.runtimes import executable

from .cgroup import Cgroup

PATIENCE = 120.0 if "PYRUN_SLOW" in os.environ else 60.0  # seconds for a command, or for an event
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
NAMESPACES = ("--mount", "--net", "--pid", "--cgroup")
STORES = ("containers", "docker", "containerd", "cni")  # below /var/lib

# Run by the first process: {cgroups} mounts the hierarchies as its cgroup namespace shows them. The
# propagation is that of a booted machine: mounts are shared. catatonit takes orphans in and reaps
# them, as the first process of a machine does.
BEGIN = """
set -eu
mount --make-rprivate / && mount --make-rshared /
umount -l -R /sys/fs/cgroup
sed -n 's/ - cgroup.*//p' /proc/self/mountinfo | while read -r _ _ _ _ other _; do
    umount -l "$other" # of somebody else's: runc takes the first that it finds
done
{cgroups}
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lock /run/upper /run/work
mount -t overlay -o lowerdir=/etc,upperdir=/run/upper,workdir=/run/work overlay /etc
for store in {stores}; do
    mkdir -p "/var/lib/$store"
    mount -t tmpfs -o mode=711 tmpfs "/var/lib/$store"
done
if [ -e /dev/net/tun ]; then # for all, as udev has it: without it, it may be root's alone
    mknod -m 666 /run/tun c 10 200
    mount --bind /run/tun /dev/net/tun
fi
ip link set lo up
echo ready
exec catatonit -P
"""


class Result(NamedTuple):
    """What a command gave."""

    code: int
    out: str
    err: str


class Failed(AssertionError):
    """A command that had to work did not."""

    def __init__(self, words: Sequence[str], result: Result) -> None:
        self.result = result
        super().__init__(f"{' '.join(words)}: exit {result.code}\n{result.err}{result.out}")


class Host:
    """`begin` it, run commands on it, `end` it."""

    driver = "cgroupfs"  # who makes cgroups: it, or systemd

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="pyrun-engines-"))
        self.folder.chmod(0o755)
        self.environment = {
            "PATH": f"{needs.criu_folder()}:{PATH}" if not needs.lacking("criu") else PATH,
            "HOME": "/root",
            "LANG": "C.UTF-8",
            "PODMAN_IGNORE_CGROUPSV1_WARNING": "yes",  # of podman 5
        }
        self._daemons: list[subprocess.Popen[bytes]] = []
        self.cgroup = Cgroup(self.folder.name)
        self._outer = subprocess.Popen(
            ["unshare", "--mount", "--net", "--pid", "--cgroup", "--fork", "--kill-child"]
            + ["--mount-proc", "sh", "-c"]
            + [BEGIN.format(cgroups=self.cgroup.mounts(), stores=" ".join(STORES))],
            preexec_fn=self.cgroup.enter,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._outer.stdout is not None
        assert self._outer.stdout.readline() == "ready\n", "the engines' host did not come up"
        children = Path(f"/proc/{self._outer.pid}/task/{self._outer.pid}/children")
        self.pid = int(children.read_text().split()[0])

    def path(self, inside: str | Path) -> Path:
        """A path of this host, as the test process may open it."""
        return Path(f"/proc/{self.pid}/root{inside}")

    def command(self, *words: str | Path, **environment: str) -> list[str]:
        """The words of a command line that runs on it."""
        variables = {**self.environment, **environment}
        enter = ["nsenter", f"--target={self.pid}", *NAMESPACES]
        settings = [f"{name}={value}" for name, value in variables.items()]
        return [*enter, "env", "-i", "--chdir=/", *settings, *map(str, words)]

    def popen(
        self, *words: str | Path, environment: Mapping[str, str] | None = None, **keywords: Any
    ) -> subprocess.Popen[bytes]:
        """The command as a process. A session of its own: no signal of ours gets to it."""
        line = self.command(*words, **(environment or {}))
        return subprocess.Popen(
            line, start_new_session=True, preexec_fn=self.cgroup.enter, **keywords
        )

    def __call__(
        self,
        *words: str | Path,
        stdin: str | bytes = "",
        timeout: float = PATIENCE,
        environment: Mapping[str, str] | None = None,
    ) -> Result:
        """Runs a command. What it prints goes to files: what stays in the background has them open,
        and nobody shall wait for that."""
        feed: IO[bytes]
        with (
            tempfile.TemporaryFile() as out,
            tempfile.TemporaryFile() as err,
            tempfile.TemporaryFile() as feed,
        ):
            feed.write(stdin.encode() if isinstance(stdin, str) else stdin)
            feed.seek(0)
            process = self.popen(
                *words, environment=environment, stdin=feed, stdout=out, stderr=err
            )
            try:
                code = process.wait(timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                said = _content(out) + _content(err)
                line = " ".join(map(str, words))
                raise AssertionError(f"{line}: not done in {timeout:.0f} s: {said}") from None
            return Result(code, _content(out), _content(err))

    def ask(self, *words: str | Path, **keywords: Any) -> str:
        """The same, which must work: what it printed, without the newline at the end."""
        result = self(*words, **keywords)
        if result.code != 0:
            raise Failed([str(word) for word in words], result)
        return result.out.removesuffix("\n")

    def daemon(self, *words: str | Path, ready: Callable[[], bool]) -> subprocess.Popen[bytes]:
        """Something that serves until it, or the host, is ended; awaited until it is ready."""
        log = self.folder / f"{Path(words[0]).name}.log"
        with log.open("wb") as file:
            process = self.popen(*words, stdin=subprocess.DEVNULL, stdout=file, stderr=file)
        up = eventually(lambda: ready() or process.poll() is not None)
        assert up and process.poll() is None, log.read_text()
        self._daemons.append(process)
        return process

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        """Ends a daemon as a machine does. What `process` is has it for its child."""
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
        for pid in children.split():
            os.kill(int(pid), signal.SIGTERM)
        process.wait(PATIENCE)

    def write(self, inside: str | Path, text: str) -> str:
        """A file on this host; its path there."""
        path = self.path(inside)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return str(inside)

    def take_later(self, package: str, programs: Sequence[str]) -> None:
        """Before the machine's own, these programs of a later Debian's package, which
        scripts/later may have to get. Not its runc: that wants a later libc."""
        script = Path(__file__).parent.parent.parent / "scripts/later"
        done = subprocess.run([script, "forky", package], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        place = self.folder / "later"
        place.mkdir()
        for program in programs:
            [found] = Path(done.stdout.strip()).glob(f"usr/*bin/{program}")
            (place / program).symlink_to(found)
        self.environment["PATH"] = f"{place}:{self.environment['PATH']}"

    def processes(self) -> list[str]:
        """The command lines of everything that runs on it, but for its first process."""
        found = []
        for entry in self.path("/proc").iterdir():
            if entry.name.isdigit() and entry.name != "1":
                try:
                    words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                except OSError:
                    continue
                if words:
                    found.append(words.strip())
        return sorted(found)

    def cgroups_of(self, prefix: str) -> list[str]:
        """Cgroups whose names begin with this."""
        return [path for path in self.cgroup.below() if Path(path).name.startswith(prefix)]

    def end(self) -> None:
        """Ends all that runs on it, and removes what is left on the machine."""
        for process in self._daemons:
            process.kill()
            process.wait()
        self._outer.send_signal(signal.SIGKILL)  # --kill-child
        self._outer.wait()
        if self._outer.stdout:
            self._outer.stdout.close()
        eventually(lambda: not Path(f"/proc/{self.pid}").exists(), 10)
        self.cgroup.remove()
        shutil.rmtree(self.folder, ignore_errors=True)


def _content(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode("utf-8", "replace").replace("\r\n", "\n")


def eventually(condition: Callable[[], Any], seconds: float = PATIENCE) -> bool:
    """Whether it becomes true within this time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def runtime_path(name: str) -> str:
    """The executable of pyrun or a peer; a path stands for itself."""
    return name if name.startswith("/") else executable(name)

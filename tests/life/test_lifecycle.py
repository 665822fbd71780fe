# SPDX-License-Identifier: Apache-2.0
"""create, start, state, kill, delete, list, run: statuses, documents, rules of order, files."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from life.bundles import Bundle
from life.runtimes import Container, Runtime, eventually

with_peers = pytest.mark.with_peers
differs = pytest.mark.differs
pyrun_only = pytest.mark.pyrun_only


@with_peers
def test_a_whole_life(container: Container) -> None:
    container.created("print ran", "sleep 100")
    assert container.status() == "created"
    assert container.answers() == []
    assert container.start().code == 0
    assert container.status() == "running"
    assert eventually(lambda: container.answers() == ["ran"])
    assert container.kill("KILL").code == 0
    assert container.wait() == -signal.SIGKILL
    assert container.status() == "stopped"
    assert container.delete().code == 0
    assert container.runtime("state", container.id).code == 1


@with_peers
def test_zombie_is_stopped(container: Container) -> None:
    """Whoever is to wait for the init takes its time."""
    container.started("print x")
    container.wait_stopped()
    assert container.state().get("pid") == 0
    assert container.delete().code == 0


@pyrun_only("the order of the members, and their values")
def test_state_document(container: Container, bundle: Bundle) -> None:
    bundle.config["annotations"] = {"org.example": "\u00e9\n"}
    container.created("sleep 100")
    result = container.runtime("state", container.id)
    state = json.loads(result.out)
    assert list(state) == [
        "ociVersion",
        "id",
        "pid",
        "status",
        "bundle",
        "rootfs",
        "created",
        "annotations",
        "owner",
    ]
    assert state["id"] == container.id
    assert state["pid"] == container.pid
    assert state["bundle"] == str(bundle.path)
    assert state["rootfs"] == str(bundle.rootfs)
    assert state["annotations"] == {"org.example": "\u00e9\n"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,9}Z", state["created"])
    assert result.out.startswith('{\n  "ociVersion": "1.')


def test_pid_file(container: Container) -> None:
    """In decimal, without a newline; the pid of an init that is there."""
    container.created("sleep 100")
    text = container.pid_file.read_text()
    assert text == str(container.state()["pid"])
    assert Path(f"/proc/{text}/ns/pid").exists()
    assert [name for name in os.listdir(container.bundle.path) if name.startswith(".")] == []


@pyrun_only("crun 1.8 fails or goes on, as it comes")
def test_pid_file_that_cannot_be_written(container: Container) -> None:
    container.bundle.say("sleep 100")
    container.bundle.save()
    flags: list[str | Path] = [
        "--bundle",
        container.bundle.path,
        "--pid-file",
        container.bundle.path / "none/pid",
    ]
    assert container.runtime("create", *flags, container.id).code == 1
    assert container.runtime("state", container.id).code == 1


@with_peers
def test_detached(container: Container) -> None:
    container.created("print x", "sleep 100", flags=["--detach"], verb="run")
    assert container.status() == "running"
    assert container.kill().code == 0
    container.wait()
    assert container.delete().code == 0


@differs(crun="1.8 keeps nothing")
def test_keep(container: Container) -> None:
    assert container.run("exit 3", flags=["--keep"]).code == 3
    assert container.status() == "stopped"
    assert container.delete().code == 0


def test_run_deletes(container: Container) -> None:
    assert container.run("print x").code == 0
    assert container.runtime("state", container.id).code == 1


@with_peers
@pytest.mark.parametrize("word", ["USR1", "SIGUSR1", "10"])
def test_signal_by_name_and_number(container: Container, word: str) -> None:
    container.started("trap")
    assert eventually(lambda: container.output.read_text() == "ready\n")
    assert container.kill(word).code == 0
    assert eventually(lambda: container.output.read_text() == "ready\nUSR1\n")


@pyrun_only("runc and crun know other spellings each")
@pytest.mark.parametrize(
    ("word", "shown"),
    [("usr2", "USR2"), ("sigwinch", "WINCH"), ("SIGRTMIN+3", "37"), ("RTMIN", "34"), ("64", "64")],
)
def test_spellings_of_a_signal(container: Container, word: str, shown: str) -> None:
    container.started("trap")
    assert eventually(lambda: container.output.read_text() == "ready\n")
    assert container.kill(word).code == 0
    assert eventually(lambda: container.output.read_text() != "ready\n")
    assert container.output.read_text().split("\n")[1].split()[0] == shown


def test_kill_sends_term_by_default(container: Container) -> None:
    container.started("trap")
    assert eventually(lambda: container.output.read_text() == "ready\n")
    assert container.runtime("kill", container.id).code == 0
    assert container.wait() == 0


@differs(crun="1.8 takes any word, and does nothing")
def test_unknown_signal(container: Container) -> None:
    container.started("sleep 100")
    assert container.kill("NOSUCH").code == 1
    assert container.kill("999").code == 1
    assert container.status() == "running"


def test_kill_created(container: Container) -> None:
    container.created("sleep 100")
    assert container.kill("KILL").code == 0
    assert container.wait() == -signal.SIGKILL
    container.wait_stopped()
    assert container.delete().code == 0


@pyrun_only("its words, for the engines that look for them")
def test_kill_stopped(container: Container) -> None:
    container.started("print x")
    container.wait()
    result = container.kill()
    assert (result.code, result.err) == (1, "pyrun: container not running\n")
    assert container.kill("KILL", "--all").code == 0


@with_peers
def test_kill_all_signals_each_process_once(container: Container) -> None:
    container.started("trap")
    assert eventually(lambda: container.output.read_text() == "ready\n")
    assert container.kill("USR1", "--all").code == 0
    assert eventually(lambda: container.output.read_text() == "ready\nUSR1\n")
    time.sleep(0.1)
    assert container.output.read_text() == "ready\nUSR1\n"


@with_peers
@pytest.mark.parametrize("flags", [[], ["--all"]], ids=str)
def test_kill_all_reaches_children(container: Container, flags: list[str]) -> None:
    """SIGTERM ends who does not catch it, and spares an init that does not, as the kernel does."""
    container.started("spawn 3", "sleep 100")
    tasks = Path(f"/proc/{container.pid}/task/{container.pid}/children")
    assert eventually(lambda: len(tasks.read_text().split()) == 3)
    assert container.kill("TERM", *flags).code == 0
    left = 0 if flags else 3
    living = [Path(f"/proc/{pid}/stat") for pid in tasks.read_text().split()]

    def count() -> int:
        return sum(path.read_text().split()[2] != "Z" for path in living)

    assert eventually(lambda: count() == left)
    assert container.status() == "running"


@with_peers
@pytest.mark.parametrize("flags", [[], ["--all"]], ids=str)
def test_without_a_pid_namespace_kill_ends_all(
    container: Container, bundle: Bundle, flags: list[str]
) -> None:
    """The children would outlive their init: it is the cgroup that tells who they are."""
    bundle.namespaces("ipc", "uts", "mount", "network", "cgroup")
    container.started("spawn 5", "sleep 100")
    assert eventually(lambda: container.answers() == ["ok"])
    assert container.kill(
        "KILL", *(flags or (["--all"] if container.runtime.name != "pyrun" else []))
    )
    container.wait()
    assert container.delete().code == 0


def test_delete_by_force_ends_all(container: Container, bundle: Bundle) -> None:
    bundle.namespaces("ipc", "uts", "mount", "network", "cgroup")
    container.started("spawn 5", "sleep 100")
    assert eventually(lambda: container.answers() == ["ok"])
    assert container.delete("--force").code == 0


def test_delete_running_is_refused(container: Container) -> None:
    container.started("sleep 100")
    result = container.delete()
    assert result.code == 1
    assert container.status() == "running"
    assert container.delete("--force").code == 0


def test_delete_created(container: Container) -> None:
    container.created("sleep 100")
    assert container.delete().code == 0


@differs(crun="1.8 has other words")
def test_delete_unknown(runtime: Runtime, leaves_nothing: None) -> None:
    assert runtime("delete", "--force", "nobody").code == 0
    result = runtime("delete", "nobody")
    assert result.code == 1
    assert "does not exist" in result.err


def test_start_twice(container: Container) -> None:
    container.started("sleep 100")
    assert container.start().code == 1
    assert container.status() == "running"


@with_peers
def test_start_stopped(container: Container) -> None:
    container.created("sleep 100")
    os.kill(container.pid, signal.SIGKILL)
    container.wait()
    result = container.start()
    assert result.code == 1
    assert container.status() == "stopped"


@pyrun_only("its words")
def test_words_of_start(container: Container) -> None:
    container.created("print x")
    assert container.start().code == 0
    container.wait()
    result = container.start()
    assert result.err == "pyrun: cannot start a container that has stopped\n"


def test_same_id_twice(container: Container) -> None:
    container.created("sleep 100")
    result = container.create("sleep 100")
    assert result.code == 1
    assert "exist" in result.err
    assert container.status() == "created"


@with_peers
def test_same_id_again(container: Container) -> None:
    for _ in range(3):
        container.created("sleep 100")
        assert container.delete("--force").code == 0


@pyrun_only("its forms of list")
def test_list(runtime: Runtime, make_container: Callable[[], Container]) -> None:
    assert runtime("list", "--format", "json").out == "null\n"
    first, second = make_container(), make_container()
    first.created("sleep 100")
    second.started("sleep 100")
    found = json.loads(runtime("list", "--format", "json").out)
    assert [(c["id"], c["status"], c["owner"]) for c in found] == [
        (first.id, "created", "root"),
        (second.id, "running", "root"),
    ]
    table = runtime("list").out.splitlines()
    assert table[0].split() == ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]
    assert table[1].split()[:4] == [first.id, str(first.pid), "created", str(first.bundle.path)]
    assert runtime("list", "--quiet").out == f"{first.id}\n{second.id}\n"


@differs(runc="1.1 takes it for an empty one")
@differs(crun="makes it")
def test_list_without_a_folder(runtime: Runtime, leaves_nothing: None) -> None:
    result = runtime("list", options=["--root", runtime.root / "none"])
    assert result.code == 1


def test_bundle_by_default_is_the_working_directory(container: Container, bundle: Bundle) -> None:
    bundle.say("print here")
    bundle.save()
    result = container.runtime("run", container.id, cwd=bundle.path)
    assert result.answers() == ["here"]


@differs(runc="has no such flag")
def test_config_of_another_name(container: Container, bundle: Bundle) -> None:
    bundle.say("print other")
    bundle.save()
    (bundle.path / "config.json").rename(bundle.path / "other.json")
    result = container.runtime(
        "run", "--bundle", bundle.path, "--config", bundle.path / "other.json", container.id
    )
    assert result.answers() == ["other"]


def test_empty_environment(container: Container) -> None:
    """podman calls `state` without a PATH."""
    container.created("sleep 100", env={})
    for result in (
        container.start(env={}),
        container.runtime("state", container.id, env={}),
        container.delete("--force", env={}),
    ):
        assert result.code == 0


@differs(crun="1.8 fails without a word")
def test_closed_stdio(container: Container) -> None:
    """Descriptors 0 to 2 may be closed: nothing of ours takes their place."""
    script = 'exec <&- >&- 2>&-; exec "$@"'
    container.created("fds", "sleep 100", prefix=["sh", "-c", script, "sh"])
    assert container.start(prefix=["sh", "-c", script, "sh"]).code == 0
    assert container.status() == "running"


@differs(runc="its folder may be entered by all")
def test_state_folder_is_private(container: Container) -> None:
    container.created("sleep 100", umask=0)
    root = container.runtime.root
    for path in [root, root / container.id, *(root / container.id).iterdir()]:
        assert not path.stat().st_mode & 0o077, path


@pyrun_only("where the peers' init comes from is the distribution's choice")
def test_the_init_is_nobodys_way_to_the_host(container: Container) -> None:
    """While it waits: no descriptor of it leads to the host, nor does its program."""
    container.created("sleep 100")
    exe = os.stat(f"/proc/{container.pid}/exe")
    assert exe.st_nlink == 0
    assert exe.st_ino != os.stat(container.runtime.path).st_ino
    folder = Path(f"/proc/{container.pid}/fd")
    for entry in folder.iterdir():
        target = os.readlink(entry)
        if entry.name not in {"0", "1", "2"} and target.startswith("/"):
            assert str(container.runtime.root) in target or target.startswith(("/payload", "/exec"))


@differs(runc="its init is the whole of runc")
def test_bytes_of_the_waiting_init(container: Container) -> None:
    container.created("sleep 100")
    text = Path(f"/proc/{container.pid}/smaps_rollup").read_text()
    sizes = dict(re.findall(r"^(\w+):\s+(\d+) kB", text, re.MULTILINE))
    assert int(sizes["Pss"]) < (512 if container.runtime.name == "pyrun" else 2048)  # KiB

# SPDX-License-Identifier: Apache-2.0
"""checkpoint and restore that fail: what they say, and that they leave what was there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

import needs
from life import leftovers
from life.bundles import Bundle
from life.checkpoints import Saved, goes_on
from life.runtimes import Container, eventually

pytestmark = needs.needs("criu", "strace")
with_peers = pytest.mark.with_peers
crun_differs = pytest.mark.differs(crun="Debian's is built without CRIU")


def gone(saved: Saved) -> bool:
    """Whether there is no trace of the container."""
    container = saved.container
    assert container.runtime("state", container.id).code == 1
    assert not list(container.runtime.root.glob("[!.]*"))
    return not leftovers.cgroups()


@pytest.fixture
def images(saved: Saved) -> Path:
    """Those of a container that counts."""
    saved.start("count").lines(2)
    saved.saved()
    return saved.images


def test_created_and_stopped(container: Container, saved: Saved) -> None:
    """In runc's words."""
    container.created("count")
    result = saved.checkpoint()
    assert result.code == 1
    assert "Container cannot be checkpointed in created state" in result.err
    container.kill()
    assert eventually(lambda: container.status() == "stopped")
    assert "Container cannot be checkpointed in stopped state" in saved.checkpoint().err


def test_unknown(saved: Saved) -> None:
    assert "container does not exist" in saved.checkpoint().err


@with_peers
@crun_differs
def test_restore_of_an_id_that_is_taken(saved: Saved, images: Path) -> None:
    saved.restored().lines(2)
    result = saved.restore()
    assert result.code == 1
    if saved.container.runtime.name == "pyrun":
        assert "container with given ID already exists" in result.err
    assert saved.container.status() == "running"


def test_no_images(saved: Saved, bundle: Bundle) -> None:
    bundle.say("count")
    bundle.save()
    result = saved.restore()
    assert result.code == 1
    assert f"--image-path {saved.images}: no such file or directory" in result.err
    assert gone(saved)


def test_empty_images(saved: Saved, bundle: Bundle) -> None:
    bundle.say("count")
    bundle.save()
    saved.images.mkdir()
    result = saved.restore()
    assert result.code == 1
    assert "restore: criu: " in result.err
    assert f"see {saved.images}/restore.log" in result.err
    assert gone(saved)


@pytest.mark.parametrize("name", ["core-1.img", "mm-1.img", "pstree.img", "mountpoints-*.img"])
def test_damaged_images(saved: Saved, images: Path, name: str) -> None:
    """Cut short: what CRIU has begun by then is undone."""
    (path,) = images.glob(name)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    result = saved.restore()
    assert result.code == 1
    assert "restore: criu: " in result.err
    assert gone(saved)


def test_damaged_notes(saved: Saved, images: Path) -> None:
    """Our own file beside the images says nothing that could do harm."""
    (images / "descriptors.json").write_text(json.dumps(["../../x", "pipe:[1]\n", {}]))
    result = saved.restore()
    assert result.code == 1
    assert "damaged" in result.err
    (images / "descriptors.json").write_text(json.dumps(["/etc/passwd", "", "x]:/etc"]))
    (images / "pyrun.json").write_text(json.dumps({"rbind": {"0.0": "../../etc"}}))
    saved.restore()
    saved.container.delete("--force")
    assert gone(saved)


@pytest.mark.parametrize("kind", ["prestart", "createRuntime"])
def test_a_hook_that_fails(saved: Saved, bundle: Bundle, images: Path, kind: str) -> None:
    """It runs in the new namespaces before anything else does; CRIU undoes what there is."""
    script = "echo broken >&2; exit 3"
    bundle.config["hooks"] = {kind: [{"path": "/bin/sh", "args": ["sh", "-c", script]}]}
    bundle.save()
    result = saved.restore()
    assert result.code == 1
    assert f"error running {kind} hook #0" in result.err
    assert "broken" in result.err
    assert gone(saved)


def test_hooks(saved: Saved, bundle: Bundle) -> None:
    """Which run, in which order, with which status; those inside the container have had their
    time."""
    log = bundle.path / "hooks.log"
    script = f"echo $0 $(tr -d ' \\n' | sed 's/.*\"status\":\"\\([a-z]*\\)\".*/\\1/') >> {log}"
    bundle.config["hooks"] = {
        kind: [
            {
                "path": "/bin/sh",
                "args": ["sh", "-c", script, kind],
                "env": ["PATH=/usr/bin:/bin"],
            }
        ]
        for kind in ("prestart", "createRuntime", "createContainer", "poststart", "poststop")
    }
    saved.start("count").lines(1)
    log.unlink()
    saved.saved()
    assert log.read_text().split("\n") == ["poststop stopped", ""]
    log.unlink()
    saved.restored().lines(1)
    expected = ["prestart creating", "createRuntime creating", "poststart running", ""]
    assert log.read_text().split("\n") == expected


def test_a_poststart_hook_that_fails(saved: Saved, bundle: Bundle, images: Path) -> None:
    bundle.config["hooks"] = {"poststart": [{"path": "/bin/false"}]}
    bundle.save()
    result = saved.restore()
    assert result.code == 1
    assert "poststart" in result.err
    assert gone(saved)


def test_images_with_other_namespaces(saved: Saved, bundle: Bundle, images: Path) -> None:
    """Than the config wants: it is ended before it runs on."""
    bundle.namespaces("pid", "ipc", "uts", "mount", "cgroup")
    bundle.save()
    result = saved.restore()
    assert result.code == 1
    assert "the network namespace of the images is not what the config wants" in result.err
    assert gone(saved)


def test_a_pid_file_that_cannot_be_written(saved: Saved, images: Path) -> None:
    result = saved.restore("--pid-file", "/no/such/pid")
    assert result.code == 1
    assert "/no/such/pid" in result.err
    assert gone(saved)


@pytest.mark.parametrize("verb", ["checkpoint", "restore"])
def test_no_criu(saved: Saved, monkeypatch: pytest.MonkeyPatch, verb: str) -> None:
    pipe = saved.start("count")
    pipe.lines(1)
    if verb == "restore":
        saved.saved()
    monkeypatch.setenv("PATH", "/nowhere")
    result = saved.checkpoint() if verb == "checkpoint" else saved.restore()
    assert result.code == 1
    assert "there is no criu in PATH" in result.err
    if verb == "checkpoint":
        assert goes_on(pipe.lines(2))
    else:
        assert gone(saved)


def test_a_criu_that_fails_its_own_check(
    saved: Saved, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that is too old for the kernel: it is not the container's fault."""
    broken = tmp_path / "criu"
    broken.write_text("#!/bin/sh\necho nonsense >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    pipe = saved.start("count")
    pipe.lines(1)
    result = saved.checkpoint()
    assert result.code == 1
    assert "criu can't work on this host" in result.err
    assert goes_on(pipe.lines(2))


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--parent-path", "/absolute"), "--parent-path: must be relative to --image-path"),
        (("--page-server", "nonsense"), "--page-server nonsense: must be ADDRESS:PORT"),
        (("--page-server", "1.2.3.4:99999"), "must be ADDRESS:PORT"),
        (("--empty-ns", "ipc"), "--empty-ns ipc"),
        (("--pre-dump", "--lazy-pages"), "exclude each other"),
        (("--manage-cgroups-mode", "nonsense"), "nonsense"),
        (("--status-fd", "x", "--lazy-pages"), "--status-fd x: "),
    ],
)
def test_flags_that_make_no_sense(saved: Saved, flags: tuple[str, ...], words: str) -> None:
    pipe = saved.start("count")
    pipe.lines(1)
    result = saved.checkpoint(*flags)
    assert result.code == 1
    assert words in result.err
    assert goes_on(pipe.lines(2))


def test_killed_criu(saved: Saved) -> None:
    """In the middle of a checkpoint: the cgroup is not left frozen."""
    saved.start("count").lines(1)
    slow = saved.container.bundle.path / "slow"
    slow.mkdir()
    told = slow / "pid"
    (slow / "tar").write_text(f"#!/bin/sh\necho $$ > {told}\nexec sleep 100\n")
    (slow / "tar").chmod(0o755)
    words = ("checkpoint", "--image-path", saved.images, saved.container.id)
    environment = {**os.environ, "PATH": f"{slow}:{os.environ['PATH']}"}
    process = saved.container.runtime.popen(*words, env=environment, stderr=subprocess.PIPE)
    assert eventually(lambda: _children(process.pid))
    assert eventually(lambda: told.exists() and told.read_text())
    for pid in _children(process.pid):
        os.kill(pid, signal.SIGKILL)
    os.kill(int(told.read_text()), signal.SIGKILL)
    assert process.wait(20) == 1
    assert process.stderr
    assert b"criu died" in process.stderr.read()
    process.stderr.close()
    assert saved.container.status() in ("running", "stopped")


def _children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def left() -> list[str]:
    """Processes that nobody has ended."""
    return sorted(leftovers.look([]).processes)


def test_killed_at_any_point_of_a_restore(saved: Saved, bundle: Bundle, images: Path) -> None:
    """What is left then, `delete --force` takes away: CRIU with all that it has begun."""
    container = saved.container
    words = container.runtime.command(
        "restore", "--detach", "--image-path", images, "--bundle", bundle.path, container.id
    )
    for count in range(1, 30):
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        time.sleep(0.02 * count)
        process.kill()
        process.wait()
        assert container.delete("--force").code == 0
        assert eventually(lambda: gone(saved) and not left()), (count, left())
        if process.returncode == 0:
            break
    saved.restored().lines(1)

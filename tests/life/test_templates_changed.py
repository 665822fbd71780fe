# SPDX-License-Identifier: Apache-2.0
"""What is not as a template says, and what goes wrong, is for Python to do and to explain."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from life import hierarchies, leftovers
from life.bundles import bind
from life.runtimes import Container, eventually
from life.templates import BOOT, PACK, PAUSE, Maker
from needs import needs

pytestmark = [
    needs("root", "strace"),
    pytest.mark.pyrun_only("no peer has templates"),
    pytest.mark.one_way("templates are the launcher's"),
    pytest.mark.usefixtures("each_view"),
]


@pytest.fixture
def maker(container: Container) -> Maker:
    return Maker(container)


# ---- What is not as it was is for Python. ----


def source_is_a_file(maker: Maker) -> None:
    place = maker.container.bundle.path / "shared"
    place.rmdir()
    place.write_text("")
    (maker.container.bundle.rootfs / "data/shared").rmdir()


def source_is_gone(maker: Maker) -> None:
    (maker.container.bundle.path / "shared").rmdir()


def root_is_a_link(maker: Maker) -> None:
    bundle = maker.container.bundle
    bundle.rootfs.rename(bundle.path / "elsewhere")
    bundle.rootfs.symlink_to("elsewhere")


def more_in_the_config(maker: Maker) -> None:
    maker.container.bundle.process["env"].append("MORE=1")


def a_quote_in_a_hole(maker: Maker) -> None:
    maker.container.bundle.config["hostname"] = 'a"b'


def a_long_name(maker: Maker) -> None:
    maker.container.bundle.config["hostname"] = "h" * 65


def a_special_source(maker: Maker) -> None:
    maker.container.bundle.config["mounts"][-1]["source"] = "/proc/self"


def a_source_that_climbs(maker: Maker) -> None:
    shared = maker.container.bundle.path / "shared"
    maker.container.bundle.config["mounts"][-1]["source"] = f"{shared}/../shared"


def the_package_is_another(maker: Maker) -> None:
    maker.damage(PACK, noticed=False)


def the_boot_is_another(maker: Maker) -> None:
    maker.damage(BOOT, noticed=False)


def a_byte_is_another(maker: Maker) -> None:
    maker.damage(-1)


def cut_short(maker: Maker) -> None:
    for path in maker.templates.iterdir():
        path.write_bytes(path.read_bytes()[:-1])


CHANGES = (
    source_is_a_file, source_is_gone, root_is_a_link, more_in_the_config, a_quote_in_a_hole,
    a_long_name, a_special_source, a_source_that_climbs, the_package_is_another,
    the_boot_is_another, a_byte_is_another, cut_short,
)  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_what_has_changed(
    maker: Maker, change: Callable[[Maker], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The launcher leaves it to Python, which gives what it gives to everybody."""
    bundle = maker.container.bundle
    (bundle.path / "shared").mkdir()
    bundle.config["mounts"].append(bind(bundle.path / "shared", "/data/shared"))
    maker.prime()
    result, python = maker.make()
    assert (result, python) == ((0, "", ""), False)
    maker.delete()
    change(maker)
    result, python = maker.make()
    assert python
    maker.delete()
    monkeypatch.setenv("PYRUN_NO_FAST", "1")
    assert maker.make()[0] == result


@pytest.mark.parametrize("name", ["NOTIFY_SOCKET", "LISTEN_FDS", "RUN_OCI_SECCOMP_RECEIVER"])
def test_what_the_environment_says(maker: Maker, name: str, tmp_path: Path) -> None:
    maker.prime()
    value = "0" if name == "LISTEN_FDS" else f"{tmp_path}/socket"
    assert maker.make(env={**os.environ, name: value})[1] is True


def test_another_view_of_mounts(maker: Maker) -> None:
    """What is mounted where may be another thing there."""
    maker.prime()
    with leftovers.own_view():
        assert maker.make()[1] is True


def test_fewer_capabilities(maker: Maker) -> None:
    maker.prime()
    prefix = ["setpriv", "--bounding-set", "-sys_time", "--inh-caps", "-sys_time"]
    before = maker.trace
    strace = ["strace", "-qq", "-e", "trace=execve", "-o", str(before)]
    result = maker.container.create(prefix=[*prefix, *strace])
    assert result.code == 0
    assert "/interpreter" in before.read_text()


# ---- What goes wrong is undone, and explained as ever. ----


def no_such_program(maker: Maker) -> None:
    (maker.container.bundle.rootfs / "payload").unlink()


def no_folder_for_the_pid(maker: Maker) -> None:
    maker.container.pid_file = maker.container.bundle.path / "none/pid"


FAILURES = (no_such_program, no_folder_for_the_pid)


@pytest.mark.parametrize("change", FAILURES)
def test_a_failure_is_undone_and_explained(
    maker: Maker, change: Callable[[Maker], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    maker.prime()
    change(maker)
    result, python = maker.make()
    assert python
    assert result.code == 1
    assert not (maker.container.runtime.root / maker.container.id).exists()
    monkeypatch.setenv("PYRUN_NO_FAST", "1")
    assert maker.make()[0] == result


def test_a_used_cgroup(maker: Maker) -> None:
    """Somebody else's: it is refused, and stays as it is."""
    maker.prime()
    path = maker.container.bundle.linux["cgroupsPath"]
    place = hierarchies.directory(path)
    place.mkdir(parents=True)
    other = subprocess.Popen(["sleep", "1000"])
    (place / "cgroup.procs").write_text(f"{other.pid}")
    result, python = maker.make()
    assert (result.code, python, str(place) in result.err) == (1, True, True)
    assert (place / "cgroup.procs").read_text() == f"{other.pid}\n"
    assert hierarchies.is_unified() or not Path(f"/sys/fs/cgroup/memory{path}").exists()
    other.kill()
    other.wait()
    assert eventually(lambda: _is_removed(place))


def _is_removed(place: Path) -> bool:
    try:
        place.rmdir()
    except OSError:
        return False
    return True


def test_a_running_one_of_the_same_id(maker: Maker) -> None:
    maker.container.bundle.say("sleep 1000")
    maker.prime()
    assert maker.make()[1] is False
    assert maker.container.start().code == 0
    result, _ = maker.make()
    assert (result.code, "already exists" in result.err) == (1, True)
    assert maker.container.status() == "running"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_interrupted(maker: Maker, number: int) -> None:
    """While the executor is held up: everything is undone, and Python says by what."""
    container = maker.container
    maker.prime()
    slow = ["strace", "-qq", "-o", "/dev/null", "-e", "inject=poll:delay_enter=700000:when=1"]
    with open(container.bundle.path / "errors", "w+") as errors:
        words = ["create", "--bundle", container.bundle.path, container.id]
        process = container.runtime.popen(*words, prefix=slow, stderr=errors)
        state = container.runtime.root / container.id / "state.json"
        assert eventually(state.exists)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        os.kill(int(children.read_text().split()[0]), number)
        assert process.wait(20) == 128 + number
        errors.seek(0)
        assert f"interrupted by signal {int(number)}" in errors.read()
    assert not state.parent.exists()


def test_hundred_at_once(maker: Maker) -> None:
    """All by one template: none fails, each is its own."""
    container = maker.container
    container.bundle.say("sleep 1000")
    container.bundle.linux.pop("cgroupsPath")
    container.bundle.save()
    maker.prime()
    ids = [f"{container.id}-{number}" for number in range(40)]
    processes = [
        container.runtime.popen(
            "create",
            "--bundle",
            container.bundle.path,
            name,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        for name in ids
    ]
    assert [process.wait(60) for process in processes] == [0] * len(ids)
    pids = {json.loads(container.runtime("state", name).out)["pid"] for name in ids}
    assert len(pids) == len(ids)
    for name in ids:
        assert container.runtime("delete", "--force", name) == (0, "", "")


def test_killed_at_a_strangers_cgroup(
    maker: Maker, make_container: Callable[[], Container]
) -> None:
    """By what is on record `delete --force` kills: nothing of anybody else's may be there."""
    maker.prime()
    stranger = make_container()
    stranger.bundle.linux["cgroupsPath"] = maker.container.bundle.linux["cgroupsPath"]
    stranger.started("sleep 1000")
    kill = ["strace", "-qq", "-o", "/dev/null", "-e", "inject=mkdir:signal=KILL:when=1"]
    maker.container.create(prefix=kill)
    assert maker.container.delete("--force").code == 0
    assert stranger.status() == "running"


def test_a_link_that_names_a_handler(maker: Maker) -> None:
    maker.prime()
    link = maker.container.bundle.path / "pyrun-nosuch"
    link.symlink_to(maker.container.runtime.path)
    maker.container.runtime.path = str(link)
    result = maker.container.create()
    assert (result.code, "handler" in result.err) == (1, True)


@pytest.mark.parametrize("size", [0, 300])
def test_a_damaged_template_is_replaced(maker: Maker, size: int) -> None:
    """It is no reason for a container not to be made, nor to have none."""
    maker.prime()
    path = maker.templates / "0"
    path.write_bytes(path.read_bytes()[:size])
    time.sleep(PAUSE)
    result, python = maker.make()
    assert (result, python) == ((0, "", ""), True)
    maker.delete()
    assert [path.name for path in maker.templates.iterdir()] == ["0"]
    assert maker.make() == ((0, "", ""), False)


def test_no_place_for_templates(maker: Maker) -> None:
    (maker.container.runtime.root / ".cache").write_text("")
    assert maker.container.create() == (0, "", "")


def test_what_cannot_be_undone_is_left_to_delete(maker: Maker) -> None:
    """Somebody made a cgroup below: the failure is told, and nothing hangs."""
    maker.prime()
    (maker.container.bundle.rootfs / "payload").unlink()
    path = maker.container.bundle.linux["cgroupsPath"]
    below = hierarchies.directory(path) / "below"
    slow = ["strace", "-qq", "-o", "/dev/null", "-e", "inject=poll:delay_enter=500000:when=1"]
    container = maker.container
    with open(container.bundle.path / "errors", "w+") as errors:
        words = ["create", "--bundle", container.bundle.path, container.id]
        process = container.runtime.popen(*words, prefix=slow, stderr=errors)
        assert eventually(below.parent.exists)
        below.mkdir()
        assert process.wait(15) == 1
        errors.seek(0)
        assert "/payload" in errors.read()
    assert not below.exists()
    assert not (container.runtime.root / container.id).exists()


def test_another_mount_of_a_hierarchy(maker: Maker, tmp_path: Path) -> None:
    """Which hierarchies are there, and where, is for Python to look at."""
    maker.prime()
    # To mount the unified one anew would change its options for everybody.
    words = (
        ["--bind", hierarchies.TOP]
        if hierarchies.is_unified()
        else ["-t", "cgroup", "-o", "pids", "cgroup"]
    )
    subprocess.run(["mount", *words, tmp_path], check=True)
    try:
        result, python = maker.make()
        assert (result, python) == ((0, "", ""), True)
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_another_personality(maker: Maker) -> None:
    """To which a filter of system calls would be another."""
    maker.prime()
    result, python = maker.make(prefix_more=["setarch", "i686"])
    assert (result.code, python) == (0, True)

# SPDX-License-Identifier: Apache-2.0
"""As an ordinary user: `pyrun spec --rootless && pyrun run x`, and ranges of ids by newuidmap."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from pathlib import Path

import pytest

from life.bundles import bind, mount
from life.mountinfo import mounts
from life.ordinary_user import NAME, User, map_ranges
from life.runtimes import Result
from life.test_mounts import mounted
from needs import needs

pytestmark = [needs("root", "cc", "userns")]


def test_spec_and_run(user: User) -> None:
    """The README's words."""
    user.save(user.config("id", "cat /proc/self/uid_map", "hostname", "pids", "stat /payload"))
    result = user("run", "x")
    assert result.code == 0, result
    identity, uids, hostname, pids, owner = result.answers()
    assert identity.split()[:2] == ["0", "0"]
    assert uids.split() == ["0", str(user.entry.pw_uid), "1"]
    assert hostname == "runc"
    assert pids.startswith("1 0 1 1")
    assert owner.split()[2:4] == ["0", "0"]


def test_whole_life(user: User) -> None:
    user.save(user.config("sleep 100"))
    assert user.leave("create", "x") == 0
    state = json.loads(user("state", "x").out)
    assert state["status"] == "created"
    assert user("start", "x").code == 0
    assert json.loads(user("list", "-f", "json").out)[0]["owner"] == NAME
    assert user("kill", "x", "KILL").code == 0
    with contextlib.suppress(ChildProcessError):
        os.waitpid(state["pid"], 0)
    assert json.loads(user("state", "x").out)["status"] == "stopped"
    assert user("delete", "x").code == 0
    assert user("state", "x").code == 1


@needs("newuidmap")
def test_wait(user: User) -> None:
    """For a program of another id than the user's, who may look at it all the same."""
    config = user.config("exit 7")
    map_ranges(user, config)
    config["process"]["user"] = {"uid": 1000, "gid": 1000}
    user.save(config)
    assert user.leave("run", "--detach", "x") == 0
    pid = json.loads(user("state", "x").out)["pid"]
    assert user("wait", "x") == Result(7, "", "")
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)
    assert user("wait", "x") == Result(7, "", "")
    assert user("delete", "x").code == 0


@needs("newuidmap")
def test_mounts_of_a_running_container(user: User) -> None:
    """As root of its user namespace, which is theirs to begin with."""
    config = user.config("sleep 100")
    map_ranges(user, config)
    config["root"]["readonly"] = False
    user.save(config)
    (user.home / "source").mkdir()
    (user.home / "source/file").write_text("text")
    file = user.home / "mounts.json"
    entries = [bind(user.home / "source", "/data", "bind", "ro"), mount("/tmp", "tmpfs", "size=1m")]
    file.write_text(json.dumps(entries))
    assert user.leave("run", "--detach", "x") == 0
    pid = json.loads(user("state", "x").out)["pid"]
    before = Path(f"/proc/{pid}/mountinfo").read_text()
    assert user("mounts", "add", "x", str(file)) == Result(0, "", "")
    found = mounts(Path(f"/proc/{pid}/mountinfo").read_text())
    assert found["/data"].options >= {"ro"}
    assert found["/tmp"].data >= {"size=1024k", f"uid={user.entry.pw_uid}"}
    assert Path(f"/proc/{pid}/root/data/file").read_text() == "text"
    assert user("mounts", "remove", "x", str(file)) == Result(0, "", "")
    assert Path(f"/proc/{pid}/mountinfo").read_text() == before
    assert user("delete", "--force", "x").code == 0


def test_delete_by_force(user: User) -> None:
    """There is no cgroup to end it by: the pid namespace does."""
    user.save(user.config("spawn 3", "sleep 100"))
    assert user.leave("run", "--detach", "x") == 0
    assert user("delete", "--force", "x").code == 0


@needs("newuidmap")
def test_ranges(user: User) -> None:
    """Of /etc/subuid, by newuidmap and newgidmap."""
    config = user.config("id", "cat /proc/self/uid_map", "cat /proc/self/gid_map", "chown /tmp 5 6")
    config["root"]["readonly"] = False
    map_ranges(user, config)
    config["process"]["user"] = {"uid": 1000, "gid": 1000, "additionalGids": [5]}
    config["process"]["capabilities"] = {
        kind: ["CAP_CHOWN"]
        for kind in ("bounding", "effective", "permitted", "inheritable", "ambient")
    }
    user.save(config)
    result = user("run", "x")
    assert result.code == 0, result
    identity, uids, gids, chown = result.answers()
    assert identity == "1000 1000 5"
    assert uids.splitlines()[1].split()[::2] == ["1", "65536"]
    assert gids.splitlines()[1].split()[0] == "1"
    assert chown == "ok"
    # what the container's other users own is not the user's to remove
    subprocess.run(["chown", "-R", str(user.entry.pw_uid), user.home], check=True)


def test_root_of_layers(user: User) -> None:
    """The kernel lets root of a user namespace mount an overlayfs."""
    verbs = "write /etc/x y", "remove /payload", "ls /etc", "remove /home/user", "mkdir /home/user"
    config = user.config(*verbs)
    config["root"]["readonly"] = False
    user.save(config)
    for upper in ("dir", "tmpfs"):
        result = user("run", "--ephemeral", "--overlay-upper", upper, "x")
        assert result.code == 0, result
        assert result.answers() == ["ok", "ok", "x", "ok", "ok"]  # the last is opaque: an attribute
        assert os.listdir(user.home / "bundle/rootfs/etc") == []
        assert (user.home / "bundle/rootfs/payload").exists()
        assert os.listdir(user.home / "run/pyrun") == []


@needs("newuidmap")
def test_layer_with_files_of_many_ids(user: User) -> None:
    """They are the user's to remove: as root of the same map."""
    config = user.config("mkdir /etc/a", "mkdir /etc/a/b", "chown /etc/a/b 5 6", "chown /etc/a 7 8")
    config["root"]["readonly"] = False
    map_ranges(user, config)
    for kind in ("bounding", "effective", "permitted"):
        config["process"]["capabilities"][kind].append("CAP_CHOWN")
    user.save(config)
    result = user("run", "--keep", "--ephemeral", "x")
    assert result.code == 0, result
    assert result.answers() == ["ok"] * 4
    written = user.home / "run/pyrun/x/overlay/top/upper/etc/a"
    assert written.stat().st_uid > 100
    assert user("delete", "x") == Result(0, "", "")
    assert os.listdir(user.home / "run/pyrun") == []


@needs("newuidmap")
def test_range_of_somebody_else(user: User) -> None:
    config = user.config("print x")
    config["linux"]["uidMappings"] = [{"containerID": 0, "hostID": 1, "size": 10}]
    user.save(config)
    result = user("run", "x")
    assert result.code == 1
    assert "/linux/uidMappings" in result.err
    assert "/etc/subuid" in result.err


LOCKED = ["nosuid", "nodev", "noexec", "noatime", "ro"]


def bound(user: User, *options: str) -> Result:
    """Asks for the mounts of a container with a directory that is mounted thus on the host."""
    source = user.home / "source"
    source.mkdir(exist_ok=True)
    config = user.config("mounts")
    config["mounts"].append(bind(source, "/data", "bind", *options))
    user.save(config)
    with mounted(source, "-t", "tmpfs", "-o", ",".join(LOCKED), "source"):
        return user("run", "x")


@pytest.mark.parametrize("options", [[], ["ro"], ["nosymfollow"], ["nosuid", "rro"]])
def test_flags_of_the_host_stay(user: User, options: list[str]) -> None:
    """A user namespace may not clear what the host has set; nobody has to repeat it."""
    result = bound(user, *options)
    assert result.code == 0, result
    found = mounts(result.answers()[0])["/data"]
    assert found.options >= {*LOCKED, *(word for word in options if word != "rro")}


@pytest.mark.parametrize("option", ["rw", "suid", "dev", "exec", "relatime", "rrw"])
def test_flags_of_the_host_can_not_be_cleared(user: User, option: str) -> None:
    result = bound(user, option)
    assert result.code == 1
    assert "operation not permitted" in result.err
    assert "can't be cleared" in result.err


def test_id_maps_of_mounts_need_privileges(user: User) -> None:
    result = bound(user, "idmap")
    assert result.code == 1
    assert "id-mapped mounts need privileges" in result.err


def test_without_a_place_for_state(user: User) -> None:
    user.save(user.config("print x"))
    result = user("run", "x", environment={})
    assert result.code == 1
    assert "XDG_RUNTIME_DIR" in result.err


def test_without_a_user_namespace(user: User) -> None:
    """What an ordinary user may not do is said, with what to try."""
    config = user.config("print x")
    config["linux"]["namespaces"] = [{"type": kind} for kind in ("pid", "mount")]
    del config["hostname"], config["process"]["capabilities"]
    for kind in ("uidMappings", "gidMappings"):
        del config["linux"][kind]
    user.save(config)
    result = user("run", "x")
    assert result.code == 1
    assert "operation not permitted" in result.err
    assert "user namespace" in result.err


def test_limits_without_permission(user: User) -> None:
    config = user.config("print x")
    config["linux"]["resources"] = {"memory": {"limit": 64 << 20}}
    user.save(config)
    result = user("run", "x")
    assert result.code == 1
    assert "cgroup" in result.err

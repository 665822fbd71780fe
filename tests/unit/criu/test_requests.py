# SPDX-License-Identifier: Apache-2.0
"""What CRIU is asked, in its own messages, and what is made of its answers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from pyrun.criu import descriptors, faults, images, messages, requests, restoration, yard
from pyrun.errors import Error

OPTIONS = {
    "manage_cgroups_mode": "",
    "empty_ns": (),
    "network_lock": "",
    **dict.fromkeys(requests.SWITCHES, False),
}


@pytest.fixture
def folder(tmp_path: Path) -> images.Directory:
    """One for images and logs."""
    return images.Directory(str(tmp_path / "images"), make=True, flag="--image-path")


def test_no_number_is_used_twice() -> None:
    for fields in messages.TABLE.values():
        numbers = [number for number, _ in fields.values()]
        assert len(set(numbers)) == len(numbers)


def test_a_message_on_the_wire() -> None:
    """As CRIU reads it: type 2 (restore), in opts (field 2) pid (2) and an external mount (23)."""
    request = messages.Request(type=messages.RESTORE)
    request.opts.pid = 7
    request.opts.ext_mnt.add(key="3", val="/x")
    inner = b"\x10\x07" + b"\xba\x01\x07" + b"\x0a\x013" + b"\x12\x02/x"
    assert request.SerializeToString() == b"\x08\x02\x12" + bytes([len(inner)]) + inner


def test_modes(folder: images.Directory) -> None:
    """soft, unless another is named: engines rely on it."""
    for mode, number in (("", 3), ("ignore", 0), ("full", 4), ("strict", 5)):
        opts = {**OPTIONS, "manage_cgroups_mode": mode}
        assert requests.options(opts, {}, folder, folder, "x.log").manage_cgroups_mode == number


def test_switches(folder: images.Directory) -> None:
    for name in requests.SWITCHES:
        found = requests.options({**OPTIONS, name: True}, {}, folder, folder, "x.log")
        assert [n for n in requests.SWITCHES if getattr(found, n)] == [name]


def test_empty_namespace(folder: images.Directory) -> None:
    opts = {**OPTIONS, "empty_ns": ("network", "network")}
    assert requests.options(opts, {}, folder, folder, "x.log").empty_ns == 0x40000000


def test_network_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert requests.network_lock({"network_lock": ""}) == messages.NETWORK_LOCKS["nftables"]
    for name in ("iptables-restore", "ip6tables-restore"):
        (tmp_path / name).touch(0o755)
    assert requests.network_lock({"network_lock": ""}) == messages.NETWORK_LOCKS["iptables"]
    assert requests.network_lock({"network_lock": "skip"}) == messages.NETWORK_LOCKS["skip"]


def annotated(path: Path | str) -> dict[str, dict[str, str]]:
    """A config with org.criu.config."""
    return {"annotations": {"org.criu.config": str(path)}}


def test_config_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """The usual one counts where it is; an annotation names another one, or none."""
    monkeypatch.setattr(requests, "CONFIG_FILE", "/etc/passwd")
    assert requests.config_file({}) == "/etc/passwd"
    assert requests.config_file(annotated("/etc/group")) == "/etc/group"
    assert requests.config_file(annotated("")) == ""
    monkeypatch.setattr(requests, "CONFIG_FILE", "/etc/no such file")
    assert requests.config_file({}) == ""


@pytest.mark.parametrize("path", ["relative", "/no/such/file"])
def test_config_file_that_is_not_there(path: str) -> None:
    with pytest.raises(Error, match=r"/annotations/org\.criu\.config"):
        requests.config_file(annotated(path))


def test_config_file_of_somebody_else(tmp_path: Path) -> None:
    """Who may write it could have CRIU start programs: as an image that has brought it."""
    path = tmp_path / "open/criu.conf"
    path.parent.mkdir()
    path.touch()
    assert requests.config_file(annotated(path)) == str(path)
    path.chmod(0o666)
    with pytest.raises(Error, match="others than root may write"):
        requests.config_file(annotated(path))
    path.chmod(0o644)
    path.parent.chmod(0o777)
    with pytest.raises(Error, match="others than root may write"):
        requests.config_file(annotated(path))


LOG = """\
(00.028) Version: 4.1.1 (gitid 0)
(00.029) Error (criu/util.c:1533): rlimit: Can't setup RLIMIT_NOFILE for self: Operation not \
permitted
Error (criu/util.c:641): execvp("iptables-save", ...) failed: No such file or directory
(00.12)      1: Error (criu/util.c:1722): iptables-restore -V failed
(00.13)      1: Error (criu/sk-inet.c:191): inet: Connected TCP socket, consider using \
--tcp-established option.
(00.14) Error (criu/cr-dump.c:2111): Dumping FAILED.
"""


def test_the_line_that_tells_why(folder: images.Directory) -> None:
    """Neither what CRIU lives with, nor what follows from the cause."""
    Path(folder.path, "dump.log").write_text(LOG)
    error = faults.explain("checkpoint", None, folder, "dump.log", "")
    assert str(error) == (
        "checkpoint: criu: inet: Connected TCP socket, consider using --tcp-established option.:"
        f" pass --tcp-established; see {folder.path}/dump.log"
    )


def test_no_line_at_all(folder: images.Directory) -> None:
    error = faults.explain("restore", None, folder, "restore.log", "")
    assert str(error) == f"restore: criu: criu died: see {folder.path}/restore.log"
    error = faults.explain("restore", None, folder, "restore.log", "no criu")
    assert str(error) == "restore: criu can't work on this host: no criu"


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("pipe:[12]", True),
        ("socket:[12]", True),
        ("file[1a:2b]", True),
        ("tty[8801:1a]", True),
        ("tty[8801:1a]:/dev/null", False),
        ("pipe:[12]\n", False),
        ("/dev/null", False),
        ("file[1a:2b]:/etc/passwd", False),
        ("net[1]:x", False),
        ("", False),
    ],
)
def test_descriptors_are_named_by_numbers(folder: images.Directory, name: str, kept: bool) -> None:
    folder.write(images.DESCRIPTORS, ["", name, ""])
    assert images.read_descriptors(folder) == ["", name if kept else "", ""]


def test_images_that_a_user_namespace_can_read(folder: images.Directory) -> None:
    """And those before them; nobody else can, and nothing else changes."""
    earlier = images.Directory(f"{folder.path}/../earlier", make=True, flag="")
    os.symlink("../earlier", f"{folder.path}/parent")
    for place in (folder, earlier):
        Path(place.path, "pages-1.img").touch(0o600)
        Path(place.path, "dump.log").touch(0o600)
    group = os.getgid()
    images.let_read(folder, group)
    for place in (folder, earlier):
        assert os.stat(place.path).st_mode & 0o777 == 0o750
        image = os.stat(f"{place.path}/pages-1.img")
        assert (image.st_mode & 0o777, image.st_gid) == (0o640, group)
        assert os.stat(f"{place.path}/dump.log").st_mode & 0o777 == 0o600


def test_pipes_with_and_without_a_name(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    status = os.fstat(read_end)
    assert descriptors.name_of(status, 15) == f"pipe:[{status.st_ino}]"
    os.close(read_end)
    os.close(write_end)
    os.mkfifo(tmp_path / "fifo")
    status = os.stat(tmp_path / "fifo")
    assert descriptors.name_of(status, 0x1F) == f"file[1f:{status.st_ino:x}]"


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ("0::/user", {"unified": "/sys/fs/cgroup"}),
        (
            "2:cpu,cpuacct:/\n1:name=systemd:/\n0::/",
            {
                "cpu,cpuacct": "/sys/fs/cgroup/cpu",
                "systemd": "/sys/fs/cgroup/systemd",
                "unified": "/sys/fs/cgroup",
            },
        ),
        ("3:pids:/\n0::/", {}),  # only a part of it can be seen
        ("3:hugetlb:/\n0::/", {}),  # not mounted
    ],
)
def test_hierarchies(own: str, expected: dict[str, str]) -> None:
    """By CRIU's names; none where one is missing, so that it makes them itself."""
    mounts = {
        "": ["/sys/fs/cgroup", "/"],
        "cpu": ["/sys/fs/cgroup/cpu", "/"],
        "name=systemd": ["/sys/fs/cgroup/systemd", "/"],
        "pids": ["/sys/fs/cgroup/pids", "/docker/x"],
    }
    assert yard.hierarchies(mounts, own) == expected


@pytest.mark.parametrize(
    ("config", "pointer"),
    [
        ({"annotations": {"org.pyrun.landlock": "{}"}}, "/annotations/org.pyrun.landlock"),
        ({"linux": {"seccomp": {"listenerPath": "/x"}}}, "/linux/seccomp/listenerPath"),
        ({"annotations": {"org.pyrun.rootfs.ephemeral": "true"}}, ""),
        ({"mounts": [{"destination": "/x", "options": ["bind", "idmap"]}]}, "/mounts/0"),
        ({"mounts": [{"destination": "/", "type": "tmpfs"}]}, "/mounts/0"),
        ({"linux": {"namespaces": []}}, "/linux/namespaces"),
        ({"linux": {"namespaces": [{"type": "user", "path": "/x"}]}}, "/linux/namespaces/0/path"),
        ({}, "fine"),
        ({"linux": {"seccomp": {"defaultAction": "SCMP_ACT_ALLOW"}}}, "fine"),
        ({"mounts": [{"destination": "/x", "options": ["bind"]}]}, "fine"),
    ],
)
def test_what_cannot_be_saved(config: dict[str, Any], pointer: str) -> None:
    """By the field that asks for it."""
    linux = {"namespaces": [{"type": "mount"}, {"type": "network", "path": "/x"}]}
    config = {**config, "linux": {**linux, **config.get("linux", {})}}
    if pointer == "fine":
        requests.check(config)
        return
    with pytest.raises(Error, match="can't be checkpointed") as found:
        requests.check(config)
    assert found.value.pointer == pointer


def test_v1_beside_v2_cannot_be_saved() -> None:
    """Everywhere else that annotation is fine."""
    note = "run.oci.systemd.force_cgroup_v1"
    config: dict[str, Any] = {"mounts": [{"destination": "/cg", "type": "cgroup"}]}
    requests.check_cgroup(config, {"layout": "v2"})
    config["annotations"] = {note: "/cg"}
    requests.check_cgroup(config, {"layout": "hybrid"})
    with pytest.raises(Error, match="can't be checkpointed") as found:
        requests.check_cgroup(config, {"layout": "v2"})
    assert found.value.pointer == f"/annotations/{note}"


def test_limits_that_have_to_wait() -> None:
    """Of what CRIU's helpers need while they are in the container's cgroup: not devices."""
    resources = {
        "devices": [{"allow": False}],
        "memory": {"limit": 1},
        "pids": {"limit": 2},
        "unified": {"memory.high": "3", "cpu.weight": "4"},
    }
    early, late = restoration.split_limits(resources)
    assert early == {"devices": [{"allow": False}], "unified": {"cpu.weight": "4"}}
    assert late == {
        "memory": {"limit": 1},
        "pids": {"limit": 2},
        "unified": {"memory.high": "3"},
    }
    assert restoration.split_limits({"cpu": {"shares": 2}}) == ({"cpu": {"shares": 2}}, {})

# SPDX-License-Identifier: Apache-2.0
"""What goes wrong when an engine is not told of pyrun as it should be: what a user sees then is
what docs/engines.md tells of it, row by row."""

from __future__ import annotations

import json
import re
import subprocess

import pytest

from needs import excuse, needs

from . import image, pages, podman
from .cri import Cri
from .docker import client
from .host import Host, runtime_path
from .rootless import NAME, UID, add_user

pytestmark = [
    needs("root", "userns", "busybox", "podman", "docker", "containerd", "newuidmap"),
    pytest.mark.long,
]

CAP_SYS_RESOURCE = 24


def told(begin: str) -> list[str]:
    """The engines' words in the row of the page's table that begins so: parts, for … is a gap."""
    table = pages.ENGINES.read_text().partition("## When it does not work\n")[2]
    [row] = [line for line in table.splitlines() if line.startswith(f"| `{begin}")]
    return [
        part for words in re.findall("`([^`]+)`", row.split(" | ")[0]) for part in words.split("…")
    ]


def check(said: str, parts: list[str]) -> None:
    """Each part is in what was said."""
    assert [part for part in parts if part not in said] == [], said


@pytest.fixture(scope="module")
def docker(host: Host) -> Host:
    """Docker that has been told of a pyrun which is not there any more."""
    place = host.folder / "gone/pyrun"
    place.parent.mkdir()
    place.symlink_to(runtime_path("pyrun"))
    settings = {"runtimes": {"pyrun": {"path": str(place)}}}
    host.write("/etc/docker/daemon.json", json.dumps(settings))
    host.daemon("dockerd", ready=lambda: host(client(), "version").code == 0)
    host.ask(client(), "load", "--quiet", "--input", image.write(host.folder / "box.tar"))
    place.unlink()
    return host


def test_units_for_cgroupfs(cri_host: Host) -> None:
    run = ("ctr", "run", "--rm", "--runc-binary", runtime_path("pyrun"))
    failed = cri_host(*run, "--cgroup", "system.slice:ctr:box", image.NAME, "box", "true")
    assert failed.code != 0
    check(failed.err, told('"…" has the form'))


def test_a_path_for_systemd(cri_host: Host) -> None:
    run = ("ctr", "run", "--rm", "--runc-binary", runtime_path("pyrun"), "--runc-systemd-cgroup")
    failed = cri_host(*run, "--cgroup", "/system/box", image.NAME, "box", "true")
    assert failed.code != 0
    check(failed.err, told("expected cgroupsPath"))


def test_a_handler_that_the_table_lacks(cri_host: Host) -> None:
    engine = Cri(cri_host, "other")
    config = {"metadata": {"name": "pod", "uid": "pod", "namespace": "default"}}
    failed = engine("RunPodSandbox", {"config": config, "runtime_handler": "other"})
    assert failed.code != 0
    check(failed.err.replace("other", "pyrun"), told("Unknown runtime specified")[-1:])


def test_a_runtime_that_the_daemon_does_not_know(docker: Host) -> None:
    failed = docker(client(), "run", "--rm", "--runtime", "other", image.NAME)
    assert failed.code != 0
    words = told("Unknown runtime specified")[0]
    said = failed.err.replace("other", "pyrun")
    assert words in said or "unknown or invalid runtime name: pyrun" in said


def test_a_path_that_is_gone(docker: Host) -> None:
    failed = docker(client(), "run", "--rm", "--runtime", "pyrun", image.NAME)
    assert failed.code != 0
    check(failed.err, told("fork/exec"))


def test_a_user_without_a_range_of_ids(host: Host) -> None:
    """By hand: podman makes do with one id then, or fails itself."""
    add_user(host)
    host.write("/etc/subuid", "")
    bundle = host.folder / "bundle"
    (bundle / "rootfs").mkdir(parents=True)
    subprocess.run([runtime_path("pyrun"), "spec", "--rootless", "--bundle", bundle], check=True)
    config = json.loads((bundle / "config.json").read_text())
    config["linux"]["uidMappings"] = [
        {"containerID": 0, "hostID": UID, "size": 1}, {"containerID": 1, "hostID": 7000, "size": 9}
    ]  # fmt: skip
    (bundle / "config.json").write_text(json.dumps(config))
    drop = ("setpriv", f"--reuid={UID}", f"--regid={UID}", "--init-groups", "--inh-caps=-all")
    runtime = ("env", f"XDG_RUNTIME_DIR=/run/user/{UID}", runtime_path("pyrun"))
    failed = host(*drop, *runtime, "run", "--bundle", bundle, NAME)
    assert failed.code != 0
    check(failed.err, told("newuidmap failed"))


def test_a_limit_that_may_not_be_raised(host: Host) -> None:
    bounding = re.search("CapBnd:\\s+(.*)", host.ask("cat", "/proc/self/status"))
    if bounding and int(bounding[1], 16) >> CAP_SYS_RESOURCE & 1:
        excuse("it has CAP_SYS_RESOURCE")
    host.write("/etc/containers/containers.conf", podman.configuration(host.driver))
    host.ask("podman", "load", "--quiet", "--input", image.write(host.folder / "box.tar"))
    run = ("podman", "--runtime", runtime_path("pyrun"), "run", "--rm")
    failed = host(*run, "--ulimit=nofile=1000000:1000000", image.NAME, "true")
    assert failed.code != 0
    check(failed.err, told("setrlimit"))

# SPDX-License-Identifier: Apache-2.0
"""Installed as a user would: `make install`, then what the README says for the engine, and no more
but what this machine lacks beside one that was booted."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from needs import needs

from . import image, pages, podman
from .containerd import CONFIGURATION
from .cri import Cri
from .docker import client
from .host import Host

pytestmark = needs("root", "busybox", "podman", "docker", "containerd", "buildah")

INSTALLED = "/usr/local/bin/pyrun"


@pytest.fixture(scope="module")
def installed(host: Host) -> Host:
    """A host with what `make install` makes at its own place, and the image's archive."""
    environment = {**os.environ, "DESTDIR": str(host.folder), "PREFIX": "/usr/local"}
    done = subprocess.run(
        ["make", "--silent", "-C", pages.ROOT, "install"],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    host.ask("mount", "--bind", host.folder / "usr/local", "/usr/local")
    image.write(host.folder / "box.tar")
    return host


def with_machine(text: str) -> str:
    """A containers.conf, with what podman needs to be told of a machine without systemd."""
    own = podman.configuration("cgroupfs")
    for line in own.splitlines():
        if line.startswith(("cgroup_manager", "events_logger")):
            text = text.replace("[engine]\n", f"[engine]\n{line}\n", 1)
    return own.partition("[engine]")[0] + text + own[own.index("[network]") :]


@pytest.mark.parametrize("page", [pages.README, pages.ENGINES], ids=lambda page: page.name)
def test_podman(installed: Host, page: Path) -> None:
    words = "**podman**, in `" if page == pages.README else "## podman\n"
    text = pages.block_after(page, words)
    installed.write("/etc/containers/containers.conf", with_machine(text))
    installed.ask("podman", "load", "--quiet", "--input", installed.folder / "box.tar")
    info = json.loads(installed.ask("podman", "info", "--format", "json"))["host"]["ociRuntime"]
    assert (info["name"], info["path"]) == ("pyrun", INSTALLED)
    assert installed.ask("podman", "run", "--rm", image.NAME, "echo", "runs") == "runs"
    failed = installed("podman", "run", "--rm", image.NAME, "/no/such/program")
    assert failed.code == 127
    assert "level=" not in failed.err and '"level"' not in failed.err
    installed.ask("podman", "rmi", image.NAME)


def test_podman_by_flag_and_without_cgroups(installed: Host) -> None:
    """The keys that the page explains do what it says."""
    text = pages.block_after(pages.ENGINES, "## podman\n").replace('runtime = "pyrun"\n', "")
    installed.write("/etc/containers/containers.conf", with_machine(text))
    installed.ask("podman", "load", "--quiet", "--input", installed.folder / "box.tar")
    run = ("podman", "--runtime", "pyrun", "run", "--rm", "--cgroups=disabled", image.NAME)
    assert installed.ask(*run, "echo", "runs") == "runs"
    installed.ask("podman", "rmi", image.NAME)


def test_buildah(installed: Host) -> None:
    assert f"--runtime {INSTALLED}" in pages.README.read_text()
    variable = pages.block_after(pages.ENGINES, "## buildah\n").strip()
    name, _, path = variable.partition("=")
    folder = installed.folder / "build"
    folder.mkdir()
    shutil.copy(image.busybox(), folder / "busybox")
    text = 'FROM scratch\nCOPY busybox /busybox\nRUN ["/busybox", "echo", "built"]\n'
    (folder / "Containerfile").write_text(text)
    build = ("buildah", "build", "--no-cache")
    assert "built" in installed.ask(*build, "--runtime", INSTALLED, folder)
    assert "built" in installed.ask(*build, folder, environment={name: path})
    broken = installed(*build, folder, environment={name: "/usr/local/bin/nothing"})
    assert broken.code != 0  # so it is this variable that counts


def test_docker(installed: Host) -> None:
    """README's lines, and those with which builds take it too."""
    for page, words, more in (
        (pages.README, "**Docker**, in `", ["--runtime", "pyrun"]),
        (pages.ENGINES, "## Docker\n", []),
    ):
        installed.write("/etc/docker/daemon.json", pages.block_after(page, words))
        process = installed.daemon(
            "dockerd", ready=lambda: installed(client(), "version").code == 0
        )
        installed.ask(client(), "load", "--quiet", "--input", installed.folder / "box.tar")
        command = (client(), "run", "--rm", *more, image.NAME)
        assert installed.ask(*command, "echo", "runs") == "runs"
        name = installed.ask(client(), "create", *more, image.NAME)
        form = "{{.HostConfig.Runtime}}"
        assert installed.ask(client(), "inspect", "--format", form, name) == "pyrun"
        installed.ask(client(), "rm", name)
        if not more:
            builds(installed)
        installed.stop(process)


def builds(installed: Host) -> None:
    """`docker build`, FROM scratch, COPY and RUN, by the default runtime."""
    folder = installed.folder / "docker-build"
    folder.mkdir()
    shutil.copy(image.busybox(), folder / "busybox")
    text = 'FROM scratch\nCOPY busybox /bin/busybox\nRUN ["/bin/busybox", "touch", "/made"]\n'
    (folder / "Dockerfile").write_text(text)
    classic = {"DOCKER_BUILDKIT": "0"}
    installed.ask(client(), "build", "--quiet", "-t", "made", folder, environment=classic)
    seen = installed.ask(client(), "run", "--rm", "made", "/bin/busybox", "ls", "/made")
    assert seen == "/made"


def test_containerd(installed: Host) -> None:
    """The daemon takes the tables, its CRI has the handler, and ctr the path."""
    block = pages.block_after(pages.README, "**containerd** (1.x;")
    with_cri = CONFIGURATION.replace('    "io.containerd.grpc.v1.cri",\n', "")
    assert with_cri != CONFIGURATION
    for text in (with_cri + block, pages.block_after(pages.ENGINES, "## containerd 1.x\n")):
        installed.write("/etc/containerd/config.toml", text)
        dump = tomllib.loads(installed.ask("containerd", "config", "dump"))
        cri = dump["plugins"]["io.containerd.grpc.v1.cri"]["containerd"]
        assert cri["runtimes"]["pyrun"]["options"]["BinaryName"] == INSTALLED
        assert cri["runtimes"]["pyrun"]["runtime_type"] == "io.containerd.runc.v2"
    installed.write("/etc/containerd/config.toml", with_cri + block)
    process = installed.daemon("containerd", ready=lambda: installed("ctr", "version").code == 0)
    installed.ask("ctr", "images", "import", installed.folder / "box.tar")
    flag = ("--runc-binary", INSTALLED)
    assert " ".join(flag) in pages.README.read_text()
    assert installed.ask("ctr", "run", *flag, "--rm", image.NAME, "box", "echo", "up") == "up"
    installed.stop(process)


def test_pods_of_containerd(installed: Host) -> None:
    """By the page's table as it stands, but for the driver where there is no systemd."""
    Cri.prepare(installed, 1, INSTALLED)
    written = installed.path("/etc/containerd/config.toml").read_text()
    assert f'BinaryName = "{INSTALLED}"' in written
    engine = Cri(installed, "pyrun")
    container = engine.started(engine.pod())
    assert engine.exec(container, "hostname").out == "boxed\n"
    states = [place.name for place in installed.path("/run/containerd/runc/k8s.io").iterdir()]
    assert container in states
    engine.clean()


def test_tables_that_no_engine_here_reads() -> None:
    """CRI-O and, but for test_pods.py, containerd 2: the same values, in their manuals' form."""
    second = tomllib.loads(pages.block_after(pages.ENGINES, "## containerd 2.x\n"))
    assert second["version"] == 3
    runtimes = second["plugins"]["io.containerd.cri.v1.runtime"]["containerd"]["runtimes"]
    assert runtimes["pyrun"]["runtime_type"] == "io.containerd.runc.v2"
    assert runtimes["pyrun"]["options"]["BinaryName"] == INSTALLED
    crio = tomllib.loads(pages.block_after(pages.ENGINES, "## CRI-O\n"))
    assert crio["crio"]["runtime"]["runtimes"]["pyrun"]["runtime_path"] == INSTALLED


def test_doctor_knows_what_was_written(installed: Host) -> None:
    """As the page says: it tells which engines know pyrun."""
    for path, words in (
        ("/etc/docker/daemon.json", "## Docker\n"),
        ("/etc/containerd/config.toml", "## containerd 1.x\n"),
        ("/etc/containers/containers.conf", "## podman\n"),
    ):
        installed.write(path, pages.block_after(pages.ENGINES, words))
    report = json.loads(installed(INSTALLED, "doctor", "--json").out)
    found = {check["name"]: check["status"] for check in report["checks"]}
    assert [found[name] for name in ("podman", "docker", "containerd")] == ["ok"] * 3


def test_hint_when_the_cgroup_driver_differs(installed: Host) -> None:
    """The page's words are pyrun's words."""
    page = pages.ENGINES.read_text()
    run = ("ctr", "run", "--rm", "--runc-binary", INSTALLED)
    process = installed.daemon("containerd", ready=lambda: installed("ctr", "version").code == 0)
    installed.ask("ctr", "images", "import", installed.folder / "box.tar")
    by_path = installed(*run, "--cgroup", "system.slice:ctr:box", image.NAME, "box", "true")
    assert by_path.code != 0
    assert "has the form slice:prefix:name, but the cgroupfs driver is in use" in by_path.err
    assert "SystemdCgroup of containerd" in by_path.err
    assert "has the form slice:prefix:name, but the cgroupfs driver is in use" in page
    installed.stop(process)

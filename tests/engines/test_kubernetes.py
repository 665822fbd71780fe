# SPDX-License-Identifier: Apache-2.0
"""deploy/kubernetes: the manifests are what Kubernetes takes, and what they run on a node works."""

from __future__ import annotations

import os
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from needs import needs

from . import pages

FOLDER = pages.ROOT / "deploy/kubernetes"
VERSIONS = ("1.30", kubernetes_validate.latest_version())
DEFAULT = 'version = 2\n[plugins."io.containerd.grpc.v1.cri"]\n  sandbox_image = "pause"\n'


def manifests() -> list[dict[str, Any]]:
    """All of pyrun.yaml."""
    return list(yaml.safe_load_all((FOLDER / "pyrun.yaml").read_text()))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("manifest", manifests(), ids=lambda manifest: manifest["kind"])
def test_manifest_is_valid(manifest: dict[str, Any], version: str) -> None:
    """By Kubernetes' own schemas; strictly: a field that it does not know is an error."""
    kubernetes_validate.validate(manifest, version, strict=True)


def test_the_check_can_fail() -> None:
    runtime_class, daemons, _ = manifests()
    daemons["spec"]["template"]["spec"]["hostPid"] = True
    with pytest.raises(kubernetes_validate.ValidationError, match="hostPid"):
        kubernetes_validate.validate(daemons, VERSIONS[-1], strict=True)
    del runtime_class["handler"]
    with pytest.raises(kubernetes_validate.ValidationError, match="handler"):
        kubernetes_validate.validate(runtime_class, VERSIONS[-1], strict=True)


def test_names_agree() -> None:
    """The class, the page and what the nodes' engine is told."""
    runtime_class, daemons, pod = manifests()
    page = yaml.safe_load(pages.block_after(pages.ENGINES, "## Kubernetes\n"))
    assert page == {key: runtime_class[key] for key in page}
    assert pod["spec"]["runtimeClassName"] == runtime_class["metadata"]["name"]
    chosen = daemons["spec"]["template"]["spec"]["nodeSelector"]
    assert runtime_class["scheduling"]["nodeSelector"] == chosen
    assert f".runtimes.{runtime_class['handler']}]" in (FOLDER / "install-on-node").read_text()


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """A node's root, and an image whose pyrun is a script."""
    program = tmp_path / "image/bin/pyrun"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\necho pyrun version 1\n")
    program.chmod(0o755)
    config = tmp_path / "host/etc/containerd/config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(DEFAULT)
    return tmp_path / "host"


def install(node: Path) -> tuple[int, bool]:
    """Runs it: its exit code, and whether containerd was restarted."""
    mark = node.parent / "restarted"
    mark.unlink(missing_ok=True)
    chroot = node.parent / "chroot"
    chroot.write_text('#!/bin/sh\nroot=$1; shift; program=$1; shift; exec "$root$program" "$@"\n')
    chroot.chmod(0o755)
    environment = {
        **os.environ,
        "NODE": str(node),
        "SOURCE": str(node.parent / "image"),
        "RESTART": f"touch {mark}",
        "CHROOT": str(chroot),
    }
    done = subprocess.run([FOLDER / "install-on-node"], env=environment, capture_output=True)
    return done.returncode, mark.exists()


def handler(node: Path, plugin: str) -> dict[str, Any]:
    """The handler's table."""
    config = tomllib.loads((node / "etc/containerd/config.toml").read_text())
    found: dict[str, Any] = config["plugins"][plugin]["containerd"]["runtimes"]["pyrun"]
    return found


def test_a_node_gets_it_once(node: Path) -> None:
    assert install(node) == (0, True)
    assert (node / "opt/pyrun/bin/pyrun").exists()
    found = handler(node, "io.containerd.grpc.v1.cri")
    assert found["options"] == {"BinaryName": "/opt/pyrun/bin/pyrun", "SystemdCgroup": False}
    assert (node / "etc/containerd/config.toml").read_text().startswith(DEFAULT)
    assert install(node) == (0, False)
    (node.parent / "image/new").touch()
    assert install(node) == (0, False)  # pods to come take it: containerd need not know
    assert (node / "opt/pyrun/new").exists()


def test_a_node_of_today(node: Path) -> None:
    """containerd 2, and a kubelet with the systemd driver."""
    (node / "etc/containerd/config.toml").write_text("version = 3\n")
    kubelet = node / "var/lib/kubelet/config.yaml"
    kubelet.parent.mkdir(parents=True)
    kubelet.write_text("kind: KubeletConfiguration\ncgroupDriver: systemd\n")
    assert install(node) == (0, True)
    assert handler(node, "io.containerd.cri.v1.runtime")["options"]["SystemdCgroup"] is True


def test_a_node_that_cannot_run_it(node: Path) -> None:
    """Its engine is not told of a handler that would fail."""
    (node.parent / "image/bin/pyrun").write_text("#!/no/such/python\n")
    assert install(node) == (1, False)
    assert (node / "etc/containerd/config.toml").read_text() == DEFAULT


@needs("containerd")
def test_containerd_takes_the_table(node: Path) -> None:
    assert install(node)[0] == 0
    config = node / "etc/containerd/config.toml"
    done = subprocess.run(
        ["containerd", "--config", config, "config", "dump"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    cri = tomllib.loads(done.stdout)["plugins"]["io.containerd.grpc.v1.cri"]["containerd"]
    assert cri["runtimes"]["pyrun"]["options"]["BinaryName"] == "/opt/pyrun/bin/pyrun"

# SPDX-License-Identifier: Apache-2.0
"""containerd as a kubelet drives it: pods, over the Container Runtime Interface (CRI), on a host of
their own. A handler for each runtime, as the documented tables make it."""

from __future__ import annotations

import atexit
import base64
import functools
import itertools
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from . import image, pages
from .host import Failed, Host, Result, eventually, runtime_path

_numbers = itertools.count(1)
TESTS = Path(__file__).parent.parent
SOCKET = "/run/containerd/containerd.sock"
PAUSE = "localhost/pause:latest"  # what keeps a pod's namespaces
LOGS = "/run/pods"
RUNNING, EXITED = 1, 2  # of runtime.v1.ContainerState; 0, created, is left out by JSON
POD, CONTAINER, NODE = 0, 1, 2  # of runtime.v1.NamespaceMode
INSTALLED = "/usr/local/bin/pyrun"  # the pages' path
PLUGIN = {1: "io.containerd.grpc.v1.cri", 2: "io.containerd.cri.v1.runtime"}
ON_NODE = {"security_context": {"namespace_options": {"network": NODE}}}
# A network of one address, on loopback. containerd 1 asks for a plugin named loopback as well.
NETWORK = {"cniVersion": "0.4.0", "name": "alone", "plugins": [{"type": "alone"}]}
NETWORK_PLUGIN = """#!/bin/sh
[ "$CNI_COMMAND" = VERSION ] && echo '{"cniVersion": "0.4.0", "supportedVersions": ["0.4.0"]}'
[ "$CNI_COMMAND" = ADD ] || exit 0
nsenter --net="$CNI_NETNS" sh -c 'ip link set lo up; ip address replace 10.9.8.7/32 dev lo'
echo '{"cniVersion": "0.4.0", "interfaces": [{"name": "'$CNI_IFNAME'", "sandbox": "'$CNI_NETNS'"}],
"ips": [{"version": "4", "interface": 0, "address": "10.9.8.7/32"}]}'
"""


def configuration(version: int, driver: str, pyrun: str) -> str:
    """config.toml of containerd 1 or 2: the page's block, with the pyrun that is to run, and runc;
    who makes cgroups."""
    page = pages.block_after(pages.ENGINES, f"## containerd {version}.x\n")
    handler = page.replace(INSTALLED, pyrun)
    by_systemd = "true" if driver == "systemd" else "false"
    handler = re.sub("(?<=SystemdCgroup = )(true|false)", by_systemd, handler)
    table = handler[handler.index("[") :]
    peer = table.replace("runtimes.pyrun", "runtimes.runc")
    peer = peer.replace(pyrun, runtime_path("runc"))
    head = handler[: handler.index("[")]
    own = f'[plugins."{PLUGIN[version]}"]\nrestrict_oom_score_adj = true\n'
    if version == 1:
        pause = f'sandbox_image = "{PAUSE}"\n'
    else:
        pause = f'[plugins."io.containerd.cri.v1.images".pinned_images]\nsandbox = "{PAUSE}"\n'
    folders = f'[plugins."{PLUGIN[version]}".cni]\nbin_dir = "/run/cni"\nconf_dir = "/run/cni.d"\n'
    return head + own + pause + folders + handler[len(head) :] + peer


@functools.cache
def caller() -> subprocess.Popen[str]:
    """What makes the calls, until end()."""
    return subprocess.Popen(
        [sys.executable, "-m", "engines.cri_call"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=TESTS,
    )  # fmt: skip


@atexit.register
def end() -> None:
    """The calls are over: on a machine of the tests' own, who makes them would be left on it."""
    if caller.cache_info().currsize:
        caller().communicate()  # its input ends
        caller.cache_clear()


class Cri:
    """Calls with a runtime's handler, and pods that go when the test is over."""

    def __init__(self, host: Host, runtime: str) -> None:
        self.host = host
        self.runtime = runtime
        self.pods: dict[str, Any] = {}

    @staticmethod
    def prepare(host: Host, version: int, pyrun: str = "") -> subprocess.Popen[bytes]:
        """A containerd that serves, with both images; with this tree's pyrun or another."""
        if version == 2:
            host.take_later("containerd", ("containerd", "containerd-shim-runc-v2", "ctr"))
        for name in ("alone", "loopback"):
            host.write(f"/run/cni/{name}", NETWORK_PLUGIN)
            host.path(f"/run/cni/{name}").chmod(0o755)
        host.write("/run/cni.d/10-alone.conflist", json.dumps(NETWORK))
        text = configuration(version, host.driver, pyrun or runtime_path("pyrun"))
        host.write("/etc/containerd/config.toml", text)
        daemon = host.daemon("containerd", ready=lambda: host("ctr", "version").code == 0)
        pause = ("sleep", "1000000")
        for archive in (
            image.write(host.folder / "box.tar"),
            image.write(host.folder / "pause.tar", PAUSE, pause),
        ):
            host.ask("ctr", "--namespace=k8s.io", "images", "import", archive)
        ready = Cri(host, "pyrun")
        assert eventually(lambda: ready("Version", {}).code == 0)
        return daemon

    def __call__(self, method: str, request: dict[str, Any]) -> Result:
        """One call."""
        process = caller()
        assert process.stdin is not None and process.stdout is not None
        line = json.dumps([str(self.host.path(SOCKET)), method, request])
        process.stdin.write(f"{line}\n")
        process.stdin.flush()
        answer, said = json.loads(process.stdout.readline())
        return Result(1, "", said) if said else Result(0, json.dumps(answer), "")

    def ask(self, method: str, **request: Any) -> dict[str, Any]:
        """The same, which must work: the answer."""
        result = self(method, request)
        if result.code != 0:
            raise Failed([method, json.dumps(request)], result)
        found: dict[str, Any] = json.loads(result.out)
        return found

    def pod(self, **linux: Any) -> str:
        """A pod's id; `linux`: its LinuxPodSandboxConfig."""
        name = f"pod{next(_numbers)}"
        parent = f"{self.host.folder.name}-{name}"
        if self.host.driver == "systemd":
            parent = f"boxed-{name}.slice"
        config = {
            "metadata": {"name": name, "uid": name, "namespace": "default"},
            "hostname": "" if linux == ON_NODE else "boxed",  # the machine's
            "log_directory": f"{LOGS}/{name}",
            "linux": {"cgroup_parent": f"/{parent}", **linux},
        }
        answer = self.ask("RunPodSandbox", config=config, runtime_handler=self.runtime)
        made: str = answer["pod_sandbox_id"]
        self.pods[made] = config
        return made

    def started(self, pod: str, *command: str, **config: Any) -> str:
        """A container's id; `config`: fields of its ContainerConfig."""
        name = f"box{next(_numbers)}"
        whole = {
            "metadata": {"name": name},
            "image": {"image": image.NAME},
            "command": list(command or ("sleep", "100000")),
            "log_path": name,
            **config,
        }
        answer = self.ask("CreateContainer", pod_sandbox_id=pod, config=whole,
                          sandbox_config=self.pods[pod])  # fmt: skip
        made: str = answer["container_id"]
        self.ask("StartContainer", container_id=made)
        return made

    def exec(self, container: str, *words: str) -> Result:
        """What a kubelet does for a probe."""
        answer = self.ask("ExecSync", container_id=container, cmd=list(words), timeout=30)
        out, err = (base64.b64decode(answer.get(name, "")) for name in ("stdout", "stderr"))
        return Result(answer.get("exit_code", 0), out.decode(), err.decode())

    def status(self, container: str) -> dict[str, Any]:
        """Of a container."""
        found: dict[str, Any] = self.ask("ContainerStatus", container_id=container)["status"]
        return found

    def log(self, pod: str) -> list[str]:
        """What the pod's containers printed: "STREAM TEXT" of each line."""
        folder = self.host.path(self.pods[pod]["log_directory"])
        lines = [line for file in folder.iterdir() for line in file.read_text().splitlines()]
        return [" ".join((words := line.split())[1:2] + words[3:]) for line in lines]

    def end(self, pod: str) -> None:
        """Stops a pod and removes it, with all that is in it."""
        self.ask("StopPodSandbox", pod_sandbox_id=pod)
        self.ask("RemovePodSandbox", pod_sandbox_id=pod)
        del self.pods[pod]

    def clean(self) -> None:
        """Ends what is left."""
        for pod in list(self.pods):
            self.end(pod)


__all__ = ["CONTAINER", "EXITED", "NODE", "ON_NODE", "POD", "RUNNING", "Cri"]

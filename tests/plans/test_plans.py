# SPDX-License-Identifier: Apache-2.0
"""Golden plans: configs in the shape that engines give, and what `pyrun plan` prints for each.

A change to a rule shows here as a difference to be reviewed: `pytest tests/plans --update` writes
the new text. The host is the same everywhere: see HOSTS.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pyrun import prepare, spec_default
from pyrun.cgroup.plan import plan as cgroup_plan
from pyrun.commands import plan
from pyrun.compile import devices, mount_options, namespaces, order
from pyrun.compile import seccomp as profiles
from unit.compile.rules import FACTS

HERE = Path(__file__).parent
FILES = ("resolv.conf", "hosts", "etc-hosts")  # bind sources that are no directories

V2 = {"layout": "v2", "mounts": {"": ("/sys/fs/cgroup", "/")}, "own": {"": "/user/me"}}
V1 = {
    "layout": "hybrid",
    "mounts": {
        "cpu": ("/sys/fs/cgroup/cpu,cpuacct", "/"),
        "cpuacct": ("/sys/fs/cgroup/cpu,cpuacct", "/"),
        "memory": ("/sys/fs/cgroup/memory", "/"),
        "name=systemd": ("/sys/fs/cgroup/systemd", "/"),
    },
    "own": {},
}
# name: (config, facts that are unusual, cgroups of the host)
ROOTLESS = {"privileged": False, "capabilities": 0, "may_setgroups": True, "binds_devices": True}
HOSTS: dict[str, tuple[dict[str, Any] | None, dict[str, Any], dict[str, Any]]] = {
    "podman": (None, {}, V2),
    "podman_rootless": (None, ROOTLESS, V2),
    "docker": (None, {}, V1),
    "docker_remapped": (None, {"binds_devices": True}, V2),
    "containerd_pod": (None, {"has_kcore": True}, V1),
    "spec": (spec_default.default(None), {}, V2),
    "spec_rootless": (
        spec_default.default((1000, 1000)),
        {**ROOTLESS, "may_setgroups": False, "fifo": False},
        V2,
    ),
}


def described(name: str) -> str:
    """What `pyrun plan` prints for this config on its host."""
    given, unusual, cgroups = HOSTS[name]
    config = given or json.loads((HERE / f"{name}.json").read_text())
    prepare.check(config)
    facts = {**FACTS, **unusual, "rootfs": f"/bundle/{config['root']['path']}", "sources": {}}
    if config["root"]["path"].startswith("/"):
        facts["rootfs"] = config["root"]["path"]
    for mount in config["mounts"]:
        if mount_options.is_bind(mount):
            path = mount_options.source(mount, facts)
            facts["sources"][path] = "file" if path.endswith(FILES) else "directory"
    facts["device_sources"] = devices.sources(config)
    if profiles.profile(config["linux"].get("seccomp"), "x86_64"):
        facts |= {"seccomp": bytes(8 * 42), "seccomp_flags": profiles.SPEC_ALLOW}
    record = cgroup_plan(config, "box", cgroups, "cgroupfs", not facts["privileged"])
    facts["cgroup_layout"] = cgroups["layout"]
    facts["cgroup_hierarchies"] = prepare.hierarchies(cgroups, record)
    prepared: Any = SimpleNamespace(
        config=config,
        facts=facts,
        cgroup=record,
        flags=namespaces.clone_flags(config),
        steps=order.compile_init(config, facts),
    )
    return plan.text(plan.document(prepared, "root" if facts["privileged"] else "uid 1000"))


@pytest.mark.parametrize("name", HOSTS)
def test_plan(name: str, request: pytest.FixtureRequest) -> None:
    golden = HERE / f"{name}.plan"
    text = described(name)
    if request.config.getoption("update"):
        golden.write_text(text)
    assert text == golden.read_text(), "see the difference; --update accepts it"


def test_every_config_has_a_host_and_every_plan_a_config() -> None:
    assert {path.stem for path in HERE.glob("*.json")} <= HOSTS.keys()
    assert {path.stem for path in HERE.glob("*.plan")} == HOSTS.keys()

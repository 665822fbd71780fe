# SPDX-License-Identifier: Apache-2.0
"""What config.md says that a Linux runtime ignores: the plan is the same with and without it."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from needs import excuse
from pyrun import prepare, schema_check, validate
from pyrun.compile import order
from unit import runtime_spec
from unit.compile.rules import FACTS
from unit.configs import isolated, with_

# Platform-specific sections, with members of config-windows.md and its like, also broken ones.
PLATFORMS: list[tuple[str, dict[str, Any]]] = [
    (
        "windows",
        {
            "layerFolders": ["C:\\layers\\1"],
            "devices": [{"id": "24E552D7-6523-47F7-A647-D3465BF1F5CA", "idType": "class"}],
            "resources": {"memory": {"limit": 2097152}, "cpu": {"count": 2, "maximum": 5000}},
            "network": {"endpointList": ["x"], "allowUnqualifiedDNSQuery": True},
            "credentialSpec": {"a": 1},
            "servicing": True,
            "ignoreFlushesDuringBoot": True,
            "hyperv": {"utilityVMPath": "C:\\vm"},
        },
    ),
    (
        "solaris",
        {
            "milestone": "svc:/milestone/container:default",
            "limitpriv": "default",
            "maxShmMemory": "512m",
            "anet": [{"linkname": "net0", "allowedAddress": "172.17.0.2/16"}],
            "cappedCPU": {"ncpus": "8"},
            "cappedMemory": {"physical": "512m", "swap": "512m"},
        },
    ),
    (
        "vm",
        {
            "hypervisor": {"path": "/path/to/vmm", "parameters": ["opts1=foo"]},
            "kernel": {"path": "/path/to/vmlinuz", "parameters": ["foo"], "initrd": "/initrd"},
            "image": {"path": "/image", "format": "raw"},
            "hwConfig": {"vcpus": 1, "memory": 4194304, "iomems": [{"firstMFN": 1, "nrMFNs": 1}]},
        },
    ),
    ("zos", {"namespaces": [{"type": "mount"}, {"type": "ipc", "path": "relative"}]}),
    (
        "freebsd",
        {
            "devices": [{"path": "pf", "mode": 448}],
            "jail": {"parent": "p", "host": "new", "vnet": "new", "allow": {"chflags": True}},
        },
    ),
    *((name, {"anything": [None, -1, {"": "\n"}]}) for name in ("windows", "vm", "freebsd")),
]


def plan_of(config: dict[str, Any]) -> list[Any]:
    assert schema_check.check(config) == []
    assert validate.shape_problems(config) == []
    prepare.check(config)
    return order.compile_init(config, copy.deepcopy(FACTS))


EXAMPLES = [
    (name, section)
    for example in runtime_spec.examples()
    if (example.document, example.verdict) == ("config", "good")
    for name, section in json.loads(example.text).items()
    if name in runtime_spec.PLATFORMS
]


def test_the_specification_has_examples() -> None:
    if not runtime_spec.present():
        excuse(f"no copy of the runtime-spec at {runtime_spec.COPY}")
    assert {name for name, _ in EXAMPLES} >= {"freebsd", "zos"}


@pytest.mark.parametrize(("name", "section"), PLATFORMS + EXAMPLES)
def test_other_platforms(name: str, section: dict[str, Any]) -> None:
    assert plan_of({**isolated(), name: section}) == plan_of(isolated())


def test_members_of_other_platforms() -> None:
    """process.user.username is of Windows: on POSIX there are uid and gid."""
    assert plan_of(with_("process/user/username", "somebody", isolated())) == plan_of(isolated())


def test_unknown_members() -> None:
    """Extensibility: "MUST NOT generate an error if they encounter an unknown property"."""
    config = isolated(unheardOf={"a": [1]})
    config["process"]["user"]["unheardOf"] = None
    config["unheardOf"] = "x"
    assert plan_of(config) == plan_of(isolated())

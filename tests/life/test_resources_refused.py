# SPDX-License-Identifier: Apache-2.0
"""Limits that can't be honoured: an error with the field's name, and nothing left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from life.bundles import Bundle
from life.runtimes import Container
from life.test_resources import every_controller  # noqa: F401 a fixture of the module
from needs import needs

M = 1 << 20
# Without groups of real-time tasks in the kernel, the error says which option it lacks.
RT_REFUSED = (
    "the parent cgroup allows less"
    if Path("/sys/fs/cgroup/cpu/cpu.rt_runtime_us").exists()
    else "CONFIG_RT_GROUP_SCHED"
)


@pytest.mark.pyrun_only("the texts")
@pytest.mark.usefixtures("for_crun")  # hugetlb is where it is seen
@pytest.mark.parametrize(
    ("limits", "text"),
    [
        ({"memory": {"limit": M, "swap": 5}}, "memory+swap limit should be >= memory limit"),
        ({"memory": {"swap": 5}}, "unable to set swap limit without memory limit"),
        ({"pids": {"limit": 1 << 40}}, "the kernel can't have more than 4194304"),
        ({"cpu": {"quota": 5000, "burst": 6000}}, "burst is more than quota: 6000 > 5000"),
        ({"hugepageLimits": [{"pageSize": "3MB", "limit": 1}]}, "huge pages of this size"),
        ({"unified": {"../memory.max": "5"}}, "must be the name of a cgroup file"),
        (
            {"blockIO": {"throttleReadBpsDevice": [{"major": 999, "minor": 9, "rate": 5}]}},
            "no such",
        ),
    ],
)
def test_refused(container: Container, bundle: Bundle, limits: Any, text: str) -> None:
    """With the field's name, and nothing left."""
    bundle.linux["resources"].update(limits)
    result = container.create("print x")
    assert result.code == 1
    assert text in result.err
    assert f"/linux/resources/{next(iter(limits))}" in result.err


@pytest.mark.pyrun_only("the texts")
@needs("cgroup_v1_controllers")
@pytest.mark.parametrize(
    ("limits", "text"),
    [
        ({"unified": {"memory.high": "5"}}, "this host has its controllers in cgroup v1"),
        ({"cpu": {"shares": 1}}, "the minimum allowed cpu-shares is 2"),
        ({"cpu": {"realtimeRuntime": 950001}}, RT_REFUSED),
        (
            {"network": {"priorities": [{"name": "nosuch0", "priority": 1}]}},
            "no such network interface",
        ),
        ({"blockIO": {"leafWeight": 100}}, "leafWeight left the kernel with the CFQ scheduler"),
    ],
)
def test_refused_on_v1(container: Container, bundle: Bundle, limits: Any, text: str) -> None:
    test_refused(container, bundle, limits, text)


@pytest.mark.pyrun_only("the texts")
@needs("cgroup_v2")
@pytest.mark.parametrize(
    ("limits", "text"),
    [
        ({"unified": {"nosuch.max": "5"}}, "the nosuch controller is not available"),
        ({"unified": {"memory.nosuch": "5"}}, "memory.nosuch: no such file"),
        ({"rdma": {"nosuch0": {"hcaHandles": 1}}}, "there is no such RDMA device"),
        ({"memory": {"disableOOMKiller": True}}, "this is a feature of cgroup v1"),
        ({"memory": {"swappiness": 5}}, "this is a feature of cgroup v1"),
        ({"network": {"classID": 5}}, "this is a feature of cgroup v1"),
        ({"cpu": {"realtimeRuntime": 5}}, "this is a feature of cgroup v1"),
    ],
)
def test_refused_on_v2(container: Container, bundle: Bundle, limits: Any, text: str) -> None:
    test_refused(container, bundle, limits, text)

# SPDX-License-Identifier: Apache-2.0
"""What the machine of a test may not have, and a template must not leave out."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pyrun import exec_template, template
from pyrun.caller import VARIABLES


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller that tells us nothing by its environment."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def container(**linux: Any) -> Any:
    """A prepared one, plain but for this."""
    return SimpleNamespace(
        opts={},
        config={"process": {}, "linux": linux},
        facts={
            **dict.fromkeys(template.FACTS, 0),
            "privileged": True,
            "binds_devices": False,
            "cgroup_layout": "v1",
        },
        cgroup={"manager": "cgroupfs", "layout": "v1", "rootless": False},
        steps=[],
    )


def execution(linux: dict[str, Any], annotations: dict[str, str]) -> Any:
    """A process that has joined, plain but for this."""
    return SimpleNamespace(
        opts={},
        config={"process": {}, "linux": linux, "annotations": annotations},
        facts={**dict.fromkeys(exec_template.FACTS, 0), "privileged": True},
        living=SimpleNamespace(namespaces=[{"type": "mount"}], paused=False),
        steps=[],
    )


def test_a_group_of_resctrl() -> None:
    """An empty intelRdt asks for one, too."""
    assert template.strangeness(container()) == ""
    assert template.strangeness(container(intelRdt={})) == "resctrl"
    assert exec_template.strangeness(execution({}, {})) == ""
    assert "resctrl" in exec_template.strangeness(execution({"intelRdt": {}}, {}))


def test_a_cgroup_below_the_container_s() -> None:
    """The directories on record do not lead there, and only systemd's containers have one."""
    found = exec_template.strangeness(execution({}, {"run.oci.systemd.subgroup": "x"}))
    assert found == "a cgroup below the container's"

# SPDX-License-Identifier: Apache-2.0
"""The first process in a container takes no Python either, if one of its kind has had the same."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable

import pytest

from life.bundles import Bundle
from life.exec_steps import cgroup_of, end
from life.runtimes import Container
from life.templates import LOOK, PAUSE, Joiner, with_hooks, without_numbers
from needs import needs

pytestmark = [
    needs("root", "strace"),
    pytest.mark.pyrun_only("no peer has templates"),
    pytest.mark.one_way("templates are the launcher's"),
]


Others = Callable[..., Joiner]


@pytest.fixture
def another(joiner: Joiner, make_container: Callable[[], Container]) -> Others:
    """Containers that run, of the joiner's config with changes."""

    def make(*changes: Callable[[Bundle], None]) -> Joiner:
        container = make_container()
        config, place = container.bundle.config, container.bundle.linux["cgroupsPath"]
        config |= copy.deepcopy(joiner.container.bundle.config)
        config["linux"]["cgroupsPath"] = place
        for change in changes:
            change(container.bundle)
        container.started("sleep 1000")
        return Joiner(container)

    return make


def first(bundle: Bundle) -> None:
    bundle.process["env"].append("WHO=first")


def second(bundle: Bundle) -> None:
    bundle.process["env"].append("WHO=second")
    bundle.config["hostname"] = "second"
    with_hooks(bundle)


def test_of_another_container(another: Others, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first process in the next container of a kind gets into that one, as by Python."""
    another(first).prime(*LOOK)
    joiner = another(second)
    result, python = joiner.exec(*LOOK)
    assert (result.code, result.err, python) == (0, "", False)
    answers = dict(zip(LOOK, result.answers(), strict=True))
    assert answers["hostname"] == "second"
    assert "WHO=second" in answers["env"]
    monkeypatch.setenv("PYRUN_NO_FAST", "1")
    by_python, python = joiner.exec(*LOOK)
    assert python
    assert without_numbers(result) == without_numbers(by_python)


def test_of_another_container_in_its_cgroup(joiner: Joiner, another: Others) -> None:
    pid_file = joiner.container.bundle.path / "exec.pid"
    flags = ["--detach", "--pid-file", pid_file]
    joiner.prime("sleep 1000", flags=flags)
    end(int(pid_file.read_text()))
    last = another()
    assert last.exec("sleep 1000", flags=flags) == ((0, "", ""), False)
    pid = int(pid_file.read_text())
    assert cgroup_of(pid) == cgroup_of(last.container.pid) != cgroup_of(joiner.container.pid)
    end(pid)


def a_capability(bundle: Bundle) -> None:
    bundle.process["capabilities"]["bounding"] = []


def a_filter(bundle: Bundle) -> None:
    bundle.linux["seccomp"]["syscalls"][0]["names"] = ["uname"]


def a_limit(bundle: Bundle) -> None:
    bundle.process["rlimits"][0]["soft"] = 98


def an_address_space(bundle: Bundle) -> None:
    bundle.linux["personality"] = {"domain": "LINUX32"}


def a_namespace(bundle: Bundle) -> None:
    bundle.linux["namespaces"] = [one for one in bundle.linux["namespaces"] if one["type"] != "ipc"]


@pytest.mark.parametrize("change", [a_capability, a_filter, a_limit, an_address_space, a_namespace])
def test_of_another_kind(joiner: Joiner, another: Others, change: Callable[[Bundle], None]) -> None:
    """Nothing of one container's confinement or namespaces gets into the other."""
    joiner.prime("id")
    unlike = another(change)
    time.sleep(PAUSE)  # the first one here leaves its own
    assert unlike.exec("id")[1]
    assert not unlike.exec("id")[1]
    assert not joiner.exec("id")[1]

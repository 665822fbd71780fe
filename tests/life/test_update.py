# SPDX-License-Identifier: Apache-2.0
"""update: limits of living containers, as the kernel has them afterwards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from life import leftovers
from life.bundles import Bundle
from life.runtimes import Container, Result, eventually
from needs import needs

pytestmark = needs("root")
with_peers = pytest.mark.with_peers
differs = pytest.mark.differs
pyrun_only = pytest.mark.pyrun_only
on_v1 = needs("cgroup_v1_controllers")
on_v2 = needs("cgroup_v2")
ROOT = Path("/sys/fs/cgroup")
M = 1 << 20


def value(container: Container, file: str) -> str:
    """A file of the container's cgroup, in whichever hierarchy."""
    inner = f"{leftovers.PARENT}/{container.id}/{file}"
    unified = ROOT / inner
    return (unified if unified.exists() else ROOT / file.split(".")[0] / inner).read_text().strip()


def update(container: Container, *words: str, **keywords: Any) -> Result:
    """The verb, which must work."""
    result = container.runtime("update", *words, container.id, **keywords)
    assert (result.code, result.out, result.err) == (0, "", "")
    return result


def refused(container: Container, *words: str, **keywords: Any) -> str:
    """The verb, which must not; what it says."""
    result = container.runtime("update", *words, container.id, **keywords)
    assert (result.code, result.out) == (1, "")
    return result.err.removeprefix("pyrun: ").rstrip("\n")


def limit(bundle: Bundle, **resources: Any) -> None:
    """Limits to begin with."""
    bundle.linux["resources"].update(resources)


@on_v1
@with_peers
def test_flags(container: Container, bundle: Bundle) -> None:
    limit(bundle, memory={"limit": 64 * M}, cpu={"shares": 512}, pids={"limit": 30})
    container.started("sleep 100")
    update(container, "--memory", str(96 * M), "--memory-reservation", str(48 * M))
    update(container, "--cpu-share", "300", "--cpu-period", "50000", "--cpu-quota", "20000")
    update(container, "--pids-limit", "40", "--cpuset-cpus", "0", "--cpuset-mems", "0")
    assert value(container, "memory.limit_in_bytes") == str(96 * M)
    assert value(container, "memory.soft_limit_in_bytes") == str(48 * M)
    assert value(container, "cpu.shares") == "300"
    assert value(container, "cpu.cfs_period_us") == "50000"
    assert value(container, "cpu.cfs_quota_us") == "20000"
    assert value(container, "pids.max") == "40"
    assert value(container, "cpuset.cpus") == "0"


@on_v1
@with_peers
@pytest.mark.parametrize("stdin", [False, True], ids=["file", "stdin"])
def test_resources(container: Container, bundle: Bundle, stdin: bool) -> None:
    """As podman sends them, and as containerd does. Other flags count for nothing then."""
    limit(bundle, memory={"limit": 64 * M}, pids={"limit": 30})
    container.started("sleep 100")
    text = json.dumps({"memory": {"limit": 32 * M}, "cpu": {"shares": 200}})
    file = bundle.path / "resources.json"
    file.write_text(text)
    word = "-" if stdin else str(file)
    update(container, f"--resources={word}", "--pids-limit", "77", stdin=text if stdin else "")
    assert value(container, "memory.limit_in_bytes") == str(32 * M)
    assert value(container, "cpu.shares") == "200"
    assert value(container, "pids.max") == "30"


@on_v1
@differs(crun="1.8 knows no units")
@with_peers
def test_units(container: Container) -> None:
    container.started("sleep 100")
    update(container, "--memory", "64M", "--memory-reservation", "32mib", "--memory-swap", "1g")
    assert value(container, "memory.limit_in_bytes") == str(64 * M)
    assert value(container, "memory.soft_limit_in_bytes") == str(32 * M)
    assert value(container, "memory.memsw.limit_in_bytes") == str(1024 * M)


@on_v1
@pytest.mark.parametrize(("memory", "swap"), [(16, 32), (256, 512), (64, 128), (128, 128)])
def test_memory_and_swap_in_any_direction(
    container: Container, bundle: Bundle, memory: int, swap: int
) -> None:
    """The kernel wants limit <= memsw at any moment."""
    limit(bundle, memory={"limit": 64 * M, "swap": 128 * M})
    container.started("sleep 100")
    update(container, "--memory", f"{memory}M", "--memory-swap", f"{swap}M")
    assert value(container, "memory.limit_in_bytes") == str(memory * M)
    assert value(container, "memory.memsw.limit_in_bytes") == str(swap * M)


@on_v1
@differs(crun="1.8 leaves swap, which is in the way then")
@with_peers
def test_no_limit_on_memory_is_none_on_swap(container: Container, bundle: Bundle) -> None:
    limit(bundle, memory={"limit": 64 * M, "swap": 128 * M})
    container.started("sleep 100")
    update(container, "--memory", "-1")
    for file in ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes"):
        assert int(value(container, file)) > 1 << 62


@on_v1
@pyrun_only("that nothing is set, and the words")
def test_all_or_nothing(container: Container, bundle: Bundle) -> None:
    limit(bundle, memory={"limit": 64 * M, "swap": 64 * M}, cpu={"shares": 512})
    limit(bundle, pids={"limit": 30})
    container.started("sleep 100")
    words = ["--memory=32M", "--memory-swap=48M", "--cpu-share=99", "--pids-limit=10"]
    text = refused(container, *words, "--cpuset-cpus", "4000")
    assert text.startswith("--cpuset-cpus: write 4000 to /sys/fs/cgroup/cpuset/")
    assert value(container, "memory.limit_in_bytes") == str(64 * M)
    assert value(container, "memory.memsw.limit_in_bytes") == str(64 * M)
    assert value(container, "cpu.shares") == "512"
    assert value(container, "pids.max") == "30"


@on_v1
@pytest.mark.parametrize("checked", [False, True])
@with_peers
def test_a_limit_below_what_is_used(container: Container, bundle: Bundle, checked: bool) -> None:
    """v1's kernel refuses it, with checkBeforeUpdate and without."""
    limit(bundle, memory={"limit": 64 * M})
    container.started("sleep 100")
    document = json.dumps({"memory": {"limit": 4096, "checkBeforeUpdate": checked}})
    result = container.runtime("update", "-r", "-", container.id, stdin=document)
    assert result.code == 1
    if container.runtime.name == "pyrun":
        assert "--resources /memory/limit: write 4096 to " in result.err
        assert result.err.endswith("resource busy: the cgroup uses more than that already\n")
    assert value(container, "memory.limit_in_bytes") == str(64 * M)


@on_v1
@pyrun_only("the words")
def test_swap_is_left_alone(container: Container, bundle: Bundle) -> None:
    """And so it is in the way of a limit beyond it."""
    limit(bundle, memory={"limit": 64 * M, "swap": 128 * M})
    container.started("sleep 100")
    assert refused(container, "--memory", "256M").startswith("--memory: write 268435456 to ")
    update(container, "--memory", "128M")
    assert value(container, "memory.memsw.limit_in_bytes") == str(128 * M)
    assert "memory+swap limit should be >= memory limit" in refused(container, "--memory-swap=1M")


def readable(container: Container) -> list[str]:
    """What the container prints each time that it tries to open /dev/full."""
    return container.output.read_text().replace("\036\n", "").split()


RULES = [{"allow": False, "access": "rwm"}]


@differs(runc="leaves devices out")
@with_peers
def test_devices(container: Container, bundle: Bundle) -> None:
    """A node that was not allowed is, and then is not any more."""
    bundle.config["linux"]["devices"] = [
        {"path": "/dev/loop-control", "type": "c", "major": 10, "minor": 237}
    ]
    container.started(*["read /dev/loop-control", "sleep 1"] * 60)
    rule = {"allow": True, "type": "c", "major": 10, "minor": 237, "access": "rwm"}
    assert eventually(lambda: len(readable(container)) >= 2)
    update(container, "-r", "-", stdin=json.dumps({"devices": [*RULES, rule]}))
    assert eventually(lambda: readable(container)[-1] != "EPERM", 12), readable(container)
    update(container, "-r", "-", stdin=json.dumps({"devices": RULES}))
    assert eventually(lambda: readable(container)[-1] == "EPERM", 12), readable(container)


@on_v1
@pyrun_only("no peer sets devices")
def test_the_same_devices_change_nothing(container: Container, bundle: Bundle) -> None:
    """Engines send the config's with each change; what a hook has allowed since then stays."""
    container.started("sleep 100")
    inner = f"devices/{leftovers.PARENT}/{container.id}/devices.allow"
    (ROOT / inner).write_text("c 195:* rw")
    same = {"devices": bundle.linux["resources"]["devices"], "pids": {"limit": 50}}
    update(container, "-r", "-", stdin=json.dumps(same))
    assert "c 195:* rw" in value(container, "devices.list")
    assert value(container, "pids.max") == "50"
    other = [*RULES, {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rwm"}]
    update(container, "-r", "-", stdin=json.dumps({"devices": other}))
    assert "c 10:229 rwm" in value(container, "devices.list")
    assert "c 195:* rw" not in value(container, "devices.list")
    update(container, "-r", "-", stdin=json.dumps(same))
    assert "c 10:229 rwm" not in value(container, "devices.list")
    assert container.delete("--force").code == 0


@on_v1
@pyrun_only("no peer sets devices")
def test_devices_are_set_back(container: Container) -> None:
    """The whole of a policy that the parent cgroup refuses in part."""
    container.started("sleep 100")
    before = value(container, "devices.list")
    rules = [{"allow": True, "access": "rwm"}]
    update(container, "-r", "-", stdin=json.dumps({"devices": rules}))
    assert value(container, "devices.list") == "a *:* rwm"
    update(container, "-r", "-", stdin=json.dumps({"devices": RULES}))
    assert sorted(value(container, "devices.list").split("\n")) == sorted(before.split("\n"))


@pyrun_only("the words")
@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--memory", "12X"], "--memory: '12X' is no size: bytes, or with a unit"),
        (["--cpu-share", "many"], "--cpu-share: 'many' is no number"),
        (["--cpu-share", "-5"], "--cpu-share: must be an integer from 0 to"),
        (["--memory", "-5"], "--memory: -5 is no amount of memory"),
        (["--l3-cache-schema", "L3:0=f"], "--l3-cache-schema: the container has no group in resc"),
        (["-r", "/nope"], "read /nope: no such file or directory"),
    ],
    ids=str,
)
def test_words_of_flags(container: Container, words: list[str], text: str) -> None:
    container.created("sleep 100")
    assert refused(container, *words).startswith(text)


@pyrun_only("the words")
@pytest.mark.parametrize(
    ("document", "text"),
    [
        ("[]", "--resources: must hold a JSON object, not an empty list"),
        ("{", "--resources: "),
        ('{"memory": {"limit": "64M"}}', "--resources /memory/limit: must be an integer from -9"),
        ('{"unified": {"../x": "1"}}', "--resources /unified/..~1x: must be the name of a cgroup"),
        ('{"devices": [{"allow": true}]}', "--resources /devices/0/access: "),
    ],
    ids=str,
)
def test_words_of_resources(container: Container, document: str, text: str) -> None:
    container.created("sleep 100")
    assert refused(container, "-r", "-", stdin=document).startswith(text)


def test_without_flags(container: Container) -> None:
    """There is nothing to do. null is what engines send for nothing."""
    container.created("sleep 100")
    update(container)
    update(container, "-r", "-", stdin='{"memory": null, "cpu": {}, "devices": null}')


@with_peers
@differs(crun="1.8 has other words")
def test_stopped_and_unknown(container: Container) -> None:
    result = container.runtime("update", "--pids-limit", "5", container.id)
    assert result.code == 1
    assert "container does not exist" in result.err
    container.started("print x")
    container.wait()
    result = container.runtime("update", "--pids-limit", "5", container.id)
    assert result.code == 1
    assert "container not running" in result.err


@pyrun_only("the flag")
def test_without_a_cgroup(container: Container, bundle: Bundle) -> None:
    bundle.linux.pop("cgroupsPath")
    bundle.linux.pop("resources")
    assert container.create("sleep 100", options=["--cgroup-manager", "disabled"]).code == 0
    assert refused(container, "--pids-limit", "5").startswith(
        "--pids-limit: cannot set limits without cgroups"
    )


@pyrun_only("the log")
def test_a_limit_of_the_past(container: Container, bundle: Bundle) -> None:
    container.created("sleep 100")
    log = bundle.path / "log"
    words = ["update", "--kernel-memory", "64M", "--kernel-memory-tcp", "64M", container.id]
    options = ["--log", str(log), "--log-level", "warning"]
    assert container.runtime(*words, options=options).code == 0
    assert log.read_text().count("is ignored: no kernel has that limit any more") == 2


@on_v2
@with_peers
def test_flags_on_v2(container: Container, bundle: Bundle) -> None:
    limit(bundle, memory={"limit": 64 * M, "swap": 64 * M}, pids={"limit": 30})
    limit(bundle, cpu={"quota": 30000, "period": 100000})
    container.started("sleep 100")
    update(container, "--memory", str(96 * M), "--memory-reservation", str(48 * M))
    update(container, "--cpu-quota", "20000", "--pids-limit", "40")
    assert value(container, "memory.max") == str(96 * M)
    assert value(container, "memory.low") == str(48 * M)
    assert value(container, "pids.max") == "40"
    assert value(container, "cpu.max") == "20000 100000"


@on_v2
@pyrun_only("that absent fields keep what the kernel has")
def test_present_values_on_v2(container: Container, bundle: Bundle) -> None:
    limit(bundle, memory={"limit": 64 * M, "swap": 96 * M})
    limit(bundle, cpu={"quota": 30000, "period": 60000})
    container.started("sleep 100")
    update(container, "--cpu-quota", "20000")
    assert value(container, "cpu.max") == "20000 60000"
    update(container, "--cpu-period", "50000", "--cpu-burst", "10000")
    assert value(container, "cpu.max") == "20000 50000"
    assert value(container, "cpu.max.burst") == "10000"
    update(container, "--memory-swap", "128M")
    assert value(container, "memory.swap.max") == str(64 * M)
    update(container, "--memory", "-1", "--cpu-quota", "-1")
    assert value(container, "memory.max") == value(container, "memory.swap.max") == "max"
    assert value(container, "cpu.max") == "max 50000"


@on_v2
@pyrun_only("the words")
def test_the_flag_that_was_given_is_named_on_v2(container: Container, bundle: Bundle) -> None:
    """Quota and period are one file."""
    limit(bundle, cpu={"quota": 30000, "period": 60000})
    container.started("sleep 100")
    assert refused(container, "--cpu-period", "7").startswith("--cpu-period: write 30000 7 to ")
    assert refused(container, "--cpu-quota", "7").startswith("--cpu-quota: write 7 60000 to ")
    assert value(container, "cpu.max") == "30000 60000"


@on_v2
@pyrun_only("that nothing is set")
def test_all_or_nothing_on_v2(container: Container, bundle: Bundle) -> None:
    limit(bundle, memory={"limit": 64 * M, "swap": 64 * M}, cpu={"quota": 30000, "shares": 512})
    container.started("sleep 100")
    files = ("memory.max", "memory.swap.max", "cpu.max", "cpu.weight", "pids.max")
    before = [value(container, file) for file in files]
    words = ["--memory=96M", "--memory-swap=128M", "--cpu-quota=20000", "--cpu-share=99"]
    refused(container, *words, "--pids-limit=10", "--cpuset-cpus", "4000")
    assert [value(container, file) for file in files] == before
    document = {"memory": {"limit": 4096, "checkBeforeUpdate": True}, "pids": {"limit": 7}}
    assert "are in use" in refused(container, "-r", "-", stdin=json.dumps(document))
    assert [value(container, file) for file in files] == before

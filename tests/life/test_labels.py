# SPDX-License-Identifier: Apache-2.0
"""process.apparmorProfile where AppArmor is on (make vm-test); and labels on a host without their
security module, where nobody would enforce them: refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from life.bundles import Bundle
from life.runtimes import Container
from needs import excuse, needs

ENABLED = Path("/sys/module/apparmor/parameters/enabled")


@pytest.mark.pyrun_only("runc passes over apparmorProfile here, crun over selinuxLabel")
@pytest.mark.parametrize(
    ("section", "field", "label", "module"),
    [
        ("process", "apparmorProfile", "docker-default", "AppArmor"),
        ("process", "selinuxLabel", "system_u:system_r:container_t:s0", "SELinux"),
        ("linux", "mountLabel", "system_u:object_r:container_file_t:s0", "SELinux"),
    ],
)
def test_nobody_would_enforce_it(
    container: Container, bundle: Bundle, section: str, field: str, label: str, module: str
) -> None:
    if module == "AppArmor" and ENABLED.exists():
        excuse("it has AppArmor")
    if module == "SELinux" and "selinuxfs" in Path("/proc/filesystems").read_text():
        excuse("it has SELinux")
    bundle.config[section][field] = label
    result = container.run("print x")
    assert (result.code, result.out) == (1, "")
    assert f"/{section}/{field}: {label}: {module} is not enabled on this host" in result.err


@pytest.mark.with_peers
@needs("apparmor")
def test_apparmor_profile(container: Container, bundle: Bundle, profile: str) -> None:
    bundle.process["apparmorProfile"] = profile
    label, *answers = container.ask(
        "cat /proc/self/attr/current", "write /data/x y", "write /tmp/x y"
    )
    # under no_new_privs a runtime's own profile stays: "crun//&pyrun-test (mixed)"
    assert profile in label.split()[0].split("//&")
    assert answers == ["error: EACCES", "ok"]


@needs("apparmor")
@pytest.mark.parametrize("kind", ["user", "pid", "host pid"])
def test_apparmor_profile_in_any_pid_namespace(
    container: Container, bundle: Bundle, profile: str, kind: str
) -> None:
    """Where the init finds its own file by its pid, as the namespace counts."""
    bundle.process["apparmorProfile"] = profile
    if kind == "user":
        bundle.map_ids()
    elif kind == "pid":
        bundle.namespaces("mount", "uts", "ipc", pid="/proc/self/ns/pid")
    else:
        bundle.namespaces("mount", "uts", "ipc")
    assert container.ask("cat /proc/self/attr/current")[0] == f"{profile} (enforce)"


@needs("apparmor")
@pytest.mark.pyrun_only("the text")
def test_apparmor_profile_that_is_not_loaded(container: Container, bundle: Bundle) -> None:
    """Said at create, with what to do."""
    bundle.process["apparmorProfile"] = "no-such-profile"
    result = container.create("print x")
    assert result.code == 1
    assert "process.apparmorProfile (no-such-profile): write /proc/thread-self/attr/" in result.err
    assert "no such file or directory: no profile of this name is loaded" in result.err


@needs("apparmor")
def test_apparmor_profile_holds_for_start_container_hooks(
    container: Container, bundle: Bundle, profile: str
) -> None:
    bundle.process["apparmorProfile"] = profile
    words = ["payload", "write", "/data/hook", "x"]
    bundle.config["hooks"] = {"startContainer": [{"path": "/payload", "args": words}]}
    assert container.ask("stat /data/hook")[0] == "error: ENOENT"

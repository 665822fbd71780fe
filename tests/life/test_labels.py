# SPDX-License-Identifier: Apache-2.0
"""Labels of security modules on a host that has none: refused, for nobody would enforce them.
tests/vm shows them at work."""

from __future__ import annotations

from pathlib import Path

import pytest

from life.bundles import Bundle
from life.runtimes import Container
from needs import excuse

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

# SPDX-License-Identifier: Apache-2.0
"""What makes a config one for this runtime: the version of the specification, and sections that are
of other platforms.
"""

from __future__ import annotations

import copy

import pytest

from life.bundles import Bundle
from life.runtimes import Container
from unit.compile.test_ignored import EXAMPLES, PLATFORMS

pyrun_only = pytest.mark.pyrun_only


@pyrun_only("runc takes any, crun 1.8 nothing above 1.0")
@pytest.mark.parametrize(
    "version", ["1.0.0", "1.0.2-dev", "1.1.0", "1.1.0+dev", "1.2.1", "1.3.0", "1.3.9-rc.1"]
)
def test_version(container: Container, bundle: Bundle, version: str) -> None:
    bundle.config["ociVersion"] = version
    assert container.ask("print x") == ["x"]


@pyrun_only("runc takes any")
@pytest.mark.parametrize("version", ["0.5.0-dev", "0.9.9", "1.4.0", "2.0.0", "1.3", "1", "x", ""])
def test_other_version(container: Container, bundle: Bundle, version: str) -> None:
    bundle.config["ociVersion"] = version
    result = container.run("print x")
    assert result.code == 1
    assert result.err.startswith("pyrun: config.json: /ociVersion: ")
    assert result.err.count("\n") == 1


@pyrun_only("what the peers' decoders take of a broken section")
@pytest.mark.parametrize(("name", "section"), PLATFORMS + EXAMPLES)
def test_other_platform(
    container: Container, bundle: Bundle, name: str, section: dict[str, object]
) -> None:
    bundle.config[name] = copy.deepcopy(section)
    bundle.process["user"]["username"] = "ContainerUser"
    assert container.ask("print x", "id")[0] == "x"

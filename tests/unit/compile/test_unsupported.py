# SPDX-License-Identifier: Apache-2.0
"""Fields that this version refuses: whatever is listed, and only when it asks for something."""

from __future__ import annotations

import pytest

from pyrun import prepare
from pyrun.compile import unsupported
from pyrun.errors import ConfigError
from unit.configs import FULL, isolated, with_


@pytest.mark.parametrize(("section", "name"), [("process", "rlimits"), ("linux", "sysctl")])
def test_refused(monkeypatch: pytest.MonkeyPatch, section: str, name: str) -> None:
    value = FULL[section][name]
    config = with_(f"{section}/{name}", value, isolated())
    prepare.check(config)
    monkeypatch.setattr(unsupported, section.upper(), (name,))
    with pytest.raises(ConfigError) as caught:
        prepare.check(config)
    assert caught.value.problems == [(f"/{section}/{name}", "not supported by this version")]
    prepare.check(with_(f"{section}/{name}", type(value)(), isolated()))

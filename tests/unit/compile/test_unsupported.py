# SPDX-License-Identifier: Apache-2.0
"""Fields that this version refuses: each of the list, and only when it asks for something."""

from __future__ import annotations

from typing import Any

import pytest

from pyrun import prepare
from pyrun.compile import unsupported
from pyrun.errors import ConfigError
from unit.configs import FULL, isolated, with_

CASES = [
    *(("process", name, FULL["process"][name]) for name in unsupported.PROCESS),
    *(("linux", name, FULL["linux"][name]) for name in unsupported.LINUX),
]


@pytest.mark.parametrize(
    ("section", "name", "value"), CASES, ids=[f"{section}.{name}" for section, name, _ in CASES]
)
def test_refused(section: str, name: str, value: Any) -> None:
    config = isolated()  # in which nothing else is unusual
    with pytest.raises(ConfigError) as caught:
        prepare.check(with_(f"{section}/{name}", value, config))
    assert (f"/{section}/{name}", "not supported by this version") in caught.value.problems
    prepare.check(with_(f"{section}/{name}", type(value)(), config))

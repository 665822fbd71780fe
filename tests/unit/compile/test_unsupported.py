# SPDX-License-Identifier: Apache-2.0
"""Fields that this version refuses: each of the list, and only when it asks for something."""

from __future__ import annotations

from typing import Any

import pytest

from pyrun import prepare
from pyrun.compile import unsupported
from pyrun.errors import ConfigError
from unit.configs import FULL, isolated, with_


def asked(section: str, name: str, value: Any) -> dict[str, Any]:
    """A config in which nothing else is unusual."""
    config = isolated()
    if section != "mounts":
        return with_(f"{section}/{name}", value, config)
    both: dict[str, Any] = {key: FULL["mounts"][1][key] for key in ("uidMappings", "gidMappings")}
    if not value:
        both = dict.fromkeys(both, value)
    return with_("mounts", [{"destination": "/x", "type": "tmpfs", **both}], config)


CASES = [
    *(("process", name, FULL["process"][name]) for name in unsupported.PROCESS),
    *(("linux", name, FULL["linux"][name]) for name in unsupported.LINUX),
    *(("mounts", name, FULL["mounts"][1][name]) for name in unsupported.MOUNT),
]


@pytest.mark.parametrize(
    ("section", "name", "value"), CASES, ids=[f"{section}.{name}" for section, name, _ in CASES]
)
def test_refused(section: str, name: str, value: Any) -> None:
    pointer = f"/{section}/0/{name}" if section == "mounts" else f"/{section}/{name}"
    with pytest.raises(ConfigError) as caught:
        prepare.check(asked(section, name, value))
    assert (pointer, "not supported by this version") in caught.value.problems
    prepare.check(asked(section, name, type(value)()))

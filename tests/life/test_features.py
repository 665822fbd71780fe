# SPDX-License-Identifier: Apache-2.0
"""`features`, beside that of the distribution's runc: what engines find there they find here."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from life.runtimes import executable
from needs import needs

# What runc 1.1 has of its own, or as a flag where the kernel leaves it to the file system.
NOT_OURS = {
    "annotations": {"org.opencontainers.runc.commit", "org.opencontainers.runc.version"},
    "mountOptions": {"acl", "noacl"},
}


def document(name: str) -> Any:
    done = subprocess.run(
        [executable(name), "features"], capture_output=True, check=True, text=True
    )
    assert done.stderr == ""
    return json.loads(done.stdout)


@needs("runc")
def test_all_that_runc_tells() -> None:
    parts = [("", document("runc"), document("pyrun"))]
    while parts:
        name, theirs, ours = parts.pop()
        if isinstance(theirs, str):
            assert isinstance(ours, str), name
        elif isinstance(theirs, bool):
            assert isinstance(ours, bool), name
        else:
            assert set(theirs) - set(ours) == NOT_OURS.get(name, set()), name
        if isinstance(theirs, dict):
            missing = NOT_OURS.get(name, set())
            parts += [(key, theirs[key], ours[key]) for key in theirs if key not in missing]

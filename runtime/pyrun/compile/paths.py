# SPDX-License-Identifier: Apache-2.0
"""linux.maskedPaths and linux.readonlyPaths."""

from __future__ import annotations

from pyrun import ops
from pyrun.compile.donations import namespace
from pyrun.compile.slots import EMPTY, NULL, ROOT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.types import Config, Facts, Steps


def make_readonly(config: Config, facts: Facts) -> Steps:
    """Before masks, so that a mask below a read-only path stays the uppermost."""
    if namespace(config, "mount"):
        paths = (config.get("linux") or {}).get("readonlyPaths") or []
        for index, path in enumerate(paths):
            yield f"/linux/readonlyPaths/{index}", ops.make_readonly(ROOT, path)


def mask(config: Config, facts: Facts) -> Steps:
    """Covered by the host's null device or an empty directory, never by anything of the image's
    (CVE-2025-31133)."""
    if namespace(config, "mount"):
        paths = (config.get("linux") or {}).get("maskedPaths") or []
        for index, path in enumerate(paths):
            yield f"/linux/maskedPaths/{index}", ops.mask(ROOT, path, NULL, EMPTY)

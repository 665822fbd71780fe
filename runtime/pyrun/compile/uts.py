# SPDX-License-Identifier: Apache-2.0
"""hostname and domainname. That they need a uts namespace is for checks.py to say."""

from __future__ import annotations

from pyrun import ops

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.types import Config, Facts, Steps


def set_names(config: Config, facts: Facts) -> Steps:
    """Both, where given."""
    if name := config.get("hostname"):
        yield "/hostname", ops.sethostname(name)
    if name := config.get("domainname"):
        yield "/domainname", ops.setdomainname(name)

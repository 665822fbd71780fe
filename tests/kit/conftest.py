# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the conformance kit's own tests."""

from __future__ import annotations

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """The mark that checks of the kit have."""
    config.addinivalue_line("markers", "requirement(*ids, needs, may_refuse): of the kit's checks")

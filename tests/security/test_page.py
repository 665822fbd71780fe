# SPDX-License-Identifier: Apache-2.0
"""docs/security.md says what the tests say."""

from __future__ import annotations

import pytest

from . import page
from .peers import RED


def test_the_page_has_the_results(request: pytest.FixtureRequest) -> None:
    text = page.PAGE.read_text()
    if request.config.getoption("update"):
        page.PAGE.write_text(page.page(text))
    assert page.BEGIN in text
    assert page.PAGE.read_text() == page.page(text), "pytest tests/security/test_page.py --update"


def test_what_is_known_of_others_is_of_tests_that_exist() -> None:
    names = page.tests()
    for listed in RED.values():
        assert [key for key in listed if key.partition("[")[0] not in names] == []


@pytest.mark.parametrize(
    ("name", "ids", "words"),
    [
        ("cve_2015_3627_cve_2019_18837_below", "CVE-2015-3627, CVE-2019-18837", "below"),
        ("ghsa_g54h_m393_cpwq_devices", "GHSA-g54h-m393-cpwq", "devices"),
        ("r20_host_mounts_stay", "R20", "host mounts stay"),
        ("a_hook_hangs", "", "a hook hangs"),
    ],
)
def test_names(name: str, ids: str, words: str) -> None:
    assert page.advisories(name) == (ids, words)

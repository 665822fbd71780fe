# SPDX-License-Identifier: Apache-2.0
"""docs/security.md says what the tests say."""

from __future__ import annotations

import re

import pytest

from needs import excuse

from . import advisories, page
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


def in_names() -> set[str]:
    """The advisories in the names of tests."""
    return {one for name in page.tests().values() for one in page.advisories(name)[0].split(", ")}


def test_each_advisory_is_in_one_place() -> None:
    kin = [one for ids in advisories.KIN.values() for one in ids]
    none = [one for ids in advisories.NOT_OURS.values() for one in ids]
    assert [one for one in advisories.KIN if one not in in_names()] == []
    assert [one for one in (*kin, *none) if one in in_names()] == []
    assert len({*kin, *none}) == len(kin) + len(none)


def test_every_advisory_that_is_known_is_on_the_page() -> None:
    if not advisories.LIST.exists():
        excuse(f"no list of advisories at {advisories.LIST}")
    text = advisories.LIST.read_text()
    known = advisories.listed(text.partition("### 1.1")[2].partition("### 1.2")[0])
    assert len(known) > 60
    shown = re.findall(r"CVE-\d+-\d+|GHSA(?:-\w{4}){3}", page.PAGE.read_text())
    assert [one for one in known if one not in shown] == []


def test_a_list_of_advisories() -> None:
    text = "| **CVE-2026-1567/1568** (cp, 2019), 2019-14271, 2995 | CVE-2000-1234 |\nCVE-2001-1111"
    text += "\n| GHSA-5g49-rx9x-qfc6 (1.2.3), runc 1.5.3 | x |\n"
    assert advisories.listed(text) == [
        "CVE-2026-1567", "CVE-2026-1568", "CVE-2019-14271", "CVE-2019-2995", "GHSA-5g49-rx9x-qfc6",
    ]  # fmt: skip


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

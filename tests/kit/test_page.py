# SPDX-License-Identifier: Apache-2.0
"""The HTML page, as a person uses it: filters, keys, details, theme, paper."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conformance.report import as_html

from kit.browser import ENTER, ESCAPE, Browser
from kit.reports import RESULTS, SEEN, report
from needs import needs

pytestmark = needs("chromium")

SHOWN = """return [...document.querySelectorAll("tr.row")].filter((row) => row.offsetParent)
    .map((row) => row.id)"""
AT = """return document.querySelector(".row.at")?.id"""
KILL = "runtime.kill.sends"
FILESYSTEMS = "config-linux.filesystems"
HOSTNAME = "config.hostname"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(as_html.write(report()))
    return path


@pytest.fixture(scope="module")
def window() -> Iterator[Browser]:
    with Browser() as found:
        yield found


@pytest.fixture
def browser(window: Browser, page: Path) -> Browser:
    window.open(page)
    window.run("localStorage.clear()")
    return window


def shown(browser: Browser) -> list[str]:
    found: list[str] = browser.run(SHOWN)
    count = browser.run("return document.getElementById('count').textContent")
    assert count == f"{len(found)} of {len(RESULTS)}"
    return found


def test_everything_is_shown(browser: Browser) -> None:
    assert shown(browser) == list(RESULTS)
    cards = "return [...document.querySelectorAll('.card h2')].map((e) => e.textContent)"
    assert browser.run(cards) == ["one", "two"]
    cells = "document.querySelectorAll('.card:last-child tr.all td.number')"
    numbers = f"return [...{cells}].map((e) => Number(e.textContent))"
    assert browser.run(numbers) == [1, 2, 1, 1]


@pytest.mark.parametrize(
    ("selector", "wanted"),
    [
        ("#outcomes label.fail", [KILL, FILESYSTEMS, HOSTNAME]),
        ("#outcomes label.not-observable", ["runtime.state.status-more"]),
        ("#levels label:nth-of-type(1)", ["runtime.state.id", KILL]),
        ("#levels label:nth-of-type(2)", [FILESYSTEMS]),
        ("#differs", [KILL, FILESYSTEMS, HOSTNAME]),
        ("#document option[value='config']", [HOSTNAME]),
    ],
)
def test_filters(browser: Browser, selector: str, wanted: list[str]) -> None:
    browser.click(selector)
    assert shown(browser) == wanted
    browser.click("button[type=reset]")
    browser.run("return new Promise((done) => setTimeout(done))")
    assert shown(browser) == list(RESULTS)


def test_filters_together(browser: Browser) -> None:
    browser.click("#outcomes label.fail")
    browser.click("#runtime option[value='0']")
    assert shown(browser) == [FILESYSTEMS]
    browser.click("#outcomes label.skip")
    assert shown(browser) == [FILESYSTEMS, HOSTNAME]
    browser.keys("/")
    browser.keys("HOST name")
    assert shown(browser) == [HOSTNAME]
    heads = "document.querySelectorAll('tr.section')"
    assert browser.run(f"return [...{heads}].filter((e) => e.offsetParent).length") == 1
    browser.keys("nonsense")
    assert shown(browser) == []
    browser.click("#clear")
    browser.run("return new Promise((done) => setTimeout(done))")
    assert shown(browser) == list(RESULTS)


def test_an_address_keeps_the_filters(browser: Browser, page: Path) -> None:
    browser.click("#outcomes label.fail")
    browser.click("#runtime option[value='1']")
    address: str = browser.run("return location.hash")
    browser.open(page, address)
    assert shown(browser) == [KILL, HOSTNAME]


def details(browser: Browser, name: str) -> str | None:
    """What is seen below a row."""
    text: Any = browser.run(
        f"const row = document.getElementById('{name}').nextElementSibling;"
        "return row && row.className === 'details' && row.offsetParent ? row.innerText : null"
    )
    return None if text is None else str(text)


def test_an_id_as_address_opens_its_details(browser: Browser, page: Path) -> None:
    browser.open(page, f"#{KILL}")
    assert browser.run(AT) == KILL
    assert details(browser, KILL) is not None


def test_details(browser: Browser) -> None:
    assert details(browser, KILL) is None
    browser.click(f"[id='{KILL}'] button")
    text = details(browser, KILL)
    assert text is not None
    for part in ("one: pass", "two: fail", "what it printed", "nothing", *SEEN.splitlines()):
        assert part.replace("\x1b", "") in text.replace("\x1b", "")
    assert f"python3 -m conformance --runtime '/opt/t wo' --select {KILL}" in text
    assert browser.run("return document.querySelectorAll('.details .missed').length") == 1
    assert (
        browser.run("return document.querySelectorAll('.details b').length") == 0
    )  # no markup of it
    browser.click(f"[id='{KILL}'] button")
    assert details(browser, KILL) is None


def test_keys(browser: Browser) -> None:
    browser.keys("j")
    assert browser.run(AT) == "runtime.state.id"
    browser.keys("n")
    assert browser.run(AT) == KILL
    browser.keys(ENTER)
    assert details(browser, KILL) is not None
    browser.keys("nn")
    assert browser.run(AT) == HOSTNAME
    browser.keys("p")
    assert browser.run(AT) == FILESYSTEMS
    browser.keys("kk")
    assert browser.run(AT) == "runtime.state.id"
    browser.keys("f")
    assert shown(browser) == [KILL, FILESYSTEMS, HOSTNAME]
    browser.keys("f")
    assert shown(browser) == list(RESULTS)
    browser.keys("/fjd")
    assert browser.run("return document.activeElement.value") == "fjd"
    browser.keys(ESCAPE + "x")
    browser.run("return new Promise((done) => setTimeout(done))")
    assert shown(browser) == list(RESULTS)
    browser.keys("?")
    assert browser.run("return document.getElementById('help').open") is True
    browser.keys(ESCAPE)
    assert browser.run("return document.getElementById('help').open") is False


THEME = "return document.documentElement.dataset.theme"
PAPER = "return getComputedStyle(document.body).backgroundColor"


def test_theme(browser: Browser, page: Path) -> None:
    assert browser.run(THEME) == "light"
    light = browser.run(PAPER)
    browser.click("#theme")
    assert browser.run(THEME) == "dark"
    assert browser.run(PAPER) != light
    browser.open(page)
    assert browser.run(THEME) == "dark"  # it is remembered


def test_a_dark_desktop(page: Path) -> None:
    with Browser("--blink-settings=preferredColorScheme=0") as browser:
        browser.open(page)
        assert browser.run(THEME) == "dark"


def test_paper_shows_why(browser: Browser) -> None:
    """What is printed opens the failures that are shown, and has no controls."""
    browser.click("#levels label:nth-of-type(1)")
    assert browser.paper().startswith(b"%PDF")
    assert details(browser, KILL) is not None
    assert details(browser, HOSTNAME) is None
    rules = "[...document.styleSheets[0].cssRules].filter((r) => r.media?.mediaText === 'print')"
    rules = f"return {rules}.map((r) => r.cssText).join()"
    assert "#filters" in browser.run(rules)


def test_nothing_goes_wrong_in_the_script(browser: Browser, page: Path) -> None:
    """No error of the script, and no request but for the page."""
    browser.open(page, "#at=nonsense&result=what")
    assert shown(browser) == list(RESULTS)
    entries = "return performance.getEntriesByType('resource').map((e) => e.name)"
    assert browser.run(entries) == []

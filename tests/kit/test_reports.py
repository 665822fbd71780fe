# SPDX-License-Identifier: Apache-2.0
"""Each form of a report says the same."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

from conformance.report import (
    as_html,
    as_json,
    as_junit,
    as_markdown,
    as_tap,
    as_text,
)

from kit.reports import RESULTS, SEEN, report

KILL = "kill sends the signal to the container's process"
AGAIN = "python3 -m conformance --runtime '/opt/t wo' --select runtime.kill.sends"


def test_sums() -> None:
    found = report()
    assert found.by_level() == {
        "MUST": {"one": {"pass": 2}, "two": {"pass": 1, "fail": 1}},
        "SHOULD": {"one": {"fail": 1}, "two": {"skip": 1}},
        "MAY": {"one": {"skip": 1, "not observable": 1}, "two": {"fail": 1, "not observable": 1}},
    }
    assert list(found.by_document()) == ["runtime.md", "config.md", "config-linux.md"]
    assert found.total()["two"] == {"pass": 1, "fail": 2, "skip": 1, "not observable": 1}


def test_text() -> None:
    lines = as_text.write(report()).splitlines()
    assert f"pass    FAIL     MUST       runtime.kill.sends: {KILL}" in lines
    hidden = "runtime.state.status-more: a runtime has further values of status"
    assert f"n/o     n/o      MAY        {hidden}" in lines
    assert "3 failed" in lines
    place = lines.index(f"two: runtime.kill.sends (MUST): {KILL}")
    assert lines[place + 1 : place + 3] == ["  what it printed", "    expected: nothing"]
    assert f"  again: {AGAIN}" in lines
    assert "  ValueError: <no> more" in lines
    assert "\033[" not in "".join(lines).replace(SEEN.splitlines()[0], "")
    assert "\033[1;31mFAIL" in as_text.write(report(), color=True)


def test_json() -> None:
    found = json.loads(as_json.write(report()))
    assert found["specification"] == "1.3.0"
    assert [entry["id"] for entry in found["requirements"]] == list(RESULTS)
    kill = found["requirements"][1]
    assert (kill["level"], kill["document"], kill["section"]) == ("MUST", "runtime.md", "Kill")
    two = kill["results"]["two"]
    assert (two["outcome"], two["reason"], two["again"]) == ("fail", "what it printed", AGAIN)
    (check,) = two["checks"]
    assert check["observations"][1] == {
        "what": "what it printed", "expected": "nothing", "seen": SEEN, "holds": False,
    }  # fmt: skip
    assert check["log"] == ["/opt/one --root /x create a  # 0, 5 ms"]
    hidden = found["requirements"][4]["results"]["one"]
    assert hidden["reason"].startswith("It permits") and hidden["again"] == ""


def test_junit() -> None:
    root = ET.fromstring(as_junit.write(report()))
    one, two = root.findall("testsuite")
    assert (one.get("name"), two.get("name")) == ("one", "two")
    assert (two.get("tests"), two.get("failures"), two.get("skipped")) == ("5", "2", "2")
    case = two.findall("testcase")[1]
    assert case.get("classname") == "runtime.md Kill"
    failure = case.find("failure")
    assert failure is not None and failure.text is not None
    assert 'saw with </script> & "quotes" | # <b>\N{REPLACEMENT CHARACTER}[0m' in failure.text
    assert failure.text.endswith(f"again: {AGAIN}")
    skipped = [case.find("skipped") for case in one.findall("testcase")]
    reasons = [element.get("message") for element in skipped if element is not None]
    assert reasons[0] == "a # reason"
    assert reasons[1].startswith("not observable: It permits")


def test_tap() -> None:
    lines = as_tap.write(report()).splitlines()
    assert lines[:2] == ["TAP version 13", "1..10"]
    points = [line for line in lines if re.match(r"(not )?ok ", line)]
    assert [int(re.findall(r"\d+", line)[0]) for line in points] == list(range(1, 11))
    assert sum(line.startswith("not ok") for line in points) == 3
    name = "ok 4 - one: config.hostname OPTIONAL: the container has the host name"
    assert f"{name} # SKIP skip: a \\# reason" in points
    # Everything else is the YAML of a failure.
    assert all(line.startswith("  ") for line in lines[2:] if line not in points)
    assert "  seen: 'with </script> & \"quotes\" | # <b>\x1b[0m and a second line'" in lines


def test_markdown() -> None:
    text = as_markdown.write(report())
    lines = text.splitlines()
    assert "| MUST | two | 1 | 1 | 0 | 0 |" in lines
    assert "| config-linux.md | one | 0 | 1 | 0 | 0 |" in lines
    assert f"| `runtime.kill.sends` | MUST | {KILL} | pass | **fail** |" in lines
    (row,) = [line for line in lines if line.startswith("| two | `runtime.kill.sends`")]
    assert row.endswith('| with &lt;/script> & "quotes" \\| # &lt;b>\x1b[0m and a second line |')


class Page(HTMLParser):
    """What the page has, as a browser would read it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rows: list[dict[str, str | None]] = []
        self.links: list[str] = []
        self.data = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.links += [found[name] or "" for name in ("src", "href") if name in found]
        if tag == "tr" and found.get("class") == "row":
            self.rows.append(found)
        if tag not in ("meta", "link", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script" and not self.data:
            self.data = data


def test_html() -> None:
    text = as_html.write(report())
    page = Page(text)
    assert page.open == []  # every element is closed
    assert [row["id"] for row in page.rows] == list(RESULTS)
    assert page.rows[1]["data-outcomes"] == "pass,fail"
    assert page.links == ["data:,"]  # nothing is fetched from anywhere
    assert json.loads(page.data) == json.loads(as_json.write(report()))

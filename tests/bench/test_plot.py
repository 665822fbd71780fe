# SPDX-License-Identifier: Apache-2.0
"""The picture of the benchmark's results."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import growth
import jobs
import plot
import pytest

from .figures import made_up

SVG = "{http://www.w3.org/2000/svg}"


def drawn() -> ET.Element:
    return ET.fromstring(plot.draw(made_up()))


def texts(picture: ET.Element) -> list[str]:
    return [element.text or "" for element in picture.iter(f"{SVG}text")]


def test_every_verb_and_curve_is_named() -> None:
    said = texts(drawn())
    for name in (*jobs.VERBS, plot.AT_ONCE, plot.PEAK, plot.WAITING, *growth.NAMES):
        assert said.count(name) == 1


def test_every_verb_has_a_bar_for_each_peer() -> None:
    titles = [element.text for element in drawn().iter(f"{SVG}title")]
    for verb in jobs.VERBS:
        assert f"{verb}, runc: 0.50" in titles
        assert f"{verb}, crun: 2.00" in titles
    # A rate: twice as many a second are half the time.
    assert f"{plot.AT_ONCE}, runc: 0.50" in titles


def test_every_curve_has_a_line_for_each_contestant() -> None:
    lines = list(drawn().iter(f"{SVG}polyline"))
    assert len(lines) == 3 * len(growth.NAMES)
    for line in lines:
        assert len(line.attrib["points"].split()) == 2


def test_nothing_is_fetched_and_dark_pages_are_thought_of() -> None:
    text = plot.draw(made_up())
    assert "prefers-color-scheme: dark" in text
    assert "href" not in text
    assert "url(" not in text


def test_what_was_not_measured_is_not_drawn() -> None:
    found = made_up()
    for part in ("times", "ratios", "growth", "at once"):
        del found[part]
    said = texts(ET.fromstring(plot.draw(found)))
    assert plot.PEAK in said
    assert not set(said) & {*jobs.VERBS, *growth.NAMES, plot.AT_ONCE}


def test_everything_is_inside_the_picture() -> None:
    picture = drawn()
    height = float(picture.attrib["viewBox"].split()[3])
    for element in picture.iter():
        for name, most in (("x", plot.WIDTH), ("y", height), ("cx", plot.WIDTH), ("cy", height)):
            assert 0 <= float(element.attrib.get(name, 0)) <= most


@pytest.mark.parametrize(
    ("most", "expected"), [(40, 10), (41, 20), (0.3, 0.1), (7, 2), (1, 0.5), (1000, 500)]
)
def test_steps_of_an_axis(most: float, expected: float) -> None:
    assert plot._step(most) == pytest.approx(expected)

# SPDX-License-Identifier: Apache-2.0
"""Bytes that are no UTF-8, wherever they come from: they work, or a line says what is wrong."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from life.bundles import Bundle, mount
from life.runtimes import Container, Result

pytestmark = pytest.mark.pyrun_only("the text")

ODD = os.fsdecode(b"x\xffy")
VERBS = ("state", "start", "kill", "delete", "pause", "resume", "ps", "events", "exec", "update")


def is_a_line(result: Result, code: int) -> None:
    assert (result.code, result.out) == (code, ""), result
    assert re.fullmatch(r"(time=\S+ level=error msg=|pyrun: )[^\n]+\n", result.err), result


@pytest.mark.parametrize("verb", VERBS)
def test_id(container: Container, verb: str) -> None:
    words = [verb, ODD, "true"] if verb == "exec" else [verb, ODD]
    is_a_line(container.runtime(*words), 255 if verb == "exec" else 1)


@pytest.mark.parametrize("verb", VERBS)
def test_root(container: Container, tmp_path: Path, verb: str) -> None:
    words = [verb, "box", "true"] if verb == "exec" else [verb, "box"]
    result = container.runtime(*words, options=["--root", str(tmp_path / ODD)])
    is_a_line(result, 255 if verb == "exec" else 1)


@pytest.mark.parametrize("verb", ["create", "run"])
def test_bundle(container: Container, tmp_path: Path, verb: str) -> None:
    place = tmp_path / ODD
    place.mkdir()
    result = container.runtime(verb, "--bundle", place, container.id)
    is_a_line(result, 1)
    assert "config.json" in result.err


def test_bundle_that_is_one(container: Container, bundle: Bundle, tmp_path: Path) -> None:
    """It works like any other."""
    bundle.say("print here")
    bundle.save()
    place = tmp_path / ODD
    bundle.path.rename(place)
    try:
        result = container.runtime("run", "--bundle", place, container.id)
    finally:
        place.rename(bundle.path)
    assert (result.code, result.answers()) == (0, ["here"])


@pytest.mark.parametrize("text", [r'{"a": "\ud800"}', r'{"\udfff": 1}', '{"a": "\udc80"}'])
def test_config(container: Container, bundle: Bundle, text: str) -> None:
    (bundle.path / "config.json").write_bytes(os.fsencode(text))
    result = container.runtime("create", "--bundle", bundle.path, container.id)
    is_a_line(result, 1)
    assert re.search("surrogate|UTF-8", result.err)


@pytest.mark.parametrize("name", ["\x01", "\u00e4\x01", "\ufffd"])
def test_messages(container: Container, bundle: Bundle, name: str) -> None:
    """What is UTF-8, and can't be shown as it is."""
    bundle.process["args"] = [f"/{name}"]
    result = container.run()
    assert (result.code, result.out) == (1, "")
    assert result.err.count("\n") == 1
    assert "no such file or directory" in result.err
    bundle.config["mounts"].append(mount("/data", f"fs{name}"))
    result = container.run()
    is_a_line(result, 1)

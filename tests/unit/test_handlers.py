# SPDX-License-Identifier: Apache-2.0
"""Handlers of other packages: entry points of the group pyrun.handlers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from pyrun import handlers
from pyrun.errors import Error
from unit.configs import minimal

CODE = """
def greet(config, bundle):
    process = {**config["process"], "args": ["/bin/greet", bundle, *config["process"]["args"]]}
    return {**config, "process": process}

def fail(config, bundle):
    raise KeyError("no luck")

def spoil(config, bundle):
    return {**config, "mounts": "none"}
"""
POINTS = "[pyrun.handlers]\n" + "".join(
    f"{name} = example_handlers:{name}\n" for name in ("greet", "fail", "spoil", "gone")
)


@pytest.fixture(autouse=True)
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else's, as pip installs it."""
    (tmp_path / "example_handlers.py").write_text(CODE)
    folder = tmp_path / "example_handlers-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: example_handlers\nVersion: 1.0\n"
    )
    (folder / "entry_points.txt").write_text(POINTS)
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("example_handlers", None)


def config(**annotations: str) -> dict[str, Any]:
    return {**minimal(), "annotations": {k.replace("__", "."): v for k, v in annotations.items()}}


def test_it_gives_another_config() -> None:
    before = config(run__oci__handler="greet")
    after = handlers.apply(before, "/b")
    assert after["process"]["args"] == ["/bin/greet", "/b", *before["process"]["args"]]
    assert {**after, "process": 0} == {**before, "process": 0}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fail", "handler fail: KeyError: 'no luck'"),
        ("gone", "handler gone: AttributeError"),
        ("spoil", "handler spoil gives a config that is not valid: /mounts"),
        ("other", "there is no handler 'other'"),
    ],
)
def test_what_goes_wrong(name: str, message: str) -> None:
    with pytest.raises(Error, match=message):
        handlers.apply(config(run__oci__handler=name), "/b")


def test_the_handlers_there_are_named() -> None:
    with pytest.raises(Error) as caught:
        handlers.apply(config(run__oci__handler="krun"), "/b")
    assert caught.value.pointer == "/annotations/run.oci.handler"
    assert "known are fail, gone, greet, spoil, wasm" in caught.value.hint


@pytest.mark.parametrize(
    ("annotations", "args", "name"),
    [
        ({}, "x", ""),
        ({"run.oci.handler": ""}, "x", ""),
        ({"run.oci.handler": "a"}, "x", "a"),
        ({"run.oci.handler": "a", "module.wasm.image/variant": "compat"}, "x", "a"),
        ({"module.wasm.image/variant": "compat"}, "x", "wasm"),
        ({"module.wasm.image/variant": "compat-smart"}, "x", ""),
        ({"module.wasm.image/variant": "compat-smart"}, "x.wat", "wasm"),
        ({"module.wasm.image/variant": "compat-smart"}, "x.wasm", "wasm"),
        ({"run.oci.handler": "a", "io.kubernetes.cri.container-type": "sandbox"}, "x", ""),
    ],
)
def test_chosen(annotations: dict[str, str], args: str, name: str) -> None:
    wanted = {"annotations": annotations, "process": {"args": [args]}}
    assert handlers.chosen(wanted)[0] == name

# SPDX-License-Identifier: Apache-2.0
"""`pyrun spec`: a valid config, and the one that the distribution's runc writes."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any, Self

import pytest

from needs import needs
from pyrun import config, spec_default
from pyrun.commands import spec
from pyrun.compile import checks
from pyrun.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path


def written(bundle: Path, **options: object) -> dict[str, Any]:
    assert spec.run({"bundle": str(bundle), **options}) == 0
    value: dict[str, Any] = json.loads((bundle / "config.json").read_text())
    return value


def leaves(value: object, at: str = "") -> dict[str, object]:
    """Every scalar and empty container of a document by its place: a flat form to compare."""
    if isinstance(value, dict) and value:
        children = [(f"{at}/{name}", member) for name, member in value.items()]
    elif isinstance(value, list) and value:
        children = [(f"{at}/{index}", item) for index, item in enumerate(value)]
    else:
        return {at: value}
    return {place: leaf for name, child in children for place, leaf in leaves(child, name).items()}


@needs("runc")
@pytest.mark.parametrize("rootless", [False, True])
def test_the_content_is_that_of_runc(tmp_path: Path, rootless: bool) -> None:
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    theirs.mkdir()
    ours.mkdir()
    subprocess.run(["runc", "spec", *["--rootless"][: int(rootless)]], cwd=theirs, check=True)
    expected = leaves(json.loads((theirs / "config.json").read_text()))
    found = leaves(written(ours, rootless=rootless))
    assert found.pop("/ociVersion") == "1.3.0"
    del expected["/ociVersion"]
    assert found == expected
    first, second = (folder / "config.json" for folder in (ours, theirs))
    # Tabs, the order of members and no final newline too: a diff of the two shows one line.
    assert first.read_text().splitlines()[2:] == second.read_text().splitlines()[2:]


@pytest.mark.parametrize("rootless", [False, True])
def test_the_config_is_valid(tmp_path: Path, rootless: bool) -> None:
    written(tmp_path, rootless=rootless)
    assert checks.problems(config.load(str(tmp_path))) == []


def test_rootless_maps_the_caller() -> None:
    linux = spec_default.default((1000, 100))["linux"]
    assert linux["uidMappings"] == [{"containerID": 0, "hostID": 1000, "size": 1}]
    assert linux["gidMappings"] == [{"containerID": 0, "hostID": 100, "size": 1}]


def test_the_global_option_of_the_same_name_is_another_matter(tmp_path: Path) -> None:
    assert "uidMappings" not in written(tmp_path, rootless="true")["linux"]


def test_each_default_is_a_new_value() -> None:
    spec_default.default()["process"]["args"].append("x")
    spec_default.default()["process"]["capabilities"]["bounding"].clear()
    assert spec_default.default()["process"]["args"] == ["sh"]
    assert all(spec_default.default()["process"]["capabilities"].values())


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0, 0o666)])
def test_the_mode_is_left_to_the_umask(tmp_path: Path, umask: int, mode: int) -> None:
    # the front end has set 077 by then, and hands on what the caller had
    spec.run({"bundle": str(tmp_path), "rootless": "auto", "umask": umask})
    assert (tmp_path / "config.json").stat().st_mode & 0o777 == mode


def test_the_current_directory_is_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert spec.run({"bundle": ""}) == 0
    assert (tmp_path / "config.json").exists()


def test_an_old_config_is_kept(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("mine")
    with pytest.raises(Error, match=r"config\.json exists: remove it first"):
        spec.run({"bundle": str(tmp_path)})
    assert (tmp_path / "config.json").read_text() == "mine"


def test_a_symlink_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "config.json").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Error, match="exists"):
        spec.run({"bundle": str(tmp_path)})
    assert not (tmp_path / "elsewhere").exists()


def test_a_missing_bundle_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(Error, match="no such file or directory"):
        spec.run({"bundle": str(tmp_path / "gone")})


def test_half_a_config_is_not_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> bytes:
        raise OSError(28, "No space left on device")

    class Full:
        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            return None

        write = full

    def opened(fd: int, *_: object, **__: object) -> Full:
        os.close(fd)
        return Full()

    monkeypatch.setattr(os, "fdopen", opened)
    with pytest.raises(Error, match="no space left on device"):
        spec.run({"bundle": str(tmp_path)})
    assert list(tmp_path.iterdir()) == []

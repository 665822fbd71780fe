# SPDX-License-Identifier: Apache-2.0
"""Loading a bundle's config: what is read, and every way it can fail."""

from __future__ import annotations

import json
import os

import pytest

from pyrun import config
from pyrun.errors import ConfigError, Error
from unit import configs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path


def write(bundle: Path, value: object, name: str = "config.json") -> str:
    (bundle / name).write_text(value if isinstance(value, str) else json.dumps(value))
    return str(bundle)


def failure(bundle: str, name: str = "config.json") -> str:
    with pytest.raises(Error) as caught:
        config.load(bundle, name)
    return str(caught.value)


def test_a_config_is_loaded(tmp_path: Path) -> None:
    assert config.load(write(tmp_path, configs.FULL)) == configs.FULL


def test_another_file_relative_or_absolute(tmp_path: Path) -> None:
    write(tmp_path, configs.minimal(), "other.json")
    assert config.load(str(tmp_path), "other.json") == configs.minimal()
    assert config.load("/nowhere", str(tmp_path / "other.json")) == configs.minimal()


def test_null_is_absent(tmp_path: Path) -> None:
    written = configs.minimal()
    written["hooks"] = None
    written["linux"] = {"seccomp": None, "resources": {"pids": {"limit": None}}}
    written["mounts"] = [{"destination": "/x", "options": None}]
    assert config.load(write(tmp_path, written)) == {
        **configs.minimal(),
        "linux": {"resources": {"pids": {}}},
        "mounts": [{"destination": "/x"}],
    }


def test_null_does_not_stand_for_what_is_required(tmp_path: Path) -> None:
    message = failure(write(tmp_path, {**configs.minimal(), "root": {"path": None}}))
    assert message == "config.json: /root/path: is required"


def test_all_problems_on_one_line(tmp_path: Path) -> None:
    bundle = write(tmp_path, {"ociVersion": 1, "root": {}, "hostname": 5})
    with pytest.raises(ConfigError) as caught:
        config.load(bundle)
    assert [pointer for pointer, _ in caught.value.problems] == [
        "/ociVersion",
        "/root/path",
        "/hostname",
    ]
    assert "\n" not in str(caught.value)


def test_no_config(tmp_path: Path) -> None:
    expected = f"read {tmp_path}/config.json: no such file or directory: `pyrun spec` makes one"
    assert failure(str(tmp_path)) == expected


def test_no_config_in_the_current_directory_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert f"read {tmp_path}/config.json:" in failure(".")


def test_no_bundle(tmp_path: Path) -> None:
    bundle = tmp_path / "gone"
    assert failure(str(bundle)) == f"bundle {bundle}: no such file or directory"


def test_a_directory_is_no_config(tmp_path: Path) -> None:
    (tmp_path / "config.json").mkdir()
    assert failure(str(tmp_path)) == f"read {tmp_path}/config.json: is a directory"


def test_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    bundle = write(tmp_path, configs.minimal())
    monkeypatch.setattr(os, "open", refuse)  # root reads any file
    message = failure(bundle)
    assert message == f"read {tmp_path}/config.json: permission denied"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "config.json: not valid JSON: a value is expected (line 1, column 1)"),
        ('{\n  "root": }', "config.json: not valid JSON: a value is expected (line 2, column 11)"),
        ("[]", "config.json: must hold a JSON object, not an empty list"),
        ('"x"', 'config.json: must hold a JSON object, not "x"'),
        ("null", "config.json: must hold a JSON object, not null"),
    ],
)
def test_no_json_object(tmp_path: Path, text: str, message: str) -> None:
    assert failure(write(tmp_path, text)) == message


def test_a_huge_file_is_refused_without_reading_it_all(tmp_path: Path) -> None:
    with (tmp_path / "config.json").open("wb") as file:
        file.truncate(1 << 40)  # sparse: a reader without a limit would run out of memory
    assert "more than the limit" in failure(str(tmp_path))


def test_the_file_is_closed_on_success_and_failure(tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    config.load(write(tmp_path, configs.minimal()))
    failure(write(tmp_path, "{"))
    assert os.listdir("/proc/self/fd") == before


def test_the_digest_names_the_content() -> None:
    assert config.digest(b"{}") == config.digest(b"{}") != config.digest(b"{ }")
    assert len(config.digest(b"")) == 32

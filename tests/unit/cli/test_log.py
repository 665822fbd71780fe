# SPDX-License-Identifier: Apache-2.0
"""The log's records, and the files they go to."""

from __future__ import annotations

import json
import os
import re
import socket
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from pyrun import log, system_log
from pyrun.errors import Error

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def on_stderr_again() -> Iterator[None]:
    yield
    log.open_log({})


def test_json_record(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "log.json"
    log.open_log({"log": str(path), "log_format": "json"})
    assert not path.exists()  # made with the first record
    before = datetime.now(UTC).replace(microsecond=0)
    log.error('no "x" in \\ café\nnext \udcff')
    text = path.read_text(encoding="ascii")
    assert text.endswith("\n")
    assert text.count("\n") == 1
    record = json.loads(text)
    assert list(record) == ["level", "msg", "time"]
    assert record["level"] == "error"
    assert record["msg"] == 'no "x" in \\ café\nnext \udcff'
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", record["time"])
    assert before <= datetime.fromisoformat(record["time"]) <= datetime.now(UTC)
    # stderr has the same, for those who do not read the file; on one line, harmless to a terminal
    assert capfd.readouterr().err == 'pyrun: no "x" in \\ café\\nnext \\udcff\n'


def test_text_record() -> None:
    assert (
        log.record("error", 'a "b"\n\x1b[31mred', 0.0)
        == 'time="1970-01-01T00:00:00Z" level=error msg="a \\"b\\"\\n\\u001b[31mred"'
    )
    assert log.record("warning", "\x7f\u202e é", 86400 * 365.0).endswith('msg="\\x7f\\u202e é"')


def test_mode_is_that_of_runc_in_spite_of_the_umask(tmp_path: Path) -> None:
    path = tmp_path / "log"
    os.umask(0o077)
    log.open_log({"log": str(path)})
    log.error("x")
    assert path.stat().st_mode & 0o777 == 0o644


def test_records_are_appended(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("old\n")
    log.open_log({"log": f"file:{path}"})  # crun's prefix
    log.error("one")
    log.error("two")
    assert path.read_text().startswith("old\n")
    assert [line[-9:] for line in path.read_text().splitlines()[1:]] == ['msg="one"', 'msg="two"']


@pytest.mark.parametrize(
    ("options", "levels"),
    [
        ({}, ["error"]),
        ({"log_level": "warning"}, ["error", "warning"]),
        ({"log_level": "debug"}, ["error", "warning", "debug"]),
        ({"debug": True, "log_level": "error"}, ["error", "warning", "debug"]),
    ],
)
def test_levels(options: dict[str, object], levels: list[str], tmp_path: Path) -> None:
    path = tmp_path / "log"
    log.open_log({"log": str(path), "log_format": "json", **options})
    log.error("x")
    log.warning("x")
    log.debug("x")
    assert [json.loads(line)["level"] for line in path.read_text().splitlines()] == levels
    assert log.debugging() is ("debug" in levels)


def test_without_a_file(capfd: pytest.CaptureFixture[str]) -> None:
    log.open_log({"debug": True})
    log.error("x")
    log.debug("y")
    error, debug = capfd.readouterr().err.splitlines()
    assert error == "pyrun: x"
    assert debug.endswith('level=debug msg="y"')


class Service:
    """Takes the place of the journal or of syslog."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.settimeout(1)

    def heard(self) -> str:
        return self.socket.recv(65536).decode()


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    monkeypatch.setattr(system_log, "JOURNAL", str(tmp_path / "journal"))
    service = Service(tmp_path / "journal")
    yield service
    service.socket.close()


def test_journal_fields(journal: Service, capfd: pytest.CaptureFixture[str]) -> None:
    log.open_log({"log": "journald:box", "debug": True})
    log.error('no "x"\nPRIORITY=0\udcff')  # no field of somebody else's making
    lines = journal.heard().splitlines()
    assert lines == [
        'MESSAGE=no "x"\\nPRIORITY=0\\udcff', "PRIORITY=3", "SYSLOG_IDENTIFIER=pyrun", "ID=box",
    ]  # fmt: skip
    assert capfd.readouterr().err == 'pyrun: no "x"\\nPRIORITY=0\\udcff\n'
    log.debug("y")
    assert journal.heard() == "MESSAGE=y\nPRIORITY=7\nSYSLOG_IDENTIFIER=pyrun\nID=box\n"
    assert capfd.readouterr().err == ""


def test_journal_takes_json_records_too(journal: Service) -> None:
    log.open_log({"log": "journald:", "log_format": "json"})
    log.error("no")
    fields = dict(line.split("=", 1) for line in journal.heard().splitlines())
    assert json.loads(fields.pop("MESSAGE"))["msg"] == "no"
    assert fields == {"PRIORITY": "3", "SYSLOG_IDENTIFIER": "pyrun"}


def test_journal_that_goes_away(journal: Service, capfd: pytest.CaptureFixture[str]) -> None:
    log.open_log({"log": "journald:box"})
    journal.socket.close()
    log.error("no")
    lines = capfd.readouterr().err.splitlines()
    assert lines == ["pyrun: no", "pyrun: cannot write the log: connection refused"]


def test_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Error, match=r"cannot open log file .*/no/log: no such file or directory"):
        log.open_log({"log": str(tmp_path / "no" / "log")})


def test_file_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(Error, match=r"cannot open log file .*: is a directory"):
        log.open_log({"log": str(tmp_path)})


def test_symlinks_are_not_followed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "target").write_text("")
    (tmp_path / "link").symlink_to("target")
    with pytest.raises(Error, match=r"cannot open log file .*/link: it is a symbolic link"):
        log.open_log({"log": str(tmp_path / "link")})
    # one that appears later, and dangles
    log.open_log({"log": str(tmp_path / "late")})
    (tmp_path / "late").symlink_to("made")
    log.error("x")
    assert not (tmp_path / "made").exists()
    assert "late: it is a symbolic link" in capfd.readouterr().err


def test_a_symlink_made_at_the_last_moment_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    log.open_log({"log": str(tmp_path / "log")})
    look = log._open_present

    def look_and_lose(path: str) -> int:
        try:
            return look(path)
        except FileNotFoundError:
            (tmp_path / "log").symlink_to("made")
            raise

    monkeypatch.setattr(log, "_open_present", look_and_lose)
    log.error("x")
    assert not (tmp_path / "made").exists()
    assert "log: it is a symbolic link" in capfd.readouterr().err


def test_standard_error_by_its_name(capfd: pytest.CaptureFixture[str]) -> None:
    log.open_log({"log": "/dev/stderr", "log_format": "json", "debug": True})
    log.debug("x")
    assert json.loads(capfd.readouterr().err)["msg"] == "x"


def test_a_relative_path_is_of_the_first_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    log.open_log({"log": "log"})
    monkeypatch.chdir("/")
    log.error("x")
    assert (tmp_path / "log").exists()

# SPDX-License-Identifier: Apache-2.0
"""What a failure looks like from outside: exit code, stderr, log."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from pyrun.__main__ import main
from pyrun.errors import ConfigError, Error

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Fake = Callable[..., list[dict[str, Any]]]
    Launch = Callable[..., subprocess.CompletedProcess[str]]


def test_the_verb_runs_with_its_options(fake: Fake, capfd: pytest.CaptureFixture[str]) -> None:
    calls = fake("kill", outcome=7, output="out")
    assert main(["pyrun", "--root", "/r", "kill", "c", "9"]) == 7
    assert capfd.readouterr() == ("out", "")
    assert calls[0]["id"] == "c"
    assert calls[0]["root"] == "/r"


def test_umask_is_private_and_the_callers_is_kept_for_hooks(fake: Fake) -> None:
    os.umask(0o027)
    calls = fake("state")
    assert main(["pyrun", "state", "c"]) == 0
    assert os.umask(0o022) == 0o077
    assert calls[0]["umask"] == 0o027


def deep() -> RecursionError:
    return RecursionError("maximum recursion depth exceeded")


@pytest.mark.parametrize(
    ("raised", "code", "text"),
    [
        (Error("container does not exist"), 1, "container does not exist"),
        (Error("boom", "/root/path", "try x", 255), 255, "config.json /root/path: boom: try x"),
        (
            ConfigError([("/a", "is no x"), ("", "has no y")]),
            1,
            "config.json: /a: is no x; /: has no y",
        ),
        (FileNotFoundError(2, "No such", "/x/y"), 1, "state: /x/y: no such file or directory"),
        (BrokenPipeError(32, "Broken"), 1, "state: broken pipe"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (MemoryError(), 1, "state: out of memory: cannot allocate memory"),
        (deep(), 1, "state: the input is nested too deeply"),
        (KeyError("x"), 1, "internal error: KeyError: 'x': --debug shows where"),
        (ValueError("a\nb"), 1, "internal error: ValueError: a\\nb: --debug shows where"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_one_line_on_stderr_and_one_record(
    raised: BaseException,
    code: int,
    text: str,
    fake: Fake,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    fake("state", outcome=raised)
    path = tmp_path / "log.json"
    assert main(["pyrun", "--log", str(path), "--log-format", "json", "state", "c"]) == code
    assert capfd.readouterr() == ("", f"pyrun: {text}\n")
    record = json.loads(path.read_text())  # one document, as podman reads it
    assert record["level"] == "error"
    assert record["msg"].replace("\n", "\\n") == text


def test_the_traceback_is_in_the_log_with_debug_alone(
    fake: Fake, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fake("state", outcome=KeyError("x"))
    path = tmp_path / "log.json"
    words = ["--log", str(path), "--log-format", "json", "--debug", "state", "c"]
    assert main(["pyrun", *words]) == 1
    assert capfd.readouterr().err == "pyrun: internal error: KeyError: 'x'\n"
    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert [record["level"] for record in records if record["level"] != "debug"] == ["error"]
    assert any("conftest.py" in record["msg"] for record in records)
    assert all("\n" not in record["msg"] for record in records)


@pytest.mark.parametrize(
    ("line", "code", "text", "hint"),
    [
        ("nope", 3, "unknown verb 'nope'", "pyrun --help"),
        ("lst", 3, "unknown verb 'lst': did you mean list?", "pyrun --help"),
        ("help nope", 3, "unknown verb 'nope'", "pyrun --help"),
        ("--rot /r state c", 1, "unknown flag --rot: did you mean --root?", "pyrun --help"),
        (
            "delete --forse=1 c",
            1,
            "unknown flag --forse: did you mean --force?",
            "pyrun delete --help",
        ),
        ("create --bundle", 1, "flag needs an argument: --bundle", "pyrun create --help"),
        ("create", 1, "create: ID is missing", "pyrun create --help"),
        ("state a b", 1, "state: unexpected argument 'b'", "pyrun state --help"),
        (
            "--log-format xml state c",
            1,
            "--log-format: 'xml' is not one of 'text', 'json'",
            "pyrun --help",
        ),
        ("list -q=2", 1, "--quiet: '2' is neither true nor false", "pyrun list --help"),
        (
            "create --preserve-fds x c",
            1,
            "--preserve-fds: 'x' is not a valid integer range",
            "pyrun create --help",
        ),
    ],
)
def test_mistakes_on_the_command_line(
    line: str, code: int, text: str, hint: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["pyrun", *line.split()]) == code
    assert capfd.readouterr() == ("", f"pyrun: {text}\nTry '{hint}'.\n")


@pytest.mark.parametrize("before", [True, False])
def test_a_mistake_is_in_the_log_too(before: bool, tmp_path: Path) -> None:
    path = tmp_path / "log.json"
    flags = ["--log", str(path), "--log-format=json"]
    words = [*flags, "create", "--nope"] if before else ["create", *flags, "--nope"]
    assert main(["pyrun", *words]) == 1
    assert json.loads(path.read_text())["msg"] == "unknown flag --nope"


def test_a_log_that_cannot_be_opened(fake: Fake, capfd: pytest.CaptureFixture[str]) -> None:
    calls = fake("state")
    assert main(["pyrun", "--log", "/no/such/log", "state", "c"]) == 1
    text = "pyrun: cannot open log file /no/such/log: no such file or directory\n"
    assert capfd.readouterr().err == text
    assert not calls


def test_a_reader_that_went_away(launch: Launch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = launch("pyrun", "--help", stdout=writer)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_full_disk_is_a_failure(launch: Launch) -> None:
    with open("/dev/full", "w") as full:
        done = launch("pyrun", "--version", stdout=full)
    assert done.returncode == 1
    assert done.stderr == "pyrun: cannot write to standard output: no space left on device\n"


@pytest.mark.parametrize("raised", ["Error('x')", "KeyError('x')"])
def test_what_was_printed_before_the_failure_is_not_lost(raised: str, launch: Launch) -> None:
    verb = f"""
from pyrun.errors import Error
def run(opts):
    sys.stdout.write("row")
    raise {raised}
sys.modules["pyrun.commands.list"] = module = type(sys)("pyrun.commands.list")
module.run = run
"""
    done = launch("pyrun", "list", extra=verb)
    assert (done.returncode, done.stdout) == (1, "row")
    assert done.stderr.startswith("pyrun: ")


def test_bytes_that_are_not_utf8(launch: Launch) -> None:
    done = launch("pyrun", os.fsdecode(b"n\xffpe"))
    assert done.returncode == 3
    assert done.stderr.startswith("pyrun: unknown verb 'n\\udcffpe'")


def test_closed_standard_files(launch: Launch) -> None:
    done = launch("pyrun", "nope", extra="import os; os.close(1)", stdin=subprocess.DEVNULL)
    assert done.returncode == 3

# SPDX-License-Identifier: Apache-2.0
"""The table's parser and click's understand every command line alike."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyrun import _flags
from pyrun.cli import explain, hot

if TYPE_CHECKING:
    from types import ModuleType

LOG = "--root /r/moby --log /b/log.json --log-format json"

# (command line, verb, the options that differ from their defaults)
SHAPES: list[tuple[str, str, dict[str, Any]]] = [
    ("create c", "create", {"id": "c"}),
    (
        "--log-format=json --log /u/oci-log create --bundle /u --pid-file /u/pidfile c",
        "create",
        {"log": "/u/oci-log", "log_format": "json", "bundle": "/u", "pid_file": "/u/pidfile"},
    ),
    (
        f"{LOG} --systemd-cgroup create --bundle /b --pid-file /b/init.pid --console-socket /s c",
        "create",
        {
            "root": "/r/moby",
            "log": "/b/log.json",
            "log_format": "json",
            "systemd_cgroup": True,
            "bundle": "/b",
            "pid_file": "/b/init.pid",
            "console_socket": "/s",
        },
    ),
    ("create --bundle /b --pid-file p --no-new-keyring c", "create", {"no_new_keyring": True}),
    ("create --bundle /b --preserve-fds 3 --no-pivot c", "create", {"preserve_fds": 3}),
    ("--cgroup-manager disabled create -b /b c", "create", {"cgroup_manager": "disabled"}),
    ("create -b /b -f /c.json c", "create", {"bundle": "/b", "config": "/c.json"}),
    ("create -b=/b -bundle=/c c", "create", {"bundle": "/c"}),
    ("create --pid-file= c", "create", {"pid_file": ""}),
    ("--log-format= state c", "state", {"log_format": "text"}),
    ("--rootless=T state c", "state", {"rootless": "true"}),
    ("--rootless 0 state c", "state", {"rootless": "false"}),
    ("--rootless= state c", "state", {"rootless": "auto"}),
    ("--criu /usr/sbin/criu state c", "state", {"criu": "/usr/sbin/criu"}),
    ("kill --regex ^x- KILL", "kill", {"regex": True, "id": "^x-", "signal": "KILL"}),
    ("delete -r -f .", "delete", {"regex": True, "force": True, "id": "."}),
    ("spec -f my.json", "spec", {"file": "my.json"}),
    ("plan -f my.json", "plan", {"config": "my.json"}),
    ("create --pid-file --bundle c", "create", {"pid_file": "--bundle"}),
    ("create --bundle a=b c", "create", {"bundle": "a=b"}),
    ("create --bundle=a=b c", "create", {"bundle": "a=b"}),
    ("create c --bundle /b", "create", {"id": "c", "bundle": "/b"}),
    ("create --root /r --debug c", "create", {"root": "/r", "debug": True}),
    ("--root /r create --root /s c", "create", {"root": "/s"}),
    ("--debug create --debug=false c", "create", {"debug": False}),
    ("--systemd-cgroup=true --debug=F state c", "state", {"systemd_cgroup": True, "debug": False}),
    ("--rootless=true state -", "state", {"rootless": "true", "id": "-"}),
    ("run --pidfd-socket /s -d --keep -no-subreaper c", "run", {"detach": True, "keep": True}),
    ("run --no-pivot --no-pivot c", "run", {"no_pivot": True}),
    (f"{LOG} update --resources=- c", "update", {"resources": "-", "memory": ""}),
    ("update --memory -1 --cpu-share=5 c", "update", {"memory": "-1", "cpu_share": "5"}),
    (f"{LOG} pause c", "pause", {"id": "c"}),
    (f"{LOG} resume c", "resume", {"id": "c"}),
    (f"{LOG} ps --format json c", "ps", {"format": "json", "id": "c", "options": ()}),
    ("ps c -f -o pid", "ps", {"format": "table", "id": "c", "options": ("-f", "-o", "pid")}),
    (f"{LOG} start c", "start", {"id": "c"}),
    (f"{LOG} kill --all c 9", "kill", {"all": True, "id": "c", "signal": "9"}),
    ("kill -a c", "kill", {"all": True, "signal": "SIGTERM"}),
    ("kill c --all", "kill", {"all": False, "signal": "--all"}),
    ("kill c -1", "kill", {"signal": "-1"}),
    ("delete --force c", "delete", {"force": True}),
    ("delete c -f", "delete", {"force": True}),
    ("state c", "state", {"id": "c"}),
    ("wait c --json", "wait", {"id": "c", "json": True}),
    ("list", "list", {"format": "table", "quiet": False}),
    ("list -q --format json", "list", {"quiet": True, "format": "json"}),
    ("spec --rootless -b /b", "spec", {"rootless": True, "bundle": "/b"}),
    ("--rootless true spec", "spec", {"rootless": False}),
    ("plan --json --bundle /b", "plan", {"json": True, "bundle": "/b"}),
    ("validate --bundle /b", "validate", {"bundle": "/b"}),
]

# What the fast parser leaves to click, and click takes.
SLOW = ["create -- c", "-- state c", "kill -- c 9", "create --preserve-fds +1 c"]

MISTAKES = [
    "nope",
    "create",
    "--foo state c",
    "create --foo c",
    "create c d",
    "create --bundle",
    "list c",
    "kill",
    "kill c 9 9",
    "kill --foo c",
    "list --format xml",
    "list --format=",
    "--log-format xml state c",
    "--rootless yes state c",
    "create --preserve-fds -1 c",
    "create --preserve-fds= c",
    "create --preserve-fds 9999999999 c",
    "create --no-pivot=perhaps c",
    "create ---bundle /b c",
    "create --=x c",
    "create -=x c",
    "create --version c",
    "state -fq c",
]


def by_click(words: list[str]) -> Any:
    return explain.parse(["pyrun", *words])


@pytest.mark.parametrize(("line", "verb", "options"), SHAPES, ids=[s[0] for s in SHAPES])
def test_both_parsers_read_it_so(line: str, verb: str, options: dict[str, Any]) -> None:
    fast = hot.parse(line.split())
    assert fast is not None
    assert fast == by_click(line.split())
    assert fast[0] == verb
    assert {name: fast[1][name] for name in options} == options


@pytest.mark.parametrize("line", SLOW)
def test_click_takes_it_though_the_fast_parser_does_not(line: str) -> None:
    assert hot.parse(line.split()) is None
    verb, _ = by_click(line.split())
    assert verb in line


@pytest.mark.parametrize("line", MISTAKES)
def test_neither_takes_a_mistake(line: str) -> None:
    assert hot.parse(line.split()) is None
    with pytest.raises(click.UsageError):
        by_click(line.split())


@pytest.mark.parametrize(
    "line",
    [
        "",
        "--help",
        "-h",
        "-?",
        "create --help",
        "create -?",
        "-v",
        "-V",
        "--version",
        "help",
        "h",
        "--usage",
        "create --usage",
    ],
)
def test_help_and_version_are_not_the_fast_parsers(line: str) -> None:
    assert hot.parse(line.split()) is None
    assert by_click(line.split()) == 0


def test_every_option_is_there_with_its_default() -> None:
    parsed = hot.parse(["create", "c"])
    assert parsed is not None
    texts = [
        "root",
        "log",
        "criu",
        "cgroup_manager",
        "bundle",
        "config",
        "console_socket",
        "pid_file",
        "trace",
    ]
    switches = [
        "debug",
        "systemd_cgroup",
        "no_pivot",
        "no_new_keyring",
        "no_subreaper",
        "ephemeral",
    ]
    assert parsed[1] == {
        **dict.fromkeys([*texts, "pidfd_socket", "overlay", "overlay_upper"], ""),
        **dict.fromkeys(switches, False),
        "log_format": "text",
        "log_level": "error",
        "rootless": "auto",
        "preserve_fds": 0,
        "id": "c",
    }


# Words that mean the same to both parsers, right or wrong: no help, no version, no "--", and no
# number that only click takes.
FLAG_WORDS = sorted(
    {
        dashes + name
        for flags in (_flags.GLOBALS, *(entry[0] for entry in _flags.VERBS.values()))
        for name in flags
        for dashes in ("-", "--")
    }
)
VALUES = ["", "c", "-", "/b", "json", "table", "true", "false", "0", "7", "-1", "a=b", "disabled"]
JOINED = st.builds("{}={}".format, st.sampled_from(FLAG_WORDS), st.sampled_from(VALUES))
WORDS = st.one_of(
    st.sampled_from(VALUES),
    st.sampled_from(FLAG_WORDS),
    JOINED,
    st.sampled_from([*_flags.VERBS, "nope", "--nope", "-", "---", "-=", "--bundle=", "é"]),
)


@settings(max_examples=2000, deadline=None)
@given(st.lists(WORDS, max_size=3), st.sampled_from(list(_flags.VERBS)), st.lists(WORDS))
def test_any_line_gets_one_verdict(before: list[str], verb: str, after: list[str]) -> None:
    words = [*before, verb, *after]
    try:
        slow = by_click(words)
    except click.UsageError:
        slow = None
    # 0: help was printed, because the verb had become the value of a flag.
    assert hot.parse(words) == (slow or None)


def _well_formed(verb: str) -> st.SearchStrategy[list[str]]:
    flags, _, names, required, variadic, stops = _flags.VERBS[verb]
    known = {**_flags.GLOBALS, **flags}

    def one(name: str) -> st.SearchStrategy[list[str]]:
        kind = known[name][1]
        flag = ("-" if len(name) == 1 else "--") + name
        if kind == "flag":
            return st.just([flag])
        if kind == "count":
            value = st.integers(0, 999_999_999).map(str)
        else:
            value = st.text(max_size=8) if kind == "text" else st.sampled_from(sorted(kind))
        return value.flatmap(lambda v: st.sampled_from([[flag, v], [f"{flag}={v}"]]))

    positional = st.text(min_size=1).filter(lambda word: not word.startswith("-"))
    count = st.integers(required, len(names) + 2 * variadic)
    positionals = count.flatmap(lambda n: st.lists(positional, min_size=n, max_size=n))
    options = st.lists(st.sampled_from(sorted(known)).flatmap(one)).map(
        lambda groups: [word for group in groups for word in group]
    )
    tail = st.just([]) if stops else options
    return st.builds(lambda a, b, c: [verb, *a, *b, *c], options, positionals, tail)


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(list(_flags.VERBS)).flatmap(_well_formed))
def test_the_fast_parser_takes_every_well_formed_line(words: list[str]) -> None:
    fast = hot.parse(words)
    assert fast is not None
    assert fast == by_click(words)


def test_the_table_is_that_of_the_click_commands(generator: ModuleType) -> None:
    written = Path(_flags.__file__).read_text(encoding="utf-8")
    assert written == generator.render()

# SPDX-License-Identifier: Apache-2.0
"""Every flag that runc and crun have in any version: taken by both parsers, with one dash and two,
before and behind what it is a flag of."""

from __future__ import annotations

import click
import pytest

from pyrun.cli import explain, hot

GLOBALS = (
    "--root= --log= --log-format=json --log-level=debug --debug --systemd-cgroup"
    " --cgroup-manager=disabled --rootless=true --criu="
)
MAKING = (
    "-b= --bundle= -f= --config= --console-socket= --pidfd-socket= --pid-file= --no-pivot"
    " --no-new-keyring --preserve-fds=2 --no-subreaper"
)
CRIU = (
    "--image-path= --work-path= --tcp-established --ext-unix-sk --shell-job --file-locks"
    " --manage-cgroups-mode=soft --empty-ns=network --auto-dedup --lazy-pages --network-lock=skip"
)
LIMITS = (
    "-r= --resources= --blkio-weight= --cpu-period= --cpu-quota= --cpu-share= --cpu-rt-period="
    " --cpu-rt-runtime= --cpu-burst= --cpu-idle= --cpuset-cpus= --cpuset-mems= --memory="
    " --memory-reservation= --memory-swap= --kernel-memory= --kernel-memory-tcp= --pids-limit="
    " --l3-cache-schema= --mem-bw-schema="
)
# verb -> its flags (= with a value), and the words that it needs besides
VERBS = {
    "create": (MAKING, "c"),
    "run": (f"{MAKING} -d --detach --keep", "c"),
    "start": ("", "c"),
    "state": ("", "c"),
    "kill": ("-a --all -r --regex", "c"),
    "delete": ("-f --force -r --regex", "c"),
    "exec": (
        "--console-socket= --pidfd-socket= --pid-file= -d --detach -p= --process= --cwd= -e= --env="
        " -t --tty -u= --user= -g= --additional-gids= -c= --cap= --no-new-privs --process-label="
        " --apparmor= --preserve-fds=2 --cgroup= --ignore-paused --no-subreaper",
        "c sh",
    ),
    "list": ("-f=json --format=json -q --quiet", ""),
    "ps": ("-f=json --format=json", "c"),
    "events": ("--interval= --stats", "c"),
    "pause": ("", "c"),
    "resume": ("", "c"),
    "update": (LIMITS, "c"),
    "spec": ("-b= --bundle= -f=", ""),
    "checkpoint": (
        f"{CRIU} --parent-path= --leave-running --pre-dump --tcp-skip-in-flight --link-remap"
        " --status-fd= --page-server=",
        "c",
    ),
    "restore": (
        f"{CRIU} -b= --bundle= -d --detach --pid-file= --console-socket= --lsm-profile="
        " --lsm-mount-context= --no-subreaper --no-pivot --tcp-close",
        "c",
    ),
    "features": ("", ""),
    "mounts": ("", "add c file"),
}
ROWS = [
    (verb, flag, rest)
    for verb, (own, rest) in VERBS.items()
    for flag in f"{own} {GLOBALS}".split()
    if not (verb == "spec" and flag.startswith("--rootless"))  # which has one of its own
]


@pytest.mark.parametrize(
    ("verb", "flag", "rest"), ROWS, ids=[f"{verb} {flag}" for verb, flag, _ in ROWS]
)
def test_flag(verb: str, flag: str, rest: str) -> None:
    name, equals, value = flag.partition("=")
    expected = value or ("x" if equals else True)
    for dashes in ("-", "--"):
        spelled = dashes + name.lstrip("-")
        shapes = [[f"{spelled}={expected}"], [spelled, str(expected)]] if equals else [[spelled]]
        for shape in shapes:
            words = [verb, *shape, *rest.split()]
            parsed = hot.parse(words)
            assert parsed == explain.parse(["pyrun", *words])
            assert parsed is not None
            assert parsed[0] == verb
            given = parsed[1][option(verb, name)]
            assert str(expected) in (given if isinstance(given, tuple) else [str(given)])


def option(verb: str, name: str) -> str:
    """What the verb calls this flag, whichever of its names was used."""
    bare = name.lstrip("-")
    flags = hot.VERBS[verb][0]
    return str((flags.get(bare) or hot.GLOBALS[bare])[0])


@pytest.mark.parametrize("verb", ["exec", "ps", "kill"])
def test_flags_end_at_the_first_word(verb: str) -> None:
    """Of the verbs whose other words may look like flags."""
    rest = ["-q", "--debug"] if verb != "kill" else ["--debug"]
    parsed = hot.parse([verb, "c", *rest])
    assert parsed == explain.parse(["pyrun", verb, "c", *rest])
    assert parsed is not None
    assert parsed[1]["debug"] is False


@pytest.mark.parametrize("verb", ["state", "start", "delete", "create", "pause", "update"])
def test_flags_behind_the_words(verb: str) -> None:
    """Of the others, global ones as well."""
    parsed = hot.parse([verb, "c", "-debug", "--root", "/r"])
    assert parsed is not None
    assert (parsed[1]["id"], parsed[1]["debug"], parsed[1]["root"]) == ("c", True, "/r")


def test_no_flag_of_nobody() -> None:
    with pytest.raises(click.UsageError):
        explain.parse(["pyrun", "state", "--nosuch", "c"])

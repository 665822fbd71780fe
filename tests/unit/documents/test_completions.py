# SPDX-License-Identifier: Apache-2.0
"""The completions as they are installed, in the shells that they are for."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import click
import pytest

from needs import needs
from pyrun.cli.program import Verb
from pyrun.cli.verbs import PROGRAM, VERBS

SHARE = Path(sys.prefix) / "share"
BASH = SHARE / "bash-completion/completions/pyrun.bash"
ZSH = SHARE / "zsh/site-functions/_pyrun"
FISH = SHARE / "fish/vendor_completions.d/pyrun.fish"

# A runtime with two containers, which notes what it was asked.
FAKE = """#!/bin/sh
echo "$*" >>"$ASKED"
[ "$*" = "${*#*-q}" ] || printf 'box-1\\nbox-2\\n'
"""

Complete = Callable[[str], set[str]]


class Place(NamedTuple):
    """Where the shells run: a folder with a folder and a file, and the runtime above."""

    folder: Path
    asked: Path  # its command lines
    env: dict[str, str]

    def output(self, *command: str) -> list[str]:
        """The lines that a program prints there."""
        done = subprocess.run(
            command, cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=20
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.splitlines()

    def at_terminal(self, *command: str) -> tuple[int, int]:
        """(pid, terminal) of a program at a terminal there."""
        pid, fd = pty.fork()
        if pid == 0:
            os.chdir(self.folder)
            os.execvpe(command[0], command, self.env)
        return pid, fd


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """See Place."""
    top = tmp_path_factory.mktemp("completions")
    program = top / "bin/pyrun"
    program.parent.mkdir()
    program.write_text(FAKE)
    program.chmod(0o755)
    (top / "here/folder").mkdir(parents=True)
    (top / "here/file").touch()
    (top / "asked").touch()
    env = {
        "ASKED": str(top / "asked"),
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "HOME": str(top),
        "TERM": "xterm",
        "PS1": "> ",
    }
    return Place(top / "here", top / "asked", env)


def by_bash(place: Place, line: str) -> set[str]:
    """As readline calls it: "=" is a word of its own."""
    words = re.findall(r"=|[^ =]+", line)
    if line[-1] == " ":
        words.append("")
    script = (
        f'source {BASH}; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _pyrun'
        '; [ ${#COMPREPLY[@]} = 0 ] || printf "%s\n" "${COMPREPLY[@]}"'
    )
    return set(place.output("bash", "--norc", "-c", script, "bash", *words))


# zsh completes at a terminal alone. What it would offer goes into a file.
ZSH_SETUP = """
PS1=; unsetopt zle_bracketed_paste 2>/dev/null; fpath=({folder} $fpath)
autoload -Uz compinit; compinit -u -D
compadd () {{
  if [[ ${{@[1,(i)(-|--)]}} != *-(O|A|D)\\ * ]]; then
    local -a found; builtin compadd -O found "$@"; print -rl -- $found >>{matches}
  fi
  builtin compadd "$@"
}}
zle-line-init () {{ print -r -- ready >>{matches} }}
zle -N zle-line-init
"""


class Terminal:
    """A zsh at a terminal."""

    def __init__(self, place: Place) -> None:
        self.matches = place.asked.with_name("matches")
        self.matches.touch()
        self.seen = 0
        self.pid, self.fd = place.at_terminal("zsh", "-f", "-i")
        setup = place.asked.with_name("setup")
        setup.write_text(ZSH_SETUP.format(folder=ZSH.parent, matches=self.matches))
        self.send(f"source {setup}\r")
        self.wait("ready")  # before that, the terminal itself would take ^D and ^U

    def send(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def wait(self, word: str) -> list[str]:
        """What was noted until that word. The terminal is read, so that nobody waits for it."""
        deadline = time.monotonic() + 20
        while word not in (lines := self.matches.read_text().splitlines()[self.seen :]):
            assert time.monotonic() < deadline
            if select.select([self.fd], [], [], 0.02)[0]:
                os.read(self.fd, 65536)
        self.seen += lines.index(word) + 1
        return lines[: lines.index(word)]

    def complete(self, line: str) -> set[str]:
        # ^D lists what there is, and ^U takes the line away.
        self.send(f"{line}\x04\x15print -r -- done >>{self.matches}\r")
        found = set(self.wait("done")) - {""}
        self.wait("ready")
        return found

    def close(self) -> None:
        os.close(self.fd)
        os.waitpid(self.pid, 0)


def by_fish(place: Place, line: str) -> set[str]:
    """As fish itself tells it, also where ? is no wildcard, as in fish 4."""
    script = f"source {FISH}; complete --do-complete $argv[1]"
    lines = place.output("fish", "--no-config", "-c", script, line)
    later = ("--no-config", "--features=qmark-noglob")
    assert place.output("fish", *later, "-c", script, line) == lines
    return {line.partition("\t")[0] for line in lines}


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=needs(name)) for name in ("bash", "zsh", "fish")],
)
def complete(request: pytest.FixtureRequest, place: Place) -> Iterator[Complete]:
    """What a shell offers at the end of a line: whole words, values without their flag."""
    if request.param == "zsh":
        terminal = Terminal(place)
        yield lambda line: words(terminal.complete(line))
        terminal.close()
    else:
        way = {"bash": by_bash, "fish": by_fish}[request.param]
        yield lambda line: words(way(place, line))


def words(offered: set[str]) -> set[str]:
    """Some shells offer a value with its flag, or a folder with a slash."""
    return {re.sub("^-+[a-z-]+=", "", word).rstrip("=/ ") for word in offered}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("pyrun sta", {"start", "state"}),
        ("pyrun --root /r --debug sta", {"start", "state"}),
        ("pyrun --root=/r --log-format json sta", {"start", "state"}),
        ("pyrun state ", {"box-1", "box-2"}),
        ("pyrun kill --all b", {"box-1", "box-2"}),
        ("pyrun kill box-1 US", {"USR1", "USR2"}),
        ("pyrun list --format ", {"table", "json"}),
        ("pyrun list --format=t", {"table"}),
        ("pyrun list --log-level=w", {"warning"}),
        ("pyrun list -f j", {"json"}),
        ("pyrun create --bundle ", {"folder"}),
        ("pyrun create -b fo", {"folder"}),
        ("pyrun create --pid-file f", {"folder", "file"}),
        ("pyrun create --pid-file x b", set()),
        ("pyrun delete -f b", {"box-1", "box-2"}),
        ("pyrun create b", set()),
        ("pyrun update --memory b", set()),
        ("pyrun features b", set()),
        ("pyrun ps box-1 -", set()),
        ("pyrun mounts r", {"remove"}),
        ("pyrun mounts add b", {"box-1", "box-2"}),
        ("pyrun mounts add box-1 f", {"file", "folder"}),
        ("pyrun update --cpu-idle ", {"0", "1"}),
        ("pyrun --log-", {"--log-format", "--log-level"}),
        ("pyrun delete --forc", {"--force"}),
        ("pyrun delete box-1 --forc", {"--force"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_what_is_offered(complete: Complete, line: str, expected: set[str]) -> None:
    assert complete(line) == expected


@pytest.mark.parametrize(
    "line",
    ["--root /r/x state ", "--root=/r/x state ", "state --root /r/x ", "state --root=/r/x "],
)
def test_containers_are_those_of_the_root(complete: Complete, line: str, place: Place) -> None:
    place.asked.write_text("")
    assert complete(f"pyrun {line}") == {"box-1", "box-2"}
    assert set(place.asked.read_text().replace("=", " ").splitlines()) == {"--root /r/x list -q"}


def test_every_verb_is_offered(complete: Complete) -> None:
    assert complete("pyrun ") == set(PROGRAM.commands)


def long_names(options: list[click.Option]) -> set[str]:
    """The long names that help shows."""
    return {name for o in options if not o.hidden for name in o.opts if name.startswith("--")}


@pytest.mark.parametrize("verb", VERBS, ids=[verb.name for verb in VERBS])
def test_every_flag_is_offered(complete: Complete, verb: Verb) -> None:
    """Of the verb, with the global ones; and none that is another verb's."""
    wanted = long_names([*verb.options(), *PROGRAM.options()])
    assert complete(f"pyrun {verb.name} --") - {"--help", "--version"} == wanted


@needs("bash")
def test_bash_at_a_terminal(place: Place) -> None:
    """Completed by readline itself, up to what is not unique, and with a value behind "="."""
    pid, fd = place.at_terminal("bash", "--norc", "--noprofile", "-i")
    lines = [f"source {BASH}", "pyrun --log-format=j\t stat\t box-\t", "exit"]
    os.write(fd, "".join(f"{line}\r" for line in lines).encode())
    with contextlib.suppress(OSError):  # EIO: it has ended
        while select.select([fd], [], [], 20)[0]:
            os.read(fd, 65536)
    os.close(fd)
    os.waitpid(pid, 0)
    assert place.asked.read_text().splitlines()[-1] == "--log-format=json state box-"


@needs("shellcheck")
def test_bash_file(place: Place) -> None:
    assert place.output("shellcheck", "--shell=bash", str(BASH)) == []

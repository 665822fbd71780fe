# SPDX-License-Identifier: Apache-2.0
"""scripts/docker-test does what README.md and docs/docker.md say: it is run with a docker, a
dockerd and a debootstrap that only write down what they are asked."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs/docker.md").read_text()
COMMANDS = [line.strip() for line in PAGE.splitlines() if line.startswith("    ")]
BUILD, RUN = COMMANDS[:2]
HOST_NETWORK = "--network host"

# Each writes its words down, one command a line. $LACKS: what docker says no to.
FAKES = {
    "docker": """case "$*" in
        *"${LACKS:-nothing}"*) echo "unable to apply caps" >&2; exit 1 ;;
        version) [ -z "${NO_DAEMON:-}" ] || [ -e "$PLACE/up" ] ;;
        "image inspect "*) [ -n "${HAS_BASE:-}" ] ;;
        import*) tar -t >"$PLACE/imported" ;;
    esac""",
    "dockerd": 'touch "$PLACE/up"; exec sleep 100',
    "debootstrap": 'mkdir -p "$3/etc/apt/apt.conf.d"',
    "apt-config": "echo 'Acquire::Check-Valid-Until \"false\";'; echo 'Acquire::Other \"x\";'",
    "apt-get": "echo http://mirror.invalid/debian/",
    "id": "echo 0",
}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where they are and write."""
    for name, script in FAKES.items():
        file = tmp_path / "bin" / name
        file.parent.mkdir(exist_ok=True)
        note = f'printf \'%s\\n\' "{name} ${{*@Q}}" >>"$PLACE/asked"\n'
        file.write_text(f"#!/bin/bash\n{note}{script}\n")
        file.chmod(0o755)
    return tmp_path


def asked(place: Path, *words: str, code: int = 0, **environment: str) -> list[list[str]]:
    """Runs the script: the words of each command that would have been run."""
    variables = {
        **os.environ,
        "PATH": f"{place / 'bin'}:{os.environ['PATH']}",
        "PLACE": str(place),
        "PYRUN_DOCKER": str(place / "kept"),
        **environment,
    }
    done = subprocess.run(
        [ROOT / "scripts/docker-test", *words], env=variables, capture_output=True, text=True
    )
    assert done.returncode == code, done.stderr
    return [shlex.split(line) for line in (place / "asked").read_text().splitlines()]


def only(commands: list[list[str]], *start: str) -> list[list[str]]:
    return [words for words in commands if tuple(words[: len(start)]) == start]


def same(found: list[str], written: str) -> None:
    """The same words, in whatever order the options are."""
    assert sorted(found) == sorted(shlex.split(written))


def test_the_two_commands(place: Path) -> None:
    """The README's are the page's, and the script's."""
    commands = asked(place, HAS_BASE="1")
    assert only(commands, "debootstrap") == only(commands, "dockerd") == []
    [build] = only(commands, "docker", "build")
    same(build, BUILD)
    same(only(commands, "docker", "run")[-1], RUN)
    readme = [line.strip() for line in (ROOT / "README.md").read_text().splitlines()]
    assert BUILD in readme
    assert RUN in readme


def test_the_base(place: Path) -> None:
    """Made when it is not there, with what the machine knows of its mirror."""
    commands = asked(place)
    [made] = only(commands, "debootstrap")
    root, mirror = made[3], made[4]
    assert f"{' '.join(made[:3])} debian-root" in COMMANDS
    assert mirror == "http://mirror.invalid/debian/"
    [imported] = only(commands, "docker", "import")
    assert f"tar -C debian-root -c . | {' '.join(imported)}" in COMMANDS
    assert "./etc/apt/apt.conf.d/50machine" in (place / "imported").read_text()
    assert "etc/apt/apt.conf.d/50machine" in PAGE
    assert not Path(root).exists()
    readme = (ROOT / "README.md").read_text()
    assert f"{' '.join(made[:3])} debian-root && tar -C debian-root -c . | docker import" in readme
    assert f"FROM {imported[-1]}\n" in (ROOT / "Dockerfile.test").read_text()


def test_without_privileges(place: Path) -> None:
    commands = asked(place, "true", HAS_BASE="1", LACKS="--privileged")
    [written] = [line for line in COMMANDS if "--cap-add" in line]
    same(only(commands, "docker", "run")[-1], f"{written} true")


def test_a_daemon_of_its_own(place: Path) -> None:
    """It is there while it is needed; what it is told is what the page says."""
    commands = asked(place, HAS_BASE="1", NO_DAEMON="1", LACKS="network inspect")
    [daemon] = only(commands, "dockerd")
    [written] = [line for line in COMMANDS if line.startswith("dockerd")]
    assert HOST_NETWORK in PAGE
    for flag in re.findall(r" (--[a-z-]+)", written):
        assert flag in " ".join(daemon)
    for words in ("--bridge none", "--iptables=false", "native.cgroupdriver=cgroupfs"):
        assert words in written
        assert words in " ".join(daemon)
    assert "--add-runtime" in daemon  # for `--runtime pyrun`
    for words in only(commands, "docker", "build") + only(commands, "docker", "run"):
        assert HOST_NETWORK in " ".join(words)


def test_another_runtime(place: Path) -> None:
    commands = asked(place, "--runtime", "pyrun", "true", HAS_BASE="1")
    assert only(commands, "docker", "run")[-1][3:5] == ["--runtime", "pyrun"]
    assert "scripts/docker-test --runtime pyrun" in COMMANDS


def test_a_failed_test_fails_it(place: Path) -> None:
    """Its exit code is the command's."""
    fake = place / "bin/docker"
    fake.write_text(fake.read_text() + 'case "$*" in *" false") exit 7 ;; esac\n')
    asked(place, "false", code=7, HAS_BASE="1")

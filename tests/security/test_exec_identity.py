# SPDX-License-Identifier: Apache-2.0
"""Advisories about who a process is that is brought into a container, and which cgroup it is in."""

from __future__ import annotations

from pathlib import Path

import pytest

from needs import needs

from .box import Box
from .test_exec import enter

pytestmark = needs("root", "busybox")

# Names in the image that look like numbers, all of root.
NUMBERS = ("2147483648", "4294967295", "4294967296", "4294967297", "18446744073709551616", "-1")


def places(text: str) -> dict[str, str]:
    """{controllers: path} of a /proc/PID/cgroup."""
    lines = (line.split(":", 2) for line in text.splitlines())
    return {names: path for _, names, path in lines}


@pytest.fixture
def running(box: Box) -> Box:
    """A container that waits, as an ordinary user; its image makes root of every name."""
    names = [f"{name}:x:0:0::/:/bin/sh\n" for name in (*NUMBERS, "image", "1x")]
    (box.rootfs / "etc/passwd").write_text("".join(names))
    box.process["user"] = {"uid": 1000, "gid": 1000}
    box.process["args"] = ["sleep", "1000"]
    box.create()
    assert box.verb("start").returncode == 0
    return box


@pytest.mark.parametrize(("text", "ids"), [("1", ["1"]), ("1:2", ["1", "2"]), ("7:0", ["7", "0"])])
def test_cve_2026_30892_the_user_that_is_asked_for(running: Box, text: str, ids: list[str]) -> None:
    """crun before 1.27 took "1" for 0:0."""
    done = enter(running, "/bin/sh", "-c", "id -u; id -g", flags=("--user", text))
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[: len(ids)] == ids


@pytest.mark.parametrize(
    "text", ["01", "+1", " 1", "1 ", "1:", "1:+2", "1x", "0x1", "1:2:0", "1.0"]
)
def test_cve_2026_30892_a_user_of_an_odd_form(running: Box, text: str) -> None:
    """It is refused, or it is what it looks like; never root."""
    done = enter(running, "/bin/sh", "-c", "id -u", flags=("--user", text))
    assert done.returncode != 0 or done.stdout == "1\n"


@pytest.mark.parametrize("text", ["", ":", ":1", "image", "image:1"])
def test_cve_2026_30892_a_user_without_a_number(running: Box, text: str) -> None:
    """Nobody else than the container's own user."""
    done = enter(running, "/bin/sh", "-c", "id -u", flags=("--user", text))
    assert done.returncode != 0 or done.stdout == "1000\n"


@pytest.mark.parametrize("text", NUMBERS)
def test_cve_2026_46680_cve_2024_40635_cve_2016_3697_a_number_is_no_name(
    running: Box, text: str
) -> None:
    """One out of range is not looked up in the image, which has root by that name."""
    done = enter(running, "/bin/sh", "-c", "id -u; id -g", flags=(f"--user={text}:7",))
    assert done.returncode != 0 or done.stdout.split() == [text, "7"]


@pytest.mark.parametrize("user", ["0:0", "1000:1000"])
def test_cve_2022_29162_cve_2022_27650_an_added_capability_is_not_inherited(
    running: Box, user: str
) -> None:
    flags = ("--cap", "CAP_NET_RAW", "--user", user)
    done = enter(running, "cat", "/proc/self/status", flags=flags)
    assert done.returncode == 0, done.stderr
    found = dict(line.split(":", 1) for line in done.stdout.splitlines())
    assert int(found["CapBnd"], 16) & 1 << 13
    for kind in ("Inh", "Amb"):
        assert int(found[f"Cap{kind}"], 16) == 0, kind


@pytest.mark.parametrize("path", ["..", "/..", "a/../../..", "memory:.."])
def test_ghsa_5g49_rx9x_qfc6_the_cgroup_of_a_process_is_the_containers(
    running: Box, path: str
) -> None:
    pid = (running.folder / "pid").read_text()
    own = places(Path(f"/proc/{pid}/cgroup").read_text())
    done = enter(running, "cat", "/proc/self/cgroup", flags=("--cgroup", path))
    found = places(done.stdout)
    assert done.returncode != 0 or found.keys() == own.keys()
    assert [name for name in found if not f"{found[name]}/".startswith(f"{own[name]}/")] == []

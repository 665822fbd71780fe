# SPDX-License-Identifier: Apache-2.0
"""Who a process is that exec brings in, and what it may do: by the config, and by flags."""

from __future__ import annotations

import resource
import signal

import pytest

from life.bundles import Bundle
from life.exec_steps import (
    CHOWN,
    KILL,
    NOT_STARTED,
    OWN,
    sets,
)
from life.runtimes import Container, eventually

pytestmark = pytest.mark.again

with_peers = pytest.mark.with_peers
differs = pytest.mark.differs
pyrun_only = pytest.mark.pyrun_only


@with_peers
@differs(crun="1.8 takes no more than capabilities from it")
def test_identity_is_that_of_the_config(container: Container, bundle: Bundle) -> None:
    bundle.process["user"] = {"uid": 1000, "gid": 1001, "additionalGids": [5, 27]}
    bundle.process["cwd"] = "/home/user"
    container.started("sleep 1000")
    answers = container.exec_ask("id", "cwd", "nnp", "env", extra_groups=[7, 8])
    assert answers[:3] == ["1000 1001 5 27", "/home/user", "1"]
    assert answers[3].splitlines() == ["PATH=/bin:/", "TERM=xterm", "HOME=/"]


@with_peers
@differs(runc="1.1 passes over the umask", crun="1.8 passes over the umask")
def test_umask_of_the_config(container: Container, bundle: Bundle) -> None:
    bundle.process["user"]["umask"] = 0o26
    container.started("sleep 1000")
    assert container.exec_ask("umask") == ["0026"]


@with_peers
def test_umask_is_the_callers(running: Container) -> None:
    """config.md, User: unspecified, it should not be changed."""
    assert running.exec_ask("umask", umask=0o037) == ["0037"]


@with_peers
@differs(crun="1.8 replaces the whole environment")
def test_environment(running: Container) -> None:
    flags = ["--env", "A=1", "-env", "TERM=dumb", "--env", "A=2", "--env=B=x=y"]
    (env,) = running.exec_ask("env", flags=flags, env={"SECRET": "caller"})
    assert sorted(env.splitlines()) == ["A=2", "B=x=y", "HOME=/", "PATH=/bin:/", "TERM=dumb"]


@with_peers
def test_home_is_looked_up_in_the_container(running: Container, bundle: Bundle) -> None:
    bundle.file("/etc/passwd", "root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/home/user:\n")
    assert "HOME=/root" in running.exec_ask("env")[0].splitlines()
    assert "HOME=/home/user" in running.exec_ask("env", flags=["-u", "1000"])[0].splitlines()


@with_peers
def test_cwd(running: Container) -> None:
    assert running.exec_ask("cwd", flags=["--cwd", "/home/user"]) == ["/home/user"]
    result = running.exec("cwd", flags=["--cwd", "/nowhere"])
    assert result.code == NOT_STARTED
    assert "no such file or directory" in result.err.lower()
    assert not (running.bundle.rootfs / "nowhere").exists()


@with_peers
@differs(crun="1.8 takes a relative one, from /")
def test_relative_cwd(running: Container) -> None:
    result = running.exec("cwd", flags=["--cwd", "home"])
    assert (result.code, result.out) == (NOT_STARTED, "")
    assert "absolute" in result.err


@with_peers
@pytest.mark.parametrize(
    ("text", "found"),
    [("1", "1 0"), ("1:2", "1 2"), ("01", "1 0"), ("65534:65533", "65534 65533")],
)
def test_user(running: Container, text: str, found: str) -> None:
    """By number, and the group of the config where none is given (CVE-2026-30892)."""
    assert running.exec_ask("id", flags=["--user", text]) == [found]


@pytest.mark.parametrize(
    "text",
    ["+1", " 1", "1 ", "1:", ":1", ":", "-1", "0x1", "1:2:3", "1_0", "\u0661", "root", "user"]
    + ["4294967295", "4294967296", "18446744073709551616", "1:4294967295", "99999999999999999999"],
)
@pyrun_only("the text; runc takes +1 and 2^32, crun reads as far as it can: many of these are root")
def test_no_user(container: Container, bundle: Bundle, text: str) -> None:
    """Never a name, which an image may define as it likes (CVE-2026-46680, CVE-2024-40635)."""
    bundle.file("/etc/passwd", f"user:x:0:0::/:\n{text}:x:0:0::/:\n")
    container.started("sleep 1000")
    result = container.exec("id", flags=["--user", text])
    assert (result.code, result.out) == (NOT_STARTED, "")
    assert "--user: " in result.err
    assert "no id" in result.err


@with_peers
@pytest.mark.parametrize("text", ["root", "4294967295"])
@differs(crun="1.8 ends with 1, or runs it as root")
def test_neither_a_name_nor_the_highest_number(running: Container, text: str) -> None:
    result = running.exec("id", flags=["--user", text])
    assert (result.code, result.out) == (NOT_STARTED, "")


@with_peers
@differs(crun="1.8 has no such flag")
def test_additional_groups(container: Container, bundle: Bundle) -> None:
    bundle.process["user"]["additionalGids"] = [5]
    container.started("sleep 1000")
    flags = ["-u", "9", "-g", "7", "-g", "8"]
    assert container.exec_ask("id", flags=flags) == ["9 0 5 7 8"]


@with_peers
def test_capabilities_of_the_container(running: Container) -> None:
    expected = {"effective": OWN, "permitted": OWN, "bounding": OWN, "inheritable": 0, "ambient": 0}
    assert sets(running.exec_ask("caps")[0]) == expected


@with_peers
def test_a_user_without_ambient_capabilities_has_none(running: Container) -> None:
    """CVE-2018-10856, CVE-2016-8867."""
    found = sets(running.exec_ask("caps", flags=["-u", "1000"])[0])
    assert found == {
        "effective": 0,
        "permitted": 0,
        "bounding": OWN,
        "inheritable": 0,
        "ambient": 0,
    }


@with_peers
@differs(crun="1.8 replaces the sets")
def test_added_capability(running: Container) -> None:
    """Inheritable and ambient stay as they are: CVE-2022-29162, CVE-2022-27650."""
    more = OWN | CHOWN
    found = sets(running.exec_ask("caps", flags=["--cap", "CAP_CHOWN"])[0])
    expected = {"effective": more, "permitted": more, "bounding": more}
    assert found == {**expected, "inheritable": 0, "ambient": 0}
    assert running.exec_ask("chown /data 5 5", flags=["-c", "CAP_CHOWN"]) == ["ok"]


@pytest.mark.parametrize("name", ["CAP_BOGUS", "", "CAP_CHOWN,CAP_KILL"])
@pyrun_only("the peers pass over it")
def test_no_such_capability(running: Container, name: str) -> None:
    result = running.exec("caps", flags=["--cap", name])
    assert (result.code, result.out) == (NOT_STARTED, "")
    assert f"--cap: there is no capability {name!r}" in result.err


@with_peers
@differs(crun="1.8 adds none without it in the file")
def test_added_capability_is_ambient_where_there_are_inheritable_ones(
    container: Container, bundle: Bundle
) -> None:
    for kind in ("inheritable", "ambient"):
        bundle.process["capabilities"][kind] = ["CAP_KILL"]
    container.started("sleep 1000")
    found = sets(container.exec_ask("caps", flags=["-u", "1000", "-c", "CAP_CHOWN"])[0])
    assert found["inheritable"] == KILL
    assert found["ambient"] == found["effective"] == KILL


@with_peers
@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("bounding", marks=differs(crun="1.8 gives what is bounding")),
        "absent",
    ],
)
def test_capabilities_absent(container: Container, bundle: Bundle, kind: str) -> None:
    """Without the field a container has none, and so has what joins it."""
    if kind == "absent":
        del bundle.process["capabilities"]
    else:
        bundle.process["capabilities"] = {"bounding": ["CAP_KILL"]}
    container.started("sleep 1000")
    found = sets(container.exec_ask("caps")[0])
    assert found.pop("bounding") == (KILL if kind == "bounding" else 0)
    assert set(found.values()) == {0}


@with_peers
def test_no_new_privileges(container: Container, bundle: Bundle) -> None:
    bundle.process["noNewPrivileges"] = False
    container.started("sleep 1000")
    assert container.exec_ask("nnp") == ["0"]
    assert container.exec_ask("nnp", flags=["--no-new-privs"]) == ["1"]


@with_peers
@differs(crun="1.8 takes no value")
def test_new_privileges_after_all(running: Container) -> None:
    assert running.exec_ask("nnp") == ["1"]
    assert running.exec_ask("nnp", flags=["--no-new-privs=false"]) == ["0"]


@with_peers
@differs(crun="1.8 takes no rlimits from the config")
def test_rlimits_of_the_container(container: Container, bundle: Bundle) -> None:
    bundle.process["rlimits"] = [{"type": "RLIMIT_CPU", "soft": 60, "hard": 61}]
    container.started("sleep 1000")
    assert container.exec_ask(f"rlimit {resource.RLIMIT_CPU}") == ["60 61"]


@with_peers
@differs(crun="the keyring has the container's id as its name")
def test_session_keyring_is_the_containers(container: Container) -> None:
    container.started("keyring", "sleep 1000")
    assert eventually(container.answers)
    assert container.exec_ask("keyring") == container.answers()
    assert container.answers()[0].endswith(f"_ses.{container.id}")


@with_peers
@differs(runc="what the caller blocks stays blocked")
def test_signals_are_as_at_birth(running: Container) -> None:
    def ignore() -> None:
        for number in (signal.SIGINT, signal.SIGPIPE, signal.SIGUSR1):
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})

    assert running.exec_ask("signals", preexec_fn=ignore) == [""]


@with_peers
@differs(runc="1.1 has no personality")
def test_personality(container: Container, bundle: Bundle) -> None:
    bundle.linux["personality"] = {"domain": "LINUX32"}
    container.started("sleep 1000")
    assert container.exec_ask("machine") == ["i686"]

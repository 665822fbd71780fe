# SPDX-License-Identifier: Apache-2.0
"""What callers say on the command line, and what they read of the answer: beside runc and crun."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from life.bundles import Bundle
from life.runtimes import Container, Result, Runtime, eventually, executable
from needs import needs

pytestmark = needs("root")
with_peers = pytest.mark.with_peers
differs = pytest.mark.differs
pyrun_only = pytest.mark.pyrun_only
Make = Callable[[], Container]


@pytest.fixture
def three(runtime: Runtime, make_container: Make) -> dict[str, Container]:
    """Running containers of the names x-a, x-b and y-b."""
    found = {}
    for name in ("x-a", "x-b", "y-b"):
        container = make_container()
        container.id = name
        found[name] = container.started("sleep 100")
    return found


def living(runtime: Runtime) -> list[str]:
    """The ids of those that have not stopped."""
    lines = runtime("list").out.splitlines()[1:]
    return sorted(line.split()[0] for line in lines if "stopped" not in line)


@with_peers
@differs(runc="has no such flag")
def test_kill_by_regular_expression(runtime: Runtime, three: dict[str, Container]) -> None:
    assert runtime("kill", "--regex", "^x", "KILL").code == 0
    assert eventually(lambda: living(runtime) == ["y-b"])
    # anywhere in the id, and whatever it is that has stopped does not stop the rest
    result = runtime("kill", "-r", "b$", "KILL")
    assert result.code == 0
    assert eventually(lambda: living(runtime) == [])
    for container in three.values():
        assert container.wait() == -signal.SIGKILL


@with_peers
@differs(runc="has no such flag")
def test_delete_by_regular_expression(runtime: Runtime, three: dict[str, Container]) -> None:
    three["x-a"].kill("KILL")
    three["x-a"].wait()
    result = runtime("delete", "-r", "x-(a|b)")
    assert result.code == 0
    assert "running" in result.err or "state" in result.err  # one is left, and that is said
    assert living(runtime) == ["x-b", "y-b"]
    assert "x-a" not in runtime("list", "-q").out
    assert runtime("delete", "--force", "--regex", "[xy]").code == 0
    assert runtime("list", "-q").out == ""


@with_peers
@differs(runc="has no such flag")
@pytest.mark.parametrize("verb", ["kill", "delete"])
def test_regular_expression_without_a_match(
    runtime: Runtime, container: Container, verb: str
) -> None:
    container.created("sleep 100")
    result = runtime(verb, "--regex", "nobody")
    assert (result.code, result.out, result.err) == (0, "", "")
    assert container.status() == "created"


@pyrun_only("crun 1.8 dies of it")
def test_no_regular_expression(runtime: Runtime, container: Container) -> None:
    container.created("sleep 100")
    result = runtime("kill", "--regex", "(", "KILL")
    assert result.code == 1
    assert result.err.startswith("pyrun: --regex: '(' is no regular expression: ")
    assert container.status() == "created"


@with_peers
@differs(crun="1.8 has a form of its own")
def test_forms_of_list(runtime: Runtime, make_container: Make) -> None:
    """Byte for byte as runc's, but for a fraction of the second."""
    assert runtime("list", "--format", "json").out == "null\n"
    empty = "ID          PID         STATUS      BUNDLE      CREATED     OWNER\n"
    assert runtime("list").out == empty
    first, second = make_container(), make_container()
    first.created("sleep 100")
    second.started("sleep 100")
    listed = runtime("list", "--format", "json").out
    assert listed.endswith("}]\n")
    created = [entry["created"] for entry in json.loads(listed)]
    rows = [("ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER")]
    rows += [
        (one.id, str(one.pid), status, str(one.bundle.path), time, "root")
        for one, status, time in zip((first, second), ("created", "running"), created, strict=True)
    ]
    widths = [max(12, *(len(row[i]) + 3 for row in rows)) for i in range(5)]
    lines = ["".join(f"{cell:<{width}}" for cell, width in zip(r, widths, strict=False)) + r[5]
             for r in rows]  # fmt: skip
    assert runtime("list").out == "\n".join(lines) + "\n"
    assert runtime("list", "--quiet").out == f"{first.id}\n{second.id}\n"


@with_peers
@differs(crun="1.8 ends there")
def test_list_goes_on_behind_what_it_cannot_read(runtime: Runtime, make_container: Make) -> None:
    container = make_container().created("sleep 100")
    folder = runtime.root / "0-damaged"
    folder.mkdir(0o700)
    for name in ("state.json", "intent.json", "status"):
        (folder / name).write_text("{")
    result = runtime("list", "-q")
    assert (result.code, result.out) == (0, f"{container.id}\n")
    assert result.err.startswith("load container 0-damaged: ")
    shutil.rmtree(folder)


@with_peers
@differs(runc="has no such flag")
def test_config_is_relative_to_the_caller(
    container: Container, bundle: Bundle, tmp_path: Path
) -> None:
    bundle.say("print other")
    bundle.save()
    (bundle.path / "config.json").rename(tmp_path / "other.json")
    words = ["run", "--bundle", bundle.path, "--config", "other.json", container.id]
    assert container.runtime(*words, cwd=tmp_path).answers() == ["other"]


@with_peers
@differs(runc="has no such flag")
def test_config_by_its_usual_name_is_the_bundle_s(
    container: Container, bundle: Bundle, tmp_path: Path
) -> None:
    bundle.say("print bundle")
    bundle.save()
    words = ["run", "--bundle", bundle.path, "--config", "config.json", container.id]
    assert container.runtime(*words, cwd=tmp_path).answers() == ["bundle"]


@with_peers
@pytest.mark.parametrize("kind", ["private", "rprivate"])
@differs(crun="1.8 takes it")
def test_no_pivot_with_private_propagation(container: Container, bundle: Bundle, kind: str) -> None:
    """What the host unmounts would stay busy in there."""
    bundle.linux["rootfsPropagation"] = kind
    result = container.run("print x", flags=["--no-pivot"])
    assert (result.code, result.out) == (1, "")
    assert "private is not safe without pivot_root" in result.err
    bundle.linux["rootfsPropagation"] = "rslave"
    assert container.run("print x", flags=["--no-pivot"]).answers() == ["x"]


@with_peers
@differs(runc="has no such flag")
def test_spec_of_another_name(runtime: Runtime, tmp_path: Path) -> None:
    """An old one of that name is replaced: the caller has chosen it."""
    for _ in range(2):
        assert runtime("spec", "--bundle", tmp_path, "-f", "my.json").code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["my.json"]
    assert "ociVersion" in json.loads((tmp_path / "my.json").read_text())


@with_peers
def test_spec_goes_over_no_config(runtime: Runtime, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("mine")
    result = runtime("spec", "--bundle", tmp_path)
    assert (result.code, result.out) == (1, "")
    assert "exists" in result.err
    assert (tmp_path / "config.json").read_text() == "mine"


other_code = differs(crun="1.8 has another code")


@with_peers
@pytest.mark.parametrize(
    ("line", "code"),
    [
        pytest.param("nosuchverb", 3, marks=other_code),
        ("create", 1),
        pytest.param("create --nosuchflag c", 1, marks=other_code),
        ("state a b", 1),
        ("kill", 1),
        pytest.param("ps nobody", 1, marks=other_code),
        ("--log-format xml list", 1),
        ("list --format xml", 1),
        ("delete --force nobody", 0),
        pytest.param("--rootless=1 --log-format= list", 0, marks=other_code),
        pytest.param("-log-format json -rootless=F list -format=json -q", 0, marks=other_code),
        pytest.param(
            "list --log-format=json --root ROOT",
            0,
            marks=differs(runc="1.1 takes none behind the verb", crun="takes none behind the verb"),
        ),
        pytest.param("--criu /usr/sbin/criu list", 0, marks=other_code),
        pytest.param("h list", 0, marks=other_code),
        pytest.param("help", 0, marks=other_code),
    ],
)
def test_exit_codes(runtime: Runtime, line: str, code: int) -> None:
    result = runtime(*line.replace("ROOT", str(runtime.root)).split())
    assert result.code == code
    assert bool(result.err) is bool(code)


@with_peers
@differs(runc="has no such flags")
@pytest.mark.parametrize("flag", ["-V", "-?", "--usage"])
def test_flags_of_crun(runtime: Runtime, flag: str) -> None:
    result = runtime(flag)
    assert (result.code, result.err) == (0, "")
    name = runtime.name
    expected = {"-V": f"{name} version ", "-?": f"Usage: {name} ", "--usage": f"Usage: {name} "}
    assert result.out.startswith(expected[flag])


@needs("runc")
def test_version_by_the_name_of_runc(tmp_path: Path) -> None:
    """As go-runc and Docker read it: the program, then a commit and the specification."""
    link = tmp_path / "runc"
    link.symlink_to(executable("pyrun"))
    ours, theirs = (
        subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout
        for path in (link, executable("runc"))
    )
    for text in (ours, theirs):
        assert re.match(r"runc version \d+\.\d+\.\d+\S*\n(commit: \S+\n)?spec: \d+\.", text)
        assert text.count("version") == 1
    assert subprocess.run([link, "nosuchverb"], capture_output=True).returncode == 3


LOG_SCRIPT = """
mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/journal && touch /run/systemd/journal/socket &&
mount --bind "$0/journal" /run/systemd/journal/socket &&
mount -t tmpfs tmpfs /dev && mknod -m 666 /dev/null c 1 3 && mknod -m 666 /dev/urandom c 1 9 &&
touch /dev/log && mount --bind "$0/syslog" /dev/log && exec "$@"
"""


@pytest.fixture
def machine_log(tmp_path: Path) -> Iterator[dict[str, socket.socket]]:
    """Who listens where the journal and syslog would."""
    found = {}
    for name in ("journal", "syslog"):
        found[name] = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        found[name].bind(str(tmp_path / name))
        (tmp_path / name).chmod(0o666)
        found[name].settimeout(5)
    yield found
    for one in found.values():
        one.close()


def failing(runtime: Runtime, folder: Path, *options: str) -> Result:
    """A verb that fails, where the sockets in `folder` are the machine's log."""
    prefix = ["unshare", "--mount", "sh", "-c", LOG_SCRIPT, str(folder)]
    # runc makes a file of that name
    result = runtime("state", "nobody", options=options, prefix=prefix, cwd=folder)
    assert result.code == 1
    assert "nobody" in result.err
    return result


@with_peers
@differs(runc="takes it for a file")
@pytest.mark.parametrize("form", ["text", "json"])
def test_log_in_the_journal(
    runtime: Runtime, tmp_path: Path, machine_log: dict[str, socket.socket], form: str
) -> None:
    failing(runtime, tmp_path, "--log=journald:box-1", "--log-format", form)
    lines = machine_log["journal"].recv(65536).decode().splitlines()
    fields = dict(line.split("=", 1) for line in lines)
    assert fields["PRIORITY"] == "3"
    assert fields["SYSLOG_IDENTIFIER"] == runtime.name
    if runtime.name == "pyrun":  # crun 1.8 writes (null) there
        assert fields["ID"] == "box-1"
    message = fields["MESSAGE"]
    assert "nobody" in (json.loads(message)["msg"] if form == "json" else message)


@with_peers
@differs(runc="takes it for a file")
def test_log_to_syslog(
    runtime: Runtime, tmp_path: Path, machine_log: dict[str, socket.socket]
) -> None:
    failing(runtime, tmp_path, "--log=syslog:box-1")
    text = machine_log["syslog"].recv(65536).decode()
    assert re.match(r"<11>\w{3} [ \d]\d \d\d:\d\d:\d\d box-1: .*nobody", text)


@with_peers
@differs(runc="takes it for a name")
def test_log_to_a_file_with_its_kind(runtime: Runtime, tmp_path: Path) -> None:
    options = [f"--log=file:{tmp_path}/log", "--log-format=json"]
    assert runtime("state", "nobody", options=options, cwd=tmp_path).code == 1
    assert "nobody" in json.loads((tmp_path / "log").read_text())["msg"]


@pyrun_only("crun 1.8 goes on without a word")
@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("journald:x", "/run/systemd/journal/socket: no such file or directory"),
        ("syslog:x", "no /dev/log"),
    ],
)
def test_log_that_nobody_takes(runtime: Runtime, name: str, why: str) -> None:
    hidden = "mount -t tmpfs tmpfs /run; mount -t tmpfs tmpfs /dev; mknod /dev/null c 1 3; "
    prefix = ["unshare", "--mount", "sh", "-c", f'{hidden}exec "$@"', "sh"]
    result = runtime("list", options=["--log", name], prefix=prefix)
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith(f"pyrun: --log {name}: {why}: ")


@pyrun_only("runc as well, but at a place of its own")
def test_root_below_the_user_s_runtime_folder_is_kept(container: Container, tmp_path: Path) -> None:
    """The sticky bit keeps it from being cleared away: the XDG base directory specification."""
    container.bundle.say("print x")
    container.bundle.save()
    env = {"XDG_RUNTIME_DIR": str(tmp_path), "USER": "somebody", "PATH": os.environ["PATH"]}
    # in a user namespace, root is somebody without privileges
    prefix = ["unshare", "--user", "--map-root-user"]
    command = [*prefix, executable("pyrun"), "create", "--bundle", container.bundle.path, "x"]
    subprocess.run(command, env=env, capture_output=True)
    assert (tmp_path / "pyrun").stat().st_mode & 0o7777 == 0o1700


@with_peers
def test_created_container_outlives_its_caller(container: Container) -> None:
    """Who calls may have the runtime die with it (PR_SET_PDEATHSIG): not so what was created."""
    container.created("sleep 100", prefix=["setpriv", "--pdeathsig", "KILL"])
    assert container.start(prefix=["setpriv", "--pdeathsig", "KILL"]).code == 0
    assert container.status() == "running"


@with_peers
def test_caller_that_dies_ends_the_runtime_in_the_foreground(container: Container) -> None:
    """As under buildkit: the container goes on, and anybody can take it away."""
    container.bundle.say("sleep 100")
    container.bundle.save()
    words = container.runtime.command("run", "--bundle", container.bundle.path, container.id)
    script = 'setpriv --pdeathsig KILL "$@" & echo $!; read x'
    caller = subprocess.Popen(
        ["sh", "-c", script, "sh", *words],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert caller.stdin
    assert caller.stdout
    with caller.stdout:
        runtime_pid = int(caller.stdout.readline())
    assert eventually(lambda: container.runtime("state", container.id).code == 0)
    assert eventually(lambda: container.status() == "running")
    caller.kill()
    caller.wait()
    caller.stdin.close()
    assert os.waitpid(runtime_pid, 0)[1] == signal.SIGKILL  # we are the subreaper
    assert container.status() == "running"
    assert container.delete("--force").code == 0

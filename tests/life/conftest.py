# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the tests with real containers, and which runtimes a test runs with.

RUNTIME=pyrun|runc|crun|all (or --runtime) chooses; by default every test runs with pyrun, and those
marked @with_peers with the distribution's runc and crun besides. Where a peer of Debian 12 does
something else, @differs(runc="why") says so: the test must fail there, so the remark stays true.
With another release it may. A test that asks for what is pyrun's own is marked @pyrun_only("what").
On which ways a test goes with pyrun: ways.py.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

import needs
from life import hierarchies, leftovers, systemd_units, ways
from life.bundles import FOLDERS, Bundle
from life.checkpoints import Saved
from life.exec_steps import end
from life.live import Inside
from life.ordinary_user import NAME, User
from life.runtimes import NAMES, Container, Result, Runtime, eventually, unknown_release
from life.templates import Joiner, confined

PAYLOAD = Path(__file__).parent.parent / "payload"
LIMIT = 120  # seconds
_numbers = itertools.count()


def pytest_configure(config: pytest.Config) -> None:
    """The markers above."""
    for line in (
        "with_peers: runs with runc and crun too, by default",
        "differs(**reasons): peers that this test must fail with, and why",
        "pyrun_only(what): no peer has it",
        *ways.MARKERS,
    ):
        config.addinivalue_line("markers", line)


def _chosen(config: pytest.Config) -> str:
    return str(config.getoption("--runtime") or os.environ.get("RUNTIME") or "")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each runtime that it is to run with."""
    if "runtime_course" not in metafunc.fixturenames:
        return
    node, chosen = metafunc.definition, _chosen(metafunc.config)
    if chosen and chosen not in (*NAMES, "all"):
        raise pytest.UsageError(f"RUNTIME: {chosen} is none of {', '.join(NAMES)}, all")
    if "runtime_name" not in metafunc.fixturenames:
        metafunc.parametrize(
            "runtime_course", [pytest.param(c, id=c or "as it is") for c in ways.courses(node)]
        )
        return
    names: tuple[str, ...] = (chosen or "pyrun",)
    if chosen == "all" or (not chosen and node.get_closest_marker("with_peers")):
        names = NAMES
    if node.get_closest_marker("pyrun_only"):
        names = ("pyrun",)
    parameters = [
        pytest.param(name, "", id=name, marks=[] if name == "pyrun" else [needs.needs(name)])
        for name in names
    ]
    if "pyrun" in names:
        more = ways.courses(node)[1:]
        parameters += [pytest.param("pyrun", course, id=f"pyrun-{course}") for course in more]
    metafunc.parametrize(("runtime_name", "runtime_course"), parameters)


@pytest.fixture(scope="session")
def place() -> Iterator[Path]:
    """A folder that everybody may enter: other users are roots of containers here."""
    path = Path(tempfile.mkdtemp(prefix="pyrun-life-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def payload(place: Path) -> Path:
    """The static program that runs in the containers: tests/payload, or $PYRUN_PAYLOAD where there
    is no compiler."""
    path = place / "payload"
    if given := os.environ.get("PYRUN_PAYLOAD"):
        shutil.copy(given, path)
        return path
    flags = ["-std=c17", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-O1", "-static"]
    subprocess.run(["cc", *flags, "-o", path, *sorted(PAYLOAD.glob("*.c"))], check=True)
    return path


@pytest.fixture(scope="module")
def for_crun(subreaper: None) -> None:
    """A hybrid host as crun 1.8 takes it."""
    leftovers.hugetlb_for_crun()


@pytest.fixture(scope="module", autouse=True)
def subreaper() -> Iterator[None]:
    """Whatever a runtime leaves becomes our child, and what it mounts is seen by nobody else."""
    leftovers.become_subreaper(yes=True)
    with leftovers.own_view() if os.geteuid() == 0 else contextlib.nullcontext():
        yield
        leftovers.remove_parents()
    leftovers.become_subreaper(yes=False)


@pytest.fixture(scope="module", params=hierarchies.VIEWS)
def each_view(request: pytest.FixtureRequest, subreaper: None) -> Iterator[None]:
    """On the cgroups of the host, and on v2 alone: for modules that say so."""
    with hierarchies.view(request.param):
        yield


def _too_long(_number: int, _frame: object) -> None:
    raise TimeoutError(f"a test took longer than {LIMIT} seconds")


@pytest.fixture(autouse=True)
def time_limit() -> Iterator[None]:
    """Of every test here, whatever it waits for."""
    before = signal.signal(signal.SIGALRM, _too_long)
    # And again, should it then hang in tidying up.
    signal.setitimer(signal.ITIMER_REAL, LIMIT, LIMIT / 4)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def way(runtime_course: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of every pyrun that the test starts."""
    if runtime_course == "python":
        monkeypatch.setenv("PYRUN_NO_FAST", "1")


@pytest.fixture
def runtime(
    runtime_name: str, runtime_course: str, way: None, place: Path, request: pytest.FixtureRequest
) -> Iterator[Runtime]:
    """The runtime under test, with an empty state folder of its own."""
    if runtime_name == "crun":
        request.getfixturevalue("for_crun")
    root = Path(tempfile.mkdtemp(prefix="state-", dir=place))
    yield Runtime(runtime_name, root, runtime_course)
    shutil.rmtree(root, ignore_errors=True)


@pytest.fixture
def allow(subreaper: None, tmp_path: Path) -> Iterator[Callable[..., None]]:
    """Writes root's list of annotations, in an /etc that nobody but us sees."""
    upper, work = tmp_path / "etc-upper", tmp_path / "etc-work"
    upper.mkdir()
    work.mkdir()
    options = f"lowerdir=/etc,upperdir={upper},workdir={work}"
    subprocess.run(["mount", "-t", "overlay", "-o", options, "overlay", "/etc"], check=True)

    def write(*names: str) -> None:
        path = Path("/etc/pyrun/annotations.json")
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"allow": names}))

    yield write
    subprocess.run(["umount", "/etc"], check=True)


@pytest.fixture
def leaves_nothing(
    runtime: Runtime, subreaper: None, request: pytest.FixtureRequest
) -> Iterator[None]:
    """After the test the host is as it was before. What is left fails the test."""
    before = leftovers.look([runtime.root])
    yield
    left = leftovers.wait_until_clean(before, [runtime.root])
    leftovers.clear()
    if left and not request.node.get_closest_marker("xfail"):
        pytest.fail("left behind:\n" + "\n".join(left), pytrace=False)


@pytest.fixture
def make_bundle(place: Path, payload: Path) -> Iterator[Callable[[], Bundle]]:
    """Bundles, each with a name that is an id as well."""
    folder = Path(tempfile.mkdtemp(prefix="bundles-", dir=place))
    folder.chmod(0o755)

    def make() -> Bundle:
        name = f"life-{os.getpid()}-{next(_numbers)}"
        (folder / name).mkdir()
        return Bundle(folder / name, payload, f"/{leftovers.PARENT}/{name}")

    yield make
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def make_container(
    runtime: Runtime, make_bundle: Callable[[], Bundle], leaves_nothing: None
) -> Iterator[Callable[[], Container]]:
    """Containers, each with a bundle of its own; deleted by force after the test."""
    made: list[Container] = []

    def make() -> Container:
        bundle = make_bundle()
        made.append(Container(runtime, bundle, bundle.path.name))
        return made[-1]

    yield make
    for container in made:
        container.delete("--force")


@pytest.fixture
def container(make_container: Callable[[], Container]) -> Container:
    """One container."""
    return make_container()


@pytest.fixture
def bundle(container: Container) -> Bundle:
    """Its bundle."""
    return container.bundle


@pytest.fixture
def joiner(container: Container) -> Joiner:
    """A confined container that runs, for processes that join."""
    return confined(container)


@pytest.fixture
def no_unit_left() -> Iterator[None]:
    """Neither a unit nor its cgroup, after the other fixtures have deleted the containers."""
    yield
    assert eventually(lambda: not systemd_units.left()), systemd_units.left()


@pytest.fixture
def in_our_slice(no_unit_left: None, bundle: Bundle) -> None:
    """The container's place when systemd makes its cgroup."""
    bundle.linux["cgroupsPath"] = f"{systemd_units.SLICE}:life:{bundle.path.name}"


@pytest.fixture
def inside(container: Container) -> Iterator[Inside]:
    """One that does what it is told while it runs."""
    found = Inside(container)
    found.ask("print up")
    yield found
    found.end()


@pytest.fixture
def running(container: Container) -> Container:
    """A container whose own program does nothing."""
    return container.started("sleep 1000")


@pytest.fixture
def detached(container: Container) -> Iterator[Callable[..., int]]:
    """exec --detach into the container; the pid. Who takes orphans in, as an engine's shim or we,
    has to reap them: until then the container's pid namespace can't end."""
    begun: list[int] = []

    def start(*verbs: str, flags: Sequence[str | Path] = ()) -> int:
        pid_file = container.bundle.path / "exec.pid"
        result = container.exec(*verbs, flags=["--detach", "--pid-file", pid_file, *flags])
        assert (result.code, result.err) == (0, "")
        begun.append(int(pid_file.read_text()))
        return begun[-1]

    yield start
    for pid in begun:
        end(pid)


@pytest.fixture
def saved(container: Container, monkeypatch: pytest.MonkeyPatch) -> Iterator[Saved]:
    """A container that can be checkpointed: its runtime finds a criu that works."""
    monkeypatch.setenv("PATH", f"{needs.criu_folder()}:{os.environ['PATH']}")
    found = Saved(container)
    yield found
    found.close()


@pytest.fixture
def pod() -> Iterator[int]:
    """A process with namespaces of its own of all kinds; its pid."""
    kinds = "--user --mount --pid --net --ipc --uts --cgroup --time"
    process = subprocess.Popen(
        ["unshare", *kinds.split(), "--boottime=5000", "--fork", "--kill-child", "sleep", "100"]
    )
    place = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    assert eventually(lambda: place.read_text().split())
    pid = int(place.read_text().split()[0])
    assert eventually(lambda: Path(f"/proc/{pid}/comm").read_text() == "sleep\n")
    for name in ("uid_map", "gid_map"):
        Path(f"/proc/{pid}/{name}").write_text("0 100000 65536\n")
    yield pid
    process.kill()
    process.wait()
    assert eventually(lambda: leftovers.is_reaped(pid))


@pytest.fixture(scope="module")
def account() -> Iterator[pwd.struct_passwd]:
    """An account with ranges in /etc/subuid and /etc/subgid, as useradd makes it."""
    subprocess.run(["useradd", "--no-create-home", NAME], check=True, capture_output=True)
    added = []
    for path in map(Path, ("/etc/subuid", "/etc/subgid")):
        if not path.exists() or f"{NAME}:" not in path.read_text():
            with path.open("a") as file:
                file.write(f"{NAME}:700000:65536\n")
            added.append(path)
    yield pwd.getpwnam(NAME)
    subprocess.run(["userdel", NAME], check=True, capture_output=True)
    for path in added:
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(line for line in lines if not line.startswith(f"{NAME}:")))


@pytest.fixture
def user(account: pwd.struct_passwd, place: Path, payload: Path, way: None) -> Iterator[User]:
    """With `spec --rootless` done; nothing of it is left afterwards."""
    home = place / "home"
    rootfs = home / "bundle/rootfs"
    for folder in FOLDERS:
        (rootfs / folder).mkdir(parents=True)
    (home / "run").mkdir(mode=0o700)
    shutil.copy(payload, rootfs / "payload")
    for folder, _, names in os.walk(home):
        for name in (".", *names):
            os.chown(os.path.join(folder, name), account.pw_uid, account.pw_gid)
    found = User(account, home)
    before = leftovers.look([home / "run/pyrun"])
    done = found("spec", "--rootless")
    assert done == Result(0, "", "")
    yield found
    left = leftovers.wait_until_clean(before, [home / "run/pyrun"])
    leftovers.clear()
    shutil.rmtree(home)
    assert left == []


@contextlib.contextmanager
def _loaded(place: Path, name: str) -> Iterator[str]:
    """A profile of AppArmor that allows everything but to write below /data."""
    rules = "file, capability, network, mount, signal, ptrace, unix, deny /data/** w,"
    source = place / name
    source.write_text(f"profile {name} flags=(attach_disconnected) {{ {rules} }}\n")
    subprocess.run(["apparmor_parser", "--replace", "--skip-cache", source], check=True)
    yield name
    subprocess.run(["apparmor_parser", "--remove", source], check=True)


@pytest.fixture
def profile(place: Path) -> Iterator[str]:
    """A profile that allows everything but to write below /data."""
    with _loaded(place, "pyrun-test") as name:
        yield name


@pytest.fixture
def other_profile(place: Path) -> Iterator[str]:
    """The same by another name."""
    with _loaded(place, "pyrun-test-other") as name:
        yield name


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What all of these tests need, and what a peer does not do or nobody asked for."""
    ways.select(config, items)
    if _chosen(config) in {"runc", "crun"}:
        ours = [item for item in items if item.get_closest_marker("pyrun_only")]
        config.hook.pytest_deselected(items=ours)
        items[:] = [item for item in items if item not in ours]
    for item in items:
        if "runtime_name" not in getattr(item, "fixturenames", ()):
            continue
        item.add_marker(needs.needs("root", "cc"))
        assert isinstance(item, pytest.Function)
        name = str(item.callspec.params["runtime_name"])
        reasons = {k: v for mark in item.iter_markers("differs") for k, v in mark.kwargs.items()}
        if unknown := unknown_release(name):
            item.add_marker(pytest.mark.xfail(reason=unknown, strict=False))
        elif name in reasons:
            item.add_marker(pytest.mark.xfail(reason=f"{name}: {reasons[name]}", strict=True))

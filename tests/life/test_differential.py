# SPDX-License-Identifier: Apache-2.0
"""The same config with pyrun, runc and crun: each refuses it or none, the program ends alike, and
sees the same. KNOWN has what they are known to do differently, and why."""

from __future__ import annotations

import copy
import itertools
import os
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from os.path import normpath
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from fuzzing import short
from life import leftovers
from life.bundles import Bundle
from life.drawn_configs import CONFIGS, Config, merged
from life.mountinfo import Mount
from life.runtimes import NAMES, Container, Runtime
from needs import needs

pytestmark = [needs("root", "cc", "runc", "crun")]

# What the program looks at, by the verb of tests/payload.
VIEWS = (
    "id", "umask", "cwd", "env", "caps", "nnp", "hostname", "domainname", "rlimit 7", "rlimit 4",
    "rlimit 13", "cat /proc/self/oom_score_adj", "status Seccomp", "network", "signals", "keyring",
    "stat /data", "stat /etc", "stat /dev/odd", "stat /dev/deep/odd", "stat /dev/null", "ls /",
    "ls /dev", "ls /data", "ls /proc/sys", "write /etc/x y", "write /x y", "write /data/x y",
    "open /proc/sys/kernel/shmmax w", "cat /proc/sys/kernel/shmmax",
    "cat /proc/sys/net/ipv4/ip_forward", "cat /proc/sys/fs/mqueue/msg_max", "mounts",
)  # fmt: skip
SETS = ("bounding", "effective", "permitted", "inheritable", "ambient")
_numbers = itertools.count()


class Known(NamedTuple):
    """A peer ("*": both) differs in a view (or in "end") of such a config, and why."""

    peer: str
    view: str
    when: Callable[[Config, str], Any]
    why: str

    def covers(self, peer: str, view: str, drawn: Config) -> bool:
        """Whether this is it; `peer` and `view` of it are patterns."""
        return bool(
            fnmatchcase(peer, self.peer) and fnmatchcase(view, self.view) and self.when(drawn, view)
        )


def always(_drawn: Config, _view: str) -> bool:
    return True


def at(drawn: Config, pointer: str) -> Any:
    """A member of a member, [] where there is none."""
    value: Any = drawn
    for name in pointer.split("/"):
        value = value.get(name) or {}
    return value or []


def masked(drawn: Config, view: str) -> bool:
    """The place that is looked at, or a folder above it, is masked."""
    place = view.split()[1]
    return any(f"{place}/".startswith(f"{path}/") for path in at(drawn, "linux/maskedPaths"))


def another_device(drawn: Config, _view: str) -> bool:
    """Two that differ have the same path."""
    found: dict[str, set[tuple[Any, ...]]] = {}
    for entry in at(drawn, "linux/devices"):
        kind = (entry["type"], entry["major"], entry["minor"])
        found.setdefault(entry["path"], set()).add(kind)
    return any(len(kinds) > 1 for kinds in found.values())


def limited_twice(drawn: Config, _view: str) -> bool:
    """Two limits of one resource."""
    kinds = [limit["type"] for limit in at(drawn, "process/rlimits")]
    return len(set(kinds)) < len(kinds)


def group_twice(drawn: Config, _view: str) -> bool:
    """One group is listed twice."""
    groups = at(drawn, "process/user/additionalGids")
    return len(set(groups)) < len(groups)


def both(drawn: Config, view: str) -> bool:
    """A mount there is to be read-only and not."""
    return any({"ro", "rw"} <= {*entry.get("options", ())} for entry in mounts_at(drawn, view))


def has_mode(drawn: Config, view: str) -> bool:
    """A mount there has a mode."""
    return any("mode=700" in entry.get("options", ()) for entry in mounts_at(drawn, view))


def over_another(drawn: Config, view: str) -> bool:
    """A mount lies over another there, of which only one is read-only."""
    found = ["ro" in entry.get("options", ()) for entry in mounts_at(drawn, view)]
    return len(set(found)) > 1


def mounts_at(drawn: Config, view: str) -> list[Config]:
    """The entries of mounts on the place of a view, or on its folder."""
    place = view.split()[1]

    def there(destination: str) -> bool:
        return place in (destination, f"{destination}/x")

    return [entry for entry in at(drawn, "mounts") if there(normpath(entry["destination"]))]


def covered(drawn: Config, view: str) -> bool:
    """A tmpfs is mounted there, of no mode in particular."""
    return any(
        not any(option.startswith("mode=") for option in entry.get("options", ()))
        for entry in mounts_at(drawn, view)
    )


def not_granted(drawn: Config, _view: str) -> bool:
    """A capability is asked for that another set, which it has to be in as well, is without."""
    sets = at(drawn, "process/capabilities")
    held = {name: set(sets.get(name, ()) if sets else ()) for name in SETS}
    return not (
        held["effective"] <= held["permitted"]
        and held["inheritable"] <= held["bounding"]
        and held["ambient"] <= held["permitted"] & held["inheritable"]
    )


KNOWN = (
    Known("*", "end", not_granted, "refuse it: by the spec, a runtime should not fail for that"),
    Known("*", "end", another_device, "take the first of two devices: by the spec, an error"),
    Known("*", "end", limited_twice, "take two limits of one resource: by the spec, an error"),
    Known("*", "mount *", masked, "leave nosuid, nodev and noexec off a mask"),
    Known("*", "stat *", masked, "anybody may write in their masks, were these not read-only"),
    Known(
        "crun",
        "mount *",
        lambda c, v: v.split()[1] in at(c, "linux/readonlyPaths"),
        "takes nosuid, nodev and noexec off what it makes read-only",
    ),
    Known("crun", "stat *", covered, "gives a tmpfs mode 1777, not that of the folder below it"),
    Known("crun", "write *", covered, "as above: anybody may write"),
    Known("crun", "mount *", both, "keeps ro where rw follows"),
    Known("crun", "write *", both, "as above"),
    Known("runc", "stat *", has_mode, "gives a tmpfs the folder's mode, whatever its own is"),
    Known("runc", "mount *", over_another, "makes read-only what is uppermost in the end"),
    Known("runc", "write *", over_another, "as above"),
    Known("runc", "id", group_twice, "sets a group once that is listed twice"),
    Known("crun", "keyring", always, "leaves its user no right to search the session keyring"),
    Known("crun", "ls /dev", always, "makes /dev/core also where no /proc/kcore is"),
    Known("runc", "domainname", lambda c, _: at(c, "domainname"), "1.1.5 knows no domainname"),
)


class Seen(NamedTuple):
    """How a run went: "refused", or the program's exit code, and each view's answer."""

    end: str
    views: dict[str, Any]
    words: str


def normal(view: str, answer: str) -> Any:
    """An answer without what differs from run to run."""
    if view == "keyring":
        return answer.rpartition(";")[0]
    if view == "env":
        return sorted(answer.splitlines())
    return answer


class Trio:
    """The three of them below one folder."""

    def __init__(self, place: Path, payload: Path) -> None:
        self.place, self.payload = place, payload
        self.runtimes = [Runtime(name, place / f"state-{name}") for name in NAMES]
        for runtime in self.runtimes:
            runtime.root.mkdir()

    def run(self, runtime: Runtime, drawn: Config, code: int) -> Seen:
        """The config with one of them, in a root file system of its own."""
        name = f"same-{os.getpid()}-{next(_numbers)}"
        (self.place / name).mkdir()
        bundle = Bundle(self.place / name, self.payload, f"/{leftovers.PARENT}/{name}")
        bundle.config = merged(bundle.config, copy.deepcopy(drawn))
        result = Container(runtime, bundle, name).run(*VIEWS, f"exit {code}")
        runtime("delete", "--force", name)
        answers = result.answers()
        if len(answers) < len(VIEWS):
            return Seen("refused", {}, result.err)
        views = {view: normal(view, text) for view, text in zip(VIEWS, answers, strict=False)}
        entries = [Mount(line) for line in views.pop("mounts").splitlines()]
        views["places"] = sorted(m.place for m in entries)
        for m in entries:
            tags = [tag.partition(":")[0] for tag in m.tags]
            views[f"mount {m.place}"] = (m.kind, sorted(m.options), tags)
        return Seen(str(result.code), views, result.err)

    def differences(self, drawn: Config, code: int) -> list[tuple[str, str, Any, Any]]:
        """(peer, view, what pyrun's program saw, what the peer's did), but for what is known."""
        ours, *others = (self.run(runtime, drawn, code) for runtime in self.runtimes)
        event(ours.end)
        found = []
        for runtime, theirs in zip(self.runtimes[1:], others, strict=True):
            if ours.end != theirs.end:
                found.append((runtime.name, "end", (ours.end, ours.words), theirs[0::2]))
                continue
            for view in {**ours.views, **theirs.views}:
                if ours.views.get(view) != theirs.views.get(view):
                    found.append((runtime.name, view, ours.views.get(view), theirs.views.get(view)))
        return [d for d in found if not any(known.covers(*d[:2], drawn) for known in KNOWN)]


@pytest.fixture(scope="module")
def trio(place: Path, payload: Path, for_crun: None) -> Iterator[Trio]:
    before = leftovers.look([])
    folder = place / "same"
    folder.mkdir()
    folder.chmod(0o755)
    found = Trio(folder, payload)
    yield found
    left = leftovers.wait_until_clean(before, [runtime.root for runtime in found.runtimes])
    leftovers.clear()
    assert left == []


@short(20)
@given(CONFIGS, st.integers(0, 255))
def test_same_config(trio: Trio, drawn: Config, code: int) -> None:
    assert trio.differences(drawn, code) == []

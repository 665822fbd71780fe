# SPDX-License-Identifier: Apache-2.0
"""The configs of the benchmark, and what may be compared of them."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import bundles
import contestants
import least
import process
import pytest
import samework

CONFIG: dict[str, Any] = {
    "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
    "process": {"env": ["PATH=/bin"]},
    "linux": {"namespaces": [{"type": "mount"}]},
}


@pytest.mark.parametrize(
    "change", [bundles.with_mounts, bundles.with_environment, bundles.with_rules]
)
def test_a_config_grows_and_the_given_one_stays(change: Any, tmp_path: Path) -> None:
    before = copy.deepcopy(CONFIG)
    grown = change(CONFIG, tmp_path, 300)
    assert before == CONFIG
    sizes = {
        bundles.with_mounts: lambda: len(grown["mounts"]) - 1,
        bundles.with_environment: lambda: len(set(grown["process"]["env"])) - 1,
        bundles.with_rules: lambda: len(grown["linux"]["seccomp"]["syscalls"]),
    }
    assert sizes[change]() == 300


def test_volumes_are_there(tmp_path: Path) -> None:
    (tmp_path / "rootfs").mkdir()
    bundles.make_volumes(tmp_path)
    for mount in bundles.with_mounts(CONFIG, tmp_path, bundles.MOST_MOUNTS)["mounts"][1:]:
        target = tmp_path / "rootfs" / mount["destination"].lstrip("/")
        source = Path(mount["source"])
        if mount["type"] == "bind":
            assert source.is_file() == target.is_file()
            assert source.is_dir() == target.is_dir()
        else:
            assert target.is_dir()


def test_filters_differ_by_their_mark(tmp_path: Path) -> None:
    one, other = (bundles.with_rules(CONFIG, tmp_path, 400, mark=mark) for mark in (1, 2))
    rules = one["linux"]["seccomp"]["syscalls"]
    assert len({(*rule["names"], rule["args"][0]["value"]) for rule in rules}) == 400
    assert not [rule for rule in rules if rule in other["linux"]["seccomp"]["syscalls"]]


def test_the_profile_has_the_shape_of_an_engines(tmp_path: Path) -> None:
    config = bundles.as_engines_do(CONFIG, tmp_path)
    assert len(config["mounts"]) == 30
    rules = config["linux"]["seccomp"]["syscalls"]
    assert len(rules[0]["names"]) > 350
    assert {"read", "execve", "openat2"} <= set(rules[0]["names"])
    assert not {"mount", "unshare", "bpf"} & set(rules[0]["names"])
    assert len([rule for rule in rules if "args" in rule]) == 7


def runtime(name: str, tmp_path: Path) -> contestants.Runtime:
    return contestants.Runtime(name, f"/bin/{name}", tmp_path, CONFIG)


def test_only_who_did_the_same_work_is_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def observe(one: contestants.Runtime, _commands: object) -> samework.Work:
        if one.name == "broken":
            raise process.CommandError("it broke")
        return {"number of mounts": 3 if one.name == "other" else 2}

    monkeypatch.setattr(samework, "observe", observe)
    monkeypatch.setattr(contestants.Runtime, "clean", lambda _self, _commands: None)
    ours, *peers = (runtime(name, tmp_path) for name in ("ours", "same", "other", "broken"))
    commands: Any = None
    agreed, sentences = samework.agree(ours, peers, commands, "here: ")
    assert [one.name for one in agreed] == ["ours", "same"]
    assert sentences == [
        "here: other did not do the same work: number of mounts: 2 against 3",
        "here: broken does not work here: it broke",
    ]


def test_the_smallest_limit_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a runtime that needs 1004 KiB, and of one that needs more than there is."""
    asked = []

    def runs(one: contestants.Runtime, _commands: object, limit: int) -> bool:
        asked.append(limit)
        return one.name == "small" and limit >= 1004

    monkeypatch.setattr(least, "_runs", runs)
    commands: Any = None
    assert least.smallest(runtime("small", tmp_path), commands) == 1004
    assert {1000, 1004} <= set(asked)
    assert least.smallest(runtime("large", tmp_path), commands) is None

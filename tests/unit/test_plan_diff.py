# SPDX-License-Identifier: Apache-2.0
"""`pyrun plan --diff`: what counts as a difference, and how it is shown."""

from __future__ import annotations

import copy
import difflib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrun import plan_diff, spec_default

Config = dict[str, Any]
Edit = Callable[[Config], Any]


@pytest.fixture
def bundles(tmp_path: Path) -> tuple[Path, Path]:
    """Two that are the same but for where they are."""
    config = spec_default.default(None)
    config["mounts"].append(
        {"destination": "/b", "source": "rootfs/data", "options": ["rbind", "idmap"]}
    )
    found = (tmp_path / "old", tmp_path / "another place")
    for path in found:
        (path / "rootfs/data").mkdir(parents=True)
        (path / "config.json").write_text(json.dumps(config))
    return found


def diff(pyrun: Path, old: Path, new: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [pyrun, "plan", "--bundle", old, "--diff", new, *words]
    return subprocess.run(command, capture_output=True, text=True)


def edited(bundle: Path, edit: Edit) -> None:
    path = bundle / "config.json"
    config = json.loads(path.read_text())
    edit(config)
    path.write_text(json.dumps(config))


def mapped(config: Config) -> None:
    ids = [{"containerID": 0, "hostID": 1000, "size": 1}]
    config["mounts"][-1] |= {"uidMappings": ids, "gidMappings": ids}


@pytest.fixture(autouse=True)
def with_maps(bundles: tuple[Path, Path]) -> None:
    """idmap takes some."""
    for path in bundles:
        edited(path, mapped)


def test_the_same(pyrun: Path, bundles: tuple[Path, Path]) -> None:
    """Wherever they are."""
    done = diff(pyrun, *bundles)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    done = diff(pyrun, bundles[0], bundles[0])
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_an_operation(pyrun: Path, bundles: tuple[Path, Path]) -> None:
    edited(bundles[1], lambda config: config.update(hostname="other"))
    done = diff(pyrun, *bundles)
    assert (done.returncode, done.stderr) == (1, "")
    lines = done.stdout.splitlines()
    assert lines[:2] == [f"--- {bundles[0]}", f"+++ {bundles[1]}"]
    assert lines[2].startswith("@@ -")
    signed = [line for line in lines[3:] if line[0] != " "]
    assert [line.split() for line in signed] == [
        ["-hostname", 'sethostname("runc")'],
        ["+hostname", 'sethostname("other")'],
    ]
    assert len(lines) == 3 + 3 + 2 + 3


EDITS: list[tuple[Edit, str]] = [
    (lambda c: c["linux"].update(resources={"cpu": {"shares": 5}}), "linux.resources.cpu.shares"),
    (lambda c: c.update(annotations={"a.b": "c"}), 'annotations["a.b"]'),
    (lambda c: c.update(hooks={"poststop": [{"path": "/x"}]}), "hooks.poststop[0]"),
    (lambda c: c.update(hooks={"createRuntime": [{"path": "/x"}]}), "hooks.createRuntime[0]"),
    (lambda c: c["mounts"][-1]["uidMappings"][0].update(hostID=7), "mounts[7].uidMappings[0]"),
    (lambda c: c["process"].update(oomScoreAdj=5), "runtime"),
    (lambda c: c["process"]["rlimits"][0].update(soft=5), "process.rlimits[0]"),
    (
        lambda c: c["linux"].update(
            seccomp={
                "defaultAction": "SCMP_ACT_ALLOW",
                "syscalls": [{"names": ["getpid"], "action": "SCMP_ACT_ERRNO"}],
            }
        ),
        "linux.seccomp.syscalls[0]",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("edit", "field"), EDITS, ids=[field for _, field in EDITS])
def test_what_is_no_operation(
    pyrun: Path, bundles: tuple[Path, Path], edit: Edit, field: str
) -> None:
    edited(bundles[1], edit)
    done = diff(pyrun, *bundles)
    assert (done.returncode, done.stderr) == (1, "")
    assert any(line.startswith(f"+{field} ") for line in done.stdout.splitlines())


def test_two_filters_of_one_size(pyrun: Path, bundles: tuple[Path, Path]) -> None:
    for path, name in zip(bundles, ("getpid", "getppid"), strict=True):
        rules = [{"names": [name], "action": "SCMP_ACT_ERRNO"}]
        profile = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules}
        edited(path, lambda config, profile=profile: config["linux"].update(seccomp=profile))
    done = diff(pyrun, *bundles)
    assert done.returncode == 1
    signed = [line for line in done.stdout.splitlines()[3:] if line[0] != " "]
    assert [line.split()[0] for line in signed] == [
        "-linux.seccomp.syscalls[0]",
        "+linux.seccomp.syscalls[0]",
    ]


def test_a_mount_more_is_all_that_differs(pyrun: Path, bundles: tuple[Path, Path]) -> None:
    """Those behind it have other numbers, and the same operations."""
    entry = {"destination": "/data", "source": "/etc", "options": ["rbind", "ro"]}
    edited(bundles[1], lambda config: config["mounts"].insert(2, entry))
    done = diff(pyrun, *bundles)
    signed = [line for line in done.stdout.splitlines()[2:] if line[0] in "+-"]
    assert [line.split()[:2] for line in signed] == [
        ["+mounts[2].source", "open_tree(host,"],
        ["+mounts[2].options", "mount_setattr(tree,"],
        ["+mounts[2]", "make_in_root(root,"],
        ["+mounts[2]", "move_mount(tree,"],
    ]


def test_trouble(pyrun: Path, bundles: tuple[Path, Path], tmp_path: Path) -> None:
    """As diff(1), and which of the two it is about."""
    done = diff(pyrun, bundles[0], tmp_path / "nope")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"pyrun: {tmp_path}/nope: bundle {tmp_path}/nope: no such file")
    done = diff(pyrun, tmp_path / "nope", bundles[0])
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"pyrun: bundle {tmp_path}/nope: no such file")
    edited(bundles[1], lambda config: config.pop("process"))
    done = diff(pyrun, *bundles)
    assert done.returncode == 2
    assert done.stderr.startswith(f"pyrun: {bundles[1]}: config.json /process: ")
    done = diff(pyrun, *bundles, "--json")
    assert (done.returncode, done.stderr) == (
        2,
        "pyrun: --diff and --json do not go together\n",
    )


def test_paths_of_the_bundle() -> None:
    config: Config = {}
    found = {
        "bundle": "/a",
        "rootfs": "/a/root",
        "cgroup": [],
        "clone": "0",
        "donated": ["tree[/a/root]"],
        "seccomp": None,
        "runtime": [],
        "operations": [
            {"field": "", "text": f'open_tree(host, "{path}", 0) = tree'}
            for path in ("/a", "/a/root", "/a/root/x", "/a/rootless", "/ab", "/x/a/root")
        ],
    }
    shown = [what for _, what in plan_diff.rows(found, config)]
    assert shown[:3] == ["none", "0", "tree[ROOTFS]"]
    assert [text.split('"')[1] for text in shown[3:]] == [
        "BUNDLE", "ROOTFS", "ROOTFS/x", "BUNDLE/rootless", "/ab", "/x/a/root",
    ]  # fmt: skip


FIELDS = st.sampled_from(["mounts[0]", "mounts[1].options", "mounts[1]", "hostname", "-"])
ROWS = st.lists(st.tuples(FIELDS, st.sampled_from("abc")), max_size=25)


@given(ROWS, ROWS)
def test_the_difference_leads_from_one_to_the_other(
    old: list[plan_diff.Row], new: list[plan_diff.Row]
) -> None:
    keys = [[plan_diff._key(row) for row in side] for side in (old, new)]
    matcher = difflib.SequenceMatcher(None, *keys, autojunk=False)
    before = copy.deepcopy(matcher.get_opcodes())
    codes = plan_diff._slid(list(matcher.get_opcodes()), old, new)
    rebuilt: list[list[Any]] = [[], []]
    for word, i1, i2, j1, j2 in codes:
        rebuilt[0] += old[i1:i2]
        rebuilt[1] += new[j1:j2]
        if word == "equal":
            assert keys[0][i1:i2] == keys[1][j1:j2]
    assert rebuilt == [old, new]
    assert [code[0] for code in codes] == [code[0] for code in before]
    text = plan_diff.unified(old, new, ("a", "b"))
    assert (text == "") is (keys[0] == keys[1])
    for line in text.splitlines():
        if line.startswith("@@"):
            assert line.count("-") == line.count("+") == 1


@given(ROWS, ROWS)
def test_the_hunks_have_what_diff_would_show(
    old: list[plan_diff.Row], new: list[plan_diff.Row]
) -> None:
    keys = [[plan_diff._key(row) for row in side] for side in (old, new)]
    matcher = difflib.SequenceMatcher(None, *keys, autojunk=False)
    codes = list(matcher.get_opcodes())
    expected = [
        [code for code in group if code[1] < code[2] or code[3] < code[4]]
        for group in matcher.get_grouped_opcodes(plan_diff.AROUND)
    ]
    found = [
        [code for code in hunk if code[1] < code[2] or code[3] < code[4]]
        for hunk in plan_diff._hunks(codes)
    ]
    assert found == expected

# SPDX-License-Identifier: Apache-2.0
"""What the executor adds to a failure's report: what it has seen, and nothing that holds it up."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

from executor import plans, programs
from executor.stage import FLAGS, spawned
from needs import needs
from pyrun import evidence, launch, ops
from pyrun.linux import O_PATH, S_IFDIR, S_IFREG
from pyrun.types import Op

pytestmark = needs("userns")

CONTEXT, TREE, A = 10, 11, 13


def seen_after(operations: list[Op]) -> bytes:
    """The evidence of a plan that fails."""
    with spawned(FLAGS) as child:
        launch.send_plan(child, [("", op) for op in operations], [])
        assert launch._receive(child)[0] == launch.FAILED
        return evidence.receive(child.socket)


def look(operations: list[Op]) -> list[tuple[str, int, bytes]]:
    """(path, errno of looking, content) of each sighting."""
    found = evidence.sightings(seen_after(operations))
    return [(evidence.text(one.path), one.number, one.content) for one in found]


def test_what_the_kernel_says_of_an_option() -> None:
    data = seen_after([ops.fsopen("tmpfs", CONTEXT), ops.fsconfig(CONTEXT, "size", "1x")])
    assert evidence.messages(data) == "tmpfs: Bad value for 'size'"


def test_an_operation_without_any() -> None:
    assert seen_after([ops.fsopen("nosuchfs", CONTEXT)]) == b""


def test_candidates(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/no/such")
    (tmp_path / "file").write_bytes(b"x" * 9000)
    (tmp_path / "file").chmod(0o644)
    os.mkfifo(tmp_path / "fifo", 0o755)
    names = ["absent", "link", "file", "fifo"]
    paths = [str(tmp_path / name) for name in names]
    assert look([ops.find_executable(paths)]) == [
        (paths[1], errno.ENOENT, b"/no/such"),
        (str(tmp_path), 0, b""),
        (paths[2], 0, b"x" * 256),
        (paths[3], 0, b""),
    ]


def test_the_way_to_a_single_one(tmp_path: Path) -> None:
    path = str(tmp_path / "a/b/c")
    assert look([ops.find_executable([path])]) == [
        (path, errno.ENOENT, b""),
        (str(tmp_path), 0, b""),
    ]


def test_interpreters_one_of_another(tmp_path: Path) -> None:
    last = tmp_path / "absent"
    for name, target in (("a", "b"), ("b", "absent")):
        (tmp_path / name).write_text(f"#! \t{tmp_path}/{target} -x\n")
        (tmp_path / name).chmod(0o755)
    path = str(tmp_path / "a")
    found = look([ops.find_executable([path]), ops.execve(["a"], [])])
    assert [name for name, _, _ in found] == [
        path,
        str(tmp_path / "b"),
        str(last),
        str(tmp_path),
    ]
    assert found[2][1] == errno.ENOENT


def test_a_loop_of_interpreters_ends(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text(f"#!{path}\n")
    path.chmod(0o755)
    found = look([ops.find_executable([str(path)]), ops.execve(["a"], [])])
    assert found == [(str(path), 0, path.read_bytes())] * 6


def test_a_mount_point(tmp_path: Path) -> None:
    tree = [
        ops.fsopen("tmpfs", CONTEXT),
        ops.fsmount(CONTEXT, 0, TREE),
        ops.make_in_root(TREE, "/a", S_IFDIR | 0o755, 0, A),
        ops.symlinkat("/a/..", TREE, "link"),
    ]
    assert look([*tree, ops.open_in_root(TREE, "/a/x/y", O_PATH, 0, A)]) == [
        ("/a/x", errno.ENOENT, b""),
    ]
    tree.append(ops.make_in_root(TREE, "/file", S_IFREG | 0o644, 0, A))
    (found,) = evidence.sightings(seen_after([*tree, ops.make_in_root(TREE, "/file/x", 0, 0, A)]))
    assert (found.path, found.mode, found.readable) == (b"/file", S_IFREG | 0o644, False)
    refused = ops.make_in_root(TREE, "//link/x", S_IFDIR, 4, A)  # RESOLVE_NO_SYMLINKS
    assert look([*tree, refused]) == [("//link", errno.ELOOP, b"/a/..")]


def test_more_than_fits(tmp_path: Path) -> None:
    paths = []
    for number in range(40):
        (tmp_path / str(number)).write_bytes(b"x" * 300)
        (tmp_path / str(number)).chmod(0o600)
        paths.append(str(tmp_path / str(number)))
    data = seen_after([ops.find_executable(paths)])
    assert len(data) <= evidence.LIMIT
    assert len(evidence.sightings(data)) > 5


@needs("clang")
def test_fuzz_interpreters(tmp_path: Path) -> None:
    flags = "-fsanitize=fuzzer,address,undefined"
    program = plans.build(tmp_path, "fuzz_evidence.c", flags)
    corpus = tmp_path / "corpus"
    programs.seeds(corpus)
    words = [program, "-seed=1", "-runs=1000000", "-max_len=4096", "-rss_limit_mb=512"]
    done = subprocess.run([*words, corpus], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]

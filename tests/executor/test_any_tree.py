# SPDX-License-Identifier: Apache-2.0
"""make_in_root on trees of any shape, beside a model of what the rules of path_resolution(7) say
when "/" is the tree's root: what is made, where, and what is an error. Nothing outside changes."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from hypothesis import event, example, given
from hypothesis import strategies as st

from executor.stage import run
from executor.test_operations import FILE, FOLDER, TREE, A
from fuzzing import short
from needs import needs
from pyrun import ops
from pyrun.linux import O_DIRECTORY, O_PATH

pytestmark = needs("userns")

Place = tuple[str, ...]
Tree = dict[Place, str]  # "/": a folder; "": a file; else a link's target
LINKS = 40  # that are followed in one path
MARK = "mark"

NAMES = st.sampled_from(["a", "b", "c"])
STEPS = st.one_of(NAMES, NAMES, st.sampled_from(["..", "."]))
PATHS = st.tuples(st.booleans(), st.lists(STEPS, min_size=1, max_size=5)).map(
    lambda parts: "/" * parts[0] + "/".join(parts[1])
)
LEADING_OUT = st.sampled_from(["/outside", "../outside", "../../outside/secret", "/outside/new"])
NODES = st.one_of(st.just("/"), st.just("/"), st.just(""), PATHS, PATHS, LEADING_OUT)


@st.composite
def asked(draw: st.DrawFn) -> tuple[Tree, str]:
    """A tree, and a path that goes through a link in it, where it has one, or that leads out."""
    tree: Tree = {(): "/"}
    for _ in range(draw(st.integers(0, 9))):
        folders = sorted(place for place, node in tree.items() if node == "/")
        place = (*draw(st.sampled_from(folders)), draw(NAMES))
        tree.setdefault(place, draw(NODES))
    links = [place for place, node in tree.items() if node not in ("/", "")]
    begin = draw(st.sampled_from(sorted(links or tree)))
    more = draw(st.lists(STEPS, max_size=3))
    return tree, draw(st.one_of(st.just("/" + "/".join([*begin, *more])), PATHS, LEADING_OUT))


def make(tree: Tree, path: str, kind: int) -> Place:
    """What make_in_root does, to the tree. The place that it opens. Raises OSError."""
    here: Place = ()
    left, links = [step for step in path.split("/") if step], 0
    while left:
        step = left.pop(0)
        if tree[here] != "/":
            raise OSError(errno.ENOTDIR, path)
        if step in (".", ".."):
            here = here[:-1] if step == ".." else here
            continue
        there = (*here, step)
        if there not in tree:
            tree[there] = "/" if left or kind == FOLDER else ""
        if tree[there] in ("/", ""):
            here = there
            continue
        links += 1
        if links > LINKS:
            raise OSError(errno.ELOOP, path)
        left = [step for step in tree[there].split("/") if step] + left
        here = () if tree[there].startswith("/") else here
    return here


def build(tree: Mapping[Place, str], root: Path) -> None:
    """The tree as files."""
    for place, node in tree.items():
        path = root.joinpath(*place)
        if node == "/":
            path.mkdir(exist_ok=True)
        elif node == "":
            path.touch()
        else:
            path.symlink_to(node)


def found(root: Path) -> Tree:
    """The files as a tree."""
    tree: Tree = {(): "/"}
    for folder, folders, files in os.walk(root):
        for name in folders + files:
            path = Path(folder, name)
            node = os.readlink(path) if path.is_symlink() else "/" if path.is_dir() else ""
            tree[path.relative_to(root).parts] = node
    return tree


def chain(count: int) -> Tree:
    """So many links, one to the next, and the last to nothing."""
    return {(): "/", **{(f"l{i}",): f"l{i + 1}" for i in range(count)}}


@short(300)
@given(asked(), st.sampled_from([FOLDER, FILE]))
@example(({(): "/", ("a",): "../../outside"}, "/a/b/c"), FOLDER)
@example(({(): "/", ("a",): "/", ("a", "b"): "/outside"}, "/a/b"), FOLDER)
@example(({(): "/", ("a",): "b/../a"}, "/a/c"), FOLDER)
@example((chain(LINKS), "/l0"), FOLDER)
@example((chain(LINKS + 1), "/l0"), FOLDER)
def test_as_the_model_says(case: tuple[Tree, str], kind: int) -> None:
    tree, path = dict(case[0]), case[1]
    place = Path(tempfile.mkdtemp(prefix="pyrun-tree-"))
    try:
        root = place / "root"
        build(tree, root)
        (place / "outside").mkdir()
        (place / "outside/secret").write_text("of the host")
        steps = [
            ops.open_host(str(root), O_PATH | O_DIRECTORY, TREE),
            ops.make_in_root(TREE, path, kind, 0, A),
            ops.symlinkat("x", A, MARK),  # shows which folder was opened
        ]
        outcome = run(steps)
        failed = None
        try:
            there = make(tree, path, kind)
            if tree[there] == "/":
                tree[*there, MARK] = "x"
            else:
                failed = (2, errno.ENOTDIR, 0)
        except OSError as error:
            failed = (1, error.errno, 0)
        event(f"{failed and errno.errorcode[failed[1]]}")
        assert outcome.failed == failed
        assert found(root) == tree
        assert os.listdir(place / "outside") == ["secret"]
        assert (place / "outside/secret").read_text() == "of the host"
        assert sorted(os.listdir(place)) == ["outside", "root"]
    finally:
        shutil.rmtree(place)

# SPDX-License-Identifier: Apache-2.0
"""make_in_root behind links that lead nowhere: what is made, and that it ends."""

from __future__ import annotations

import errno

import pytest

from executor.stage import END, Outcome, run
from executor.test_operations import FILE, FOLDER, TREE, A, B, tmpfs
from needs import needs
from pyrun import ops
from pyrun.linux import O_DIRECTORY, O_NOFOLLOW, O_PATH

pytestmark = needs("userns")

# path, links to make first (target, name), where it is then
DANGLING = [
    ("/l/x", [("/a/b", "l")], "/a/b/x"),
    ("/l/x", [("a/b", "l")], "/a/b/x"),
    ("/d/l/x", [("../a", "d/l")], "/a/x"),
    ("/d/l/x", [("../../../../a", "d/l")], "/a/x"),  # no higher than the root
    ("/d/l", [("e", "d/l")], "/d/e"),
    ("/l/x", [("m", "l"), ("/d/n", "m"), ("o/", "d/n")], "/d/o/x"),
    ("/l/x", [("a/../b", "l")], "/b/x"),
]


@pytest.mark.parametrize("kind", [FOLDER, FILE])
@pytest.mark.parametrize(("path", "links", "place"), DANGLING)
def test_what_a_link_leads_to_is_made(
    path: str, links: list[tuple[str, str]], place: str, kind: int
) -> None:
    """As /var/run is a link to a /run that the image lacks."""
    made = [*tmpfs(), ops.make_in_root(TREE, "/d", FOLDER, 0, B)]
    for target, name in links:
        folder, _, last = name.rpartition("/")
        made += [ops.open_in_root(TREE, f"/{folder}", O_PATH, 0, B)]
        made += [ops.symlinkat(target, B, last)]
    flags = O_PATH | O_NOFOLLOW | (O_DIRECTORY if kind == FOLDER else 0)
    made += [ops.make_in_root(TREE, path, kind, 0, A), ops.open_in_root(TREE, place, flags, 0, A)]
    assert run(made) == Outcome(None, END << 8, [])


@pytest.mark.parametrize(
    ("links", "number"),
    [
        ([("l", "l")], errno.ELOOP),
        ([("n", "m"), ("m", "n")], errno.ELOOP),
        ([(f"l{i + 1}", f"l{i}") for i in range(60)], errno.ELOOP),
    ],
)
def test_links_in_a_circle(links: list[tuple[str, str]], number: int) -> None:
    made = [*tmpfs(), *(ops.symlinkat(target, TREE, name) for target, name in links)]
    made += [ops.make_in_root(TREE, f"/{links[0][1]}/x", FOLDER, 0, A)]
    assert run(made).failed == (len(made) - 1, number, 0)

# SPDX-License-Identifier: Apache-2.0
"""A root made of layers: what asks for it, what is refused, and the operations."""

from __future__ import annotations

from typing import Any

import pytest

from pyrun import describe
from pyrun.compile import checks, layers, rootfs
from pyrun.compile.donations import donations
from pyrun.errors import Error
from unit.compile.rules import FACTS, Config, listed, spaces, told
from unit.configs import isolated

LAYERS: Config = {
    "pointer": "/annotations/org.pyrun.rootfs.overlay",
    "lowers": ["/bundle/top", "/bundle/rootfs"],
    "upper": "dir",
    "size": "",
    "folder": "/run/pyrun/box/overlay",
    "mode": 0o755,
    "userxattr": False,
}
FIELD = 'annotations["org.pyrun.rootfs.overlay"]'


def noted(**values: str) -> dict[str, str]:
    """Annotations, with _ for a dot in what follows org.pyrun.rootfs."""
    return {f"org.pyrun.rootfs.{key.replace('_', '.')}": text for key, text in values.items()}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", ["a"]),
        ("/a:b/c:d", ["/a", "b/c", "d"]),
        ("a\\:b:c", ["a:b", "c"]),
        ("a\\\\:b", ["a\\", "b"]),
        ("\\a", ["a"]),
        ("", [""]),
        (":", ["", ""]),
        ("a, b", ["a, b"]),
    ],
)
def test_split(text: str, expected: list[str]) -> None:
    assert layers.split(text) == expected


REFUSED = [
    (noted(overlay=""), "overlay", "names no layer"),
    (noted(overlay="a:"), "overlay", "names an empty path"),
    (noted(overlay="a:../b"), "overlay", 'leads out of the bundle: "../b"; write an absolute path'),
    (noted(overlay=":".join("a" * 88)), "overlay", "names 88 layers: at most 87"),
    (noted(overlay="a\0b"), "overlay", "has a NUL in it"),
    (noted(ephemeral="yes"), "ephemeral", 'is true or false, not "yes"'),
    (noted(overlay_upper="disk"), "overlay.upper", "must be dir, tmpfs, or tmpfs:SIZE"),
    (noted(overlay_upper="tmpfs:"), "overlay.upper", "must be dir, tmpfs, or tmpfs:SIZE"),
    (noted(overlay_upper="tmpfs:k"), "overlay.upper", "must be dir, tmpfs, or tmpfs:SIZE"),
    (noted(overlay_upper="dir:1m"), "overlay.upper", "must be dir, tmpfs, or tmpfs:SIZE"),
    (noted(lower="a"), "lower", "is unknown"),
]


@pytest.mark.parametrize(("annotations", "key", "message"), REFUSED)
def test_annotations_that_are_refused(annotations: dict[str, str], key: str, message: str) -> None:
    [(pointer, text)] = checks.problems({**isolated(), "annotations": annotations})
    assert pointer == f"/annotations/org.pyrun.rootfs.{key}"
    assert text.startswith(message)


def test_layers_need_a_mount_namespace() -> None:
    config = {**isolated(), "annotations": noted(ephemeral="true")}
    assert checks.problems(config) == []
    config["linux"]["namespaces"] = [{"type": "pid"}]
    message = "needs a mount namespace in linux.namespaces"
    assert checks.problems(config) == [("/annotations/org.pyrun.rootfs.ephemeral", message)]
    config["annotations"] = noted(ephemeral="false", overlay_upper="tmpfs")
    assert checks.problems(config) == []
    with pytest.raises(Error, match="need a mount namespace"):
        layers.asked(config, {"ephemeral": True})


ASKED: list[tuple[dict[str, str], Config, Any]] = [
    ({}, {}, None),
    (noted(ephemeral="false"), {}, None),
    (noted(overlay_upper="tmpfs"), {}, None),
    (noted(ephemeral="true"), {}, ("/annotations/org.pyrun.rootfs.ephemeral", [], "dir", "")),
    (
        noted(overlay="a:/b", overlay_upper="tmpfs:64m"),
        {},
        ("/annotations/org.pyrun.rootfs.overlay", ["a", "/b"], "tmpfs", "64m"),
    ),
    ({}, {"ephemeral": True}, ("/root/path", [], "dir", "")),
    (
        noted(overlay="a", overlay_upper="tmpfs:64m"),
        {"overlay": "b:c", "overlay_upper": "dir"},
        ("/root/path", ["b", "c"], "dir", ""),
    ),
    (noted(overlay="a"), {"ephemeral": True}, ("/root/path", ["a"], "dir", "")),
]


@pytest.mark.parametrize(("annotations", "opts", "expected"), ASKED)
def test_asked(annotations: dict[str, str], opts: Config, expected: Any) -> None:
    """Flags win over annotations."""
    found = layers.asked({**isolated(), "annotations": annotations}, opts)
    keys = ("pointer", "layers", "upper", "size")
    assert (found and tuple(found[key] for key in keys)) == expected


def told_layers(**unusual: Any) -> list[str]:
    steps = layers.make({**LAYERS, **unusual})
    return [f"{describe.field(pointer)}: {describe.line(op, [])}" for pointer, op in steps]


OVERLAY = f"""{FIELD}: open_host("/run/pyrun/box/overlay", O_DIRECTORY|O_PATH) = target
    {FIELD}: fchdir(target)
    {FIELD}: fsopen("overlay") = context
    {FIELD}: fsconfig(context, "source", "overlay")
    {FIELD}: fsconfig(context, "lowerdir", "0:1")
    {FIELD}: fsconfig(context, "upperdir", "top/upper")
    {FIELD}: fsconfig(context, "workdir", "top/work")
    {FIELD}: fsconfig(context, "volatile", none)
    {FIELD}: fsmount(context, 0) = root"""
TMPFS = f"""{FIELD}: fsopen("tmpfs") = context
    {FIELD}: fsconfig(context, "source", "tmpfs")
    {FIELD}: fsconfig(context, "mode", "700")
    {FIELD}: fsconfig(context, "size", "64m")
    {FIELD}: fsmount(context, MOUNT_ATTR_NOSUID|MOUNT_ATTR_NODEV|MOUNT_ATTR_NOEXEC) = tree
    {FIELD}: open_host("/run/pyrun/box/overlay/top", O_DIRECTORY|O_PATH) = target
    {FIELD}: move_mount(tree, target)
    {FIELD}: make_in_root(tree, "/upper", S_IFDIR|0755, 0) = target
    {FIELD}: make_in_root(tree, "/work", S_IFDIR|0700, 0) = target"""


def test_operations() -> None:
    assert told_layers() == listed(OVERLAY)
    assert told_layers(upper="tmpfs", size="64m") == listed(f"{TMPFS}\n{OVERLAY}")
    unsized = [line for line in listed(f"{TMPFS}\n{OVERLAY}") if '"size"' not in line]
    assert told_layers(upper="tmpfs") == unsized


def test_in_a_user_namespace_marks_are_user_attributes() -> None:
    found = told_layers(userxattr=True)
    assert found.index(f'{FIELD}: fsconfig(context, "userxattr", none)') == 7


def test_most_layers_fit_in_255_bytes() -> None:
    """What fsconfig(2) takes of a string."""
    config = {"lowers": ["/x"] * (layers.MOST + 1)}
    [value] = [
        op[1][2]
        for _, op in layers.make({**LAYERS, **config})
        if op[0] == "fsconfig" and op[1][1] == "lowerdir"
    ]
    assert isinstance(value, str)
    assert len(value) <= 255 < len(value) + 3


APART = [
    (spaces("mount"), True, False),
    (spaces("mount", "user"), True, True),
    (spaces("mount", "user"), False, False),  # its init does it, with what rights it has
    (spaces("mount@/m"), True, True),
    (spaces("mount", rootfsPropagation="shared"), True, True),
    (spaces("mount", rootfsPropagation="rslave"), True, False),
]


@pytest.mark.parametrize(("config", "privileged", "expected"), APART)
def test_who_makes_it(config: Config, privileged: bool, expected: bool) -> None:
    unusual = {"privileged": privileged, "layers": LAYERS}
    donated = donations(config, {**FACTS, **unusual})
    assert (("overlay",) in donated) == expected
    assert not [name for name in donated if name[0] == "tree"]
    found = told(rootfs.prepare, config, **unusual)
    attached = "move_mount(overlay, target)" if expected else "move_mount(root, target)"
    assert f"root.path: {attached}" in found
    assert set(listed(OVERLAY)) <= set(found) or expected
    assert not [line for line in found if "open_tree" in line]


def test_apart_nothing_reaches_the_host() -> None:
    steps = [describe.line(op, []) for _, op in layers.make_apart({**LAYERS, "upper": "tmpfs"})]
    assert steps[:2] == listed(
        """open_host("/", O_DIRECTORY|O_PATH) = host
        mount_setattr(host, AT_RECURSIVE, 0, 0, MS_SLAVE)"""
    )
    assert steps[-1] == "sync_send(the root made of layers, root)"

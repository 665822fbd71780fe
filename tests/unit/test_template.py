# SPDX-License-Identifier: Apache-2.0
"""Templates: what may be a hole, and that a template filled with any strings is what the compiler
makes of these strings."""

from __future__ import annotations

import copy
import json
import re
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyrun import (
    exec_template_file,
    plan,
    template_cgroup,
    template_file,
    template_folder,
    template_shape,
)
from pyrun.cgroup import resources
from pyrun.cgroup.plan import plan as cgroup_plan
from pyrun.compile import mount_options, order
from pyrun.compile.order import compile_init
from pyrun.template_shape import (
    HOST_NAME,
    LONGEST,
    PATH,
    PLACE,
    SOURCE,
    TEXT,
    Shape,
    fits,
    holes,
    mark,
    places,
    strings,
)
from unit.compile.rules import FACTS

HEADER = Path(__file__).parents[2] / "runtime/launcher/template.h"
KNOWN = {
    "layout": "hybrid",
    "mounts": {"pids": ["/sys/fs/cgroup/pids", "/"], "": ["/sys/fs/cgroup/unified", "/"]},
    "own": {"pids": "/here", "": "/here"},
}
CONFIG: dict[str, Any] = {
    "ociVersion": "1.3.0",
    "hostname": "box",
    "domainname": "example",
    "process": {
        "args": ["/bin/sh", "-c", "true"],
        "env": ["PATH=/bin", "HOME=/root", "A=1", "TWICE=1", "TWICE=2"],
        "cwd": "/",
        "user": {"uid": 0, "gid": 0},
    },
    "root": {"path": "/srv/rootfs"},
    "annotations": {"org.example/a": "value"},
    "mounts": [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/data", "source": "/srv/data", "options": ["rbind", "ro"]},
        {"destination": "/file", "source": "/srv/file", "options": ["bind"]},
        {"destination": "/etc/x", "source": "relative", "options": ["bind"]},
    ],
    "linux": {
        "cgroupsPath": "/engine/box",
        "namespaces": [
            *({"type": kind} for kind in ("pid", "mount", "uts", "cgroup")),
            {"type": "network", "path": "/run/netns/a"},
        ],
        "maskedPaths": ["/proc/keys"],
        "rootfsPropagation": "rslave",
    },
}
PLAIN = st.characters(min_codepoint=32, max_codepoint=126, exclude_characters='"\\')
NAMES = st.text(PLAIN.filter(lambda c: c not in "/."), min_size=1, max_size=30)
VALUES = {
    TEXT: st.text(PLAIN, min_size=1, max_size=HOST_NAME),
    PATH: st.lists(NAMES, min_size=1, max_size=4).map(lambda n: "/" + "/".join(n)),
}
VALUES[PLACE] = VALUES[PATH].filter(lambda path: fits(path, PLACE, LONGEST))
VALUES[SOURCE] = (
    st.lists(st.sampled_from(["", ".", ".."]).flatmap(lambda d: NAMES.map(lambda n: d + n)))
    .map(lambda names: "".join(f"/{name}" for name in names))
    .filter(lambda path: fits(path, SOURCE, LONGEST))
)


def compiled(config: dict[str, Any]) -> tuple[list[Any], Any]:
    """The plan and the cgroup, on a host where each bind source is there."""
    facts = {**copy.deepcopy(FACTS), "bundle": "/b", "rootfs": config["root"]["path"]}
    facts["sources"] = {
        mount_options.source(mount, facts): "file"
        if "file" in mount["destination"]
        else "directory"
        for mount in config["mounts"]
        if mount_options.is_bind(mount)
    }
    return compile_init(config, facts), cgroup_plan(config, "box", KNOWN)


def of_config(config: dict[str, Any]) -> Shape:
    """Its shape, as template_file.make() has it."""
    text = json.dumps(config)
    return Shape(text, places(text, holes(config)))


@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.data())
def test_filled_with_anything_it_is_what_the_compiler_makes(data: st.DataObject) -> None:
    shape = of_config(CONFIG)
    marked = json.loads(shape.text)
    kinds = [kind for kind, _ in shape.kinds]
    # With its number, for the same path can't be that of a file and of a directory.
    shape.values = {
        name: f"{data.draw(VALUES[kind])}{number}"
        for number, (name, kind) in enumerate(zip(shape.values, kinds, strict=True))
    }
    other = json.loads(shape.fill(shape.text))
    assert compiled(other) == tuple(shape.fill(part) for part in compiled(marked))


def test_what_is_a_hole() -> None:
    shape = of_config(CONFIG)
    assert sorted(shape.values.values()) == sorted(
        ["box", "example", "-c", "true", "1", "value", "/srv/rootfs", "/srv/data", "/srv/file"]
        + ["/engine/box", "/run/netns/a"]
    )
    assert shape.fill(shape.text) == json.dumps(CONFIG)


def test_a_compiler_that_looks_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """By what make() compares: the plan with the values put back is another."""

    def looks(config: dict[str, Any], facts: dict[str, Any]) -> Any:
        for step in order.uts.set_names(config, facts):
            if config["hostname"].startswith("b"):
                yield step

    rules = tuple(looks if rule is order.uts.set_names else rule for rule in order.INIT)
    monkeypatch.setattr(order, "INIT", rules)
    shape = of_config(CONFIG)
    assert shape.fill(compiled(json.loads(shape.text))[0]) != compiled(CONFIG)[0]


@pytest.mark.parametrize(
    ("text", "kind", "fine"),
    [
        ("a b!", TEXT, True),
        ("", TEXT, False),
        ("x" * 64, TEXT, True),
        ("x" * 65, TEXT, False),
        ('"', TEXT, False),
        ("\\", TEXT, False),
        ("ü", TEXT, False),
        ("\x7f", TEXT, False),
        ("/a/b", PLACE, True),
        ("a/b", PLACE, False),
        ("/", PLACE, False),
        ("/a/", PLACE, False),
        ("/a//b", PLACE, False),
        ("/a/../b", PLACE, False),
        ("/a/.b", PLACE, False),
        ("/a/.b", SOURCE, True),
        ("/.a/..b", SOURCE, True),
        ("/a/.", SOURCE, False),
        ("/./a", SOURCE, False),
        ("/a/../b", SOURCE, False),
        ("/..", SOURCE, False),
        ("/a//b", SOURCE, False),
        ("/a/", SOURCE, False),
        ("/", SOURCE, False),
        ("/sys/.a", SOURCE, False),
        ("/proc/1", PLACE, False),
        ("/proc/1", PATH, True),
        ("/process", PLACE, True),
        ("/sys", PLACE, False),
        ("/dev/shm", PLACE, False),
    ],
)
def test_what_fits(text: str, kind: int, fine: bool) -> None:
    assert fits(text, kind, HOST_NAME) == fine


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> dict[tuple[str | int, ...], str]:
    if isinstance(value, str):
        return {path: value}
    if not isinstance(value, dict | list):
        return {}
    found = {}
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        found |= leaves(inner, (*path, key))
    return found


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(JSON, st.sampled_from([None, 1]), st.booleans())
def test_where_strings_are(value: Any, indent: int | None, ascii_only: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    found = {path: json.loads(f'"{text[a:b]}"') for path, (a, b) in strings(text).items()}
    assert found == leaves(value)


def test_a_text_of_the_file() -> None:
    made = template_shape.text_of(f'x{mark(7)}y"{mark(5)}"{mark(8, path=True)}'.encode())
    assert made == struct.pack("=II1sIII", 5, 1, b"x", 0x80000007, 1, 0)[:13] + (
        struct.pack("=I", 1) + b"y" + struct.pack("=II", 0x80000005, 0x80000008)
    )


def test_where_strings_of_a_plan_go() -> None:
    """The patches, carried out as template.c does, give the plan of the filled operations."""
    name, path = mark(7), mark(8, path=True)
    ops = [
        ("sethostname", (name,), 0),
        ("execve", (["sh", name, f"{path}/x"], [f"A={name}", "B=1"]), 0),
    ]
    values = {name: "box", path: "/data"}
    steps, held, patches = template_file.plan_of([("", op) for op in ops], 0)  # type: ignore[misc]

    def filled(text: str) -> str:
        for one, value in values.items():
            text = text.replace(one, value)
        return text

    data = bytearray(steps)
    (size,) = struct.unpack_from("=Q", data, 24)
    places = []
    for text in held:
        places.append(size)
        data += filled(text).encode() + b"\0"
        size += len(filled(text)) + 1
    struct.pack_into("=Q", data, 24, size)
    for at, number in patches:
        struct.pack_into("=Q", data, at, places[number])
    base = plan.HEADER_SIZE + plan.RECORD_SIZE * len(ops)

    def string(offset: int) -> str:
        end = data.index(b"\0", base + offset)
        return data[base + offset : end].decode()

    def listed(offset: int) -> list[str]:
        (count,) = struct.unpack_from("=Q", data, base + offset)
        return [string(x) for x in struct.unpack_from(f"={count}Q", data, base + offset + 8)]

    words = [struct.unpack_from("=II7Q", data, plan.HEADER_SIZE + 64 * i)[2:] for i in range(2)]
    assert string(words[0][0]) == "box"
    assert listed(words[1][0]) == ["sh", "box", "/data/x"]
    assert listed(words[1][1]) == ["A=box", "B=1"]


def test_the_two_sides_agree() -> None:
    """Numbers that Python packs and C reads."""
    text = HEADER.read_text()
    defined = dict(re.findall(r"#define (\w+) (0x[0-9A-Fa-f]+|\d+)U?\b", text))
    for name, value in {
        "TEMPLATE_VERSION": template_file.VERSION,
        "TEMPLATE_MOST": template_folder.MOST,
        "TEMPLATE_EXEC": template_file.EXEC,
        "TEMPLATE_INTO": template_file.INTO,
        "TEMPLATE_LIMIT": template_file.LIMIT,
        "TEMPLATE_VALUE": template_shape.VALUE,
        "TEMPLATE_HOLES": template_shape.MOST_HOLES,
        "TEMPLATE_STRINGS": template_file.MOST_STRINGS,
        "TEMPLATE_RUN": template_file.RUN,
        "TEMPLATE_OWN": template_file.OWN,
        "TEMPLATE_LATE": template_file.LATE,
        "HOLE_TEXT": template_shape.TEXT,
        "HOLE_PATH": PATH,
        "HOLE_PLACE": template_shape.PLACE,
        "HOLE_SOURCE": template_shape.SOURCE,
        "CHECK_SAME": template_file.SAME,
        "CHECK_UNCHANGED": template_file.UNCHANGED,
        "CHECK_DIRECTORY": template_file.DIRECTORY,
        "CHECK_FILE": template_file.FILE,
        "CHECK_ROOT": template_file.ROOT,
        "CHECK_OTHER": template_file.OTHER,
    }.items():
        assert int(defined[name], 0) == value, name
    values = re.findall(r"^    VALUE_(\w+),", text, re.MULTILINE)
    assert [getattr(template_shape, name) for name in values] == list(range(len(values)))
    texts = re.findall(r"^    (TEXT_\w+),", text, re.MULTILINE)
    assert texts.pop() == "TEXT_COUNT"
    assert len(texts) == exec_template_file.TEXTS
    for name in ("TITLE", "SCORE"):
        assert texts[getattr(exec_template_file, name)] == f"TEXT_{name}"
    folders = dict(re.findall(r'#define TEMPLATE_(?:(EXEC)_)?FOLDER "(.*)"', text))
    assert folders == {"": template_folder.CREATE, "EXEC": template_folder.EXEC}
    assert struct.calcsize(template_file.HEAD) + struct.calcsize(template_file.REST) == (
        template_file.HEAD_SIZE
    )


@pytest.mark.parametrize(
    ("files", "why"),
    [
        (("io.bfq.weight", "io.weight"), ""),
        (("io.weight",), "no io.bfq.weight"),  # which comes with a module
        ((), "no io controller"),
    ],
)
def test_limits_that_may_go_elsewhere_the_next_time(
    tmp_path: Path, files: tuple[str, ...], why: str
) -> None:
    for name in files:
        (tmp_path / name).touch()
    choices = (("io.bfq.weight", "10"), ("io.weight", "100"))
    wanted: list[resources.Write] = [("/x", "io", choices, False)]
    places = ({"io": "/marked"}, {"io": str(tmp_path)})
    if why:
        with pytest.raises(template_shape.UnfitError, match=why):
            template_cgroup.writes_of(wanted, *places)
    else:
        found = template_cgroup.writes_of(wanted, *places)
        assert found == [("/marked/io.bfq.weight", "10")]


def test_a_type_of_a_cgroup_is_no_limit(tmp_path: Path) -> None:
    """Whether it can be set depends on those beside it."""
    (tmp_path / "cgroup.type").touch()
    wanted: list[resources.Write] = [("/x", "", (("cgroup.type", "threaded"),), False)]
    with pytest.raises(template_shape.UnfitError, match="the cgroup above"):
        template_cgroup.writes_of(wanted, {"": "/marked"}, {"": str(tmp_path)})

# SPDX-License-Identifier: Apache-2.0
"""`pyrun validate`: the whole report, its line numbers, and its notices."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrun import allowed_annotations, json_lines, validate
from pyrun.commands import validate as command
from pyrun.compile import unsupported
from pyrun.errors import Error
from pyrun.schema_check import step
from unit import configs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

BAD = """{
  "ociVersion": "1.0.2",
  "process": {
    "cwd": "here", "args": [],
    "user": {
      "uid": 4294967295
    }
  },
  "mounts": [
    {"destination": "/x"},
    {"destination": "/y", "options": "ro"}
  ],
  "hostname": null
}
"""


def test_shape_and_rules_are_reported_together() -> None:
    assert sorted(validate.full_report(BAD.encode())) == [
        ("/mounts", "needs a mount namespace in linux.namespaces"),
        (
            "/mounts/0/type",
            'there is no type: for a bind mount, add "bind" or "rbind" to options',
        ),
        (
            "/mounts/1/options",
            'must be a list, not "ro"',
        ),
        (
            "/mounts/1/type",
            'there is no type: for a bind mount, add "bind" or "rbind" to options',
        ),
        ("/process/args", "needs at least one entry: the program to run"),
        ("/process/cwd", 'must be absolute, not "here"'),
        ("/process/user/gid", "is required"),
        ("/process/user/uid", "must be an integer from 0 to 4294967294, not 4294967295"),
        ("/root", "is required"),
    ]


@pytest.mark.parametrize(
    "broken",
    [
        [],
        {"process": []},
        {"process": {"env": [1], "args": {}, "capabilities": 1}, "mounts": [1], "linux": {}},
        {"linux": {"namespaces": {"a": 1}, "sysctl": [1], "seccomp": {"syscalls": [1]}}},
        {"root": 1, "hooks": {"poststop": {}}, "annotations": 0, "ociVersion": []},
    ],
)
def test_a_broken_shape_does_not_break_the_report(broken: object, tmp_path: Path) -> None:
    assert validate.full_report(json.dumps(broken).encode()) != []
    validate.notices(broken, str(tmp_path))


def test_the_command_prints_one_line_each(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.json").write_text(BAD)
    assert command.run({"bundle": str(tmp_path)}) == 1
    output = capsys.readouterr()
    assert output.err == ""
    first, *rest = output.out.splitlines()
    assert first == f"{tmp_path}/config.json: 9 problems"
    assert [line.split(": ")[:2] for line in rest] == [
        ["  line 1", "/root"],
        ["  line 4", "/process/cwd"],
        ["  line 4", "/process/args"],
        ["  line 5", "/process/user/gid"],
        ["  line 6", "/process/user/uid"],
        ["  line 9", "/mounts"],
        ["  line 10", "/mounts/0/type"],
        ["  line 11", "/mounts/1/options"],
        ["  line 11", "/mounts/1/type"],
    ]


def test_a_valid_config(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "rootfs").mkdir()
    (tmp_path / "my.json").write_text(json.dumps(configs.minimal()))
    assert command.run({"bundle": str(tmp_path), "config": str(tmp_path / "my.json")}) == 0
    assert capsys.readouterr().out == f"{tmp_path}/my.json: valid\n"


def test_notices_do_not_fail(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = configs.with_("process/capabilities", {"bounding": ["CAP_KILL", "CAP_KIL"]})
    config["process"]["enviroment"] = []
    config["mount"] = []
    config["annotations"] = {"mount": ""}  # names of one's own are not mistyped
    config["vm"] = {"anything": {}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert command.run({"bundle": str(tmp_path)}) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{tmp_path}/config.json: valid",
        "  line 1: notice: /process/enviroment: is unknown and ignored: did you mean env?",
        "  line 1: notice: /mount: is unknown and ignored: did you mean mounts?",
        (
            "  line 1: notice: /process/capabilities/bounding/1: "
            'no such capability, so it is ignored: "CAP_KIL"'
        ),
        f"  line 1: notice: /root/path: {tmp_path}/rootfs does not exist",
    ]


def test_what_this_version_can_not_honour_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rootfs").mkdir()
    monkeypatch.setattr(unsupported, "LINUX", ("personality",))
    config = configs.with_("linux/personality", {"domain": "LINUX"})
    assert validate.full_report(json.dumps(config).encode()) == []
    [(pointer, text)] = validate.notices(config, str(tmp_path))
    assert (pointer, text) == ("/linux/personality", "not supported by this version")


def test_limits_that_kernels_no_longer_have_are_noticed(tmp_path: Path) -> None:
    (tmp_path / "rootfs").mkdir()
    limits = {"kernel": 1 << 20, "kernelTCP": 5}
    config = configs.with_("linux/resources/memory", limits)
    text = "is ignored: kernels count this memory in memory.limit"
    assert validate.notices(config, str(tmp_path)) == [
        (f"/linux/resources/memory/{name}", text) for name in limits
    ]
    config["linux"]["resources"]["memory"] = {"kernel": -1, "kernelTCP": 0}
    assert validate.notices(config, str(tmp_path)) == []


def test_a_rootfs_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "rootfs").touch()
    [(pointer, text)] = validate.notices(configs.minimal(), str(tmp_path))
    assert (pointer, text) == ("/root/path", f"{tmp_path}/rootfs is not a directory")


def test_layers_that_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "rootfs").mkdir()
    (tmp_path / "file").touch()
    pointer = "/annotations/org.pyrun.rootfs.overlay"
    config = configs.with_("annotations", {pointer.rpartition("/")[2]: "rootfs:a\\:b:file"})
    assert validate.notices(config, str(tmp_path)) == [
        (pointer, f"{tmp_path}/a:b does not exist"),
        (pointer, f"{tmp_path}/file is not a directory"),
        (pointer, f"is an error unless root allows it in {allowed_annotations.FILE}"),
    ]


def test_text_that_is_no_json_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{\n'a'}")
    with pytest.raises(Error, match=r"config\.json: not valid JSON: .* \(line 2, column 1\)"):
        command.run({"bundle": str(tmp_path)})


def test_lines_of_a_document() -> None:
    text = '\n{"a": [1,\n "x\\"]}",\n\n {"b/c": null}\n], "d"\n :\n {}, "e": -1.5e3\n}'
    assert json_lines.lines(text) == {
        "": 2,
        "/a": 2,
        "/a/0": 2,
        "/a/1": 3,
        "/a/2": 5,
        "/a/2/b~1c": 5,
        "/d": 6,
        "/e": 8,
    }


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON)
def test_every_value_of_any_document_has_a_line(value: object) -> None:
    found = json_lines.lines(json.dumps(value, indent=1))

    def expect(node: object, pointer: str) -> None:
        assert pointer in found
        items = (
            node.items()
            if isinstance(node, dict)
            else enumerate(node if isinstance(node, list) else ())
        )
        for name, child in items:
            expect(child, pointer + step(name))

    expect(value, "")


def test_options_that_the_compiler_would_stumble_over() -> None:
    """All at once, where `create` ends with the first."""
    bound = {"destination": "/b", "source": "/s"}
    config = configs.isolated() | {
        "mounts": [
            {"destination": "/a", "type": "tmpfs", "options": ["ro", "rro"]},
            {**bound, "options": ["bind", "tmpcopyup"]},
            {**bound, "options": ["bind", "idmap=uids=1"]},
            {**bound, "options": ["bind", "idmap"]},
            {**bound, "options": ["bind", "rro"]},
        ]
    }
    problems = validate.rule_problems(config)
    assert [pointer for pointer, _ in problems] == [
        "/mounts/0/options/1",
        "/mounts/1/options",
        "/mounts/2/options",
        "/mounts/3/options",
    ]


def test_a_misspelt_option_of_a_bind_mount() -> None:
    mounts = [
        {"destination": "/a", "source": "/s", "options": ["rbind", "nosiud"]},
        {"destination": "/b", "source": "/s", "options": ["rbind", "size=1", "rro"]},
        {"destination": "/t", "type": "tmpfs", "options": ["nosiud", "size=1"]},
    ]
    nothing = "means nothing on a bind mount"
    assert validate.rule_problems(configs.isolated() | {"mounts": mounts}) == [
        ("/mounts/0/options/1", f"the mount option 'nosiud' {nothing}: did you mean nosuid?"),
        ("/mounts/1/options/1", f"the mount option 'size=1' {nothing}"),
    ]

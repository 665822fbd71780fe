# SPDX-License-Identifier: Apache-2.0
"""Who may import whom. Imports point one way, and the hot path loads nothing that costs time."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator

import pytest

from . import tree

SOURCE = tree.ROOT / "runtime"

# What the verbs below may load from the standard library: built in, frozen or tiny (docs tell the
# milliseconds). Everything else costs each start of each container.
HOT_STDLIB = {
    "__future__", "_blake2", "_json", "_signal", "_socket", "_stat", "_struct", "binascii", "errno",
    "_thread", "fcntl", "os", "posix", "select", "sys", "termios", "time",
    "_imp", "builtins", "gc", "marshal",  # the interpreter's own
}  # fmt: skip
# What a hot verb imports only for a container or a command line that asks for a rare feature
# (test_startup.py sees to that), and the library that the feature's module takes.
RARE = {
    "handlers": {"importlib"},
    "net_devices": {"pyroute2"},
    "pattern": {"re"},
    "system_log": {"syslog"},
    "template_shape": {"json", "re"},
}
HOT_VERBS = ("create", "start", "run", "exec", "state", "kill", "delete")
BUILT = {
    "_build",
    "_flags",
    "_schema",
    "kernel._linux",
    "kernel._seccomp",
    "kernel._bpf",
    "kernel._sdbus",
}

# Modules and packages of ours -> what of ours they may import ("x" allows x and all of x.*).
# The order is that of the layers; the first entry that matches a module counts.
LAYERS: dict[str, set[str]] = {
    "errors": set(),
    "pack": {"__main__"},
    "linux": set(),
    "ops": set(),
    "types": set(),
    "sync": set(),
    "schema_check": {"_schema"},
    "jsonscan": {"errors", "pack", "schema_check"},
    "plan": {"_build", "errors", "linux", "ops"},
    # Pure: a rule sees the config and the facts it is handed, and nothing of the world.
    "compile": {"compile", "errors", "jsonscan", "linux", "ops", "schema_check", "sync"},
    "kernel": {"errors", "kernel", "linux"},
}
# Layers above may import these packages never, whatever else they import.
NEVER: dict[str, set[str]] = {
    "commands": {"cli"},
    "cgroup": {"cli", "commands", "compile"},
}


def modules() -> dict[str, ast.Module]:
    """Our modules by their name within the package ("compile.mounts"; packages: "compile")."""
    found = {}
    for path in sorted((SOURCE / "pyrun").rglob("*.py")):
        parts = path.relative_to(SOURCE / "pyrun").with_suffix("").parts
        if parts[-1] == "__init__":
            parts = parts[:-1]
        if not parts or parts[-1].startswith("build_"):
            continue
        found[".".join(parts)] = ast.parse(path.read_text())
    return found


MODULES = modules()


def is_type_checking(node: ast.AST) -> bool:
    """`if TYPE_CHECKING:`, whose imports never run."""
    return (
        isinstance(node, ast.If)
        and isinstance(node.test, ast.Name)
        and node.test.id == "TYPE_CHECKING"
    )


def imports(node: ast.AST) -> Iterator[str]:
    """The full name of everything that `node` imports when it runs."""
    for child in ast.iter_child_nodes(node):
        if is_type_checking(child):
            assert isinstance(child, ast.If)
            for other in child.orelse:
                yield from imports(other)
        elif isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, "relative import"
            module = child.module or ""
            for alias in child.names:
                # `from pyrun import host` loads pyrun.host, `from pyrun.host import facts` as well.
                inner = f"{module}.{alias.name}"
                yield inner if inner.removeprefix("pyrun.") in MODULES.keys() | BUILT else module
        else:
            yield from imports(child)


def ours(name: str) -> Iterator[str]:
    """What a module of ours imports of ours, by name within the package."""
    for target in imports(MODULES[name]):
        if target.startswith("pyrun."):
            yield target.removeprefix("pyrun.")


def within(name: str, packages: set[str]) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


def hot_modules() -> list[str]:
    """Everything that the hot verbs import, and what that imports, to the end."""
    todo = ["__main__", *(f"commands.{verb}" for verb in HOT_VERBS)]
    found: list[str] = []
    while todo:
        name = todo.pop()
        if name in found or name in BUILT or name not in MODULES:
            continue
        found.append(name)
        todo += ours(name)
        todo += [parent for parent in (name.rpartition(".")[0],) if parent]
    return sorted(found)


@pytest.mark.parametrize("name", MODULES)
def test_imports_point_one_way(name: str) -> None:
    for layer, allowed in LAYERS.items():
        if within(name, {layer}):
            assert [target for target in ours(name) if not within(target, allowed)] == []
            return
    for layer, forbidden in NEVER.items():
        if within(name, {layer}):
            assert [target for target in ours(name) if within(target, forbidden)] == []


@pytest.mark.parametrize("name", [name for name in MODULES if within(name, {"compile"})])
def test_compiler_is_pure(name: str) -> None:
    """No `os`, no clock: what a rule needs of the host is in the facts."""
    foreign = {target for target in imports(MODULES[name]) if not target.startswith("pyrun")}
    assert foreign <= {"__future__", "_struct", "errno"}  # bytes and numbers


@pytest.mark.parametrize("name", [name for name in MODULES if within(name, {"commands"})])
def test_a_command_is_on_its_own(name: str) -> None:
    """What two commands share moves down, to a module that says what it is."""
    others = [target for target in ours(name) if within(target, {"commands"})]
    assert [target for target in others if target not in ("commands", name)] == []


@pytest.mark.parametrize("name", hot_modules())
def test_hot_path_loads_nothing_heavy(name: str) -> None:
    foreign = {
        target for target in imports(MODULES[name]) if target.split(".")[0] not in ("pyrun", "")
    }
    libraries = RARE.get(name, set())
    assert {target for target in foreign if not within(target, libraries)} <= HOT_STDLIB


@pytest.mark.parametrize("name", hot_modules())
def test_hot_path_defines_no_costly_class(name: str) -> None:
    """Metaclasses and generated classes cost 0.1 to 0.6 ms each, at every start."""
    costly = {"Enum", "IntEnum", "IntFlag", "Flag", "NamedTuple", "TypedDict", "Protocol", "ABC"}
    for node in ast.walk(MODULES[name]):
        if isinstance(node, ast.ClassDef):
            names = {base.id for base in node.bases if isinstance(base, ast.Name)}
            assert not names & costly
            assert not node.keywords
            assert not node.decorator_list


@pytest.mark.parametrize("name", MODULES)
def test_annotations_are_not_evaluated(name: str) -> None:
    if MODULES[name].body[1:]:  # more than a docstring
        first = next(node for node in MODULES[name].body if isinstance(node, ast.ImportFrom))
        assert first.module == "__future__"


def test_types_are_for_the_checker_alone() -> None:
    assert [name for name in MODULES if "types" in ours(name)] == []


def test_hot_verbs_exist() -> None:
    """The checks above would pass on an empty set."""
    assert [verb for verb in HOT_VERBS if f"commands.{verb}" not in MODULES] == []
    assert {"errors", "cli.hot"} <= set(hot_modules())


def test_what_counts_as_an_import() -> None:
    source = """
import os
TYPE_CHECKING = False
if TYPE_CHECKING:
    import typing
def f():
    from pyrun.errors import Error
    from pyrun import errors
"""
    assert list(imports(ast.parse(source))) == ["os", "pyrun.errors", "pyrun.errors"]


def test_hot_stdlib_is_the_standard_library() -> None:
    assert sys.stdlib_module_names >= HOT_STDLIB

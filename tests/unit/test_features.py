# SPDX-License-Identifier: Apache-2.0
"""The document of `pyrun features`: valid, and true of the code that is there."""

from __future__ import annotations

import ast
import json
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from jsonschema import Draft7Validator

from needs import excuse
from pyrun import features, prepare, schema_check
from pyrun.commands import features as verb
from pyrun.compile import checks, mount_options, seccomp, unsupported
from pyrun.errors import ConfigError
from unit.configs import FULL, isolated, minimal, with_
from unit.runtime_spec import COPY

ROOT = Path(__file__).parents[2]
DOCUMENT = features.document()
LINUX = DOCUMENT["linux"]


def test_valid_by_our_schema() -> None:
    schema = json.loads((ROOT / "spec/features.schema.json").read_text())
    jsonschema.validate(DOCUMENT, schema, cls=Draft7Validator)


def test_valid_by_the_specification_s_schema() -> None:
    path = COPY / "schema/features-schema.json"
    if not path.exists():
        excuse(f"no copy of the runtime-spec at {COPY} (or PYRUN_OCI_SPEC) to compare with")
    referencing = pytest.importorskip("referencing")  # of newer versions of jsonschema

    def read(uri: str) -> Any:
        schema = json.loads((path.parent / uri).read_text())
        return referencing.Resource(schema, referencing.jsonschema.DRAFT7)

    schema = {**read(path.name).contents, "$id": ""}
    registry = referencing.Registry(retrieve=read)
    Draft7Validator(schema, registry=registry).validate(DOCUMENT)


def test_what_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    assert verb.run({}) == 0
    assert capfd.readouterr().out == json.dumps(DOCUMENT, indent=4) + "\n"


def test_every_property_of_the_schema_is_there() -> None:
    """Nothing is left for the reader to guess."""
    schema = json.loads((ROOT / "spec/features.schema.json").read_text())
    parts: list[tuple[dict[str, Any], Any]] = [(schema, DOCUMENT)]
    while parts:
        node, part = parts.pop()
        if "$ref" in node:
            node = schema["definitions"][node["$ref"].rpartition("/")[2]]
        properties = node.get("properties", {})
        assert set(part) >= set(properties) if properties else part is not None
        parts += [(child, part[name]) for name, child in properties.items()]


@pytest.mark.parametrize("name", ["ociVersionMin", "ociVersionMax"])
def test_versions(name: str) -> None:
    assert list(checks.version(with_("ociVersion", DOCUMENT[name]))) == []


def accepted(config: dict[str, Any]) -> bool:
    """Whether nothing says, by the config alone, that this can't be done."""
    try:
        prepare.check(config)
    except ConfigError:
        return False
    return schema_check.check(config) == []


@pytest.mark.parametrize("kind", LINUX["namespaces"])
def test_namespaces(kind: str) -> None:
    assert accepted(with_("linux", {"namespaces": [{"type": kind, "path": "/n"}]}))


def test_capabilities() -> None:
    """Also those that this kernel has not got."""
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    assert len(LINUX["capabilities"]) >= min(last, 40) + 1
    assert LINUX["capabilities"][21] == "CAP_SYS_ADMIN"


def test_cgroup() -> None:
    """systemd and systemdUser: whether this build can speak with it."""
    built = find_spec("pyrun.kernel._sdbus") is not None
    assert LINUX["cgroup"]["systemd"] is LINUX["cgroup"]["systemdUser"] is built
    assert all(LINUX["cgroup"][name] for name in ("v1", "v2", "rdma"))


def test_namespaces_are_all() -> None:
    assert not accepted(with_("linux", {"namespaces": [{"type": "other"}]}))
    assert len(LINUX["namespaces"]) == 8


@pytest.mark.parametrize("kind", DOCUMENT["hooks"])
def test_hooks(kind: str) -> None:
    assert kind in FULL["hooks"]
    assert not accepted(with_("hooks", {kind: [{"path": "relative"}]}))


def test_hooks_are_all() -> None:
    assert set(DOCUMENT["hooks"]) == set(FULL["hooks"])


@pytest.mark.parametrize("option", DOCUMENT["mountOptions"])
def test_mount_options(option: str) -> None:
    """Known to pyrun, and so not handed to the file system as data; but for some flags."""
    mount = {"destination": "/x", "type": "tmpfs", "options": [option]}
    if option[1:] in mount_options.ATTRIBUTES:
        mount["options"] = ["rbind", option]
    assert mount_options.parse(mount, "")["data"] == [] or option in mount_options.FLAGS


def profile(**members: Any) -> dict[str, Any]:
    return {"defaultAction": "SCMP_ACT_ALLOW", **members}


def rule(**members: Any) -> dict[str, Any]:
    return profile(syscalls=[{"names": ["getpid"], "action": "SCMP_ACT_ERRNO", **members}])


SECCOMP = LINUX["seccomp"]
PROFILES = [
    *(
        {**rule(action=action), **({"listenerPath": "/s"} if "NOTIFY" in action else {})}
        for action in SECCOMP["actions"]
    ),
    *(rule(args=[{"index": 0, "value": 1, "op": op}]) for op in SECCOMP["operators"]),
    *(profile(architectures=[arch]) for arch in SECCOMP["archs"]),
    *(profile(flags=[flag]) for flag in SECCOMP["knownFlags"]),
]


@pytest.mark.parametrize("wanted", PROFILES)
def test_seccomp(wanted: dict[str, Any]) -> None:
    assert accepted(isolated(seccomp=wanted))
    assert seccomp.profile(wanted, "x86_64")


def test_seccomp_lists() -> None:
    assert SECCOMP["enabled"] is True
    assert set(SECCOMP["supportedFlags"]) <= set(SECCOMP["knownFlags"])
    # older than the kernel that pyrun asks for
    older = {f"SECCOMP_FILTER_FLAG_{name}" for name in ("TSYNC", "LOG", "SPEC_ALLOW")}
    assert set(SECCOMP["supportedFlags"]) >= older
    assert {"SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64", "SCMP_ARCH_RISCV64"} <= set(SECCOMP["archs"])


def test_a_flag_that_no_kernel_has() -> None:
    assert not features.kernel_takes(1 << 30)


IDS = [{"containerID": 0, "hostID": 0, "size": 1}]
MOUNT = {"destination": "/x", "type": "bind", "source": "/", "options": ["bind"]}
ENABLED = [
    (LINUX["apparmor"]["enabled"], with_("process/apparmorProfile", "x")),
    (LINUX["selinux"]["enabled"], with_("process/selinuxLabel", "x")),
    (LINUX["intelRdt"]["enabled"], isolated(intelRdt={"closID": "x"})),
    (LINUX["intelRdt"]["schemata"], isolated(intelRdt={"schemata": ["L3:0=1"]})),
    (LINUX["intelRdt"]["monitoring"], isolated(intelRdt={"enableMonitoring": True})),
    (LINUX["netDevices"]["enabled"], isolated(netDevices={"eth0": {}})),
    (
        LINUX["mountExtensions"]["idmap"]["enabled"],
        with_("mounts", [{**MOUNT, "uidMappings": IDS, "gidMappings": IDS}], isolated()),
    ),
    *((True, isolated(memoryPolicy=policy)) for policy in ({"mode": "MPOL_LOCAL"},)),
]


@pytest.mark.parametrize(("enabled", "config"), ENABLED)
def test_enabled_is_what_is_not_refused(enabled: bool, config: dict[str, Any]) -> None:
    assert accepted(minimal())
    assert accepted(config) is enabled


@pytest.mark.parametrize("mode", LINUX["memoryPolicy"]["modes"])
def test_memory_policy_modes(mode: str) -> None:
    nodes = {} if mode in ("MPOL_DEFAULT", "MPOL_LOCAL") else {"nodes": "0"}
    assert accepted(isolated(memoryPolicy={"mode": mode, **nodes}))


@pytest.mark.parametrize("flag", LINUX["memoryPolicy"]["flags"])
def test_memory_policy_flags(flag: str) -> None:
    assert accepted(isolated(memoryPolicy={"mode": "MPOL_BIND", "nodes": "0", "flags": [flag]}))


def test_unsupported_is_named_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unsupported, "PROCESS", ("apparmorProfile",))
    assert features.document()["linux"]["apparmor"] == {"enabled": False}
    monkeypatch.setattr(unsupported, "PROCESS", ())
    assert features.document()["linux"]["apparmor"] == {"enabled": True}


ANNOTATION = re.compile(
    r"(run\.oci|org\.(systemd|criu|opencontainers|pyrun)|io\.(podman|kubernetes))\."
)


def test_annotations_that_act_are_named() -> None:
    """Every key that the code knows is in potentiallyUnsafeConfigAnnotations."""
    known = {
        node.value
        for path in (ROOT / "runtime/pyrun").rglob("*.py")
        if path.name != "features.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if ANNOTATION.match(node.value) and " " not in node.value
    }
    listed = DOCUMENT["potentiallyUnsafeConfigAnnotations"]
    prefixes = tuple(entry for entry in listed if entry.endswith("."))
    unlisted = {key for key in known if key not in listed and not key.startswith(prefixes)}
    # some look for all of a kind
    assert {key for key in unlisted if not any(entry.startswith(key) for entry in listed)} == set()


def test_annotations() -> None:
    annotations = DOCUMENT["annotations"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", annotations["io.github.seccomp.libseccomp.version"])
    assert annotations["org.opencontainers.runc.checkpoint.enabled"] in ("true", "false")


@pytest.mark.parametrize("lacking", ["", "there is no criu in PATH, which does the work"])
def test_checkpoints(lacking: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As far as this host can have them, and if not, why; the same of its flags."""
    flags = {"lazy-pages": "too little of it"}
    monkeypatch.setattr("pyrun.criu.abilities.lacking", lambda: lacking)
    monkeypatch.setattr("pyrun.criu.abilities.features_lacking", lambda: flags)
    annotations = features.document()["annotations"]
    word = annotations["org.opencontainers.runc.checkpoint.enabled"]
    assert word == ("false" if lacking else "true")
    assert annotations.get("org.pyrun.checkpoint.lacks", "") == lacking
    why = annotations.get("org.pyrun.checkpoint.lacks.lazy-pages")
    assert why == (None if lacking else "too little of it")

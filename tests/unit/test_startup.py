# SPDX-License-Identifier: Apache-2.0
"""Which modules each hot verb loads, exactly, in a real life of a container.

Every module costs each container its import: 0.1 to 0.3 ms for one of ours with bytecode, 1 to 20
ms for the heavy ones of the standard library (json 2, typing 2, re 4, enum 4, subprocess 9,
socket 6, argparse 7, click 20). The budget of a verb's imports, measured by `python -X importtime`:
state, kill, start and delete 4 ms, create and run 8 ms. A new line here needs a reason.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import pyrun as package
from needs import needs
from pyrun import spec_default

pytestmark = needs("root", "busybox")

# As the launcher starts it, and then the list of what has been loaded.
BOOT = """
import posix, sys
before = set(sys.modules)
packages, out = sys.argv[1:3]
sys.path.insert(0, packages)
del sys.argv[:3]
from pyrun.__main__ import main
code = main(sys.argv)
with open(out, "w") as file:
    file.write(" ".join(sorted(set(sys.modules) - before)))
posix._exit(code)
"""
OPTIONS = ("-I", "-S", "-B", "-X", "utf8", "-c", BOOT)

# The parser, the log, and the record of a container.
COMMON = """
__future__ _collections_abc _imp _json _stat errno fcntl gc genericpath marshal os os.path posixpath
select stat time pyrun pyrun.__main__ pyrun._flags pyrun.cli pyrun.cli.hot pyrun.commands
pyrun.errors pyrun.init pyrun.jsonscan pyrun.log pyrun.pack pyrun.schema_check pyrun.state
"""
FREEZER = "pyrun.cgroup pyrun.cgroup.cgroupfs pyrun.cgroup.procs"  # may be paused
PROCESSES = f"pyrun.linux {FREEZER}"
CGROUP = """
pyrun.cgroup.devices pyrun.cgroup.driver pyrun.cgroup.facts pyrun.cgroup.permission
pyrun.cgroup.plan pyrun.cgroup.resources
"""
MAKING = """
_blake2 _cffi_backend _signal binascii _socket _struct
pyrun._build pyrun._schema pyrun.caller pyrun.config pyrun.creation pyrun.exec_record pyrun.host
pyrun.idmaps
pyrun.interruption pyrun.kernel
pyrun.kernel._linux pyrun.kernel._linux.lib pyrun.launch pyrun.ops pyrun.plan pyrun.prepare
pyrun.process_limits
pyrun.cgroup.grace
pyrun.report pyrun.seccomp pyrun.shortcut pyrun.starting pyrun.sync pyrun.teardown
pyrun.template pyrun.template_folder
pyrun.terminal_rules
pyrun.compile pyrun.compile.capabilities pyrun.compile.cgroup_mounts pyrun.compile.checks
pyrun.compile.checks_linux pyrun.compile.checks_mounts pyrun.compile.checks_process
pyrun.compile.devices
pyrun.compile.donations pyrun.compile.hooks pyrun.compile.id_maps pyrun.compile.mount_options
pyrun.compile.mounts pyrun.compile.namespaces pyrun.compile.order pyrun.compile.paths
pyrun.compile.process pyrun.compile.rlimits pyrun.compile.rootfs pyrun.compile.seccomp
pyrun.compile.slots pyrun.compile.sysctl pyrun.compile.sysctl_names
pyrun.compile.terminal pyrun.compile.unsupported pyrun.compile.uts
"""
JOINING = """
_cffi_backend _signal binascii _socket _struct
pyrun._build pyrun.caller pyrun.cgroup.entry pyrun.cgroup.grace pyrun.exec_process
pyrun.exec_record pyrun.exec_template pyrun.execution pyrun.idmaps pyrun.interruption
pyrun.kernel
pyrun.kernel._linux pyrun.kernel._linux.lib pyrun.launch pyrun.living pyrun.ops pyrun.plan
pyrun.process_limits pyrun.sync pyrun.teardown pyrun.template_folder pyrun.terminal_rules
pyrun.compile pyrun.compile.capabilities pyrun.compile.donations
pyrun.compile.exec_order pyrun.compile.hooks pyrun.compile.joining pyrun.compile.mount_options
pyrun.compile.namespaces pyrun.compile.process pyrun.compile.rlimits pyrun.compile.seccomp
pyrun.compile.slots pyrun.compile.sysctl pyrun.compile.sysctl_names pyrun.compile.terminal
"""
# One or the other, by what the machine has.
V1, V2 = "pyrun.cgroup.v1", "pyrun.cgroup.v2"
BY_LAYOUT = f"{V1} {V2} pyrun.cgroup.limits pyrun.cgroup.devicefilter pyrun.cgroup.bpf"


def words(*texts: str) -> set[str]:
    return {word for text in texts for word in text.split()}


EXACTLY = {
    "state": words(FREEZER, "pyrun.report"),
    "start": words(PROCESSES, "_struct pyrun.starting pyrun.teardown"),
    "kill": words(PROCESSES),
    "delete": words(PROCESSES, CGROUP, "pyrun.teardown"),
    "create": words(PROCESSES, CGROUP, MAKING),
    "run": words(PROCESSES, CGROUP, MAKING),
    "exec": words(PROCESSES, JOINING),
}

FORBIDDEN = words(
    "click jsonschema json re enum typing dataclasses pathlib subprocess socket argparse logging"
    " functools collections contextlib inspect tempfile shutil hashlib struct signal threading"
    " pyrun.describe pyrun.validate pyrun.failure pyrun.kernel._seccomp pyrun.kernel.libseccomp"
    " pyrun.commands.plan pyrun.cli.verbs google.protobuf pyrun.criu pyroute2 pyrun.net_devices"
)


def ours(names: set[str]) -> set[str]:
    return {name for name in names if name.partition(".")[0] == "pyrun"}


VERBS = ["create", "start", "run", "exec", "state", "kill", "delete"]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, set[str]]]:
    """verb -> modules, from one life; the cache of seccomp programs is warm by then."""
    bundle = tmp_path_factory.mktemp("bundle")
    config = spec_default.default(None)
    config["process"] |= {"terminal": False, "args": ["sh", "-c", "read x"]}
    config["mounts"] = [mount for mount in config["mounts"] if mount["type"] != "cgroup"]
    rules = [{"names": ["getpid"], "action": "SCMP_ACT_ERRNO"}]
    config["linux"]["cgroupsPath"] = f"/pyrun-startup-{os.getpid()}"  # not another run's
    config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules}
    (bundle / "config.json").write_text(json.dumps(config))
    (bundle / "rootfs/bin").mkdir(parents=True)
    shutil.copy(shutil.which("busybox") or "", bundle / "rootfs/bin/sh")
    found: dict[str, set[str]] = {}

    def run(verb: str, *arguments: str | Path) -> None:
        out = bundle / f"{verb}.modules"
        root = ("--root", bundle / "state")
        boot = [sys.executable, *OPTIONS, Path(package.__file__).parents[1], out, "pyrun"]
        done = subprocess.run(
            [*boot, *root, verb, *arguments],
            stdin=stdin,
            stdout=subprocess.DEVNULL,
            timeout=30,
            env={**os.environ, "PYRUN_NO_FAST": "1"},  # no template either: test_template.py
        )
        assert done.returncode == 0
        found[verb] = set(out.read_text().split())

    stdin, hold = os.pipe()
    try:
        run("run", "--bundle", bundle, "--detach", "first")
        run("kill", "first", "KILL")
        run("delete", "--force", "first")
        run("create", "--bundle", bundle, "box")
        run("state", "box")
        run("start", "box")
        run("exec", "--detach", "box", "sh", "-c", ":")
        run("kill", "box", "KILL")
        run("delete", "--force", "box")
        run("run", "--bundle", bundle, "--detach", "--keep", "box")
        run("delete", "--force", "box")
    finally:
        os.close(hold)
        os.close(stdin)
    return found


@pytest.mark.parametrize("verb", VERBS)
def test_exactly_these(verb: str, loaded: dict[str, set[str]]) -> None:
    expected = EXACTLY[verb] | words(COMMON) | {f"pyrun.commands.{verb}"}
    found = loaded[verb] - (words(BY_LAYOUT) if verb in ("create", "run") else set())
    assert not {V1, V2} <= loaded[verb]
    assert ours(found) == ours(expected)
    # The standard library's own few differ from one Python to the next, and by what is built in.
    assert found - ours(found) <= expected


@pytest.mark.parametrize("verb", VERBS)
def test_nothing_heavy(verb: str, loaded: dict[str, set[str]]) -> None:
    assert loaded[verb] & FORBIDDEN == set()

# SPDX-License-Identifier: Apache-2.0
"""Handlers: a WebAssembly module as the container's program, and what chooses a handler."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from wasmtime import wat2wasm

from life.bundles import Bundle, mount
from life.runtimes import Container

pytestmark = pytest.mark.pyrun_only("the distribution's crun is built without a handler")

WASI = "wasi_snapshot_preview1"
# Prints its arguments, its environment and the file /data/greeting, as WASI gives them.
MODULE = f"""
(module
  (import "{WASI}" "args_sizes_get" (func $args_sizes (param i32 i32) (result i32)))
  (import "{WASI}" "args_get" (func $args (param i32 i32) (result i32)))
  (import "{WASI}" "environ_sizes_get" (func $env_sizes (param i32 i32) (result i32)))
  (import "{WASI}" "environ_get" (func $env (param i32 i32) (result i32)))
  (import "{WASI}" "path_open" (func $open
    (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "{WASI}" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "{WASI}" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "{WASI}" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 64) "data/greeting")
  (func $print (param $at i32) (param $size i32)
    (i32.store (i32.const 0) (local.get $at))
    (i32.store (i32.const 4) (local.get $size))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))
  (func (export "_start")
    (drop (call $args_sizes (i32.const 16) (i32.const 20)))
    (drop (call $args (i32.const 1024) (i32.const 2048)))
    (call $print (i32.const 2048) (i32.load (i32.const 20)))
    (drop (call $env_sizes (i32.const 16) (i32.const 20)))
    (drop (call $env (i32.const 1024) (i32.const 4096)))
    (call $print (i32.const 4096) (i32.load (i32.const 20)))
    (if (i32.eqz (call $open (i32.const 3) (i32.const 0) (i32.const 64) (i32.const 13)
          (i32.const 0) (i64.const 2) (i64.const 2) (i32.const 0) (i32.const 32)))
      (then
        (i32.store (i32.const 0) (i32.const 8192))
        (i32.store (i32.const 4) (i32.const 100))
        (drop (call $read (i32.load (i32.const 32)) (i32.const 0) (i32.const 1) (i32.const 36)))
        (call $print (i32.const 8192) (i32.load (i32.const 36)))))
    (call $exit (i32.const 7))))
"""
TRAP = '(module (func (export "_start") unreachable))'
HANDLER = "run.oci.handler"
VARIANT = "module.wasm.image/variant"
SANDBOX = "io.kubernetes.cri.container-type"


@pytest.fixture
def module(bundle: Bundle) -> None:
    """The container's program, and what it reads."""
    (bundle.rootfs / "app.wasm").write_bytes(bytes(wat2wasm(MODULE)))
    bundle.file("/data/greeting", "hello\n")
    bundle.process["args"] = ["/app.wasm", "one", "two words"]
    bundle.process["env"] = ["A=1", "PATH=/bin"]
    bundle.config["annotations"] = {HANDLER: "wasm"}


EXPECTED = "/app.wasm\0one\0two words\0A=1\0PATH=/bin\0HOME=/\0hello\n"


@pytest.mark.parametrize("mapped", [False, True], ids=["", "userns"])
@pytest.mark.parametrize("uid", [0, 1000])
def test_a_module_runs(
    container: Container, bundle: Bundle, module: None, mapped: bool, uid: int
) -> None:
    """With the container's arguments, environment, files and user; the exit code is its own. It
    leaves nothing in the image."""
    if mapped:
        bundle.map_ids()
    bundle.process["user"] = {"uid": uid, "gid": uid}
    before = sorted(str(path) for path in bundle.rootfs.rglob("*"))
    result = container.run()
    assert (result.code, result.out, result.err) == (7, EXPECTED, "")
    assert sorted(str(path) for path in bundle.rootfs.rglob("*")) == before


def test_a_module_as_text(container: Container, bundle: Bundle, module: None) -> None:
    (bundle.rootfs / "app.wasm").write_text(MODULE)
    assert container.run().out == EXPECTED


def test_read_only_and_confined(container: Container, bundle: Bundle, module: None) -> None:
    """As any other program of the container."""
    bundle.config["root"]["readonly"] = True
    bundle.process["noNewPrivileges"] = True
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    bundle.process["capabilities"] = {}
    rule = {"names": ["ptrace", "bpf", "mount"], "action": "SCMP_ACT_ERRNO"}
    bundle.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}
    assert (container.run().code, container.run().out) == (7, EXPECTED)


def test_the_host_s_files_cannot_be_written(container: Container, bundle: Bundle) -> None:
    """Each is a mount of its own, read-only; and there is nothing else of the host."""
    bundle.config["annotations"] = {HANDLER: "wasm"}
    # a module that is asked for nothing: the container is looked at from the side
    (bundle.rootfs / "loop.wat").write_text('(module (func (export "_start") (loop (br 0))))')
    bundle.process["args"] = ["/loop.wat"]
    container.started()
    place = Path(f"/proc/{container.pid}/root/dev/pyrun-wasm")
    names = sorted(path.name for path in place.iterdir())
    assert len(names) == 8
    assert {"run-wasm", "_libwasmtime.so", "libc.so.6"} <= set(names)
    assert [name for name in names if "python" in name] == []
    listed = Path(f"/proc/{container.pid}/mountinfo").read_text().splitlines()
    below = [line.split() for line in listed if " /dev/pyrun-wasm/" in line]
    assert sorted(fields[4].rpartition("/")[2] for fields in below) == names
    for fields in below:
        assert {"ro", "nosuid", "nodev"} <= set(fields[5].split(","))
    target = "/dev/pyrun-wasm/libc.so.6"
    result = container.runtime("exec", container.id, "/payload", "write", target, "x")
    assert result.answers() == ["error: EROFS"]
    result = container.runtime("exec", container.id, "/payload", "write", "/proc/1/exe", "x")
    assert result.answers()[0] in ("error: EROFS", "error: ETXTBSY", "error: EACCES")


def test_a_trap(container: Container, bundle: Bundle, module: None) -> None:
    (bundle.rootfs / "app.wasm").write_text(TRAP)
    result = container.run()
    assert result.code == 134
    assert "wasm: /app.wasm: " in result.err
    assert "unreachable" in result.err


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [(None, 127, "no such file or directory"), ("(modul", 126, ""), ("", 126, "it is empty")],
    ids=["missing", "no module", "empty"],
)
def test_what_is_no_module(
    container: Container, bundle: Bundle, module: None, content: str | None, code: int, words: str
) -> None:
    (bundle.rootfs / "app.wasm").unlink()
    if content is not None:
        (bundle.rootfs / "app.wasm").write_text(content)
    result = container.run()
    assert (result.code, result.out) == (code, "")
    assert result.err.startswith("wasm: /app.wasm: ")
    assert words in result.err.lower()


@pytest.mark.parametrize(
    ("annotations", "path", "handled"),
    [
        ({VARIANT: "compat"}, "/app.wasm", True),
        ({VARIANT: "compat-smart"}, "/app.wasm", True),
        ({VARIANT: "compat-smart"}, "/payload", False),
        ({VARIANT: "other"}, "/payload", False),
        ({HANDLER: "wasm", SANDBOX: "sandbox"}, "/payload", False),
        ({HANDLER: "wasm", SANDBOX: "container"}, "/app.wasm", True),
        ({VARIANT: "compat", SANDBOX: "sandbox"}, "/payload", False),
    ],
    ids=str,
)
def test_who_is_handled(
    container: Container,
    bundle: Bundle,
    module: None,
    annotations: dict[str, str],
    path: str,
    handled: bool,
) -> None:
    """As by crun's rules: the sandbox of a pod is a program like any other."""
    bundle.config["annotations"] = annotations
    bundle.process["args"] = [path, "print", "x"]
    result = container.run()
    assert result.code == (7 if handled else 0)
    assert ("hello" in result.out) is handled


def test_without_a_tmpfs(container: Container, bundle: Bundle, module: None) -> None:
    """Then mount points are made in the root, as for any mount."""
    bundle.config["mounts"] = [mount("/proc", "proc")]
    assert container.run().out == EXPECTED


@pytest.mark.parametrize("name", ["krun", "nonsense"])
def test_a_handler_that_is_not_there(container: Container, bundle: Bundle, name: str) -> None:
    bundle.config["annotations"] = {HANDLER: name}
    result = container.run("print x")
    assert (result.code, result.out) == (1, "")
    assert result.err == (
        f"pyrun: config.json /annotations/{HANDLER}: there is no handler '{name}':"
        " known are wasm; packages add pyrun.handlers\n"
    )


def test_exec_is_not_handled(container: Container, bundle: Bundle) -> None:
    """As with crun: another process is what it is."""
    bundle.config["annotations"] = {HANDLER: "wasm"}
    (bundle.rootfs / "loop.wat").write_text('(module (func (export "_start") (loop (br 0))))')
    bundle.process["args"] = ["/loop.wat"]
    container.started()
    result = container.runtime("exec", container.id, "/payload", "print", "x")
    assert result.answers() == ["x"]
    assert os.readlink(f"/proc/{container.pid}/exe").rpartition("/")[2].startswith("ld-linux")


def test_by_the_name_of_a_link(
    container: Container, bundle: Bundle, module: None, tmp_path: Path
) -> None:
    """As crun-wasm: where no annotation says something else."""
    link = tmp_path / "pyrun-wasm"
    link.symlink_to(container.runtime.path)
    container.runtime.path = str(link)
    bundle.config["annotations"] = {}
    assert container.run().out == EXPECTED
    bundle.config["annotations"] = {SANDBOX: "sandbox"}
    assert container.run("print x").answers() == ["x"]
    bundle.config["annotations"] = {HANDLER: "nonsense"}
    assert container.run("print x").code == 1

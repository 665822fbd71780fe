# SPDX-License-Identifier: Apache-2.0
"""The terminal of the container's own, hooks at their points, names and kernel parameters."""

from __future__ import annotations

import pytest

from pyrun.compile import hooks, namespaces, sysctl, terminal, uts
from unit.compile.rules import Config, listed, process, spaces, told

TTY = {**spaces("mount"), **process(terminal=True)}


def test_no_terminal() -> None:
    assert told(terminal.open_terminal, process()) == []
    assert told(terminal.bind_console, process()) == []
    assert told(terminal.hand_over, process(terminal=False)) == []
    assert told(terminal.session, process(user={"uid": 5})) == listed(
        """process.terminal: setsid()
        process.terminal: reopen_null(root)
        process.user.uid: chown_stdio(5)"""
    )


def test_terminal() -> None:
    assert told(terminal.open_terminal, TTY) == listed(
        """process.terminal: open_in_root(root, "/dev/pts", O_DIRECTORY|O_PATH, 0) = target
        process.terminal: open_pty(target) = master, peer"""
    )
    assert told(terminal.bind_console, TTY) == listed(
        """process.terminal: open_tree(peer, "", 0) = tree
        process.terminal: make_in_root(root, "/dev/console", S_IFREG|0600, 0) = target
        process.terminal: move_mount(tree, target)"""
    )
    assert told(terminal.hand_over, TTY) == [
        "process.terminal: sync_send(the console, master)",
        "process.terminal: close_slot(master)",
    ]
    assert told(terminal.session, TTY) == listed(
        """process.terminal: setsid()
        process.terminal: take_terminal(peer)
        process.terminal: reopen_null(root)
        process.user.uid: chown_terminal(peer, 0)"""
    )


def test_window_size_is_set_before_anyone_reads_it() -> None:
    config = process(terminal=True, consoleSize={"height": 25, "width": 80})
    lines = told(terminal.open_terminal, config)
    assert lines[2:] == ["process.consoleSize: set_window_size(master, 25, 80)"]
    assert told(terminal.bind_console, config) == []  # no mount namespace: no /dev/console
    without = process(consoleSize={"height": 25, "width": 80})
    assert told(terminal.open_terminal, without) == []


HOOK = {"path": "/bin/hook"}
STATE = "hooks.{0}: sync_receive(the state for hooks) = {1}"
OUTPUT = "hooks.{0}: sync_receive(a file for hooks' output) = hook_output"


def hooked(**kinds: object) -> Config:
    return {**spaces("mount"), **process(env=["P=1"]), "hooks": kinds}


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (hooked(), []),
        ({}, []),
        (hooked(poststart=[HOOK], poststop=[HOOK], createContainer=[HOOK]), []),
        (hooked(prestart=[HOOK]), ["hooks: sync(prestart and createRuntime hooks)"]),
        (hooked(createRuntime=[HOOK]), ["hooks: sync(prestart and createRuntime hooks)"]),
        (hooked(prestart=[], createRuntime=[]), []),
    ],
)
def test_runtime_hooks(config: Config, expected: list[str]) -> None:
    assert told(hooks.runtime_hooks, config) == expected


def test_create_container() -> None:
    full = {"path": "/h", "args": ["h", "x"], "env": ["A=1"], "timeout": 3}
    config = hooked(createContainer=[HOOK, full])
    begin = [STATE.format("createContainer", "hook_state"), OUTPUT.format("createContainer")]
    run = [
        'hooks.createContainer[0]: run_hook(["/bin/hook", "/bin/hook"], [], '
        "hook_state, hook_output, no timeout, hook_output, hook_output)",
        'hooks.createContainer[1]: run_hook(["/h", "h", "x"], ["A=1"], '
        "hook_state, hook_output, 3000 ms, hook_output, hook_output)",
    ]
    there = [
        'hooks.createContainer: open_host("/bundle", O_DIRECTORY|O_PATH) = bundle',
        "hooks.createContainer: fchdir(bundle)",
    ]
    assert told(hooks.create_container, config) == [*begin, *there, *run]
    # The container's root may not be able to reach the bundle.
    inside = {**config, "linux": spaces("user", "mount")["linux"]}
    assert told(hooks.create_container, inside) == [*begin, *run]
    assert told(hooks.create_container, hooked(prestart=[HOOK])) == []


def test_start_container() -> None:
    config = hooked(startContainer=[HOOK, {**HOOK, "env": ["H=1"]}])
    assert told(hooks.prepare_start, config) == [
        STATE.format("startContainer", "start_state"),
        OUTPUT.format("startContainer"),
    ]
    run = 'hooks.startContainer[{}]: run_hook(["/bin/hook", "/bin/hook"], [{}], {}'
    end = "start_state, hook_output, no timeout, hook_output, hook_output)"
    assert told(hooks.start_container, config) == [
        run.format(0, '"P=1"', end),  # the process's, as with runc
        run.format(1, '"H=1"', end),
    ]
    assert told(hooks.prepare_start, hooked()) + told(hooks.start_container, hooked()) == []


@pytest.mark.parametrize(
    ("seconds", "milliseconds"), [(1, 1000), (2147483, 2147483000), (2147484, 2**31 - 1)]
)
def test_timeouts_fit_into_poll(seconds: int, milliseconds: int) -> None:
    """4294968 seconds were 704 ms once."""
    config = hooked(startContainer=[{**HOOK, "timeout": seconds}])
    assert f" {milliseconds} ms, " in told(hooks.start_container, config)[0]


def test_files_for_what_they_print() -> None:
    """Each stream by itself; received again before start, for all that was open is closed then."""
    out, err = "run.oci.hooks.stdout", "run.oci.hooks.stderr"
    config = {**hooked(createContainer=[HOOK], startContainer=[HOOK]), "annotations": {err: "/e"}}
    receive = f'annotations["{err}"]: sync_receive(the file for hooks\' stderr) = hook_stderr'
    lines = told(hooks.create_container, config)
    assert receive in lines
    assert lines[-1].endswith("hook_output, no timeout, hook_output, hook_stderr)")
    assert told(hooks.prepare_start, config)[-1] == receive
    kept = "close_all_but([start_state, hook_output, hook_stderr, fifo, result])"
    assert told(namespaces.forget_all, config) == [f"linux.namespaces: {kept}"]
    config["annotations"] = {out: "/o", err: ""}
    lines = told(hooks.start_container, config)
    assert lines[-1].endswith("no timeout, hook_stdout, hook_output)")


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, []),
        ({"hostname": ""}, []),
        ({"hostname": "box"}, ['hostname: sethostname("box")']),
        (
            {"domainname": "d", "hostname": "h"},
            ['hostname: sethostname("h")', 'domainname: setdomainname("d")'],
        ),
    ],
)
def test_uts(config: Config, expected: list[str]) -> None:
    assert told(uts.set_names, config) == expected


def test_sysctl() -> None:
    settings = {"net.ipv4.conf.eth0/1.x": "1", "kernel/shmmax": "2 3"}
    config = spaces("network", "ipc", sysctl=settings)
    assert told(sysctl.write, config) == listed(
        """linux.sysctl: fsopen("proc") = context
        linux.sysctl: fsmount(context, 0) = proc
        linux.sysctl["net.ipv4.conf.eth0/1.x"]: write_proc(proc, "sys/net/ipv4/conf/eth0.1/x", "1")
        linux.sysctl["kernel/shmmax"]: write_proc(proc, "sys/kernel/shmmax", "2 3")
        linux.sysctl: close_slot(proc)"""
    )
    assert told(sysctl.write, spaces("network", sysctl={})) == []
    assert told(sysctl.write, {}) == []


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("a.b.c", "a/b/c"),
        ("a/b/c", "a/b/c"),
        ("a.b/c.d", "a/b.c/d"),
        ("a/b.c/d", "a/b.c/d"),
        ("a", "a"),
    ],
)
def test_sysctl_paths(key: str, path: str) -> None:
    assert sysctl.path_of(key) == path

# SPDX-License-Identifier: Apache-2.0
"""The global flags, and those that several verbs have."""

from __future__ import annotations

import click

from pyrun.cli.grammar import BOOLS
from pyrun.cli.program import USAGE, ContainerId, Flag, Word, switch
from pyrun.cli.version import version_text

# What runc takes for true and false.
TRUTHS = {spelling: str(truth).lower() for spelling, truth in BOOLS.items()}
NUMBER = click.IntRange(0, 999_999_999)


def _print_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:  # noqa: ARG001
    click.echo(version_text(ctx.meta.get("pyrun.argv0", "pyrun")), nl=False)
    ctx.exit(0)


GLOBALS: list[click.Parameter] = [
    Flag(
        "--root",
        metavar="DIR",
        section="State",
        help="Folder with the state of all containers: /run/pyrun, or $XDG_RUNTIME_DIR/pyrun"
        " without privileges.",
    ),
    Flag(
        "--log",
        metavar="FILE",
        section="Log",
        help="Append log records to FILE; an error goes there and to stderr. journald:ID and"
        " syslog:ID are the machine's own log.",
    ),
    Flag(
        "--log-format",
        type=Word(["text", "json"], {"": "text"}),
        default="text",
        section="Log",
        help="Form of the records: text, or one JSON object a line.",
    ),
    Flag(
        "--log-level",
        type=Word(["error", "warning", "debug"]),
        default="error",
        section="Log",
        help="The least serious record that is written.",
    ),
    switch("--debug", section="Log", help="Same as --log-level debug."),
    switch(
        "--systemd-cgroup",
        section="Cgroups",
        help="Let systemd make the cgroup; cgroupsPath then is SLICE:PREFIX:NAME.",
    ),
    Flag(
        "--cgroup-manager",
        type=Word(["cgroupfs", "systemd", "disabled"]),
        section="Cgroups",
        help="Who makes the cgroup; 'disabled' makes none.",
    ),
    Flag(
        "--rootless",
        type=Word(["true", "false", "auto"], {"": "auto", **TRUTHS}),
        default="auto",
        section="Cgroups",
        help="Tolerate cgroups that the caller may not write.",
    ),
    Flag(
        "-v",
        "-V",
        "--version",
        is_flag=True,
        section="Help",
        callback=_print_version,
        help="Print what was built, and exit.",
    ),
    Flag(
        "--criu",
        metavar="FILE",
        hidden=True,
        help="Taken and not used, as by runc since 1.2: criu is found in PATH.",
    ),
    USAGE,
]


def bundle(why: str = "Folder with config.json; the current one by default.") -> Flag:
    return Flag("-b", "--bundle", metavar="DIR", section="Bundle", help=why)


def config() -> Flag:
    """Whose config: of all verbs that read one."""
    return Flag(
        "-f",
        "--config",
        metavar="FILE",
        section="Bundle",
        help="Read this in place of the bundle's config.json.",
    )


def container_id() -> click.Argument:
    return ContainerId()


def new_id() -> click.Argument:
    """Of the verbs that make a container."""
    return ContainerId(new=True)


def regex() -> Flag:
    """Of kill and delete."""
    return switch(
        "-r",
        "--regex",
        help="ID is a regular expression: do it for every container whose id has a match. What"
        " fails is reported, and the exit code is 0 all the same.",
    )


def layered_root() -> list[click.Parameter]:
    """The flags that make the root of layers: of create, run and plan."""
    return [
        switch(
            "--ephemeral",
            section="Root",
            help="What the container writes goes with it: nothing reaches the rootfs.",
        ),
        Flag(
            "--overlay",
            metavar="DIR[:DIR...]",
            section="Root",
            help="The same, with these read-only layers on the rootfs, the topmost first.",
        ),
        Flag(
            "--overlay-upper",
            metavar="dir|tmpfs[:SIZE]",
            section="Root",
            help="Where those writes are kept: in the state folder, or in memory.",
        ),
    ]


def trace() -> Flag:
    """Of the verbs that carry out a plan."""
    return Flag(
        "--trace",
        metavar="FILE",
        section="Looking closer",
        help="Write how long every step takes to FILE, for Perfetto and 'pyrun trace'.",
    )


def making() -> list[click.Parameter]:
    """The flags of the two verbs that make a container: create and run."""
    return [
        bundle(),
        config(),
        Flag(
            "--console-socket",
            metavar="SOCKET",
            section="Terminal and files",
            help="Unix socket that receives the terminal's master end.",
        ),
        Flag(
            "--pidfd-socket",
            metavar="SOCKET",
            section="Terminal and files",
            help="Unix socket that receives a pidfd of the container's init.",
        ),
        Flag(
            "--pid-file",
            metavar="FILE",
            section="Terminal and files",
            help="Write the pid of the container's init here.",
        ),
        Flag(
            "--preserve-fds",
            metavar="N",
            type=NUMBER,
            section="Terminal and files",
            help="Pass N more file descriptors to the container, from 3 on.",
        ),
        switch(
            "--no-pivot",
            section="Isolation",
            help="Use chroot in place of pivot_root, for a rootfs on a ramdisk.",
        ),
        switch(
            "--no-new-keyring",
            section="Isolation",
            help="Keep the caller's session keyring; the container can then read it.",
        ),
        *layered_root(),
        trace(),
        switch("--no-subreaper", hidden=True, help="Leave orphans of the container to others."),
    ]

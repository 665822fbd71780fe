# SPDX-License-Identifier: Apache-2.0
"""The verb that brings another process into a container."""

from __future__ import annotations

import click

from pyrun.cli.program import Flag, Verb, switch
from pyrun.cli.verbs.flags import NUMBER, container_id, trace

WHAT, WHO = "Process", "Rights"
FILES, WHERE = "Terminal and files", "Container"


def _process() -> list[click.Parameter]:
    return [
        Flag(
            "-p",
            "--process",
            metavar="FILE",
            section=WHAT,
            help="Take the process from FILE, JSON as process is in config.json; without it, the"
            " container's own process runs with other arguments. Flags come on top of both.",
        ),
        switch(
            "-d", "--detach", section=WHAT, help="Do not wait: return once the program has started."
        ),
        Flag("--cwd", metavar="DIR", section=WHAT, help="Working directory, in the container."),
        Flag(
            "-e",
            "--env",
            metavar="NAME=VALUE",
            multiple=True,
            section=WHAT,
            help="Add to the environment; may be repeated, and the last of a name wins.",
        ),
    ]


def _rights() -> list[click.Parameter]:
    return [
        Flag(
            "-u",
            "--user",
            metavar="UID[:GID]",
            section=WHO,
            help="Run as this user of the container, by number.",
        ),
        Flag(
            "-g",
            "--additional-gids",
            metavar="GID",
            multiple=True,
            section=WHO,
            help="Add a supplementary group; may be repeated.",
        ),
        Flag(
            "-c",
            "--cap",
            metavar="NAME",
            multiple=True,
            section=WHO,
            help="Add a capability, such as CAP_NET_RAW; may be repeated.",
        ),
        Flag(
            "--no-new-privs",
            is_flag=True,
            default=None,
            section=WHO,
            help="No program of it gains privileges by its file.",
        ),
        Flag("--apparmor", metavar="PROFILE", section=WHO, help="AppArmor profile."),
        Flag("--process-label", metavar="LABEL", section=WHO, help="SELinux label."),
    ]


def _surroundings() -> list[click.Parameter]:
    return [
        switch("-t", "--tty", section=FILES, help="Give it a terminal of its own."),
        Flag(
            "--console-socket",
            metavar="SOCKET",
            section=FILES,
            help="Unix socket that receives the terminal's master end; with --detach.",
        ),
        Flag(
            "--pidfd-socket",
            metavar="SOCKET",
            section=FILES,
            help="Unix socket that receives a pidfd of the process.",
        ),
        Flag(
            "--pid-file", metavar="FILE", section=FILES, help="Write the pid of the process here."
        ),
        Flag(
            "--preserve-fds",
            metavar="N",
            type=NUMBER,
            section=FILES,
            help="Pass N more file descriptors to it, from 3 on.",
        ),
        Flag(
            "--cgroup",
            metavar="[CONTROLLER[,...]:]PATH",
            multiple=True,
            section=WHERE,
            help="Run it in a cgroup that is there below the container's.",
        ),
        switch(
            "--ignore-paused",
            section=WHERE,
            help="Also in a paused container: it starts when that is resumed.",
        ),
        switch("--no-subreaper", hidden=True, help="Orphans are never taken in."),
    ]


EXEC = Verb(
    "exec",
    "Run another process in a running container.",
    "The exit code is that of the process, or 128 and the number of the signal that killed it; 255"
    " when it could not be started.",
    section="Life of a container",
    example="pyrun exec --tty --env TERM=xterm web sh",
    params=[
        *_process(),
        *_rights(),
        *_surroundings(),
        trace(),
        container_id(),
        click.Argument(["args"], nargs=-1, required=False),
    ],
    stops=True,
)

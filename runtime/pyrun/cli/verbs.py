# SPDX-License-Identifier: Apache-2.0
"""Every verb of pyrun and every flag: the one place where they are defined.

The flags' names are those of runc, with crun's where runc has none, so that engines may call pyrun
in place of either. The build makes the hot path's table from this file (runtime/build/
flags_module.py). An option arrives in pyrun.commands.<verb>.run() by its long name with "_" for
"-"; a text that is not given is "", a number 0, a switch False.
"""

from __future__ import annotations

import click

from pyrun.cli.program import Flag, OptionalArgument, Program, Verb, switch
from pyrun.cli.version import version_text

LIFE = "Life of a container"
LOOK = "Looking at containers"
BUNDLES = "Bundles"

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
        help="Append log records to FILE; an error goes there and to stderr.",
    ),
    Flag(
        "--log-format",
        type=click.Choice(["text", "json"]),
        default="text",
        section="Log",
        help="Form of the records: text, or one JSON object a line.",
    ),
    Flag(
        "--log-level",
        type=click.Choice(["error", "warning", "debug"]),
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
        type=click.Choice(["cgroupfs", "systemd", "disabled"]),
        section="Cgroups",
        help="Who makes the cgroup; 'disabled' makes none.",
    ),
    Flag(
        "--rootless",
        type=click.Choice(["true", "false", "auto"]),
        default="auto",
        section="Cgroups",
        help="Tolerate cgroups that the caller may not write.",
    ),
    Flag(
        "-v",
        "--version",
        is_flag=True,
        section="Help",
        callback=_print_version,
        help="Print what was built, and exit.",
    ),
]


def _bundle(why: str = "Folder with config.json; the current one by default.") -> Flag:
    return Flag("-b", "--bundle", metavar="DIR", section="Bundle", help=why)


def _id() -> click.Argument:
    return click.Argument(["id"])


def _root() -> list[click.Parameter]:
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


def _making() -> list[click.Parameter]:
    """The flags of the two verbs that make a container: create and run."""
    return [
        _bundle(),
        Flag(
            "-f",
            "--config",
            metavar="FILE",
            section="Bundle",
            help="Read this in place of the bundle's config.json.",
        ),
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
        *_root(),
        switch("--no-subreaper", hidden=True, help="Leave orphans of the container to others."),
    ]


def _text(name: str, metavar: str, section: str, why: str) -> Flag:
    return Flag(f"--{name}", metavar=metavar, section=section, help=why)


def _limits() -> list[click.Parameter]:
    """The flags of update; it reads numbers and sizes itself, to say what is wrong with them."""
    cpu, memory, rest = "Processors", "Memory", "Other limits"
    return [
        Flag(
            "-r",
            "--resources",
            metavar="FILE",
            section="Resources",
            help="Take them from FILE (-: standard input), JSON as linux.resources is in"
            " config.json; all other flags are ignored.",
        ),
        _text("cpu-share", "N", cpu, "Weight among others, 2 to 262144; 1024 is the usual one."),
        _text("cpu-period", "MICROSECONDS", cpu, "Length of the period that a quota is for."),
        _text("cpu-quota", "MICROSECONDS", cpu, "Time that may be used in a period; -1: any."),
        _text("cpu-burst", "MICROSECONDS", cpu, "Time that may be saved up beyond the quota."),
        _text("cpu-idle", "0|1", cpu, "1: run when nobody else wants to."),
        _text("cpu-rt-period", "MICROSECONDS", cpu, "Period of realtime tasks (cgroup v1)."),
        _text("cpu-rt-runtime", "MICROSECONDS", cpu, "Time of realtime tasks (cgroup v1)."),
        _text("cpuset-cpus", "LIST", cpu, "Processors to run on, such as 0-3,7."),
        _text("cpuset-mems", "LIST", cpu, "Memory nodes to allocate from."),
        _text("memory", "SIZE", memory, "Limit, such as 512M; -1 is none, for swap as well."),
        _text("memory-reservation", "SIZE", memory, "What is spared when memory is short."),
        _text("memory-swap", "SIZE", memory, "Limit of memory and swap together; -1: none."),
        Flag("--kernel-memory", hidden=True, help="Ignored: no kernel has it any more."),
        Flag("--kernel-memory-tcp", hidden=True, help="Ignored: no kernel has it any more."),
        _text("pids-limit", "N", rest, "How many tasks there may be; -1: any number."),
        _text("blkio-weight", "N", rest, "Weight of block I/O, 10 to 1000."),
        _text("l3-cache-schema", "SCHEMA", rest, "Its part of the L3 cache (resctrl)."),
        _text("mem-bw-schema", "SCHEMA", rest, "Its part of the memory bandwidth (resctrl)."),
    ]


VERBS = [
    Verb(
        "create",
        "Create a container: everything up to its own program, which waits for start.",
        section=LIFE,
        example="pyrun create --bundle /srv/web web",
        params=[*_making(), _id()],
    ),
    Verb(
        "start",
        "Start the program of a created container.",
        section=LIFE,
        example="pyrun start web",
        params=[_id()],
    ),
    Verb(
        "run",
        "Create a container, start it, and wait for it to end.",
        "The exit code is that of the container's program, or 128 and the number of the signal"
        " that killed it.",
        section=LIFE,
        example="pyrun run --bundle /srv/web web",
        params=[
            *_making(),
            switch(
                "-d", "--detach", section="Running", help="Do not wait: return once it has started."
            ),
            switch("--keep", section="Running", help="Do not delete the container after it ends."),
            _id(),
        ],
    ),
    Verb(
        "kill",
        "Send a signal to a container's init: TERM, unless another is named.",
        "SIGNAL is a name, with or without SIG, or a number.",
        section=LIFE,
        example="pyrun kill web HUP",
        params=[
            switch("-a", "--all", help="Signal every process of the container."),
            _id(),
            OptionalArgument("signal", "SIGTERM"),
        ],
        stops=True,
    ),
    Verb(
        "delete",
        "Delete a container that has stopped, and all that was made for it.",
        section=LIFE,
        example="pyrun delete --force web",
        params=[
            switch(
                "-f", "--force", help="Kill it first; no error when there is no such container."
            ),
            _id(),
        ],
    ),
    Verb(
        "pause",
        "Freeze all processes of a container where they are.",
        section=LIFE,
        example="pyrun pause web",
        params=[_id()],
    ),
    Verb(
        "resume",
        "Let the processes of a paused container go on.",
        section=LIFE,
        example="pyrun resume web",
        params=[_id()],
    ),
    Verb(
        "update",
        "Change the limits of a container; what is not named stays as it is.",
        "When one cannot be set, all are as they were before.",
        section=LIFE,
        example="pyrun update --memory 512M --pids-limit 100 web",
        params=[*_limits(), _id()],
    ),
    Verb(
        "state",
        "Print a container's state as JSON.",
        section=LOOK,
        example="pyrun state web",
        params=[_id()],
    ),
    Verb(
        "list",
        "List the containers under the root folder.",
        section=LOOK,
        example="pyrun list --format json",
        params=[
            Flag(
                "-f",
                "--format",
                type=click.Choice(["table", "json"]),
                default="table",
                help="Form of the list.",
            ),
            switch("-q", "--quiet", help="Print ids alone."),
        ],
    ),
    Verb(
        "events",
        "Print what a container uses, and when it runs out of memory, as JSON lines.",
        "Ends with the container. Times have a unit: 5s, 1m30s, 100ms.",
        section=LOOK,
        example="pyrun events --interval 10s web",
        params=[
            Flag("--interval", metavar="TIME", default="5s", help="Time between two lines (5s)."),
            switch("--stats", help="Print what it uses now, and return."),
            _id(),
        ],
    ),
    Verb(
        "top",
        "Show what all containers use, on a screen that is kept up to date.",
        "Ends by q or Ctrl-C. Pressure is the share of the last 10 seconds in which some process"
        " waited for cpu, memory or io.",
        section=LOOK,
        example="pyrun top",
        params=[
            Flag(
                "--interval",
                metavar="TIME",
                default="2s",
                help="Time between two looks, of which the cpu's share is taken (2s).",
            ),
            switch(
                "--once", help="Print one table, and return; so it is where there is no terminal."
            ),
            switch("--json", help="The same as JSON: bytes, percent, and null for the unknown."),
        ],
    ),
    Verb(
        "ps",
        "List the processes of a container.",
        "As a table, they are the lines of the host's ps; words behind ID are options for it.",
        section=LOOK,
        example="pyrun ps web -o pid,comm",
        params=[
            Flag(
                "-f",
                "--format",
                type=click.Choice(["table", "json"]),
                default="table",
                help="Form of the list; json has the pids alone.",
            ),
            _id(),
            click.Argument(["options"], nargs=-1, required=False),
        ],
        stops=True,
    ),
    Verb(
        "features",
        "Print what this pyrun can do, as the specification's JSON document for engines.",
        section=BUNDLES,
        example="pyrun features",
        params=[],
    ),
    Verb(
        "spec",
        "Write a config.json to start from.",
        section=BUNDLES,
        example="pyrun spec --bundle /srv/web",
        params=[
            _bundle("Folder for the new config.json; the current one by default."),
            switch("--rootless", help="One that needs no privileges."),
        ],
    ),
    Verb(
        "validate",
        "Check a bundle's config.json and report every problem in it.",
        section=BUNDLES,
        example="pyrun validate --bundle /srv/web",
        params=[_bundle()],
    ),
    Verb(
        "plan",
        "Print what create would do with a bundle, operation by operation.",
        "Each operation stands with the field of config.json that asks for it. Nothing is made.",
        section=BUNDLES,
        example="pyrun plan --bundle /srv/web",
        params=[_bundle(), *_root(), switch("--json", help="Print the plan as JSON.")],
    ),
]

PROGRAM = Program(
    "pyrun",
    params=GLOBALS,
    commands={verb.name or "": verb for verb in VERBS},
    help="Run OCI containers: each is compiled to a plan, and the plan is executed.",
    context_settings={"help_option_names": ["-h", "--help"]},
    subcommand_metavar="VERB [ARGS]...",
)

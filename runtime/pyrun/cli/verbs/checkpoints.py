# SPDX-License-Identifier: Apache-2.0
"""The verbs that save a container and make one of what was saved."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyrun.cli.program import Flag, Verb, Word, switch
from pyrun.cli.verbs.flags import bundle, container_id

if TYPE_CHECKING:
    import click

SECTION = "Checkpoints"
IMAGES, NETWORK, PROCESSES, REST = "Images", "Network", "Processes", "Cgroups and security"


def _shared() -> list[click.Parameter]:
    """The flags that both have."""
    return [
        Flag(
            "--image-path",
            metavar="DIR",
            section=IMAGES,
            help="Folder of the images (./checkpoint).",
        ),
        Flag(
            "--work-path",
            metavar="DIR",
            section=IMAGES,
            help="Folder for CRIU's log and work files; made if it is missing. That of the images"
            " by default.",
        ),
        switch(
            "--auto-dedup", section=IMAGES, help="Free pages of the images that are not needed."
        ),
        switch("--lazy-pages", section=IMAGES, help="Move memory when it is first used."),
        switch("--tcp-established", section=NETWORK, help="Keep TCP connections."),
        switch("--ext-unix-sk", section=NETWORK, help="Allow Unix sockets connected to outside."),
        Flag(
            "--empty-ns",
            metavar="network",
            multiple=True,
            section=NETWORK,
            help="Leave what is in this namespace to hooks: no devices, addresses and routes.",
        ),
        Flag(
            "--network-lock",
            type=Word(["iptables", "nftables", "skip"]),
            section=NETWORK,
            help="What holds packets back meanwhile; iptables, where it is installed.",
        ),
        switch("--shell-job", section=PROCESSES, help="Allow a terminal that is the caller's own."),
        switch("--file-locks", section=PROCESSES, help="Keep file locks."),
        Flag(
            "--manage-cgroups-mode",
            type=Word(["soft", "full", "strict", "ignore"]),
            section=REST,
            help="What CRIU does about cgroups (soft).",
        ),
    ]


VERBS = [
    Verb(
        "checkpoint",
        "Save a running container to images, and end it.",
        "It needs criu, and root. The container is deleted then, as runc and crun do.",
        section=SECTION,
        example="pyrun checkpoint --image-path /srv/saved web",
        params=[
            *_shared(),
            switch("--leave-running", section=PROCESSES, help="Let the container run on."),
            switch("--link-remap", section=PROCESSES, help="Keep open files that were removed."),
            switch(
                "--pre-dump",
                section=IMAGES,
                help="Save memory alone, while it runs on: later images have what changed since.",
            ),
            Flag(
                "--parent-path",
                metavar="DIR",
                section=IMAGES,
                help="Folder of earlier images, relative to that of the images.",
            ),
            Flag(
                "--page-server",
                metavar="ADDRESS:PORT",
                section=IMAGES,
                help="Send memory to a criu page-server.",
            ),
            Flag(
                "--status-fd",
                metavar="N",
                section=IMAGES,
                help="Descriptor that gets a zero byte when lazy pages can be asked for.",
            ),
            switch(
                "--tcp-skip-in-flight",
                section=NETWORK,
                help="Leave out TCP connections that are not accepted yet.",
            ),
            container_id(),
        ],
    ),
    Verb(
        "restore",
        "Make a container of what checkpoint has saved, and let it run on.",
        "The bundle must be that of the container, or one with the same mounts and namespaces.",
        section=SECTION,
        example="pyrun restore --image-path /srv/saved --bundle /srv/web web",
        params=[
            bundle(),
            switch(
                "-d", "--detach", section=PROCESSES, help="Do not wait: return once it runs again."
            ),
            Flag(
                "--pid-file",
                metavar="FILE",
                section=PROCESSES,
                help="Write the pid of the container's init here.",
            ),
            Flag(
                "--console-socket",
                metavar="SOCKET",
                section=PROCESSES,
                help="Unix socket that receives the terminal's master end.",
            ),
            *_shared(),
            switch("--tcp-close", section=NETWORK, help="Restore TCP connections as closed ones."),
            Flag(
                "--lsm-profile",
                metavar="TYPE:NAME",
                section=REST,
                help="Another profile or label than before: apparmor:NAME or selinux:LABEL.",
            ),
            Flag(
                "--lsm-mount-context",
                metavar="CONTEXT",
                section=REST,
                help="Another SELinux context for mounts than before.",
            ),
            switch("--no-subreaper", hidden=True, help="Leave orphans of the container to others."),
            switch("--no-pivot", hidden=True, help="Taken for runc's sake: CRIU decides."),
            container_id(),
        ],
    ),
]

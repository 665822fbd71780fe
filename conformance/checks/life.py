# SPDX-License-Identifier: Apache-2.0
"""runtime.md: the five operations, one after the other and where they must fail."""

from __future__ import annotations

import os
from pathlib import Path

from conformance import leftovers
from conformance.case import Case
from conformance.container import Container
from conformance.plugin import check, each
from conformance.runtime import eventually


@check("runtime.scope.operations", "runtime.operations.all")
def check_whole_life(case: Case) -> None:
    """Every operation, on the same container."""
    box = case.box
    case.works("create", box.create("trap"))
    case.expect("status after create", "created", box.status())
    case.works("start", box.start())
    case.expect("status after start", "running", box.status())
    case.works("kill", box.kill("KILL"))
    case.require("status after kill", "stopped", box.status(), box.becomes("stopped"))
    case.works("delete", box.delete())
    case.error("state after delete", box.query())


@check("runtime.create.makes")
def check_create_makes(case: Case) -> None:
    """There is a container, with a process of its own."""
    box = case.box
    case.error("state before create", box.query())
    case.works("create", box.create("trap"))
    alive = Path(f"/proc/{box.pid}").exists()
    case.expect("the container's process is there", expected=True, seen=alive)


@check("runtime.start.runs", "runtime.life.program")
def check_start_runs(case: Case) -> None:
    """The program of the config, with its arguments."""
    box = case.box.started("print ran", "exit 7")
    case.expect("what the program printed", ["ran"], box.answered())


@check("runtime.life.program-waits", "runtime.create.args-wait")
def check_program_waits(case: Case) -> None:
    """Nothing of it is seen between create and start."""
    box = case.box
    box.bundle.mounts.append({"destination": "/work", "type": "bind", "options": ["bind"],
                              "source": str(box.bundle.path)})  # fmt: skip
    box.created("write /work/ran yes", "trap")
    ran = box.bundle.path / "ran"
    early = eventually(ran.exists, 0.3)
    case.expect("the program has run before start", expected=False, seen=early)
    case.works("start", box.start())
    late = eventually(ran.exists)
    case.expect("the program has run after start", expected=True, seen=late)


@check("runtime.life.config-updates")
def check_config_updates(case: Case) -> None:
    """What is written between create and start is not read."""
    box = case.box
    box.config["hostname"] = "before"
    box.created("hostname")
    box.config["hostname"] = "after"
    box.bundle.say("print changed")
    box.bundle.save()
    case.works("start", box.start())
    case.expect("what the program printed", ["before"], box.answered())


@check("runtime.life.environment", "runtime.life.resources", "runtime.create.properties")
def check_create_applies(case: Case) -> None:
    """Before start: namespaces, mounts, names and cgroup are as the config says."""
    box = case.box
    box.bundle.mounts.append({"destination": "/data", "type": "tmpfs", "source": "tmpfs"})
    box.created("hostname")
    for kind in ("pid", "net", "ipc", "uts", "mnt"):
        own = box.namespace(kind) != os.readlink(f"/proc/self/ns/{kind}")
        case.expect(f"a {kind} namespace of its own", expected=True, seen=own)
    lines = box.proc("mountinfo").splitlines()
    found = [line for line in lines if line.split()[4] == "/data"]
    case.require("a tmpfs at /data", "one mount", found, len(found) == 1 and "tmpfs" in found[0])
    paths = box.proc("cgroup")
    case.contains("the cgroups of the process", f"{leftovers.parent()}/{box.id}", paths)
    case.works("start", box.start())
    case.expect("the host name", ["box"], box.answered())


@check("runtime.life.environment-error", "runtime.create.unappliable")
def check_environment_error(case: Case) -> None:
    """A mount that can't be made: its source is not there."""
    case.box.bundle.mounts.append(
        {"destination": "/data", "type": "bind", "source": "/no/such/source", "options": ["bind"]}
    )
    case.error("create with a mount of nothing", case.box.create())


@check("runtime.create.unappliable-not-made")
def check_unappliable_not_made(case: Case) -> None:
    """There is no container after it."""
    case.box.bundle.mounts.append(
        {"destination": "/data", "type": "bind", "source": "/no/such/source", "options": ["bind"]}
    )
    case.box.create()
    case.error("state after a create that must fail", case.box.query())


@check("runtime.errors.undo")
def check_failed_create_leaves_nothing(case: Case) -> None:
    """No mount, no cgroup, no process and no state, once it has failed late: at a mount."""
    box = case.box
    box.bundle.mounts.append(
        {"destination": "/data", "type": "bind", "source": "/no/such/source", "options": ["bind"]}
    )
    before = (leftovers.mounts(), set(leftovers.children()))
    case.error("create with a mount of nothing", box.create())
    _nothing_left(case, box, *before)
    box.bundle.mounts.pop()
    case.works("create with the same id, mended", box.create("trap"))


def _nothing_left(case: Case, box: Container, mounts: set[str], children: set[int]) -> None:
    case.error("state", box.query())
    gone = eventually(lambda: not set(leftovers.children()) - children, 3)
    case.require("processes", "none is left", sorted(set(leftovers.children()) - children), gone)
    case.expect("mounts that are left", [], sorted(leftovers.mounts() - mounts))
    groups = [str(path) for path in leftovers.cgroups() if path.name == box.id]
    case.expect("cgroups that are left", [], groups)


@check("runtime.life.destroyed", "runtime.delete.resources")
def check_delete_undoes(case: Case) -> None:
    """No mount, no cgroup, no process and no state."""
    before = (leftovers.mounts(), set(leftovers.children()))
    box = case.box.stopped()
    case.works("delete", box.delete())
    _nothing_left(case, box, *before)


@check("runtime.delete.others")
def check_delete_leaves_others(case: Case) -> None:
    """What was there before stays: the bundle, what is mounted, a namespace that was joined."""
    holder = case.new().created()
    box = case.box
    box.bundle.namespace("uts", f"/proc/{holder.pid}/ns/uts")
    shared = box.bundle.path / "shared"
    shared.mkdir()
    (shared / "kept").write_text("kept")
    box.bundle.mounts.append({"destination": "/work", "type": "bind", "options": ["rbind"],
                              "source": str(shared)})  # fmt: skip
    box.stopped()
    case.works("delete", box.delete())
    case.expect("the bound folder", ["kept"], sorted(path.name for path in shared.iterdir()))
    there = (box.bundle.rootfs / "payload").exists()
    case.expect("the root filesystem is there", expected=True, seen=there)
    case.expect("the container whose namespace was joined", "created", holder.status())


@check("runtime.delete.id-again")
def check_id_again(case: Case) -> None:
    """The same id, after delete."""
    box = case.box.stopped()
    case.works("delete", box.delete())
    case.works("create with the same id", box.create("trap"))
    case.expect("status", "created", box.status())


def _taken(case: Case) -> tuple[Container, Container]:
    """A container, and one that is to have the same id."""
    first, second = case.new().created("trap"), case.new()
    second.id = first.id
    return first, second


@check("runtime.state.id-unique", "runtime.create.id-error")
def check_id_taken(case: Case) -> None:
    """A second create with the same id; one with an id that is no name of a folder."""
    _, second = _taken(case)
    case.error("create with an id that is taken", second.create())
    other = case.new()
    other.id = "../escaped/id"
    case.error("create with ../escaped/id as id", other.create())


@check("runtime.create.id-not-made")
def check_id_taken_not_made(case: Case) -> None:
    """The first container is what it was."""
    first, second = _taken(case)
    before = first.state()
    second.create()
    case.expect("the state of the first", before, first.state())
    case.works("start of the first", first.start())


@check("runtime.create.arguments")
def check_create_arguments(case: Case) -> None:
    """Without an id; without a bundle, in a folder that is none."""
    box = case.box
    box.bundle.save()
    case.error("create without an id", case.runtime("create", "--bundle", box.bundle.path))
    case.error("create without a bundle", case.runtime("create", box.id, cwd=case.folder))
    case.error("state after that", box.query())


@each({f"runtime.{'query' if verb == 'state' else verb}.no-id": verb
       for verb in ("state", "start", "kill", "delete")})  # fmt: skip
def check_no_id(case: Case, row: str) -> None:
    """The verb alone."""
    case.error(f"{row} without an id", case.runtime(row))


@check("runtime.query.unknown")
def check_unknown(case: Case) -> None:
    """An id that nobody has."""
    case.error("state of no container", case.box.query())


@check("runtime.start.not-created-error")
def check_start_twice(case: Case) -> None:
    """Of a running container, and of one that has stopped."""
    case.error("start of a running container", case.new().started("trap").start())
    case.error("start of a stopped container", case.new().stopped().start())


@check("runtime.start.not-created-no-effect")
def check_start_twice_no_effect(case: Case) -> None:
    """It runs on as the same process; it stays stopped."""
    running = case.new().started("print once", "trap")
    pid = running.pid
    running.answered()
    running.start()
    case.expect("the running container", ("running", pid), (running.status(), running.pid))
    case.expect("what it printed", ["once"], running.answers())
    stopped = case.new().stopped()
    stopped.start()
    case.expect("the stopped container", "stopped", stopped.status())


@check("runtime.start.no-process", "config.process-for-start")
def check_start_without_process(case: Case) -> None:
    """At the latest, start is the error."""
    del case.box.config["process"]
    result = case.box.create()
    if result.code == 0:
        result = case.box.start()
    case.error("start without process", result)


@check("runtime.kill.stopped-error")
def check_kill_stopped(case: Case) -> None:
    """Of a container that has ended."""
    case.error("kill of a stopped container", case.box.stopped().kill())


@check("runtime.kill.stopped-no-effect")
def check_kill_stopped_no_effect(case: Case) -> None:
    """It stays as it is."""
    box = case.box.stopped()
    before = box.state()
    box.kill()
    case.expect("the state", before, box.state())


@check("runtime.kill.sends")
def check_kill_sends(case: Case) -> None:
    """Signals arrive, each as itself."""
    box = case.box.started("trap")
    ready = box.printed("ready\n")
    case.expect("the program waits for signals", expected=True, seen=ready)
    for name in ("USR1", "HUP"):
        case.works(f"kill {name}", box.kill(name))
        arrived = box.printed(f"{name}\n")
        case.require(f"what came of {name}", name, box.output.read_text(), arrived)
    case.works("kill TERM", box.kill("TERM"))
    case.require("status after TERM", "stopped", box.status(), box.becomes("stopped"))


@check("runtime.delete.not-stopped-error")
def check_delete_not_stopped(case: Case) -> None:
    """Of a running container, and of a created one."""
    case.error("delete of a running container", case.new().started("trap").delete())
    case.error("delete of a created container", case.new().created("trap").delete())


@check("runtime.delete.not-stopped-no-effect")
def check_delete_not_stopped_no_effect(case: Case) -> None:
    """Both go on."""
    for status, box in (("running", case.new().started("trap")), ("created", case.new().created())):
        box.delete()
        seen = box.query()
        case.works(f"state of the {status} container after delete", seen)
        case.expect(f"status of the {status} container", status, box.status())


@check("runtime.life.exit")
def check_exit(case: Case) -> None:
    """By itself, with an exit code or not, by a signal that it gets."""
    for what, verb in (("ends", "exit 0"), ("fails", "exit 3")):
        box = case.new().started(verb)
        case.require(f"a program that {what}", "stopped", box.status(), box.becomes("stopped"))
    box = case.new().started("trap")
    case.works("kill", box.kill("KILL"))
    case.require("a program that is killed", "stopped", box.status(), box.becomes("stopped"))


@check("runtime.warnings.continue")
def check_warning_goes_on(case: Case) -> None:
    """A capability that no kernel has is worth a warning: the program runs all the same."""
    case.box.bundle.capabilities("CAP_CONFORMANCE")
    case.expect("what the program printed", ["ran"], case.box.ask("print ran"))


BUNDLES = {
    "bundle.config.required": ("no config.json at all", None),
    "bundle.config.root": ("config.json in a folder of the bundle", "folder/config.json"),
    "bundle.config.name": ("config.json as CONFIG.JSON", "CONFIG.JSON"),
}


@each(BUNDLES)
def check_bundle(case: Case, row: tuple[str, str | None]) -> None:
    """config.json lies elsewhere, or nowhere; in its place the same bundle is taken."""
    what, name = row
    box = case.box
    box.bundle.save()
    config = box.bundle.path / "config.json"
    text = config.read_text()
    config.unlink()
    if name:
        (box.bundle.path / name).parent.mkdir(exist_ok=True)
        (box.bundle.path / name).write_text(text)
    words = ("create", "--bundle", box.bundle.path, box.id)
    case.error(f"create with {what}", case.runtime(*words))
    config.write_text(text)
    case.works("create with it in its place", case.runtime(*words))


@check("runtime-linux.fds.more")
def check_descriptors(case: Case) -> None:
    """Only the standard ones are open, whatever the caller has open."""
    with open("/dev/null", "rb") as file:
        os.set_inheritable(file.fileno(), True)  # noqa: FBT003 - it takes no keyword
        box = case.box
        result = box.create("fds", pass_fds=(file.fileno(),))
    case.works("create", result)
    case.works("start", box.start())
    numbers = [line.split()[0] for line in box.answered()[0].splitlines()]
    case.expect("open descriptors", ["0", "1", "2"], numbers)


LINKS = {"fd": "", "stdin": "/0", "stdout": "/1", "stderr": "/2"}


@check("runtime-linux.dev-links")
def check_dev_links(case: Case) -> None:
    """Each of the four, where /dev is a new tmpfs."""
    seen = case.box.ask(*(f"readlink /dev/{name}" for name in LINKS))
    for name, end, target in zip(LINKS, LINKS.values(), seen, strict=True):
        case.expect(f"/dev/{name}", f"/proc/self/fd{end}", target)

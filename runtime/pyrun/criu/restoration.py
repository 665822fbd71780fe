# SPDX-License-Identifier: Apache-2.0
"""Making a container of images: as its creation, with CRIU in the place of the executor. All that
`delete --force` takes to undo it is on record before CRIU starts; CRIU itself undoes what it has
begun when we die, for it asks us several times on the way.
"""

from __future__ import annotations

import os
from typing import Any

from pyrun import (
    exec_record,
    init,
    interruption,
    launch,
    log,
    notify,
    shortcut,
    starting,
    sync,
    teardown,
)
from pyrun.cgroup import cgroupfs, driver, procs
from pyrun.cgroup.facts import facts as cgroup_facts
from pyrun.cgroup.plan import below_mount
from pyrun.compile import id_maps, restoring
from pyrun.compile.donations import namespace
from pyrun.creation import Creation
from pyrun.criu import (
    abilities,
    externals,
    faults,
    images,
    messages,
    mount_table,
    requests,
    verification,
    yard,
)
from pyrun.criu.service import Service
from pyrun.descendants import Adoption
from pyrun.errors import Error, from_os
from pyrun.launch import Child
from pyrun.linux import CLONE_NEWNS, SIGNALS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.criu.externals import External
    from pyrun.criu.service import Answer
    from pyrun.prepare import Prepared
    from pyrun.types import Config, Step

LOG = "restore.log"
NO_CGROUP = {"paths": {"": ""}}
LATE = ("memory.", "pids.", "hugetlb.")  # files of linux.resources.unified


class Restoration(Creation):
    """One restore."""

    def __init__(self, prepared: Prepared) -> None:
        requests.check(prepared.config)
        requests.check_cgroup(prepared.config, prepared.cgroup)
        self.images, self.work = images.open_pair(prepared.opts, make=False)
        self.streams = images.read_descriptors(self.images)
        self.notes = self.images.read(images.OURS) or {}
        self.child: Child | None = None
        self.externals: list[External] = []
        self.yard = ""
        self.launcher = -1  # for who waits
        resources = (prepared.config.get("linux") or {}).get("resources") or {}
        # systemd sets them as it makes the scope.
        by_systemd = prepared.cgroup["manager"] == "systemd"
        whole: tuple[Config, Config] = resources, {}
        self.early, self.late = whole if by_systemd else split_limits(resources)
        self.fds: list[int] = []  # streams that CRIU passes on, and namespaces that it joins
        super().__init__(prepared)

    def restore(self) -> Child:
        """Until it runs. On any failure everything is undone. Raises Error."""
        adoption = Adoption()  # whatever CRIU has started is ours to end
        try:
            interruption.catch()
            self._check_cgroup()
            self._write_intent()
            self._make_cgroup()
            self._make_nursery()
            if self.notes.get("notify") and not self.facts["notify"]:
                notify.make_folder(self.container)  # it is mounted there, whoever listens by now
            self._let_read_images()
            with yard.made(self.container, links=False) as (self.yard, hierarchies):
                self._restore_in(self._make_place(hierarchies))
            self._leave_nursery()
            shortcut.leave(self.container)
        except BaseException as error:  # noqa: BLE001 - also an interrupt is undone, and raised
            interruption.ignore()
            why = self.why(error)
            adoption.kill()
            adoption.end()
            self.undo()
            raise why from None
        finally:
            for fd in self.fds:
                os.close(fd)
        adoption.end()
        assert self.child is not None
        starting.poststart(self.container)
        return self.child

    def _check_cgroup(self) -> None:
        """--manage-cgroups-mode strict: one that is there already is somebody else's."""
        if self.opts["manage_cgroups_mode"] != "strict":
            return
        for path in procs.directories(self.prepared.cgroup):
            if os.path.exists(path):
                what = f"restore: the cgroup {path} is there already"
                raise Error(what, hint="another --manage-cgroups-mode takes it, if it is empty")

    def _make_cgroup(self, pid: int = 0) -> None:
        """Without the limits that CRIU, and the programs that it starts on the container's behalf,
        could run into."""
        whole = self.config
        self.config = {**whole, "linux": {**(whole.get("linux") or {}), "resources": self.early}}
        try:
            super()._make_cgroup(pid)
        finally:
            self.config = whole

    def _make_nursery(self) -> None:
        """A cgroup for CRIU, where what it starts is until it is in the container's: so whoever
        takes the container away finds everything. The container's limits are not meant for CRIU."""
        known = cgroup_facts()
        controller = "freezer" if "freezer" in known["mounts"] else ""
        if controller not in known["mounts"] or not self.container.intent["cgroup"]["paths"]:
            return
        point, root = known["mounts"][controller]
        own = below_mount(root, known["own"].get(controller, "/"))
        path = f"{point.rstrip('/')}{own}/pyrun-restore.{self.container.id}"
        self.container.intent["restoring"] = {
            "manager": "cgroupfs",
            "layout": known["layout"],
            "paths": {controller: path},
        }
        self.container.write_intent()
        try:
            cgroupfs.make(path)
        except OSError as error:
            raise from_os(error, f"make the cgroup {path}") from None

    def _leave_nursery(self) -> None:
        nursery = self.container.intent.pop("restoring", None)
        if nursery:
            driver.destroy(nursery)
            self.container.write_intent()

    def _let_read_images(self) -> None:
        if gid := self._root("gid"):
            images.let_read(self.images, gid)

    def _root(self, kind: str) -> int:
        """The container's root ("uid" or "gid"), as the host knows it."""
        maps = (self.config.get("linux") or {}).get(f"{kind}Mappings") or []
        return (id_maps.host_id(maps, 0) or 0) if namespace(self.config, "user") else 0

    def _restore_in(self, place: Child) -> None:
        try:
            if self.container.intent["cgroup"]["manager"] == "systemd":
                self._make_cgroup(place.pid)  # which takes a process, until CRIU has others
            self._converse(place)
        finally:
            _end(place)

    def _make_place(self, hierarchies: dict[str, str]) -> Child:
        """A process in CRIU's mount namespace, where the rootfs is a mount."""
        facts = {**self.facts, "hierarchies": hierarchies}
        steps = list(restoring.place(self.config, facts))
        title = f"pyrun:restore {self.container.id}"
        return self._executor(title, CLONE_NEWNS, steps, [], sync.READY)

    def _executor(
        self, title: str, flags: int, steps: list[Step], donated: list[int], until: int
    ) -> Child:
        child = launch.spawn(title, flags, -1, 0, privileged=True)
        try:
            launch.send_plan(child, steps, donated)
            launch.serve(child, {}, until, steps, self.config)
        except BaseException:
            _end(child)
            raise
        return child

    def _converse(self, place: Child) -> None:
        request = self._request()
        self.work.remove(LOG)
        view = os.open(f"/proc/{place.pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        try:
            keyring = (f"_ses.{self.container.id}", self._root("uid"), self._root("gid"))
            (nursery,) = (self.container.intent.get("restoring") or NO_CGROUP)["paths"].values()
            service = Service((self.images, self.work), view, self.fds, keyring, nursery)
        finally:
            os.close(view)
        done = False
        try:
            response = service.ask(request, self._notifications(), self._is_torn)
            done = True
        finally:
            service.end(kill=not done)
        if response is None or not response.success:
            raise faults.explain("restore", response, self.work, LOG, abilities.lacking())

    def _request(self) -> Any:
        request = messages.Request(type=messages.RESTORE)
        found = request.opts
        found.CopyFrom(requests.options(self.opts, self.config, self.images, self.work, LOG))
        if found.manage_cgroups_mode == messages.CGROUP_MODES["strict"]:
            # We have just made it, and saw that it was not there.
            found.manage_cgroups_mode = messages.CGROUP_MODES["full"]
        found.root = self.facts["rootfs"]
        if self.yard:
            found.cgroup_yard = self.yard
        found.rst_sibling = True  # the init is our child, as after `create`
        found.config_file = requests.config_file(self.config)
        for flag in ("tcp_close", "lsm_profile", "lsm_mount_context"):
            if self.opts[flag]:
                setattr(found, flag, self.opts[flag])
        self._name_externals(found)
        self._pass_descriptors(found)
        for controller, path in self._cgroup_roots():
            found.cg_root.add(ctrl=controller, path=path)
        return request

    def _name_externals(self, found: Any) -> None:
        ours = mount_table.of("self")
        known = externals.of_config(self.config, self.facts, self.container.path)
        if names := self.notes.get("destinations"):
            known = externals.named_as(known, names)
        known += externals.of_cgroups(self.container.intent["cgroup"], ours, "self")
        # Only what is mounted there by now: a name of the images chooses among the host's mounts
        # below a source that the config has anyway.
        nested = self.notes.get("rbind") or {}
        present = externals.below_rbind(self.config, self.facts, ours).values()
        nested = {name: path for name, path in nested.items() if path in present}
        self.externals = externals.with_nested(known, nested)
        for external in self.externals:
            found.ext_mnt.add(key=external.name, val=external.path)

    def _pass_descriptors(self, found: Any) -> None:
        """Our standard streams for those of the old container, and the namespaces to join."""
        for number, name in enumerate(self.streams):
            if not name or name in self.streams[:number]:
                continue
            if name.startswith("tty") and not os.isatty(number):
                raise Error(
                    f"restore: standard stream {number} was a terminal, and must be one again"
                )
            # A copy: CRIU closes it, and takes 0 for the terminal of --shell-job.
            self.fds.append(os.dup(number))
            found.inherit_fd.add(key=name, fd=self.fds[-1])
        for kind, name in requests.EXTERNAL.items():
            if path := requests.joined(self.config, kind):
                found.inherit_fd.add(key=name, fd=self._open_namespace(path))
        for kind, name in requests.JOINED.items():
            if path := requests.joined(self.config, kind):
                found.join_ns.add(ns=name, ns_file=path)

    def _open_namespace(self, path: str) -> int:
        try:
            self.fds.append(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        except OSError as error:
            raise from_os(error, f"open {path}", "/linux/namespaces") from None
        return self.fds[-1]

    def _cgroup_roots(self) -> list[tuple[str, str]]:
        """(controller, the container's cgroup) in CRIU's words: as in proc_pid_cgroup(5)."""
        record, mounts = self.container.intent["cgroup"], cgroup_facts()["mounts"]
        found = []
        for controller, path in record["paths"].items():
            point, root = mounts[controller]
            place = mount_table.join(path, record.get("subgroup") or "")
            below = mount_table.below(place, point) or ""
            found.append((controller, mount_table.join(root, below)))
        return found

    def _notifications(self) -> dict[str, Answer]:
        return {
            "setup-namespaces": self._namespaces_made,
            "orphan-pts-master": lambda _pid, fd: self._console(self._child(), fd),
            "post-restore": self._restored,
            "pre-resume": self._about_to_run,
        }

    def _is_torn(self) -> bool:
        """CRIU, when it fails late, kills the init and waits for it: for ever, if the init in turn
        waits for a process that CRIU itself traces."""
        return self.child is not None and verification.is_exiting(self.child.pid)

    def _child(self) -> Child:
        assert self.child is not None, "criu names the init before anything else"
        return self.child

    def _namespaces_made(self, pid: int, _fd: int) -> None:
        """There is an init, in its namespaces, and nothing else: the place of those hooks."""
        self.child = Child(pid, os.pidfd_open(pid), -1)
        self._record(self.child)
        self._enter_rdt_groups(self.child)
        self._run_hooks(self.child, -1)

    def _restored(self, _pid: int, _fd: int) -> None:
        """Everything is as it was, and stands still. What is owed before it runs on, and all that a
        caller may rely on when we return 0."""
        child = self._child()
        cgroup = self.container.intent["cgroup"]
        if self.opts["manage_cgroups_mode"] == "ignore":
            for process in verification.processes(child.pid):
                procs.join(cgroup, process)
        if self.late:
            driver.update(cgroup, self.late)
        if self.config["root"].get("readonly"):
            steps = list(restoring.readonly_root(self.config, self.facts))
            self._do_in(child, "mnt", steps)
        if requests.leaves_network(self.opts, self.config):
            self._do_in(child, "net", list(restoring.loopback(self.config, self.facts)))
        verification.check(child.pid, self.config, self.facts, self.externals)
        if self.opts["pid_file"]:
            teardown.write_pid_file(self.opts["pid_file"], child.pid)
        if not self.opts["detach"]:
            from pyrun import waiter  # only who waits needs it

            self.launcher = waiter.prepare()
        interruption.ignore()
        exec_record.leave(self.container, self.config, self.facts)
        self.container.state |= {"phase": init.CREATED, "hooks_begun": True}
        self.container.write_state()
        log.debug(f"container {self.container.id}: restored, pid {child.pid}")

    def _about_to_run(self, _pid: int, _fd: int) -> None:
        """Only now CRIU has given it its label; and it would go on without minding us."""
        try:
            verification.check_label(self._child().pid, self.config, self.opts["lsm_profile"])
        except Error:
            init.signal(self._child().pidfd, SIGNALS["KILL"])
            raise

    def _do_in(self, child: Child, kind: str, steps: list[Step]) -> None:
        """The steps, which begin by joining this namespace of the container."""
        namespace = os.open(f"/proc/{child.pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _end(self._executor("pyrun:restoring", 0, steps, [namespace], 0))
        finally:
            os.close(namespace)


def split_limits(resources: Config) -> tuple[Config, Config]:
    """linux.resources in two: those that have to be there from the beginning, and those that are
    set when everything is restored, and has not run on: of memory and processes."""
    unified = resources.get("unified") or {}
    late = {key: value for key, value in unified.items() if key.startswith(LATE)}
    names = [name for name in ("memory", "pids", "hugepageLimits") if resources.get(name)]
    early = {key: value for key, value in resources.items() if key not in names}
    if late:
        early["unified"] = {key: value for key, value in unified.items() if key not in late}
    found: Config = {name: resources[name] for name in names}
    return early, {**found, "unified": late} if late else found


def _end(child: Child) -> None:
    """An executor that has done its work: it ends with the socket."""
    os.close(child.socket)
    os.waitpid(child.pid, 0)
    os.close(child.pidfd)

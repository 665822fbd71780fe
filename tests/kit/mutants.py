# SPDX-License-Identifier: Apache-2.0
"""A fault for each requirement: what a runtime that breaks it would do. The words are those of
faulty.py. What is not here is in EXCUSED, with the reason."""

from __future__ import annotations

HOOKS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
OUTSIDE = ("prestart", "createRuntime", "poststart", "poststop")
LAST = "/mounts/-1"
OPTION = f"{LAST}/options/-1"
EVERYTHING = 'put:/linux/resources/devices=[{"allow": true, "access": "rwm"}]'

RUNTIME = {
    "runtime.scope.operations": "nothing:kill=0",
    "runtime.operations.all": "nothing:delete=0",
    "runtime.create.makes": "nothing:create=0",
    "runtime.start.runs": "nothing:start=0",
    "runtime.life.program": "put:/process/args/2=\"other\"",
    "runtime.life.program-waits": "early:",
    "runtime.create.args-wait": "early:",
    "runtime.life.config-updates": "again:created",
    "runtime.life.environment": "drop:/mounts/-1",
    "runtime.life.resources": "put:/linux/cgroupsPath=\"/conformance-other\"",
    "runtime.create.properties": "drop:/linux/namespaces/2",
    "runtime.life.environment-error": "accept:",
    "runtime.create.unappliable": "accept:",
    "runtime.create.unappliable-not-made": "accept:1",
    "runtime.errors.undo": "leave:mount",
    "runtime.life.destroyed": "leave:cgroup",
    "runtime.delete.resources": "leave:mount",
    "runtime.delete.others": "greedy:",
    "runtime.delete.id-again": "remember:",
    "runtime.state.id-unique": "replace:",
    "runtime.create.id-error": "replace:",
    "runtime.create.id-not-made": "replace:",
    "runtime.create.arguments": "accept:0",
    "runtime.query.no-id": "exit:state=0",
    "runtime.start.no-id": "exit:start=0",
    "runtime.kill.no-id": "exit:kill=0",
    "runtime.delete.no-id": "exit:delete=0",
    "runtime.query.unknown": "exit:state=0",
    "runtime.start.not-created-error": "exit:start=0",
    "runtime.start.not-created-no-effect": "again:running",
    "runtime.start.no-process": "accept:",
    "config.process-for-start": "accept:",
    "runtime.kill.stopped-error": "exit:kill=0",
    "runtime.kill.stopped-no-effect": "kill-deletes:",
    "runtime.kill.sends": "wrong-signal:KILL",
    "runtime.life.exit": "printed:state=put /status=\"running\"",
    "runtime.warnings.continue": "nothing:run=1",
    "bundle.config.required": "accept:",
    "bundle.config.root": "accept:",
    "bundle.config.name": "accept:",
    "runtime-linux.fds.more": "leak-descriptor:",
    "runtime-linux.dev-links": "inside:remove /dev/fd",
    "runtime.query.returns": "printed:state=put /id=\"other\"",
    "runtime.state.ociVersion": "printed:state=put /ociVersion=\"1.0\"",
    "runtime.state.id": "printed:state=put /id=\"other\"",
    "runtime.state.status": "printed:state=drop /status",
    "runtime.state.status-values": "printed:state=put /status=\"active\"",
    "runtime.state.status-new-only": "printed:state=put /status=\"active\"",
    "runtime.state.pid": "printed:state=put /pid=2",
    "runtime.state.bundle": "printed:state=put /bundle=\"bundle\"",
    "runtime.state.annotations": "drop:/annotations",
    "runtime.state.annotations-none": "printed:state=put /annotations=null",
    "runtime.state.schema": "printed:state=put /annotations/com.example.one=1",
}  # fmt: skip

HOOK_FAULTS = {
    **{f"runtime.life.{kind}": f"drop:/hooks/{kind}" for kind in HOOKS},
    **{f"config.hooks.{kind}": f"drop:/hooks/{kind}" for kind in HOOKS},
    **{f"runtime.life.{kind}-fails": f"drop:/hooks/{kind}" for kind in HOOKS[:5]},
    "runtime.life.poststop-fails": "drop:/hooks/poststop/1",
    "config.hooks": "move:prestart<>createRuntime",
    "config.hooks-any": "drop:/hooks/poststart",
    "config.hooks-order": "reverse-hooks:",
    "config.hooks-state": "wrap-hooks:echo '{}' | \"$0\" \"$@\"",
    **{f"config{part}.{kind}.namespace": "wrap-hooks:exec unshare --uts \"$0\" \"$@\""
       for kind in OUTSIDE for part in ("", ".hooks")},
    **{f"config{part}.createContainer.namespace": "move:createContainer>createRuntime"
       for part in ("", ".hooks")},
    **{f"config{part}.startContainer.namespace": "drop:/hooks/startContainer"
       for part in ("", ".hooks")},
    **{f"config{part}.{kind}.path-resolves": "hook-path:/bin/true"
       for kind in OUTSIDE + ("createContainer",) for part in ("", ".hooks")},
    **{f"config{part}.startContainer.path-resolves": "move:startContainer>poststart"
       for part in ("", ".hooks")},
    "config.prestart.when": "move:prestart>poststart",
    "config.createRuntime.when": "move:createRuntime>poststart",
    "config.createContainer.when": "move:createContainer>poststart",
    "config.startContainer.when": "drop:/hooks/startContainer",
    "config.poststart.when": "move:poststart>createRuntime",
    "config.poststop.when": "move:poststop>poststart",
    "config.prestart.before-createRuntime": "move:prestart<>createRuntime",
    "config.createContainer.after-createRuntime": "move:createRuntime<>createContainer",
}  # fmt: skip
for _kind in ("prestart", "createRuntime"):
    HOOK_FAULTS |= {
        f"config.hooks.{_kind}.path": "hook-path:/bin/true",
        f"config.hooks.{_kind}.path-absolute": "accept:",
        f"config.hooks.{_kind}.args": "hook-drop:args",
        f"config.hooks.{_kind}.env": "hook-environment:",
        f"config.hooks.{_kind}.timeout": "hook-drop:timeout",
        f"config.hooks.{_kind}.timeout-positive": "hook-drop:timeout",
    }

RLIMITS = "drop:/process/rlimits"
PROCESS = {
    "config.process.terminal": "put:/process/terminal=false",
    **{f"config.process.consoleSize{end}": "drop:/process/consoleSize"
       for end in ("", ".height", ".width")},
    "config.process.consoleSize-ignored": "nothing:run=1",
    "config.process.cwd": "put:/process/cwd=\"/\"",
    "config.process.cwd-absolute": "put:/process/cwd=\"/tmp\"",
    "config.process.env": "leak-environment:",
    "config.process.args": "drop:/process/args/-1",
    "config.process.args-one": "accept:",
    **{f"config.process.rlimits{end}": RLIMITS for end in (
        "", ".type", ".type-unknown", ".type-getrlimit", ".soft", ".soft-matches", ".hard",
        ".hard-matches", "-twice")},
    "config.process.capabilities": "drop:/process/capabilities/bounding",
    "config.process.capabilities-warning": "nothing:run=1",
    "config.process.capabilities-no-failure": "nothing:run=1",
    **{f"config.process.capabilities.{name}": f"drop:/process/capabilities/{name}"
       for name in ("bounding", "inheritable", "permitted", "ambient")},
    "config.process.noNewPrivileges": "put:/process/noNewPrivileges=true",
    "config.process.oomScoreAdj": "drop:/process/oomScoreAdj",
    "config.process.oomScoreAdj-set": "drop:/process/oomScoreAdj",
    "config.process.oomScoreAdj-unset": "put:/process/oomScoreAdj=0",
    **{f"config.process.scheduler{end}": "drop:/process/scheduler" for end in (
        "", ".policy", ".priority", ".runtime", ".deadline", ".period")},
    "config.process.scheduler.nice": "drop:/process/scheduler/nice",
    "config.process.scheduler.flags": "drop:/process/scheduler/flags",
    **{f"config.process.ioPriority{end}": "drop:/process/ioPriority"
       for end in ("", ".class", ".priority")},
    "config.process.execCPUAffinity": "exec-affinity:",
    "config.process.user.uid": "put:/process/user/uid=0",
    "config.process.user.gid": "put:/process/user/gid=0",
    "config.process.user.umask": "drop:/process/user/umask",
    "config.process.user.additionalGids": "drop:/process/user/additionalGids",
    **{f"config-linux.memoryPolicy{end}": "drop:/linux/memoryPolicy" for end in (
        "", ".mode", ".nodes")},
    "config-linux.memoryPolicy.flags": "drop:/linux/memoryPolicy/flags",
    **{f"config-linux.personality{end}": "drop:/linux/personality" for end in (
        "", ".domain", ".flags")},
}  # fmt: skip

FILES = {
    "config.root-posix": "put:/root={\"path\": \"rootfs\"}",
    "config.root.path": "put:/root/path=\"rootfs\"",
    "config.root.path-exists": "accept:",
    "config.root.readonly": "put:/root/readonly=true",
    "config.root.readonly-true": "drop:/root/readonly",
    "config-linux.rootfsPropagation": "drop:/linux/rootfsPropagation",
    **{f"config-linux.{name}{end}": f"drop:/linux/{name}"
       for name in ("maskedPaths", "readonlyPaths") for end in ("", "-absolute")},
    "config.mounts": f"drop:{LAST}",
    "config-linux.filesystems": "drop-mount:/sys",
    "config.mounts.order": "swap-last-mounts:",
    "config.mounts.destination": f"put:{LAST}/destination=\"/other\"",
    "config.mounts.destination-relative": f"put:{LAST}/destination=\"/tmp/data\"",
    "config.mounts.destination-relative-to-root": f"put:{LAST}/destination=\"/tmp/data\"",
    "config.mounts.source": "put:/mounts/-2/source=\"one\"",
    "config.mounts.options": "drop:/mounts/-2/options",
    "config.mounts.type": f"put:{LAST}/type=\"tmpfs\"",
    "config.mounts.option-unknown": f"drop:{LAST}/options/0",
    **{f"config.mounts.{name}": "unmapped:" for name in (
        "uidMappings", "gidMappings", "uidMappings-alone", "gidMappings-alone")},
    **{f"config.mounts.option.{name}{end}": "unmapped:" for name in ("idmap", "ridmap")
       for end in ("", "-applied", "-own-maps", "-user-namespace", "-or-error", "-no-maps")},
}  # fmt: skip

# Options whose last word is passed over; those that would not show then get another word.
PASSED_OVER = [
    "async", "atime", "dev", "diratime", "dirsync", "exec", "lazytime", "noatime", "nodev",
    "nodiratime", "noexec", "nolazytime", "nostrictatime", "nosuid", "nosymfollow", "ro", "rw",
    "strictatime", "suid", "symfollow", "sync", "tmpcopyup", "ratime", "rdev", "rdiratime",
    "rexec", "rnoatime", "rnodiratime", "rnoexec", "rnostrictatime", "rnosuid", "rnosymfollow",
    "rrelatime", "rro", "rrw", "rstrictatime", "rsuid", "rsymfollow",
]  # fmt: skip
OTHERWISE = {
    "defaults": "noexec", "norelatime": "noatime", "relatime": "noatime", "rnorelatime": "rnoatime",
    "nomand": "ro", "bind": "rbind", "private": "shared", "rprivate": "rshared",
    "shared": "private", "rshared": "rprivate", "slave": "private", "rslave": "rprivate",
    "unbindable": "private", "runbindable": "rprivate",
}  # fmt: skip
REFUSED = ("iversion", "noiversion", "silent", "loud")  # nothing but that they are taken is seen
OPTIONS = {
    **dict.fromkeys(PASSED_OVER, f"drop:{OPTION}"),
    **{name: f"put:{OPTION}=\"{word}\"" for name, word in OTHERWISE.items()},
    **dict.fromkeys(REFUSED, f"put:{OPTION}=\"no-such-option\""),
    "rbind": f"put:{LAST}/options/0=\"bind\"",
    "remount": f"drop:{LAST}",
    "mand": "nothing:run=0",
}  # fmt: skip
FILES |= {f"config.mounts.option.{name}": fault for name, fault in OPTIONS.items()}

NAMESPACES = {
    "config-linux.namespaces.type": "drop:/linux/namespaces/1",
    "config-linux.namespaces.types": "drop:/linux/namespaces/-1",
    "config-linux.namespaces.new": "drop:/linux/namespaces/1",
    "config-linux.namespaces.path": "unjoined:",
    "config-linux.namespaces.path-joined": "unjoined:",
    "config-linux.namespaces.path-absolute": "unjoined:",
    "config-linux.namespaces.path-other-type": "unjoined:",
    "config-linux.namespaces.inherited": "append:/linux/namespaces={\"type\": \"uts\"}",
    "config-linux.namespaces.twice": "dedupe:",
    **{f"config-linux.{name}": "drop:/linux/uidMappings/1" for name in (
        "uidMappings", "mapping.containerID", "mapping.hostID")},
    **{f"config-linux.{name}": "drop:/linux/gidMappings/1" for name in (
        "gidMappings", "mapping.size")},
    "config-linux.mapping.ownership": "give-away:",
    **{f"config-linux.timeOffsets{end}": "drop:/linux/timeOffsets"
       for end in ("", ".secs", ".nanosecs")},
    "config.hostname": "drop:/hostname",
    "config.domainname": "drop:/domainname",
    "config.linux": "drop:/linux/sysctl",
    "config-linux.sysctl": "drop:/linux/sysctl/kernel.msgmax",
    "config.annotations": "drop:/annotations",
    "config.annotations-none": "nothing:run=1",
    "config.annotations.value-empty": "nothing:run=1",
    "config.annotations.unknown": "nothing:run=1",
    **{f"config.annotations{end}": "drop:/annotations"
       for end in ("-map", ".key-empty", ".value-string")},
    "config.ociVersion-form": "put:/ociVersion=\"1.0.2\"",
    "config.extensibility.ignore": "nothing:run=1",
    "config.values.invalid": "accept:",
}  # fmt: skip

CGROUPS = {
    "config-linux.cgroupsPath": "put:/linux/cgroupsPath=\"/conformance-other\"",
    "config-linux.cgroupsPath.absolute": "put:/linux/cgroupsPath=\"/conformance-other\"",
    "config-linux.cgroupsPath.relative": "put:/linux/cgroupsPath=\"/conformance-other\"",
    "config-linux.cgroupsPath.consistent": "scatter:",
    "config-linux.cgroupsPath.default": "leave:cgroup",
    "config-linux.cgroup.fit-error": "kill-others:",
    "config-linux.cgroup-owner.v1": "chown-cgroup:",
    **{f"config-linux.resources.devices{end}": EVERYTHING
       for end in ("", ".order", ".allow", ".type", ".major-minor", ".access")},
    **{f"config-linux.memory{end}": "drop:/linux/resources/memory" for end in (
        "", ".limit", ".reservation", ".swap", ".swappiness", ".disableOOMKiller")},
    **{f"config-linux.cpu{end}": "drop:/linux/resources/cpu" for end in (
        "", ".shares", ".quota", ".period", ".cpus", ".mems", ".idle", ".quota-burst",
        ".burst-quota",
        ".realtimeRuntime", ".realtimePeriod")},
    "config-linux.cpu.burst": "drop:/linux/resources/cpu/burst",
    **{f"config-linux.pids{end}": "drop:/linux/resources/pids"
       for end in ("", ".limit", ".limit-zero")},
    **{f"config-linux.blockIO{end}": "drop:/linux/resources/blockIO" for end in (
        "", ".weight", ".weightDevice-one", ".throttleBps", ".throttleBps.major-minor",
        ".throttleBps.rate", ".throttleIOPS", ".throttleIOPS.major-minor", ".throttleIOPS.rate")},
    **{f"config-linux.hugepageLimits{end}": "drop:/linux/resources/hugepageLimits"
       for end in ("", ".pageSize", ".limit")},
    "config-linux.rdma-one": "drop:/linux/resources/rdma",
    "config-linux.intelRdt.no-resctrl": "drop:/linux/intelRdt",
}  # fmt: skip

DEVICES = {
    **{f"config-linux.devices{end}": "drop:/linux/devices" for end in (
        "", ".available", ".type", ".path", ".path-taken", ".path-anywhere", ".major-minor")},
    "config-linux.devices.fileMode": "drop:/linux/devices/0/fileMode",
    "config-linux.devices.uid": "drop:/linux/devices/0/uid",
    "config-linux.devices.gid": "drop:/linux/devices/0/gid",
    "config-linux.devices.others": EVERYTHING,
    "config-linux.devices.default": "inside:remove /dev/full",
    **{f"config-linux.netDevices{end}": "drop:/linux/netDevices" for end in (
        "", ".available", ".name", ".checked", ".name-taken", ".name-template", ".addresses", ".up",
        ".not-moved-back")},
}  # fmt: skip

SECCOMP = {
    **{f"config-linux.seccomp{end}": "drop:/linux/seccomp" for end in (
        "", ".syscalls", ".syscalls-left-out", ".syscalls.action", ".syscalls.names-one",
        ".listenerPath", ".listenerPath-error")},
    "config-linux.seccomp.syscalls.names": "drop:/linux/seccomp/syscalls/0/names/2",
    "config-linux.seccomp.defaultAction": "put:/linux/seccomp/defaultAction=\"SCMP_ACT_ALLOW\"",
    "config-linux.seccomp.defaultErrnoRet": "drop:/linux/seccomp/defaultErrnoRet",
    "config-linux.seccomp.defaultErrnoRet-unsuitable": "drop:/linux/seccomp/defaultErrnoRet",
    "config-linux.seccomp.syscalls.errnoRet": "drop:/linux/seccomp/syscalls/1/errnoRet",
    "config-linux.seccomp.syscalls.errnoRet-unsuitable": "drop:/linux/seccomp/syscalls/0/errnoRet",
    "config-linux.seccomp.listenerMetadata-alone": "drop:/linux/seccomp/listenerMetadata",
    "config-linux.seccomp.architectures": "drop:/linux/seccomp/architectures",
    "config-linux.seccomp.flags": "drop:/linux/seccomp/flags",
    **{f"config-linux.seccomp.syscalls.args{end}": "drop:/linux/seccomp/syscalls/0/args"
       for end in ("", ".value", ".op")},
    "config-linux.seccomp.syscalls.args.index": "put:/linux/seccomp/syscalls/0/args/0/index=1",
    "config-linux.seccomp.syscalls.args.valueTwo":
        "put:/linux/seccomp/syscalls/0/args/0/valueTwo=448",
    "config-linux.seccomp.listenerPath-stream": "drop:/linux/seccomp",
    "config-linux.seccomp.listenerPath-one": "agent:twice",
    "config-linux.seccomp.listenerPath-not-again": "agent:twice",
    "config-linux.seccomp.listenerPath-closed": "agent:keep-open",
    "config-linux.seccomp.listenerPath.seccompFd": "agent:other-descriptor",
    "config-linux.seccomp.listenerMetadata": "drop:/linux/seccomp/listenerMetadata",
    "config-linux.process-state.sent": "agent:no-json",
    "config-linux.process-state.descriptors": "agent:other-descriptor",
    "config-linux.process-state.descriptors-first": "agent:late-descriptor",
    "config-linux.process-state.ociVersion": "agent:put /ociVersion=\"1\"",
    "config-linux.process-state.fds": "agent:drop /fds",
    "config-linux.process-state.pid": "agent:put /pid=1",
    "config-linux.process-state.metadata": "agent:put /metadata=\"other\"",
    "config-linux.process-state.state": "agent:put /state/id=\"other\"",
}  # fmt: skip

BOOLEANS = [
    *(f"cgroup.{name}" for name in ("v1", "v2", "systemd", "systemdUser", "rdma")),
    *(f"{name}.enabled" for name in (
        "seccomp", "apparmor", "selinux", "intelRdt", "mountExtensions.idmap", "netDevices")),
    "intelRdt.schemata", "intelRdt.monitoring",
]  # fmt: skip
OBJECTS = ("cgroup", "seccomp", "apparmor", "selinux", "memoryPolicy", "intelRdt",
           "mountExtensions", "mountExtensions.idmap", "netDevices")  # fmt: skip
LISTS = ("namespaces", "capabilities", "seccomp.actions", "seccomp.operators", "seccomp.archs",
         "seccomp.knownFlags", "memoryPolicy.modes", "memoryPolicy.flags")  # fmt: skip
RECOGNIZED = {
    "namespaces": "nonsense", "seccomp.actions": "SCMP_ACT_NOTHING",
    "seccomp.operators": "SCMP_CMP_NOTHING", "seccomp.archs": "SCMP_ARCH_NOTHING",
    "seccomp.knownFlags": "SECCOMP_FILTER_FLAG_NOTHING", "memoryPolicy.modes": "MPOL_NOTHING",
    "seccomp.supportedFlags": "SECCOMP_FILTER_FLAG_NOTHING", "memoryPolicy.flags": "MPOL_F_NOTHING",
}  # fmt: skip


def _path(name: str) -> str:
    return f"/linux/{name.replace('.', '/')}"


FEATURES = {
    "features.provided": "printed:features=raw nothing to tell",
    "features.ociVersionMin": "printed:features=put /ociVersionMin=\"1\"",
    "features.ociVersionMax": "printed:features=drop /ociVersionMax",
    "features.ociVersionMin-accepted": "printed:features=put /ociVersionMin=\"9.0.0\"",
    "features.ociVersionMax-accepted": "printed:features=put /ociVersionMax=\"9.0.0\"",
    "features.ociVersionMax-order": "printed:features=put /ociVersionMax=\"0.9.0\"",
    "features.defined-only": "printed:features=put /linux/seccomp/more=1",
    "features.hooks": "printed:features=append /hooks=\"never\"",
    "features.hooks-supported": "drop:/hooks/poststart",
    "features.mountOptions": "printed:features=put /mountOptions=\"ro\"",
    "features.mountOptions-recognized": "printed:features=append /mountOptions=\"nothing\"",
    "features.mountOptions-not-data": "printed:features=append /mountOptions=\"size=\"",
    "features.linux": "printed:features=put /linux=[]",
    "features.annotations": "printed:features=put /annotations=[]",
    "features.annotations-map": "printed:features=put /annotations={\"\": \"1\"}",
    "features.potentiallyUnsafeConfigAnnotations":
        "printed:features=put /potentiallyUnsafeConfigAnnotations={}",
    **{f"features-linux.{name}": f"printed:features=put {_path(name)}=\"yes\""
       for name in BOOLEANS},
    **{f"features-linux.{name}": f"printed:features=put {_path(name)}=[]" for name in OBJECTS},
    **{f"features-linux.{name}": f"printed:features=put {_path(name)}=[1]" for name in LISTS},
    "features-linux.seccomp.supportedFlags":
        "printed:features=append /linux/seccomp/supportedFlags=\"SECCOMP_FILTER_FLAG_OTHER\"",
    **{f"features-linux.{name}-recognized": f"printed:features=append {_path(name)}=\"{word}\""
       for name, word in RECOGNIZED.items()},
    "features-linux.capabilities-recognized": "drop:/process/capabilities/bounding",
    "features-linux.mountExtensions.idmap.enabled-partial":
        "printed:features=put /linux/mountExtensions/idmap/enabled=false",
}  # fmt: skip

MUTANTS = (RUNTIME | HOOK_FAULTS | PROCESS | FILES | NAMESPACES | CGROUPS | DEVICES | SECCOMP
           | FEATURES)  # fmt: skip

# For a host with cgroup v2 alone, or what looks like one.
UNIFIED = {
    "config-linux.cgroup-owner.no-namespace": "chown-cgroup:",
    "config-linux.cgroup-owner.no-mount": "chown-cgroup:",
    "config-linux.cgroup-owner.writable": "drop-mount:/sys/fs/cgroup",
    "config-linux.cgroup-owner.missing-files": "drop-mount:/sys/fs/cgroup",
    "config-linux.cgroup-owner.present-files": "chown-cgroup:back",
    "config-linux.cgroup-owner.files": "chown-cgroup:files",
    "config-linux.cgroup-owner.other-files": "chown-cgroup:files",
    "config-linux.unified.unknown": "drop:/linux/resources/unified",
    "config-linux.unified.missing": "drop:/linux/resources/unified",
    "config-linux.unified.convert-error": "drop:/linux/resources/network",
}

# Requirements without a fault here, by the beginning of their ids, and why.
EXCUSED = {
    "runtime.delete.not-stopped-": "pyrun itself fails it for a created container",
    "config.process": "pyrun itself fails it",
    "config-linux.memory.kernelTCP": "pyrun itself fails it",
    "config-linux.intelRdt": "it takes a processor with resctrl",
    "config-linux.unified": "it takes a host with controllers in cgroup v2",
    "config-linux.rdma": "it takes an RDMA controller",
    "config-linux.network": "it takes the controllers net_cls and net_prio",
    "config-linux.memory.kernel": "kernels since 5.16 have no such limit",
    "config-linux.blockIO.leafWeight": "kernels since 5.0 have no such weight",
    "config-linux.blockIO.weightDevice": "it takes a disk with the scheduler bfq",
    "config.process.apparmorProfile": "it takes a host with AppArmor",
    "config.process.selinuxLabel": "it takes a host with SELinux",
    "config-linux.mountLabel": "it takes a host with SELinux",
}

# SPDX-License-Identifier: Apache-2.0
"""The defences of pyrun, one by one, and how it is without: what shows that the tests here see what
they look for, where no runtime of the machine has the hole."""

from __future__ import annotations

from .weakening import Defence

CLOSING = "return (int)syscall(SYS_close_range, first, last, 0);"
RESOLVING = "return open_at(root, path, flags, resolve | RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);"
# As openat(2) of a path that was joined to the root's: links lead to the host.
FOLLOWING = """path += strspn(path, "/");
    return open_at(root, *path ? path : ".", flags, 0);"""
# A link whose target is missing is followed on the host, where that is made.
GOAL = """    if (text[0] == '/')
        before = 0;
"""
GOAL_ON_HOST = """    if (text[0] == '/') {
        before = 0;
        root = open("/", O_PATH | O_CLOEXEC);
    }
"""
# The container's own /proc, by its name and whatever it is.
PRIVATE_PROC = "int fd = open_at(proc, path, O_WRONLY, resolve);"
CONTAINERS_PROC = """(void)proc, (void)resolve;
    char named[64] = "/proc/thread-self";
    int fd = open(strncat(named, strchr(path, '/'), 40), O_WRONLY);"""
SETTING = "    return set_attributes(slot[arg[0]], (unsigned)arg[1], &attributes);"
SETTING_BY_NAME = """    extern int snprintf(char *, size_t, const char *, ...);
    char named[64];
    snprintf(named, sizeof(named), "/proc/self/fd/%d", slot[arg[0]]);
    if (arg[2] == 1 && arg[1] == 0)
        return (int)syscall(SYS_mount_setattr, AT_FDCWD, named, 0, &attributes, sizeof(attributes));
"""
UNSEALED = (
    ("pyrun/launch.py", 'executable = seal("pyrun", None, EXECUTOR)',
     "executable = os.open(EXECUTOR, os.O_RDONLY | os.O_CLOEXEC)"),
    ("pyrun/launch.py", "os.fchmod(executable, 0o111)", "pass"),
)  # fmt: skip
DUMPABLE = (
    "executor/executor.c",
    "        if (op_times)\n            note_time(i + 1U);",
    "        prctl(PR_SET_DUMPABLE, 1);",
)
PLAIN_SOCKET = """
    import _socket
    stray = _socket.socket(_socket.AF_UNIX)
    stray.bind(b"\\0pyrun-stray")
    os.dup2(stray.fileno(), 0)
"""

# The place of a mount is where the links of the image lead by now.
BY_PLACE = """    places = {one.name: container.intent["rootfs"] + one.destination for one in known}
    for point, name in externals.name_mounts(mount_table.of(pid), known, ours):
        if os.path.islink(places[name]):
            point = os.readlink(places[name])
"""

# As atoi(3), into 32 bits.
NUMBER = "    if not (text.isascii() and text.isdigit()):\n"
NUMBER_CUT = """    digits = len(text) - len(text.lstrip("0123456789"))
    return int(text[:digits] or "0") & 0xFFFFFFFF
    if not (text.isascii() and text.isdigit()):
"""

DEFENCES = (
    Defence(
        "R1: paths are resolved in the root",
        (("executor/paths.c", RESOLVING, FOLLOWING),),
        (
            "test_races.py::test_swaps[mounts-stays]",
            "test_races.py::test_swaps[mounts-back]",
            "test_races.py::test_swaps[devices-stays]",
            "test_races.py::test_swaps[devices-back]",
            "test_paths.py::test_cve_2026_47766_dev_is_a_symlink[False]",
            "test_paths.py::test_cve_2015_3627_cve_2019_18837_mount_target_below_a_symlink",
        ),
    ),
    Defence(
        "R1: what a link leads to is made in the root",
        (("executor/paths.c", RESOLVING, FOLLOWING), ("executor/paths.c", GOAL, GOAL_ON_HOST)),
        (
            "test_races.py::test_swaps[console-stays]",
            "test_races.py::test_swaps[console-back]",
            *(f"test_races.py::test_swaps[masked-{way}]" for way in ("stays", "back")),
            "test_paths.py::test_cve_2024_45310_mount_target_is_a_dangling_symlink[directory]",
            "test_paths.py::test_cve_2024_45310_mount_target_is_a_dangling_symlink[file]",
            "test_paths.py::test_cve_2021_30465_mount_target_through_links_stays_inside[absolute]",
        ),
    ),
    Defence(
        "R4: a label goes to a procfs of our own",
        (
            ("pyrun/compile/labels.py", 'not in facts["security_modules"]:', "in ():"),
            ("executor/mounts.c", PRIVATE_PROC, CONTAINERS_PROC),
            ("executor/mounts.c", "|| fs.f_type != PROC_SUPER_MAGIC) {\n        errno = EXDEV;",
             ") {\n        errno = EXDEV;"),
        ),
        ("test_exec.py::test_cve_2025_52881_a_proc_that_leads_astray[attr/apparmor/exec]",
         "test_exec.py::test_cve_2025_52881_a_proc_that_leads_astray[trigger]"),
    ),
    Defence(
        "R12: no program of the image helps to set it up",
        (
            ("pyrun/launch.py", "    executable = seal(\"pyrun\", None, EXECUTOR)\n",
             "    import subprocess\n"
             "    if os.path.exists(\"rootfs/trap\"):\n"
             "        subprocess.run([\"rootfs/trap/newuidmap\"])\n"
             "    executable = seal(\"pyrun\", None, EXECUTOR)\n"),
        ),
        ("test_host.py::test_cve_2026_84042_cve_2025_24965_no_program_of_the_image_runs_outside",),
        planted=True,
    ),
    Defence(
        "R12: exec looks for no program",
        (
            ("pyrun/commands/exec.py", "    execution = Execution(container, opts)\n",
             "    execution = Execution(container, opts)\n    import subprocess\n"
             '    subprocess.run([container.intent["rootfs"] + "/bin/ps"])\n'),
        ),
        ("test_exec.py::test_cve_2022_1227_no_program_of_the_image_runs_outside",),
        planted=True,
    ),
    Defence(
        "R15: cgroups belong to the host's root",
        (
            ("pyrun/cgroup/cgroupfs.py", "            os.mkdir(path, 0o755)\n",
             "            os.mkdir(path, 0o755)\n"
             "            for name in os.listdir(path):\n"
             '                os.chmod(f"{path}/{name}", 0o666)\n'),
        ),
        ("test_identity.py::test_cve_2023_25809_cgroups_of_the_host_with_a_user_namespace",),
        planted=True,
    ),
    Defence(
        "R17: no annotation of an image loosens anything",
        (("pyrun/allowed_annotations.py",
          "found = list(rules.problems(config, _allowed(), FILE))", "found = []"),),
        tuple(
            f"test_identity.py::test_cve_2024_3154_cve_2026_94603_an_annotation_of_an_image[{key}]"
            for key in (
                "run.oci.keep_original_groups",
                "run.oci.hooks.stdout",
                "run.oci.hooks.stderr",
                "run.oci.seccomp_bpf_data",
                "run.oci.pidfd_receiver",
            )
        ),
    ),
    Defence(
        "R18: a length has as many bits as it takes",
        (
            ("pyrun/compile/id_maps.py", "EXTENTS = 340", "EXTENTS = 5000"),
            ("pyrun/idmaps.py", "for entry in entries\n", "for entry in entries[:4]\n"),
            ("pyrun/plan.py", 'raw = text.encode("utf-8", "surrogateescape")',
             'raw = text.encode("utf-8", "surrogateescape")\n'
             "            raw = raw[: len(raw) & 0xFFFF]"),
        ),
        ("test_identity.py::test_cve_2021_43784_five_thousand_id_maps",
         "test_identity.py::test_cve_2021_43784_a_megabyte_of_arguments"),
        planted=True,
    ),
    Defence(
        "R4: sysctls go to a procfs of our own",
        (
            ("pyrun/compile/sysctl.py", 'ops.fsopen("proc", CONTEXT)', 'ops.umask(0o22)'),
            ("pyrun/compile/sysctl.py", "ops.fsmount(CONTEXT, 0, PROC)",
             'ops.open_host("/proc", 0o10200000, PROC)'),
        ),
        ("test_races.py::test_swaps[proc-stays]", "test_races.py::test_swaps[proc-back]",
         "test_races.py::test_a_mount_of_a_peer[stays]",
         "test_races.py::test_a_mount_of_a_peer[back]"),
    ),
    Defence(
        "R4: proc and sys go to real directories",
        (("pyrun/compile/mounts.py", 'in ("proc", "sysfs") else 0', "in () else 0"),),
        ("test_paths.py::test_cve_2025_54867_cve_2023_27561_kernel_mount_on_a_symlink",),
    ),
    Defence(
        "R2: the root becomes read-only by its descriptor, before it is the root",
        (
            ("pyrun/compile/order.py", "    rootfs.readonly,\n", ""),
            ("pyrun/compile/order.py", "    rootfs.pivot,\n",
             "    rootfs.pivot,\n    rootfs.readonly,\n"),
            ("executor/mounts.c", SETTING, SETTING_BY_NAME + SETTING),
        ),
        ("test_paths.py::test_cve_2026_115521_read_only_root_with_a_proc_of_the_image",),
    ),
    Defence(
        "R5: what covers a masked file is the host's null",
        (
            (
                "pyrun/compile/paths.py",
                'yield f"/linux/maskedPaths/{index}", ops.mask(ROOT, path, NULL, EMPTY)',
                'yield "", ops.open_in_root(ROOT, "/dev/null", 0o10000000, 0, NULL)\n'
                '            yield "", ops.mask(ROOT, path, NULL, EMPTY)',
            ),
        ),
        ("test_races.py::test_swaps[masks-stays]",
         "test_races.py::test_swaps[masks-back]",
         "test_redirection.py::test_cve_2025_31133_masks_with_a_dev_of_the_attacker[symlink]"),
    ),
    Defence(
        "R6: a terminal is the kernel's, or there is none",
        (
            (
                "pyrun/compile/terminal.py",
                'return bool((config.get("process") or {}).get("terminal"))',
                "return False",
            ),
        ),
        ("test_redirection.py::test_cve_2025_52565_a_devpts_of_the_image",),
        planted=True,
    ),
    Defence(
        "R16: a label that nobody enforces is refused",
        (
            ("pyrun/compile/labels.py", 'not in facts["security_modules"]:', "in ():"),
            ("pyrun/compile/labels.py", "    if profile:\n", "    if False:\n"),
            ("pyrun/compile/labels.py", "    if label:\n", "    if False:\n"),
            ("pyrun/compile/labels.py", "    if label and not joined", "    if False"),
        ),
        ("test_redirection.py::test_cve_2019_16884_a_profile_that_nobody_enforces",),
    ),
    Defence(
        "R7: descriptors of the caller are closed",
        (("executor/executor.h", CLOSING, "return (void)first, (void)last, 0;"),),
        (
            "test_own_files.py::test_cve_2024_21626_no_descriptor_reaches_the_program",
            "test_own_files.py::test_cve_2024_21626_program_in_a_leaked_descriptor[9]",
            "test_exec.py::test_cve_2024_21626_no_descriptor_reaches_the_program",
            "test_exec.py::test_cve_2024_21626_program_in_a_leaked_descriptor[9]",
        ),
    ),
    Defence(
        "R7: what only the set-up needs is closed before the wait",
        (
            (
                "pyrun/compile/namespaces.py",
                "    yield POINTER, ops.close_all_but(_numbers(facts, *kept))\n",
                "    return\n    yield\n",
            ),
        ),
        ("test_own_files.py::test_cve_2016_9962_the_waiting_init_has_no_way_to_the_host",),
    ),
    Defence(
        "R10: the init is not dumpable",
        (
            ("pyrun/launch.py", "os.fchmod(executable, 0o111)", "pass"),
            ("executor/process.c", "return prctl((int)arg[0], arg[1], 0, 0, 0);",
             "return arg[0] == PR_SET_DUMPABLE ? 0 : prctl((int)arg[0], arg[1], 0, 0, 0);"),
        ),
        ("test_own_files.py::test_cve_2016_9962_the_waiting_init_is_not_the_containers",),
    ),
    Defence(
        "R10: nor is what joins a container",
        (
            ("pyrun/launch.py", "os.fchmod(executable, 0o111)", "pass"),
            DUMPABLE,
        ),
        ("test_watch.py::test_cve_2016_9962_nobody_gets_at_a_process_on_its_way_in",),
    ),
    Defence(
        "R9: the executor runs from a sealed copy",
        UNSEALED,
        ("test_own_files.py::test_cve_2019_5736_the_binary_of_the_waiting_init",),
    ),
    Defence(
        "R9: the executor is static, and sealed",
        UNSEALED,
        (
            "test_own_files.py::test_cve_2019_5736_the_runtime_as_its_own_program[direct]",
            "test_own_files.py::test_cve_2019_5736_the_runtime_as_its_own_program[script]",
            "test_exec.py::test_cve_2019_5736_the_runtime_as_its_own_program[direct]",
        ),
        static=False,
    ),
    Defence(
        "R9, R10: who comes in is sealed, and not dumpable",
        (*UNSEALED, DUMPABLE),
        ("test_exec.py::test_cve_2019_5736_a_writer_that_waits_for_the_runtime",),
    ),
    Defence(
        "R13: no socket that others reach",
        (("pyrun/launch.py", "    executable = seal(\"pyrun\", None, EXECUTOR)\n",
          PLAIN_SOCKET + "    executable = seal(\"pyrun\", None, EXECUTOR)\n"),),
        ("test_own_files.py::test_cve_2020_15257_no_socket_that_others_could_reach",),
        planted=True,
    ),
    Defence(
        "R11: no capability that was not asked for",
        (("pyrun/compile/capabilities.py", '"inheritable": inheritable,', '"inheritable": held,'),
         ("pyrun/compile/capabilities.py", '"bounding": bounding,', '"bounding": held,')),
        (
            "test_identity.py::"
            "test_cve_2022_29162_cve_2022_27650_no_capability_that_was_not_asked_for",
        ),
    ),
    Defence(
        "R11: the caller's groups are dropped",
        (("executor/process.c",
          "return (int)syscall(SYS_setgroups, gids[0] / sizeof(gid_t), gids + 1);",
          "return (int)(gids[0] & 0);"),),
        (
            "test_identity.py::test_cve_2022_36109_cve_2022_2995_no_group_of_the_caller",
            "test_exec.py::test_cve_2022_36109_groups_of_the_caller",
        ),
    ),
    Defence(
        "R11: a user is a number in range",
        (("pyrun/exec_process.py", NUMBER, NUMBER_CUT),),
        (
            "test_exec_identity.py::test_cve_2026_30892_a_user_of_an_odd_form[+1]",
            "test_exec_identity.py::test_cve_2026_30892_a_user_of_an_odd_form[0x1]",
            "test_exec_identity.py::test_cve_2026_30892_a_user_without_a_number[:1]",
            "test_exec_identity.py::test_cve_2026_30892_a_user_without_a_number[image]",
            "test_exec_identity.py::"
            "test_cve_2026_46680_cve_2024_40635_cve_2016_3697_a_number_is_no_name[4294967296]",
        ),
    ),
    Defence(
        "R11: a user without a group is that user",
        (("pyrun/exec_process.py", "    if colon:\n",
          "    if not colon:\n        found = {\"uid\": 0, \"gid\": 0}\n    else:\n"),),
        ("test_exec_identity.py::test_cve_2026_30892_the_user_that_is_asked_for[1-ids0]",),
        planted=True,
    ),
    Defence(
        "R11: what is added is not inherited",
        (("pyrun/exec_process.py", 'kinds = ["bounding", "effective", "permitted"]',
          'kinds = ["bounding", "effective", "permitted", "inheritable"]'),),
        (
            "test_exec_identity.py::"
            "test_cve_2022_29162_cve_2022_27650_an_added_capability_is_not_inherited[0:0]",
        ),
    ),
    Defence(
        "R15: no path of a cgroup leads upwards",
        (("pyrun/cgroup/entry.py",
          'if any(part.startswith(".") or "\\n" in part for part in parts):', "if False:"),),
        (
            "test_exec_identity.py::"
            "test_ghsa_5g49_rx9x_qfc6_the_cgroup_of_a_process_is_the_containers[..]",
        ),
    ),
    Defence(
        "R15: a file of unified is the cgroup's own",
        (
            ("pyrun/compile/checks_linux.py",
             'if "/" in key or key.startswith(".") or not key:', "if not key:"),
            ("pyrun/cgroup/resources.py",
             'if "/" in file or "\\0" in file or file.startswith(".") or', "if"),
        ),
        (
            "test_identity.py::test_ghsa_5g49_rx9x_qfc6_unified_writes_to_no_other_cgroup"
            "[../{}/cgroup.max.depth]",
        ),
        needs=("cgroup_v2",),
    ),
    Defence(
        "R20: the root is no peer of the host's while it is filled",
        (
            ("pyrun/compile/rootfs.py",
             "    if flag == MS_SHARED or opens_sources(config, facts):\n", "    if False:\n"),
            ("pyrun/compile/rootfs.py",
             '        yield "/root/path", ops.pivot_root(ROOT, _layers(config, facts))\n',
             '        yield "/root/path", ops.mount_setattr(ROOT, AT_RECURSIVE, 0, 0, MS_PRIVATE)\n'
             '        yield "/root/path", ops.pivot_root(ROOT, _layers(config, facts))\n'),
        ),
        (
            "test_host.py::test_r20_a_shared_root_on_a_mount_of_its_own[shared]",
            "test_host.py::test_r20_a_shared_root_on_a_mount_of_its_own[rshared]",
        ),
    ),
    Defence(
        "R19: a mount has the name of what it shows",
        (("pyrun/criu/dump.py",
          "    for point, name in externals.name_mounts(mount_table.of(pid), known, ours):\n",
          BY_PLACE),),
        (
            "test_restore.py::test_cve_2026_119101_cve_2026_115520_links_of_the_image_name_no_mount"
            "[turned-one]",
        ),
        needs=("criu",),
    ),
    Defence(
        "R14: sysctls are those of the container's namespaces",
        (
            ("pyrun/compile/sysctl_names.py", '        if names[1] == "domainname":',
             '        if names[1] in ("domainname", "core_pattern"):'),
        ),
        ("test_identity.py::test_cve_2022_0811_sysctl_of_the_host[kernel.core_pattern]",),
    ),
    Defence(
        "R15: devices are denied by default",
        (("pyrun/cgroup/devices.py", "    default = False\n", "    default = True\n"),),
        ("test_identity.py::test_ghsa_g54h_m393_cpwq_devices_are_denied_by_default",),
    ),
)  # fmt: skip

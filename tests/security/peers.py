# SPDX-License-Identifier: Apache-2.0
"""What runtimes of others are known to do otherwise than the tests here ask for, by version:
strict, so that a runtime that is better than this fails the test that says so."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

RUNC, CRUN = "runc 1.1.5", "crun 1.8.1"  # those of Debian 12
FOLLOWS = "resolves /dev in the image's root by string"
LEAKS = "changes into a directory of the host by a descriptor of its caller"
CUTS, ZERO = "takes the lower 32 bits of a number", "takes no number for 0"
# {runtime: {test, or test[row]: what it does}}
RED: dict[str, dict[str, str]] = {
    RUNC: {
        "test_exec.py::test_cve_2026_88265_streams_that_are_no_devices": (
            "opens what the container has at /dev/null"
        ),
        "test_exec_identity.py::test_cve_2026_46680_cve_2024_40635_cve_2016_3697_a_number_is_no_name"
        "[4294967296]": CUTS,
        "test_exec_identity.py::test_cve_2026_46680_cve_2024_40635_cve_2016_3697_a_number_is_no_name"
        "[4294967297]": CUTS,
        "test_host.py::test_cve_2025_23266_hooks_do_not_get_the_containers_environment"
        "[createContainer]": "its hooks have the environment of the container",
        "test_host.py::test_cve_2021_41103_nobody_else_sees_the_state": "its folder has mode 0711",
        "test_host.py::test_r20_without_a_mount_namespace_the_hosts_mounts_stay": (
            "makes the host's root private"
        ),
        "test_host.py::test_r20_joined_mount_namespace_of_the_host": "pivots in the host's",
        "test_host.py::test_a_hook_that_hangs_is_ended_with_its_children[createRuntime]": (
            "waits for the hook's children"
        ),
        "test_host.py::test_a_hook_that_hangs_is_ended_with_its_children[createContainer]": (
            "waits for the hook's children"
        ),
        "test_identity.py::test_r20_joined_host_namespace_is_not_changed[uts]": "sets the host's",
        "test_identity.py::test_r20_joined_host_namespace_is_not_changed[ipc]": "sets the host's",
        "test_own_files.py::test_cve_2019_5736_the_binary_of_the_waiting_init": (
            "its init is not sealed: a mount is read-only instead"
        ),
        "test_paths.py::test_cve_2026_47766_dev_is_a_symlink[False]": FOLLOWS,
        "test_paths.py::test_cve_2026_47766_dev_is_a_symlink[True]": FOLLOWS,
        "test_paths.py::test_cve_2026_47766_dev_is_a_symlink_to_a_volume": FOLLOWS,
        "test_redirection.py::test_cve_2026_88265_dev_null_is_a_link_to_a_host_file": (
            "gives the host's file to the container"
        ),
        "test_redirection.py::test_cve_2025_31133_masks_with_a_dev_of_the_attacker[symlink]": (
            "covers with what /dev/null leads to"
        ),
        "test_restore.py::test_cve_2026_119101_cve_2026_115520_links_of_the_image_name_no_mount"
        "[turned-one]": "mounts each where the other was",
        "test_restore.py::test_cve_2026_119101_cve_2026_115520_links_of_the_image_name_no_mount"
        "[turned-x]:y]": "mounts each where the other was",
    },
    CRUN: {
        "test_exec.py::test_cve_2024_21626_working_directory_in_a_leaked_descriptor": LEAKS,
        "test_exec.py::test_cve_2024_21626_working_directory_by_a_link[/way]": LEAKS,
        "test_exec.py::test_cve_2026_88265_streams_that_are_no_devices": (
            "opens what the container has at /dev/null"
        ),
        "test_exec_identity.py::test_cve_2026_30892_a_user_without_a_number[]": ZERO,
        "test_exec_identity.py::test_cve_2026_30892_a_user_without_a_number[:]": ZERO,
        "test_exec_identity.py::test_cve_2026_30892_a_user_without_a_number[:1]": ZERO,
        "test_exec_identity.py::test_cve_2026_46680_cve_2024_40635_cve_2016_3697_a_number_is_no_name"
        "[-1]": CUTS,
        "test_exec_identity.py::test_cve_2026_46680_cve_2024_40635_cve_2016_3697_a_number_is_no_name"
        "[4294967295]": CUTS,
        "test_exec_identity.py::test_cve_2026_46680_cve_2024_40635_cve_2016_3697_a_number_is_no_name"
        "[4294967296]": CUTS,
        "test_exec_identity.py::test_cve_2026_46680_cve_2024_40635_cve_2016_3697_a_number_is_no_name"
        "[4294967297]": CUTS,
        "test_exec_identity.py::"
        "test_ghsa_5g49_rx9x_qfc6_the_cgroup_of_a_process_is_the_containers": "goes where .. leads",
        "test_failures.py::test_a_caller_that_ignores_its_children": "fails",
        "test_host.py::test_r20_mounts_of_a_container_do_not_reach_the_host[True]": (
            "mounts in the host's volume"
        ),
        "test_host.py::test_r20_mounts_made_in_the_container_do_not_reach_the_host"
        "[/vol/deep-rshared]": "the container mounts in the host's volume",
        "test_host.py::test_r20_joined_mount_namespace_of_the_host": "pivots in the host's",
        "test_host.py::test_a_hook_that_hangs_is_ended_with_its_children[createRuntime]": (
            "leaves the hook's children"
        ),
        "test_identity.py::test_ids_beyond_the_range_never_become_root[uid-4294967295]": (
            "the program is root"
        ),
        "test_identity.py::test_ids_beyond_the_range_never_become_root[gid-4294967295]": (
            "the program is root"
        ),
        "test_identity.py::test_ghsa_g54h_m393_cpwq_devices_are_denied_by_default": (
            "allows every device where no rule denies it"
        ),
        "test_identity.py::test_ghsa_5g49_rx9x_qfc6_cgroups_path_stays_in_the_hierarchy": (
            "makes folders beside the hierarchies"
        ),
        "test_identity.py::test_r20_joined_host_namespace_is_not_changed": "sets the host's",
        "test_identity.py::test_cve_2024_3154_cve_2026_94603_an_annotation_of_an_image"
        "[run.oci.hooks.stderr]": "writes to the file",
        "test_identity.py::test_cve_2024_3154_cve_2026_94603_an_annotation_of_an_image"
        "[run.oci.hooks.stdout]": "writes to the file",
        "test_identity.py::test_cve_2024_3154_cve_2026_94603_an_annotation_of_an_image"
        "[run.oci.keep_original_groups]": "keeps them",
        "test_identity.py::test_cve_2024_3154_cve_2026_94603_an_annotation_of_an_image"
        "[run.oci.pidfd_receiver]": "connects to it",
        "test_identity.py::test_cve_2024_3154_cve_2026_94603_an_annotation_of_an_image"
        "[run.oci.seccomp.receiver]": "connects to it",
        "test_identity.py::test_cve_2024_3154_cve_2026_94603_an_annotation_of_an_image"
        "[run.oci.seccomp_bpf_data]": "takes it for the filter",
        "test_own_files.py::test_cve_2024_21626_working_directory_in_a_leaked_descriptor": LEAKS,
        "test_own_files.py::test_cve_2019_5736_the_binary_of_the_waiting_init": (
            "its init is not sealed: a mount is read-only instead"
        ),
        "test_paths.py::test_cve_2026_88264_dev_console_is_a_symlink": (
            "makes /dev/console where the image's link leads"
        ),
        "test_paths.py::test_cve_2026_47766_dev_is_a_symlink[False]": FOLLOWS,
        "test_redirection.py::test_cve_2026_88265_dev_null_is_a_link_to_a_host_file": (
            "gives the host's file to the container"
        ),
        "test_redirection.py::test_devices_of_the_host_stay_their_owners": (
            "gives the host's device to the container's user"
        ),
        "test_redirection.py::test_cve_2025_52881_cve_2019_16884_mounts_over_proc": "takes it",
        "test_redirection.py::test_cve_2025_31133_masks_with_a_dev_of_the_attacker[symlink]": (
            "covers with what /dev/null leads to"
        ),
    },
}

# {runtime: files of tests about what it can't do}
LACKS = {CRUN: ("test_restore.py",)}  # Debian's is built without CRIU

# What happens to some runs and not to others: expected, not strictly.
SOMETIMES = {
    "test_terminal.py::test_a_long_paste_is_echoed_to_its_end": "crun loses a part of it",
    **{
        f"test_races.py::test_swaps[{race}-{way}]": "at some boundaries, of which a sample is tried"
        for race in ("mounts", "devices", "console", "masks", "masked", "proc")
        for way in ("stays", "back")
    },
    **{
        f"test_races.py::test_a_mount_of_a_peer[{way}]": "they write to what they find at /proc"
        for way in ("stays", "back")
    },
}


def known(runtime: Path) -> str:
    """Which of them a program is, "" for none."""
    done = subprocess.run([runtime, "--version"], capture_output=True, text=True)
    found = re.match(r"(runc|crun) version (\d+\.\d+\.\d+)", done.stdout)
    name = f"{found[1]} {found[2]}" if found else ""
    return name if name in RED else ""


def reason(peer: str, node: str) -> str:
    """What the runtime is known to do in a test, by its pytest id; "" for nothing."""
    path, _, test = node.partition("::")
    name = f"{path.rpartition('/')[2]}::{test}"
    listed = RED.get(peer, {})
    return listed.get(name) or listed.get(name.partition("[")[0], "")

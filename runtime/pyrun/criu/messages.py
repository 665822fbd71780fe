# SPDX-License-Identifier: Apache-2.0
"""CRIU's RPC messages (criu.org/RPC), by the protobuf package: the fields that pyrun uses, with
their numbers and types on the wire. An enumeration is a number there.

The only module that imports protobuf.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

# criu_req.type and criu_resp.type
DUMP, RESTORE, CHECK, PRE_DUMP, NOTIFY, FEATURE_CHECK, VERSION = 1, 2, 3, 4, 6, 9, 10
# criu_cg_mode: --manage-cgroups-mode
CGROUP_MODES = {"ignore": 0, "soft": 3, "full": 4, "strict": 5}
CGROUPS_AS_THEY_ARE = 1
# criu_network_lock_method: --network-lock
NETWORK_LOCKS = {"iptables": 1, "nftables": 2, "skip": 3}

# message: {field: (number, type)}; a type in [] is repeated, one with a capital is a message.
TABLE: dict[str, dict[str, tuple[int, Any]]] = {
    "Request": {
        "type": (1, "int32"),
        "opts": (2, "Options"),
        "notify_success": (3, "bool"),
        "features": (5, "Features"),
    },
    "Response": {
        "type": (1, "int32"),
        "success": (2, "bool"),
        "restore": (4, "Restored"),
        "notify": (5, "Notification"),
        "cr_errno": (7, "int32"),
        "features": (8, "Features"),
        "cr_errmsg": (9, "string"),
        "version": (10, "Version"),
    },
    "Restored": {"pid": (1, "int32")},
    "Notification": {"script": (1, "string"), "pid": (2, "int32")},
    "Features": {"mem_track": (1, "bool"), "lazy_pages": (2, "bool")},
    "Version": {"major_number": (1, "int32"), "minor_number": (2, "int32")},
    "PageServer": {"address": (1, "string"), "port": (2, "int32")},
    "ExternalMount": {"key": (1, "string"), "val": (2, "string")},
    "JoinedNamespace": {"ns": (1, "string"), "ns_file": (2, "string")},
    "InheritedFd": {"key": (1, "string"), "fd": (2, "int32")},
    "CgroupRoot": {"ctrl": (1, "string"), "path": (2, "string")},
    "Options": {
        "images_dir_fd": (1, "int32"),
        "pid": (2, "int32"),
        "leave_running": (3, "bool"),
        "ext_unix_sk": (4, "bool"),
        "tcp_established": (5, "bool"),
        "shell_job": (7, "bool"),
        "file_locks": (8, "bool"),
        "log_level": (9, "int32"),
        "log_file": (10, "string"),
        "ps": (11, "PageServer"),
        "notify_scripts": (12, "bool"),
        "root": (13, "string"),
        "parent_img": (14, "string"),
        "track_mem": (15, "bool"),
        "auto_dedup": (16, "bool"),
        "work_dir_fd": (17, "int32"),
        "link_remap": (18, "bool"),
        "ext_mnt": (23, ["ExternalMount"]),
        "manage_cgroups": (24, "bool"),
        "cg_root": (25, ["CgroupRoot"]),
        "rst_sibling": (26, "bool"),
        "inherit_fd": (27, ["InheritedFd"]),
        "ext_sharing": (29, "bool"),
        "ext_masters": (30, "bool"),
        "manage_cgroups_mode": (34, "int32"),
        "external": (37, ["string"]),
        "empty_ns": (38, "uint32"),
        "join_ns": (39, ["JoinedNamespace"]),
        "freeze_cgroup": (44, "string"),
        "tcp_skip_in_flight": (46, "bool"),
        "lazy_pages": (48, "bool"),
        "status_fd": (49, "int32"),
        "orphan_pts_master": (50, "bool"),
        "config_file": (51, "string"),
        "tcp_close": (52, "bool"),
        "lsm_profile": (53, "string"),
        "cgroup_yard": (60, "string"),
        "lsm_mount_context": (63, "string"),
        "network_lock": (64, "int32"),
    },
}


def _classes() -> dict[str, Any]:
    """Message classes, made of the table."""
    field_type = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="pyrun_criu.proto", package="pyrun_criu")
    for message, fields in TABLE.items():
        entry = file.message_type.add(name=message)
        for name, (number, kind) in fields.items():
            repeated = isinstance(kind, list)
            word = kind[0] if repeated else kind
            field = entry.field.add(name=name, number=number)
            field.label = field_type.LABEL_REPEATED if repeated else field_type.LABEL_OPTIONAL
            if word in TABLE:
                field.type, field.type_name = field_type.TYPE_MESSAGE, f".pyrun_criu.{word}"
            else:
                field.type = getattr(field_type, f"TYPE_{word.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"pyrun_criu.{name}"))
        for name in TABLE
    }


_MADE = _classes()
Request = _MADE["Request"]
Response = _MADE["Response"]
Options = _MADE["Options"]

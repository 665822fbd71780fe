# SPDX-License-Identifier: Apache-2.0
"""Calls of Kubernetes' Container Runtime Interface, as a program, for gRPC has threads, which the
tests' own process must not have when it forks; one for all calls, for gRPC takes long to load.

    python -m engines.cri_call

For each line of its input, [SOCKET, METHOD, REQUEST], it prints one: [ANSWER, ""], or [null, the
words] of an engine that refuses. A request and an answer are JSON objects with the fields' own
names; what has no value in the answer is left out.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

PACKAGE = "runtime.v1"
SECONDS = 60.0
SCALARS = {
    "string": 9, "bytes": 12, "bool": 8, "int32": 5, "uint32": 13, "int64": 3
}  # fmt: skip
# {message: "NUMBER FIELD TYPE, ..."}: what the tests use of runtime.v1. `*`: repeated; map: of
# strings. An enumeration is its number: both travel as a varint.
MESSAGES: dict[str, str] = {
    "VersionRequest": "1 version string",
    "VersionResponse": "2 runtime_name string, 3 runtime_version string",
    "Int64Value": "1 value int64",
    "IDMapping": "1 host_id uint32, 2 container_id uint32, 3 length uint32",
    "UserNamespace": "1 mode int32, 2 uids *IDMapping, 3 gids *IDMapping",
    "NamespaceOption": "1 network int32, 2 pid int32, 3 ipc int32, 4 target_id string,"
    " 5 userns_options UserNamespace",
    "SecurityProfile": "1 profile_type int32, 2 localhost_ref string",
    "LinuxSandboxSecurityContext": "1 namespace_options NamespaceOption, 6 privileged bool,"
    " 9 seccomp SecurityProfile",
    "LinuxPodSandboxConfig": "1 cgroup_parent string, 3 sysctls map,"
    " 2 security_context LinuxSandboxSecurityContext",
    "PodSandboxMetadata": "1 name string, 2 uid string, 3 namespace string, 4 attempt uint32",
    "PodSandboxConfig": "1 metadata PodSandboxMetadata, 2 hostname string, 3 log_directory string,"
    " 6 labels map, 7 annotations map, 8 linux LinuxPodSandboxConfig",
    "RunPodSandboxRequest": "1 config PodSandboxConfig, 2 runtime_handler string",
    "RunPodSandboxResponse": "1 pod_sandbox_id string",
    "StopPodSandboxRequest": "1 pod_sandbox_id string",
    "StopPodSandboxResponse": "",
    "RemovePodSandboxRequest": "1 pod_sandbox_id string",
    "RemovePodSandboxResponse": "",
    "PodSandboxStatusRequest": "1 pod_sandbox_id string, 2 verbose bool",
    "PodSandboxStatus": "1 id string, 3 state int32, 9 runtime_handler string",
    "PodSandboxStatusResponse": "1 status PodSandboxStatus, 2 info map",
    "PodSandboxFilter": "1 id string",
    "ListPodSandboxRequest": "1 filter PodSandboxFilter",
    "PodSandbox": "1 id string, 3 state int32, 7 runtime_handler string",
    "ListPodSandboxResponse": "1 items *PodSandbox",
    "ImageSpec": "1 image string",
    "KeyValue": "1 key string, 2 value string",
    "Mount": "1 container_path string, 2 host_path string, 3 readonly bool, 5 propagation int32",
    "Capability": "1 add_capabilities *string, 2 drop_capabilities *string",
    "LinuxContainerResources": "1 cpu_period int64, 2 cpu_quota int64, 3 cpu_shares int64,"
    " 4 memory_limit_in_bytes int64, 5 oom_score_adj int64, 6 cpuset_cpus string",
    "LinuxContainerSecurityContext": "1 capabilities Capability, 2 privileged bool,"
    " 3 namespace_options NamespaceOption, 5 run_as_user Int64Value, 7 readonly_rootfs bool,"
    " 8 supplemental_groups *int64, 11 no_new_privs bool, 15 seccomp SecurityProfile",
    "LinuxContainerConfig": "1 resources LinuxContainerResources,"
    " 2 security_context LinuxContainerSecurityContext",
    "ContainerMetadata": "1 name string, 2 attempt uint32",
    "ContainerConfig": "1 metadata ContainerMetadata, 2 image ImageSpec, 3 command *string,"
    " 4 args *string, 5 working_dir string, 6 envs *KeyValue, 7 mounts *Mount, 10 annotations map,"
    " 11 log_path string, 14 tty bool, 15 linux LinuxContainerConfig",
    "CreateContainerRequest": "1 pod_sandbox_id string, 2 config ContainerConfig,"
    " 3 sandbox_config PodSandboxConfig",
    "CreateContainerResponse": "1 container_id string",
    "StartContainerRequest": "1 container_id string",
    "StartContainerResponse": "",
    "StopContainerRequest": "1 container_id string, 2 timeout int64",
    "StopContainerResponse": "",
    "RemoveContainerRequest": "1 container_id string",
    "RemoveContainerResponse": "",
    "ContainerStatusRequest": "1 container_id string, 2 verbose bool",
    "ContainerStatus": "1 id string, 3 state int32, 7 exit_code int32, 10 reason string",
    "ContainerStatusResponse": "1 status ContainerStatus, 2 info map",
    "UpdateContainerResourcesRequest": "1 container_id string, 2 linux LinuxContainerResources",
    "UpdateContainerResourcesResponse": "",
    "ExecSyncRequest": "1 container_id string, 2 cmd *string, 3 timeout int64",
    "ExecSyncResponse": "1 stdout bytes, 2 stderr bytes, 3 exit_code int32",
}


def _field(message: Any, text: str) -> None:
    """Adds one of "NUMBER NAME TYPE" to a descriptor."""
    number, name, kind = text.split()
    field = message.field.add(name=name, number=int(number), label=1)
    if kind == "map":  # a repeated message of its own, as protobuf has it
        entry = message.nested_type.add(name=f"{name.title().replace('_', '')}Entry")
        entry.options.map_entry = True
        _field(entry, "1 key string")
        _field(entry, "2 value string")
        field.label, field.type_name = 3, f".{PACKAGE}.{message.name}.{entry.name}"
        return
    if kind.startswith("*"):
        field.label, kind = 3, kind[1:]
    if kind in SCALARS:
        field.type = SCALARS[kind]
    else:
        field.type_name = f".{PACKAGE}.{kind}"


def classes() -> dict[str, Any]:
    """The messages' classes, by name."""
    file = descriptor_pb2.FileDescriptorProto(name="cri", package=PACKAGE, syntax="proto3")
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field in filter(None, fields.split(",")):
            _field(message, field)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))
        for name in MESSAGES
    }


def call(made: dict[str, Any], socket: str, method: str, request: dict[str, Any]) -> dict[str, Any]:
    """The answer. Raises grpc.RpcError."""
    with grpc.insecure_channel(f"unix://{socket}") as channel:
        ask = channel.unary_unary(
            f"/{PACKAGE}.RuntimeService/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=made[f"{method}Response"].FromString,
        )
        message = json_format.ParseDict(request, made[f"{method}Request"]())
        answer = ask(message, timeout=SECONDS)
    found: dict[str, Any] = json_format.MessageToDict(answer, preserving_proto_field_name=True)
    return found


def main() -> None:
    """See above."""
    made = classes()
    for line in sys.stdin:
        answer: list[Any]
        try:
            answer = [call(made, *json.loads(line)), ""]
        except grpc.RpcError as error:
            answer = [None, f"{error.code().name}: {error.details()}"]
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()

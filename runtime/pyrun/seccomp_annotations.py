# SPDX-License-Identifier: Apache-2.0
"""What annotations say of the seccomp filter: crun's run.oci.seccomp_bpf_data, and
run.oci.seccomp_fail_unknown_syscall."""

from __future__ import annotations

import binascii

from pyrun.compile import acting_annotations
from pyrun.compile import seccomp as profiles
from pyrun.errors import ConfigError, Error
from pyrun.seccomp import INSTRUCTION, LONGEST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.types import Config, Facts


def apply(config: Config, profile: Config | None, facts: Facts) -> None:
    """Refuse what is to be refused, and put a program that is given as it is into the facts.
    `profile`: of compile.seccomp.profile. Raises Error, or ConfigError with all problems."""
    if profile and acting_annotations.is_on(config, acting_annotations.FAIL_UNKNOWN):
        _refuse_unknown(config["linux"]["seccomp"])
    data = acting_annotations.of(config, acting_annotations.SECCOMP_BPF)
    if data:
        facts["seccomp"] = _program(data)
        facts["seccomp_flags"] = profiles.flags(profile) if profile else profiles.SPEC_ALLOW


def _refuse_unknown(seccomp: Config) -> None:
    from pyrun.kernel import libseccomp

    problems = [
        (f"/linux/seccomp/syscalls/{number}/names/{index}", f"unknown system call {name!r}")
        for number, rule in enumerate(seccomp.get("syscalls") or [])
        for index, name in enumerate(rule["names"])
        if not libseccomp.knows_call(name)
    ]
    if problems:
        raise ConfigError(problems)


def _program(data: str) -> bytes:
    """Base64 of an array of struct sock_filter."""
    pointer = f"/annotations/{acting_annotations.SECCOMP_BPF}"
    try:
        code = binascii.a2b_base64(data, strict_mode=True)
    except ValueError as error:  # binascii.Error, or characters that are not ASCII
        raise Error(f"is no base64: {error}".lower(), pointer) from None
    if len(code) % INSTRUCTION or not 0 < len(code) // INSTRUCTION <= LONGEST:
        text = f"{len(code)} bytes are no program: 1 to {LONGEST} instructions of {INSTRUCTION}"
        raise Error(text, pointer)
    return code

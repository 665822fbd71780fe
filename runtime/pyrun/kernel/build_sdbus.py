# SPDX-License-Identifier: Apache-2.0
"""The part of libsystemd's sd-bus(3) that pyrun uses, for cffi: `python build_sdbus.py OUT.c`.

The C compiler checks these declarations against <systemd/sd-bus.h> and fills in each "...".
"""

from __future__ import annotations

import sys

import cffi

MODULE = "pyrun.kernel._sdbus"

DECLARATIONS = """
typedef struct sd_bus sd_bus;
typedef struct sd_bus_message sd_bus_message;
typedef struct {
    const char *name;
    const char *message;
    ...;
} sd_bus_error;

int sd_bus_open_system(sd_bus **ret);
int sd_bus_open_user(sd_bus **ret);
int sd_bus_new(sd_bus **ret);
int sd_bus_set_address(sd_bus *bus, const char *address);
int sd_bus_start(sd_bus *bus);
sd_bus *sd_bus_unref(sd_bus *bus);
sd_bus *sd_bus_flush_close_unref(sd_bus *bus);
int sd_bus_call(sd_bus *bus, sd_bus_message *m, uint64_t usec, sd_bus_error *ret_error,
                sd_bus_message **reply);
int sd_bus_process(sd_bus *bus, sd_bus_message **ret);
int sd_bus_wait(sd_bus *bus, uint64_t timeout_usec);
void sd_bus_error_free(sd_bus_error *e);

int sd_bus_message_new_method_call(sd_bus *bus, sd_bus_message **m, const char *destination,
                                   const char *path, const char *interface, const char *member);
sd_bus_message *sd_bus_message_unref(sd_bus_message *m);
int sd_bus_message_open_container(sd_bus_message *m, char type, const char *contents);
int sd_bus_message_close_container(sd_bus_message *m);
int sd_bus_message_append_basic(sd_bus_message *m, char type, const void *p);
int sd_bus_message_read_basic(sd_bus_message *m, char type, void *p);
int sd_bus_message_is_signal(sd_bus_message *m, const char *interface, const char *member);
"""


def builder() -> cffi.FFI:
    """The cffi builder of pyrun.kernel._sdbus."""
    ffi = cffi.FFI()
    ffi.cdef(DECLARATIONS)
    ffi.set_source(MODULE, "#include <systemd/sd-bus.h>", libraries=["systemd"])
    return ffi


if __name__ == "__main__":
    builder().emit_c_code(sys.argv[1])

